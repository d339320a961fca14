//! Models with a smaller vocabulary make of ids that stay what the originals make, whichever way ids become places.

use std::path::PathBuf;

use super::builder::{Builder, Size, Value, analyse, noise};
use super::rules::runtime;
use crate::dimensions::{Analysis, InputSizes};
use crate::error::{Class, Error};
use crate::graph::Graph;
use crate::job::{PruneOptions, Pruned, VocabularyOptions, prune};
use crate::onnx::{ElementType, Model, from_raw};
use crate::ops::{CutRules, Premises};
use crate::plan::{Remap, Settings};
use crate::runtime::Tensor;
use crate::validate::verify;

const IDS: usize = 40;
const WIDTH: usize = 8;
const KEPT: [i64; 9] = [0, 1, 2, 5, 11, 17, 23, 38, 39];

/// What is in front of an embedding, and behind it.
fn embedded(index: ElementType, front: &str, back: &[&str], last: &str) -> Builder {
    let size = |name: &'static str| Size::Named(name);
    let mut builder = Builder::new(17)
        .input_of("ids", index, &[size("batch"), size("length")])
        .weight("table", &[IDS, WIDTH])
        .weight("w1", &[WIDTH, 12])
        .weight("w2", &[12, WIDTH])
        .weight("head", &[WIDTH, IDS])
        .weight("bias", &[IDS])
        .weight("few", &[WIDTH, 3])
        .weight("places", &[64, WIDTH]);
    builder = builder.scalar("pad", 1).scalar("one", 1);
    let lines = front.split("; ").filter(|line| !line.is_empty());
    for line in lines.chain(["MatMul e w1 -> h", "Relu h -> r", "MatMul r w2 -> x"]) {
        builder = said(builder, line);
    }
    for line in back {
        builder = said(builder, line);
    }
    let mut builder = builder.output(last);
    // What nothing reads is not there.
    let graph = builder.graph_proto();
    let read = |name: &str| {
        graph
            .node
            .iter()
            .any(|node| node.input.iter().any(|i| i == name))
    };
    let kept = graph.initializer.iter().filter(|t| read(t.name())).cloned();
    graph.initializer = kept.collect();
    builder
}

/// `Operator inputs -> outputs`, with what the few operators here need.
fn said(builder: Builder, line: &str) -> Builder {
    let (operator, wiring) = line.split_once(' ').expect("an operator");
    let attributes: Vec<(&'static str, Value)> = match operator {
        "Cast" => vec![("to", Value::Int(7))],
        "Transpose" => vec![("perm", Value::Ints(vec![1, 0]))],
        _ => Vec::new(),
    };
    builder.node(operator, wiring, &attributes)
}

const UNTIED: &[&str] = &["MatMul x head -> l", "Add l bias -> y"];
const TIED: &[&str] = &["Transpose table -> t", "MatMul x t -> y"];

fn cases() -> Vec<(&'static str, Builder)> {
    let (long, short) = (ElementType::Int64, ElementType::Int32);
    let picked = "Gather table ids -> e";
    let positions = "Equal ids pad -> is; Not is -> no; Cast no -> n; CumSum n one -> c; Mul c n -> p; Gather places p -> q; \
         Gather table ids -> f; Add f q -> e";
    vec![
        ("an untied head", embedded(long, picked, UNTIED, "y")),
        ("a tied head", embedded(long, picked, TIED, "y")),
        ("ids of 32 bits", embedded(short, picked, UNTIED, "y")),
        (
            "ids that are cast",
            embedded(short, "Cast ids -> i; Gather table i -> e", UNTIED, "y"),
        ),
        (
            "ids that are cast and compared",
            embedded(
                short,
                "Cast ids -> i; Equal i pad -> is; Not is -> no; Cast no -> n; CumSum n one -> c; Mul c n -> p; Gather places p -> q; Gather table i -> f; Add f q -> e",
                UNTIED,
                "y",
            ),
        ),
        (
            "positions of what is not padding",
            embedded(long, positions, &["MatMul x few -> y"], "y"),
        ),
        (
            "no head",
            embedded(long, picked, &["MatMul x few -> y"], "y"),
        ),
        (
            "a head with a distribution behind it",
            embedded(long, picked, &["MatMul x head -> l", "Softmax l -> y"], "y"),
        ),
    ]
}

