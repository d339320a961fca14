//! Two models on the same inputs: the first look at their outputs, and which of them need a second.

use super::entries::Entries;
use super::{ALLOWED_INTEGER, MASKED_TWIN};
use crate::data::{random_inputs_with, switches};
use crate::dimensions::{Analysis, Filling};
use crate::error::{Error, ProofFault, Result};
use crate::metrics::{Gap, OutputDeviation, same_form, spread};
use crate::onnx::Model;
use crate::runtime::{Optimisation, Runtime, Session, SessionOptions, Signature, Tensor};

/// Random inputs that every pair is run on, at least and at most.
const DRAWS: [u64; 2] = [2, 16];
/// Multiply-accumulate operations up to which further inputs are drawn: small models have dead channels on few.
const OPERATIONS: u64 = 200_000_000;
/// An output with this share of its elements at its minimum or maximum hides what enters it.
const SATURATED: f64 = 0.75;
/// An output that moves by less than this many times what it may be wrong by says little.
const TELLING: f64 = 100.0;
/// And by more than this share of itself it need not move.
const MOST_TELLING: f64 = 0.1;

pub(super) type Tensors = Vec<(String, Tensor)>;

/// The tensor of this name.
pub(super) fn tensor<'a>(tensors: &'a Tensors, name: &str) -> Option<&'a Tensor> {
    let mut found = tensors.iter().filter(|(known, _)| known == name);
    found.next().map(|(_, tensor)| tensor)
}

/// Two models that must compute the same.
pub(super) struct Pair<'a> {
    /// The model that both come from.
    pub(super) analysis: &'a Analysis,
    pub(super) runtime: &'a Runtime,
    pub(super) reference: &'a Model,
    /// What the reference is, for messages.
    pub(super) what: &'static str,
    pub(super) candidate: &'a Model,
    /// A model that may compute other numbers, but has to run and to have the same signature.
    pub(super) whole: Option<&'a Model>,
    pub(super) entries: Entries,
    /// Inputs that are drawn for every body to run; 1 where no input chooses.
    pub(super) bodies: u64,
    /// Relative error that real-valued outputs may have without a second look.
    pub(super) allowed: f64,
}

/// The inputs that have to be drawn for every body of a model to run.
pub(super) fn draws_of_bodies(analysis: &Analysis) -> u64 {
    let switches = switches(analysis).into_iter();
    let bodies = switches.map(|switch| switch.numbers.len() as u64).max();
    bodies.unwrap_or(1).max(1)
}

/// Which inputs are drawn.
#[derive(Clone, Copy)]
pub(super) struct DrawnInputs {
    pub(super) seed: u64,
    pub(super) filling: Filling,
}

impl DrawnInputs {
    /// Those of a seed, with caches that hold something.
    pub(super) fn plain(seed: u64) -> DrawnInputs {
        let filling = Filling::Filled;
        DrawnInputs { seed, filling }
    }
}

/// The models of a pair, open.
struct Opened {
    reference: Session,
    candidate: Session,
    whole: Option<Session>,
}

/// One run of both.
pub(super) struct Draw {
    pub(super) drawn: DrawnInputs,
    pub(super) expected: Tensors,
    pub(super) computed: Tensors,
}

