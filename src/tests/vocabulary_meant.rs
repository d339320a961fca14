//! Which tables ids are those of, and what is told of the rest.

use super::builder::{Builder, Size, Value};
use super::vocabulary_cuts::{cut, run};
use crate::error::Class;
use crate::job::{PruneOptions, prune};
use crate::onnx::{ElementType, Model};
use crate::plan::Remap;

const KEPT: [i64; 6] = [0, 1, 2, 5, 11, 17];

/// Pieces and places, each with a table of its own, and what the model answers with.
fn two_tables(pieces: usize, places: usize) -> Builder {
    let free = |name: &'static str| Size::Named(name);
    let sizes = [free("batch"), free("length")];
    Builder::new(17)
        .input_of("ids", ElementType::Int64, &sizes)
        .input_of("place_ids", ElementType::Int64, &sizes)
        .weight("pieces", &[pieces, 8])
        .weight("places", &[places, 8])
        .weight("head", &[8, pieces])
        .node("Gather", "pieces ids -> a", &[])
        .node("Gather", "places place_ids -> b", &[])
        .node("Add", "a b -> x", &[])
        .node("MatMul", "x head -> logits", &[])
}

fn rows(model: &Model, name: &str) -> i64 {
    let graph = model.proto.graph.as_ref().expect("a graph");
    let mut tensors = graph.initializer.iter();
    let table = tensors.find(|tensor| tensor.name() == name);
    table.expect("a table").dims[0]
}

/// The largest table need not be that of the pieces: where the ids fit several, which is meant has to be said.
#[test]
fn tables_that_are_not_meant_keep_their_rows() {
    let large = two_tables(64, 40).output("logits").model();
    let kept: Vec<i64> = KEPT.into_iter().chain([50]).collect();
    let made = cut(&large, &kept, Remap::Outside, &[]).expect("only the pieces have 50");
    assert_eq!(
        [rows(&made.model, "pieces"), rows(&made.model, "places")],
        [7, 40]
    );
    let small = two_tables(24, 128).output("logits").model();
    let unclear = cut(&small, &KEPT, Remap::Outside, &[]).expect_err("both fit");
    assert_eq!(unclear.class(), Class::Usage);
    for told in [
        "'ids' picks from 24 rows",
        "'place_ids' picks from 128 rows",
    ] {
        assert!(unclear.to_string().contains(told), "{unclear}");
    }
    for skip in ["places*", "place_ids"] {
        let made = cut(&small, &KEPT, Remap::Outside, &[skip]).expect(skip);
        assert_eq!(
            [rows(&made.model, "pieces"), rows(&made.model, "places")],
            [6, 128]
        );
        let row = made.report.vocabulary.expect("what became of it");
        assert_eq!(
            (row.inputs, row.outputs),
            (vec!["ids".to_owned()], vec!["logits".to_owned()])
        );
    }
    let none = cut(&small, &KEPT, Remap::Outside, &["*"]).expect_err("nothing is left");
    assert!(none.to_string().contains("`skip` names all"), "{none}");
    // As many ids in both: which of them the answer is for nothing says.
    let equal = two_tables(40, 40).output("logits").model();
    let made = cut(&equal, &KEPT, Remap::Outside, &["places*"]).expect("pieces");
    assert_eq!(
        made.report.vocabulary.expect("a row").outputs,
        Vec::<String>::new()
    );
}

#[test]
fn ids_that_a_model_answers_with_are_told_of() {
    let model = two_tables(64, 8)
        .node("ArgMax", "logits -> best", &[("axis", Value::Int(-1))])
        .output_of("best", ElementType::Int64)
        .model();
    let made = cut(&model, &KEPT, Remap::Outside, &["places*"]).expect("pieces");
    let told = |made: &crate::job::Pruned| made.report.warnings.join(" ");
    assert!(
        told(&made).contains("output 'best' still answers with old ids"),
        "{}",
        told(&made)
    );
    let made = cut(&model, &KEPT, Remap::Inside, &["places*"]).expect("pieces");
    assert!(!told(&made).contains("old ids"), "{}", told(&made));
}

/// Where an id that is gone ends a run, whatever runs the model draws ids that stay; and it is not cut again.
#[test]
fn a_model_that_renumbers_ids_itself_is_pruned_further() {
    let model = two_tables(64, 8).output("logits");
    let model = model.model();
    let made = cut(&model, &KEPT, Remap::Inside, &["places*"])
        .expect("pieces")
        .model
        .settled();
    let again = cut(&made, &KEPT[..4], Remap::Inside, &["places*"]).expect_err("it has a list");
    assert!(again.to_string().contains("renumbered inside"), "{again}");
    let further = prune(made, &PruneOptions::ratio(0.5)).expect("channels go");
    assert!(
        further
            .report
            .verification
            .is_some_and(|of| of.left_out == 0)
    );
}

#[test]
fn a_plan_that_is_replayed_says_what_became_of_the_vocabulary() {
    let model = two_tables(64, 8).output("logits").model();
    let made = cut(&model, &KEPT, Remap::Outside, &["places*"]).expect("pieces");
    let options = PruneOptions {
        plan: Some(made.plan.clone().into()),
        ..PruneOptions::default()
    };
    let again = prune(model, &options).expect("it is replayed");
    let [one, other] = [&made, &again].map(|of| of.report.vocabulary.as_ref().expect("a row"));
    assert_eq!((one.after, &one.outputs), (other.after, &other.outputs));
}

