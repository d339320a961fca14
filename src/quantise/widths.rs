//! How many bits each weight is stored in: as few as a size or a divergence of the outputs asks for, taken where they
//! cost least.
//!
//! Every layer is rounded alone in every width and the divergence of the outputs measured. Divergences add up well, so
//! that always the step with the least divergence per bit is taken next, from 8 bits for all.

use std::collections::{BTreeSet, HashMap};

use super::storage::{StoredModel, kept_targets, stored};
use super::targets::{StorageTarget, StoredWidth};
use super::trial::HeldOutTrial;
use super::{QuantiseSettings, StoredBits};
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::onnx::Model;
use crate::recover::{LayerCodes, Recovered, Rounded, Scene, round_alone};

/// Metadata and names that are added when the model is written, in bytes.
const STAMP: u64 = 1 << 10;
/// How often widths are chosen anew where the model is not what they promised.
const ROUNDS: usize = 4;

/// Weights that get one width: layers that were rounded together, or a table.
struct Part {
    /// By number.
    targets: Vec<usize>,
    /// By width, the widest first, the divergence with these weights alone.
    costs: Vec<f64>,
    /// By width the bits of all weights.
    bits: Vec<f64>,
}

/// The model with weights of as many bits as the settings' budget and divergence leave.
///
/// # Errors
/// Data that cannot be read or gives no numbers, a provider that refuses a part of the model, a budget that cannot be
/// met, or nothing to store.
pub(crate) fn fitted(
    analysis: &Analysis,
    settings: &QuantiseSettings,
    pass: Pass,
    events: &mut dyn Events,
) -> Result<StoredModel> {
    let (targets, real) = kept_targets(analysis, settings)?;
    let parts = parts(analysis, &targets, pass, events)?;
    let goal = Goal::of(analysis, settings);
    let trial = HeldOutTrial::new(analysis, ROUNDS, pass)?;
    let mut asked = goal;
    for _ in 0..ROUNDS {
        let mut chosen = vec![0; parts.len()];
        let mut narrowing = Narrowing {
            analysis,
            targets: &targets,
            parts: &parts,
            asked,
            chosen: &mut chosen,
        };
        let narrowest = !narrowing.narrow(events)?;
        let counted = narrowing.bytes(events)?;
        let widths = widths(&targets, &parts, &chosen);
        let targets = (&targets[..], real.clone());
        let made = stored(analysis, targets, &widths, Some(pass), events)?;
        // Biases that rounding adds were not counted.
        let size = made.model.to_bytes()?.len() as u64 + STAMP;
        match goal.bytes.filter(|&most| size > most) {
            Some(most) if narrowest => return Err(goal.too_small(most, size)),
            Some(most) => {
                let biases = size.saturating_sub(counted);
                asked.bytes = Some(most.saturating_sub(biases).min(counted.saturating_sub(1)));
                continue;
            }
            None => {}
        }
        let divergence = trial.of(&made.model)?;
        match goal.divergence {
            Some(most) if divergence > most => {
                let share = (most / divergence).min(0.9);
                asked.divergence = asked.divergence.map(|asked| asked * share);
            }
            _ => return Ok(made),
        }
    }
    if let Some(bytes) = goal.bytes.filter(|_| goal.divergence.is_none()) {
        return Err(Error::Usage(format!(
            "no widths were found for a file of {bytes} bytes: ask for more"
        )));
    }
    Err(Error::Gates {
        failed: vec![
            "no widths were found for the size and the divergence that are allowed: allow more"
                .to_owned(),
        ],
    })
}

/// What widths that reach a goal will cost, before weights are rounded for them together.
pub(crate) struct WidthForecast {
    /// Of the file.
    pub(crate) bytes: u64,
    /// Of the outputs.
    pub(crate) divergence: f64,
    /// Whether they reach it.
    pub(crate) fits: bool,
}

/// Foretells what [`fitted`] makes.
///
/// # Errors
/// As [`fitted`], but for a budget that cannot be met.
pub(crate) fn forecast(
    analysis: &Analysis,
    settings: &QuantiseSettings,
    pass: Pass,
    events: &mut dyn Events,
) -> Result<WidthForecast> {
    let (targets, _) = kept_targets(analysis, settings)?;
    let parts = parts(analysis, &targets, pass, events)?;
    let mut chosen = vec![0; parts.len()];
    let mut narrowing = Narrowing {
        analysis,
        targets: &targets,
        parts: &parts,
        asked: Goal::of(analysis, settings),
        chosen: &mut chosen,
    };
    let fits = narrowing.narrow(events)?;
    let divergence = narrowing.cost();
    Ok(WidthForecast {
        bytes: narrowing.bytes(events)?,
        divergence,
        fits: fits && settings.max_kl.is_none_or(|most| divergence <= most),
    })
}

