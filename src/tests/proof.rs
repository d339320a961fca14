//! The proof tells rounding from error: right results pass, and wrong cuts are found where outputs hide them.

use std::path::Path;

use super::builder::analyse;
use super::rules::runtime;
use crate::criteria::{Criterion, scores};
use crate::dimensions::Analysis;
use crate::error::Error;
use crate::onnx::Model;
use crate::plan::{Plan, Settings};
use crate::rewrite::prune;
use crate::search::select;
use crate::validate::verify;

fn plan(analysis: &Analysis) -> Plan {
    let settings = Settings {
        exact: true,
        ..Settings::default()
    };
    let scores = scores(analysis, Criterion::L2, 0).expect("scores");
    let selection = select(analysis, &scores, &settings).expect("a selection");
    Plan::new(analysis, &selection, &scores, &settings)
}

/// The plan with another channel kept instead of the most important one of a dimension; none where all
/// channels of it are kept or its groups would differ.
fn with_wrong_channel(plan: &Plan, place: usize) -> Option<Plan> {
    let mut wrong = plan.clone();
    let dimension = &mut wrong.dimensions[place];
    let mut ranked = dimension.kept.clone();
    ranked.sort_by(|&a, &b| dimension.scores[b as usize].total_cmp(&dimension.scores[a as usize]));
    let dropped = *ranked.first()?;
    let removed = (0..dimension.size as u32).filter(|channel| !dimension.kept.contains(channel));
    let taken = removed.min_by_key(|&channel| channel.abs_diff(dropped))?;
    dimension.kept.retain(|&channel| channel != dropped);
    dimension.kept.push(taken);
    dimension.kept.sort_unstable();
    Some(wrong)
}

/// Swaps the first two kept positions of a dimension in one of the weights that it occurs in.
fn with_swapped_positions(analysis: &Analysis, plan: &Plan, place: usize) -> Option<Model> {
    let planned = &plan.dimensions[place];
    let mut dimensions = analysis.dimensions().iter();
    let dimension = dimensions.find(|known| known.name == planned.name)?;
    let site = dimension.sites.first()?;
    let name = &analysis.graph().value(site.value).name;
    let mut model = prune(analysis, plan).ok()?.settled();
    let graph = model.proto.graph.as_mut()?;
    let tensor = graph.initializer.iter_mut().find(|t| t.name() == name)?;
    let dims: Vec<usize> = tensor.dims.iter().map(|&dim| dim as usize).collect();
    if dims[site.axis] != planned.kept.len() || dims[site.axis] < 2 {
        return None;
    }
    let mut bytes = tensor.raw_data.as_ref()?.to_vec();
    let width = bytes.len() / dims.iter().product::<usize>();
    let behind = dims[site.axis + 1..].iter().product::<usize>() * width;
    let block = behind * dims[site.axis];
    for start in (0..bytes.len()).step_by(block) {
        for offset in 0..behind {
            bytes.swap(start + offset, start + behind + offset);
        }
    }
    tensor.raw_data = Some(bytes.into());
    Some(model)
}

/// Proves the right result, then damages one dimension after the other: wrong cuts and those that were found.
fn found_of_wrong_cuts(name: &str, model: &Model) -> (usize, Vec<String>) {
    let (analysis, runtime) = (analyse(model), runtime());
    let plan = plan(&analysis);
    let right = prune(&analysis, &plan).expect("a model");
    let proof = verify(&analysis, &plan, &right, &runtime);
    proof.unwrap_or_else(|fault| panic!("{name} is right: {fault}"));
    let (mut tried, mut missed) = (0, Vec::new());
    for place in 0..plan.dimensions.len() {
        let wrong = with_wrong_channel(&plan, place).and_then(|plan| prune(&analysis, &plan).ok());
        let swapped = with_swapped_positions(&analysis, &plan, place);
        for (what, wrong) in [("channel", wrong), ("swap", swapped)] {
            let Some(wrong) = wrong else { continue };
            tried += 1;
            match verify(&analysis, &plan, &wrong, &runtime) {
                Err(Error::Verification { .. }) => {}
                other => missed.push(format!(
                    "{name} {} {what}: {other:?}",
                    plan.dimensions[place].name
                )),
            }
        }
    }
    (tried, missed)
}

fn models(folder: &str) -> Vec<(String, Model)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(folder);
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    let models = paths
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "onnx"));
    let model = |path: &std::path::PathBuf| {
        let name = path.file_stem().and_then(|name| name.to_str());
        let model = Model::load(path).expect("a model");
        (name.unwrap_or_default().to_owned(), model)
    };
    models.map(model).collect()
}

fn assert_all_found(models: &[(String, Model)]) {
    let (mut tried, mut missed) = (0, Vec::new());
    for (name, model) in models {
        let (of, those) = found_of_wrong_cuts(name, model);
        tried += of;
        missed.extend(those);
    }
    println!("{tried} wrong cuts, {} missed", missed.len());
    assert!(tried >= 2 * models.len(), "{tried} wrong cuts were tried");
    assert!(
        missed.is_empty(),
        "{} of {tried} missed:\n{}",
        missed.len(),
        missed.join("\n")
    );
}

#[test]
fn wrong_cuts_of_trained_models_are_found() {
    assert_all_found(&models("trained"));
}

/// Outputs that hardly fire, saturate, cancel or are magnified, in 32 and 16 bits.
#[test]
fn wrong_cuts_behind_outputs_that_hide_them_are_found() {
    let field = models("field/proof");
    assert!(field.len() > 20);
    assert_all_found(&field);
}

#[test]
fn wrong_cuts_of_exported_graphs_are_found() {
    let names = std::env::var("SECATEUR_PROOF_ZOO").unwrap_or_else(|_| {
        "glu_chunk se_block group_shuffle lenet gru1_cls tcn1d concat3_split".to_owned()
    });
    let zoo = names.split_whitespace();
    let zoo: Vec<_> = zoo
        .map(|name| (name.to_owned(), super::zoo::load(name)))
        .collect();
    assert_all_found(&zoo);
}
