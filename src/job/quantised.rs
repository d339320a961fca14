//! A model whose products are of codes, made and proven, with the rows of its report: what quantising a model and
//! quantising what pruning left have in common.

use super::options::Opened;
use super::watch::Watch;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::events::Events;
use crate::graph::Graph;
use crate::onnx::Model;
use crate::quantise::{
    QuantisePlan, QuantiseSettings, Quantised, StoredModel, Subject, folded, quantise, store_rest,
};
use crate::recover::RoundedLayer;
use crate::report::{CodedRow, Quantisation, RealRow};
use crate::rewrite::{bias_behind, with_initializers};
use crate::runtime::Runtime;
use crate::validate::{IntegerProof, PlacedFor, same_structure, verify_equal, verify_integers};

/// Batches at least, where there are samples enough: the last ones are held out.
pub(super) const BATCHES: usize = 10;
/// A divergence above this is worth a word.
pub(super) const LARGE: f64 = 0.01;
/// A speed below this is worth a word.
const SLOW: f64 = 0.95;
/// Samples that the proof runs.
const PROVEN: usize = 4;

/// A model with products of codes that are proven.
pub(super) struct ProvenCodes {
    pub(super) model: Model,
    /// What its outputs are judged by, where onnxruntime's kernels are not what it is for.
    planned: Option<Model>,
    pub(super) quantisation: Quantisation,
    pub(super) plan: QuantisePlan,
}

impl ProvenCodes {
    /// What its outputs are judged by.
    pub(super) fn judged(&self) -> &Model {
        self.planned.as_ref().unwrap_or(&self.model)
    }
}

/// The subject with products of codes, proven, and what became of it; how far its outputs are off is not known yet.
pub(super) fn quantised(
    subject: &Subject,
    settings: &QuantiseSettings,
    opened: &Opened,
    watch: &mut Watch,
    events: &mut dyn Events,
) -> Result<ProvenCodes> {
    let quantise = || quantise(subject, settings, opened.pass(), events);
    let found = watch.stage("quantise", quantise)?;
    finished(subject.part, found, settings, opened, (watch, events))
}

/// What was found of `part`, proven, and what became of it.
pub(super) fn finished(
    part: &Analysis,
    found: Quantised,
    settings: &QuantiseSettings,
    opened: &Opened,
    (watch, events): (&mut Watch, &mut dyn Events),
) -> Result<ProvenCodes> {
    let prove = || proven(part, &found, settings, opened);
    let proof = watch.stage("verify", prove)?;
    let rest = || stored_rest(part, &found, settings, opened, events);
    let rest = watch.stage("store", rest)?;
    let mut layers = coded_rows(&found);
    let mut real = real_rows(&found.placement().real);
    if let Some(rest) = &rest {
        layers.extend(stored_rows(rest));
        // Why products are not of codes is worth a word even where weights are stored as such.
        let stored = |name: &str| rest.weights.iter().any(|of| of.name == name);
        real.retain(|row| found.plan.real.contains_key(&row.name) || !stored(&row.name));
    }
    let quantisation = Quantisation {
        settings: settings.settled(),
        layers,
        real,
        for_original: false,
        rounded: found.ranges(),
        equalised: found.equalised(),
        divergence: None,
        proof: Some(proof),
        speedup: found.speedup,
        fused: found.fused.clone(),
    };
    let planned = !settings.target.is_chained();
    Ok(ProvenCodes {
        planned: planned.then(|| found.judged().clone()),
        model: rest.map_or(found.model, |rest| rest.model),
        quantisation,
        plan: found.plan,
    })
}

/// The model with all other weights stored as codes, proven to be what it is with the numbers that these stand for.
fn stored_rest(
    part: &Analysis,
    found: &Quantised,
    settings: &QuantiseSettings,
    opened: &Opened,
    events: &mut dyn Events,
) -> Result<Option<StoredModel>> {
    // For others than onnxruntime only what their documentation says of codes, which are products.
    if !settings.target.is_chained() {
        return Ok(None);
    }
    let Some(rest) = store_rest(part, found, settings, events)? else {
        return Ok(None);
    };
    let what = "the quantised model with the numbers that stored codes stand for";
    let runtime = &opened.runtime;
    verify_equal(
        part,
        &rest.planned,
        &rest.model,
        what,
        rest.allowed(),
        runtime,
    )?;
    Ok(Some(rest))
}

