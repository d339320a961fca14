//! Channels under a norm.

use crate::criteria::{Criterion, scores};
use crate::plan::{Cost, CostBudget, Decision, RoundTo, Settings};
use crate::search::select;
use crate::tests::builder::{Builder, analyse, floats};

/// Channels that stay of the first dimension of a model, with a threshold and other settings.
fn above(norms: &[f32], settings: Settings) -> Decision {
    let count = norms.len();
    let rows: Vec<f32> = norms
        .iter()
        .flat_map(|norm| [0.6 * norm, -0.8 * norm])
        .collect();
    let model = Builder::new(17)
        .input("x", &[3, 2])
        .tensor(floats("w1", &[count, 2], &rows))
        .node("Gemm", "x w1 -> a", &[("transB", 1.into())])
        .weight("w2", &[count, 5])
        .node("MatMul", "a w2 -> y", &[])
        .output("y")
        .model();
    let analysis = analyse(&model);
    let scores = scores(&analysis, settings.criterion(), 0).expect("scores");
    for (norm, score) in norms.iter().zip(&scores[0]) {
        assert!(
            (f64::from(*norm) - score).abs() < 1e-6 * score,
            "{norm} {score}"
        );
    }
    let mut selection = select(&analysis, &scores, &settings).expect("a selection");
    selection.decisions.remove(0)
}

fn threshold(least: f64, round_to: RoundTo) -> Settings {
    Settings {
        criterion: Some(Criterion::Threshold(least)),
        round_to,
        ..Settings::default()
    }
}

#[test]
fn a_threshold_removes_what_is_under_it_and_nothing_else() {
    let norms = [3.0, 0.5, 2.0, 0.1, 0.9, 4.0, 1.0, 0.2];
    let every = RoundTo::Multiple(1);
    let kept = |settings| above(&norms, settings);
    assert_eq!(
        kept(threshold(0.95, every)),
        Decision::Prune(vec![0, 2, 5, 6])
    );
    // Up to a multiple: what is above stays, and the best of the others.
    let three = threshold(0.95, RoundTo::Multiple(3));
    assert_eq!(kept(three), Decision::Prune(vec![0, 1, 2, 4, 5, 6]));
    let limited = Settings {
        max_ratio: Some(0.25),
        ..threshold(0.95, every)
    };
    assert_eq!(kept(limited), Decision::Prune(vec![0, 1, 2, 4, 5, 6]));
    let all = threshold(100.0, every);
    assert_eq!(kept(all.clone()), Decision::Prune(vec![5]));
    let least = Settings {
        min_channels: 2,
        ..all
    };
    assert_eq!(kept(least), Decision::Prune(vec![0, 5]));
    match kept(threshold(0.05, every)) {
        Decision::Leave(left) => {
            assert_eq!(
                left.why,
                "none of its 8 channels has a norm under 0.05, the smallest has 0.1000"
            );
        }
        other => panic!("{other:?}"),
    }
    // A budget takes less of what is under the threshold, never more.
    let budget = |share| Settings {
        budget: Some(CostBudget {
            cost: Cost::Macs,
            share,
        }),
        ..threshold(0.95, every)
    };
    assert_eq!(kept(budget(0.8)), Decision::Prune(vec![0, 1, 2, 4, 5, 6]));
}

#[test]
fn a_threshold_is_rounded_up_to_good_widths() {
    let norms: Vec<f32> = (0..64).map(|n| n as f32 + 1.0).collect();
    for (least, kept) in [(4.5, 60), (20.5, 48), (60.5, 16)] {
        let settings = threshold(least, "auto".parse().expect("auto"));
        match above(&norms, settings) {
            Decision::Prune(found) => {
                let above = norms
                    .iter()
                    .filter(|norm| f64::from(**norm) >= least)
                    .count();
                assert!(
                    found.len() >= above && found.len() < 64,
                    "{least}: {found:?}"
                );
                assert_eq!(found.len(), kept, "{least}");
            }
            other => panic!("{least}: {other:?}"),
        }
    }
}
