//! Pairs of QuantizeLinear and DequantizeLinear behind values: what is read is rounded to codes of 8 bits.
//!
//! What is added has short names, since small models are mostly names; a rounded value keeps its name behind the pair.

use std::collections::{BTreeMap, HashMap};

use super::codes::applied;
use crate::error::Result;
use crate::graph::{Graph, Patch, Producer, ValueId, declaration};
use crate::onnx::{ElementType, Model};

/// A value that is rounded to codes of 8 bits without sign: `(code - zero) * scale`.
#[derive(Clone, Debug)]
pub(crate) struct RoundedValue {
    pub(crate) name: String,
    /// Values of one class share a scale.
    pub(crate) class: usize,
    pub(crate) scale: f32,
    pub(crate) zero: u8,
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
    pub(crate) zero: u8,
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

/// Pairs that are put into a graph.
struct Rounding<'a> {
    graph: &'a Graph,
    patch: Patch,
    scales: BTreeMap<usize, String>,
    zeros: BTreeMap<u8, String>,
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
    fn place(&mut self, rounded: &RoundedValue, switch: Option<&String>) -> Option<CodePlace> {
        let (graph, patch) = (self.graph, &mut self.patch);
        let value = graph.find(&rounded.name)?;
        let scale = self.scales.entry(rounded.class).or_insert_with(|| {
            let bytes = rounded.scale.to_le_bytes().to_vec();
            patch.constant("qs", ElementType::Float, &[], bytes)
        });
        let zero = self
            .zeros
            .entry(rounded.zero)
            .or_insert_with(|| patch.constant("qz", ElementType::Uint8, &[], vec![rounded.zero]));
        let (source, target) = ends(graph, value, patch);
        let factors = rounded.factors.as_ref();
        let factors = factors.map(|factors| factors.constants(patch));
        let real = match &factors {
            Some([up, _]) => patch.node("ru", "Mul", &[&source, up], Vec::new()),
            None => source.clone(),
        };
        let code = patch.fresh("q");
        let inputs = [real.as_str(), scale, zero];
        patch.node_called("qn", &code, "QuantizeLinear", &inputs, Vec::new());
        let last = factors.is_none() && switch.is_none();
        let mut number = match last {
            true => target.clone(),
            false => patch.fresh("rd"),
        };
        let inputs = [code.as_str(), scale, zero];
        patch.node_called("dn", &number, "DequantizeLinear", &inputs, Vec::new());
        if let Some([_, down]) = &factors {
            let scaled = match switch {
                None => target.clone(),
                Some(_) => patch.fresh("rd"),
            };
            patch.node_called("dn", &scaled, "Mul", &[&number, down], Vec::new());
            number = scaled;
        }
        if let Some(switch) = switch {
            let inputs = [switch.as_str(), &number, &source];
            patch.node_called("dn", &target, "Where", &inputs, Vec::new());
        }
        Some(CodePlace {
            value: rounded.name.clone(),
            real: source,
            code,
            scale: rounded.scale,
            zero: rounded.zero,
        })
    }

    fn applied(self, step: &str) -> Result<Model> {
        applied(self.graph, self.patch, &HashMap::new(), step)
    }
}

/// What is rounded of a value, and the name of what its readers read then. New nodes stand between them.
fn ends(graph: &Graph, value: ValueId, patch: &mut Patch) -> (String, String) {
    let known = graph.value(value);
    if let Producer::Node(node, slot) = known.producer
        && !known.is_output
    {
        let real = patch.fresh("r");
        patch.rename_output(node, slot, &real);
        patch.behind(node);
        return (real, known.name.clone());
    }
    match known.producer {
        Producer::Node(node, _) => patch.behind(node),
        _ => patch.at_start(),
    }
    let target = patch.fresh("d");
    for &(reader, slot) in &known.consumers {
        patch.connect(reader, slot, &target);
    }
    (known.name.clone(), target)
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
