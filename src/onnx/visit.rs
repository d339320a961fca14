//! Every tensor of a model, wherever it stands: initializers, attributes, subgraphs, functions.

use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use crate::error::Result;

type Visitor<'a> = &'a mut dyn FnMut(&mut TensorProto) -> Result<()>;

/// Calls `visit` on every tensor of `model`, stops at the first error.
pub(crate) fn tensors_mut(model: &mut ModelProto, visit: Visitor) -> Result<()> {
    if let Some(graph) = &mut model.graph {
        graph_tensors(graph, visit)?;
    }
    for function in &mut model.functions {
        node_tensors(&mut function.node, visit)?;
        attribute_tensors(&mut function.attribute_proto, visit)?;
    }
    for training in &mut model.training_info {
        let graphs = [&mut training.initialization, &mut training.algorithm];
        for graph in graphs.into_iter().flatten() {
            graph_tensors(graph, visit)?;
        }
    }
    Ok(())
}

fn graph_tensors(graph: &mut GraphProto, visit: Visitor) -> Result<()> {
    for tensor in &mut graph.initializer {
        visit(tensor)?;
    }
    for sparse in &mut graph.sparse_initializer {
        for tensor in sparse.values.iter_mut().chain(&mut sparse.indices) {
            visit(tensor)?;
        }
    }
    node_tensors(&mut graph.node, visit)
}

fn node_tensors(nodes: &mut [NodeProto], visit: Visitor) -> Result<()> {
    for node in nodes {
        attribute_tensors(&mut node.attribute, visit)?;
    }
    Ok(())
}

fn attribute_tensors(attributes: &mut [AttributeProto], visit: Visitor) -> Result<()> {
    for attribute in attributes {
        for tensor in attribute.t.iter_mut().chain(&mut attribute.tensors) {
            visit(tensor)?;
        }
        let sparse = attribute.sparse_tensor.iter_mut();
        for sparse in sparse.chain(&mut attribute.sparse_tensors) {
            for tensor in sparse.values.iter_mut().chain(&mut sparse.indices) {
                visit(tensor)?;
            }
        }
        for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            graph_tensors(graph, visit)?;
        }
    }
    Ok(())
}
