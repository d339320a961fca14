//! What has been solved, in terms of the pruned model while it runs and of the dense one in the end.

use std::collections::BTreeMap;
use std::collections::HashMap;

use bytes::Bytes;

use super::group::{Group, Member};
use super::solve::Solution;
use super::{Recovered, RecoveredLayer, Scene, solvable};
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::{Graph, ValueId};
use crate::layers::Addition;
use crate::onnx::{ElementType, Model, packed, to_f32};
use crate::ops::Bias;
use crate::rewrite::{Edit, add_to_rows, has_bias, rows_with_constants};

/// The biases of the pruned model.
#[derive(Clone, Default)]
pub(super) struct Biases {
    /// By layer the initializer of its bias, and which part of it is the layer's.
    of_layer: HashMap<String, (String, Bias)>,
    /// By initializer its numbers.
    numbers: HashMap<String, (Vec<f32>, ElementType)>,
}

impl Biases {
    /// The pruned model with a bias for every layer that can have one.
    pub(super) fn explicit(scene: &Scene) -> Result<(Model, Biases)> {
        let pruned = scene.pruned;
        let mut layers = Vec::new();
        let mut constants = Vec::new();
        for layer in solvable(pruned) {
            if let ([linear], Some(rows)) = (&layer.uses[..], rows_with_constants(pruned, &layer)) {
                if scene.no_new_biases && !has_bias(pruned, linear, rows) {
                    continue;
                }
                let own = linear.bias.filter(|bias| bias.parts > 1);
                layers.push((layer.name.clone(), own.unwrap_or(Bias::whole(0))));
                constants.push(Addition {
                    linear: linear.clone(),
                    added: vec![0.0; rows],
                });
            }
        }
        let (model, names) = add_to_rows(pruned, &constants)?;
        let model = model.settled();
        let graph = Graph::new(&model)?;
        let mut biases = Biases::default();
        for ((layer, part), name) in layers.into_iter().zip(names) {
            let value = graph.find(&name);
            let tensor = value.and_then(|value| graph.constant(value));
            let element = tensor.and_then(|tensor| ElementType::of(tensor.data_type()));
            if let (Some(tensor), Some(element)) = (tensor, element) {
                let numbers = (to_f32(tensor)?, element);
                biases.numbers.insert(name.clone(), numbers);
                biases.of_layer.insert(layer, (name, part));
            }
        }
        Ok((model, biases))
    }
}

/// New weights and constants of one unit.
pub(super) struct Change {
    /// By dense initializer and element.
    weights: Vec<(ValueId, Vec<(u32, f32)>)>,
    constant: Option<Addition>,
    /// New numbers of a bias of the pruned model.
    bias: Option<(String, Vec<f32>)>,
    /// New bytes of the pruned model's initializers.
    pub(super) changes: Vec<(String, Bytes)>,
}

