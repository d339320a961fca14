//! Models on codes as models on numbers, new numbers as codes, and weights of codes that are recovered.

use std::collections::BTreeMap;

use super::builder::{Builder, Size, analyse, floats, noise};
use super::cases::{Case, all};
use super::rules::runtime;
use crate::data::{DataSource, random_inputs};
use crate::dimensions::Analysis;
use crate::graph::Graph;
use crate::job::{Calibration, PruneOptions, prune};
use crate::onnx::{ElementType, Model, packed, packed_bytes, to_f32};
use crate::plan::Settings;
use crate::rewrite::{
    CodedWeight, Edit, NumberedModel, on_bounded_numbers, with_codes, with_weights,
};
use crate::runtime::Runtime;

/// How far the outputs on numbers may be from those on codes, as a share of what these vary by: data is not rounded there.
const FAR: f64 = 0.1;

fn numbered(model: &Model) -> Option<(Analysis, NumberedModel)> {
    let analysis = analyse(model);
    let numbered = on_bounded_numbers(&analysis).expect("numbers")?;
    Some((analysis, numbered))
}

/// The outputs of a model on inputs by chance, as one list.
fn outputs(analysis: &Analysis, model: &Model, runtime: &Runtime) -> Result<Vec<f64>, String> {
    let session = runtime.session(model, "the model");
    let mut session = session.map_err(|fault| fault.to_string())?;
    let inputs = random_inputs(analysis, &session.inputs(), 3).map_err(|of| of.to_string())?;
    let made = session.run(&inputs).map_err(|fault| fault.to_string())?;
    Ok(made
        .iter()
        .flat_map(|(_, tensor)| tensor.to_f64())
        .collect())
}

/// By name of the codes the numbers that they are.
fn weights(numbered: &NumberedModel) -> BTreeMap<String, Vec<f32>> {
    let graph = numbered.analysis.graph();
    let names = numbered.names().map(|name| {
        let tensor = graph.find(name).and_then(|value| graph.constant(value));
        (
            name.to_owned(),
            to_f32(tensor.expect("numbers")).expect("numbers"),
        )
    });
    names.collect()
}

/// What is wrong with the numbers of a case, if anything is.
fn judge(case: &Case, runtime: &Runtime) -> Result<bool, String> {
    let Some((analysis, numbers)) = numbered(&case.model) else {
        return Ok(false);
    };
    let codes = outputs(&analysis, &case.model, runtime)?;
    let real = outputs(&analysis, numbers.analysis.graph().model(), runtime)?;
    let mean = codes.iter().sum::<f64>() / codes.len() as f64;
    let varies: f64 = codes.iter().map(|of| (of - mean).powi(2)).sum();
    let apart: f64 = codes.iter().zip(&real).map(|(a, b)| (a - b).powi(2)).sum();
    if apart > FAR * FAR * varies {
        return Err(format!("{} apart, of {}", apart.sqrt(), varies.sqrt()));
    }
    let steps = numbers
        .fitting_steps(&numbers.analysis)
        .map_err(|of| of.to_string())?;
    let same = numbers.written_back(&analysis, &numbers.analysis, &steps);
    let same = same.map_err(|of| of.to_string())?;
    for tensor in &case
        .model
        .proto
        .graph
        .clone()
        .unwrap_or_default()
        .initializer
    {
        let written = same.proto.graph.iter().flat_map(|graph| &graph.initializer);
        let mut written = written.filter(|of| of.name == tensor.name);
        let bytes = |of| packed_bytes(of).map_err(|fault| fault.to_string());
        if written.next().map(bytes).transpose()? != Some(bytes(tensor)?) {
            return Err(format!("'{}' is written as something else", tensor.name()));
        }
    }
    larger(&analysis, &numbers).map(|()| true)
}

