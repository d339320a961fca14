//! Masks keep their promises: exact numbers of zeros, patterns in every group, the least important first.

mod patterns;

use proptest::prelude::*;

use super::builder::{Builder, analyse, floats};
use crate::dimensions::Analysis;
use crate::masks::{
    Amount, Budget, Chosen, Mask, MaskScope, MaskSettings, WeightCriterion, choose, read_masks,
};
use crate::onnx::Model;

/// A convolution and two products, with an embedding of its own kind beside them.
fn net() -> Model {
    Builder::new(17)
        .input("x", &[2, 6, 5, 5])
        .weight("conv", &[7, 6, 3, 3])
        .weight("bias", &[7])
        .weight("first", &[63, 10])
        .weight("second", &[10, 4])
        .ints("flat", &[2, -1])
        .node("Conv", "x conv bias -> a", &[])
        .node("Relu", "a -> b", &[])
        .node("Reshape", "b flat -> c", &[])
        .node("MatMul", "c first -> d", &[])
        .node("Relu", "d -> e", &[])
        .node("Gemm", "e second -> y", &[])
        .output("y")
        .model()
}

fn sparsity(share: f64) -> MaskSettings {
    MaskSettings {
        amount: Amount::Sparsity(share),
        ..MaskSettings::default()
    }
}

/// Values of a layer, and which of them stay.
type Flagged = (Vec<f32>, Vec<bool>);

/// Values and flags of every layer, in the order of the initializer.
fn masked(analysis: &Analysis, settings: &MaskSettings) -> (Chosen, Vec<Flagged>) {
    let chosen = choose(analysis, settings).expect("layers");
    let norms: Vec<Vec<f32>> = chosen
        .layers()
        .map(|layer| {
            (0..layer.batches() * layer.columns())
                .map(|i| 0.5 + (i % 5) as f32)
                .collect()
        })
        .collect();
    let masks = chosen.masks(settings, &norms).expect("masks");
    let pairs = masks.iter().enumerate().map(|(place, mask)| {
        let weights = chosen.weights(place);
        let kept = weights.kept(mask);
        assert_eq!(
            weights.zeros_under(mask),
            kept.count_zeroes(..),
            "no weight was zero before"
        );
        let bytes = weights.masked(mask);
        let flags: Vec<bool> = (0..weights.len())
            .map(|place| kept.contains(place))
            .collect();
        for ((word, value), kept) in bytes
            .as_chunks::<4>()
            .0
            .iter()
            .zip(weights.values())
            .zip(&flags)
        {
            assert_eq!(f32::from_le_bytes(*word), if *kept { value } else { 0.0 });
        }
        (weights.values(), flags)
    });
    let pairs = pairs.collect();
    (chosen, pairs)
}

fn zeros(flags: &[bool]) -> usize {
    flags.iter().filter(|kept| !**kept).count()
}

/// No masked weight is more important than one that stays.
fn lowest_are_masked(scores: &[f32], flags: &[bool]) {
    let pairs = || scores.iter().zip(flags);
    let masked = pairs()
        .filter(|(_, kept)| !**kept)
        .map(|(s, _)| *s)
        .fold(0.0, f32::max);
    let stays = pairs()
        .filter(|(_, kept)| **kept)
        .map(|(s, _)| *s)
        .fold(f32::INFINITY, f32::min);
    assert!(masked <= stays, "{masked} was masked, {stays} stays");
}

