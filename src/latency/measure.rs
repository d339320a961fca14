//! Timing what is left of a model at chosen numbers of channels: whole runs in turn, and once more with the profiler, which
//! says how long each kernel took.

use std::time::Instant;

use super::observations::{GroupTimes, NodeTimes, Observations};
use super::subjects::{TimedChoice, node_of, subjects};
use crate::benchmark::{Ratio, Repetitions, in_bursts, median};
use crate::data::random_inputs;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::events::Events;
use crate::graph::Graph;
use crate::onnx::Model;
use crate::runtime::{
    Kernel, Profiling, Provider, Purpose, Runtime, Session, SessionOptions, Tensor,
};

/// Where models are timed, and in which form.
#[derive(Clone, Copy)]
pub(crate) struct Clock<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) provider: &'a Provider,
    /// What is left of the model gets this form; none where it stays as it is.
    pub(crate) form: Option<&'a TimedForm<'a>>,
}

/// Another form of models.
pub(crate) struct TimedForm<'a> {
    /// What it is, in words.
    pub(crate) name: String,
    /// What is left of the model in this form.
    pub(crate) make: &'a dyn Fn(Model) -> Result<Model>,
}

/// Threads that models are timed with: how well kernels share their work differs from machine to machine, and from run to
/// run where others want the processors as well.
pub(super) const THREADS: usize = 1;
/// Seconds that all may take, cuts and sessions as well; large models take more, of which few are timed few times.
const SECONDS: f64 = 12.0;
/// Runs with the profiler for each without.
const PROFILED: f64 = 0.5;
/// How much is measured: the first that takes no longer, else the last.
const EFFORTS: [Effort; 4] = [
    Effort::new(64, 10, BURST),
    Effort::new(48, 5, BURST),
    Effort::new(32, 5, PAIR),
    Effort::new(16, 3, PAIR),
];
/// Runs of a model one after the other, where they are short.
const BURST: Repetitions = Repetitions {
    warm_up: 2,
    runs: 5,
};
/// Where they are long.
const PAIR: Repetitions = Repetitions {
    warm_up: 1,
    runs: 1,
};
/// Bytes of the weights of models that are timed in turn.
const TOGETHER: u64 = 1 << 30;

/// Seconds that a comparison may take, and rounds of it, at most and at least.
const COMPARING: f64 = 2.0;
const COMPARED: [usize; 2] = [400, 5];

/// The time of a model as a share of that of the whole one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MeasuredShare {
    /// By medians.
    pub(crate) share: f64,
    /// 95 % interval by bootstrap over rounds.
    pub(crate) interval: [f64; 2],
    /// Median time of the whole one in milliseconds.
    pub(crate) whole_ms: f64,
}

type Inputs = Vec<(String, Tensor)>;

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    choices: usize,
    rounds: usize,
    burst: Repetitions,
}

impl Effort {
    const fn new(choices: usize, rounds: usize, burst: Repetitions) -> Effort {
        Effort {
            choices,
            rounds,
            burst,
        }
    }

    /// Seconds where a run takes `one`, and what a choice needs before that `ahead`.
    fn seconds(&self, one: f64, ahead: f64) -> f64 {
        let runs = self.rounds * (self.burst.warm_up + self.burst.runs);
        self.choices as f64 * (ahead + one * runs as f64 * (1.0 + PROFILED))
    }
}