/// Writes numbers back that are half as large again, and reads them.
fn larger(analysis: &Analysis, numbers: &NumberedModel) -> Result<(), String> {
    let old = weights(numbers);
    let graph = numbers.analysis.graph();
    let grown = |numbers: &Vec<f32>| numbers.iter().map(|of| of * 1.5).collect::<Vec<f32>>();
    let edits = old.iter().map(|(name, numbers)| {
        let value = graph.find(name).expect("a weight");
        let element = graph.element(value).unwrap_or(ElementType::Float);
        (value, Edit::Bytes(packed(&grown(numbers), element).into()))
    });
    let edited = with_weights(graph, &edits.collect()).expect("weights");
    let edited = Graph::new(&edited.settled()).expect("a graph");
    let edited = Analysis::of_edit(edited, &numbers.analysis);
    let steps = numbers
        .fitting_steps(&edited)
        .map_err(|of| of.to_string())?;
    let model = numbers.written_back(analysis, &edited, &steps);
    let model = model.map_err(|of| of.to_string())?.settled();
    let (_, again) = numbered(&model).ok_or("nothing is codes any more")?;
    for (name, new) in weights(&again) {
        let steps = numbers.by_element(&name, &steps).ok_or("no steps")?;
        for (at, (new, wanted)) in new.iter().zip(grown(&old[&name])).enumerate() {
            let [low, high] = steps.ranges[at];
            let code = wanted / steps.steps[at];
            let nearest = code.clamp(low, high) * steps.steps[at];
            // A bias follows the steps of its weight, and has room.
            let off = (new - nearest).abs() / steps.steps[at].abs();
            if off > 0.51 + 1e-6 * code.abs() {
                return Err(format!("'{name}' is {new} at {at}, not {wanted}"));
            }
        }
    }
    Ok(())
}

#[test]
fn numbers_are_those_that_codes_stand_for_and_go_back_to_codes() {
    let runtime = runtime();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    let of_codes = |case: &Case| {
        let graph = case.model.proto.graph.as_ref();
        let mut tensors = graph.into_iter().flat_map(|graph| &graph.initializer);
        tensors.any(|of| {
            let element = ElementType::of(of.data_type());
            of.dims.len() > 1 && element.is_some_and(|of| !of.is_float() && of.bits() <= 8)
        })
    };
    for case in all().into_iter().filter(of_codes) {
        match judge(&case, &runtime) {
            Ok(own) => seen += usize::from(own),
            Err(fault) => wrong.push(format!("{}: {fault}", case.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen >= 20, "{seen} cases have weights of codes");
}

/// Two products whose weights are codes with a scale per column; half of what the first makes is there twice.
fn coded() -> Model {
    let sizes: [Size; 2] = ["n".into(), 8.into()];
    let half = noise("w1", &[8, 8]);
    let half = to_f32(&half).expect("numbers");
    let twice: Vec<f32> = half.chunks(8).flat_map(|row| [row, row].concat()).collect();
    let builder = Builder::new(17)
        .input_of("x", ElementType::Float, &sizes)
        .tensor(floats("w1", &[8, 16], &twice))
        .node("MatMul", "x w1 -> a", &[])
        .weight("b1", &[16])
        .node("Add", "a b1 -> b", &[])
        .node("Relu", "b -> h", &[])
        .weight("w2", &[16, 6])
        .node("MatMul", "h w2 -> c", &[])
        .weight("b2", &[6])
        .node("Add", "c b2 -> y", &[])
        .output("y");
    let weight = |name: &str, columns: usize| CodedWeight {
        name: name.to_owned(),
        axis: 1,
        steps: vec![1.0 / 100.0; columns],
        bias: None,
    };
    let weights = [weight("w1", 16), weight("w2", 6)];
    with_codes(analyse(&builder.model()).graph(), &weights)
        .expect("codes")
        .settled()
}

#[test]
fn weights_of_codes_are_recovered_as_codes() {
    let source = DataSource::Random {
        samples: 60,
        seed: 1,
    };
    let settings = Settings {
        ratio: 0.5,
        ..Settings::default()
    };
    let options = PruneOptions {
        settings,
        calibration: Some(Calibration::new(source)),
        ..PruneOptions::default()
    };
    let pruned = prune(coded(), &options).expect("a model");
    let recovery = pruned.report.recovery.expect("a recovery");
    let [before, after] = recovery.divergence;
    assert!(recovery.kept && after < before / 4.0, "{before} {after}");
    let analysis = analyse(&pruned.model.clone().settled());
    let graph = analysis.graph();
    let coded = analysis
        .weights()
        .filter(|(value, axes)| axes.len() > 1 && graph.element(*value) == Some(ElementType::Int8));
    assert_eq!(coded.count(), 2);
}
