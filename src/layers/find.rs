//! Finding the layers of a model, and why other weights are none.

use std::collections::BTreeMap;

use super::view::{View, view};
use super::{Layer, Stride};
use crate::dimensions::Analysis;
use crate::graph::{Graph, NodeId, ValueId};
use crate::onnx::ElementType;
use crate::ops::{Linear, Role, find};

/// The layers of a model.
#[derive(Clone, Debug)]
pub struct Layers {
    /// In the order of the initializers.
    pub layers: Vec<Layer>,
    /// Constants of two or more elements that are no layer's weight.
    pub left: Vec<LeftWeight>,
}

/// A constant that is no layer's weight.
#[derive(Clone, Debug)]
pub struct LeftWeight {
    /// Its name.
    pub name: String,
    /// Number of elements.
    pub len: usize,
    /// Why.
    pub reason: String,
    pub(crate) value: ValueId,
}

impl Layers {
    /// The layers of the analysed model.
    pub fn of(analysis: &Analysis) -> Layers {
        let mut uses: BTreeMap<ValueId, Vec<(View, Linear)>> = BTreeMap::new();
        for linear in analysis.state.linears() {
            if analysis.graph().body_of(linear.node).is_some() {
                continue;
            }
            let operand = analysis.graph().node(linear.node).inputs.get(linear.slot);
            let Some(operand) = operand.copied().flatten() else {
                continue;
            };
            if let Ok(view) = view(analysis.graph(), &analysis.state, operand) {
                uses.entry(view.of)
                    .or_default()
                    .push((view, linear.clone()));
            }
        }
        let mut out = Layers {
            layers: Vec::new(),
            left: Vec::new(),
        };
        for (value, _) in analysis.weights() {
            let Some(tensor) = analysis.graph().constant(value) else {
                continue;
            };
            let len = tensor.dims.iter().map(|&dim| dim as usize).product();
            let index = ElementType::of(tensor.data_type()).is_none_or(|e| e.is_index());
            if len < 2 || index {
                continue;
            }
            match layer(analysis, value, uses.remove(&value).unwrap_or_default()) {
                Ok(layer) => out.layers.push(layer),
                Err(reason) => out.left.push(LeftWeight {
                    name: analysis.graph().value(value).name.clone(),
                    len,
                    reason,
                    value,
                }),
            }
        }
        out
    }

    /// The layers whose data can be measured, as [`Layer::is_measurable`] says.
    pub(crate) fn measurable(analysis: &Analysis) -> Vec<Layer> {
        let unmeasured = unmeasured_nodes(analysis.graph());
        let mut layers = Layers::of(analysis).layers;
        layers.retain(|layer| layer.is_measurable(analysis, &unmeasured));
        layers
    }
}

/// By node whether runs on data show nothing of it: it depends on constants only, or no output depends on it.
pub(crate) fn unmeasured_nodes(graph: &Graph) -> Vec<bool> {
    let fixed = graph.fixed_nodes().into_iter();
    let both = fixed.zip(graph.live_nodes());
    both.map(|(fixed, live)| fixed || !live).collect()
}

fn layer(analysis: &Analysis, value: ValueId, uses: Vec<(View, Linear)>) -> Result<Layer, String> {
    let graph = analysis.graph();
    let element = graph.element(value);
    if let Some(element) = element.filter(|element| !element.is_float()) {
        return Err(format!(
            "has element type {element}: quantised weights are left as they are"
        ));
    }
    if let Some(reason) = other_reader(analysis, value) {
        return Err(reason);
    }
    let matrices: Vec<_> = uses.iter().map(|(view, of)| matrix(view, of)).collect();
    let [first, rest @ ..] = &matrices[..] else {
        return Err("is multiplied with nothing".to_owned());
    };
    if rest.iter().any(|other| other != first) {
        return Err("is read in two ways, with other rows and columns each".to_owned());
    }
    let tensor = graph.constant(value).ok_or("is no constant")?;
    let (batches, rows, columns, reduction) = first.clone();
    let layer = Layer {
        name: graph.value(value).name.clone(),
        operator: graph.node_proto(uses[0].1.node).op_type().to_owned(),
        sparse_kernels: find(graph, uses[0].1.node).is_some_and(|row| row.sparse_kernels),
        dims: tensor.dims.iter().map(|&dim| dim as usize).collect(),
        value,
        uses: uses.into_iter().map(|(_, linear)| linear).collect(),
        batches,
        rows,
        columns,
        reduction,
    };
    if layer.batches() * layer.rows() * layer.columns() != layer.len() {
        return Err("is read in part only".to_owned());
    }
    Ok(layer)
}

