//! Changes to the messages of a model: wiring, names, operators, attributes, sizes, element types, constants, versions.

use prost::bytes::Bytes;

use crate::choices::Choices;
use crate::proto::tensor_shape_proto::{Dimension, dimension};
use crate::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, type_proto,
};

/// One to five changes; `corpus` lends nodes.
pub fn mutate(model: &mut ModelProto, corpus: &[ModelProto], choices: &mut Choices) {
    for _ in 0..=choices.below(5) {
        match choices.byte() % 12 {
            0 => version(model, choices),
            1 => in_function(model, choices),
            _ => {
                let lender = choices.of(corpus).and_then(|model| model.graph.as_ref());
                if let Some(graph) = &mut model.graph {
                    in_graph(graph, lender, choices);
                }
            }
        }
    }
}

fn version(model: &mut ModelProto, choices: &mut Choices) {
    match choices.byte() % 4 {
        0 => model.ir_version = Some(choices.integer()),
        1 => model.opset_import.clear(),
        _ => {
            if let Some(opset) = choices.of_mut(&mut model.opset_import) {
                opset.version = Some(choices.integer());
            }
        }
    }
}

fn in_function(model: &mut ModelProto, choices: &mut Choices) {
    let Some(function) = choices.of_mut(&mut model.functions) else {
        return;
    };
    let called = (function.name.clone(), function.domain.clone());
    let Some(node) = choices.of_mut(&mut function.node) else {
        return;
    };
    match choices.byte() % 3 {
        // It calls itself.
        0 => (node.op_type, node.domain) = called,
        1 => rewire(&mut node.input, &function.output, choices),
        _ => in_node(node, choices),
    }
}

fn in_graph(graph: &mut GraphProto, lender: Option<&GraphProto>, choices: &mut Choices) {
    match choices.byte() % 14 {
        0..4 => wire(graph, choices),
        4 | 5 => with_node(graph, choices),
        6 | 7 => borrow(graph, lender, choices),
        8..11 => with_tensor(graph, choices),
        11 | 12 => with_value(graph, choices),
        _ => nested(graph, choices),
    }
}

fn names(graph: &GraphProto) -> Vec<String> {
    let outputs = graph
        .node
        .iter()
        .flat_map(|node| node.output.iter().cloned());
    let tensors = graph
        .initializer
        .iter()
        .filter_map(|tensor| tensor.name.clone());
    let inputs = graph.input.iter().filter_map(|input| input.name.clone());
    outputs.chain(tensors).chain(inputs).collect()
}

fn rewire(list: &mut Vec<String>, names: &[String], choices: &mut Choices) {
    let name = match choices.byte() % 8 {
        0 => String::new(),
        1 => "\u{1b}]nowhere".to_owned(),
        _ => choices.of(names).cloned().unwrap_or_default(),
    };
    match choices.byte() % 6 {
        0 => list.push(name),
        1 => drop(list.pop()),
        _ => {
            if let Some(place) = choices.of_mut(list) {
                *place = name;
            }
        }
    }
}

fn wire(graph: &mut GraphProto, choices: &mut Choices) {
    let names = names(graph);
    let Some(node) = choices.of_mut(&mut graph.node) else {
        return;
    };
    match choices.byte() % 4 {
        0 => rewire(&mut node.output, &names, choices),
        _ => rewire(&mut node.input, &names, choices),
    }
}

fn with_node(graph: &mut GraphProto, choices: &mut Choices) {
    let place = choices.below(graph.node.len());
    let other = choices.below(graph.node.len());
    if graph.node.is_empty() {
        return;
    }
    match choices.byte() % 5 {
        0 => drop(graph.node.remove(place)),
        1 => graph.node.swap(place, other),
        2 => graph.node.insert(other, graph.node[place].clone()),
        _ => in_node(&mut graph.node[place], choices),
    }
}

/// A node keeps its wires and becomes another operator, or brings another's attributes.
fn borrow(graph: &mut GraphProto, lender: Option<&GraphProto>, choices: &mut Choices) {
    let lent = lender.and_then(|lender| choices.of(&lender.node));
    let (Some(lent), Some(node)) = (lent, choices.of_mut(&mut graph.node)) else {
        return;
    };
    if !choices.byte().is_multiple_of(4) {
        node.op_type.clone_from(&lent.op_type);
        node.domain.clone_from(&lent.domain);
    }
    if choices.byte().is_multiple_of(2) {
        node.attribute.clone_from(&lent.attribute);
    }
}

fn in_node(node: &mut NodeProto, choices: &mut Choices) {
    match choices.byte() % 8 {
        0 => node.op_type = None,
        1 => node.domain = Some("com.microsoft".to_owned()),
        2 => drop(node.attribute.pop()),
        3 => {
            let twice = choices.of(&node.attribute).cloned();
            node.attribute.extend(twice);
        }
        _ => {
            if let Some(attribute) = choices.of_mut(&mut node.attribute) {
                in_attribute(attribute, choices);
            }
        }
    }
}

