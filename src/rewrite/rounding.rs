//! Pairs of QuantizeLinear and DequantizeLinear behind values: what is read is rounded to codes of 8 bits.
//!
//! What is added has short names, since small models are mostly names; a rounded value keeps its name behind the pair.

use std::collections::{BTreeMap, HashMap};

use super::codes::applied;
use crate::error::Result;
use crate::graph::{Graph, NodeId, Patch, Producer, ValueId, declaration};
use crate::onnx::{ElementType, Model};
use crate::ops::{Form, find};

/// A node and the slot in which it reads.
type Reader = (NodeId, usize);

/// The code that stands for 0, and by that the type of codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ZeroPoint {
    /// Codes from 0 to 255, of which this one does.
    Unsigned(u8),
    /// Codes from -128 to 127, of which 0 does.
    Signed,
}

impl ZeroPoint {
    /// The type of the codes.
    pub(crate) fn element(self) -> ElementType {
        match self {
            ZeroPoint::Unsigned(_) => ElementType::Uint8,
            ZeroPoint::Signed => ElementType::Int8,
        }
    }

    /// The code for 0.
    pub(crate) fn code(self) -> f64 {
        f64::from(self.byte())
    }

    /// The least code and the largest.
    pub(crate) fn ends(self) -> [f64; 2] {
        match self {
            ZeroPoint::Unsigned(_) => [0.0, 255.0],
            ZeroPoint::Signed => [-128.0, 127.0],
        }
    }

    fn byte(self) -> u8 {
        match self {
            ZeroPoint::Unsigned(zero) => zero,
            ZeroPoint::Signed => 0,
        }
    }
}

/// A value that is rounded to codes of 8 bits: `(code - zero) * scale`.
#[derive(Clone, Debug)]
pub(crate) struct RoundedValue {
    pub(crate) name: String,
    /// Values of one class share a scale.
    pub(crate) class: usize,
    pub(crate) scale: f32,
    pub(crate) zero: ZeroPoint,
    /// Each reader has codes of its own.
    pub(crate) apart: bool,
    /// Its channels are larger by these factors while they are rounded.
    pub(crate) factors: Option<Factors>,
}

/// A factor for each channel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Factors {
    pub(crate) by_channel: Vec<f32>,
    /// Axes behind the one of the channels.
    pub(crate) inner: usize,
}

/// A model with rounded values.
pub(crate) struct RoundedModel {
    pub(crate) model: Model,
    pub(crate) places: Vec<CodePlace>,
}

/// What stands where a value is rounded.
#[derive(Clone, Debug)]
pub(crate) struct CodePlace {
    /// The value's name in the model that was not rounded.
    pub(crate) value: String,
    /// What is rounded.
    pub(crate) real: String,
    /// Its codes.
    pub(crate) code: String,
    pub(crate) scale: f32,
    pub(crate) zero: ZeroPoint,
}

/// The model of `graph` with these values rounded where they are read.
///
/// # Errors
/// The result is no valid graph.
pub(crate) fn with_rounding(graph: &Graph, values: &[RoundedValue]) -> Result<RoundedModel> {
    let mut rounding = Rounding::of(graph);
    let mut places = Vec::new();
    for rounded in values {
        places.extend(rounding.place(rounded, None));
    }
    Ok(RoundedModel {
        model: rounding.applied("the model with rounded values")?,
        places,
    })
}

/// The model of `graph` with inputs, by class, that say whether its values are rounded: true where they are.
///
/// # Errors
/// The result is no valid graph.
pub(crate) fn with_switches(
    graph: &Graph,
    values: &[RoundedValue],
) -> Result<(Model, BTreeMap<usize, String>)> {
    let mut rounding = Rounding::of(graph);
    let mut switches = BTreeMap::new();
    for rounded in values {
        let switch = switches.entry(rounded.class).or_insert_with(|| {
            let name = rounding.patch.fresh("on");
            let declared = declaration(&name, Some(ElementType::Bool), Some(&[]));
            rounding.patch.input(declared);
            name
        });
        let _ = rounding.place(rounded, Some(switch));
    }
    let model = rounding.applied("the model with values that may be rounded")?;
    Ok((model, switches))
}

/// Readers by node, those first that need one scale on both sides.
fn apart(graph: &Graph, readers: &[Reader]) -> Vec<Vec<Reader>> {
    let mut nodes: Vec<Vec<Reader>> = Vec::new();
    for &reader in readers {
        match nodes.iter_mut().find(|of| of[0].0 == reader.0) {
            Some(own) => own.push(reader),
            None => nodes.push(vec![reader]),
        }
    }
    let passes = |node| find(graph, node).is_some_and(|row| row.form == Form::Through);
    nodes.sort_by_key(|of| !passes(of[0].0));
    if nodes.is_empty() {
        nodes.push(Vec::new());
    }
    nodes
}

/// Pairs that are put into a graph.
struct Rounding<'a> {
    graph: &'a Graph,
    patch: Patch,
    /// By class and number of a reader.
    scales: BTreeMap<(usize, usize), String>,
    zeros: BTreeMap<ZeroPoint, String>,
}