/// Batches, rows, columns and the place of the reduction axis.
pub(super) type Matrix = (Vec<Stride>, Vec<Stride>, Vec<Stride>, Option<usize>);

pub(super) fn matrix(view: &View, linear: &Linear) -> Matrix {
    let (mut batches, mut rows, mut columns) = (Vec::new(), Vec::new(), Vec::new());
    let mut reduction = None;
    for (axis, (role, stride)) in linear.roles.iter().zip(&view.axes).enumerate() {
        let mut stride = *stride;
        if axis == 0 && linear.groups > 1 {
            let size = stride.size / linear.groups;
            batches.push(Stride {
                size: linear.groups,
                step: stride.step * size,
            });
            stride.size = size;
        }
        match role {
            Role::Batch(_) => batches.push(stride),
            Role::Row(_) => rows.push(stride),
            Role::Reduction(_) => {
                reduction = Some(columns.len());
                columns.push(stride);
            }
            Role::Kernel => columns.push(stride),
        }
    }
    (batches, rows, columns, reduction)
}

/// Who else reads the weight, if somebody does, directly or behind nodes that only rearrange it.
fn other_reader(analysis: &Analysis, value: ValueId) -> Option<String> {
    let graph = analysis.graph();
    if graph.value(value).is_output {
        return Some("is an output of the graph".to_owned());
    }
    if let Some(body) = graph.value(value).body {
        let owner = graph.describe(graph.owner(body));
        return Some(format!("stands in the body of {owner}"));
    }
    let mut queue = vec![value];
    let mut seen = Vec::new();
    let mut nodes = graph.order().iter();
    if graph.is_captured(value)
        && let Some(&node) = nodes.find(|&&node| graph.node(node).captured.contains(&value))
    {
        return Some(format!("is read by the body of {}", graph.describe(node)));
    }
    while let Some(value) = queue.pop() {
        for &(node, slot) in &graph.value(value).consumers {
            let mut linears = analysis.state.linears_of(node);
            if linears.any(|linear| linear.slot == slot) {
                continue;
            }
            match rearranged(analysis, node, slot) {
                Some(next) if !seen.contains(&next) => {
                    seen.push(next);
                    queue.push(next);
                }
                Some(_) => {}
                None => return Some(reading(analysis, node)),
            }
        }
    }
    None
}

/// What a node that only rearranges its first input makes of it.
fn rearranged(analysis: &Analysis, node: NodeId, slot: usize) -> Option<ValueId> {
    let graph = analysis.graph();
    let views = crate::ops::find(graph, node).and_then(|row| row.viewing);
    let output = graph.node(node).output(0)?;
    let kept = !graph.value(output).is_output;
    (views.is_some() && slot == 0 && kept).then_some(output)
}

fn reading(analysis: &Analysis, node: NodeId) -> String {
    let graph = analysis.graph();
    let operator = graph.node_proto(node).op_type();
    match analysis.state.unruled_of(node) {
        Some(why) => format!("is read by {operator} ({why})"),
        None => format!(
            "{operator} does not sum over it: a bias, a norm's parameter or an embedding (`include`)"
        ),
    }
}

impl Layer {
    /// A weight that no node multiplies in sums, as one matrix of rows along its first axis; none if it is
    /// a single number or if its numbers are codes.
    pub(crate) fn flat(analysis: &Analysis, value: ValueId) -> Option<Layer> {
        let tensor = analysis.graph().constant(value)?;
        let element = ElementType::of(tensor.data_type())?;
        let dims: Vec<usize> = tensor.dims.iter().map(|&dim| dim as usize).collect();
        let (&rows, rest) = dims.split_first()?;
        let columns = rest.iter().product();
        let stride = |size, step| Stride { size, step };
        element.is_float().then(|| Layer {
            name: analysis.graph().value(value).name.clone(),
            operator: "-".to_owned(),
            sparse_kernels: false,
            value,
            uses: Vec::new(),
            batches: Vec::new(),
            rows: vec![stride(rows, columns)],
            columns: vec![stride(columns, 1)],
            reduction: None,
            dims,
        })
    }
}