/// What widths have to reach.
#[derive(Clone, Copy)]
struct Goal {
    /// Bytes of the file at most.
    bytes: Option<u64>,
    /// Divergence of the outputs at most.
    divergence: Option<f64>,
}

impl Goal {
    fn too_small(&self, bytes: u64, made: u64) -> Error {
        let why = match self.divergence {
            Some(_) => "with the divergence that is allowed",
            None => "with the fewest bits for all weights",
        };
        Error::Usage(format!(
            "the file cannot have {bytes} bytes: {why} it has {made}; prune more of the model first, or ask for more"
        ))
    }

    fn of(analysis: &Analysis, settings: &QuantiseSettings) -> Goal {
        let before = analysis.graph().model().source_bytes();
        Goal {
            bytes: settings.budget.map(|budget| budget.bytes(before)),
            divergence: settings.max_kl,
        }
    }
}

struct Narrowing<'a> {
    analysis: &'a Analysis,
    targets: &'a [StorageTarget],
    parts: &'a [Part],
    asked: Goal,
    /// By part the number of its width.
    chosen: &'a mut [usize],
}

impl Narrowing<'_> {
    /// Chooses widths; false where the file is too large with the narrowest that are allowed.
    fn narrow(&mut self, events: &mut dyn Events) -> Result<bool> {
        let Some(bytes) = self.asked.bytes else {
            while let Some(step) = self.next() {
                self.take(step);
            }
            return Ok(true);
        };
        loop {
            let made = self.bytes(events)?;
            if made <= bytes {
                self.give_back(8.0 * (bytes - made) as f64);
                // What bits are counted as is not quite what they take.
                return self.shrink(bytes, events);
            }
            if !self.save(8.0 * (made - bytes) as f64) {
                return Ok(self.bytes(events)? <= bytes);
            }
        }
    }

    /// Takes steps one by one until the file is small enough; false where there are too few.
    fn shrink(&mut self, bytes: u64, events: &mut dyn Events) -> Result<bool> {
        while self.bytes(events)? > bytes {
            match self.next() {
                Some(step) => self.take(step),
                None => return Ok(false),
            };
        }
        Ok(true)
    }

    /// Saves so many bits, or as many as there are; false where that is less.
    fn save(&mut self, bits: f64) -> bool {
        let mut over = bits;
        while over > 0.0 {
            match self.next() {
                Some(step) => over -= self.take(step),
                None => return false,
            }
        }
        true
    }

    /// Spends bits where they help most.
    fn give_back(&mut self, mut left: f64) {
        loop {
            let parts = self.parts.iter().zip(self.chosen.iter()).enumerate();
            let steps = parts.flat_map(|(place, (part, &now))| {
                (0..now).map(move |width| {
                    let gain = part.costs[now] - part.costs[width];
                    (gain, part.bits[width] - part.bits[now], (place, width))
                })
            });
            let fits = steps.filter(|&(gain, bits, _)| bits <= left && gain > 0.0);
            let best = fits.max_by(|a, b| (a.0 / a.1.max(1.0)).total_cmp(&(b.0 / b.1.max(1.0))));
            let Some((_, bits, step)) = best else {
                return;
            };
            left -= bits;
            self.take(step);
        }
    }

    /// Bytes of the file with the chosen widths.
    fn bytes(&self, events: &mut dyn Events) -> Result<u64> {
        let widths = widths(self.targets, self.parts, self.chosen);
        let targets = (self.targets, Vec::new());
        let made = stored(self.analysis, targets, &widths, None, events)?;
        Ok(made.model.to_bytes()?.len() as u64 + STAMP)
    }

    fn cost(&self) -> f64 {
        let parts = self.parts.iter().zip(self.chosen.iter());
        parts.map(|(part, &width)| part.costs[width]).sum()
    }

    /// The part and the width with the least divergence per bit, of those that are allowed.
    fn next(&self) -> Option<(usize, usize)> {
        let left = self.asked.divergence.map(|most| most - self.cost());
        let parts = self.parts.iter().zip(self.chosen.iter()).enumerate();
        let steps = parts.flat_map(|(place, (part, &now))| {
            let narrower = now + 1..part.costs.len();
            narrower.map(move |width| {
                let cost = (part.costs[width] - part.costs[now]).max(1e-12);
                let bits = part.bits[now] - part.bits[width];
                (cost, cost / bits.max(1.0), (place, width))
            })
        });
        let allowed = steps.filter(|(cost, ..)| left.is_none_or(|left| *cost <= left));
        let best = allowed.min_by(|a, b| a.1.total_cmp(&b.1));
        best.map(|(_, _, step)| step)
    }

    /// Takes a step; gives the bits that it saves.
    fn take(&mut self, (place, width): (usize, usize)) -> f64 {
        let bits = &self.parts[place].bits;
        let saved = bits[self.chosen[place]] - bits[width];
        self.chosen[place] = width;
        saved
    }
}

