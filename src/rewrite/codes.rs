//! Pairs of QuantizeLinear and DequantizeLinear: values that are rounded, and weights that are stored as codes.
//!
//! What is added has short names, since small models are mostly names; a rounded value keeps its name behind the pair.

use std::collections::{BTreeMap, HashMap};

use crate::error::{Error, Result};
use crate::graph::{Graph, Patch, Producer, ValueId, int};
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, Model, from_raw, to_f32};

/// A value that is rounded to codes of 8 bits without sign: `(code - zero) * scale`.
#[derive(Clone, Debug)]
pub(crate) struct RoundedValue {
    pub(crate) name: String,
    /// Values of one class share a scale.
    pub(crate) class: usize,
    pub(crate) scale: f32,
    pub(crate) zero: u8,
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

/// A weight that is stored as codes with a scale per position of an axis, and the bias that is added to its product.
#[derive(Clone, Debug)]
pub(crate) struct CodedWeight {
    pub(crate) name: String,
    pub(crate) axis: usize,
    pub(crate) steps: Vec<f32>,
    /// By name, with the scale of each row.
    pub(crate) bias: Option<(String, Vec<f32>)>,
}

/// The model of `graph` with these values rounded where they are read.
///
/// # Errors
/// The result is no valid graph.
pub(crate) fn with_rounding(graph: &Graph, values: &[RoundedValue]) -> Result<RoundedModel> {
    let mut patch = Patch::of(graph);
    let mut places = Vec::new();
    let mut scales: BTreeMap<usize, String> = BTreeMap::new();
    let mut zeros: BTreeMap<u8, String> = BTreeMap::new();
    for rounded in values {
        let Some(value) = graph.find(&rounded.name) else {
            continue;
        };
        let scale = scales.entry(rounded.class).or_insert_with(|| {
            let bytes = rounded.scale.to_le_bytes().to_vec();
            patch.constant("qs", ElementType::Float, &[], bytes)
        });
        let zero = zeros
            .entry(rounded.zero)
            .or_insert_with(|| patch.constant("qz", ElementType::Uint8, &[], vec![rounded.zero]));
        let known = graph.value(value);
        let (source, target) = match known.producer {
            Producer::Node(node, slot) if !known.is_output => {
                let real = patch.fresh("r");
                patch.rename_output(node, slot, &real);
                patch.behind(node);
                (real, rounded.name.clone())
            }
            producer => {
                match producer {
                    Producer::Node(node, _) => patch.behind(node),
                    _ => patch.at_start(),
                }
                let target = patch.fresh("d");
                for &(reader, slot) in &known.consumers {
                    patch.connect(reader, slot, &target);
                }
                (rounded.name.clone(), target)
            }
        };
        let code = patch.fresh("q");
        let inputs = [source.as_str(), scale, zero];
        patch.node_called("qn", &code, "QuantizeLinear", &inputs, Vec::new());
        let inputs = [code.as_str(), scale, zero];
        patch.node_called("dn", &target, "DequantizeLinear", &inputs, Vec::new());
        places.push(CodePlace {
            value: rounded.name.clone(),
            real: source,
            code,
            scale: rounded.scale,
            zero: rounded.zero,
        });
    }
    let model = applied(
        graph,
        patch,
        &HashMap::new(),
        "the model with rounded values",
    )?;
    Ok(RoundedModel { model, places })
}

/// A constant that is stored as codes: what is loaded is the code times the step of its row.
#[derive(Clone, Debug)]
pub(crate) struct StoredWeight {
    pub(crate) name: String,
    /// Sizes of the axes of the steps, 1 or those of the constant.
    pub(crate) sizes: Vec<usize>,
    pub(crate) steps: Vec<f32>,
}

/// The model of `graph` with these constants stored as codes, from which numbers are made again; onnxruntime does that when
/// it loads a model.
///
/// # Errors
/// A tensor that cannot be read, or a result that is no valid graph.
pub(crate) fn with_stored(graph: &Graph, weights: &[StoredWeight]) -> Result<Model> {
    let mut patch = Patch::of(graph);
    patch.at_start();
    let mut coded = HashMap::new();
    for weight in weights {
        let name = weight.name.as_str();
        let (value, tensor) = constant(graph, name)?;
        let steps = weight.spread(&tensor.dims);
        let pairs = to_f32(tensor)?.into_iter().zip(steps);
        let codes = pairs.map(|(number, step)| {
            (f64::from(number) / f64::from(step)).round_ties_even() as i8 as u8
        });
        let dims: Vec<usize> = tensor.dims.iter().map(|&size| size as usize).collect();
        let bytes: Vec<u8> = codes.collect();
        coded.insert(
            name.to_owned(),
            from_raw(name, ElementType::Int8, &dims, bytes),
        );
        let bytes = weight
            .steps
            .iter()
            .flat_map(|step| step.to_le_bytes())
            .collect();
        let scale = patch.constant("ws", ElementType::Float, &weight.sizes, bytes);
        let (real, number) = (patch.fresh("wc"), patch.fresh("w"));
        let to = vec![int("to", ElementType::Float.number().into())];
        patch.node_called("cn", &real, "Cast", &[name], to);
        patch.node_called("wn", &number, "Mul", &[&real, &scale], Vec::new());
        for &(reader, slot) in &graph.value(value).consumers {
            patch.connect(reader, slot, &number);
        }
    }
    applied(
        graph,
        patch,
        &coded,
        "the model with stored weights as codes",
    )
}

impl StoredWeight {
    /// By element of a constant of these sizes its step.
    fn spread(&self, dims: &[i64]) -> Vec<f32> {
        let dims: Vec<usize> = dims.iter().map(|&size| size as usize).collect();
        let places = places_in(&self.sizes, &dims).into_iter();
        places.map(|place| self.steps[place]).collect()
    }
}

/// By element of an array of `dims` its place in one whose axes are of size 1 or as large.
pub(crate) fn places_in(sizes: &[usize], dims: &[usize]) -> Vec<usize> {
    let axes = dims.iter().zip(sizes);
    axes.fold(vec![0], |outer, (&size, &own)| {
        let inner = |&at: &usize| (0..size).map(move |i| at * own + i.min(own - 1));
        outer.iter().flat_map(inner).collect()
    })
}

fn constant<'a>(graph: &'a Graph, name: &str) -> Result<(ValueId, &'a TensorProto)> {
    let value = graph.find(name);
    let found = value.and_then(|value| Some((value, graph.constant(value)?)));
    found.ok_or_else(|| {
        Error::tensor(
            name,
            "is no constant any more, so that it cannot be stored as codes",
        )
    })
}

