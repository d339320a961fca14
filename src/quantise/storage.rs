//! Weights stored as codes of 8 bits, which become real numbers again when the model is loaded: a quarter of the bytes, the
//! same kernels, any operator.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::plan::biases;
use super::targets::{Reasons, StorageTarget, StoredWidth, first_of, targets};
use super::{QuantisePlan, QuantiseSettings, Quantised, StoredBits};
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::graph::{Graph, ValueId};
use crate::layers::Layers;
use crate::onnx::{ElementType, Model, packed};
use crate::patterns::Patterns;
use crate::recover::{LayerCodes, Recovery, RoundContext, RoundedLayer, Scene, round};
use crate::rewrite::{Edit, StoredForm, StoredWeight, with_stored, with_weights};

/// A weight of which this many would not be more than all keeps 8 bits: it costs much and takes little.
const SMALL: usize = 100;

/// A model whose weights are stored as codes.
pub(crate) struct StoredModel {
    /// As it is written.
    pub(crate) model: Model,
    /// The same with the numbers that codes stand for.
    pub(crate) planned: Model,
    pub(crate) weights: Vec<StoredWeight>,
    /// By constant the bits of its codes; none of numbers of 16 bits.
    bits: HashMap<String, StoredBits>,
    /// By weight what is added to its product.
    biases: HashMap<String, String>,
    /// By constant the number of its elements.
    pub(crate) counts: HashMap<String, usize>,
    /// How layers were rounded on data; the others each to what is nearest.
    pub(crate) layers: Vec<RoundedLayer>,
    /// Constants that stay real, with why.
    pub(crate) real: Vec<(String, String)>,
}

impl StoredModel {
    /// What the model may be wrong by, as a share of the largest number of an output: it has the planned numbers as soon
    /// as it is loaded, but for products that read codes by themselves.
    pub(crate) fn allowed(&self) -> f64 {
        let blocks = |of: &StoredWeight| matches!(of.form, StoredForm::Blocks { .. });
        match self.weights.iter().any(blocks) {
            true => 1e-4,
            false => 1e-6,
        }
    }
}

/// A weight in ever fewer bits, each number rounded to the nearest.
pub(crate) struct NearestCodes {
    pub(crate) name: String,
    /// Number of its elements.
    pub(crate) count: usize,
    pub(crate) weight: ValueId,
    /// The numbers that codes of so many bits stand for, packed as the weight is.
    pub(crate) forms: Vec<(StoredBits, Bytes)>,
}

/// Stores the weights of a model as codes; on data, where there is a pass over some.
///
/// # Errors
/// Data that cannot be read or gives no numbers, a provider that refuses a part of the model, or nothing to store.
pub(crate) fn store(
    analysis: &Analysis,
    settings: &QuantiseSettings,
    pass: Option<Pass>,
    events: &mut dyn Events,
) -> Result<StoredModel> {
    let (targets, real) = kept_targets(analysis, settings)?;
    let widths = widths(&targets, settings);
    stored(analysis, (&targets, real), &widths, pass, events)
}

/// Stores the weights of a model as a plan says.
///
/// # Errors
/// As [`store`].
pub(crate) fn store_planned(
    analysis: &Analysis,
    plan: &QuantisePlan,
    pass: Option<Pass>,
    events: &mut dyn Events,
) -> Result<StoredModel> {
    let settings = &plan.settings;
    let (targets, real) = kept_targets(analysis, settings)?;
    let mut widths = widths(&targets, settings);
    if settings.store.is_none() {
        for target in &targets {
            let planned = plan.weights.get(&target.name).and_then(|of| of.bits);
            let bits = planned.unwrap_or_default();
            let blocked = matches!(
                widths.get(&target.name),
                Some(StoredWidth::Bits(StoredBits::Four, true))
            );
            let blocked = blocked && bits == StoredBits::Four;
            widths.insert(target.name.clone(), StoredWidth::Bits(bits, blocked));
        }
    }
    stored(analysis, (&targets, real), &widths, pass, events)
}

impl StoredModel {
    /// What was decided.
    pub(crate) fn plan(
        &self,
        model_hash: &str,
        settings: &QuantiseSettings,
    ) -> Result<QuantisePlan> {
        let mut plan = QuantisePlan::new(model_hash, settings);
        let graph = Graph::new(&self.planned)?;
        for StoredWeight { name, .. } in &self.weights {
            let bits = self.bits.get(name).copied();
            plan.note(&graph, (name, self.biases.get(name)), bits)?;
        }
        Ok(plan)
    }
}

/// Stores the other weights of a model with products of codes as codes of 8 bits; none where there are none.
///
/// # Errors
/// A tensor that cannot be read, or a result that is no valid graph.
pub(crate) fn store_rest(
    part: &Analysis,
    found: &Quantised,
    settings: &QuantiseSettings,
    events: &mut dyn Events,
) -> Result<Option<StoredModel>> {
    let graph = Graph::new(&found.model.clone().settled())?;
    let analysis = Analysis::of_edit(graph, part);
    let kept = Patterns::new(settings.keep.iter().map(String::as_str))?;
    let (rest, _) = targets(&analysis, &kept, None)?;
    if rest.is_empty() {
        return Ok(None);
    }
    let widths = HashMap::new();
    stored(&analysis, (&rest, Vec::new()), &widths, None, events).map(Some)
}

