//! Where a model is rounded and with which ranges, as far as its outputs bear it: channels are brought to one size where
//! that helps, and what costs too much even so stays real.

use std::collections::{BTreeMap, HashMap};

use super::equalise::Equalised;
use super::streams::{ChannelStream, streams};
use super::trial::Switched;
use super::{
    CodeRange, CodeRules, CodeSites, PlannedValue, QuantisePlan, QuantiseSettings, ranges,
};
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::graph::{Graph, ValueId};
use crate::metrics::Gap;
use crate::patterns::Patterns;
use crate::rewrite::RoundedValue;

/// A divergence of the outputs below this needs no care.
const GOOD: f64 = 5e-4;
/// A value whose rounding alone costs more than this is worth other channels.
const DEAR: f64 = 1e-4;
/// A value whose rounding alone costs more than this stays real.
const MOST: f64 = 0.02;
/// How often values are made real before what is left is taken as it is.
const ROUNDS: usize = 4;

/// What is rounded, and how.
#[derive(Clone)]
pub(super) struct Placed {
    pub(super) placement: CodeSites,
    /// By class of rounded values.
    pub(super) ranges: Vec<CodeRange>,
    pub(super) equalised: Equalised,
    /// Layers that stay real because rounding what they read or make costs too much, with why.
    pub(super) dear: BTreeMap<String, String>,
}

/// What a placement costs.
struct Costs {
    all: f64,
    by_class: BTreeMap<usize, f64>,
}

/// Places what is rounded in a model.
pub(super) struct Placer<'a> {
    analysis: &'a Analysis,
    kept: &'a Patterns<'a>,
    every: bool,
    /// Layers that stay real, with why.
    dear: HashMap<String, String>,
    target: super::KernelTarget,
    pass: Pass<'a>,
}

