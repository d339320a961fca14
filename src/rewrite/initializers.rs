//! Constants as initializers, where they stand in nodes.

use std::collections::HashSet;

use super::lift::retain_places;
use crate::error::Result;
use crate::graph::{Graph, Producer};
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, Model};

/// The model of `graph` with every constant of real numbers as an initializer.
///
/// # Errors
/// The result is no valid graph.
pub(crate) fn with_initializers(graph: &Graph) -> Result<Model> {
    let source = graph.model();
    let mut proto = source.proto.clone();
    let target = proto.graph.get_or_insert_default();
    let mut gone = HashSet::new();
    for value in graph.value_ids() {
        let (Producer::Node(node, _), Some(tensor)) =
            (graph.value(value).producer, graph.constant(value))
        else {
            continue;
        };
        let real = ElementType::of(tensor.data_type()).is_some_and(ElementType::is_float);
        // An output of the graph has to be made by a node.
        if !real || graph.value(value).is_output {
            continue;
        }
        gone.insert(node.index());
        target.initializer.push(TensorProto {
            name: Some(graph.value(value).name.clone()),
            ..tensor.clone()
        });
    }
    retain_places(&mut target.node, |place| !gone.contains(&place));
    let model = source.with(proto, source.lazy.clone());
    Ok(Graph::verified(model, "the model with constants as initializers")?.into_model())
}
