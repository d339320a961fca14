//! What pruning left, quantised for what the original makes.

use super::builder::{Builder, analyse};
use super::quantise::every;
use super::rules::runtime;
use crate::criteria::{Criterion, scores};
use crate::data::{DataSet, DataSource, declared_inputs};
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::events::Silent;
use crate::graph::Graph;
use crate::job::Calibration;
use crate::onnx::Model;
use crate::plan::{Plan, Settings};
use crate::quantise::{QuantiseSettings, Quantised, Subject, quantise};
use crate::rewrite;
use crate::runtime::Provider;
use crate::validate::{PlacedFor, same_structure, verify_integers};
use crate::{Class, PruneOptions};

const SOURCE: DataSource = DataSource::Random {
    samples: 200,
    seed: 1,
};

/// Two layers; `prefix` stands before the names of what they make.
fn net(prefix: &str) -> Analysis {
    let node = |text: &str| text.replace('@', prefix);
    let builder = Builder::new(17)
        .input("x", &[20, 6])
        .weight("w1", &[6, 16])
        .weight("b1", &[16])
        .weight("w2", &[16, 4])
        .weight("b2", &[4])
        .node("Gemm", &node("x w1 b1 -> @h"), &[])
        .node("Relu", &node("@h -> @r"), &[])
        .node("Gemm", &node("@r w2 b2 -> @m"), &[])
        .node("Sigmoid", &node("@m -> y"), &[])
        .output("y");
    analyse(&builder.model())
}

fn plan(analysis: &Analysis, criterion: Criterion, seed: u64) -> Plan {
    let settings = Settings::default();
    let scores = scores(analysis, criterion, seed).expect("scores");
    let selection = crate::search::select(analysis, &scores, &settings).expect("a selection");
    Plan::new(analysis, &selection, &scores, &settings)
}

fn part(analysis: &Analysis, plan: &Plan) -> Analysis {
    let model = rewrite::prune(analysis, plan).expect("a model");
    Analysis::of_edit(Graph::new(&model.settled()).expect("a graph"), analysis)
}

fn quantised(subject: &Subject) -> Quantised {
    let part = subject.part;
    let set = DataSet::open(&SOURCE, &declared_inputs(part), part, 1);
    let data = set.expect("data").in_batches(20);
    let pass = Pass {
        runtime: &runtime(),
        provider: &Provider::Cpu,
        data: &data,
    };
    let settings = every();
    quantise(subject, &settings, pass, &mut Silent).expect("a quantised model")
}

fn is_proven(found: &Quantised, written: &Model, part: &Analysis) -> bool {
    let set = DataSet::open(&SOURCE, &declared_inputs(part), part, 1);
    let batch = set.expect("data").in_batches(20).batch(0).expect("a batch");
    let products = ["h".to_owned(), "m".to_owned()];
    let same = same_structure(&found.planned, written, &found.weights, 64);
    let kernels = PlacedFor::Onnxruntime;
    let proof = verify_integers(
        &found.planned,
        written,
        &products,
        &batch,
        &runtime(),
        kernels,
    );
    same.is_ok() && proof.is_ok()
}

#[test]
fn what_another_plan_leaves_is_not_proven() {
    let dense = net("");
    let [right, wrong] = [1, 2].map(|seed| {
        let plan = plan(&dense, Criterion::Random, seed);
        let part = part(&dense, &plan);
        let found = quantised(&Subject::of_plan(&dense, &dense, &plan, &part));
        assert!(is_proven(&found, &found.model, &part));
        (found, part)
    });
    assert!(!is_proven(&right.0, &wrong.0.model, &right.1));
}

/// The sum of the squared errors of a model's outputs against those of the net.
fn error(dense: &Analysis, model: &Model) -> f64 {
    let set = DataSet::open(&SOURCE, &declared_inputs(dense), dense, 1);
    let inputs = set.expect("data").in_batches(20).batch(0).expect("a batch");
    let run = |model: &Model| {
        let mut session = runtime().session(model, "the model").expect("a session");
        let outputs = session.run(&inputs.inputs).expect("a run");
        outputs[0].1.to_f64()
    };
    let pairs = run(dense.graph().model()).into_iter().zip(run(model));
    pairs.map(|(a, b)| (a - b).powi(2)).sum()
}

#[test]
fn rounding_for_the_original_repairs_what_pruning_broke() {
    let dense = net("");
    let plan = plan(&dense, Criterion::L2, 0);
    let part = part(&dense, &plan);
    let alone = quantised(&Subject::alone(&part));
    let together = quantised(&Subject::of_plan(&dense, &dense, &plan, &part));
    let [alone, together] = [alone, together].map(|found| error(&dense, &found.model));
    assert!(2.0 * together < alone, "{together} and {alone}");
}

#[test]
fn layers_that_the_teacher_does_not_have_are_rounded_for_what_they_make() {
    let dense = net("");
    let plan = plan(&dense, Criterion::L2, 0);
    let part = part(&dense, &plan);
    let stranger = net("other.");
    let found = quantised(&Subject::of_plan(&stranger, &dense, &plan, &part));
    assert!(is_proven(&found, &found.model, &part));
    assert_eq!(found.layers.len(), 2);
    let alone = quantised(&Subject::alone(&part));
    for (layer, own) in found.layers.iter().zip(&alone.layers) {
        assert_eq!((layer.method, &layer.errors), (own.method, &own.errors));
    }
}

#[test]
fn weights_that_nodes_rearrange_are_known_in_the_original() {
    let builder = Builder::new(17)
        .input("x", &[20, 6])
        .weight("w1", &[16, 6])
        .weight("w2", &[4, 16])
        .node("Transpose", "w1 -> t1", &[])
        .node("MatMul", "x t1 -> h", &[])
        .node("Relu", "h -> r", &[])
        .node("Transpose", "w2 -> t2", &[])
        .node("MatMul", "r t2 -> y", &[])
        .output("y");
    let options = PruneOptions {
        calibration: Some(Calibration::new(SOURCE)),
        quantise: Some(super::quantise::every()),
        ..PruneOptions::ratio(0.5)
    };
    let pruned = crate::prune(builder.model(), &options).expect("a model");
    let found = pruned.report.quantisation.expect("codes");
    assert_eq!(found.layers.len(), 2);
    assert!(found.layers.iter().all(|layer| layer.rounding.is_some()));
    assert!(found.for_original, "{:?}", pruned.report.warnings);
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_pruned() {
    let builder = Builder::new(12)
        .input("x", &[20, 6])
        .weight("w", &[6, 16])
        .weight("v", &[16, 4])
        .node("MatMul", "x w -> h", &[])
        .node("MatMul", "h v -> y", &[])
        .output("y");
    let model = builder.model();
    let refused = |calibration: Option<Calibration>, settings: QuantiseSettings| {
        let options = PruneOptions {
            calibration,
            quantise: Some(settings),
            ..PruneOptions::ratio(0.5)
        };
        let fault = crate::prune(model.clone(), &options).expect_err("a refusal");
        assert_eq!(fault.class(), Class::Usage);
        fault.to_string()
    };
    let data = || Some(Calibration::new(SOURCE));
    let settings = QuantiseSettings::default;
    assert!(refused(data(), settings()).contains("operator set 12"));
    assert!(refused(None, settings()).contains("`calibration`"));
    let stored = QuantiseSettings {
        weight_only: true,
        ..settings()
    };
    assert!(refused(data(), stored).contains("secateur quantise"));
}
