//! How long runs of what is left of a model take in onnxruntime, by the channels that stay: a law that is fitted to runs of
//! the model itself, cut to many choices of channels, where it is going to run.
//!
//! Models are timed with one thread and inputs of the sizes that costs are counted at: single samples unless the user says
//! another size of that axis. Weights are of no matter, so that the first channels stay.

mod cache;
mod design;
mod law;
mod measure;
mod observations;
mod subjects;
mod touched;

use std::sync::Arc;
use std::time::Instant;

use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::onnx::Model;

use cache::Entry;
use law::{Law, LawMeter};
pub(crate) use measure::{Clock, MeasuredShare, TimedForm};
use observations::Observations;

/// Picoseconds of a nanosecond.
const NANOSECOND: u64 = 1000;

/// Times of a model by the channels that stay.
#[derive(Clone, Debug)]
pub(crate) struct LatencyModel {
    law: Arc<Law>,
    /// Nanoseconds of a run of the original.
    whole: u64,
    /// What times are to be multiplied with after a result was timed.
    correction: f64,
    /// Choices of channels that were timed.
    choices: usize,
    /// Whether they were timed by a run before.
    known: bool,
}

impl LatencyModel {
    /// Threads that models are timed with.
    pub(crate) const THREADS: usize = measure::THREADS;

    /// The law of a model, from what is known of it on this machine or from timing it now.
    ///
    /// # Errors
    /// A provider that refuses the model, or inputs that cannot be made.
    pub(crate) fn of(
        analysis: &Analysis,
        clock: Clock,
        events: &mut dyn Events,
    ) -> Result<LatencyModel> {
        let entry = Entry::of(analysis, clock)?;
        if let Some(observed) = entry.as_ref().and_then(|entry| entry.load(analysis)) {
            return LatencyModel::fitted(analysis, &observed, true);
        }
        let start = Instant::now();
        let observed = measure::measure(analysis, clock, events)?;
        let model = LatencyModel::fitted(analysis, &observed, false)?;
        events.say(&format!(
            "timed {} choices of channels in {:.1} s",
            model.choices,
            start.elapsed().as_secs_f64()
        ));
        if let Some(Err(fault)) = entry.map(|entry| entry.save(&observed)) {
            events.say(&format!("these times are not kept for later runs: {fault}"));
        }
        Ok(model)
    }

    fn fitted(analysis: &Analysis, observed: &Observations, known: bool) -> Result<LatencyModel> {
        let seconds = observed.seconds.first().copied().filter(|s| *s > 0.0);
        let whole = seconds.ok_or_else(|| Error::Runtime {
            reason: "the model takes no time that could be measured".to_owned(),
            remedy: "ask for a share of its operations instead".to_owned(),
        })?;
        Ok(LatencyModel {
            law: Arc::new(Law::fitted(analysis, observed)),
            whole: (1e9 * whole * observed.original) as u64,
            correction: 1.0,
            choices: observed.seconds.len(),
            known,
        })
    }

    /// What the processors are called that a clock measures; none where the system does not say it.
    ///
    /// # Errors
    /// The library cannot be loaded.
    pub(crate) fn machine(clock: Clock) -> Result<Option<String>> {
        Ok(cache::machine(clock)?.map(|names| names.join(" ")))
    }

    /// Nanoseconds of a run of the original.
    pub(crate) fn whole(&self) -> u64 {
        self.whole.max(1)
    }

    /// Choices of channels that were timed.
    pub(crate) fn choices(&self) -> usize {
        self.choices
    }

    /// Whether the times are those of a run before.
    pub(crate) fn is_known(&self) -> bool {
        self.known
    }

    /// The share of the original's time that is expected where these numbers of channels stay, by dimension, and these nodes
    /// are left.
    pub(crate) fn share(&self, channels: &[usize], left: &[bool]) -> f64 {
        let time = LatencyMeter::new(self, channels.to_vec(), left).nanoseconds();
        time as f64 / self.whole() as f64
    }

    /// The same law, corrected by what was measured where these numbers of channels stay and nodes are left.
    pub(crate) fn corrected(&self, channels: &[usize], left: &[bool], share: f64) -> LatencyModel {
        let expected = self.share(channels, left).max(f64::MIN_POSITIVE);
        LatencyModel {
            correction: self.correction * share / expected,
            ..self.clone()
        }
    }

    /// How long runs of `model` take, as a share of those of the whole one, timed in turn.
    ///
    /// # Errors
    /// A provider that refuses a model.
    pub(crate) fn measured(
        &self,
        analysis: &Analysis,
        model: &Model,
        clock: Clock,
    ) -> Result<MeasuredShare> {
        clock.share(analysis, model, 1e-9 * self.whole() as f64)
    }
}

/// The time at a choice of channels that changes dimension by dimension.
pub(crate) struct LatencyMeter<'a> {
    meter: LawMeter<'a>,
    correction: f64,
}

impl<'a> LatencyMeter<'a> {
    /// Where these nodes are left.
    pub(crate) fn new(
        model: &'a LatencyModel,
        channels: Vec<usize>,
        left: &[bool],
    ) -> LatencyMeter<'a> {
        LatencyMeter {
            meter: LawMeter::new(&model.law, channels, left),
            correction: model.correction,
        }
    }

    /// Channels that stay, by dimension.
    pub(crate) fn channels(&self) -> &[usize] {
        self.meter.channels()
    }

    /// Another number of channels stays of one dimension.
    pub(crate) fn set(&mut self, dimension: usize, channels: usize) {
        self.meter.set(dimension, channels);
    }

    /// Nanoseconds of a run.
    pub(crate) fn nanoseconds(&self) -> u64 {
        let time = self.meter.time() as f64 * self.correction;
        time as u64 / NANOSECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl LatencyModel {
        /// Times that follow from a node's operations alone, as many picoseconds for each as `each` says of its name.
        pub(crate) fn imagined(analysis: &Analysis, each: impl Fn(&str) -> f64) -> LatencyModel {
            let choices = design::choices(analysis, 64);
            let graph = analysis.graph();
            let times = |channels: &Vec<usize>| -> Vec<(usize, f64)> {
                let operations = analysis.operations_at(channels).into_iter();
                let time = |node, macs| 1e-6 * macs as f64 * each(graph.node_proto(node).name());
                operations
                    .map(|(node, macs)| (node.index(), time(node, macs)))
                    .collect()
            };
            let by_choice: Vec<Vec<(usize, f64)>> = choices.iter().map(times).collect();
            let sum = |times: &Vec<(usize, f64)>| times.iter().map(|(_, time)| time).sum::<f64>();
            let seconds = by_choice.iter().map(|times| 1e-6 * (sum(times) + 1.0));
            let kernels = (0..by_choice[0].len()).map(|place| observations::KernelTimes {
                node: Some(by_choice[0][place].0),
                microseconds: by_choice.iter().map(|times| times[place].1).collect(),
            });
            let observed = Observations {
                original: 1.0,
                seconds: seconds.collect(),
                kernels: kernels.collect(),
                channels: choices,
            };
            LatencyModel::fitted(analysis, &observed, true).expect("a law")
        }
    }
}
