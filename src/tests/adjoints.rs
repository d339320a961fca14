//! Gradients of what is linear in a value `v`: with any gradient `d` of the output `y`, `<g, v> = <d, y>`. So forms are
//! judged that the stored gradients are too small for.

use super::builder::{Builder, Value, noise};
use super::gradient_model::gradient_model;
use super::rules::runtime;
use crate::grad::BoundGraph;
use crate::graph::Graph;
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, Model, to_f32};
use crate::runtime::{Runtime, Tensor};

/// Of the product of the lengths of `d` and `y`.
const TOLERANCE: f64 = 1e-5;

fn tensor(proto: &TensorProto) -> Tensor {
    let shape: Vec<usize> = proto.dims.iter().map(|&size| size as usize).collect();
    let numbers = to_f32(proto).expect("real numbers");
    let numbers: Vec<f64> = numbers.into_iter().map(f64::from).collect();
    Tensor::from_f64(ElementType::Float, &shape, &numbers).expect("a tensor")
}

fn product(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.shape(), b.shape());
    a.to_f64().iter().zip(b.to_f64()).map(|(a, b)| a * b).sum()
}

/// What the gradients of values say that the output, which is linear in each, does not.
pub(super) fn faults(
    model: &Model,
    linear: &[TensorProto],
    rest: &[(String, Tensor)],
    runtime: &Runtime,
) -> Vec<String> {
    let graph = Graph::new(model).expect("a graph");
    let mut inputs = rest.to_vec();
    inputs.extend(
        linear
            .iter()
            .map(|proto| (proto.name().to_owned(), tensor(proto))),
    );
    let sizes = inputs
        .iter()
        .map(|(name, tensor)| (name.clone(), tensor.shape().to_vec()));
    let bound = BoundGraph::of(&graph, &sizes.collect::<Vec<_>>(), None).expect("sizes");
    let find = |name: &str| bound.graph().find(name).expect("a value");
    let wanted: Vec<_> = linear.iter().map(|proto| find(proto.name())).collect();
    let made = gradient_model(&bound, &[find("y")], &wanted).expect("a model");
    assert_eq!(made.gradients.stops, []);
    let shape = bound.settled().array(find("y")).expect("known sizes").sizes;
    let d = noise("d", &shape);
    inputs.push((made.seeds[0].1.clone(), tensor(&d)));
    let mut session = runtime.session(&made.model, "linear").expect("a session");
    let takes: Vec<String> = session
        .inputs()
        .into_iter()
        .map(|input| input.name)
        .collect();
    inputs.retain(|(name, _)| takes.contains(name));
    let outputs = session.run(&inputs).expect("a run");
    let output = |name: &str| {
        &outputs
            .iter()
            .find(|(of, _)| of == name)
            .expect("an output")
            .1
    };
    let (d, y) = (tensor(&d), output("y"));
    let scale = (product(&d, &d) * product(y, y)).sqrt();
    let values = linear.iter().zip(&wanted);
    let errors = values.filter_map(|(proto, value)| {
        let (_, name) = made
            .outputs
            .iter()
            .find(|(of, _)| of == value)
            .expect("a gradient");
        let error = product(output(name), &tensor(proto)) - product(&d, y);
        (error.abs() > TOLERANCE * scale || scale == 0.0)
            .then(|| format!("{} is off by {error} of {scale}", proto.name()))
    });
    errors.collect()
}

/// Data, weight, strides, dilations, pads of all sides and groups.
type Convolution = ([usize; 4], [usize; 4], i64, i64, i64, i64);

