//! Weights that are codes of 8 bits, and sums of their products that overflow.
//!
//! Kernels for x86 without VNNI multiply codes without sign (data) with codes with sign (the weight, as the second factor), two
//! neighbours of what is summed over at once, and add both products in 16 bits. Neighbours are channels at one place of a
//! window, then the next place: where channels are odd, the last of one place meets the first of the next. All else is added
//! in 32 bits: a weight that is the first factor or without sign, data with sign that no DequantizeLinear makes numbers of
//! (onnxruntime takes the sign away from data between such nodes), and a convolution with one filter per channel.

use std::collections::HashSet;

use super::find::matrix;
use super::view::view_of_codes;
use super::{Layer, are_along};
use crate::dimensions::Analysis;
use crate::graph::{Graph, Producer, ValueId};
use crate::onnx::ElementType;
use crate::ops::{Form, Linear, Operand, find};

/// What two neighbours may add up to: 255 times more is beyond 16 bits.
const MOST: i32 = 128;

impl Layer {
    /// Rows with two neighbours whose products overflow 16 bits on some data; `codes` are rows of columns, batch by batch.
    pub(crate) fn saturable(&self, codes: &[i32]) -> usize {
        if self.rows() == 1 && self.reduction() == 1 {
            return 0;
        }
        let columns: Vec<usize> = self.lanes().concat();
        let overflows = |row: &&[i32]| {
            let mut pairs = columns.chunks(2);
            pairs.any(|pair| pair.iter().map(|&at| row[at]).sum::<i32>().abs() > MOST)
        };
        let rows = codes.chunks_exact(self.columns().max(1));
        rows.filter(overflows).count()
    }

    /// The constants of codes with sign that kernels multiply with codes without sign.
    pub(crate) fn coded(analysis: &Analysis) -> Vec<Layer> {
        let mut layers: Vec<Layer> = Vec::new();
        for linear in analysis.state.linears() {
            if analysis.graph().body_of(linear.node).is_some() {
                continue;
            }
            let layer = coded(analysis, linear);
            let known = |layer: &Layer| layers.iter().any(|known| known.value == layer.value);
            layers.extend(layer.filter(|layer| !known(layer)));
        }
        layers
    }
}

/// The axes of constants of codes, however wide, that linear maps sum over.
pub(crate) fn summed_codes(analysis: &Analysis) -> HashSet<(ValueId, usize)> {
    let graph = analysis.graph();
    let mut summed = HashSet::new();
    for linear in analysis.state.linears() {
        let operand = graph.node(linear.node).input(linear.slot);
        let view = operand.and_then(|operand| view_of_codes(graph, &analysis.state, operand));
        let Some(view) = view else { continue };
        let Some(tensor) = graph.constant(view.of) else {
            continue;
        };
        let dims: Vec<usize> = tensor.dims.iter().map(|&dim| dim as usize).collect();
        let is_code = graph.element(view.of).is_some_and(|of| !of.is_float());
        let (_, _, columns, _) = matrix(&view, linear);
        let axes = (0..dims.len()).filter(|&axis| is_code && are_along(&columns, &dims, axis));
        summed.extend(axes.map(|axis| (view.of, axis)));
    }
    summed
}

/// The weight of a linear map as a layer, if it is such a constant.
fn coded(analysis: &Analysis, linear: &Linear) -> Option<Layer> {
    let (graph, state) = (analysis.graph(), &analysis.state);
    let node = graph.node(linear.node);
    let operand = node.input(linear.slot)?;
    let view = view_of_codes(graph, state, operand)?;
    let code = Some(ElementType::Int8);
    if graph.element(view.of) != code {
        return None;
    }
    let row = find(graph, linear.node)?;
    let data = match linear.data {
        Some(Operand::Input(slot)) if slot < linear.slot => node.input(slot)?,
        _ => return None,
    };
    let is_code = |value: ValueId| state.elements[value.index()] == code;
    let on_codes = is_code(operand) && !is_code(data);
    let between = matches!(row.form, Form::Chained | Form::Summed)
        && is_decoded(graph, operand)
        && is_decoded(graph, data);
    if !on_codes && !between {
        return None;
    }
    let dims = &graph.constant(view.of)?.dims;
    let (batches, rows, columns, reduction) = matrix(&view, linear);
    let layer = Layer {
        name: graph.value(view.of).name.clone(),
        operator: graph.node_proto(linear.node).op_type().to_owned(),
        sparse_kernels: row.sparse_kernels,
        dims: dims.iter().map(|&dim| dim as usize).collect(),
        value: view.of,
        uses: vec![linear.clone()],
        batches,
        rows,
        columns,
        reduction,
    };
    let whole = layer.batches() * layer.rows() * layer.columns() == layer.len();
    (whole && !layer.is_empty()).then_some(layer)
}

/// True if a node makes real numbers of codes, which later ones only rearrange.
fn is_decoded(graph: &Graph, value: ValueId) -> bool {
    let mut value = value;
    while let Producer::Node(node, _) = graph.value(value).producer {
        let form = find(graph, node).map_or(Form::Real, |row| row.form);
        match (form, graph.node(node).input(0)) {
            (Form::Decoded, _) => return true,
            (Form::Through, Some(input)) => value = input,
            _ => return false,
        }
    }
    false
}
