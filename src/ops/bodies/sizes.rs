//! Numbers of a body that have to follow sizes, evaluated once more with a letter for each size that may change.
//!
//! Where a rule inside asks that a number equals the size of an axis, the number that the body computes has to be that
//! size whatever stays of the axes: as a sum of letters, products of them, or an attribute of the node that is a mirror
//! then. Where it is not, the axis is held; so it is where a number that follows it reaches data.

use std::collections::{BTreeMap, BTreeSet};

use super::call::{Call, Reference};
use crate::axes::{Extent, Reason, Type, VarId};
use crate::graph::{NodeId, ValueId};
use crate::ops::facts::{Mirror, NumberPlace};
use crate::ops::row::find;
use crate::ops::shapes::{Integers, Known, element_of, evaluate_node};
use crate::ops::state::State;

/// Names of letters begin with it, which no name in a file does.
const LETTER: char = '\0';

/// By attribute of the node the type whose size it is.
type Attributes = BTreeMap<&'static str, Type>;

/// Attributes of the node that equal sizes. What else would have to follow a size holds it.
pub(super) fn mirrors(call: &Call, inner: &mut State) -> Vec<(&'static str, Type)> {
    loop {
        let mut found = Evaluated {
            call,
            inner,
            values: Vec::new(),
            wrong: BTreeMap::new(),
        };
        let attributes = found.attributes();
        found.evaluate(Some(&attributes));
        found.compare(&attributes);
        found.follow();
        let wrong = std::mem::take(&mut found.wrong);
        if wrong.is_empty() {
            return attributes.into_iter().collect();
        }
        let origin = inner.origin_of(call.node);
        for (var, why) in wrong {
            inner.types.pin(&Type::Var(var), Reason { origin, why });
        }
    }
}

const WRITTEN: &str = "has a size that the operator has no number for";
const REACHES: &str = "has a size that what the operator does computes with";

struct Evaluated<'a> {
    call: &'a Call,
    inner: &'a mut State,
    /// By value of the body: its numbers, with letters.
    values: Vec<Option<Integers>>,
    /// What has to be held.
    wrong: BTreeMap<VarId, &'static str>,
}

