//! What a channel is multiplied with behind the layers that make it: scales of batch normalisations (Liu et al. 2017), and
//! other constants.

use std::collections::{HashMap, HashSet};

use crate::axes::{Type, VarId};
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::graph::{NodeId, ValueId};
use crate::layers::{Follower, Layers};

/// Scales behind all that makes a dimension, each in units of its mean; none of a dimension that has no scale.
///
/// # Errors
/// No dimension has one.
pub(super) fn scores(analysis: &Analysis) -> Result<Vec<Vec<f64>>> {
    let follower = Follower::new(analysis);
    let mut found = Found::of(analysis);
    let mut seen: HashSet<NodeId> = HashSet::new();
    for layer in &Layers::of(analysis).layers {
        let Some((axis, tail)) = follower.behind(layer, None) else {
            continue;
        };
        seen.extend(&tail.normalised);
        let differ = tail.gain.windows(2).any(|pair| pair[0] != pair[1]);
        let output = layer.nodes().next();
        let output = output.and_then(|node| analysis.graph().node(node).output(0));
        if let Some(output) = output.filter(|_| differ || !tail.normalised.is_empty()) {
            found.add(output, axis, &tail.gain)?;
        }
    }
    // Those behind sums, or in front of layers.
    let nodes = analysis.graph().order().iter();
    for &node in nodes.filter(|node| !seen.contains(node)) {
        let output = analysis.graph().node(node).output(0);
        if let (Some(output), Some(gain)) = (output, follower.gain(node)) {
            found.add(output, 1, &gain)?;
        }
    }
    match found.scores.iter().all(Vec::is_empty) {
        false => Ok(found.scores),
        true => Err(Error::NothingToPrune {
            blocked: vec![
                "no batch normalisation and no other constant scales channels behind what makes them, so `criterion` bn-scale ranks none: a BatchNormalization that was folded into its convolution is gone; choose l2 or fpgm, or export the model in training mode without folding"
                    .to_owned(),
            ],
        }),
    }
}

/// Scores so far.
struct Found<'a> {
    analysis: &'a Analysis,
    places: HashMap<VarId, usize>,
    scores: Vec<Vec<f64>>,
}

impl Found<'_> {
    fn of(analysis: &Analysis) -> Found<'_> {
        let dimensions = analysis.dimensions().iter().enumerate();
        Found {
            analysis,
            places: dimensions.map(|(place, of)| (of.var, place)).collect(),
            scores: vec![Vec::new(); analysis.dimensions().len()],
        }
    }

    /// Adds factors along an axis of a value to the channels that stand there.
    fn add(&mut self, value: ValueId, axis: usize, gain: &[f64]) -> Result<()> {
        let types = &self.analysis.state.types;
        let axes = self.analysis.state.axes(value).unwrap_or_default();
        let Some(ty) = axes.get(axis) else {
            return Ok(());
        };
        if gain.iter().any(|gain| gain.is_nan()) {
            let name = &self.analysis.graph().value(value).name;
            return Err(Error::tensor(
                name,
                "is scaled by NaN, so its channels cannot be ranked; use `criterion` random or repair the model",
            ));
        }
        for var in types.vars(ty) {
            if let Some(&place) = self.places.get(&var) {
                let own = self.by_channel(ty, var, gain);
                let mean = own.iter().sum::<f64>() / own.len().max(1) as f64;
                let scale = if mean > 0.0 { mean } else { 1.0 };
                let scores = &mut self.scores[place];
                scores.resize(own.len(), 0.0);
                let pairs = scores.iter_mut().zip(own);
                pairs.for_each(|(score, own)| *score += own / scale);
            }
        }
        Ok(())
    }

    /// By channel the mean factor of its positions.
    fn by_channel(&self, ty: &Type, var: VarId, gain: &[f64]) -> Vec<f64> {
        let types = &self.analysis.state.types;
        let channels = 0..types.size(&Type::Var(var));
        let mean = channels.map(|channel| {
            let places = types.places(ty, var, channel);
            let gains = places.iter().filter_map(|&place| gain.get(place as usize));
            gains.map(|gain| gain.abs()).sum::<f64>() / places.len().max(1) as f64
        });
        mean.collect()
    }
}