impl Pair<'_> {
    /// Runs of both on random inputs, after their signatures have been compared.
    pub(super) fn first(&self) -> Result<Vec<Draw>> {
        let mut models = self.opened()?;
        let mut draws = Vec::new();
        for seed in 0..self.draws() {
            draws.extend(self.draw(&mut models, DrawnInputs::plain(seed))?);
        }
        for filling in [Filling::Empty, Filling::Step] {
            for seed in 0..self.bodies {
                draws.extend(self.draw(&mut models, DrawnInputs { seed, filling })?);
            }
        }
        Ok(draws)
    }

    /// What caches held in these.
    pub(super) fn caches(&self, draws: &[Draw]) -> Vec<String> {
        let mut held: Vec<String> = Vec::new();
        if !self.analysis.caches().is_empty() {
            let names = draws.iter().map(|draw| draw.drawn.filling.to_string());
            held.extend(names);
            held.dedup();
        }
        held
    }

    fn opened(&self) -> Result<Opened> {
        let options = side_by_side();
        let (reference, candidate) = beside(
            || {
                let (runtime, model) = (self.runtime, self.reference);
                runtime.session_with(model, self.what, &options)
            },
            || self.open(self.candidate, &options),
        );
        let own = |fault| self.own_fault(fault, None);
        let (reference, candidate) = (reference.map_err(own)?, candidate.map_err(own)?);
        self.same_signature(&reference, &candidate)?;
        let whole = match self.whole {
            Some(whole) => Some(self.open(whole, &options)?),
            None => None,
        };
        if let Some(whole) = &whole {
            self.same_signature(&reference, whole)?;
        }
        Ok(Opened {
            reference,
            candidate,
            whole,
        })
    }

    /// A run of both; none where caches cannot hold what is asked, or the reference does not run with that.
    fn draw(&self, models: &mut Opened, drawn: DrawnInputs) -> Result<Option<Draw>> {
        let Some(inputs) = self.inputs(&models.reference.inputs(), drawn, 1.0)? else {
            return Ok(None);
        };
        let (reference, candidate) = (&mut models.reference, &mut models.candidate);
        let (expected, computed) = beside(|| reference.run(&inputs), || candidate.run(&inputs));
        if expected.is_err() && drawn.filling != Filling::Filled {
            return Ok(None);
        }
        let own = |fault| self.own_fault(fault, Some(drawn));
        let expected = expected.map_err(own)?;
        let computed = computed.map_err(|fault| own(self.refused(fault)))?;
        same_form(&expected, &computed)?;
        if let Some(whole) = &mut models.whole {
            // Other numbers, but the same names, types and shapes.
            let other = whole.run(&inputs).map_err(|fault| self.refused(fault))?;
            same_form(&expected, &other)?;
        }
        Ok(Some(Draw {
            drawn,
            expected,
            computed,
        }))
    }

    /// What keeps the model from running, as it is and on these inputs; if it runs, or a crash has shown enough, the fault
    /// that there is.
    fn own_fault(&self, fault: Error, drawn: Option<DrawnInputs>) -> Error {
        if matches!(fault, Error::Crash { .. }) {
            return fault;
        }
        let model = self.analysis.graph().model();
        let what = "the model as it is, before anything is pruned,";
        let mut session = match self.runtime.session_with(model, what, &side_by_side()) {
            Err(own) => return self.analysis.blamed(own),
            Ok(session) => session,
        };
        // What it takes need not be what the pair takes.
        let inputs = drawn.map(|drawn| self.inputs(&session.inputs(), drawn, 1.0));
        match inputs {
            Some(Ok(Some(inputs))) => match session.run(&inputs).err() {
                Some(own) => self.analysis.blamed(own),
                None => fault,
            },
            _ => fault,
        }
    }

    fn draws(&self) -> u64 {
        let macs = self.analysis.model_totals().macs.max(1);
        (OPERATIONS / macs).clamp(DRAWS[0].max(self.bodies), DRAWS[1])
    }

    /// Random inputs, real numbers times a scale; none where caches cannot hold what is asked.
    pub(super) fn inputs(
        &self,
        of: &[Signature],
        drawn: DrawnInputs,
        scale: f64,
    ) -> Result<Option<Tensors>> {
        let DrawnInputs { seed, filling } = drawn;
        let inputs = random_inputs_with(self.analysis, of, filling, seed)?;
        match scale == 1.0 {
            true => Ok(inputs),
            false => inputs.map(|inputs| scaled(inputs, scale)).transpose(),
        }
    }

    /// A session of a model that is judged: what keeps it from running is its fault, unless it keeps the original too.
    pub(super) fn open(&self, model: &Model, options: &SessionOptions) -> Result<Session> {
        let runs = |model: &Model, what| self.runtime.session_with(model, what, options);
        runs(model, "the written model").map_err(|fault| {
            let original = self.analysis.graph().model();
            let own = runs(original, "the original model").err();
            own.map_or_else(|| self.refused(fault), |own| self.analysis.blamed(own))
        })
    }

    fn refused(&self, fault: Error) -> Error {
        match fault {
            Error::Runtime { reason, .. } => self.fault(ProofFault::Refused { reason }),
            other => other,
        }
    }

    pub(super) fn fault(&self, fault: ProofFault) -> Error {
        Error::Verification {
            reference: self.what,
            fault,
        }
    }

    /// What an output may be wrong by without a second look.
    pub(super) fn allowance(&self, tensor: &Tensor) -> f64 {
        match tensor.element().is_float() {
            true => self.allowed,
            // What must be equal to the bit must be so in integers as well.
            false if self.what == MASKED_TWIN => ALLOWED_INTEGER,
            false => ALLOWED_INTEGER.min(self.allowed),
        }
    }

    /// An output by its plain bound.
    pub(super) fn plain(&self, place: usize, draws: &[Draw]) -> OutputDeviation {
        let pairs = draws
            .iter()
            .map(|draw| (&draw.expected[place].1, &draw.computed[place].1));
        let relative = pairs.clone().map(|(expected, computed)| {
            let gap = Gap::between(expected, computed);
            gap.relative(gap.error)
        });
        let mut first = pairs.clone();
        OutputDeviation {
            name: draws[0].expected[place].0.clone(),
            relative: relative.fold(0.0, worse),
            allowed: first
                .next()
                .map_or(0.0, |(expected, _)| self.allowance(expected)),
            informative: pairs
                .clone()
                .all(|(expected, _)| spread(expected).is_some())
                && self.varies(place, draws),
        }
    }

    /// Whether an output varies within a draw, or from one to another of the same bodies: it may be a single number.
    fn varies(&self, place: usize, draws: &[Draw]) -> bool {
        draws.iter().any(|draw| {
            let own = &draw.expected[place].1;
            let others = draws
                .iter()
                .filter(|other| self.are_alike(draw.drawn, other.drawn));
            let mut others = others.map(|other| &other.expected[place].1);
            spread(own).is_some_and(|spread| spread > 0.0)
                || others.any(|other| moved(own, other) > 0.0)
        })
    }

    /// Whether the same bodies run in both.
    pub(super) fn are_alike(&self, a: DrawnInputs, b: DrawnInputs) -> bool {
        a.seed % self.bodies == b.seed % self.bodies
    }

    /// Whether an output is beyond its plain bound, or hides what enters it: it depends on what is pruned and
    /// hardly moves from one input to the other.
    pub(super) fn is_doubtful(
        &self,
        place: usize,
        output: &OutputDeviation,
        draws: &[Draw],
    ) -> bool {
        if output.relative.is_nan() || output.relative > output.allowed {
            return true;
        }
        let [first, second, ..] = draws else {
            return false;
        };
        let (a, b) = (&first.expected[place].1, &second.expected[place].1);
        let entering = self.entries.of_output(&output.name);
        if !entering.depends || a.shape() != b.shape() {
            return false;
        }
        if !entering.values.is_empty() && is_saturated(a, output.allowed) {
            return true;
        }
        let gap = Gap::between(a, b);
        gap.error <= (TELLING * output.allowed).min(MOST_TELLING) * gap.scale
    }

    fn same_signature(&self, reference: &Session, candidate: &Session) -> Result<()> {
        let pairs = [
            ("the list of inputs", reference.inputs(), candidate.inputs()),
            (
                "the list of outputs",
                reference.outputs(),
                candidate.outputs(),
            ),
        ];
        let text = |list: &[Signature]| {
            let all: Vec<String> = list.iter().map(ToString::to_string).collect();
            all.join(", ")
        };
        for (what, before, after) in pairs {
            let mut both = before.iter().zip(&after);
            let agree = before.len() == after.len() && both.all(|(a, b)| a.agrees_with(b));
            if !agree {
                return Err(self.fault(ProofFault::Signature {
                    what: what.to_owned(),
                    before: text(&before),
                    after: text(&after),
                }));
            }
        }
        Ok(())
    }
}

