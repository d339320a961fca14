//! Sizes that the graph computes: whatever numbers are left, they follow, or what they depend on stays as it is.

mod heads;
mod images;

use super::builder::{Builder, Size, Value, analyse, floats};
use super::rules::runtime;
use crate::criteria::{Criterion, scores};
use crate::dimensions::Analysis;
use crate::error::{Class, Error};
use crate::graph::Graph;
use crate::onnx::{ElementType, Model};
use crate::plan::{Cost, CostBudget, Decision, Plan, RoundTo, Selection, Settings};
use crate::rewrite::prune;
use crate::search::select;
use crate::validate::verify;

const OPSETS: [i64; 4] = [9, 11, 13, 18];
const FLOAT: i64 = 1;
const INT64: i64 = 7;

fn settings(ratio: f64) -> Settings {
    Settings {
        ratio,
        round_to: RoundTo::Multiple(1),
        ..Settings::default()
    }
}

fn chosen(analysis: &Analysis, settings: &Settings) -> (Plan, Selection) {
    let scores = scores(analysis, Criterion::L2, 0).expect("scores");
    let selection = select(analysis, &scores, settings).expect("a selection");
    let plan = Plan::new(analysis, &selection, &scores, settings);
    (plan, selection)
}

/// The first dimension of the model has this size, and it is pruned and proven at three numbers of channels.
fn follows(name: &str, model: &Model, size: usize) {
    let analysis = analyse(model);
    let first = analysis.dimensions().first().map(|d| d.size);
    assert_eq!(first, Some(size), "{name}: {:#?}", analysis.blocked());
    for ratio in [0.25, 0.5, 0.75] {
        let (plan, selection) = chosen(&analysis, &settings(ratio));
        let cut = matches!(selection.decisions[0], Decision::Prune(_));
        assert!(cut, "{name} {ratio}: {selection:?}");
        let pruned = prune(&analysis, &plan).expect(name);
        verify(&analysis, &plan, &pruned, &runtime())
            .unwrap_or_else(|fault| panic!("{name} {ratio}: {fault}"));
    }
}

fn is_made(builder: &mut Builder, name: &str) -> bool {
    let graph = builder.graph_proto();
    let mut outputs = graph.node.iter().flat_map(|node| &node.output);
    outputs.any(|output| output == name) || graph.initializer.iter().any(|t| t.name() == name)
}

/// Queries, keys and values of x[n, s, 12], by the names `q`, `k` and `v`, with the shapes of `x` and `q`.
fn projected(opset: i64) -> Builder {
    let length = [Size::from("n"), Size::from("s"), 12.into()];
    let mut builder = Builder::new(opset)
        .input_of("x", ElementType::Float, &length)
        .ints("zero", &[0])
        .ints("one", &[1])
        .ints("two", &[2])
        .ints("three", &[3]);
    for (name, weight) in [("q", "wq"), ("k", "wk"), ("v", "wv")] {
        builder =
            builder
                .weight(weight, &[12, 24])
                .node("MatMul", &format!("x {weight} -> {name}"), &[]);
    }
    builder
        .node("Shape", "x -> shape", &[])
        .node("Shape", "q -> shape.q", &[])
}

/// Attention whose heads are rows of batched products. `shapes` are the lists that the Reshapes get, of names that
/// `builder` makes, or else of these: batch, length, heads, width, hidden, rows.
fn attention(mut builder: Builder, shapes: [&str; 4]) -> Model {
    for (name, number) in [("heads", 4), ("width", 6), ("hidden", 24), ("minus", -1)] {
        if !is_made(&mut builder, name) {
            builder = builder.ints(name, &[number]);
        }
    }
    for (name, wiring) in [("batch", "shape zero"), ("length", "shape one")] {
        if !is_made(&mut builder, name) {
            builder = builder.node("Gather", &format!("{wiring} -> {name}"), &[]);
        }
    }
    if !is_made(&mut builder, "rows") {
        builder = builder.node("Mul", "batch heads -> rows", &[]);
    }
    let names = ["apart", "flat", "back", "join"];
    for (name, parts) in names.into_iter().zip(shapes) {
        let along = [("axis", 0.into())];
        builder = builder.node("Concat", &format!("{parts} -> {name}"), &along);
    }
    let swapped = || Value::from([0, 2, 1, 3]);
    for name in ["q", "k", "v"] {
        builder = builder
            .node("Reshape", &format!("{name} apart -> {name}.4"), &[])
            .node(
                "Transpose",
                &format!("{name}.4 -> {name}.t"),
                &[("perm", swapped())],
            )
            .node("Reshape", &format!("{name}.t flat -> {name}.3"), &[]);
    }
    builder
        .node("Transpose", "k.3 -> turned", &[("perm", [0, 2, 1].into())])
        .node("MatMul", "q.3 turned -> products", &[])
        .node("Softmax", "products -> shares", &[("axis", 2.into())])
        .node("MatMul", "shares v.3 -> mixed", &[])
        .node("Reshape", "mixed back -> mixed.4", &[])
        .node("Transpose", "mixed.4 -> mixed.t", &[("perm", swapped())])
        .node("Reshape", "mixed.t join -> joined", &[])
        .weight("wo", &[24, 12])
        .node("MatMul", "joined wo -> y", &[])
        .output("y")
        .model()
}

