//! A step of two convolutions with many channels makes the same of weights and moments in the forms of processors and in
//! those of other devices.

use std::collections::BTreeMap;

use super::rules::runtime;
use crate::grad::BoundGraph;
use crate::graph::{Graph, declaration, ints};
use crate::onnx::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
use crate::onnx::{ElementType, Model, from_raw};
use crate::runtime::{Runtime, Tensor};
use crate::train::{Comparison, StepOptions, Trainable, step};

const SAMPLES: usize = 3;
const CHANNELS: usize = 64;
/// What moments may differ by, as a share of the largest.
const TOLERANCE: f64 = 2e-5;

/// A window over data of these sizes: kernel, strides, pads, dilations.
struct Case {
    sizes: &'static [usize],
    window: [&'static [i64]; 4],
}

const CASES: [Case; 9] = [
    Case {
        sizes: &[4, 4],
        window: [&[3, 3], &[1, 1], &[1, 1, 1, 1], &[1, 1]],
    },
    Case {
        sizes: &[7, 6],
        window: [&[3, 3], &[2, 2], &[1, 1, 1, 1], &[1, 1]],
    },
    Case {
        sizes: &[9, 5],
        window: [&[5, 3], &[3, 2], &[2, 0, 1, 2], &[1, 1]],
    },
    Case {
        sizes: &[8, 8],
        window: [&[3, 3], &[1, 1], &[2, 2, 2, 2], &[2, 2]],
    },
    Case {
        sizes: &[8, 8],
        window: [&[3, 3], &[2, 2], &[0, 0, 0, 0], &[1, 1]],
    },
    Case {
        sizes: &[10, 9],
        window: [&[3, 3], &[2, 2], &[3, 3, 3, 2], &[3, 3]],
    },
    Case {
        sizes: &[11, 4],
        window: [&[3, 2], &[4, 1], &[0, 0, 0, 0], &[1, 1]],
    },
    Case {
        sizes: &[9],
        window: [&[4], &[2], &[1, 2], &[1]],
    },
    Case {
        sizes: &[3, 4, 5],
        window: [&[2, 3, 3], &[1, 2, 1], &[0, 1, 1, 1, 0, 1], &[1, 1, 1]],
    },
];

fn numbers(seed: usize, count: usize) -> Vec<f32> {
    let number = |place: usize| ((place * 7919 + seed * 101) % 997) as f32 / 498.5 - 1.0;
    (0..count).map(number).collect()
}

fn node(inputs: [&str; 3], output: &str, attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: Some("Conv".to_owned()),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute: attributes,
        ..NodeProto::default()
    }
}

fn weight(name: &str, sizes: &[usize]) -> crate::onnx::proto::TensorProto {
    let numbers = numbers(name.len(), sizes.iter().product()).into_iter();
    let bytes: Vec<u8> = numbers.flat_map(|n| (0.1 * n).to_le_bytes()).collect();
    from_raw(name, ElementType::Float, sizes, bytes)
}

/// A pointwise convolution, and the case's.
fn graph(case: &Case) -> Graph {
    let [kernel, strides, pads, dilations] = case.window;
    let attributes = [
        ("kernel_shape", kernel),
        ("strides", strides),
        ("pads", pads),
        ("dilations", dilations),
    ];
    let attributes = attributes.map(|(name, numbers)| ints(name, numbers));
    let square = [CHANNELS, CHANNELS];
    let kernel: Vec<usize> = kernel.iter().map(|&n| n as usize).collect();
    let ones = vec![1; kernel.len()];
    let input = [&[SAMPLES, CHANNELS], case.sizes].concat();
    let input: Vec<_> = input.iter().map(|&size| Some(size as i64)).collect();
    let graph = GraphProto {
        name: Some("g".to_owned()),
        node: vec![
            node(["x", "a", "bias_a"], "h", Vec::new()),
            node(["h", "b", "bias_bb"], "y", attributes.to_vec()),
        ],
        initializer: vec![
            weight("a", &[&square, &ones[..]].concat()),
            weight("bias_a", &[CHANNELS]),
            weight("b", &[&square, &kernel[..]].concat()),
            weight("bias_bb", &[CHANNELS]),
        ],
        input: vec![declaration("x", Some(ElementType::Float), Some(&input))],
        output: vec![declaration("y", Some(ElementType::Float), None)],
        ..GraphProto::default()
    };
    let model = ModelProto {
        ir_version: Some(9),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto {
            domain: Some(String::new()),
            version: Some(17),
        }],
        ..ModelProto::default()
    };
    let bytes = prost::Message::encode_to_vec(&model);
    Graph::new(&Model::from_bytes(bytes).expect("a model")).expect("a graph")
}