impl Evaluated<'_> {
    /// The size of a type with a letter for each variable that may lose positions.
    fn letters(&mut self, ty: &Type) -> Option<Extent> {
        match self.inner.types.normal(ty) {
            Type::Var(id) => {
                let var = self.inner.types.var(id);
                match var.pin.is_none() && matches!(var.extent, Extent::Known(2..)) {
                    true => Some(self.inner.symbols.named(&format!("{LETTER}{}", id.0))),
                    false => Some(var.extent.clone()),
                }
            }
            Type::Product(factors) => {
                let mut factors = factors.iter();
                factors.try_fold(Extent::ONE, |n, factor| n.mul(&self.letters(factor)?))
            }
            Type::Sum(parts) => {
                let mut parts = parts.iter();
                parts.try_fold(Extent::Known(0), |n, part| n.add(&self.letters(part)?))
            }
            Type::Block { of, blocks } => self.letters(&of)?.div_exact(&Extent::from(blocks)),
        }
    }

    fn hold(&mut self, ty: &Type, why: &'static str) {
        for id in self.inner.types.vars(ty) {
            let var = self.inner.types.var(id);
            if var.pin.is_none() && matches!(var.extent, Extent::Known(2..)) {
                self.wrong.entry(id).or_insert(why);
            }
        }
    }

    /// The variables whose letters numbers have.
    fn vars_in(&self, numbers: &Integers) -> BTreeSet<VarId> {
        let extents = numbers.elements.iter().flatten();
        let names = extents.flat_map(|extent| self.inner.symbols.names(extent));
        let letters = names.filter_map(|name| name.strip_prefix(LETTER)?.parse().ok());
        letters.map(VarId).collect()
    }

    fn attribute_letter(&mut self, name: &str) -> Extent {
        self.inner.symbols.named(&format!("{LETTER}@{name}"))
    }

    /// Attributes that are numbers which have to equal sizes.
    fn attributes(&mut self) -> Attributes {
        self.evaluate(None);
        let mut attributes = Attributes::new();
        for mirror in self.inner.mirrors.all().to_vec() {
            match mirror.target {
                NumberPlace::Int(name) => {
                    if let Some(Reference::Attribute(name)) = self.call.reference(mirror.node, name)
                        && let Some(Some(ty)) = mirror.sizes.first()
                    {
                        attributes.entry(name).or_insert_with(|| ty.clone());
                    }
                }
                NumberPlace::List { .. } => {
                    let Some(numbers) = self.list(&mirror) else {
                        continue;
                    };
                    for (ty, number) in mirror.sizes.iter().zip(numbers.elements) {
                        if let (Some(ty), Some(name)) = (ty, self.attribute_of(number)) {
                            attributes.entry(name).or_insert_with(|| ty.clone());
                        }
                    }
                }
            }
        }
        attributes
    }

    /// The attribute that a number is.
    fn attribute_of(&mut self, number: Option<Extent>) -> Option<&'static str> {
        let number = number?;
        let constants = self.call.called.graph.order().to_vec().into_iter();
        let mut names = constants.filter_map(|node| match self.call.reference(node, "value_int") {
            Some(Reference::Attribute(name)) => Some(name),
            _ => None,
        });
        names.find(|name| self.attribute_letter(name) == number)
    }

    /// The numbers that a mirror of a list speaks of, where they come from an input.
    fn list(&self, mirror: &Mirror) -> Option<Integers> {
        let NumberPlace::List { slot, .. } = mirror.target else {
            return None;
        };
        let value = self.call.called.graph.node(mirror.node).input(slot)?;
        self.values[value.index()].clone()
    }

    /// Computes all numbers; attributes are letters, or where they are given the sizes that they equal.
    fn evaluate(&mut self, attributes: Option<&Attributes>) {
        self.values.clone_from(&self.inner.integers);
        for node in self.call.called.graph.order().to_vec() {
            self.evaluate_node(node, attributes);
        }
    }

    fn evaluate_node(&mut self, node: NodeId, attributes: Option<&Attributes>) {
        let graph = &self.call.called.graph;
        let connections = graph.node(node).clone();
        let outputs = || connections.outputs.iter().flatten();
        let constant = outputs().any(|&value| graph.constant(value).is_some());
        if constant || !outputs().any(|value| self.inner.integers[value.index()].is_some()) {
            return;
        }
        let numbers = match self.held(node, attributes) {
            Some(number) => vec![Integers::scalar(number)],
            None => {
                let inputs = connections.inputs.iter();
                let inputs = inputs.map(|value| self.values[(*value)?.index()].clone());
                let inputs = inputs.collect();
                let shapes = connections.inputs.iter();
                let shapes = shapes.map(|value| self.shape((*value)?)).collect();
                let element = element_of(graph, node, &self.inner.elements);
                let known = Known {
                    inputs,
                    shapes,
                    element,
                };
                evaluate_node(graph, node, known, &mut self.inner.symbols)
            }
        };
        for value in outputs() {
            self.values[value.index()] = None;
        }
        for (value, numbers) in connections.outputs.iter().zip(numbers) {
            if let Some(value) = value {
                self.values[value.index()] = Some(numbers);
            }
        }
    }

    /// The number that a node holds of what the call says.
    fn held(&mut self, node: NodeId, attributes: Option<&Attributes>) -> Option<Extent> {
        match (self.call.reference(node, "value_int")?, attributes) {
            (Reference::Attribute(name), None) => Some(self.attribute_letter(name)),
            (Reference::Attribute(name), Some(attributes)) => match attributes.get(name) {
                Some(ty) => self.letters(ty),
                None => self.call.number(name).map(Extent::Known),
            },
            (Reference::Size { slot, axis }, _) => self.size(slot, axis),
            (Reference::Element(_), _) => None,
        }
    }

    /// The size of an axis of an input of the node.
    fn size(&mut self, slot: usize, axis: usize) -> Option<Extent> {
        let input = self.call.called.graph.find(&format!("i{slot}"))?;
        let ty = self.inner.axes(input)?.get(axis)?.clone();
        self.letters(&ty)
    }

    fn shape(&mut self, value: ValueId) -> Option<Vec<Extent>> {
        let axes = self.inner.axes(value)?.to_vec();
        axes.iter().map(|axis| self.letters(axis)).collect()
    }

    /// Holds what a rule asks of a number that will not be it.
    fn compare(&mut self, attributes: &Attributes) {
        for mirror in self.inner.mirrors.all().to_vec() {
            let numbers: Vec<Option<Extent>> = match mirror.target {
                NumberPlace::Int(name) => vec![self.number(mirror.node, name, attributes)],
                NumberPlace::List {
                    slot, attribute, ..
                } => {
                    let graph = &self.call.called.graph;
                    let proto = graph.node_proto(mirror.node);
                    let listed = proto.attribute.iter().any(|held| held.name() == attribute);
                    let given = graph.node(mirror.node).input(slot).is_some();
                    match (listed, given) {
                        (false, true) => self.list(&mirror).map_or(Vec::new(), |n| n.elements),
                        (true, _) => Vec::new(),
                        (false, false) => self.equal_parts(&mirror),
                    }
                }
            };
            for (place, ty) in mirror.sizes.iter().enumerate() {
                let Some(ty) = ty else { continue };
                let wanted = self.letters(ty);
                if wanted.is_none() || numbers.get(place) != Some(&wanted) {
                    self.hold(ty, WRITTEN);
                }
            }
        }
    }

    /// The number in an attribute of a node of the body.
    fn number(&mut self, node: NodeId, name: &str, attributes: &Attributes) -> Option<Extent> {
        match self.call.reference(node, name) {
            Some(Reference::Attribute(name)) => match attributes.get(name) {
                Some(ty) => self.letters(&ty.clone()),
                None => self.call.number(name).map(Extent::Known),
            },
            Some(Reference::Size { slot, axis }) => self.size(slot, axis),
            Some(Reference::Element(_)) => None,
            None => {
                let mut held = self.call.called.graph.node_proto(node).attribute.iter();
                let held = held.find(|held| held.name() == name)?;
                held.i.map(Extent::Known)
            }
        }
    }

    /// A list that is left out stands for parts of one size, as long as they are.
    fn equal_parts(&mut self, mirror: &Mirror) -> Vec<Option<Extent>> {
        let sizes = mirror.sizes.iter().map(|ty| self.letters(ty.as_ref()?));
        let sizes: Vec<Option<Extent>> = sizes.collect();
        match sizes.windows(2).all(|pair| pair[0] == pair[1]) {
            true => sizes,
            false => Vec::new(),
        }
    }

    /// Holds what numbers follow that reach something else than numbers.
    fn follow(&mut self) {
        for node in self.call.called.graph.order().to_vec() {
            let graph = &self.call.called.graph;
            let connections = graph.node(node);
            let outputs = connections.outputs.iter().flatten();
            let known = |numbers: &[Option<Integers>], value: ValueId| {
                let numbers = numbers[value.index()].as_ref();
                numbers.is_some_and(|numbers| numbers.elements.iter().all(Option::is_some))
            };
            let mut made = outputs.clone();
            let is_arithmetic = made.any(|value| self.inner.integers[value.index()].is_some());
            let mut made = outputs;
            let followed = made.all(|&value| known(&self.values, value));
            let moves = find(graph, node).is_some_and(|row| row.moves());
            if is_arithmetic && (moves || followed) {
                continue;
            }
            let mirrored: Vec<usize> = self.mirrored(node);
            let inputs = connections.inputs.iter().enumerate();
            let numbers = inputs.filter(|(slot, _)| is_arithmetic || !mirrored.contains(slot));
            let vars: BTreeSet<VarId> = numbers
                .filter_map(|(_, value)| self.values[(*value)?.index()].as_ref())
                .flat_map(|numbers| self.vars_in(numbers))
                .collect();
            for var in vars {
                self.wrong.entry(var).or_insert(REACHES);
            }
        }
    }

    /// The slots of a node whose numbers a rule speaks of.
    fn mirrored(&self, node: NodeId) -> Vec<usize> {
        let mirrors = self.inner.mirrors_of(node);
        let slot = |mirror: &Mirror| match mirror.target {
            NumberPlace::List { slot, .. } => Some(slot),
            NumberPlace::Int(_) => None,
        };
        mirrors.filter_map(slot).collect()
    }
}