/// The constants that are stored in fewer bytes, and why others are not.
pub(super) fn kept_targets(
    analysis: &Analysis,
    settings: &QuantiseSettings,
) -> Result<(Vec<StorageTarget>, Reasons)> {
    let kept = Patterns::new(settings.keep.iter().map(String::as_str))?;
    let (targets, real) = targets(analysis, &kept, settings.store)?;
    kept.all_used("constant", "secateur mask --list")?;
    match targets.is_empty() {
        true => Err(Error::Usage(format!(
            "nothing can be stored in fewer bytes: {}",
            first_of(&real).unwrap_or_else(|| "the model has no weights of 32 bits".to_owned())
        ))),
        false => Ok((targets, real)),
    }
}

/// What every weight becomes that can be stored as codes, rounded to the nearest, in each number of bits, the most first.
///
/// # Errors
/// Weights that are no numbers, or nothing to store.
pub(crate) fn nearest_codes(analysis: &Analysis) -> Result<Vec<NearestCodes>> {
    let (targets, _) = kept_targets(analysis, &QuantiseSettings::default())?;
    let graph = analysis.graph();
    let coded = |target: &StorageTarget| {
        let edits = StoredBits::ALL.map(|bits| target.nearest(graph, bits));
        let mut forms = Vec::new();
        let mut weight = None;
        for (bits, edit) in StoredBits::ALL.into_iter().zip(edits) {
            if let Some((value, Edit::Bytes(numbers))) = edit? {
                weight = Some(value);
                forms.push((bits, numbers));
            }
        }
        Ok(weight.map(|weight| NearestCodes {
            name: target.name.clone(),
            count: target.count,
            weight,
            forms,
        }))
    };
    let all: Result<Vec<Option<NearestCodes>>> = targets.iter().map(coded).collect();
    Ok(all?.into_iter().flatten().collect())
}

/// How every target is stored that does not become codes of 8 bits.
fn widths(targets: &[StorageTarget], settings: &QuantiseSettings) -> HashMap<String, StoredWidth> {
    let own = |target: &StorageTarget, width| (target.name.clone(), width);
    if let Some(half) = settings.store {
        return targets
            .iter()
            .map(|of| own(of, StoredWidth::Half(half)))
            .collect();
    }
    let all: usize = targets.iter().map(|of| of.count).sum();
    let small = |target: &StorageTarget| target.count * SMALL < all;
    let narrow = targets.iter().filter(|of| of.layer.is_some() && !small(of));
    narrow
        .map(|of| {
            let blocked = of.blocked && settings.bits == StoredBits::Four;
            own(of, StoredWidth::Bits(settings.bits, blocked))
        })
        .collect()
}

/// The model with its targets stored so; codes of 8 bits where nothing is said.
pub(super) fn stored(
    analysis: &Analysis,
    (targets, real): (&[StorageTarget], Reasons),
    widths: &HashMap<String, StoredWidth>,
    pass: Option<Pass>,
    events: &mut dyn Events,
) -> Result<StoredModel> {
    let mut steps = HashMap::new();
    let (mut rounded, mut layers) = (None, Vec::new());
    let width = |target: &StorageTarget| widths.get(&target.name).copied().unwrap_or_default();
    if let Some(pass) = pass {
        let codes = targets.iter().filter_map(|of| of.codes(width(of)));
        let codes: HashMap<String, LayerCodes> = codes.collect();
        let everything = analysis.everything();
        let scene = Scene::of_itself(analysis, &everything);
        let context = RoundContext {
            pass,
            codes: &codes,
            reach: Recovery::Solve,
        };
        if !codes.is_empty() {
            let found = round(&scene, &context, events)?;
            rounded = Some(found.weights.applied(analysis)?);
            (steps, layers) = (found.steps, found.layers);
        }
    }
    let solved = rounded.as_ref().unwrap_or(analysis);
    let graph = solved.graph();
    let found = Layers::of(solved).layers;
    let (mut weights, mut counts, mut bits) = (Vec::new(), HashMap::new(), HashMap::new());
    let mut edits: BTreeMap<ValueId, Edit> = BTreeMap::new();
    for target in targets {
        let own = (width(target), steps.get(&target.name));
        let target = target.among(&found);
        if let Some((value, weight, numbers)) = target.stored(graph, own)? {
            let bytes = packed(&numbers, ElementType::Float);
            edits.insert(value, Edit::Bytes(bytes.into()));
            counts.insert(target.name.clone(), numbers.len());
            if let StoredWidth::Bits(width, _) = own.0 {
                bits.insert(target.name.clone(), width);
            }
            weights.push(weight);
        }
    }
    let planned = with_weights(graph, &edits)?.settled();
    let model = with_stored(&Graph::new(&planned)?, &weights)?;
    Ok(StoredModel {
        model,
        planned,
        weights,
        bits,
        biases: biases(solved),
        counts,
        layers,
        real,
    })
}