fn in_attribute(attribute: &mut AttributeProto, choices: &mut Choices) {
    match choices.byte() % 9 {
        0 => attribute.r#type = Some((choices.integer() % 17) as i32),
        1 => attribute.ints.push(choices.integer()),
        2 => drop(attribute.ints.pop()),
        3 => attribute.i = Some(choices.integer()),
        4 => attribute.f = Some([f32::NAN, f32::INFINITY, -1.0, 0.0][choices.below(4)]),
        5 => attribute.s = Some(Bytes::from(vec![choices.byte(); choices.below(12)])),
        6 => {
            if let Some(tensor) = &mut attribute.t {
                in_tensor(tensor, choices);
            }
        }
        _ => {
            let integer = choices.integer();
            match choices.of_mut(&mut attribute.ints) {
                Some(old) => *old = integer,
                None => attribute.i = Some(integer),
            }
        }
    }
}

fn with_tensor(graph: &mut GraphProto, choices: &mut Choices) {
    let names = names(graph);
    let Some(tensor) = choices.of_mut(&mut graph.initializer) else {
        return;
    };
    match choices.byte() % 6 {
        0 => tensor.name = choices.of(&names).cloned(),
        _ => in_tensor(tensor, choices),
    }
}

pub fn in_tensor(tensor: &mut TensorProto, choices: &mut Choices) {
    match choices.byte() % 9 {
        0 => tensor.dims.push(choices.integer()),
        1 => drop(tensor.dims.pop()),
        2 => {
            let integer = choices.integer();
            if let Some(size) = choices.of_mut(&mut tensor.dims) {
                *size = integer;
            }
        }
        3 => tensor.dims.reverse(),
        4 => tensor.data_type = Some((choices.integer() % 30) as i32),
        5 => tensor.int64_data = vec![choices.integer(); choices.below(5)],
        _ => constants(tensor, choices),
    }
}

/// Other numbers, as many as before: shapes, axes, indices and bounds of slices.
fn constants(tensor: &mut TensorProto, choices: &mut Choices) {
    let integer = choices.integer();
    if let Some(old) = choices.of_mut(&mut tensor.int64_data) {
        *old = integer;
    }
    let Some(raw) = &tensor.raw_data else {
        return;
    };
    let mut bytes = raw.to_vec();
    let place = choices.below(bytes.len() / 8) * 8;
    match bytes.get_mut(place..place + 8) {
        Some(number) => number.copy_from_slice(&integer.to_le_bytes()),
        None => choices.damage(&mut bytes),
    }
    tensor.raw_data = Some(bytes.into());
}

fn with_value(graph: &mut GraphProto, choices: &mut Choices) {
    let names = names(graph);
    let list = match choices.byte() % 4 {
        0 => &mut graph.output,
        1 => &mut graph.value_info,
        _ => &mut graph.input,
    };
    let Some(value) = choices.of_mut(list) else {
        return;
    };
    match choices.byte() % 6 {
        0 => value.name = choices.of(&names).cloned(),
        1 => value.r#type = None,
        _ => in_value(value, choices),
    }
}

fn in_value(value: &mut ValueInfoProto, choices: &mut Choices) {
    let kind = value.r#type.as_mut().and_then(|kind| kind.value.as_mut());
    let Some(type_proto::Value::TensorType(tensor)) = kind else {
        return;
    };
    if choices.byte().is_multiple_of(8) {
        tensor.elem_type = Some((choices.integer() % 30) as i32);
    }
    let Some(shape) = &mut tensor.shape else {
        return;
    };
    let value = match choices.byte() % 4 {
        0 => Some(dimension::Value::DimParam("N".to_owned())),
        1 => None,
        _ => Some(dimension::Value::DimValue(choices.integer())),
    };
    let size = Dimension {
        value,
        ..Dimension::default()
    };
    match choices.byte() % 6 {
        0 => shape.dim.push(size),
        1 => drop(shape.dim.pop()),
        _ => {
            if let Some(old) = choices.of_mut(&mut shape.dim) {
                *old = size;
            }
        }
    }
}

/// A copy of the graph within the graph, or a change in a graph that is there.
fn nested(graph: &mut GraphProto, choices: &mut Choices) {
    let copy = graph.clone();
    let nodes = graph.node.iter_mut();
    let attributes = nodes.flat_map(|node| &mut node.attribute);
    let mut graphs: Vec<&mut GraphProto> = attributes.filter_map(|of| of.g.as_mut()).collect();
    if let Some(inner) = choices.of_mut(&mut graphs) {
        return match choices.byte() % 3 {
            0 => **inner = copy,
            _ => in_graph(inner, Some(&copy), choices),
        };
    }
    if let Some(node) = choices.of_mut(&mut graph.node) {
        node.attribute.push(AttributeProto {
            name: Some("body".to_owned()),
            r#type: Some(5),
            g: Some(copy),
            ..AttributeProto::default()
        });
    }
}