fn magnitudes(values: &[f32]) -> Vec<f32> {
    values.iter().map(|x| x.abs()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_sparsity_is_met_within_one_weight(share in 0.0..=1.0_f64) {
        let model = net();
        let analysis = analyse(&model);
        use WeightCriterion::{Activation, Lamp, Magnitude, Random, Wanda};
        for criterion in [Magnitude, Random, Lamp, Wanda, Activation] {
            for scope in [MaskScope::Layer, MaskScope::Row, MaskScope::Global] {
                let settings = MaskSettings {
                    criterion,
                    scope: Some(scope),
                    budget: (scope != MaskScope::Global).then_some(Budget::Uniform),
                    ..sparsity(share)
                };
                if settings.check().is_err() {
                    prop_assert_eq!(criterion, Lamp);
                    continue;
                }
                let (chosen, layers) = masked(&analysis, &settings);
                let near = |flags: &[bool]| (zeros(flags) as f64 - share * flags.len() as f64).abs() < 1.0;
                let all: Vec<bool> = layers.iter().flat_map(|(_, flags)| flags.clone()).collect();
                match scope {
                    MaskScope::Global => prop_assert!(near(&all)),
                    MaskScope::Layer => prop_assert!(layers.iter().all(|(_, flags)| near(flags))),
                    MaskScope::Row => for (layer, (_, flags)) in chosen.layers().zip(&layers) {
                        prop_assert!(near(flags));
                        prop_assert!(layer.gather(flags).chunks(layer.columns()).all(near));
                    }
                }
            }
        }
    }

    #[test]
    fn budgets_share_the_whole_exactly(share in 0.0..=1.0_f64) {
        let model = net();
        let analysis = analyse(&model);
        for budget in [Budget::Uniform, Budget::Erk, Budget::Lamp] {
            let (_, layers) = masked(&analysis, &MaskSettings { budget: Some(budget), ..sparsity(share) });
            let (found, all) = layers.iter().fold((0, 0), |(a, b), (_, flags)| (a + zeros(flags), b + flags.len()));
            let slack = if budget == Budget::Uniform { 0.5 * layers.len() as f64 } else { 0.5 };
            prop_assert!((found as f64 - share * all as f64).abs() <= slack + 1e-6, "{budget}: {found} of {all}");
        }
    }
}

#[test]
fn the_least_important_weights_go() {
    let model = net();
    let analysis = analyse(&model);
    for share in [0.1, 0.5, 0.93] {
        let (_, layers) = masked(&analysis, &sparsity(share));
        layers
            .iter()
            .for_each(|(values, flags)| lowest_are_masked(&magnitudes(values), flags));
        let global = MaskSettings {
            scope: Some(MaskScope::Global),
            ..sparsity(share)
        };
        let (_, layers) = masked(&analysis, &global);
        let (values, flags): (Vec<Vec<f32>>, Vec<Vec<bool>>) = layers.into_iter().unzip();
        lowest_are_masked(&magnitudes(&values.concat()), &flags.concat());
        let wanda = MaskSettings {
            criterion: WeightCriterion::Wanda,
            budget: Some(Budget::Uniform),
            ..sparsity(share)
        };
        let (chosen, layers) = masked(&analysis, &wanda);
        for (layer, (values, flags)) in chosen.layers().zip(&layers) {
            let width = layer.columns();
            let (values, flags) = (layer.gather(values), layer.gather(flags));
            for (values, flags) in values.chunks(width).zip(flags.chunks(width)) {
                let scored = values
                    .iter()
                    .enumerate()
                    .map(|(i, x)| x.abs() * (0.5 + (i % 5) as f32));
                lowest_are_masked(&scored.collect::<Vec<_>>(), flags);
            }
        }
    }
}

#[test]
fn zeros_that_are_there_count_and_go_first() {
    let mut numbers: Vec<f32> = (1..=40).map(|i| i as f32).collect();
    (0..10).for_each(|i| numbers[4 * i + 3] = 0.0);
    let model = Builder::new(17)
        .input("x", &[3, 8])
        .tensor(floats("w", &[8, 5], &numbers))
        .node("MatMul", "x w -> y", &[])
        .output("y")
        .model();
    let analysis = analyse(&model);
    for criterion in [
        WeightCriterion::Magnitude,
        WeightCriterion::Random,
        WeightCriterion::Wanda,
    ] {
        for (share, expected) in [(0.1, 10), (0.25, 10), (0.5, 20)] {
            let settings = MaskSettings {
                criterion,
                scope: Some(MaskScope::Layer),
                budget: Some(Budget::Uniform),
                ..sparsity(share)
            };
            let chosen = choose(&analysis, &settings).expect("a layer");
            let norms = vec![vec![1.0; 8]];
            let mask = chosen.masks(&settings, &norms).expect("a mask").remove(0);
            assert_eq!(
                chosen.weights(0).zeros_under(&mask),
                expected,
                "{criterion} {share}"
            );
        }
    }
}

#[test]
fn equal_weights_are_masked_in_their_order_by_cuts_and_bits() {
    let model = Builder::new(17)
        .input("x", &[3, 4])
        .tensor(floats("w", &[4, 4], &[1.0; 16]))
        .node("MatMul", "x w -> y", &[])
        .output("y")
        .model();
    let analysis = analyse(&model);
    let settings = sparsity(0.375);
    let chosen = choose(&analysis, &settings).expect("a layer");
    let cut = chosen.masks(&settings, &[]).expect("a mask").remove(0);
    assert!(matches!(cut, Mask::Cut(_)));
    let kept = chosen.weights(0).kept(&cut);
    assert_eq!(kept.zeroes().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    let bits = Mask::Kept(kept);
    assert_eq!(
        chosen.weights(0).masked(&cut),
        chosen.weights(0).masked(&bits)
    );
}

#[test]
fn thresholds_are_of_the_value_or_of_the_deviation() {
    let model = net();
    let analysis = analyse(&model);
    let below = MaskSettings {
        amount: Amount::Threshold(0.25),
        ..MaskSettings::default()
    };
    for (values, flags) in masked(&analysis, &below).1 {
        assert!(
            values
                .iter()
                .zip(&flags)
                .all(|(x, kept)| *kept == (x.abs() >= 0.25))
        );
    }
    let deviations = MaskSettings {
        amount: Amount::Deviations(0.5),
        ..MaskSettings::default()
    };
    for (values, flags) in masked(&analysis, &deviations).1 {
        let count = values.len() as f64;
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let variance = values
            .iter()
            .map(|&x| (f64::from(x) - mean).powi(2))
            .sum::<f64>()
            / count;
        let limit = 0.5 * variance.sqrt();
        assert!(
            values
                .iter()
                .zip(&flags)
                .all(|(x, kept)| *kept == (f64::from(x.abs()) >= limit))
        );
    }
}

#[test]
fn one_layer_can_have_a_sparsity_of_its_own() {
    let model = net();
    let analysis = analyse(&model);
    for scope in [MaskScope::Layer, MaskScope::Global] {
        let settings = MaskSettings {
            scope: Some(scope),
            sparsity_for: vec![
                ("*".to_owned(), 0.9),
                ("first".to_owned(), 0.0),
                ("Gemm*".to_owned(), 1.0),
            ],
            ..sparsity(0.5)
        };
        let (_, layers) = masked(&analysis, &settings);
        let found: Vec<usize> = layers.iter().map(|(_, flags)| zeros(flags)).collect();
        assert_eq!(found, [340, 0, 40]);
    }
}

#[test]
fn magnitude_masks_are_those_of_torch() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let model = Model::load(root.join("trained/lenet_mnist.onnx")).expect("a fixture");
    let analysis = analyse(&model);
    let runs = [
        ("layer_30", 0.3, MaskScope::Layer),
        ("layer_77", 0.77, MaskScope::Layer),
        ("global_60", 0.6, MaskScope::Global),
    ];
    for (name, share, scope) in runs {
        let settings = MaskSettings {
            scope: Some(scope),
            ..sparsity(share)
        };
        let chosen = choose(&analysis, &settings).expect("layers");
        let dims = |name: &str| {
            chosen
                .layers()
                .find(|layer| layer.name == name)
                .map(|layer| layer.dims.clone())
        };
        let path = root.join(format!("masks/{name}.npz"));
        let theirs = read_masks(&path, dims).expect("a fixture");
        assert_eq!(theirs.len(), chosen.len());
        let ours = chosen.masks(&settings, &[]).expect("masks");
        let mut differing = Vec::new();
        for (place, ours) in ours.iter().enumerate() {
            let weights = chosen.weights(place);
            let ours = weights.kept(ours);
            let theirs = weights.kept(&theirs[&chosen.layer(place).name]);
            let values = weights.values();
            differing.extend(
                ours.symmetric_difference(&theirs)
                    .map(|place| values[place].abs()),
            );
        }
        // Only weights of one and the same absolute value may be told apart otherwise.
        differing.dedup();
        assert!(differing.len() <= 1, "{name}: {differing:?}");
    }
}
