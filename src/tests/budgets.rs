//! Scopes and budgets: met from above, within one channel, on the model that comes out.

use std::sync::Arc;

use super::builder::analyse;
use crate::criteria::{Criterion, scores};
use crate::dimensions::{Analysis, Totals};
use crate::error::Error;
use crate::onnx::Model;
use crate::plan::{Cost, CostBudget, Decision, Plan, RoundTo, Scope, Selection, Settings};
use crate::rewrite::prune;
use crate::search::select;

fn model(name: &str) -> Model {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    Model::load(root.join("fixtures/trained").join(name)).expect("a fixture")
}

fn chosen(analysis: &Analysis, settings: &Settings) -> Selection {
    let scores = scores(analysis, Criterion::L2, 0).expect("scores");
    select(analysis, &scores, settings).expect("a selection")
}

/// Every width is as good as any other.
fn unrounded() -> Settings {
    Settings {
        round_to: RoundTo::Multiple(1),
        ..Settings::default()
    }
}

/// Channels that stay of each dimension.
fn counts(analysis: &Analysis, selection: &Selection) -> Vec<usize> {
    let pairs = analysis.dimensions().iter().zip(&selection.decisions);
    let count = pairs.map(|(dimension, decision)| match decision {
        Decision::Prune(kept) => kept.len(),
        Decision::Leave(_) => dimension.size,
    });
    count.collect()
}

fn cost(analysis: &Analysis, counts: &[usize], cost: Cost) -> u64 {
    let mut kept = analysis.everything();
    for (dimension, &count) in analysis.dimensions().iter().zip(counts) {
        if count < dimension.size {
            kept.insert(dimension.var, Arc::from_iter(0..count as u32));
        }
    }
    counted(cost, &analysis.totals(&kept))
}

fn counted(cost: Cost, totals: &Totals) -> u64 {
    cost.of(totals).expect("a count")
}

const SCOPES: [Scope; 3] = [Scope::Uniform, Scope::Global, Scope::Isomorphic];

fn macs(share: f64) -> Option<CostBudget> {
    let cost = Cost::Macs;
    Some(CostBudget { cost, share })
}

#[test]
fn budgets_are_met_from_above_within_one_channel() {
    for name in [
        "resnet8_fashion.bn.onnx",
        "vit_fashion.onnx",
        "gru_fashion.onnx",
    ] {
        let analysis = analyse(&model(name));
        for (what, share) in [(Cost::Macs, 0.5), (Cost::Params, 0.6), (Cost::Bytes, 0.73)] {
            let before = counted(what, &analysis.model_totals());
            let target = (before as f64 * share) as u64;
            for scope in SCOPES {
                let budget = Some(CostBudget { cost: what, share });
                let settings = Settings {
                    scope: Some(scope),
                    budget,
                    ..unrounded()
                };
                let selection = chosen(&analysis, &settings);
                let counts = counts(&analysis, &selection);
                let got = cost(&analysis, &counts, what);
                assert!(got <= target, "{name} {scope} {what}: {got} above {target}");
                for (place, decision) in selection.decisions.iter().enumerate() {
                    let mut more = counts.clone();
                    more[place] += 1;
                    let one_more = || cost(&analysis, &more, what);
                    let pruned = matches!(decision, Decision::Prune(_));
                    assert!(
                        !pruned || one_more() > target,
                        "{name} {scope} {what}: {place} could keep more"
                    );
                }
                // What the polynomials say is what the written model has.
                let dimensions = analysis.dimensions().iter();
                let scored: Vec<Vec<f64>> = dimensions.map(|of| vec![0.0; of.size]).collect();
                let plan = Plan::new(&analysis, &selection, &scored, &settings);
                let pruned = analyse(&prune(&analysis, &plan).expect("a model").settled());
                assert_eq!(counted(what, &pruned.model_totals()), got, "{name} {scope}");
            }
        }
    }
}

#[test]
fn a_budget_out_of_reach_says_what_can_be_reached() {
    let analysis = analyse(&model("resnet8_fashion.bn.onnx"));
    let budget = macs(0.2);
    let settings = Settings {
        budget,
        min_channels: 30,
        ..unrounded()
    };
    let scores = scores(&analysis, Criterion::L2, 0).expect("scores");
    let fault = select(&analysis, &scores, &settings).expect_err("out of reach");
    let Error::Budget {
        asked, reachable, ..
    } = fault
    else {
        panic!("{fault}");
    };
    assert!(
        asked == 0.2 && reachable > 0.2 && reachable < 1.0,
        "{reachable}"
    );
}

