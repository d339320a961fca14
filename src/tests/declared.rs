//! Declared sizes of inputs and outputs that are not those of the graph.

use super::builder::{analyse, planned};
use super::cases::all;
use super::decoding::{analysed, merged, plain};
use super::rules::runtime;
use crate::data::random_inputs;
use crate::error::Class;
use crate::files::TemporaryFolder;
use crate::graph::{declaration, tapped};
use crate::job::{PruneOptions, Shapes, inspect};
use crate::onnx::ElementType::Float;
use crate::onnx::Model;
use crate::onnx::proto::{ValueInfoProto, tensor_shape_proto::dimension::Value, type_proto};
use crate::ops::GroupCut;
use crate::plan::{RoundTo, Settings};
use crate::rewrite::prune;
use crate::validate::verify;

/// The model with an input or output declared so.
fn declaring(model: &Model, name: &str, sizes: &[Option<i64>]) -> Model {
    let mut proto = model.proto.clone();
    let graph = proto.graph.get_or_insert_default();
    let ends = graph.input.iter_mut().chain(&mut graph.output);
    for end in ends.filter(|end| end.name() == name) {
        *end = declaration(name, Some(Float), Some(sizes));
    }
    model.with(proto, model.lazy.clone())
}

fn sizes(end: &ValueInfoProto) -> Vec<Option<i64>> {
    let tensor = end.r#type.as_ref().and_then(|ty| ty.value.as_ref());
    let Some(type_proto::Value::TensorType(tensor)) = tensor else {
        panic!("no tensor");
    };
    let dims = tensor.shape.iter().flat_map(|shape| &shape.dim);
    let size = |value: &Option<Value>| match value {
        Some(Value::DimValue(size)) => Some(*size),
        _ => None,
    };
    dims.map(|dim| size(&dim.value)).collect()
}

#[test]
fn caches_of_other_sizes_are_faults() {
    for (model, name, sizes, said) in [
        (
            plain(),
            "left_out",
            &[None, Some(2), None, Some(24)][..],
            "makes [n, 2, ?, 8], the sizes of the cache",
        ),
        (
            plain(),
            "right_out",
            &[None, None, Some(8)],
            "makes [n, 2, ?, 8], the sizes of the cache",
        ),
        (
            merged(),
            "left_out",
            &[None, Some(3), None, None],
            "the sizes of the cache",
        ),
        (
            plain(),
            "left",
            &[None, Some(2), None, Some(24)],
            "with one of size 8",
        ),
        (
            merged(),
            "left",
            &[None, Some(2), None, Some(24)],
            "joins its axis 3 with one of size 8",
        ),
    ] {
        let analysis = analysed(&declaring(&model, name, sizes), &[]);
        let found = analysis.declarations();
        let [fault] = &found.faults[..] else {
            panic!("{name}: {found:?}");
        };
        let fault = fault.to_string();
        assert!(
            fault.contains(&format!("put '{name}' is declared")),
            "{fault}"
        );
        assert!(fault.contains(said), "{fault}");
    }
}

#[test]
fn nothing_is_made_of_a_model_with_such_a_cache() {
    let wrong = declaring(&plain(), "left_out", &[None, Some(2), None, Some(24)]);
    let folder = TemporaryFolder::new().expect("a folder");
    let path = folder.path().join("wrong.onnx");
    wrong.save(&path).expect("a file");
    let inspected = inspect(&path, &Shapes::default(), GroupCut::default()).expect("an inspection");
    assert!(inspected.warnings[0].contains("'left_out'"));
    let fault = crate::prune(path, &PruneOptions::default()).expect_err("a fault");
    assert_eq!(fault.class(), Class::Input, "{fault}");
}

