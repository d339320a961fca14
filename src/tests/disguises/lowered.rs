//! Models in the lowest version of the operator set that can hold them.

use std::collections::{BTreeMap, HashMap};

use crate::data::random_inputs;
use crate::graph::{Attributes, int, ints};
use crate::metrics::{Gap, same_form};
use crate::onnx::proto::attribute_proto::AttributeType;
use crate::onnx::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};
use crate::onnx::{Model, integers, to_f32};
use crate::runtime::Runtime;
use crate::tests::builder::analyse;

/// The lowest version that is tried.
const LOWEST: i64 = 9;
/// Relative error that another form of an operator makes.
const ROUNDING: f64 = 1e-4;

/// The model for the lowest operator set in which onnxruntime gives the same outputs.
pub(super) fn lowest(model: &Model, runtime: &Runtime) -> Model {
    let versions = LOWEST..model.opset();
    let mut lowered = versions.filter_map(|version| lower(model, version));
    let equal = lowered.find(|lowered| computes_the_same(model, lowered, runtime));
    equal.unwrap_or_else(|| model.clone())
}

fn computes_the_same(model: &Model, lowered: &Model, runtime: &Runtime) -> bool {
    let run = |model: &Model| {
        let mut session = runtime.session(model, "the model")?;
        let inputs = random_inputs(&analyse(model), &session.inputs(), 0)?;
        session.run(&inputs)
    };
    let near = run(model).and_then(|expected| {
        let computed = run(lowered)?;
        same_form(&expected, &computed)?;
        let mut pairs = expected.iter().zip(&computed);
        Ok(pairs.all(|((_, a), (_, b))| {
            let gap = Gap::between(a, b);
            gap.relative(gap.error) < ROUNDING
        }))
    });
    near.unwrap_or(false)
}

/// The model with every node as this version has it; none where an operator is younger.
fn lower(model: &Model, version: i64) -> Option<Model> {
    let mut proto = model.proto.clone();
    for import in &mut proto.opset_import {
        if import.domain().is_empty() {
            import.version = Some(version);
        }
    }
    let graph = proto.graph.as_mut()?;
    let constants = constants(graph);
    let mut read: HashMap<String, usize> = HashMap::new();
    for node in &mut graph.node {
        lower_node(node, version, &constants)?;
        for name in &node.input {
            *read.entry(name.clone()).or_insert(0) += 1;
        }
    }
    // What has become an attribute is read no more.
    let moved = |name: &str| constants.contains_key(name) && !read.contains_key(name);
    graph.initializer.retain(|tensor| !moved(tensor.name()));
    let unread = |node: &NodeProto| node.op_type() == "Constant" && moved(&node.output[0]);
    graph.node.retain(|node| !unread(node));
    Some(model.with(proto, BTreeMap::new()))
}

fn constants(graph: &GraphProto) -> HashMap<String, TensorProto> {
    let initializers = graph.initializer.iter();
    let initializers = initializers.map(|tensor| (tensor.name().to_owned(), tensor.clone()));
    let nodes = graph.node.iter().filter_map(|node| {
        let tensor = node.attribute("value")?.t.clone()?;
        (node.op_type() == "Constant").then(|| (node.output[0].clone(), tensor))
    });
    initializers.chain(nodes).collect()
}

fn lower_node(
    node: &mut NodeProto,
    version: i64,
    constants: &HashMap<String, TensorProto>,
) -> Option<()> {
    let operator = node.op_type().to_owned();
    let numbers = |node: &NodeProto, slot: usize| {
        let tensor = constants.get(node.input.get(slot)?)?;
        integers(tensor).ok()?
    };
    match operator.as_str() {
        "LayerNormalization" if version < 17 => return None,
        "HardSwish" if version < 14 => return None,
        "Einsum" if version < 12 => return None,
        "Softmax" | "LogSoftmax" if version < 13 => {
            (node.int("axis").unwrap_or(-1) == -1 && version >= 11).then_some(())?;
            node.set_int("axis", -1);
        }
        "Squeeze" | "Unsqueeze" | "ReduceSum" if version < 13 && node.input.len() > 1 => {
            let axes = numbers(node, 1)?;
            node.input.truncate(1);
            node.attribute.push(ints("axes", &axes));
        }
        "ReduceMean" | "ReduceMax" if version < 18 && node.input.len() > 1 => {
            let axes = numbers(node, 1)?;
            node.input.truncate(1);
            node.attribute.push(ints("axes", &axes));
        }
        "Split" if version < 18 => {
            node.attribute.retain(|a| a.name() != "num_outputs");
            if version < 13 && node.input.len() > 1 {
                let sizes = numbers(node, 1)?;
                node.input.truncate(1);
                node.attribute.push(ints("split", &sizes));
            }
        }
        "Slice" if version < 10 => {
            let steps = numbers(node, 4).unwrap_or_default();
            steps.iter().all(|&step| step == 1).then_some(())?;
            let [starts, ends] = [numbers(node, 1)?, numbers(node, 2)?];
            let axes = numbers(node, 3).unwrap_or_else(|| (0..starts.len() as i64).collect());
            node.input.truncate(1);
            node.attribute = vec![
                ints("starts", &starts),
                ints("ends", &ends),
                ints("axes", &axes),
            ];
        }
        "Clip" if version < 11 => {
            for (slot, name) in [(2, "max"), (1, "min")] {
                let Some(input) = node.input.get(slot).filter(|input| !input.is_empty()) else {
                    continue;
                };
                let bound = to_f32(constants.get(input)?).ok()?.first().copied()?;
                node.attribute.push(AttributeProto {
                    name: Some(name.to_owned()),
                    r#type: Some(AttributeType::Float as i32),
                    f: Some(bound),
                    ..AttributeProto::default()
                });
            }
            node.input.truncate(1);
        }
        "Reshape" => node.attribute.retain(|a| a.name() != "allowzero"),
        "Pad" | "TopK" | "Resize" | "Range" if version < 11 => return None,
        "GRU" | "LSTM" | "RNN" => node.attribute.retain(|a| a.name() != "layout"),
        "Shape" if version < 15 && !node.attribute.is_empty() => return None,
        "Flatten" => {
            let axis = node.int("axis").unwrap_or(1);
            node.attribute = vec![int("axis", axis)];
        }
        _ => {}
    }
    Some(())
}