/// Kernels small and large, few and many channels, groups of each kind.
const CONVOLUTIONS: [(&str, Convolution); 14] = [
    ("many channels", ([2, 20, 9, 8], [5, 20, 3, 3], 1, 1, 1, 1)),
    (
        "many channels, strides",
        ([2, 20, 9, 8], [5, 20, 3, 3], 2, 1, 1, 1),
    ),
    (
        "many channels, dilations",
        ([2, 17, 9, 8], [5, 17, 2, 3], 1, 2, 1, 1),
    ),
    ("pointwise", ([2, 20, 5, 4], [7, 20, 1, 1], 1, 1, 0, 1)),
    (
        "pointwise, strides",
        ([2, 20, 6, 5], [7, 20, 1, 1], 2, 1, 0, 1),
    ),
    (
        "few channels, large kernel",
        ([2, 3, 15, 14], [6, 3, 7, 7], 2, 1, 3, 1),
    ),
    (
        "many channels, larger kernel",
        ([2, 18, 13, 14], [6, 18, 9, 9], 2, 1, 2, 1),
    ),
    ("patches", ([2, 3, 17, 16], [6, 3, 4, 4], 4, 1, 0, 1)),
    ("groups", ([2, 8, 9, 8], [6, 4, 3, 3], 2, 1, 1, 2)),
    (
        "groups, dilations",
        ([2, 8, 9, 9], [12, 2, 3, 2], 1, 2, 1, 4),
    ),
    ("each channel", ([2, 8, 9, 8], [8, 1, 3, 3], 2, 1, 1, 8)),
    (
        "each channel, large kernel",
        ([2, 8, 9, 8], [8, 1, 5, 5], 2, 1, 2, 8),
    ),
    (
        "several filters per channel",
        ([2, 4, 9, 8], [12, 1, 3, 3], 1, 1, 1, 4),
    ),
    ("one sample", ([1, 4, 9, 8], [12, 1, 5, 5], 1, 1, 1, 4)),
];

#[test]
fn every_form_of_a_convolution_is_the_adjoint() {
    let runtime = runtime();
    let mut failures = Vec::new();
    for (name, (x, w, stride, dilation, pad, group)) in CONVOLUTIONS {
        let (x, w) = (noise("x", &x), noise("w", &w));
        for operator in ["Conv", "ConvTranspose"] {
            // Data of a transposed one has as many channels as the weight has filters.
            let x = match operator {
                "Conv" => x.clone(),
                _ => noise("x", &[x.dims[0] as usize, w.dims[0] as usize, 4, 5]),
            };
            let attributes = [
                ("strides", Value::Ints(vec![stride; 2])),
                ("dilations", Value::Ints(vec![dilation; 2])),
                ("pads", Value::Ints(vec![pad; 4])),
                ("group", Value::Int(group)),
            ];
            let model = Builder::new(17)
                .input("x", &x.dims)
                .tensor(w.clone())
                .node(operator, "x w -> y", &attributes)
                .output("y")
                .model();
            let found = faults(&model, &[x, w.clone()], &[], &runtime);
            failures.extend(
                found
                    .into_iter()
                    .map(|fault| format!("{operator}, {name}: {fault}")),
            );
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Indices that are data, in each version that adds in another way, and along each axis.
#[test]
fn every_form_of_a_selection_is_the_adjoint() {
    let runtime = runtime();
    let mut failures = Vec::new();
    for opset in [9, 12, 13, 16, 18] {
        for axis in 0..3 {
            let x = noise("x", &[5, 6, 7]);
            let index = [0.0, 3.0, -1.0, 3.0, 1.0, -5.0];
            let index = Tensor::from_f64(ElementType::Int64, &[2, 3], &index).expect("a tensor");
            let model = Builder::new(opset)
                .input("x", &x.dims)
                .input_of("index", ElementType::Int64, &[2.into(), 3.into()])
                .node("Gather", "x index -> y", &[("axis", Value::Int(axis))])
                .output("y")
                .model();
            let rest = [("index".to_owned(), index)];
            let found = faults(&model, &[x], &rest, &runtime);
            failures.extend(
                found
                    .into_iter()
                    .map(|fault| format!("{opset}, {axis}: {fault}")),
            );
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