/// The model with all weights as constants that are read as they are.
pub(super) fn prepared(analysis: &Analysis, runtime: &Runtime) -> Result<Analysis> {
    let analysed = |model: Model| -> Result<Analysis> {
        let graph = Graph::new(&model.settled())?;
        Ok(Analysis::of_rearranged(graph, analysis))
    };
    let whole = analysed(with_initializers(analysis.graph())?)?;
    match folded(&whole, runtime)? {
        Some(model) => analysed(model),
        None => Ok(whole),
    }
}

/// The proof of what was found, on the first samples.
fn proven(
    analysis: &Analysis,
    found: &Quantised,
    settings: &QuantiseSettings,
    opened: &Opened,
) -> Result<IntegerProof> {
    let graph = analysis.graph();
    let layers = found.placement().layers.iter();
    let products = layers.filter(|of| of.end.is_none());
    let outputs = products.flat_map(|of| &of.layer.uses);
    let outputs = outputs.filter_map(|linear| {
        let sum = bias_behind(analysis, linear).map(|(sum, _)| sum);
        graph.node(sum.unwrap_or(linear.node)).output(0)
    });
    let real = outputs.filter(|value| !found.placement().rounded.contains_key(value));
    let products: Vec<String> = real.map(|value| graph.value(value).name.clone()).collect();
    let limit = settings.weight_bits().codes().limit;
    same_structure(&found.planned, &found.model, &found.weights, limit)?;
    let batch = opened.data.start_of(0, PROVEN)?;
    verify_integers(
        &found.planned,
        &found.model,
        &products,
        &batch,
        &opened.runtime,
        match settings.target.is_chained() {
            true => PlacedFor::Onnxruntime,
            false => PlacedFor::Others,
        },
    )
}

/// How a weight was rounded on data, if it was.
fn rounding_of(layers: &[RoundedLayer], name: &str) -> Option<RoundedLayer> {
    layers.iter().find(|row| row.layer == name).cloned()
}

fn coded_rows(found: &Quantised) -> Vec<CodedRow> {
    let layers = found.placement().layers.iter();
    let rows = layers.zip(&found.weights).map(|(of, weight)| CodedRow {
        name: weight.name.clone(),
        operator: of.layer.operator.clone(),
        weights: of.layer.len(),
        bits: 8.0,
        saturable: found.saturable.get(&weight.name).copied().unwrap_or(0),
        rounding: rounding_of(&found.layers, &weight.name),
    });
    rows.collect()
}

pub(super) fn stored_rows(found: &StoredModel) -> Vec<CodedRow> {
    let rows = found.weights.iter().map(|weight| CodedRow {
        name: weight.name.clone(),
        operator: String::new(),
        weights: found.counts.get(&weight.name).copied().unwrap_or(0),
        bits: weight.form.bits(),
        saturable: 0,
        rounding: rounding_of(&found.layers, &weight.name),
    });
    rows.collect()
}

pub(super) fn real_rows(real: &[(String, String)]) -> Vec<RealRow> {
    let rows = real.iter().map(|(name, reason)| RealRow {
        name: name.clone(),
        reason: reason.clone(),
    });
    rows.collect()
}

impl Quantisation {
    /// What the user should know of it: products that can overflow on some processors, and layers that stay real in
    /// onnxruntime.
    pub(super) fn notes(&self) -> Vec<String> {
        let rest = self.fused.iter().flat_map(|fused| &fused.rest);
        let rest = rest.map(|of| {
            format!(
                "'{}' is no product of integers in onnxruntime: {}; leave it real with `keep`",
                of.name, of.reason
            )
        });
        let saturable = self.layers.iter().filter(|row| row.saturable > 0).count();
        let overflow = (saturable > 0 && self.settings.target.is_chained()).then(|| {
            format!(
                "{saturable} layer(s) have rows whose products overflow 16 bits on x86 without VNNI: use 7 bits there"
            )
        });
        let slow = self.speedup.filter(|&speedup| speedup < SLOW).map(|speedup| {
            format!(
                "the quantised model runs at {speedup:.2} times the speed of real numbers here: `weight_only` takes as few bytes and is not slower"
            )
        });
        rest.chain(overflow).chain(slow).collect()
    }
}
