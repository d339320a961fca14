//! The judge judged: pruned models, plans and twins are damaged in ways in which a rewrite could be wrong, for every
//! operator with a case and for trained nets. Loading, onnxruntime or the proof must refuse each.
//!
//! A part of the damages is tried; `SECATEUR_TEST_DAMAGES=all` tries every one.

mod kinds;
mod tensors;

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message;
use rayon::prelude::*;

use super::builder::analyse;
use super::cases;
use super::rules::runtime;
use crate::criteria::{Criterion, scores};
use crate::dimensions::Analysis;
use crate::error::Error;
use crate::onnx::Model;
use crate::onnx::proto::ModelProto;
use crate::plan::{Plan, RoundTo, Settings};
use crate::rewrite::{Masks, prune, twin};
use crate::runtime::Runtime;
use crate::search::select;
use crate::validate::{verify, verify_equal};

use kinds::{Damage, KINDS, MASKS};

/// Of this many damages one is tried in a short run.
const STRIDE: usize = 5;
/// Trained nets whose rewrites are damaged as well.
const TRAINED: [&str; 5] = [
    "lenet_mnist",
    "resnet8_fashion.bn",
    "gru_fashion",
    "lstm_spam",
    "vit_fashion",
];
/// What no output shows, and why: parts of what a damage is called.
const EQUIVALENT: &[(&str, &str)] = &[
    (": InstanceNormalization: b1", CANCELLED),
    (": MeanVarianceNormalization: b1", CANCELLED),
    (": Softmax: b1", CANCELLED),
    (": LogSoftmax: b1", CANCELLED),
    (": Hardmax: b1", CANCELLED),
    (": ArgMax: b1", CANCELLED),
    (": ArgMin: b1", CANCELLED),
    (": OneHot of places: b1", CANCELLED),
    ("a position twice: GatherElements of rows: w1", LONGER),
    ("a position twice: GatherElements by a table: w1", LONGER),
    ("a position twice: the best of another value: w3", LONGER),
    (
        "other numbers at one position: Where by flags: w1",
        REPLACED,
    ),
    (
        "a mask's element: Conv, normed weight of groups: secateur.mask.0[",
        UNREAD,
    ),
    (
        "another axis: CausalConvWithState t f -> c l none: perm of 'Transpose3'",
        UNREAD,
    ),
    (
        "another axis: CausalConvWithState t f b -> c l silu: perm of 'Transpose3'",
        UNREAD,
    ),
    ("other numbers at one position: Sign: w1", UNCHANGED),
    ("other numbers at one position: Min: w1", UNCHANGED),
    ("other numbers at one position: Max: c", UNCHANGED),
    (": And: d", UNCHANGED),
    (": Or: d", UNCHANGED),
    (": Xor: d", UNCHANGED),
    // The middle of them is added to every key alike.
    (
        "other numbers at one position: vit_fashion: blocks.",
        CANCELLED,
    ),
    // Scales of neighbours, a tenth apart, of one column of eight.
    (
        "a removed position in the place of a kept one: QLinearSigmoid: w1.scale",
        STEP,
    ),
    (
        "a removed position in the place of a kept one: QLinearLeakyRelu: w1.scale",
        STEP,
    ),
    (": Pad: w2", PADDED),
    (": Pad: secateur.mask.0[0]", PADDED),
    (": ReduceProd: w", TINY),
    (": ReduceProd: secateur.mask.0", TINY),
    ("a mask's element: LSTM", TWICE),
    ("a mask's element: DynamicQuantizeLSTM", TWICE),
    ("a mask's element: GRU", TWICE),
    ("a mask's element: QMoE", TWICE),
    ("a mask's element: RNN", TWICE),
    ("a mask's element: Attention", HEADS),
    ("a mask's element: MultiHeadAttention", HEADS),
    ("a mask's element: QAttention", HEADS),
    ("a mask's element: GroupQueryAttention", HEADS),
    ("a mask's element: LinearAttention", HEADS),
    // What is added to every key alike.
    (
        "other numbers at one position: MultiHeadAttention: b",
        CANCELLED,
    ),
    (
        "other numbers at one position: Attention of one weight: b",
        CANCELLED,
    ),
    ("a mask's element: gru_fashion: secateur.mask", TWICE),
    ("a mask's element: lstm_spam: secateur.mask", TWICE),
    ("another axis: LSTM forward: perm", OF_ONE),
    ("another axis: GRU forward: perm", OF_ONE),
    ("another axis: RNN forward: perm", OF_ONE),
    ("another axis: Squeeze, Unsqueeze, Transpose: perm", OF_ONE),
    // The proof runs single samples where a model takes any number.
    (": axis of '/Flatten'", OF_ONE),
    ("secateur.mask.2 was 1.4142135", STRETCHED),
    (
        ": RMSNormalization: secateur.mask.1 was 1.4142135",
        STRETCHED,
    ),
    (
        ": SimplifiedLayerNormalization: secateur.mask.1 was 1.4142135",
        STRETCHED,
    ),
    (
        ": RMSNormalization of all: secateur.mask.1 was 1.4142135",
        STRETCHED,
    ),
    (": CumSum of channels 1 ", FIRST),
    ("into a table: table along axis 0", UNTAKEN),
];
const UNTAKEN: &str = "of a table few rows are taken";
const CANCELLED: &str = "what is the same everywhere along the axis does not change the result";
const UNCHANGED: &str = "the sign, or which of two numbers is the larger, stays as it is";
const PADDED: &str = "the position is padding, which is zero";
const TINY: &str = "products of 36 numbers below one: a single position decides all";
const TWICE: &str = "units are masked where they are made and where they are read";
const STRETCHED: &str = "what is normalised may be of any size, but for epsilon";
const UNREAD: &str = "the norm of a filter that is removed is read by nobody";
const STEP: &str = "it moves outputs by a step of a code, as rounding may";
const LONGER: &str = "an index may be shorter than its data: what is behind it is read by nobody";
const REPLACED: &str = "another number stands there instead";
const FIRST: &str = "one position is in no sum, and one sum is of none";
const HEADS: &str = "heads are masked with the width of queries, and where what they make is read";
const OF_ONE: &str = "an axis of one position may stand anywhere";