impl Clock<'_> {
    /// A session on a model, with inputs of the sizes that costs are counted at.
    fn open(
        &self,
        analysis: &Analysis,
        model: &Model,
        profiling: Profiling,
    ) -> Result<(Session, Inputs)> {
        let options = SessionOptions {
            provider: self.provider.clone(),
            purpose: Purpose::Latency,
            threads: Some(THREADS),
            profiling,
            ..SessionOptions::default()
        };
        self.runtime.prepare(self.provider)?;
        let session = self
            .runtime
            .session_with(model, "the model that is timed", &options)?;
        let inputs = random_inputs(analysis, &session.inputs(), 0)?;
        Ok((session, inputs))
    }

    /// Whether all that a run does is on the thread that asks.
    fn is_own(&self) -> bool {
        THREADS == 1 && *self.provider == Provider::Cpu
    }

    /// A model in the form that is timed.
    fn formed(&self, model: Model) -> Result<Model> {
        match self.form {
            Some(form) => (form.make)(model),
            None => Ok(model),
        }
    }

    /// Seconds of every run of each model, in turn.
    ///
    /// # Errors
    /// A model that does not run.
    pub(super) fn in_turn<'m>(
        &self,
        analysis: &Analysis,
        models: impl IntoIterator<Item = &'m Model>,
        (rounds, burst): (usize, Repetitions),
    ) -> Result<Vec<Vec<f64>>> {
        let models = models.into_iter();
        let sessions = models.map(|model| self.open(analysis, model, Profiling::Off));
        let mut sessions: Vec<(Session, Inputs)> = sessions.collect::<Result<_>>()?;
        in_bursts(&mut sessions, rounds, burst, self.is_own())
    }

    /// How long runs of a model take, as a share of those of the whole one, which takes these seconds.
    ///
    /// # Errors
    /// A model that does not run.
    pub(super) fn share(
        &self,
        analysis: &Analysis,
        model: &Model,
        seconds: f64,
    ) -> Result<MeasuredShare> {
        let round = 2.0 * seconds * (BURST.warm_up + BURST.runs) as f64;
        let rounds = (COMPARING / round.max(1e-6)) as usize;
        let rounds = rounds.clamp(COMPARED[1], COMPARED[0]);
        let burst = match rounds {
            few if few < 4 * COMPARED[1] => PAIR,
            _ => BURST,
        };
        let models = [analysis.graph().model(), model];
        let times = self.in_turn(analysis, models, (rounds, burst))?;
        let Ratio { speedup, interval } = Ratio::of(&times[0], &times[1], 0);
        Ok(MeasuredShare {
            share: 1.0 / speedup,
            interval: [1.0 / interval[1], 1.0 / interval[0]],
            whole_ms: 1e3 * median(&times[0]),
        })
    }

    fn effort(&self, analysis: &Analysis) -> Result<Effort> {
        let start = Instant::now();
        let half = super::design::even(analysis, 0.5);
        let half = subjects(analysis, vec![half], &|model| self.formed(model))?;
        let cut = start.elapsed();
        let start = Instant::now();
        let models = half.iter().map(|of| &of.model);
        let times = self.in_turn(analysis, models, (1, BURST))?;
        // A session with the profiler is opened as well.
        let ahead = (cut + 2 * start.elapsed()).as_secs_f64();
        let one = times.iter().map(|times| median(times)).sum::<f64>();
        let mut efforts = EFFORTS.into_iter();
        let fits = efforts.find(|effort| effort.seconds(one, ahead) <= SECONDS);
        Ok(fits.unwrap_or(EFFORTS[EFFORTS.len() - 1]))
    }
}

/// Times the model at a designed set of choices.
///
/// # Errors
/// A provider that refuses the model, or inputs that cannot be made.
pub(super) fn measure(
    analysis: &Analysis,
    clock: Clock,
    events: &mut dyn Events,
) -> Result<Observations> {
    let effort = clock.effort(analysis)?;
    let choices = super::design::choices(analysis, effort.choices);
    let subjects = subjects(analysis, choices, &|model| clock.formed(model))?;
    let mut observed = Observations::default();
    let Some((whole, others)) = subjects.split_first() else {
        return Ok(observed);
    };
    observed.original = match clock.form {
        None => 1.0,
        Some(_) => {
            let pair = [analysis.graph().model(), &whole.model];
            let times = clock.in_turn(analysis, pair, (effort.rounds, effort.burst))?;
            median(&times[0]) / median(&times[1])
        }
    };
    let mut start = 0;
    loop {
        let mut bytes = 0;
        let fits = |subject: &&TimedChoice| {
            bytes += subject.model.weight_bytes() as u64;
            bytes <= TOGETHER
        };
        let count = others[start..].iter().take_while(fits).count();
        let count = count.max(1).min(others.len() - start);
        let group = &others[start..start + count];
        let models: Vec<&TimedChoice> = std::iter::once(whole).chain(group).collect();
        let times = clock.group(analysis, &models, effort)?;
        let choices: Vec<&[usize]> = models.iter().map(|of| &of.channels[..]).collect();
        observed.add(&choices, &times);
        start += count;
        events.progress("latency", start, others.len());
        if start == others.len() {
            return Ok(observed);
        }
    }
}

