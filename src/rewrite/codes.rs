//! Weights of products of codes, and what makes numbers of them again.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::graph::{Graph, Patch, ValueId, int};
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, Model, from_raw, to_f32};

/// A weight that is stored as codes with a scale per position of an axis, and the bias that is added to its product.
#[derive(Clone, Debug)]
pub(crate) struct CodedWeight {
    pub(crate) name: String,
    pub(crate) axis: usize,
    pub(crate) steps: Vec<f32>,
    /// By name, with the scale of each row.
    pub(crate) bias: Option<(String, Vec<f32>)>,
}

pub(super) fn constant<'a>(graph: &'a Graph, name: &str) -> Result<(ValueId, &'a TensorProto)> {
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
        let mut inputs = vec![name, scale.as_str()];
        let zero;
        // Onnxruntime fuses no Gemm with a weight whose zero point is left out.
        if self.element == ElementType::Int8 {
            let count = self.steps.len();
            zero = patch.constant("wz", self.element, &[count], vec![0; count]);
            inputs.push(&zero);
        }
        patch.node_called("wn", &number, "DequantizeLinear", &inputs, axis);
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
pub(super) fn applied(
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
