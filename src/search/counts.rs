//! How many channels of each dimension stay: by scope and ratio, or as many as a budget allows.
//!
//! All depends on one number, the ratio: a larger one never keeps more of any dimension. A budget is met by
//! bisecting it on the cost of what would be left, and by giving back single channels, the most important
//! first, as long as they fit.

use std::collections::{BTreeMap, BTreeSet};

use super::gauge::Gauge;
use super::ranked::Ranked;
use crate::dimensions::{Analysis, Dimension, Meter};
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::latency::{LatencyMeter, LatencyModel};
use crate::plan::{Cost, CostBudget, Scope, Settings};

/// What to do where a run takes long whatever its channels are.
const SMALL_RUNS: &str = "; each node takes some time however few channels it has, which counts less in runs of more samples: say with `sizes` how many there are";
/// What to do where nothing above a threshold may go.
const BOUNDED: &str = "; nothing goes whose norm is above the threshold: give a larger one";
/// Halvings of the ratio: more than channels can tell apart.
const HALVINGS: usize = 40;

/// Channels per block that stay of every dimension; of no meaning for those that are not ranked.
///
/// # Errors
/// A budget that cannot be met.
pub(super) fn counts(
    analysis: &Analysis,
    ranked: &[Option<Ranked>],
    settings: &Settings,
    target: CostTarget,
) -> Result<Vec<usize>> {
    let pools = pools(analysis, ranked, settings.scope());
    let at = |ratio: f64| at_ratio(ranked, &pools, ratio);
    match settings.budget {
        None => Ok(at(settings.ratio())),
        Some(_) => within(analysis, ranked, target, &at),
    }
}

/// How much of a cost may stay.
#[derive(Clone, Copy)]
pub(super) struct CostTarget<'a> {
    analysis: &'a Analysis,
    /// Blocks that are dropped, and cost nothing.
    dropped: &'a BTreeSet<usize>,
    cost: Cost,
    /// What is known of times, where they are the cost.
    latency: Option<&'a LatencyModel>,
    before: u64,
    pub(super) most: u64,
    /// The share that was asked for.
    asked: f64,
    /// What else can be done where that is too little.
    hint: &'static str,
}

impl<'a> CostTarget<'a> {
    /// What the settings ask for: a ratio asks for what it would leave of the operations if all dimensions had it.
    ///
    /// # Errors
    /// A budget of time, and no times.
    pub(super) fn of(
        analysis: &'a Analysis,
        ranked: &[Option<Ranked>],
        settings: &Settings,
        dropped: &'a BTreeSet<usize>,
        latency: Option<&'a LatencyModel>,
    ) -> Result<CostTarget<'a>> {
        let totals = analysis.model_totals();
        let (cost, share) = match settings.budget {
            Some(CostBudget { cost, share }) => (cost, Some(share)),
            None => (Cost::Macs, None),
        };
        let (latency, before) = match (cost.of(&totals), latency) {
            (Some(before), _) => (None, before),
            (None, Some(model)) => (Some(model), model.whole()),
            (None, None) => {
                return Err(Error::Usage(format!(
                    "a budget of {cost} follows from times of the model, which were not measured here: prune with `PruneOptions`, or give another budget"
                )));
            }
        };
        let (most, asked) = match share {
            Some(share) => ((before as f64 * share).floor() as u64, share),
            None => {
                let counts = at_ratio(ranked, &[], settings.ratio());
                let left = channels(analysis, ranked, &counts);
                let meter = Meter::new(analysis.costs(), left).without(dropped);
                let most = meter.totals().macs;
                (most, most as f64 / before.max(1) as f64)
            }
        };
        Ok(CostTarget {
            analysis,
            dropped,
            cost,
            latency,
            before,
            most,
            asked,
            hint: match (latency, settings.threshold()) {
                (Some(_), _) => SMALL_RUNS,
                (None, Some(_)) => BOUNDED,
                (None, None) => "",
            },
        })
    }

    /// The cost where these numbers of channels stay.
    pub(super) fn gauge(&self, channels: Vec<usize>) -> Gauge<'a> {
        match self.latency {
            Some(model) => {
                let left = self.analysis.nodes_left(self.dropped);
                Gauge::Timed(LatencyMeter::new(model, channels, &left))
            }
            None => {
                let meter = Meter::new(self.analysis.costs(), channels);
                Gauge::Counted(meter.without(self.dropped), self.cost)
            }
        }
    }

    /// That no less than this can stay.
    pub(super) fn missed(&self, reachable: u64) -> Error {
        Error::Budget {
            what: self.cost.to_string(),
            asked: self.asked,
            reachable: reachable as f64 / self.before.max(1) as f64,
            hint: self.hint,
        }
    }
}

/// A removable step: its importance, its dimension, the channels that it counts for.
struct Step {
    score: f64,
    dimension: usize,
    channels: usize,
}

/// Dimensions that are ranked together.
#[derive(Default)]
struct Pool {
    /// Least important first.
    steps: Vec<Step>,
    /// Channels that are gone already.
    gone: usize,
}

