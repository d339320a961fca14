//! The runs of two models that are compared: which inputs are drawn, and what is made of those that a model does not take.

use super::bodies::BodyWatch;
use super::draws::{Draw, DrawnInputs};
use super::pair::{Pair, side_by_side};
use crate::data::Switches;
use crate::dimensions::{Analysis, Filling};
use crate::error::{Error, Result};
use crate::metrics::same_form;
use crate::runtime::Session;

/// Random inputs that every pair is run on, at least and at most.
const DRAWS: [u64; 2] = [2, 16];
/// Multiply-accumulate operations up to which further inputs are drawn: small models have dead channels on few.
const OPERATIONS: u64 = 200_000_000;

/// The models of a pair, open.
struct Opened {
    reference: Session,
    candidate: Session,
    whole: Option<Session>,
    watch: Option<BodyWatch>,
    /// What the model itself fails on, of what is put into inputs that choose bodies.
    failures: Vec<(DrawnInputs, Error)>,
}

/// What runs of both showed.
pub(super) struct FirstLook {
    pub(super) draws: Vec<Draw>,
    /// What none of them showed: bodies that never ran, and choices that the model itself fails on.
    pub(super) unseen: Vec<String>,
}

/// Whose fault it is that a model does not run.
enum OwnFault {
    OfTheModel(Error),
    OfThePair(Error),
}

impl OwnFault {
    fn into_error(self) -> Error {
        match self {
            OwnFault::OfTheModel(fault) | OwnFault::OfThePair(fault) => fault,
        }
    }
}

/// The inputs that have to be drawn for every body of a model to run.
pub(super) fn draws_of_bodies(analysis: &Analysis) -> u64 {
    Switches::of(analysis).period()
}

impl Pair<'_> {
    /// Runs of both on random inputs, after their signatures have been compared.
    pub(super) fn first(&self) -> Result<FirstLook> {
        let mut models = self.opened()?;
        let mut draws = Vec::new();
        for filling in [Filling::Filled, Filling::Empty, Filling::Step] {
            // What caches hold in the first runs is drawn as often as the inputs of a model without any.
            let seeds = match draws.is_empty() {
                true => 0..self.draws(),
                false => 0..self.bodies,
            };
            for seed in seeds {
                draws.extend(self.draw(&mut models, DrawnInputs { seed, filling })?);
            }
        }
        if draws.is_empty() && !models.failures.is_empty() {
            return Err(models.failures.swap_remove(0).1);
        }
        let unseen = self.unseen(models);
        Ok(FirstLook { draws, unseen })
    }

    fn unseen(&self, models: Opened) -> Vec<String> {
        let switches = Switches::of(self.analysis);
        let mut unseen: Vec<String> = Vec::new();
        // Caches that the model does not run with are told of by what they held where it does.
        let choices = models.failures.iter().filter(|_| self.bodies > 1);
        for (drawn, fault) in choices {
            let told = switches.told(drawn.seed);
            let told = format!("runs with {told}, on which the model itself fails ({fault})");
            if !unseen.contains(&told) {
                unseen.push(told);
            }
        }
        let rest = models.watch.into_iter().flat_map(BodyWatch::rest);
        unseen.extend(rest.map(|body| format!("{body}, which never ran")));
        unseen
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
        let own = |fault| self.own_fault(fault, None).into_error();
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
            watch: BodyWatch::over(self),
            failures: Vec::new(),
        })
    }

    /// A run of both; none where caches cannot hold what is asked, or the reference does not run with that.
    fn draw(&self, models: &mut Opened, drawn: DrawnInputs) -> Result<Option<Draw>> {
        let Some(inputs) = self.inputs(&models.reference.inputs(), drawn, 1.0)? else {
            return Ok(None);
        };
        let (reference, candidate) = (&mut models.reference, &mut models.candidate);
        let (expected, computed) = beside(|| reference.run(&inputs), || candidate.run(&inputs));
        let expected = match expected {
            Ok(expected) => expected,
            Err(_) if drawn.filling != Filling::Filled => return Ok(None),
            Err(fault) => match self.own_fault(fault, Some(drawn)) {
                // What chooses bodies was made up, and what caches hold: the model need not take all of it.
                OwnFault::OfTheModel(fault)
                    if self.bodies > 1 || !self.analysis.caches().is_empty() =>
                {
                    models.failures.push((drawn, fault));
                    return Ok(None);
                }
                OwnFault::OfTheModel(fault) | OwnFault::OfThePair(fault) => return Err(fault),
            },
        };
        let computed = computed.map_err(|fault| {
            let fault = self.own_fault(self.refused(fault), Some(drawn));
            fault.into_error()
        })?;
        same_form(&expected, &computed)?;
        if let Some(whole) = &mut models.whole {
            // Other numbers, but the same names, types and shapes.
            let other = whole.run(&inputs).map_err(|fault| self.refused(fault))?;
            same_form(&expected, &other)?;
        }
        if let Some(watch) = &mut models.watch {
            watch.look(&inputs);
        }
        Ok(Some(Draw {
            drawn,
            expected,
            computed,
        }))
    }

    /// What keeps the model from running, as it is and on these inputs; if it runs, or a crash has shown enough, the fault
    /// that there is.
    fn own_fault(&self, fault: Error, drawn: Option<DrawnInputs>) -> OwnFault {
        if matches!(fault, Error::Crash { .. }) {
            return OwnFault::OfThePair(fault);
        }
        let model = self.analysis.graph().model();
        let what = "the model as it is, before anything is pruned,";
        let session = self.runtime.session_with(model, what, &side_by_side());
        let mut session = match session {
            Err(own) => return OwnFault::OfTheModel(self.analysis.blamed(own)),
            Ok(session) => session,
        };
        // What it takes need not be what the pair takes.
        let inputs = drawn.map(|drawn| self.inputs(&session.inputs(), drawn, 1.0));
        match inputs {
            Some(Ok(Some(inputs))) => match session.run(&inputs) {
                Err(own) => OwnFault::OfTheModel(self.analysis.blamed(own)),
                Ok(_) => OwnFault::OfThePair(fault),
            },
            _ => OwnFault::OfThePair(fault),
        }
    }

    fn draws(&self) -> u64 {
        let macs = self.analysis.model_totals().macs.max(1);
        let most = DRAWS[1].max(2 * self.bodies);
        (OPERATIONS / macs).clamp(DRAWS[0].max(self.bodies), most)
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
