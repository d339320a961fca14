//! A proof of plans that mix which shares nothing with the twin: in the original every removed channel is made a copy of one
//! that stays, and nobody reads it. Means, variances and mean squares over all channels then are those over the ones that stay,
//! so that the original equals the pruned model, of which no number was touched.

use std::collections::BTreeMap;
use std::path::Path;

use super::builder::analyse;
use super::rules::runtime;
use super::zoo;
use crate::criteria::{Criterion, scores};
use crate::dimensions::{Analysis, Dimension, Site};
use crate::layers::Layers;
use crate::onnx::{Model, packed, to_f32};
use crate::plan::{Plan, RoundTo, Settings};
use crate::rewrite::{Edit, prune, with_weights};
use crate::search::select;
use crate::validate::verify_equal;

/// Exports in whose streams channels meet, and trained ones.
const MODELS: [&str; 5] = [
    "convnext_tiny__dynamo",
    "bert_small",
    "vit_tiny_patch16_224__dynamo24",
    "llama_gqa__dynamo",
    "tv_swin_small",
];
const TRAINED: [&str; 2] = ["vit_fashion", "bert_spam"];

/// Half of one dimension alone, as pairs of a removed channel and one that stays.
fn half_of(analysis: &Analysis, dimension: &Dimension) -> Option<(Plan, Vec<[u32; 2]>)> {
    let name: String = dimension.name.chars().map(escaped).collect();
    let settings = Settings {
        round_to: RoundTo::Multiple(1),
        only: vec![name],
        ..Settings::default()
    };
    let scores = scores(analysis, Criterion::L2, 0).expect("scores");
    let selection = select(analysis, &scores, &settings).ok()?;
    let plan = Plan::new(analysis, &selection, &scores, &settings);
    let [planned] = &plan.dimensions[..] else {
        return None;
    };
    let kept = &planned.kept;
    let removed = (0..planned.size as u32).filter(|channel| !kept.contains(channel));
    let removed: Vec<u32> = removed.collect();
    let pairs = removed
        .iter()
        .zip(kept)
        .map(|(&gone, &stays)| [gone, stays]);
    let pairs = pairs.collect();
    (removed.len() == kept.len()).then_some((plan, pairs))
}

fn escaped(letter: char) -> String {
    match letter {
        '[' | ']' | '*' | '?' | '{' | '}' => format!("[{letter}]"),
        letter => letter.to_string(),
    }
}

/// Whether a weight is summed over along an axis.
fn is_read(layers: &Layers, site: &Site, step: usize, size: usize) -> bool {
    let mut layer = layers
        .layers
        .iter()
        .filter(|layer| layer.value == site.value);
    layer.any(|layer| {
        let mut columns = layer.columns.iter();
        columns.any(|column| column.size > 1 && (step..step * size).contains(&column.step))
    })
}

/// The original in which what is removed is a copy of what stays, and read by nobody.
fn mirrored(analysis: &Analysis, dimension: &Dimension, pairs: &[[u32; 2]]) -> Model {
    let graph = analysis.graph();
    let layers = Layers::of(analysis);
    let mut changed: BTreeMap<_, Vec<f32>> = BTreeMap::new();
    for site in &dimension.sites {
        let tensor = graph.constant(site.value).expect("a constant");
        let numbers = changed
            .entry(site.value)
            .or_insert_with(|| to_f32(tensor).expect("numbers"));
        let dims: Vec<usize> = tensor.dims.iter().map(|&dim| dim as usize).collect();
        let step: usize = dims[site.axis + 1..].iter().product();
        let read = is_read(&layers, site, step, dims[site.axis]);
        let ty = &analysis.state.axes(site.value).expect("axes")[site.axis];
        let places = |channel| analysis.state.types.places(ty, dimension.var, channel);
        for &[gone, stays] in pairs {
            for (to, from) in places(gone).into_iter().zip(places(stays)) {
                for outer in 0..numbers.len() / (step * dims[site.axis]) {
                    for inner in 0..step {
                        let at =
                            |place: u32| (outer * dims[site.axis] + place as usize) * step + inner;
                        numbers[at(to)] = if read { 0.0 } else { numbers[at(from)] };
                    }
                }
            }
        }
    }
    let edits = changed.into_iter().map(|(value, numbers)| {
        let bytes = packed(&numbers, crate::onnx::ElementType::Float);
        (value, Edit::Bytes(bytes.into()))
    });
    with_weights(graph, &edits.collect()).expect("a model")
}

/// Dimensions of a model whose halves are proven by mirrors.
fn proven(model: &Model) -> usize {
    let analysis = analyse(model);
    let mixing = analysis.dimensions().iter();
    let mixing = mixing.filter(|dimension| dimension.mixing.is_some());
    // Tables of indices are cut as well, and have no copies.
    let indexed = |dimension: &Dimension| {
        let mut constants = analysis.constants().skip(analysis.weights().count());
        constants.any(|(_, axes)| {
            let mut axes = axes.iter();
            axes.any(|ty| analysis.state.types.vars(ty).contains(&dimension.var))
        })
    };
    let mixing = mixing.filter(|dimension| !indexed(dimension));
    let mut count = 0;
    for dimension in mixing {
        let Some((plan, pairs)) = half_of(&analysis, dimension) else {
            continue;
        };
        let pruned = prune(&analysis, &plan).expect("it is pruned");
        let mirrored = mirrored(&analysis, dimension, &pairs);
        let name = &dimension.name;
        verify_equal(
            &analysis,
            &mirrored,
            &pruned,
            "the mirrored original",
            1e-4,
            &runtime(),
        )
        .unwrap_or_else(|fault| panic!("{name}: {fault}"));
        count += 1;
    }
    count
}

#[test]
fn streams_that_are_normalised_equal_their_mirrored_originals() {
    for name in MODELS {
        assert!(proven(&zoo::load(name)) > 0, "{name}");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/trained");
    for name in TRAINED {
        let model = Model::load(folder.join(format!("{name}.onnx"))).expect("a model");
        assert!(proven(&model) > 0, "{name}");
    }
}
