//! What is trained: the weights and biases that layers own, as parts of one flat vector.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use serde::Serialize;

use super::record::FrozenRow;
use crate::error::Result;
use crate::graph::{Array, Graph, ValueId};
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, packed, to_f32};
use crate::ops::measured_slots;
use crate::patterns::Patterns;
use crate::rewrite::Edit;

/// Numbers beyond this are no weights: they switch something off, like an attention mask.
const LARGEST: f32 = 1e3;
/// Where one in so many weights or more is zero, zeros were put there.
const MASKED: usize = 20;

const IN_BODIES: &str = "is read by the body of a node, which is not differentiated";

/// A constant that is trained.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(crate) value: ValueId,
    pub(crate) name: String,
    pub(crate) sizes: Vec<usize>,
    pub(crate) element: ElementType,
    /// Where it begins in the flat vector.
    pub(crate) start: usize,
    /// Whether its zeros stay zeros.
    pub(crate) keeps_zeros: bool,
}

impl Parameter {
    /// Number of elements.
    pub(crate) fn count(&self) -> usize {
        self.sizes.iter().product()
    }
}

/// Constants that are trained, one behind the other in a flat vector, and those that are not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parameters {
    pub(crate) all: Vec<Parameter>,
    /// Names of real constants that stay as they are, with the reason.
    pub(crate) frozen: Vec<FrozenRow>,
}

/// Which constants may be trained.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Trainable {
    /// Only those whose name matches, if any pattern is given.
    pub(crate) only: Vec<String>,
    /// Not those whose name matches.
    pub(crate) freeze: Vec<String>,
    /// Zeros of these stay zeros, as those of weights that have many.
    pub(crate) masked: BTreeSet<String>,
    /// Not these, for a reason.
    pub(crate) held: BTreeMap<String, &'static str>,
}

impl Parameters {
    /// The constants of a graph that can be trained, before it is known which have a gradient.
    ///
    /// # Errors
    /// A tensor that cannot be read, or a pattern that is none or matches nothing.
    pub(crate) fn candidates(graph: &Graph, choice: &Trainable) -> Result<Parameters> {
        let only = Patterns::new(choice.only.iter().map(String::as_str))?;
        let freeze = Patterns::new(choice.freeze.iter().map(String::as_str))?;
        let mut found = Parameters::default();
        for value in graph.value_ids() {
            let Some(tensor) = graph.constant(value) else {
                continue;
            };
            let element = ElementType::of(tensor.data_type()).filter(|e| e.is_float());
            let Some(element) = element else { continue };
            let known = graph.value(value);
            let in_bodies = known.body.is_some() || graph.is_captured(value);
            if known.consumers.is_empty() && !known.is_output && !in_bodies {
                continue;
            }
            let name = graph.value(value).name.clone();
            let sizes: Vec<usize> = tensor.dims.iter().map(|&size| size as usize).collect();
            let chosen = only.matched(&[&name]).is_some();
            let kept_out = freeze.matched(&[&name]).is_some();
            let why = match () {
                () if !only.is_empty() && !chosen => Some("`only` names others"),
                () if kept_out => Some("`freeze` names it"),
                () if in_bodies => Some(IN_BODIES),
                () => match choice.held.get(&name) {
                    Some(why) => Some(*why),
                    None => no_weight(graph, value, &sizes)?,
                },
            };
            if let Some(why) = why {
                let reason = why.to_owned();
                found.frozen.push(FrozenRow { name, reason });
                continue;
            }
            let keeps_zeros = choice.masked.contains(&name) || is_sparse(tensor, &sizes)?;
            found.push(Parameter {
                value,
                name,
                sizes,
                element,
                start: 0,
                keeps_zeros,
            });
        }
        for patterns in [only, freeze] {
            patterns.all_used("weight", "secateur inspect --json")?;
        }
        Ok(found)
    }

    /// Adds one behind the others.
    fn push(&mut self, parameter: Parameter) {
        let start = self.count();
        self.all.push(Parameter { start, ..parameter });
    }

    /// Those that `gradients` has, in a vector of their own; the others are frozen for the reason that `why` gives.
    pub(crate) fn with_gradients(
        self,
        gradients: &HashMap<ValueId, Array>,
        why: &dyn Fn(ValueId) -> String,
    ) -> Parameters {
        let mut left = Parameters {
            all: Vec::new(),
            frozen: self.frozen,
        };
        for parameter in self.all {
            match gradients.contains_key(&parameter.value) {
                true => left.push(parameter),
                false => {
                    let (name, reason) = (parameter.name, why(parameter.value));
                    left.frozen.push(FrozenRow { name, reason });
                }
            }
        }
        left
    }

    /// How many keep their zeros.
    pub(crate) fn masked(&self) -> usize {
        let all = self.all.iter();
        all.filter(|parameter| parameter.keeps_zeros).count()
    }

    /// Length of the flat vector.
    pub(crate) fn count(&self) -> usize {
        self.all.last().map_or(0, |last| last.start + last.count())
    }

    /// The flat vector as the graph has it.
    ///
    /// # Errors
    /// A tensor that cannot be read.
    pub(crate) fn flat(&self, graph: &Graph) -> Result<Vec<f32>> {
        let mut flat = Vec::with_capacity(self.count());
        for parameter in &self.all {
            if let Some(tensor) = graph.constant(parameter.value) {
                flat.extend(to_f32(tensor)?);
            }
        }
        Ok(flat)
    }

    /// The flat vector as new weights of the graph.
    pub(crate) fn edits(&self, flat: &[f32]) -> BTreeMap<ValueId, Edit> {
        let edit = |parameter: &Parameter| {
            let own = &flat[parameter.start..parameter.start + parameter.count()];
            let bytes: Bytes = packed(own, parameter.element).into();
            (parameter.value, Edit::Bytes(bytes))
        };
        self.all.iter().map(edit).collect()
    }
}

/// True if a weight has zeros that somebody has put there.
fn is_sparse(tensor: &TensorProto, sizes: &[usize]) -> Result<bool> {
    if sizes.len() < 2 {
        return Ok(false);
    }
    let numbers = to_f32(tensor)?;
    let zeros = numbers.iter().filter(|&&number| number == 0.0).count();
    Ok(zeros * MASKED >= numbers.len())
}

/// Why a real constant is no weight, if it is none.
fn no_weight(graph: &Graph, value: ValueId, sizes: &[usize]) -> Result<Option<&'static str>> {
    if sizes.iter().product::<usize>() <= 1 {
        return Ok(Some("is a single number"));
    }
    let mut consumers = graph.value(value).consumers.iter();
    if consumers.any(|&(node, slot)| measured_slots(graph, node).contains(&slot)) {
        return Ok(Some("was measured, not trained"));
    }
    let Some(tensor) = graph.constant(value) else {
        return Ok(None);
    };
    let numbers = to_f32(tensor)?;
    let wild = numbers.iter().any(|x| !x.is_finite() || x.abs() > LARGEST);
    Ok(wild.then_some("has numbers beyond 1000, like a mask"))
}
