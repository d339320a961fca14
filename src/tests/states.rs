//! Steps of recurrent nets whose states may lose positions: what is given back means the same in the next run.

use super::builder::{Builder, planned};
use super::decoding::analysed;
use super::rules::runtime;
use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::onnx::ElementType::Float;
use crate::onnx::Model;
use crate::plan::{RoundTo, Settings};
use crate::rewrite::prune;
use crate::runtime::{Runtime, Tensor};
use crate::validate::verify;

const UNITS: usize = 16;
const STEPS: usize = 16;

fn started(states: &[&str]) -> Builder {
    let builder = Builder::new(17).input_of("x", Float, &["b".into(), 8.into()]);
    let shape = ["b".into(), (UNITS as i64).into()];
    let inputs = states.iter();
    inputs.fold(builder, |builder, name| {
        builder.input_of(&format!("{name}_in"), Float, &shape)
    })
}

fn ended(builder: Builder, states: &[&str]) -> Model {
    let outputs = states.iter();
    let builder = outputs.fold(builder.output("y"), |builder, name| {
        builder.output(&format!("{name}_out"))
    });
    builder.model()
}

/// A cell of an Elman net that reads `x`, and its state of the last run.
fn cell(builder: Builder, x: &str, inner: usize, h: &str) -> Builder {
    builder
        .weight(&format!("W{h}"), &[inner, UNITS])
        .weight(&format!("U{h}"), &[UNITS, UNITS])
        .node("MatMul", &format!("{x} W{h} -> a{h}"), &[])
        .node("MatMul", &format!("{h}_in U{h} -> b{h}"), &[])
        .node("Add", &format!("a{h} b{h} -> s{h}"), &[])
        .node("Tanh", &format!("s{h} -> {h}_out"), &[])
}

fn elman() -> Model {
    let builder = cell(started(&["h"]), "x", 8, "h").weight("O", &[UNITS, 8]);
    ended(builder.node("MatMul", "h_out O -> y", &[]), &["h"])
}

/// A state with one more axis where it goes in than where it comes out.
fn wrapped() -> Model {
    let shape = ["b".into(), 1.into(), (UNITS as i64).into()];
    let builder = Builder::new(17)
        .input_of("x", Float, &["b".into(), 8.into()])
        .input_of("h_in", Float, &shape)
        .ints("axis", &[1])
        .node("Squeeze", "h_in axis -> g_in", &[]);
    let builder = cell(builder, "x", 8, "g").weight("O", &[UNITS, 8]);
    let builder = builder.node("Identity", "g_out -> h_out", &[]);
    ended(builder.node("MatMul", "g_out O -> y", &[]), &["h"])
}

/// A state whose size is open where it goes in keeps it where it comes out.
#[test]
fn states_of_open_sizes_keep_all_positions() {
    let builder = Builder::new(17)
        .input_of("x", Float, &["b".into(), 8.into()])
        .input_of("h_in", Float, &["b".into(), "units".into()]);
    let builder = cell(builder, "x", 8, "h").weight("O", &[UNITS, 8]);
    let model = ended(builder.node("MatMul", "h_out O -> y", &[]), &["h"]);
    let analysis = analysed(&model, &["h_*"]);
    assert!(analysis.dimensions().iter().all(|of| of.size != UNITS));
}

/// Two cells; their states come out in another order than they go in.
fn stack() -> Model {
    let builder = cell(started(&["g", "h"]), "x", 8, "g");
    let builder = cell(builder, "g_out", UNITS, "h").weight("O", &[UNITS, 8]);
    ended(builder.node("MatMul", "h_out O -> y", &[]), &["h", "g"])
}

/// What came out of the last run is what the run before that gave.
fn delayed() -> Model {
    let builder = cell(started(&["h", "late"]), "x", 8, "h");
    let builder = builder
        .weight("O", &[UNITS, 8])
        .node("Identity", "h_in -> late_out", &[])
        .node("Add", "h_out late_in -> both", &[])
        .node("MatMul", "late_in O -> y", &[]);
    ended(builder, &["h", "late"])
}

fn lstm() -> Model {
    let gates = "i f c o";
    let builder = started(&["h", "c"])
        .weight("W", &[8, 4 * UNITS])
        .weight("U", &[UNITS, 4 * UNITS])
        .weight("B", &[4 * UNITS])
        .weight("O", &[UNITS, 8])
        .node("MatMul", "x W -> gx", &[])
        .node("MatMul", "h_in U -> gh", &[])
        .node("Add", "gx gh -> g0", &[])
        .node("Add", "g0 B -> g", &[])
        .ints("parts", &[UNITS as i64; 4])
        .node(
            "Split",
            &format!("g parts -> {gates}"),
            &[("axis", 1.into())],
        )
        .node("Sigmoid", "i -> si", &[])
        .node("Sigmoid", "f -> sf", &[])
        .node("Tanh", "c -> tc", &[])
        .node("Sigmoid", "o -> so", &[])
        .node("Mul", "sf c_in -> kept", &[])
        .node("Mul", "si tc -> new", &[])
        .node("Add", "kept new -> c_out", &[])
        .node("Tanh", "c_out -> th", &[])
        .node("Mul", "so th -> h_out", &[])
        .node("MatMul", "h_out O -> y", &[]);
    ended(builder, &["h", "c"])
}