/// By target its width.
fn widths(
    targets: &[StorageTarget],
    parts: &[Part],
    chosen: &[usize],
) -> HashMap<String, StoredWidth> {
    let parts = parts.iter().zip(chosen);
    let each = parts.flat_map(|(part, &width)| {
        let bits = StoredBits::ALL[width];
        part.targets
            .iter()
            .map(move |&target| (targets[target].name.clone(), StoredWidth::Bits(bits, false)))
    });
    each.collect()
}

/// The weights that get one width, with what each width costs.
fn parts(
    analysis: &Analysis,
    targets: &[StorageTarget],
    pass: Pass,
    events: &mut dyn Events,
) -> Result<Vec<Part>> {
    let everything = analysis.everything();
    let scene = Scene::of_itself(analysis, &everything);
    let codes = StoredBits::ALL.map(|bits| {
        let width = StoredWidth::Bits(bits, false);
        targets.iter().filter_map(|of| of.codes(width)).collect()
    });
    let codes: Vec<HashMap<String, LayerCodes>> = codes.into();
    let rounded = match codes.iter().all(HashMap::is_empty) {
        true => codes.iter().map(|_| Rounded::default()).collect(),
        false => round_alone(&scene, pass, &codes, events)?,
    };
    let groups = together(targets, &rounded[0]);
    let runs = groups.len() * StoredBits::ALL.len();
    let trial = HeldOutTrial::new(analysis, runs, pass)?;
    let mut parts = Vec::new();
    for (done, group) in groups.iter().enumerate() {
        events.progress("widths", done, groups.len());
        let own = || group.iter().map(|&place| &targets[place]);
        let mut part = Part {
            targets: group.clone(),
            costs: Vec::new(),
            bits: Vec::new(),
        };
        for (bits, rounded) in StoredBits::ALL.into_iter().zip(&rounded) {
            let model = alone(analysis, own(), bits, &rounded.weights)?;
            part.costs.push(trial.of(&model)?);
            let width = StoredWidth::Bits(bits, false);
            part.bits.push(own().map(|target| target.bits(width)).sum());
        }
        parts.push(part);
    }
    Ok(parts)
}

/// The model with these weights alone rounded.
fn alone<'a>(
    analysis: &Analysis,
    targets: impl Iterator<Item = &'a StorageTarget>,
    bits: StoredBits,
    rounded: &Recovered,
) -> Result<Model> {
    let graph = analysis.graph();
    let mut own = Recovered::default();
    for target in targets {
        let Some(value) = graph.find(&target.name) else {
            continue;
        };
        match rounded.edits.get(&value) {
            Some(edit) => {
                own.edits.insert(value, edit.clone());
            }
            None => own.edits.extend(target.nearest(graph, bits)?),
        }
        let nodes = target.layer.iter().flat_map(|layer| layer.nodes());
        let nodes: BTreeSet<_> = nodes.collect();
        let constants = rounded.constants.iter();
        let constants = constants.filter(|of| nodes.contains(&of.node()));
        own.constants.extend(constants.cloned());
    }
    Ok(own.applied(analysis)?.graph().model().clone())
}

/// Targets, by number, that were rounded together.
fn together(targets: &[StorageTarget], rounded: &Rounded) -> Vec<Vec<usize>> {
    let place = |name: &str| targets.iter().position(|target| target.name == name);
    let mut seen = BTreeSet::new();
    let mut groups = Vec::new();
    for (number, target) in targets.iter().enumerate() {
        if !seen.insert(number) {
            continue;
        }
        let mut group = vec![number];
        let with = rounded.layers.iter().filter(|of| of.layer == target.name);
        let with = with.flat_map(|of| of.with.iter());
        for other in with.filter_map(|name| place(name)) {
            if seen.insert(other) {
                group.push(other);
            }
        }
        groups.push(group);
    }
    groups
}