pub(super) fn cut(
    model: &Model,
    ids: &[i64],
    remap: Remap,
    skip: &[&str],
) -> crate::Result<Pruned> {
    let folder = tempfile::tempdir().expect("a folder");
    let path: PathBuf = folder.path().join("keep.txt");
    let lines: Vec<String> = ids.iter().map(i64::to_string).collect();
    std::fs::write(&path, lines.join("\n")).expect("space");
    let options = PruneOptions {
        vocabulary: Some(VocabularyOptions {
            ids: Some(path),
            remap,
            ..VocabularyOptions::default()
        }),
        settings: Settings {
            skip: skip.iter().map(|&glob| glob.to_owned()).collect(),
            ..Settings::default()
        },
        ..PruneOptions::default()
    };
    prune(model.clone(), &options)
}

/// What a model makes of these ids.
pub(super) fn run(model: &Model, ids: &[i64]) -> Tensor {
    let mut session = runtime().session(model, "the model").expect("it loads");
    let element = session.inputs()[0].element.expect("numbers");
    let numbers = ids.iter().map(|&id| id as f64);
    let tensor = Tensor::from_numbers(element, &[1, ids.len()], numbers).expect("ids");
    let made = session.run(&[("ids".to_owned(), tensor)]).expect("it runs");
    made.into_iter().next().expect("an output").1
}

#[test]
fn ids_that_stay_are_answered_as_before() {
    let text = [5, 1, 39, 2, 2, 0, 17];
    let places = text.map(|id| KEPT.iter().position(|&kept| kept == id).expect("it stays") as i64);
    for (name, builder) in cases() {
        let model = builder.model();
        let whole = run(&model, &text);
        for remap in [Remap::Outside, Remap::Inside] {
            let pruned = cut(&model, &KEPT, remap, &[]).expect(name);
            let proof = pruned.report.verification.as_ref().expect("a proof");
            assert!(
                proof.left_out == 0 && proof.worst() == 0.0,
                "{name}: {proof:?}"
            );
            assert!(pruned.report.after.params < pruned.report.before.params);
            let ids = if remap == Remap::Outside {
                places
            } else {
                text
            };
            compare(
                &format!("{name}, {remap}"),
                &whole,
                &run(&pruned.model, &ids),
                remap,
            );
        }
    }
}

/// Bit for bit, at what stays; `-inf` at what is gone where it has a place.
fn compare(name: &str, whole: &Tensor, made: &Tensor, remap: Remap) {
    let last = |tensor: &Tensor| *tensor.shape().last().expect("an axis");
    let (old, new) = (last(whole), last(made));
    let cut = old == IDS && (new < old || made.to_f64().contains(&f64::NEG_INFINITY));
    assert_eq!(
        new,
        if cut && remap == Remap::Outside {
            KEPT.len()
        } else {
            old
        },
        "{name}"
    );
    let (whole, made) = (whole.to_f64(), made.to_f64());
    for (row, made) in whole.chunks(old).zip(made.chunks(new)) {
        for (place, &number) in row.iter().enumerate() {
            let kept = KEPT.iter().position(|&id| id == place as i64);
            let now = match (cut, remap, kept) {
                (false, ..) | (true, Remap::Inside, Some(_)) => made[place],
                (true, Remap::Outside, Some(kept)) => made[kept],
                (true, Remap::Inside, None) => {
                    assert_eq!(made[place], f64::NEG_INFINITY, "{name}");
                    continue;
                }
                _ => continue,
            };
            assert_eq!(number.to_bits(), now.to_bits(), "{name} at {place}");
        }
    }
}