#[test]
fn sizes_that_may_be_right_are_not_complained_of() {
    // A name, none, or 0 says nothing; a length that does not change either.
    for (name, sizes) in [
        ("left_out", &[None, Some(2), None, Some(8)][..]),
        ("left_out", &[Some(0), Some(2), Some(7), Some(8)]),
        ("logits", &[Some(1), Some(4), Some(24)]),
        ("left", &[Some(1), Some(2), Some(16), Some(8)]),
    ] {
        let found = analysed(&declaring(&plain(), name, sizes), &[]).declarations();
        assert!(
            found.faults.is_empty() && found.wrong.is_empty(),
            "{found:?}"
        );
    }
}

/// onnxruntime goes on with a wrong declaration of another output, so that it is a warning. What is written has it right, but for
/// the rank.
#[test]
fn wrong_outputs_are_declared_anew() {
    for (wrong, written) in [
        (&[None, None, Some(77)][..], &[None, None, Some(24)][..]),
        (&[None, Some(24)], &[None, Some(24)]),
    ] {
        let analysis = analysed(&declaring(&plain(), "logits", wrong), &[]);
        let found = analysis.declarations();
        assert!(found.faults.is_empty(), "{found:?}");
        assert!(
            found.wrong[0].contains("but the graph makes [n, s, 24]"),
            "{found:?}"
        );
        let settings = Settings {
            round_to: RoundTo::Multiple(1),
            ..Settings::default()
        };
        let plan = planned(&analysis, &settings);
        let pruned = prune(&analysis, &plan).expect("a pruned model").settled();
        let graph = pruned.proto.graph.as_ref().expect("a graph");
        assert_eq!(sizes(&graph.output[0]), written);
        verify(&analysis, &plan, &pruned, &runtime()).expect("a proof");
    }
}

/// What a declaration is measured by: sizes that are known and element types are those that runs show, of every operator.
#[test]
fn known_sizes_and_element_types_are_those_of_runs() {
    let runtime = runtime();
    let mut wrong = Vec::new();
    let mut compared = 0;
    for case in all() {
        let analysis = analyse(&case.model);
        let graph = analysis.graph();
        let made = graph.order().iter();
        let made = made.flat_map(|&node| graph.node(node).outputs.iter().flatten());
        let names = made.map(|&value| graph.value(value).name.as_str());
        let model = tapped(graph.model(), names);
        let Ok(mut session) = runtime.session(&model, "a case") else {
            continue;
        };
        let inputs = random_inputs(&analysis, &session.inputs(), 0);
        let Ok(outputs) = inputs.and_then(|inputs| session.run(&inputs)) else {
            continue;
        };
        compared += 1;
        for (name, tensor) in outputs {
            let value = graph.find(&name).expect("a value");
            let element = analysis.state.elements[value.index()];
            let axes = analysis.state.axes(value).unwrap_or_default().iter();
            let sizes: Vec<Option<i64>> = axes
                .map(|ty| analysis.state.types.extent(ty).known())
                .collect();
            let mut pairs = sizes.iter().zip(tensor.shape());
            let fits = pairs.all(|(size, &own)| size.is_none_or(|size| size == own as i64));
            let typed = analysis.state.axes(value).is_none() || sizes.len() == tensor.shape().len();
            let same = element.is_none_or(|element| element == tensor.element());
            if !(fits && typed && same) {
                let (case, own, shape) = (&case.name, tensor.element(), tensor.shape());
                wrong.push(format!(
                    "{case}: '{name}' {element:?} {sizes:?}, {own} {shape:?}"
                ));
            }
        }
    }
    assert!(compared > 100, "{compared}");
    assert!(wrong.is_empty(), "{compared}: {wrong:#?}");
}

/// onnxruntime takes no notice of a rank that is not that of what is made, and neither does what is written.
#[test]
fn an_output_declared_with_another_rank_stays_so() {
    let model = super::cases::read_dense(super::cases::dense(17), "h").model();
    let wrong = declaring(&model, "y", &[None, Some(1), Some(4)]);
    let pruned = crate::prune(wrong, &PruneOptions::ratio(0.5)).expect("it is pruned");
    let told = pruned.report.warnings.join(" ");
    assert!(told.contains("it stays so, and says nothing"), "{told}");
    assert!(pruned.report.verification.is_some());
}