#[test]
fn a_global_ratio_is_a_share_of_all_channels() {
    let analysis = analyse(&model("resnet8_fashion.bn.onnx"));
    let all: usize = analysis.dimensions().iter().map(|d| d.size).sum();
    for ratio in [0.1, 0.5, 0.8] {
        let settings = Settings {
            scope: Some(Scope::Global),
            ratio,
            max_ratio: Some(1.0),
            ..unrounded()
        };
        let selection = chosen(&analysis, &settings);
        let kept: usize = counts(&analysis, &selection).iter().sum();
        assert!(kept.abs_diff(all - (all as f64 * ratio) as usize) <= analysis.dimensions().len());
        // Whatever goes anywhere is less important than whatever stays anywhere.
        let scores = scores(&analysis, Criterion::L2, 0).expect("scores");
        let (mut gone, mut stays) = (0.0_f64, f64::INFINITY);
        for ((dimension, decision), scores) in analysis
            .dimensions()
            .iter()
            .zip(&selection.decisions)
            .zip(&scores)
        {
            let mean = scores.iter().sum::<f64>() / scores.len() as f64;
            for (channel, score) in scores.iter().enumerate() {
                let kept = match decision {
                    Decision::Prune(kept) => kept.contains(&(channel as u32)),
                    Decision::Leave(_) => true,
                };
                match kept {
                    true if dimension.size > 1 => stays = stays.min(score / mean),
                    true => {}
                    false => gone = gone.max(score / mean),
                }
            }
        }
        assert!(gone <= stays, "{ratio}: {gone} went, {stays} stays");
    }
}

#[test]
fn isomorphic_dimensions_share_among_themselves() {
    let analysis = analyse(&model("lenet_mnist.onnx"));
    let settings = Settings {
        scope: Some(Scope::Isomorphic),
        ratio: 0.5,
        ..unrounded()
    };
    let counts = counts(&analysis, &chosen(&analysis, &settings));
    // One convolution is read by a convolution, one by a product, and one product by a product: each alone.
    assert_eq!(counts, [16, 32, 50]);
}

#[test]
fn ratios_of_single_dimensions_and_largest_ratios_hold_in_every_scope() {
    let analysis = analyse(&model("resnet8_fashion.bn.onnx"));
    let names: Vec<&str> = analysis
        .dimensions()
        .iter()
        .map(|d| d.name.as_str())
        .collect();
    let own = names
        .iter()
        .position(|name| *name == "layers.1.c1.weight")
        .expect("a dimension");
    for scope in SCOPES {
        for budget in [None, macs(0.4)] {
            let settings = Settings {
                scope: Some(scope),
                budget,
                ratio: 0.6,
                ratio_for: vec![
                    ("layers.1.*".to_owned(), 0.9),
                    ("layers.1.c1*".to_owned(), 0.25),
                ],
                max_ratio: Some(0.7),
                ..unrounded()
            };
            let counts = counts(&analysis, &chosen(&analysis, &settings));
            assert_eq!(counts[own], 48, "{scope}");
            let pairs = analysis.dimensions().iter().zip(&counts);
            assert!(
                pairs.into_iter().all(|(d, kept)| *kept * 10 >= d.size * 3),
                "{scope}: {counts:?}"
            );
        }
    }
}

#[test]
fn multiples_hold_under_a_budget() {
    let analysis = analyse(&model("resnet8_fashion.bn.onnx"));
    for scope in SCOPES {
        let budget = macs(0.5);
        let settings = Settings {
            scope: Some(scope),
            budget,
            round_to: RoundTo::Multiple(8),
            ..Settings::default()
        };
        let counts = counts(&analysis, &chosen(&analysis, &settings));
        assert!(counts.iter().all(|count| count % 8 == 0), "{counts:?}");
        let before = counted(Cost::Macs, &analysis.model_totals());
        assert!(cost(&analysis, &counts, Cost::Macs) <= before / 2);
    }
}

#[test]
fn good_widths_hold_under_a_budget_and_come_near_it() {
    for (name, multiple) in [("resnet8_fashion.bn.onnx", 16), ("vit_fashion.onnx", 8)] {
        let analysis = analyse(&model(name));
        for scope in SCOPES {
            let budget = macs(0.5);
            let settings = Settings {
                scope: Some(scope),
                budget,
                ..Settings::default()
            };
            let selection = chosen(&analysis, &settings);
            let counts = counts(&analysis, &selection);
            let got = cost(&analysis, &counts, Cost::Macs) as f64;
            let share = got / analysis.model_totals().macs as f64;
            assert!(share <= 0.5 && share > 0.4, "{name} {scope}: {share}");
            for (dimension, (count, decision)) in analysis
                .dimensions()
                .iter()
                .zip(counts.iter().zip(&selection.decisions))
            {
                // Heads are a factor of what the kernels see.
                let pruned = matches!(decision, Decision::Prune(_)) && dimension.size > 16;
                assert!(
                    !pruned || count % multiple == 0,
                    "{name} {scope}: {} has {count}",
                    dimension.name
                );
            }
        }
    }
}

#[test]
fn a_budget_that_good_widths_miss_is_met_by_others() {
    let analysis = analyse(&model("resnet8_fashion.bn.onnx"));
    let budget = macs(0.01);
    let settings = Settings {
        budget,
        ..Settings::default()
    };
    let counts = counts(&analysis, &chosen(&analysis, &settings));
    let before = counted(Cost::Macs, &analysis.model_totals());
    assert!(cost(&analysis, &counts, Cost::Macs) <= before / 100);
}

#[test]
fn ratios_are_met_at_the_nearest_good_width() {
    let analysis = analyse(&model("lenet_mnist.onnx"));
    let counts = counts(&analysis, &chosen(&analysis, &Settings::default()));
    assert_eq!(counts, [16, 32, 48]);
}
