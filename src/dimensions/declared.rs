//! Declared sizes of inputs and outputs that are not those which the graph works with.
//!
//! An input whose sizes fit nothing lets no run begin. Of an output the declaration is only wrong: onnxruntime warns and goes on.
//! Of a cache it is a fault as well, since callers make the next run's input by it.

use super::Analysis;
use crate::axes::{Extent, Type};
use crate::error::Fault;
use crate::graph::{DeclaredSize, Producer, ValueId};

/// What of the declarations is wrong for certain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Declarations {
    /// What no model can be made from.
    pub(crate) faults: Vec<Fault>,
    /// Outputs that are declared otherwise than they are made, in words.
    pub(crate) wrong: Vec<String>,
}

impl Analysis {
    /// Declared sizes of inputs and outputs that cannot be right.
    pub(crate) fn declarations(&self) -> Declarations {
        let mut found = Declarations {
            faults: self.unfit_inputs(),
            wrong: Vec::new(),
        };
        // What an input that does not fit becomes is no news.
        let outputs = self.graph.value_ids();
        let outputs = outputs.filter(|_| found.faults.is_empty());
        let mut faults = Vec::new();
        for value in outputs.filter(|&id| self.graph.value(id).is_output) {
            let Some((declared, made)) = self.misdeclared(value) else {
                continue;
            };
            let name = &self.graph.value(value).name;
            let written = match declared.len() == made.len() {
                true => "a model that is written declares these",
                false => "it stays so, and says nothing",
            };
            let (declared, made) = (declared.join(", "), self.in_words(&made));
            match self.continued(value) {
                Some(cache) => faults.push(Fault::Misdeclared {
                    what: format!("output '{name}'"),
                    declared,
                    made: format!("the graph makes [{made}], the sizes of the cache '{cache}'"),
                }),
                None => found.wrong.push(format!(
                    "output '{name}' is declared with the sizes [{declared}], but the graph makes [{made}]; {written}"
                )),
            }
        }
        found.faults.extend(faults);
        found
    }

    /// Inputs whose declared sizes a node cannot use.
    fn unfit_inputs(&self) -> Vec<Fault> {
        let live = self.graph.live_nodes();
        let clashes = self.state.clashes.iter();
        let mut faults: Vec<Fault> = Vec::new();
        for clash in clashes.filter(|clash| live[clash.node.index()]) {
            let reads = self.graph.node(clash.node).inputs.iter().flatten();
            let is_cache = |value: ValueId| {
                let name = &self.graph.value(value).name;
                self.caches.iter().any(|cache| cache.input == *name)
            };
            // What stands in a body may never run: nobody declares a cache for that.
            let runs = |value| self.graph.body_of(clash.node).is_none() || is_cache(value);
            for &value in reads.filter(|&&value| self.is_input(value) && runs(value)) {
                let Some((axis, other)) = self.clashing(value, &clash.axes) else {
                    continue;
                };
                let fault = Fault::Misdeclared {
                    what: format!("input '{}'", self.graph.value(value).name),
                    declared: self.words_of(value),
                    made: format!(
                        "{} joins its axis {axis} with one of size {}",
                        self.graph.describe(clash.node),
                        self.in_words(&[self.state.types.extent(other)]),
                    ),
                };
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
            }
        }
        faults
    }

    fn is_input(&self, value: ValueId) -> bool {
        matches!(self.graph.value(value).producer, Producer::Input(_))
    }

    /// The axis of an input that is one of two, and the other one.
    fn clashing<'a>(&self, value: ValueId, pair: &'a [Type; 2]) -> Option<(usize, &'a Type)> {
        let axes = self.state.axes(value)?;
        let types = &self.state.types;
        let place = |of: &Type| {
            let of = types.normal(of);
            axes.iter().position(|axis| types.normal(axis) == of)
        };
        let [a, b] = pair;
        match (place(a), place(b)) {
            (Some(axis), None) => Some((axis, b)),
            (None, Some(axis)) => Some((axis, a)),
            _ => None,
        }
    }

    /// What is declared of a value, and the sizes that the graph makes, where one cannot be the other.
    fn misdeclared(&self, value: ValueId) -> Option<(Vec<String>, Vec<Extent>)> {
        let declared = self.graph.value(value).declared.as_ref()?;
        let axes = self.state.axes(value)?;
        let made: Vec<Extent> = axes.iter().map(|ty| self.state.types.extent(ty)).collect();
        let mut pairs = declared.iter().zip(&made);
        let wrong = declared.len() != made.len() || pairs.any(|(size, made)| !size.allows(made));
        let words = declared.iter().map(|size| match size {
            DeclaredSize::Known(size) if *size > 0 => size.to_string(),
            DeclaredSize::Named(name) if !name.is_empty() => name.clone(),
            _ => "?".to_owned(),
        });
        wrong.then(|| (words.collect(), made))
    }

    /// The cache that an output goes on with: all its sizes are the cache's, but for how much has been seen.
    fn continued(&self, output: ValueId) -> Option<&str> {
        let own = self.state.axes(output)?;
        let size = |ty: &Type| self.state.types.extent(ty);
        let found = self.caches.iter().find(|cache| {
            let Some(input) = self.graph.find(&cache.input) else {
                return false;
            };
            let axes = self.state.axes(input).unwrap_or_default();
            let seen = |ty: &Type| self.state.symbols.name_of(&size(ty)) == Some(&cache.seen);
            let mut pairs = axes.iter().zip(own);
            self.state.elements[input.index()] == self.state.elements[output.index()]
                && axes.len() == own.len()
                && pairs.all(|(a, b)| seen(a) || size(a) == size(b))
        });
        found.map(|cache| cache.input.as_str())
    }

    fn words_of(&self, value: ValueId) -> String {
        let axes = self.state.axes(value).unwrap_or_default().iter();
        let sizes: Vec<Extent> = axes.map(|ty| self.state.types.extent(ty)).collect();
        self.in_words(&sizes)
    }

    fn in_words(&self, sizes: &[Extent]) -> String {
        let word = |size: &Extent| {
            let name = || self.state.symbols.name_of(size).unwrap_or("?").to_owned();
            size.known().map_or_else(name, |size| size.to_string())
        };
        sizes.iter().map(word).collect::<Vec<_>>().join(", ")
    }
}