/// The sets of dimensions that are ranked together; none for the uniform scope.
fn pools(analysis: &Analysis, ranked: &[Option<Ranked>], scope: Scope) -> Vec<Pool> {
    let mut pools: BTreeMap<String, Pool> = BTreeMap::new();
    for (place, ranked) in ranked.iter().enumerate() {
        let Some(ranked) = ranked.as_ref().filter(|ranked| ranked.own.is_none()) else {
            continue;
        };
        let class = match scope {
            Scope::Uniform | Scope::Allocated | Scope::Fisher => continue,
            Scope::Global => String::new(),
            Scope::Isomorphic => class(analysis, &analysis.dimensions()[place]),
        };
        let steps = ranked.steps.iter().map(|&score| Step {
            score,
            dimension: place,
            channels: ranked.blocks,
        });
        let pool = pools.entry(class).or_default();
        pool.steps.extend(steps);
        pool.gone += ranked.gone() * ranked.blocks;
    }
    let mut pools: Vec<Pool> = pools.into_values().collect();
    for pool in &mut pools {
        pool.steps.sort_by(|a, b| {
            a.score
                .total_cmp(&b.score)
                .then(b.dimension.cmp(&a.dimension))
        });
    }
    pools
}

/// What makes two dimensions alike: the operators that produce and read them, and whether they mix.
fn class(analysis: &Analysis, dimension: &Dimension) -> String {
    let operators = |nodes: &[NodeId]| {
        let name = |&node: &NodeId| analysis.graph().node_proto(node).op_type().to_owned();
        let mut names: Vec<String> = nodes.iter().map(name).collect();
        names.sort();
        names.dedup();
        names.join(",")
    };
    format!(
        "{} -> {} {}",
        operators(&dimension.producers),
        operators(&dimension.consumers),
        dimension.mixing.is_some()
    )
}

fn at_ratio(ranked: &[Option<Ranked>], pools: &[Pool], ratio: f64) -> Vec<usize> {
    let mut kept: Vec<usize> = ranked
        .iter()
        .map(|ranked| match ranked {
            None => 0,
            Some(ranked) => match (ranked.own, pools.is_empty()) {
                (Some(own), _) => ranked.at(own),
                (None, true) => ranked.at(ratio),
                (None, false) => ranked.size,
            },
        })
        .collect();
    for pool in pools {
        let channels: usize = pool.steps.iter().map(|step| step.channels).sum();
        let wanted = ((channels + pool.gone) as f64 * ratio).floor() as usize;
        let mut left = wanted.saturating_sub(pool.gone);
        for step in &pool.steps {
            if left < step.channels {
                break;
            }
            left -= step.channels;
            kept[step.dimension] -= 1;
        }
    }
    if !pools.is_empty() {
        for (kept, ranked) in kept.iter_mut().zip(ranked) {
            if let Some(ranked) = ranked.as_ref().filter(|ranked| ranked.own.is_none()) {
                *kept = ranked.allowed(*kept);
            }
        }
    }
    kept
}

/// The most that fits a budget: the smallest ratio that meets it, then single steps back while they fit.
fn within(
    analysis: &Analysis,
    ranked: &[Option<Ranked>],
    target: CostTarget,
    at: &dyn Fn(f64) -> Vec<usize>,
) -> Result<Vec<usize>> {
    let whole = channels(analysis, ranked, &at(0.0));
    let mut gauge = target.gauge(whole);
    let mut cost = |counts: &[usize]| {
        let channels = channels(analysis, ranked, counts);
        let changes = channels.into_iter().enumerate();
        changes.for_each(|(place, count)| gauge.set(place, count));
        gauge.cost()
    };
    let (mut low, mut high) = (0.0, 1.0);
    let smallest = cost(&at(high));
    if smallest > target.most {
        return Err(target.missed(smallest));
    }
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        match cost(&at(middle)) <= target.most {
            true => high = middle,
            false => low = middle,
        }
    }
    let mut counts = at(high);
    let mut gauge = target.gauge(channels(analysis, ranked, &counts));
    while grow(ranked, &mut counts, &mut gauge, target.most) {}
    Ok(counts)
}

/// Gives every dimension one step back if it fits, the most important first; true if any did.
fn grow(ranked: &[Option<Ranked>], counts: &mut [usize], gauge: &mut Gauge, most: u64) -> bool {
    let mut steps: Vec<(f64, usize, &Ranked)> = Vec::new();
    for (place, ranked) in ranked.iter().enumerate() {
        if let Some(ranked) = ranked.as_ref().filter(|ranked| ranked.own.is_none())
            && counts[place] < ranked.size
        {
            steps.push((ranked.steps[counts[place]], place, ranked));
        }
    }
    steps.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut grown = false;
    for (_, place, ranked) in steps {
        let next = ranked.next(counts[place]);
        gauge.set(place, next * ranked.blocks);
        match gauge.cost() <= most {
            true => {
                counts[place] = next;
                grown = true;
            }
            false => gauge.set(place, counts[place] * ranked.blocks),
        }
    }
    grown
}

/// Channels of every dimension that are not gone yet.
pub(super) fn channels_left(analysis: &Analysis, ranked: &[Option<Ranked>]) -> Vec<usize> {
    let sizes = ranked
        .iter()
        .map(|ranked| ranked.as_ref().map_or(0, |r| r.size));
    channels(analysis, ranked, &sizes.collect::<Vec<_>>())
}

/// Channels of every dimension from those per block of the ranked ones.
pub(super) fn channels(
    analysis: &Analysis,
    ranked: &[Option<Ranked>],
    counts: &[usize],
) -> Vec<usize> {
    let dimensions = analysis.dimensions().iter().zip(ranked).zip(counts);
    let count = dimensions.map(|((dimension, ranked), &count)| match ranked {
        Some(ranked) => count * ranked.blocks,
        None => dimension.size,
    });
    count.collect()
}