impl Clock<'_> {
    fn group(
        &self,
        analysis: &Analysis,
        models: &[&TimedChoice],
        effort: Effort,
    ) -> Result<GroupTimes> {
        let Effort { rounds, burst, .. } = effort;
        let graphs = models.iter().map(|of| &of.model);
        let times = self.in_turn(analysis, graphs, (rounds, burst))?;
        let whole = times.iter().map(|times| median(times)).collect();
        let rounds = ((rounds as f64 * PROFILED) as usize).max(1);
        let mut sessions = Vec::new();
        for of in models {
            sessions.push(self.open(analysis, &of.model, Profiling::On)?);
        }
        in_bursts(&mut sessions, rounds, burst, self.is_own())?;
        let mut kernels = Vec::new();
        for (session, _) in sessions {
            let all = session.kernels()?;
            let times = kernel_times(&all, rounds, burst);
            kernels.push(node_times(analysis.graph(), &times));
        }
        Ok(GroupTimes { whole, kernels })
    }
}

/// The kernels of a run with their microseconds; runs that do not count are left out.
fn kernel_times(kernels: &[Kernel], rounds: usize, burst: Repetitions) -> Vec<(&str, f64)> {
    let length = burst.warm_up + burst.runs;
    let each = kernels.len() / (rounds * length).max(1);
    let runs = || kernels.chunks(each.max(1)).enumerate();
    let named = |run: &[Kernel]| {
        let pairs = run.iter().zip(kernels);
        run.len() == each && pairs.clone().all(|(a, b)| a.node == b.node)
    };
    // Where not every run has the same kernels, which is whose cannot be told.
    if each == 0 || !runs().all(|(_, run)| named(run)) {
        let share = 1.0 / (rounds * length).max(1) as f64;
        let all = kernels.iter();
        let time = |of: &Kernel| share * of.microseconds as f64;
        return all.map(|of| (&of.node[..], time(of))).collect();
    }
    let counted = runs().filter(|(run, _)| run % length >= burst.warm_up);
    let counted: Vec<&[Kernel]> = counted.map(|(_, run)| run).collect();
    let time = |place: usize| {
        let of = counted.iter().map(|run| run[place].microseconds as f64);
        middle(of.collect())
    };
    let first = kernels.iter().take(each).enumerate();
    first
        .map(|(place, kernel)| (&kernel.node[..], time(place)))
        .collect()
}

/// Microseconds that tell a kernel that ran from none.
const RAN: f64 = 0.01;

/// Microseconds by node. The profiler itself takes as long as the shortest kernel at least.
fn node_times(graph: &Graph, kernels: &[(&str, f64)]) -> NodeTimes {
    let shortest = kernels
        .iter()
        .map(|(_, time)| *time)
        .fold(f64::INFINITY, f64::min);
    let mut found = NodeTimes::new();
    for (kernel, time) in kernels {
        *found.entry(node_of(graph, kernel)).or_default() += time - shortest + RAN;
    }
    found
}

/// The mean of the middle half.
fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    let quarter = times.len() / 4;
    let middle = &times[quarter..times.len() - quarter];
    middle.iter().sum::<f64>() / middle.len().max(1) as f64
}