const USUAL: [&str; 4] = [
    "batch length heads width",
    "rows length width",
    "batch heads length width",
    "batch length hidden",
];

fn cast(builder: Builder, from: &str, to: &str, element: i64) -> Builder {
    let wiring = format!("{from} -> {to}");
    builder.node("Cast", &wiring, &[("to", element.into())])
}

fn real(builder: Builder, name: &str, number: f32) -> Builder {
    builder.tensor(floats(name, &[1], &[number]))
}

/// Attention beside two layers, as if no rule said which numbers have to equal sizes: heads cannot be cut then.
fn attention_with_a_gap() -> [Analysis; 2] {
    let builder = projected(13)
        .weight("w5", &[12, 32])
        .node("MatMul", "x w5 -> wide", &[])
        .node("Relu", "wide -> active", &[])
        .weight("w6", &[32, 12])
        .node("MatMul", "active w6 -> z", &[])
        .output("z");
    let model = attention(builder, USUAL);
    let mut gap = analyse(&model);
    gap.state.forget_mirrors();
    [analyse(&model), gap]
}

#[test]
fn what_would_not_fit_is_left_alone_and_a_budget_is_met_without_it() {
    let [whole, gap] = attention_with_a_gap();
    let budget = CostBudget {
        cost: Cost::Params,
        share: 0.85,
    };
    let budgeted = Settings {
        budget: Some(budget),
        ..settings(0.5)
    };
    for settings in [settings(0.5), budgeted] {
        let (plan, _) = chosen(&whole, &settings);
        assert!(
            plan.dimensions
                .iter()
                .any(|dimension| dimension.name == "wq:1.0")
        );
        let (plan, selection) = chosen(&gap, &settings);
        let names: Vec<&str> = plan.dimensions.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names, ["w5"], "{selection:?}");
        assert!(plan.dimensions[0].kept.len() <= 24);
        let left = |decision: &Decision| match decision {
            Decision::Leave(left) => left.why.contains("would not fit together"),
            Decision::Prune(_) => false,
        };
        assert!(selection.decisions.iter().any(left), "{selection:?}");
        let pruned = prune(&gap, &plan).expect("the rest");
        verify(&whole, &plan, &pruned, &runtime()).expect("the rest is right");
    }
}

#[test]
fn a_plan_that_does_not_fit_is_refused() {
    let [whole, gap] = attention_with_a_gap();
    let (plan, _) = chosen(&whole, &settings(0.25));
    let fault = prune(&gap, &plan).expect_err("three heads do not fit");
    assert!(matches!(fault, Error::Plan { .. }) && fault.class() == Class::Input);
    let text = fault.to_string();
    assert!(
        text.contains("'wq:1.0' to 3 of 4 channels") && text.contains("would not fit together"),
        "{text}"
    );
}

/// What a dead node reads is not needed, but the file has to stay whole.
#[test]
fn what_dead_nodes_read_stays() {
    let open = [USUAL[0], "minus length width", USUAL[2], USUAL[3]];
    let model = attention(projected(13), open);
    let analysis = analyse(&model);
    let (plan, _) = chosen(&analysis, &settings(0.5));
    let pruned = prune(&analysis, &plan).expect("a model");
    let text = Graph::new(&pruned).expect("a graph").to_string();
    assert!(text.contains("(batch, heads) -> rows"), "{text}");
}