/// The largest difference of two draws of an output; 0 where they cannot be compared.
pub(super) fn moved(a: &Tensor, b: &Tensor) -> f64 {
    match a.shape() == b.shape() {
        true => Gap::between(a, b).error,
        false => 0.0,
    }
}

/// The same inputs with real numbers times a scale.
fn scaled(inputs: Tensors, scale: f64) -> Result<Tensors> {
    let scaled = inputs.into_iter().map(|(name, tensor)| {
        if !tensor.element().is_float() {
            return Ok((name, tensor));
        }
        let numbers: Vec<f64> = tensor.to_f64().iter().map(|x| x * scale).collect();
        let tensor = Tensor::from_f64(tensor.element(), tensor.shape(), &numbers)?;
        Ok((name, tensor))
    });
    scaled.collect()
}

/// Two models that run at the same time share the cores, and few runs do not repay weights that are laid out anew.
pub(super) fn side_by_side() -> SessionOptions {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    SessionOptions {
        threads: Some(cores.div_ceil(2)),
        optimisation: Optimisation::Light,
        ..SessionOptions::default()
    }
}

/// Does two things at once. The first stays on this thread, which onnxruntime has told how to treat denormals.
fn beside<A, B: Send>(first: impl FnOnce() -> A, second: impl FnOnce() -> B + Send) -> (A, B) {
    // A thread of a pool that waits for another thread, which needs the pool, could wait forever.
    if rayon::current_thread_index().is_some() {
        return (first(), second());
    }
    std::thread::scope(|scope| {
        let second = scope.spawn(second);
        let first = first();
        match second.join() {
            Ok(second) => (first, second),
            Err(cause) => std::panic::resume_unwind(cause),
        }
    })
}

/// Whether most elements are at the minimum or maximum, within a share of the largest.
fn is_saturated(tensor: &Tensor, within: f64) -> bool {
    let numbers = tensor.to_f64();
    let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let near = within * least.abs().max(most.abs());
    let extreme = |x: &&f64| **x - least <= near || most - **x <= near;
    let count = numbers.iter().filter(extreme).count();
    count as f64 >= SATURATED * numbers.len() as f64
}

/// The larger of two errors; one that is no number is worse than all.
pub(super) fn worse(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        return f64::NAN;
    }
    a.max(b)
}
