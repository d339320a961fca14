//! Which weights are masked, and why the others are not.

use super::budget::Maskable;
use super::mask::Weights;
use super::select::misfit;
use super::settings::MaskSettings;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::layers::{Layer, Layers, LeftWeight, unmeasured_nodes};
use crate::patterns::Patterns;

/// The layers that are masked.
#[derive(Clone, Debug)]
pub struct Chosen {
    pub(super) targets: Vec<Maskable>,
    /// Weights that are left, and why.
    pub left: Vec<LeftWeight>,
}

impl Chosen {
    /// The layers that are masked, in the order of the initializers.
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.targets.iter().map(|target| &target.layer)
    }

    /// Number of layers.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }
}

/// Chooses what `settings` name among the layers of `analysis`.
///
/// # Errors
/// Settings that contradict each other, patterns that match nothing, or nothing to mask.
pub fn choose(analysis: &Analysis, settings: &MaskSettings) -> Result<Chosen> {
    settings.check()?;
    let skip = Patterns::new(settings.skip.iter().map(String::as_str))?;
    let only = Patterns::new(settings.only.iter().map(String::as_str))?;
    let include = Patterns::new(settings.include.iter().map(String::as_str))?;
    let own = Patterns::new(settings.sparsity_for.iter().map(|(glob, _)| glob.as_str()))?;
    let Layers { layers, left } = Layers::of(analysis);
    let unmeasured = unmeasured_nodes(analysis.graph());
    let mut chosen = Chosen {
        targets: Vec::new(),
        left: Vec::new(),
    };
    for layer in layers {
        let labels = labels(analysis, &layer);
        let own = own
            .matched(&labels)
            .map(|place| settings.sparsity_for[place].1);
        let reason = match (skip.matched(&labels), only.matched(&labels)) {
            (Some(place), _) => Some(format!("skipped by `skip` '{}'", skip.text(place))),
            (None, None) if !only.is_empty() => Some("not named by `only`".to_owned()),
            _ if settings.criterion.is_calibrated()
                && !layer.is_measurable(analysis, &unmeasured) =>
            {
                Some("what it is multiplied with is constant or cannot be measured".to_owned())
            }
            _ => misfit(&layer, settings.pattern),
        };
        match reason {
            Some(reason) => chosen.left.push(LeftWeight {
                name: layer.name.clone(),
                len: layer.len(),
                reason,
                value: layer.value,
            }),
            None => chosen.targets.push(target(analysis, layer, own)?),
        }
    }
    for weight in left {
        let labels = [weight.name.clone()];
        let asked = include.matched(&labels).is_some() && skip.matched(&labels).is_none();
        let own = own
            .matched(&labels)
            .map(|place| settings.sparsity_for[place].1);
        match asked.then(|| Layer::flat(analysis, weight.value)).flatten() {
            Some(layer) if !settings.criterion.is_calibrated() => {
                chosen.targets.push(target(analysis, layer, own)?);
            }
            Some(layer) => return Err(not_calibrated(&layer)),
            None => chosen.left.push(weight),
        }
    }
    for patterns in [&skip, &only, &own] {
        patterns.all_used("layer", "secateur inspect --sparsity")?;
    }
    include.all_used("weight that is no layer's", "secateur inspect --sparsity")?;
    match chosen.targets.is_empty() {
        true => Err(nothing(&chosen.left)),
        false => Ok(chosen),
    }
}

fn not_calibrated(layer: &Layer) -> Error {
    Error::Usage(format!(
        "'{}' is multiplied with no data that could be calibrated: mask it with `criterion` magnitude in a run of its own",
        layer.name
    ))
}

/// That no weight is chosen, with why of each.
fn nothing(left: &[LeftWeight]) -> Error {
    let reason = |weight: &LeftWeight| format!("'{}': {}", weight.name, weight.reason);
    let mut blocked: Vec<String> = left.iter().map(reason).collect();
    if blocked.is_empty() {
        blocked.push("the model has no weights".to_owned());
    }
    Error::NothingToPrune { blocked }
}

fn target(analysis: &Analysis, layer: Layer, own: Option<f64>) -> Result<Maskable> {
    let tensor = analysis.graph().constant(layer.value);
    let tensor = tensor.ok_or_else(|| Error::tensor(&layer.name, "is no constant"))?;
    Ok(Maskable {
        weights: Weights {
            name: layer.name.clone(),
            ..Weights::of(tensor)?
        },
        layer,
        own,
    })
}

/// What a pattern may match: the initializer, the nodes that read it, their operators.
fn labels(analysis: &Analysis, layer: &Layer) -> Vec<String> {
    let mut labels = vec![layer.name.clone()];
    for node in layer.nodes() {
        let proto = analysis.graph().node_proto(node);
        labels.extend([proto.name().to_owned(), proto.op_type().to_owned()]);
    }
    labels
}
