//! Operands as views of initializers: the same elements under other axes.

use super::Stride;
use crate::dimensions::Analysis;
use crate::graph::{Attributes, Graph, NodeId, Producer, ValueId};
use crate::onnx::proto::TensorProto;
use crate::ops::{Form, State, Viewing, find};

/// The constant whose elements `value` shows in the same places.
pub(crate) fn constant_of(analysis: &Analysis, value: ValueId) -> Option<&TensorProto> {
    let graph = analysis.graph();
    let element = |value: ValueId| analysis.state.elements[value.index()];
    let mut value = value;
    loop {
        if let Some(tensor) = graph.constant(value) {
            return Some(tensor);
        }
        let Producer::Node(node, _) = graph.value(value).producer else {
            return None;
        };
        let same = find(graph, node).and_then(|row| row.viewing) == Some(Viewing::Same);
        let input = graph.node(node).input(0)?;
        if !same || element(input) != element(value) {
            return None;
        }
        value = input;
    }
}

/// An initializer seen through the nodes between it and an operand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) of: ValueId,
    /// By axis of the operand.
    pub(super) axes: Vec<Stride>,
}

/// The initializer that `value` shows, if nodes between them only rearrange it. The error is the value
/// where the way back ends.
pub(super) fn view(graph: &Graph, state: &State, value: ValueId) -> Result<View, ValueId> {
    view_of(graph, state, value, false)
}

/// As [`view`], also through nodes that make real numbers of codes.
pub(super) fn view_of_codes(graph: &Graph, state: &State, value: ValueId) -> Option<View> {
    view_of(graph, state, value, true).ok()
}

fn view_of(graph: &Graph, state: &State, value: ValueId, decoding: bool) -> Result<View, ValueId> {
    if let Some(tensor) = graph.constant(value) {
        let sizes: Vec<usize> = tensor.dims.iter().map(|&dim| dim as usize).collect();
        let axes = contiguous(&sizes);
        return Ok(View { of: value, axes });
    }
    let Producer::Node(node, 0) = graph.value(value).producer else {
        return Err(value);
    };
    let row = find(graph, node);
    let decoded = row.filter(|row| decoding && row.form == Form::Decoded);
    let viewing = match decoded {
        Some(_) => Some(Viewing::Same),
        None => row.and_then(|row| row.viewing),
    };
    let input = graph.node(node).input(0);
    let (Some(viewing), Some(input)) = (viewing, input) else {
        return Err(value);
    };
    let View { of, axes } = view_of(graph, state, input, decoding)?;
    let axes = match viewing {
        Viewing::Same => Some(axes),
        Viewing::Permuted => permuted(graph, node, &axes),
        Viewing::Reshaped => {
            let sizes = state.axes(value).unwrap_or_default().iter();
            let sizes: Option<Vec<usize>> = sizes.map(|ty| state.types.extent(ty).size()).collect();
            sizes.and_then(|sizes| reshaped(&axes, &sizes))
        }
    };
    axes.map(|axes| View { of, axes }).ok_or(value)
}

fn contiguous(sizes: &[usize]) -> Vec<Stride> {
    let mut step = 1;
    let mut axes: Vec<Stride> = sizes
        .iter()
        .rev()
        .map(|&size| {
            let axis = Stride { size, step };
            step *= size;
            axis
        })
        .collect();
    axes.reverse();
    axes
}

fn permuted(graph: &Graph, node: NodeId, axes: &[Stride]) -> Option<Vec<Stride>> {
    match graph.node_proto(node).ints("perm") {
        None => Some(axes.iter().rev().copied().collect()),
        Some(order) => {
            let at = |&axis: &i64| axes.get(usize::try_from(axis).ok()?).copied();
            order.iter().map(at).collect()
        }
    }
}

/// The same elements in the same order under other sizes, if steps can express that.
fn reshaped(axes: &[Stride], sizes: &[usize]) -> Option<Vec<Stride>> {
    let mut runs: Vec<Stride> = Vec::new();
    for axis in axes.iter().filter(|axis| axis.size != 1) {
        match runs.last_mut() {
            Some(run) if run.step == axis.size * axis.step => {
                *run = Stride {
                    size: run.size * axis.size,
                    step: axis.step,
                };
            }
            _ => runs.push(*axis),
        }
    }
    let mut out = Vec::with_capacity(sizes.len());
    for &size in sizes.iter().rev() {
        if size == 1 {
            out.push(Stride { size, step: 0 });
            continue;
        }
        let run = runs.last_mut()?;
        if size == 0 || run.size % size != 0 {
            return None;
        }
        let step = run.step;
        out.push(Stride { size, step });
        *run = Stride {
            size: run.size / size,
            step: step * size,
        };
        if run.size == 1 {
            runs.pop();
        }
    }
    out.reverse();
    runs.is_empty().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(axes: &[Stride]) -> Vec<usize> {
        axes.iter().map(|axis| axis.step).collect()
    }

    #[test]
    fn reshapes_split_and_join_axes() {
        let axes = contiguous(&[4, 6]);
        assert_eq!(steps(&reshaped(&axes, &[2, 2, 6]).unwrap()), [12, 6, 1]);
        assert_eq!(steps(&reshaped(&axes, &[24]).unwrap()), [1]);
        assert_eq!(steps(&reshaped(&axes, &[4, 1, 6]).unwrap()), [6, 0, 1]);
        // Across a transpose only what stays in steps can be expressed.
        let turned = [axes[1], axes[0]];
        assert_eq!(steps(&reshaped(&turned, &[3, 2, 4]).unwrap()), [2, 1, 6]);
        assert_eq!(reshaped(&turned, &[24]), None);
        assert_eq!(reshaped(&axes, &[5, 5]), None);
    }
}
