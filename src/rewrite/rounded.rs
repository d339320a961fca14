//! Weights that are rounded where they are read, while they move: the steps of their codes follow the largest number of
//! each row.

use std::collections::HashMap;

use super::codes::{applied, constant};
use crate::error::Result;
use crate::graph::{Array, Emitter, Graph, Patch, int};
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, Model, to_f32};

/// Added to steps, so that a row of zeros has one.
const LEAST: f32 = 1e-12;

/// A weight that is rounded at a step per position of an axis.
#[derive(Clone, Debug)]
pub(crate) struct RoundedWeight {
    pub(crate) name: String,
    axis: usize,
    /// The steps, as shares of the largest number that has each.
    shares: Vec<f32>,
}

impl RoundedWeight {
    /// A constant with these steps to begin with, but none that codes up to `limit` would not be enough for.
    ///
    /// # Errors
    /// The graph has no such constant, or it cannot be read.
    pub(crate) fn of(
        graph: &Graph,
        (name, axis): (&str, usize),
        steps: &[f32],
        limit: i32,
    ) -> Result<RoundedWeight> {
        let (_, tensor) = constant(graph, name)?;
        let least = 1.0 / limit as f32;
        let largest = largest(tensor, axis, steps.len())?;
        let shares = largest.iter().zip(steps).map(|(&largest, step)| {
            let share = step / largest;
            match share.is_finite() {
                true => share.max(least),
                false => least,
            }
        });
        Ok(RoundedWeight {
            name: name.to_owned(),
            axis,
            shares: shares.collect(),
        })
    }

    /// The steps that the weight has in a graph.
    ///
    /// # Errors
    /// The graph has no such constant, or it cannot be read.
    pub(crate) fn steps(&self, graph: &Graph) -> Result<Vec<f32>> {
        let (_, tensor) = constant(graph, &self.name)?;
        let largest = largest(tensor, self.axis, self.shares.len())?;
        let pairs = largest.iter().zip(&self.shares);
        Ok(pairs.map(|(most, share)| most * share + LEAST).collect())
    }

    /// Rounds the weight for its readers; the name of the constant that is added for that.
    fn place(&self, graph: &Graph, emit: &mut Emitter) -> Result<String> {
        let (value, tensor) = constant(graph, &self.name)?;
        let count = self.shares.len();
        let numbers = Array {
            name: self.name.clone(),
            sizes: tensor.dims.iter().map(|&size| size as usize).collect(),
            element: ElementType::Float,
        };
        let sizes = emit.map("Abs", &numbers);
        let others: Vec<usize> = (0..numbers.rank())
            .filter(|&axis| axis != self.axis)
            .collect();
        let largest = emit.max(&sizes, &others);
        let largest = emit.reshape(&largest, &[count]);
        let bytes = self.shares.iter().flat_map(|share| share.to_le_bytes());
        let patch = emit.patch();
        let name = patch.constant("wr", ElementType::Float, &[count], bytes.collect());
        let zero = patch.constant("wz", ElementType::Int8, &[count], vec![0; count]);
        let share = Array {
            name,
            ..largest.clone()
        };
        let product = emit.mul(&largest, &share);
        let step = emit.shift(&product, LEAST.into()).name;
        let axis = || vec![int("axis", self.axis as i64)];
        let made = |element| (numbers.sizes.clone(), element);
        let inputs = [self.name.as_str(), &step, &zero];
        let codes = emit.node("QuantizeLinear", &inputs, axis(), made(ElementType::Int8));
        let inputs = [codes.name.as_str(), &step, &zero];
        let number = emit.node("DequantizeLinear", &inputs, axis(), made(numbers.element));
        for &(reader, slot) in &graph.value(value).consumers {
            emit.patch().connect(reader, slot, &number.name);
        }
        Ok(share.name)
    }
}

/// The model of `graph` with these weights rounded where they are read, and the names of constants that say how.
///
/// # Errors
/// A constant that there is not, or a result that is no valid graph.
pub(crate) fn with_rounded_weights(
    graph: &Graph,
    weights: &[RoundedWeight],
) -> Result<(Model, Vec<String>)> {
    let mut emit = Emitter::new(Patch::of(graph), graph.model().opset(), "wr");
    emit.patch().at_start();
    let added = weights.iter().map(|of| of.place(graph, &mut emit));
    let added = added.collect::<Result<Vec<String>>>()?;
    let step = "the model with rounded weights";
    let model = applied(graph, emit.into_patch(), &HashMap::new(), step)?;
    Ok((model, added))
}

/// The largest size of a number at each position of an axis.
fn largest(tensor: &TensorProto, axis: usize, count: usize) -> Result<Vec<f32>> {
    let inner: i64 = tensor.dims.iter().skip(axis + 1).product();
    let inner = (inner as usize).max(1);
    let mut largest = vec![0.0_f32; count];
    for (at, number) in to_f32(tensor)?.into_iter().enumerate() {
        if let Some(most) = largest.get_mut(at / inner % count.max(1)) {
            *most = most.max(number.abs());
        }
    }
    Ok(largest)
}