/// All that has been solved.
#[derive(Clone)]
pub(super) struct Ledger<'a> {
    analysis: &'a Analysis,
    biases: Biases,
    /// Stands before the names of the pruned model.
    prefix: &'a str,
    edits: BTreeMap<ValueId, Vec<f32>>,
    constants: Vec<Addition>,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(analysis: &'a Analysis, biases: Biases, prefix: &'a str) -> Ledger<'a> {
        Ledger {
            analysis,
            biases,
            prefix,
            edits: BTreeMap::new(),
            constants: Vec::new(),
        }
    }

    /// What solutions of a unit mean, by matrix; `before` are the constants that slicing leaves.
    pub(super) fn entry(
        &self,
        group: &Group,
        before: &[Vec<f64>],
        solutions: &[Solution],
        with_weights: bool,
    ) -> Change {
        let mut entry = Change {
            weights: Vec::new(),
            constant: None,
            bias: None,
            changes: Vec::new(),
        };
        let mut from = 0;
        let last = group.members.iter().rposition(|member| member.constants);
        for (place, member) in group.members.iter().enumerate() {
            if with_weights {
                self.weights(member, solutions, from, &mut entry);
            }
            from += member.pruned.columns();
            if Some(place) == last {
                self.constants(member, before, solutions, &mut entry);
            }
        }
        entry
    }

    fn weights(&self, member: &Member, solutions: &[Solution], from: usize, entry: &mut Change) {
        let mut matrix: Vec<f32> = Vec::with_capacity(member.pruned.len());
        for (batch, solution) in solutions.iter().enumerate() {
            for (row, &scale) in member.scale[batch].iter().enumerate() {
                for column in 0..member.pruned.columns() {
                    let old = member.weights[batch][(row, column)];
                    let new = solution.weights[(row, from + column)] / scale;
                    // A row that is scaled to nothing has no weights that would matter.
                    let usable = (new as f32).is_finite();
                    matrix.push(if usable { new } else { old } as f32);
                }
            }
        }
        let elements = member.pruned.scatter(&matrix);
        let element = self.analysis.graph().element(member.dense.value);
        let places = member
            .elements
            .iter()
            .copied()
            .zip(elements.iter().copied());
        entry.weights.push((member.dense.value, places.collect()));
        let bytes = packed(&elements, element.unwrap_or(ElementType::Float)).into();
        entry.changes.push((member.pruned.name.clone(), bytes));
    }

    fn constants(
        &self,
        member: &Member,
        before: &[Vec<f64>],
        solutions: &[Solution],
        entry: &mut Change,
    ) {
        let site = self.biases.of_layer.get(&member.dense.name);
        let (Some((name, part)), Some(linear)) = (site, member.dense.uses.first()) else {
            return;
        };
        let Some((numbers, element)) = self.biases.numbers.get(name) else {
            return;
        };
        let mut numbers = numbers.clone();
        let mut added = vec![0.0; member.dense.rows() * member.dense.batches()];
        let rows = member.pruned.rows();
        for (batch, solution) in solutions.iter().enumerate() {
            let of = &member.places[batch];
            for (row, constant) in solution.constants.iter().enumerate() {
                let change = (constant - before[batch][row]) / member.bias_scale[batch][row];
                if (change as f32).is_finite() {
                    added[of.batch * member.dense.rows() + of.rows[row]] = change as f32;
                    numbers[part.place(batch, row, rows)] += change as f32;
                }
            }
        }
        let bytes = packed(&numbers, *element).into();
        entry
            .changes
            .push((format!("{}{name}", self.prefix), bytes));
        entry.bias = Some((name.clone(), numbers));
        entry.constant = Some(Addition {
            linear: linear.clone(),
            added,
        });
    }

    /// Takes an entry for good; returns the new bytes of the pruned model's initializers.
    pub(super) fn enter(&mut self, entry: Change) -> Result<Vec<(String, Bytes)>> {
        for (value, elements) in entry.weights {
            if let std::collections::btree_map::Entry::Vacant(free) = self.edits.entry(value)
                && let Some(tensor) = self.analysis.graph().constant(value)
            {
                free.insert(to_f32(tensor)?);
            }
            if let Some(whole) = self.edits.get_mut(&value) {
                for (at, number) in elements {
                    whole[at as usize] = number;
                }
            }
        }
        if let Some((name, numbers)) = entry.bias
            && let Some(known) = self.biases.numbers.get_mut(&name)
        {
            known.0 = numbers;
        }
        self.constants.extend(entry.constant);
        Ok(entry.changes)
    }

    /// What the dense model has to become.
    pub(super) fn finish(self, layers: Vec<RecoveredLayer>) -> Recovered {
        let edits = self.edits.into_iter().map(|(value, numbers)| {
            let element = self.analysis.graph().element(value);
            let bytes = packed(&numbers, element.unwrap_or(ElementType::Float)).into();
            (value, Edit::Bytes(bytes))
        });
        Recovered {
            edits: edits.collect(),
            constants: self.constants,
            layers,
        }
    }
}