/// Ids that pick as other numbers than they are given as.
#[test]
fn ids_of_any_type_are_renumbered() {
    for element in [ElementType::Uint8, ElementType::Int16, ElementType::Float] {
        let free = |name: &'static str| Size::Named(name);
        let model = Builder::new(17)
            .input_of("ids", element, &[free("batch"), free("length")])
            .weight("pieces", &[64, 8])
            .weight("head", &[8, 64])
            .node("Cast", "ids -> whole", &[("to", Value::Int(7))])
            .node("Gather", "pieces whole -> x", &[])
            .node("MatMul", "x head -> logits", &[])
            .output("logits")
            .model();
        for remap in [Remap::Outside, Remap::Inside] {
            let made = cut(&model, &KEPT, remap, &[]).expect("it is cut");
            assert_eq!(rows(&made.model, "pieces"), 6, "{element} {remap}");
        }
    }
}

/// An output that a body reads is what it was for the body, and not what callers get instead.
#[test]
fn bodies_go_on_with_what_an_output_was() {
    let free = |name: &'static str| Size::Named(name);
    let branch = |function: &str, made: &str| {
        let builder = Builder::new(17).node(function, &format!("logits -> {made}"), &[]);
        builder.output(made)
    };
    let model = Builder::new(17)
        .input_of("ids", ElementType::Int64, &[free("batch"), free("length")])
        .input_of("flag", ElementType::Bool, &[])
        .weight("pieces", &[64, 8])
        .weight("head", &[8, 64])
        .node("Gather", "pieces ids -> x", &[])
        .node("MatMul", "x head -> logits", &[])
        .node("If", "flag -> y", &[])
        .body("then_branch", branch("Abs", "yes"))
        .body("else_branch", branch("Neg", "no"))
        .output("logits")
        .output("y")
        .model();
    let made = cut(&model, &KEPT, Remap::Inside, &[]).expect("it is cut");
    let outputs = made.report.vocabulary.expect("a row").outputs;
    assert_eq!(outputs, ["logits".to_owned(), "y".to_owned()]);
}

/// A negative number that is no id means what it did, whichever ids callers give.
#[test]
fn numbers_that_are_no_ids_stay_what_they_are() {
    let free = |name: &'static str| Size::Named(name);
    let model = Builder::new(17)
        .input_of("ids", ElementType::Int64, &[free("batch"), free("length")])
        .weight("pieces", &[64, 8])
        .scalar("none", -1)
        .scalar("instead", 5)
        .node("Equal", "ids none -> is", &[])
        .node("Where", "is instead ids -> whole", &[])
        .node("Gather", "pieces whole -> y", &[])
        .output("y")
        .model();
    let whole = run(&model, &[-1, 2, 17]);
    for (remap, ids) in [(Remap::Outside, [-1, 2, 5]), (Remap::Inside, [-1, 2, 17])] {
        let made = cut(&model, &KEPT, remap, &[]).expect("it is cut");
        assert_eq!(run(&made.model, &ids).to_f64(), whole.to_f64(), "{remap}");
    }
}

/// A projection that keeps its places answers with old ones.
#[test]
fn answers_that_keep_their_places_are_told_of() {
    let model = two_tables(64, 8)
        .node("LogSoftmax", "logits -> y", &[])
        .output("y")
        .model();
    let made = cut(&model, &KEPT, Remap::Outside, &["places*"]).expect("pieces");
    let told = made.report.warnings.join(" ");
    assert!(told.contains("output 'y' still has 64 places"), "{told}");
    let plan = made.plan.clone();
    let mut wrong = serde_json::from_str::<serde_json::Value>(&plan.to_json()).expect("JSON");
    wrong["settings"]["vocabulary"] = serde_json::json!({"remap": "inside", "unknown": 7});
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("plan.json");
    std::fs::write(&path, wrong.to_string()).expect("space");
    let options = PruneOptions {
        plan: Some(path.into()),
        ..PruneOptions::default()
    };
    let fault = prune(model, &options).expect_err("7 is gone");
    assert!(
        fault
            .to_string()
            .contains("id 7 stands for those that are gone"),
        "{fault}"
    );
}

/// Ids of one input that go to two tables, of which one alone loses rows.
#[test]
fn ids_that_part_on_their_way_are_renumbered_each_for_its_table() {
    let model = Builder::new(17)
        .input_of("ids", ElementType::Int64, &[1.into(), 4.into()])
        .weight("pieces", &[64, 8])
        .weight("others", &[49, 8])
        .ints("parts", &[2, 2])
        .node("Split", "ids parts -> a b", &[("axis", Value::Int(1))])
        .node("Gather", "pieces a -> x", &[])
        .node("Gather", "others b -> z", &[])
        .node("Concat", "x z -> y", &[("axis", Value::Int(1))])
        .output("y")
        .model();
    let whole = run(&model, &[17, 2, 11, 5]).to_f64();
    for (remap, ids) in [
        (Remap::Outside, [5, 2, 4, 3]),
        (Remap::Inside, [17, 2, 11, 5]),
    ] {
        let made = cut(&model, &KEPT, remap, &[]).expect("it is cut");
        assert_eq!(
            [rows(&made.model, "pieces"), rows(&made.model, "others")],
            [6, 49]
        );
        assert_eq!(run(&made.model, &ids).to_f64(), whole, "{remap}");
    }
}