#[test]
fn renumbering_adds_no_node_where_ids_go_to_the_table_alone() {
    for (name, nodes) in [
        ("a tied head", 0),
        ("ids that are cast", 0),
        ("positions of what is not padding", 1),
    ] {
        let mut all = cases().into_iter();
        let (_, builder) = all.find(|(known, _)| *known == name).expect(name);
        let model = builder.model();
        let count = |model: &Model| {
            model
                .proto
                .graph
                .as_ref()
                .map_or(0, |graph| graph.node.len())
        };
        let pruned = cut(&model, &KEPT, Remap::Outside, &[]).expect(name);
        assert_eq!(count(&pruned.model), count(&model) + nodes, "{name}");
    }
}

/// A damaged result does not pass the proof: rows in another order, and ids in another.
#[test]
fn wrong_rows_and_wrong_ids_are_found() {
    for (name, weight) in [
        ("a tied head", "table"),
        ("positions of what is not padding", "secateur.ids"),
    ] {
        let mut all = cases().into_iter();
        let model = all.find(|(known, _)| *known == name).expect(name).1.model();
        let pruned = cut(&model, &KEPT, Remap::Outside, &[]).expect(name);
        let mut wrong = pruned.model.clone().settled();
        let graph = wrong.proto.graph.as_mut().expect("a graph");
        let tensor = graph
            .initializer
            .iter_mut()
            .find(|tensor| tensor.name() == weight)
            .expect(weight);
        let mut bytes = tensor.raw_data.as_ref().expect("bytes").to_vec();
        let (middle, row) = (bytes.len() / KEPT.len(), bytes.len() / KEPT.len());
        for place in 0..row {
            bytes.swap(place, middle + place);
        }
        tensor.raw_data = Some(bytes.into());
        let graph = Graph::new(&model).expect("a graph");
        let sizes = InputSizes::for_graph(&graph, &[]).expect("sizes");
        let premises = Premises {
            cuts: CutRules {
                vocabulary: true,
                ..CutRules::default()
            },
            ..Premises::default()
        };
        let analysis = Analysis::with(graph, sizes, premises);
        let verdict = verify(&analysis, &pruned.plan, &wrong, &runtime());
        assert!(matches!(verdict, Err(Error::Verification { .. })), "{name}");
        verify(&analysis, &pruned.plan, &pruned.model, &runtime()).expect("the right one");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let model = embedded(ElementType::Int64, "Gather table ids -> e", UNTIED, "y").model();
    let fault = |ids: &[i64]| cut(&model, ids, Remap::Outside, &[]).expect_err("a refusal");
    let outside = fault(&[0, 40]);
    assert_eq!(outside.class(), Class::Input);
    assert!(
        outside
            .to_string()
            .contains("id 40 is none of the model, which has 40"),
        "{outside}"
    );
    let all: Vec<i64> = (0..40).collect();
    assert!(fault(&all).to_string().contains("all 40 ids"));
    let tied = embedded(
        ElementType::Int64,
        "Gather table ids -> e",
        &[
            "Transpose table -> t",
            "MatMul x t -> l",
            "LogSoftmax l -> y",
        ],
        "y",
    );
    let held = cut(&tied.model(), &KEPT, Remap::Inside, &[]).expect_err("it is held");
    assert!(
        matches!(held, Error::NothingToPrune { .. }) && held.to_string().contains("LogSoftmax"),
        "{held}"
    );
    let own = Builder::new(17)
        .input_of("ids", ElementType::Int64, &[1.into(), 3.into()])
        .tensor(noise("table", &[IDS, WIDTH]))
        .tensor(from_raw(
            "own",
            ElementType::Int64,
            &[1, 1],
            7_i64.to_le_bytes().to_vec(),
        ))
        .node("Concat", "own ids -> all", &[("axis", Value::Int(1))])
        .node("Gather", "table all -> y", &[])
        .output("y");
    let own = cut(&own.model(), &KEPT, Remap::Outside, &[]).expect_err("7 has to stay");
    assert!(
        own.to_string().contains("puts id 7 (constant 'own')"),
        "{own}"
    );
}

/// Without the wish nothing changes: ids are a contract.
#[test]
fn tables_are_held_unless_their_rows_are_asked_for() {
    let (_, builder) = cases().into_iter().next().expect("a case");
    let analysis = analyse(&builder.model());
    assert!(analysis.vocabularies().is_empty());
    assert!(analysis.dimensions().iter().all(|of| of.size != IDS));
}