/// The model with zeros in all weights at the positions that go: none of them says anything then.
fn silenced(analysis: &Analysis, kept: &Kept) -> Model {
    let model = analysis.graph().model();
    let mut proto = model.proto.clone();
    let types = &analysis.state.types;
    for (value, axes) in analysis.weights() {
        let graph = proto.graph.get_or_insert_default();
        let name = &analysis.graph().value(value).name;
        let mut weights = graph.initializer.iter_mut();
        let weight = weights
            .find(|tensor| tensor.name() == name)
            .expect("a weight");
        let dims: Vec<usize> = weight.dims.iter().map(|&dim| dim as usize).collect();
        let tensor = Tensor::from_packed(Float, &dims, weight.raw_data()).expect("numbers");
        let mut numbers = tensor.to_f64();
        for (axis, ty) in axes.iter().enumerate() {
            let stay = types.kept_positions(ty, kept);
            let behind: usize = dims[axis + 1..].iter().product();
            for (place, number) in numbers.iter_mut().enumerate() {
                if !stay.contains(&((place / behind % dims[axis]) as u32)) {
                    *number = 0.0;
                }
            }
        }
        let numbers: Vec<f32> = numbers.into_iter().map(|number| number as f32).collect();
        *weight = super::builder::floats(name, &dims, &numbers);
    }
    model.with(proto, model.lazy.clone())
}

/// What a model gives for a sequence, with states that are given back by their names.
fn sequence(model: &Model, runtime: &Runtime) -> Vec<f64> {
    let mut session = runtime.session(model, "a step").expect("a session");
    let tensor = |shape: &[usize], numbers: &[f64]| {
        Tensor::from_f64(Float, shape, numbers).expect("a tensor")
    };
    let signatures = session.inputs();
    let states = signatures.iter().filter(|input| input.name != "x");
    let mut held: Vec<(String, Tensor)> = states
        .map(|input| {
            let shape = input.shape.iter().map(|&size| size.max(1) as usize);
            let shape: Vec<usize> = shape.collect();
            let zeros = vec![0.0; shape.iter().product()];
            (input.name.clone(), tensor(&shape, &zeros))
        })
        .collect();
    let mut said = Vec::new();
    for step in 0..STEPS {
        let x: Vec<f64> = (0..8)
            .map(|place| ((step * 8 + place) as f64).sin())
            .collect();
        let mut inputs = held.clone();
        inputs.push(("x".to_owned(), tensor(&[1, 8], &x)));
        for (name, given) in session.run(&inputs).expect("a step") {
            match name.strip_suffix("_out") {
                None => said.extend(given.to_f64()),
                Some(state) => {
                    let name = format!("{state}_in");
                    let place = held.iter().position(|(other, _)| *other == name);
                    let held = &mut held[place.expect("a state")].1;
                    *held = tensor(held.shape(), &given.to_f64());
                }
            }
        }
    }
    said
}

#[test]
fn states_are_given_back_as_they_were() {
    let runtime = runtime();
    let models = [
        ("elman", elman()),
        ("wrapped", wrapped()),
        ("stack", stack()),
        ("delayed", delayed()),
        ("lstm", lstm()),
    ];
    for (what, model) in models {
        let signature = ["*_in", "*_out"];
        let analysis = analysed(&model, &signature);
        let settings = Settings {
            round_to: RoundTo::Multiple(1),
            change_signature: signature.map(str::to_owned).to_vec(),
            ..Settings::default()
        };
        let plan = planned(&analysis, &settings);
        let pruned = prune(&analysis, &plan).expect("a pruned model").settled();
        let kept = plan.kept(&analysis).expect("a choice");
        let whole = sequence(&silenced(&analysis, &kept), &runtime);
        let small = sequence(&pruned, &runtime);
        let apart = whole.iter().zip(&small).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f64::max) < 1e-5, "{what}");
        assert!(!plan.dimensions.is_empty(), "{what}");
    }
}

#[test]
fn an_input_may_be_given_as_it_is() {
    let builder = cell(started(&["h"]), "x", 8, "h").weight("O", &[UNITS, 8]);
    let builder = builder.node("MatMul", "h_out O -> y", &[]).output("h_in");
    let model = ended(builder, &["h"]);
    let analysis = analysed(&model, &["h_*"]);
    let settings = Settings {
        round_to: RoundTo::Multiple(1),
        change_signature: vec!["h_*".to_owned()],
        ..Settings::default()
    };
    let plan = planned(&analysis, &settings);
    let pruned = prune(&analysis, &plan).expect("a pruned model").settled();
    let proof = verify(&analysis, &plan, &pruned, &runtime()).expect("a proof");
    assert_eq!(proof.proven, 1);
}

/// A state that keeps its sizes as an output keeps them as an input.
#[test]
fn what_is_given_back_whole_is_read_whole() {
    for (model, signature) in [(elman(), "h_in"), (lstm(), "h_*")] {
        let analysis = analysed(&model, &[signature]);
        assert!(analysis.dimensions().is_empty(), "{signature}");
    }
}
