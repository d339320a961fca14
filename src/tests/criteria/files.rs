//! Scores that files give.

use std::path::PathBuf;

use super::{fixture, found};
use crate::criteria::{Criterion, scores};
use crate::plan::{Decision, Settings};
use crate::search::select;
use crate::tests::builder::analyse;

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("scores.json");
    std::fs::write(&path, text).expect("space");
    (folder, path)
}

fn lists(entries: &[(&str, usize)]) -> String {
    let lists = entries.iter().map(|(name, count)| {
        let numbers: Vec<String> = (0..*count).map(|n| (n % 7).to_string()).collect();
        format!("\"{name}\": [{}]", numbers.join(", "))
    });
    format!("{{{}}}", lists.collect::<Vec<_>>().join(", "))
}

#[test]
fn files_score_what_they_name() {
    let analysis = analyse(&fixture("lenet_mnist.onnx"));
    let (_folder, path) = file(&lists(&[("conv?.*", 64), ("conv1.weight", 32)]));
    let found = found(&analysis, Criterion::Scores(path));
    assert_eq!(found[0].len(), 32);
    assert_eq!(found[1][..9], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0, 1.0]);
    assert!(found[2].is_empty());
    let settings = Settings {
        criterion: Some(Criterion::Scores(PathBuf::new())),
        ..Settings::default()
    };
    let selection = select(&analysis, &found, &settings).expect("a selection");
    match &selection.decisions[..] {
        [
            Decision::Prune(_),
            Decision::Prune(_),
            Decision::Leave(left),
        ] => {
            assert!(left.why.contains("does not name it"), "{}", left.why);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_that_is_wrong_with_a_file_is_said() {
    let analysis = analyse(&fixture("lenet_mnist.onnx"));
    let fault = |text: &str| {
        let (_folder, path) = file(text);
        let fault = scores(&analysis, Criterion::Scores(path), 0).expect_err(text);
        assert_eq!(fault.class().exit_code(), 3, "{fault}");
        fault.to_string()
    };
    let text = r#"{"conv1.weight": [1, 2], "cnov2.weight": [1], "fc9*": [1], "fc1.weight": [1, null],
        "conv2.weight": "many", "conv2.weight": [[1]]}"#;
    let all = fault(text);
    for part in [
        "'conv1.weight' has 2 scores for 32 channels",
        "no dimension 'cnov2.weight' (the nearest: 'conv2.weight'",
        "no dimension 'fc9*' (the nearest: 'fc1.weight'",
        "'fc1.weight' holds at position 1 what is no number",
        "'conv2.weight' is no list of numbers",
        "'conv2.weight' is there twice",
        "`secateur inspect` lists",
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
    for (text, part) in [
        ("{}", "it names no dimension"),
        ("[1, 2]", "no JSON object of lists"),
        ("{\"conv1.weight\": [NaN]}", "no JSON object of lists"),
        ("", "no JSON object of lists"),
        (
            &lists(&[("conv*", 32)]),
            "'conv*' has 32 scores for 64 channels of 'conv2.weight'",
        ),
        (
            &lists(&[("conv1*", 32), ("*1.weight", 32)]),
            "'conv1*' and '*1.weight' both name 'conv1.weight'",
        ),
    ] {
        let fault = fault(text);
        assert!(fault.contains(part), "{part}: {fault}");
    }
    let missing = Criterion::Scores("no such file.npz".into());
    let fault = scores(&analysis, missing, 0).expect_err("no file");
    assert_eq!(fault.class().exit_code(), 3);
}