/// The model of `graph` with these weights and biases as codes.
///
/// # Errors
/// A tensor that cannot be read, or a result that is no valid graph.
pub(crate) fn with_codes(graph: &Graph, weights: &[CodedWeight]) -> Result<Model> {
    let mut patch = Patch::of(graph);
    patch.at_start();
    let mut coded = HashMap::new();
    for weight in weights {
        let parts = Parts {
            axis: weight.axis,
            steps: &weight.steps,
            element: ElementType::Int8,
        };
        parts.store(graph, &weight.name, &mut patch, &mut coded)?;
        if let Some((name, steps)) = &weight.bias {
            let parts = Parts {
                axis: 0,
                steps,
                element: ElementType::Int32,
            };
            parts.store(graph, name, &mut patch, &mut coded)?;
        }
    }
    applied(graph, patch, &coded, "the model with weights as codes")
}

/// How a tensor is stored.
struct Parts<'a> {
    axis: usize,
    steps: &'a [f32],
    element: ElementType,
}

impl Parts<'_> {
    /// Puts the codes of a constant in its place, and what makes numbers of them before its readers.
    fn store(
        &self,
        graph: &Graph,
        name: &str,
        patch: &mut Patch,
        coded: &mut HashMap<String, TensorProto>,
    ) -> Result<()> {
        let (value, tensor) = constant(graph, name)?;
        let codes = self.codes(tensor)?;
        let bytes: Vec<u8> = match self.element {
            ElementType::Int8 => codes.iter().map(|&code| code as i8 as u8).collect(),
            _ => codes
                .iter()
                .flat_map(|&code| (code as i32).to_le_bytes())
                .collect(),
        };
        let dims: Vec<usize> = tensor.dims.iter().map(|&size| size as usize).collect();
        coded.insert(name.to_owned(), from_raw(name, self.element, &dims, bytes));
        let bytes = self
            .steps
            .iter()
            .flat_map(|step| step.to_le_bytes())
            .collect();
        let scale = patch.constant("ws", ElementType::Float, &[self.steps.len()], bytes);
        let number = patch.fresh("w");
        let axis = vec![int("axis", self.axis as i64)];
        patch.node_called("wn", &number, "DequantizeLinear", &[name, &scale], axis);
        for &(reader, slot) in &graph.value(value).consumers {
            patch.connect(reader, slot, &number);
        }
        Ok(())
    }

    fn codes(&self, tensor: &TensorProto) -> Result<Vec<f64>> {
        let numbers = to_f32(tensor)?;
        let inner: i64 = tensor.dims.iter().skip(self.axis + 1).product();
        let inner = (inner as usize).max(1);
        let count = self.steps.len().max(1);
        let each = numbers.iter().enumerate();
        let codes = each.map(|(at, &number)| {
            let step = self.steps.get(at / inner % count).copied().unwrap_or(1.0);
            (f64::from(number) / f64::from(step)).round_ties_even()
        });
        Ok(codes.collect())
    }
}

/// The change brought about, with other tensors in the place of constants.
fn applied(
    graph: &Graph,
    patch: Patch,
    tensors: &HashMap<String, TensorProto>,
    step: &str,
) -> Result<Model> {
    let source = graph.model();
    let mut proto = source.proto.clone();
    let mut lazy = source.lazy.clone();
    let target = proto.graph.get_or_insert_default();
    for (name, tensor) in tensors {
        let old = graph.find(name);
        if let Some(old) = old.and_then(|value| graph.constant_mut(target, value)) {
            *old = tensor.clone();
        }
        lazy.remove(name);
    }
    patch.apply(target);
    let stale = |name: &str| tensors.contains_key(name);
    target.value_info.retain(|declared| !stale(declared.name()));
    Ok(Graph::verified(source.with(proto, lazy), step)?.into_model())
}