fn tensor(sizes: &[usize], numbers: &[f32]) -> Tensor {
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    Tensor::from_packed(ElementType::Float, sizes, &bytes).expect("a tensor")
}

/// Loss, norm and moments after a step, and the number of convolutions in it.
fn made(case: &Case, runtime: &Runtime, on_processor: bool) -> (Vec<Vec<f64>>, usize) {
    let graph = graph(case);
    let input = [&[SAMPLES, CHANNELS], case.sizes].concat();
    let bound = BoundGraph::of(&graph, &[("x".to_owned(), input.clone())], None).expect("sizes");
    let options = StepOptions {
        comparisons: &[("y".to_owned(), Comparison::Values)],
        labelled: None,
        taught: true,
        choice: &Trainable::default(),
        decays: false,
        parts: 1,
        on_processor,
    };
    let made = step(&bound, &options).expect("a step");
    let weights = made.parameters.flat(&graph).expect("weights");
    let mut inputs = made.start(&weights).expect("a state");
    let count = input.iter().product();
    inputs.push(("x".to_owned(), tensor(&input, &numbers(7, count))));
    let (_, teacher) = &made.names.teacher[0];
    let proto = made.model.proto.graph.as_ref().expect("a graph");
    for declared in &proto.input {
        let name = declared.name();
        if inputs.iter().all(|(known, _)| known != name) && name != teacher {
            inputs.push((name.to_owned(), tensor(&[], &[1.0])));
        }
    }
    let mut plain = runtime
        .session(graph.model(), "the net")
        .expect("a session");
    let x = inputs.iter().filter(|(name, _)| name == "x").cloned();
    let answer = plain
        .run(&x.collect::<Vec<_>>())
        .expect("it runs")
        .remove(0);
    let sizes = answer.1.shape().to_vec();
    let count = sizes.iter().product();
    inputs.push((teacher.clone(), tensor(&sizes, &numbers(11, count))));
    let convolutions = proto
        .node
        .iter()
        .filter(|node| node.op_type().starts_with("Conv"));
    let convolutions = convolutions
        .filter(|node| node.op_type() != "Concat")
        .count();
    let mut session = runtime.session(&made.model, "a step").expect("a session");
    let outputs = session.run(&inputs).expect("it runs").into_iter();
    let outputs: BTreeMap<String, Vec<f64>> = outputs.map(|(n, x)| (n, x.to_f64())).collect();
    let [_, first, second] = &made.names.state[..] else {
        panic!("a state of three");
    };
    let wanted = [&made.names.loss, &made.names.norm, &first.1, &second.1];
    (
        wanted.map(|name| outputs[name].clone()).to_vec(),
        convolutions,
    )
}

#[test]
fn steps_by_rows_are_those_by_convolutions() {
    let runtime = runtime();
    let mut fewer = 0;
    for case in &CASES {
        let (rows, own) = made(case, &runtime, true);
        let (plain, all) = made(case, &runtime, false);
        fewer += usize::from(own < all);
        for (rows, plain) in rows.iter().zip(&plain) {
            let most = plain.iter().fold(0.0_f64, |most, n| most.max(n.abs()));
            assert!(most > 0.0, "{:?} {:?}: nothing", case.sizes, case.window);
            for (a, b) in rows.iter().zip(plain) {
                let what = (case.sizes, case.window);
                assert!((a - b).abs() <= TOLERANCE * most, "{what:?}: {a}, not {b}");
            }
        }
    }
    assert_eq!(fewer, CASES.len(), "a case has no form of its own");
}
