//! A state that is kept in a process of its own: steps, values read and replaced, failures, and the end of the process.
#![cfg(target_os = "linux")]

mod common;

use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use secateur::onnx::ElementType;
use secateur::runtime::{Apart, Library, Runtime, Session, Tensor, end_apart, run_apart};
use secateur::{Class, Error, Model, Silent};

use common::{field, model_of};

fn node(operator: &str, inputs: [&str; 2], output: &str) -> Vec<u8> {
    let inputs = inputs.map(|name| field(0x0a, name.as_bytes())).concat();
    let output = field(0x12, output.as_bytes());
    field(
        0x0a,
        &[inputs, output, field(0x22, operator.as_bytes())].concat(),
    )
}

/// An input, or an output, of floats along one axis of any size.
fn declared(tag: u8, name: &str, axis: &str) -> Vec<u8> {
    let shape = field(0x12, &field(0x0a, &field(0x12, axis.as_bytes())));
    let tensor = field(0x0a, &[&[0x08, 1], shape.as_slice()].concat());
    let ty = field(0x12, &tensor);
    field(tag, &[field(0x0a, name.as_bytes()), ty].concat())
}

/// `m_ = m + x`, `w_ = w + m_`.
fn accumulator() -> Model {
    let graph = [
        node("Add", ["m", "x"], "m_"),
        node("Add", ["w", "m_"], "w_"),
        declared(0x5a, "m", "n"),
        declared(0x5a, "w", "n"),
        declared(0x5a, "x", "k"),
        declared(0x62, "w_", "n"),
        declared(0x62, "m_", "n"),
    ];
    Model::from_bytes(model_of(&graph.concat())).expect("a model")
}

fn floats(numbers: &[f64]) -> Tensor {
    Tensor::from_f64(ElementType::Float, &[numbers.len()], numbers).expect("a tensor")
}

fn named(name: &str, numbers: &[f64]) -> (String, Tensor) {
    (name.to_owned(), floats(numbers))
}

fn names<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).into()
}

/// A session with `m` and `w` of these numbers.
fn kept(runtime: &Runtime, m: &[f64], w: &[f64]) -> Session {
    let session = runtime.session(&accumulator(), "an accumulator");
    let mut session = session.expect("a session");
    let pairs = [("m", "m_"), ("w", "w_")];
    let pairs = pairs.map(|(input, output)| (input.to_owned(), output.to_owned()));
    let start = vec![named("w", w), named("m", m)];
    session.keep(&pairs, start).expect("the state is kept");
    session
}

fn step(session: &mut Session, x: f64) -> Vec<f64> {
    let read = session.step(&[named("x", &[x])], &names(["w_"]));
    read.expect("a step").remove(0).1.to_f64()
}

fn steps_and_failures(runtime: &Runtime) {
    let mut first = kept(runtime, &[0.0, 1.0], &[10.0, 20.0]);
    let mut second = kept(runtime, &[5.0], &[-5.0]);
    assert_eq!(step(&mut first, 1.0), [11.0, 22.0]);
    assert_eq!(step(&mut second, 0.0), [0.0]);
    assert_eq!(step(&mut first, 2.0), [14.0, 26.0]);
    assert_eq!(step(&mut second, -1.0), [4.0]);
    let wrong = first.step(&[named("x", &[1.0, 2.0, 3.0])], &[]);
    assert_eq!(wrong.expect_err("three of two").class(), Class::Runtime);
    let state = first.state(&[]).expect("the state");
    assert_eq!(state, [named("m", &[3.0, 4.0]), named("w", &[14.0, 26.0])]);
    let values = vec![named("m", &[-1.0, -2.0])];
    first.set_state(values).expect("other values");
    assert_eq!(step(&mut first, 0.0), [13.0, 24.0]);
    assert_eq!(step(&mut second, 0.0), [8.0]);
    let state = first.state(&names(["m"])).expect("a part");
    assert_eq!(state, [named("m", &[-1.0, -2.0])]);
    let unknown = first.state(&names(["v"])).expect_err("no such state");
    assert!(
        unknown.to_string().contains("there is no state 'v'"),
        "{unknown}"
    );
    assert_eq!(unknown.class(), Class::Usage);
}

/// More than is kept from one message to the next.
fn much_is_handed_over(runtime: &Runtime) {
    let w: Vec<f64> = (0..9 << 20).map(f64::from).collect();
    let mut session = kept(runtime, &vec![0.0; w.len()], &w);
    for x in [1.0, 2.0] {
        session.step(&[named("x", &[x])], &[]).expect("a step");
    }
    let state = session.state(&[]).expect("the state");
    assert!(state[0].1.to_f64().iter().all(|&m| m == 3.0));
    let moved = state[1].1.to_f64();
    let moved = moved.iter().zip(&w);
    assert!(moved.into_iter().all(|(new, old)| new - old == 4.0));
}

/// One process has one library: all in turn.
#[test]
fn a_state_is_kept_in_a_process_of_its_own() {
    let begun = run_apart(Apart {
        program: cargo_bin("secateur"),
        arguments: Vec::new(),
        environment: Vec::new(),
        time_limit: Some(Duration::from_secs(60)),
        memory_limit: Some(1 << 30),
    });
    assert!(begun);
    let library = Library::find_or_install(None, &[], false, &mut Silent).expect("onnxruntime");
    let runtime = Runtime::load(&library).expect("onnxruntime loads");
    steps_and_failures(&runtime);
    much_is_handed_over(&runtime);
    let mut session = kept(&runtime, &[0.0], &[0.0]);
    assert_eq!(step(&mut session, 1.0), [1.0]);
    end_apart();
    match session.step(&[named("x", &[1.0])], &[]) {
        Err(Error::Crash { reason, .. }) => {
            assert!(reason.contains("an accumulator"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}
