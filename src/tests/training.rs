//! Steps against plain statements: the gradient of each kind of loss is the difference of losses, and AdamW's update is the
//! paper's.

use std::collections::BTreeMap;

use super::builder::Builder;
use super::rules::runtime;
use crate::grad::BoundGraph;
use crate::graph::Graph;
use crate::onnx::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
use crate::onnx::{ElementType, Model, from_raw};
use crate::runtime::{Runtime, Tensor};
use crate::train::{Comparison, StepModel, StepOptions, Trainable, Tuning, check_reach, step};

const ROWS: usize = 4;
const INPUTS: usize = 3;
/// Learning rate times decay.
const DECAY: f32 = 0.25;

pub(super) fn numbers(seed: usize, count: usize) -> Vec<f32> {
    let number = |place: usize| ((place * 37 + seed * 101) % 89) as f32 / 44.5 - 1.0;
    (0..count).map(number).collect()
}

fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: Some(operator.to_owned()),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute: Vec::<AttributeProto>::new(),
        ..NodeProto::default()
    }
}

/// x[4, 3] times weights: logits[4, 5], probabilities[4, 5] and numbers[4, 2].
pub(super) fn graph() -> Graph {
    let weight = |name: &str, columns: usize| {
        let bytes = numbers(columns, INPUTS * columns).into_iter();
        let bytes: Vec<u8> = bytes.flat_map(f32::to_le_bytes).collect();
        from_raw(name, ElementType::Float, &[INPUTS, columns], bytes)
    };
    let declared = |name: &str, columns: usize| {
        let shape = [Some(ROWS as i64), Some(columns as i64)];
        crate::graph::declaration(name, Some(ElementType::Float), Some(&shape))
    };
    let graph = GraphProto {
        name: Some("g".to_owned()),
        node: vec![
            node("MatMul", &["x", "a"], "logits"),
            node("MatMul", &["x", "b"], "raw"),
            node("Softmax", &["raw"], "probabilities"),
            node("MatMul", &["x", "c"], "numbers"),
        ],
        initializer: vec![weight("a", 5), weight("b", 5), weight("c", 2)],
        input: vec![declared("x", INPUTS)],
        output: vec![
            declared("logits", 5),
            declared("probabilities", 5),
            declared("numbers", 2),
        ],
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

pub(super) fn tensor(sizes: &[usize], numbers: &[f32]) -> Tensor {
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    Tensor::from_packed(ElementType::Float, sizes, &bytes).expect("a tensor")
}

pub(super) fn softmax(rows: &[f32], width: usize) -> Vec<f32> {
    let rows = rows.chunks_exact(width).flat_map(|row| {
        let powers: Vec<f32> = row.iter().map(|x| x.exp()).collect();
        let sum: f32 = powers.iter().sum();
        powers.into_iter().map(move |power| power / sum)
    });
    rows.collect()
}

/// What one step makes of these weights, by the name of the output.
fn run(
    made: &StepModel,
    runtime: &Runtime,
    weights: &[f32],
    rates: [f32; 2],
) -> BTreeMap<String, Vec<f64>> {
    let names = &made.names;
    let zeros = vec![0.0; weights.len()];
    let mut inputs = vec![(
        "x".to_owned(),
        tensor(&[ROWS, INPUTS], &numbers(7, ROWS * INPUTS)),
    )];
    for ((input, _), state) in names.state.iter().zip([weights, &zeros, &zeros]) {
        inputs.push((input.clone(), tensor(&[weights.len()], state)));
    }
    let scalars = names.rates.iter().cloned().zip(rates);
    let shares = names.mix.iter().flatten().cloned().zip([0.7, 0.3]);
    inputs.extend(
        scalars
            .chain(shares)
            .map(|(name, x)| (name, tensor(&[], &[x]))),
    );
    let decay = names.decay.iter();
    inputs.extend(decay.map(|name| (name.clone(), tensor(&[], &[DECAY]))));
    for (output, input) in &names.teacher {
        let (width, is_rows) = match output.as_str() {
            "numbers" => (2, false),
            "probabilities" => (5, true),
            _ => (5, false),
        };
        let raw = numbers(11 + width, ROWS * width);
        let given = if is_rows { softmax(&raw, width) } else { raw };
        inputs.push((input.clone(), tensor(&[ROWS, width], &given)));
    }
    if let Some((name, sizes)) = &names.answers {
        let right: Vec<f32> = (0..sizes[0] * sizes[1])
            .map(|place| f32::from(u8::from(place % sizes[1] == place / sizes[1])))
            .collect();
        inputs.push((name.clone(), tensor(sizes, &right)));
    }
    let mut session = runtime.session(&made.model, "a step").expect("a session");
    let outputs = session.run(&inputs).expect("it runs").into_iter();
    outputs.map(|(name, x)| (name, x.to_f64())).collect()
}

fn made(comparisons: &[(&str, Comparison)], labelled: bool, decays: bool) -> (StepModel, Vec<f32>) {
    let graph = graph();
    let sizes = [("x".to_owned(), vec![ROWS, INPUTS])];
    let bound = BoundGraph::of(&graph, &sizes, None).expect("sizes");
    let comparisons = comparisons.iter();
    let comparisons: Vec<_> = comparisons
        .map(|(name, c)| ((*name).to_owned(), *c))
        .collect();
    let options = StepOptions {
        comparisons: &comparisons,
        labelled: labelled.then(|| comparisons[0].0.as_str()),
        taught: true,
        choice: &Trainable::default(),
        decays,
        parts: 1,
        on_processor: true,
    };
    let made = step(&bound, &options).expect("a step");
    let weights = made.parameters.flat(&graph).expect("weights");
    (made, weights)
}

/// The step's gradient is what the loss changes by along any direction.
fn agrees(comparisons: &[(&str, Comparison)], labelled: bool) {
    const WIDTH: f32 = 1e-2;
    let runtime = runtime();
    let (made, weights) = made(comparisons, labelled, false);
    let names = &made.names;
    let at = |weights: &[f32]| run(&made, &runtime, weights, [0.0, 1.0]);
    let here = at(&weights);
    let norm = here[&names.norm][0];
    assert!(norm > 1e-3, "the gradient is nothing");
    let clipped = norm.max(1.0);
    let gradient: Vec<f64> = here[&names.state[1].1]
        .iter()
        .map(|m| m / 0.1 * clipped)
        .collect();
    for seed in 0..3 {
        let direction = numbers(seed + 20, weights.len());
        let moved = |by: f32| -> Vec<f32> {
            let pairs = weights.iter().zip(&direction);
            pairs.map(|(w, v)| w + by * v).collect()
        };
        let [up, down] = [WIDTH, -WIDTH].map(|by| at(&moved(by))[&names.loss][0]);
        let slope = (up - down) / (2.0 * f64::from(WIDTH));
        let ours: f64 = gradient
            .iter()
            .zip(&direction)
            .map(|(g, v)| g * f64::from(*v))
            .sum();
        assert!(
            (slope - ours).abs() < 2e-3 * norm.max(slope.abs()),
            "{slope}, not {ours}"
        );
    }
}

/// Weights in bodies, and before them, are not trained: where none is left, that is said before anything runs.
#[test]
fn weights_behind_bodies_alone_can_be_trained() {
    let branch = |name: &str| {
        let body = Builder::new(17);
        body.node("Tanh", &format!("h -> {name}"), &[]).output(name)
    };
    let chosen = || {
        Builder::new(17)
            .input("x", &[2, 6])
            .input_of("flag", ElementType::Bool, &[])
            .weight("w1", &[6, 8])
            .weight("w2", &[8, 4])
            .node("MatMul", "x w1 -> h", &[])
            .node("If", "flag -> z", &[])
            .body("then_branch", branch("a"))
            .body("else_branch", branch("b"))
    };
    let check = |builder: Builder, freeze: &[&str]| {
        let tuning = Tuning {
            freeze: freeze.iter().map(|&glob| glob.to_owned()).collect(),
            ..Tuning::default()
        };
        let graph = Graph::new(&builder.model()).expect("a graph");
        check_reach(&graph, &tuning)
    };
    let behind = || chosen().node("MatMul", "z w2 -> y", &[]).output("y");
    check(behind(), &[]).expect("w2 is trained");
    for (builder, freeze) in [(chosen().output("z"), &[][..]), (behind(), &["w2"])] {
        let fault = check(builder, freeze).expect_err("nothing is left");
        let said = fault.to_string();
        assert!(said.contains("in or before bodies of If"), "{said}");
    }
}

#[test]
fn gradients_of_losses_are_their_slopes() {
    agrees(&[("logits", Comparison::Logits)], false);
    agrees(&[("probabilities", Comparison::Probabilities)], false);
    agrees(&[("numbers", Comparison::Values)], false);
}

#[test]
fn several_outputs_and_right_answers_add_up() {
    let all = [
        ("logits", Comparison::Logits),
        ("probabilities", Comparison::Probabilities),
        ("numbers", Comparison::Values),
    ];
    agrees(&all, true);
    agrees(&all[1..2], true);
}

#[test]
fn the_update_is_that_of_adamw() {
    let runtime = runtime();
    let (made, weights) = made(&[("logits", Comparison::Logits)], false, false);
    let (rate, first, second) = (1e-2, 1.0 / (1.0 - 0.9), 1.0 / (1.0 - 0.999));
    let outputs = run(
        &made,
        &runtime,
        &weights,
        [(rate * first) as f32, second as f32],
    );
    let [new, m, v] = [0, 1, 2].map(|place| &outputs[&made.names.state[place].1]);
    for (place, &weight) in weights.iter().enumerate() {
        let gradient = m[place] / 0.1;
        assert!((v[place] - 0.001 * gradient * gradient).abs() < 1e-8);
        // The corrections undo the first decay: a step of the rate along the gradient's sign.
        let step = rate * gradient / (gradient.abs() + 1e-8);
        assert!((new[place] - (f64::from(weight) - step)).abs() < 1e-4);
    }
}

#[test]
fn weights_decay_by_the_rate_times_the_decay() {
    let logits = [("logits", Comparison::Logits)];
    let (made, weights) = made(&logits, false, true);
    let outputs = run(&made, &runtime(), &weights, [0.0, 1.0]);
    for (new, weight) in outputs[&made.names.state[0].1].iter().zip(&weights) {
        let kept = f64::from(1.0 - DECAY) * f64::from(*weight);
        assert!((new - kept).abs() < 1e-6, "{new}, not {kept}");
    }
}