impl<'a> Rounding<'a> {
    fn of(graph: &'a Graph) -> Rounding<'a> {
        Rounding {
            graph,
            patch: Patch::of(graph),
            scales: BTreeMap::new(),
            zeros: BTreeMap::new(),
        }
    }

    /// Rounds a value, if the graph has it; where there is a switch only while that is on.
    fn place(&mut self, rounded: &RoundedValue, switch: Option<&String>) -> Vec<CodePlace> {
        let graph = self.graph;
        let Some(value) = graph.find(&rounded.name) else {
            return Vec::new();
        };
        let known = graph.value(value);
        let (source, mut target) = ends(graph, value, &mut self.patch);
        let mut readers = vec![known.consumers.clone()];
        if rounded.apart && switch.is_none() {
            readers = apart(graph, &known.consumers);
        }
        let mut places = Vec::new();
        for (number, readers) in readers.iter().enumerate() {
            let named = target.take();
            let connects = named.is_none();
            let target = named.unwrap_or_else(|| self.patch.fresh("d"));
            if connects {
                for &(reader, slot) in readers {
                    self.patch.connect(reader, slot, &target);
                }
            }
            places.push(self.pair(rounded, number, (&source, &target), switch));
        }
        places
    }

    /// The pair that makes a rounded target of a source, for the readers of this number.
    fn pair(
        &mut self,
        rounded: &RoundedValue,
        number: usize,
        (source, target): (&str, &str),
        switch: Option<&String>,
    ) -> CodePlace {
        let patch = &mut self.patch;
        // Equal pairs would become one when the model is loaded: their scales differ in the last digit.
        let scale = (0..number).fold(rounded.scale, |scale, _| scale.next_up());
        let stored = self.scales.entry((rounded.class, number));
        let name = stored.or_insert_with(|| {
            let bytes = scale.to_le_bytes().to_vec();
            patch.constant("qs", ElementType::Float, &[], bytes)
        });
        let zero = self.zeros.entry(rounded.zero).or_insert_with(|| {
            let bytes = vec![rounded.zero.byte()];
            patch.constant("qz", rounded.zero.element(), &[], bytes)
        });
        let factors = rounded.factors.as_ref();
        let factors = factors.map(|factors| factors.constants(patch));
        let real = match &factors {
            Some([up, _]) => patch.node("ru", "Mul", &[source, up], Vec::new()),
            None => source.to_owned(),
        };
        let code = patch.fresh("q");
        let inputs = [real.as_str(), name, zero];
        patch.node_called("qn", &code, "QuantizeLinear", &inputs, Vec::new());
        let last = factors.is_none() && switch.is_none();
        let mut made = match last {
            true => target.to_owned(),
            false => patch.fresh("rd"),
        };
        let inputs = [code.as_str(), name, zero];
        patch.node_called("dn", &made, "DequantizeLinear", &inputs, Vec::new());
        if let Some([_, down]) = &factors {
            let scaled = match switch {
                None => target.to_owned(),
                Some(_) => patch.fresh("rd"),
            };
            patch.node_called("dn", &scaled, "Mul", &[&made, down], Vec::new());
            made = scaled;
        }
        if let Some(switch) = switch {
            let inputs = [switch.as_str(), &made, source];
            patch.node_called("dn", target, "Where", &inputs, Vec::new());
        }
        CodePlace {
            value: rounded.name.clone(),
            real: source.to_owned(),
            code,
            scale,
            zero: rounded.zero,
        }
    }

    fn applied(self, step: &str) -> Result<Model> {
        applied(self.graph, self.patch, &HashMap::new(), step)
    }
}

/// What is rounded of a value, and the name of what its readers read then, where they read it as they are. New nodes stand
/// between them.
fn ends(graph: &Graph, value: ValueId, patch: &mut Patch) -> (String, Option<String>) {
    let known = graph.value(value);
    if let Producer::Node(node, slot) = known.producer
        && !known.is_output
    {
        let real = patch.fresh("r");
        patch.rename_output(node, slot, &real);
        patch.behind(node);
        return (real, Some(known.name.clone()));
    }
    match known.producer {
        Producer::Node(node, _) => patch.behind(node),
        _ => {
            patch.at_start();
        }
    }
    (known.name.clone(), None)
}

impl Factors {
    /// What a value is multiplied with, and what undoes that.
    fn constants(&self, patch: &mut Patch) -> [String; 2] {
        let mut sizes = vec![1; self.inner + 1];
        sizes[0] = self.by_channel.len();
        let mut constant = |of: &dyn Fn(f32) -> f32| {
            let numbers = self.by_channel.iter().map(|&factor| of(factor));
            let bytes = numbers.flat_map(f32::to_le_bytes).collect();
            patch.constant("rf", ElementType::Float, &sizes, bytes)
        };
        [constant(&|factor| factor), constant(&|factor| 1.0 / factor)]
    }
}