impl<'a> Placer<'a> {
    pub(super) fn new(
        analysis: &'a Analysis,
        kept: &'a Patterns<'a>,
        settings: &QuantiseSettings,
        pass: Pass<'a>,
    ) -> Placer<'a> {
        Placer {
            analysis,
            kept,
            every: settings.takes_every_layer(),
            dear: HashMap::new(),
            target: settings.target,
            pass,
        }
    }

    fn wanted<'b>(&'b self, dear: &'b HashMap<String, String>) -> CodeRules<'b> {
        CodeRules {
            kept: self.kept,
            dear,
            every: self.every,
            target: self.target,
        }
    }

    /// Places what is rounded.
    ///
    /// # Errors
    /// Data that cannot be read or gives no numbers, or a provider that refuses the model.
    pub(super) fn placed(&mut self, events: &mut dyn Events) -> Result<Placed> {
        let first = self.place(Equalised::default(), events)?;
        if first.placement.layers.is_empty() {
            return Ok(first);
        }
        let graph = self.analysis.graph();
        let mut trial = Switched::new(self.analysis, &first.rounded(graph), self.pass)?;
        let all = trial.all()?;
        if all <= GOOD {
            return Ok(first);
        }
        let by_class = trial.each(events)?;
        self.improved(first, Costs { all, by_class }, events)
    }

    /// Places what a plan says.
    ///
    /// # Errors
    /// [`Error::Plan`] where it does not fit the model.
    pub(super) fn planned(&mut self, plan: &QuantisePlan) -> Result<Placed> {
        self.dear = plan.real.clone().into_iter().collect();
        let placement = CodeSites::of(self.analysis, &self.wanted(&self.dear));
        let graph = self.analysis.graph();
        let mut ranges = BTreeMap::new();
        for (&value, &class) in &placement.rounded {
            let name = &graph.value(value).name;
            let range = plan.range(name).ok_or_else(|| {
                Error::plan(format!("it has no range of codes for the value '{name}'"))
            })?;
            ranges.insert(class, range);
        }
        // Streams are those of the layers before some were left real.
        let all = CodeSites::of(self.analysis, &self.wanted(&HashMap::new()));
        let equalised = Equalised::planned(self.analysis, &all, plan)?;
        Ok(Placed {
            placement,
            ranges: ranges.into_values().collect(),
            equalised,
            dear: plan.real.clone(),
        })
    }

    /// The same with these layers real as well, for the reasons given; none where nothing is left.
    ///
    /// # Errors
    /// As [`Placer::placed`].
    pub(super) fn without(
        &mut self,
        layers: Vec<(String, String)>,
        placed: Placed,
        events: &mut dyn Events,
    ) -> Result<Option<Placed>> {
        if layers.is_empty() {
            return Ok(None);
        }
        self.dear.extend(layers);
        let next = self.place(placed.equalised, events)?;
        Ok(Some(next).filter(|next| !next.placement.layers.is_empty()))
    }

    /// The same with the layers real that make or read what costs most; none where nothing is left.
    ///
    /// # Errors
    /// As [`Placer::placed`].
    pub(super) fn without_dearest(
        &mut self,
        placed: Placed,
        events: &mut dyn Events,
    ) -> Result<Option<Placed>> {
        let costs = self.costs(&placed, events)?;
        let most = costs
            .by_class
            .values()
            .fold(0.0_f64, |most, &cost| most.max(cost));
        // Half of the most, so that this ends after a few times.
        let gave_up = most > 0.0 && self.give_up(&placed.placement, &costs, 0.5 * most);
        let next = self.place(placed.equalised, events)?;
        Ok(Some(next).filter(|next| gave_up && !next.placement.layers.is_empty()))
    }

    fn place(&mut self, equalised: Equalised, events: &mut dyn Events) -> Result<Placed> {
        let placement = CodeSites::of(self.analysis, &self.wanted(&self.dear));
        let graph = self.analysis.graph();
        let ranges = ranges(graph, &placement, &equalised.values, self.pass, events)?;
        Ok(Placed {
            placement,
            ranges,
            equalised,
            dear: self.dear.clone().into_iter().collect(),
        })
    }

    fn costs(&mut self, placed: &Placed, events: &mut dyn Events) -> Result<Costs> {
        let graph = self.analysis.graph();
        let mut trial = Switched::new(self.analysis, &placed.rounded(graph), self.pass)?;
        Ok(Costs {
            all: trial.all()?,
            by_class: trial.each(events)?,
        })
    }

    /// A better placement than one that costs too much.
    fn improved(&mut self, first: Placed, costs: Costs, events: &mut dyn Events) -> Result<Placed> {
        let (mut placed, mut costs) = self.equalised(first, costs, events)?;
        for _ in 0..ROUNDS {
            if !self.give_up(&placed.placement, &costs, MOST) {
                break;
            }
            placed = self.place(placed.equalised, events)?;
            costs = self.costs(&placed, events)?;
        }
        Ok(placed)
    }

    /// The same with channels of one size, where values that cost much become cheaper by that.
    fn equalised(
        &mut self,
        first: Placed,
        costs: Costs,
        events: &mut dyn Events,
    ) -> Result<(Placed, Costs)> {
        let found = streams(self.analysis, &first.placement.layers);
        let cost = |stream: &&ChannelStream, costs: &Costs| stream.cost(&first.placement, costs);
        let dear: Vec<&ChannelStream> = found.iter().filter(|of| cost(of, &costs) > DEAR).collect();
        let attempt = self.attempt(&first, &dear, events)?;
        let Some((second, lower)) = attempt else {
            return Ok((first, costs));
        };
        let better = |stream: &&&ChannelStream| cost(stream, &lower) < cost(stream, &costs);
        let better: Vec<&ChannelStream> = dear.iter().filter(better).copied().collect();
        let (second, lower) = match better.len() == dear.len() {
            true => (second, lower),
            false => match self.attempt(&first, &better, events)? {
                Some(third) => third,
                None => return Ok((first, costs)),
            },
        };
        Ok(match lower.all < costs.all {
            true => (second, lower),
            false => (first, costs),
        })
    }

    /// Equalises streams; none where nothing is gained or the outputs change.
    fn attempt(
        &mut self,
        first: &Placed,
        of: &[&ChannelStream],
        events: &mut dyn Events,
    ) -> Result<Option<(Placed, Costs)>> {
        let equalised = Equalised::of(self.analysis, &first.placement, of, self.pass)?;
        if equalised.is_empty() || !self.is_the_same(&equalised)? {
            return Ok(None);
        }
        let placed = self.place(equalised, events)?;
        let costs = self.costs(&placed, events)?;
        Ok(Some((placed, costs)))
    }

    /// True if the model with other channels makes what it made of the first samples.
    fn is_the_same(&self, equalised: &Equalised) -> Result<bool> {
        const SAMPLES: usize = 16;
        const ALLOWED: f64 = 1e-3;
        let batch = self.pass.data.start_of(0, SAMPLES)?;
        let run = |model| batch.run(&mut self.pass.session(model, "the model")?);
        let before = run(self.analysis.graph().model())?;
        let after = run(&equalised.applied(self.analysis)?)?;
        let mut pairs = before.iter().zip(&after);
        Ok(pairs.all(|((_, before), (_, after))| {
            let gap = Gap::between(before, after);
            gap.error <= ALLOWED * gap.scale
        }))
    }

    /// Leaves the layers real that make or read what costs most; false where nothing does.
    fn give_up(&mut self, placement: &CodeSites, costs: &Costs, most: f64) -> bool {
        let before = self.dear.len();
        for layer in &placement.layers {
            let own = [Some(layer.input), layer.end].into_iter().flatten();
            let own = own.filter_map(|value| Some((value, *placement.rounded.get(&value)?)));
            let own = own.filter_map(|(value, class)| Some((value, *costs.by_class.get(&class)?)));
            let dearest = own.max_by(|a, b| a.1.total_cmp(&b.1));
            if let Some((value, cost)) = dearest.filter(|(_, cost)| *cost > most) {
                let value = &self.analysis.graph().value(value).name;
                let why = format!(
                    "rounding '{value}' alone makes the outputs diverge by {cost:.3} on held-out samples"
                );
                self.dear.insert(layer.layer.name.clone(), why);
            }
        }
        self.dear.len() > before
    }
}

