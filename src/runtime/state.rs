//! Values that a session keeps from one step to the next: what may be kept, and what a step is given and asked for.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::signature::{Interface, Signature};
use super::tensor::Tensor;
use crate::error::{Error, Result};

/// Where the inputs of a run come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum RunKind {
    /// All from the caller.
    Whole,
    /// Some from the state, which the run moves on.
    Step,
    /// All from the caller, this often one after the other; the time of the last ones counts, or of it what the thread
    /// had of a processor.
    Burst {
        before: usize,
        counted: usize,
        own: bool,
    },
}

/// What of a session's inputs and outputs is state.
#[derive(Debug)]
pub(super) struct Keeping {
    /// What runs, for errors.
    what: String,
    /// The inputs that are kept, with the sizes that they have.
    kept: Vec<Signature>,
    /// The other inputs.
    given: Vec<String>,
    /// The outputs that can be read.
    outputs: Vec<String>,
}

impl Keeping {
    /// The state of inputs with the outputs that replace them, which begins with `start`.
    ///
    /// # Errors
    /// Names that are not there or stand twice, an input and an output that cannot be the same value, or values that
    /// are missing or do not fit.
    pub(super) fn new(
        what: &str,
        interface: &Interface,
        pairs: &[(String, String)],
        start: &[(String, Tensor)],
    ) -> Result<Keeping> {
        let fault = |reason: String| Error::Usage(format!("{what}: {reason}"));
        if pairs.is_empty() {
            return Err(fault("no input is named that is to be kept".to_owned()));
        }
        once("input", pairs.iter().map(|(input, _)| input)).map_err(fault)?;
        once("output", pairs.iter().map(|(_, output)| output)).map_err(fault)?;
        once("value", start.iter().map(|(name, _)| name)).map_err(fault)?;
        let mut kept = Vec::with_capacity(pairs.len());
        for (input, output) in pairs {
            let reads = of(&interface.inputs, "input", input).map_err(fault)?;
            let makes = of(&interface.outputs, "output", output).map_err(fault)?;
            let value = start.iter().find(|(name, _)| name == input);
            let (_, value) = value.ok_or_else(|| fault(format!("'{input}' has no value")))?;
            let value = signature_of(input, value);
            for (side, other) in [("input", reads), ("output", makes)] {
                if !fits(&value, other) {
                    return Err(fault(format!(
                        "the value {value} cannot be kept: the {side} is {other}"
                    )));
                }
            }
            kept.push(value);
        }
        let is_kept = |name: &str| pairs.iter().any(|(input, _)| input == name);
        if let Some((name, _)) = start.iter().find(|(name, _)| !is_kept(name)) {
            return Err(fault(format!("'{name}' has a value but is not kept")));
        }
        let given = interface.inputs.iter().map(|input| input.name.clone());
        let outputs = interface.outputs.iter().map(|output| output.name.clone());
        Ok(Keeping {
            what: what.to_owned(),
            kept,
            given: given.filter(|name| !is_kept(name)).collect(),
            outputs: outputs.collect(),
        })
    }

    /// Whether a step can be made with these inputs, and these outputs be read.
    ///
    /// # Errors
    /// Inputs or outputs that the model does not have, inputs that are state, stand twice or are missing.
    pub(super) fn check_step(&self, inputs: &[(String, Tensor)], read: &[String]) -> Result<()> {
        let fault = |reason: String| Error::Usage(format!("{}: {reason}", self.what));
        once("input", inputs.iter().map(|(name, _)| name)).map_err(fault)?;
        for (name, _) in inputs {
            if self.kept.iter().any(|value| value.name == *name) {
                return Err(fault(format!(
                    "input '{name}' is state: it is changed by `set_state`, not by a step"
                )));
            }
            named("input", &self.given, name).map_err(fault)?;
        }
        let is_missing = |name: &&String| !inputs.iter().any(|(given, _)| given == *name);
        if let Some(name) = self.given.iter().find(is_missing) {
            return Err(fault(format!("input '{name}' has no value")));
        }
        for name in read {
            named("output", &self.outputs, name).map_err(fault)?;
        }
        Ok(())
    }

    /// The names of the values that are asked for: all where none is named.
    ///
    /// # Errors
    /// A name that is no state.
    pub(super) fn asked(&self, names: &[String]) -> Result<Vec<String>> {
        let all = || self.kept.iter().map(|value| value.name.clone());
        if names.is_empty() {
            return Ok(all().collect());
        }
        let kept: Vec<String> = all().collect();
        for name in names {
            let known = named("state", &kept, name);
            known.map_err(|reason| Error::Usage(format!("{}: {reason}", self.what)))?;
        }
        Ok(names.to_vec())
    }

    /// Whether these values can replace what is kept.
    ///
    /// # Errors
    /// A name that is no state or stands twice, another element type or other sizes.
    pub(super) fn check_values(&self, values: &[(String, Tensor)]) -> Result<()> {
        let fault = |reason: String| Error::Usage(format!("{}: {reason}", self.what));
        once("value", values.iter().map(|(name, _)| name)).map_err(fault)?;
        for (name, value) in values {
            let kept = of(&self.kept, "state", name).map_err(fault)?;
            let value = signature_of(name, value);
            if value != *kept {
                return Err(fault(format!("the value {value} does not replace {kept}")));
            }
        }
        Ok(())
    }
}

fn signature_of(name: &str, value: &Tensor) -> Signature {
    // Sizes of what lies in memory fit.
    let sizes = value.shape().iter().map(|&size| size as i64);
    Signature {
        name: name.to_owned(),
        element: Some(value.element()),
        shape: sizes.collect(),
    }
}

/// Whether a value can go in or come out there. onnxruntime gives a value of unknown rank no sizes.
fn fits(value: &Signature, place: &Signature) -> bool {
    let mut sizes = value.shape.iter().zip(&place.shape);
    let same_rank = value.shape.len() == place.shape.len();
    value.element == place.element
        && (place.shape.is_empty()
            || same_rank && sizes.all(|(&size, &known)| size == known || known < 0))
}

/// That no name stands twice.
fn once<'a>(kind: &str, names: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    let mut names = names;
    match names.find(|name| !seen.insert(*name)) {
        Some(name) => Err(format!("{kind} '{name}' is named twice")),
        None => Ok(()),
    }
}

/// The signature of this name.
fn of<'a>(signatures: &'a [Signature], kind: &str, name: &str) -> Result<&'a Signature, String> {
    let found = signatures.iter().find(|signature| signature.name == name);
    found.ok_or_else(|| {
        let known = signatures.iter().map(|signature| signature.name.as_str());
        unknown(kind, name, known)
    })
}

/// That a name is known.
fn named(kind: &str, known: &[String], name: &str) -> Result<(), String> {
    match known.iter().any(|other| other == name) {
        true => Ok(()),
        false => Err(unknown(kind, name, known.iter().map(String::as_str))),
    }
}

fn unknown<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<String> = known.map(|name| format!("'{name}'")).collect();
    match known.is_empty() {
        true => format!("there is no {kind} '{name}': there is none at all"),
        false => format!("there is no {kind} '{name}', but {}", known.join(", ")),
    }
}
