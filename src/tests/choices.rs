//! Inputs that choose which body runs, and how often: what is drawn of them, and what a proof says of the rest.

use super::builder::{Builder, Size, analyse, halves, planned};
use super::rules::runtime;
use crate::data::{declared_inputs, random_inputs};
use crate::dimensions::Analysis;
use crate::onnx::ElementType::{Bool, Float, Int64};
use crate::onnx::Model;
use crate::rewrite::prune;
use crate::validate::verify;

fn branch(operator: &str, name: &str) -> Builder {
    let wiring = format!("h -> {name}");
    Builder::new(17).node(operator, &wiring, &[]).output(name)
}

fn started() -> Builder {
    Builder::new(17)
        .input_of("x", Float, &["b".into(), 6.into()])
        .weight("w1", &[6, 8])
        .weight("w2", &[8, 4])
        .node("MatMul", "x w1 -> h", &[])
}

fn ended(builder: Builder) -> Model {
    let builder = builder.node("MatMul", "r w2 -> y", &[]);
    builder.output("y").model()
}

/// A choice inside of another one.
fn twice() -> Model {
    let inner = Builder::new(17)
        .node("If", "second -> i", &[])
        .body("then_branch", branch("Tanh", "t"))
        .body("else_branch", branch("Relu", "e"))
        .output("i");
    let builder = started()
        .input_of("first", Bool, &[])
        .input_of("second", Bool, &[])
        .node("If", "first -> r", &[])
        .body("then_branch", inner)
        .body("else_branch", branch("Sigmoid", "o"));
    ended(builder)
}

/// A choice by real numbers.
fn rare() -> Model {
    let builder = started()
        .tensor(super::builder::floats("most", &[], &[1e6]))
        .node("ReduceSum", "x -> sum", &[("keepdims", 0.into())])
        .node("Greater", "sum most -> much", &[])
        .node("If", "much -> r", &[])
        .body("then_branch", branch("Tanh", "t"))
        .body("else_branch", branch("Relu", "e"));
    ended(builder)
}

/// A loop of as many runs as an input says, of which each reads the row of a table that it is, or the one of twice its number.
fn counted(rows: i64, index: &str) -> Model {
    let body = Builder::new(17)
        .input_of("i", Int64, &[])
        .input_of("on", Bool, &[])
        .input_of("s", Float, &["b".into(), 8.into()])
        .node("Add", "i i -> twice", &[])
        .node("Gather", &format!("table {index} -> row"), &[])
        .node("Add", "s row -> after", &[])
        .node("Identity", "on -> still", &[])
        .output_of("still", Bool)
        .output("after");
    let builder = started()
        .input_of("n", Int64, &[])
        .weight("table", &[rows as usize, 8])
        .node("Loop", "n - h -> r", &[])
        .body("body", body);
    ended(builder)
}

/// A choice by the largest of ids that pick rows of a table.
fn long() -> Model {
    let ids: [Size; 2] = ["b".into(), 5.into()];
    let builder = Builder::new(17)
        .input_of("ids", Int64, &ids)
        .weight("table", &[64, 6])
        .weight("w1", &[6, 8])
        .weight("w2", &[8, 4])
        .scalar("most", 100)
        .node("Gather", "table ids -> x", &[])
        .node("MatMul", "x w1 -> h", &[])
        .node("ReduceMax", "ids -> last", &[("keepdims", 0.into())])
        .node("Greater", "last most -> much", &[])
        .node("If", "much -> r", &[])
        .body("then_branch", branch("Tanh", "t"))
        .body("else_branch", branch("Relu", "e"));
    ended(builder)
}

fn unseen(model: &Model) -> Vec<String> {
    let analysis = analyse(model);
    let plan = planned(&analysis, &halves());
    let pruned = prune(&analysis, &plan).expect("a pruned model");
    let proof = verify(&analysis, &plan, &pruned, &runtime()).expect("a proof");
    assert!(proof.proven > 0);
    proof.unseen
}

/// What is drawn of a single number, draw by draw.
fn drawn(analysis: &Analysis, name: &str) -> Vec<f64> {
    let signatures = declared_inputs(analysis);
    let numbers = (0..8).map(|seed| {
        let inputs = random_inputs(analysis, &signatures, seed).expect("inputs");
        let found = inputs.into_iter().find(|(other, _)| other == name);
        found.expect("the input").1.to_f64()[0]
    });
    numbers.collect()
}

#[test]
fn all_that_inputs_choose_is_run_and_the_rest_is_named() {
    for (model, named) in [
        (twice(), &[][..]),
        (rare(), &["'then_branch' of If"]),
        (counted(4, "i"), &[]),
        (counted(2, "i"), &[]),
        (counted(4, "twice"), &["'n' = 3"]),
        (long(), &["'then_branch' of If"]),
    ] {
        let unseen = unseen(&model);
        assert_eq!(unseen.len(), named.len(), "{unseen:?}");
        for (said, named) in unseen.iter().zip(named) {
            assert!(said.contains(named), "'{said}', where it is {named}");
        }
    }
}

#[test]
fn choices_are_drawn_in_all_combinations() {
    let analysis = analyse(&twice());
    let both = drawn(&analysis, "first").into_iter();
    let both: Vec<(f64, f64)> = both.zip(drawn(&analysis, "second")).collect();
    for pair in [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)] {
        assert!(both.contains(&pair), "{both:?}");
    }
    for (rows, runs) in [(4, [1.0, 3.0, 2.0, 0.0]), (2, [1.0, 2.0, 0.0, 1.0])] {
        assert_eq!(drawn(&analyse(&counted(rows, "i")), "n")[..4], runs);
    }
}