impl ChannelStream {
    /// The most that rounding one of its values alone costs.
    fn cost(&self, placement: &CodeSites, costs: &Costs) -> f64 {
        let classes = self
            .values
            .keys()
            .filter_map(|value| placement.rounded.get(value));
        let costs = classes.filter_map(|class| costs.by_class.get(class));
        costs.fold(0.0, |most, &cost| most.max(cost))
    }
}

impl Placed {
    /// The values that are rounded.
    pub(super) fn rounded(&self, graph: &Graph) -> Vec<RoundedValue> {
        let values = self.placement.rounded.iter();
        let rounded = values.map(|(&value, &class)| RoundedValue {
            name: graph.value(value).name.clone(),
            class,
            scale: self.ranges[class].scale,
            zero: self.ranges[class].zero,
            apart: self.placement.target.is_apart(),
            factors: self.equalised.values.get(&value).cloned(),
        });
        rounded.collect()
    }

    /// What was decided, but for the weights.
    pub(super) fn plan(&self, graph: &Graph, settings: &QuantiseSettings) -> QuantisePlan {
        let mut plan = QuantisePlan::new(graph.model().hash(), settings);
        plan.real.clone_from(&self.dear);
        for (&value, &class) in &self.placement.rounded {
            let CodeRange { scale, zero } = self.ranges[class];
            let zero = zero.code() as i32;
            let name = graph.value(value).name.clone();
            plan.values.insert(name, PlannedValue { scale, zero });
        }
        for (&value, factors) in &self.equalised.values {
            let name = graph.value(value).name.clone();
            plan.factors.insert(name, factors.by_channel.clone());
        }
        plan
    }

    /// The scale of a value's codes.
    pub(super) fn scale(&self, value: ValueId) -> Option<f32> {
        let class = *self.placement.rounded.get(&value)?;
        Some(self.ranges.get(class)?.scale)
    }
}