/// A model that is pruned, and what it should become.
struct Subject {
    name: String,
    analysis: Analysis,
    plan: Plan,
    before: ModelProto,
    after: ModelProto,
}

impl Subject {
    /// Nothing where no dimension can be proven.
    fn new(name: &str, model: &Model) -> Option<Subject> {
        let analysis = analyse(model);
        let settings = Settings {
            round_to: RoundTo::Multiple(1),
            only: vec!["*".to_owned()],
            ..Settings::default()
        };
        let scores = scores(&analysis, Criterion::L2, 0).ok()?;
        let selection = select(&analysis, &scores, &settings).ok()?;
        let plan = Plan::new(&analysis, &selection, &scores, &settings).provable_part(&analysis);
        let plan = plan.checked(&analysis).ok()?;
        if plan.dimensions.is_empty() {
            return None;
        }
        let pruned = prune(&analysis, &plan).expect("it is pruned");
        Some(Subject {
            name: name.to_owned(),
            before: ModelProto::clone(&model.clone().settled().proto),
            after: ModelProto::clone(&pruned.settled().proto),
            analysis,
            plan,
        })
    }

    /// What keeps a damaged result from being taken for the right one; nothing if nothing does.
    fn refusal(&self, damaged: &ModelProto, runtime: &Runtime) -> Option<String> {
        let model = match Model::from_bytes(damaged.encode_to_vec()) {
            Ok(model) => model,
            Err(fault) => return Some(fault.to_string()),
        };
        refused(verify(&self.analysis, &self.plan, &model, runtime).map(drop))
    }

    /// The same for a twin whose masks are damaged.
    fn refusal_by(&self, twin: &ModelProto, runtime: &Runtime) -> Option<String> {
        let model =
            |proto: &ModelProto| Model::from_bytes(proto.encode_to_vec()).expect("a sound model");
        let (twin, after) = (model(twin), model(&self.after));
        let verdict = verify_equal(&self.analysis, &twin, &after, "the twin", 1e-4, runtime);
        refused(verdict.map(drop))
    }
}

fn refused(verdict: Result<(), Error>) -> Option<String> {
    match verdict {
        Ok(()) => None,
        Err(fault @ Error::Verification { .. }) => Some(fault.to_string()),
        Err(other) => panic!("the proof itself failed: {other}"),
    }
}

fn subjects() -> Vec<Subject> {
    let mut models: Vec<(String, Model)> = cases::all()
        .into_iter()
        .map(|case| (case.name, case.model))
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/trained");
    for name in TRAINED {
        let model = Model::load(folder.join(format!("{name}.onnx"))).expect("a model");
        models.push((name.to_owned(), model));
    }
    let made = models.iter().map(|(name, model)| Subject::new(name, model));
    made.flatten().collect()
}

/// Damages of a subject that are tried, and those that nothing refused.
#[derive(Default)]
struct Tally {
    tried: BTreeMap<&'static str, usize>,
    survivors: Vec<String>,
}

impl Tally {
    fn add(&mut self, kind: &'static str, what: &str, refusal: Option<String>) {
        *self.tried.entry(kind).or_default() += 1;
        if refusal.is_none() {
            self.survivors.push(format!("{kind}: {what}"));
        }
    }

    fn merge(mut self, other: Tally) -> Tally {
        for (kind, count) in other.tried {
            *self.tried.entry(kind).or_default() += count;
        }
        self.survivors.extend(other.survivors);
        self
    }
}

/// Tries the damages of one subject; `turn` says which.
fn tried(subject: &Subject, turn: &dyn Fn(usize) -> bool, runtime: &Runtime) -> Tally {
    let mut tally = Tally::default();
    for (place, kind) in KINDS.iter().enumerate() {
        if !turn(place) {
            continue;
        }
        for Damage { what, model } in kind.of(&subject.before, &subject.after, &subject.plan) {
            let what = format!("{}: {what}", subject.name);
            tally.add(kind.name, &what, subject.refusal(&model, runtime));
        }
    }
    if turn(KINDS.len()) {
        let sound = twin(&subject.analysis, &subject.plan, Masks::Initializers).expect("a twin");
        for Damage { what, model } in kinds::masks(&sound.settled().proto) {
            let what = format!("{}: {what}", subject.name);
            tally.add(MASKS, &what, subject.refusal_by(&model, runtime));
        }
    }
    if turn(KINDS.len() + 1) {
        for (what, plan) in kinds::plans(&subject.plan) {
            let what = format!("{}: {what}", subject.name);
            let model = prune(&subject.analysis, &plan).map(|model| model.settled().proto);
            let refusal = match model {
                Ok(model) => subject.refusal(&model, runtime),
                Err(fault) => Some(fault.to_string()),
            };
            tally.add(kinds::PLANS, &what, refusal);
        }
    }
    tally
}

#[test]
fn every_damage_is_refused() {
    let runtime = runtime();
    let all = std::env::var_os("SECATEUR_TEST_DAMAGES").is_some();
    let subjects = subjects();
    let tally = subjects.par_iter().enumerate().map(|(number, subject)| {
        let turn = |kind: usize| all || (number + kind).is_multiple_of(STRIDE);
        tried(subject, &turn, &runtime)
    });
    let tally = tally.reduce(Tally::default, Tally::merge);
    eprintln!("{:?}", tally.tried);
    let known = |what: &String| EQUIVALENT.iter().any(|(part, _)| what.contains(part));
    let survivors: Vec<&String> = tally.survivors.iter().filter(|what| !known(what)).collect();
    assert!(survivors.is_empty(), "{survivors:#?}");
    let count: usize = tally.tried.values().sum();
    assert!(
        count > 300 && tally.tried.len() == KINDS.len() + 2,
        "{:?}",
        tally.tried
    );
}
