//! Numbers written anew: as a constant, as a list put together again, as a patch over what is computed, or as
//! arithmetic over sizes that the graph has.

use super::polynomial::SizeWriter;
use super::shapes::ShapeRewriter;
use crate::axes::Extent;
use crate::graph::{NodeId, Producer, ValueId};
use crate::onnx::proto::NodeProto;
use crate::onnx::{ElementType, from_raw};
use crate::ops::find;

/// An element as `(computed - less) * times / by + more`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Patch {
    less: i64,
    times: i64,
    by: i64,
    more: i64,
}

/// A number of a patch.
type Number = fn(&Patch) -> i64;

impl Patch {
    const NONE: Patch = Patch {
        less: 0,
        times: 1,
        by: 1,
        more: 0,
    };

    /// What makes `wanted` of `now`; none where no factor and constants do.
    fn of(now: Option<&Extent>, wanted: Option<&Extent>) -> Option<Patch> {
        match (now, wanted) {
            (_, None) => Some(Patch::NONE),
            (now, Some(wanted)) if now == Some(wanted) => Some(Patch::NONE),
            (_, Some(Extent::Known(number))) => Some(Patch {
                times: 0,
                more: *number,
                ..Patch::NONE
            }),
            (Some(now), Some(wanted)) => {
                let (times, by) = wanted.ratio_to(now)?;
                let (less, more) = (now.parts().1, wanted.parts().1);
                Some(Patch {
                    less,
                    times,
                    by,
                    more,
                })
            }
            (None, Some(_)) => None,
        }
    }
}

impl ShapeRewriter<'_> {
    /// The name of a value with the wanted numbers, for a reader at `node`; `None` elements stay as computed.
    /// Where they cannot be written the old name stays, and the reader is noted as a fault.
    pub(super) fn emit(
        &mut self,
        node: NodeId,
        value: ValueId,
        wanted: Vec<Option<Extent>>,
    ) -> String {
        let key = (value, wanted.clone());
        if let Some(name) = self.written.get(&key) {
            return name.clone();
        }
        let graph = self.analysis.graph();
        let old_name = graph.value(value).name.clone();
        let base = format!("{old_name}.pruned");
        let known: Option<Vec<i64>> = wanted
            .iter()
            .map(|n| n.as_ref().and_then(Extent::known))
            .collect();
        let name = match (known, self.joined_parts(value)) {
            (Some(numbers), _) => {
                let (element, dims) = (self.element(value), self.dims(value, wanted.len()));
                Some(self.constant(&base, element, &dims, &numbers))
            }
            (None, Some(parts)) => self.emit_joined(node, &base, value, &parts, &wanted),
            (None, None) => self.emit_changed(node, &base, value, &wanted),
        };
        let Some(name) = name else {
            self.faults.push(node);
            return old_name;
        };
        self.written.insert(key, name.clone());
        name
    }

    fn element(&self, value: ValueId) -> ElementType {
        let element = self.analysis.state.elements[value.index()].filter(|e| e.is_index());
        element.unwrap_or(ElementType::Int64)
    }

    fn dims(&self, value: ValueId, count: usize) -> Vec<usize> {
        let integers = self.analysis.state.integers[value.index()].as_ref();
        integers.map_or_else(|| vec![count], |integers| integers.dims.clone())
    }

    /// The parts of a list that a node puts together, with their lengths.
    fn joined_parts(&self, value: ValueId) -> Option<Vec<(ValueId, usize)>> {
        let graph = self.analysis.graph();
        let Producer::Node(node, 0) = graph.value(value).producer else {
            return None;
        };
        if !find(graph, node)?.joins {
            return None;
        }
        let length = |value: ValueId| {
            let axes = self.analysis.state.axes(value)?;
            match axes {
                [axis] => Some((value, self.analysis.state.types.size(axis) as usize)),
                _ => None,
            }
        };
        graph
            .node(node)
            .inputs
            .iter()
            .map(|value| length((*value)?))
            .collect()
    }

    fn emit_joined(
        &mut self,
        node: NodeId,
        base: &str,
        value: ValueId,
        parts: &[(ValueId, usize)],
        wanted: &[Option<Extent>],
    ) -> Option<String> {
        let mut rest = wanted;
        let mut inputs = Vec::with_capacity(parts.len());
        for &(part, length) in parts {
            let (own, after) = rest.split_at(length.min(rest.len()));
            rest = after;
            let now = self.predicted[part.index()].as_ref();
            let fits = own.iter().enumerate().all(|(place, wanted)| {
                wanted.is_none() || now.and_then(|now| now.elements.get(place)) == Some(wanted)
            });
            inputs.push(match fits {
                true => self.analysis.graph().value(part).name.clone(),
                false => self.emit(node, part, own.to_vec()),
            });
        }
        let Producer::Node(producer, _) = self.analysis.graph().value(value).producer else {
            return None;
        };
        let mut concat = self.analysis.graph().node_proto(producer).clone();
        let name = self.names.fresh(base);
        concat.name = Some(name.clone());
        concat.input = inputs;
        concat.output = vec![name.clone()];
        self.inserted.before(node.index(), concat);
        Some(name)
    }

    /// Wanted elements over what the graph computes, where they follow from it; else all anew.
    fn emit_changed(
        &mut self,
        node: NodeId,
        base: &str,
        value: ValueId,
        wanted: &[Option<Extent>],
    ) -> Option<String> {
        let (element, dims) = (self.element(value), self.dims(value, wanted.len()));
        if element == ElementType::Bool {
            return None;
        }
        let now = self.predicted[value.index()].clone();
        let computed = |place: usize| now.as_ref()?.elements.get(place)?.as_ref();
        let patches = wanted.iter().enumerate();
        let patches: Option<Vec<Patch>> = patches
            .map(|(place, wanted)| Patch::of(computed(place), wanted.as_ref()))
            .collect();
        match patches {
            Some(patches) => Some(self.emit_patches(node, base, value, (element, &dims), &patches)),
            None => SizeWriter::new(self, node, base).list(value, (element, &dims), wanted),
        }
    }

    /// `(value - less) * times / by + more`, without the steps that change nothing.
    fn emit_patches(
        &mut self,
        node: NodeId,
        base: &str,
        value: ValueId,
        (element, dims): (ElementType, &[usize]),
        patches: &[Patch],
    ) -> String {
        let steps: [(&str, &str, i64, Number); 4] = [
            ("Sub", "less", 0, |patch| patch.less),
            ("Mul", "times", 1, |patch| patch.times),
            ("Div", "by", 1, |patch| patch.by),
            ("Add", "more", 0, |patch| patch.more),
        ];
        let mut name = self.analysis.graph().value(value).name.clone();
        for (operator, what, nothing, number) in steps {
            let numbers: Vec<i64> = patches.iter().map(number).collect();
            if numbers.iter().any(|&number| number != nothing) {
                let numbers = self.constant(&format!("{base}.{what}"), element, dims, &numbers);
                name = self.step(node, base, operator, vec![name, numbers]);
            }
        }
        name
    }

    /// A new node before the reader; the name of what it makes.
    pub(super) fn step(
        &mut self,
        node: NodeId,
        base: &str,
        operator: &str,
        inputs: Vec<String>,
    ) -> String {
        let name = self.names.fresh(base);
        let new = NodeProto {
            op_type: Some(operator.to_owned()),
            name: Some(name.clone()),
            input: inputs,
            output: vec![name.clone()],
            ..NodeProto::default()
        };
        self.inserted.before(node.index(), new);
        name
    }

    pub(super) fn constant(
        &mut self,
        base: &str,
        element: ElementType,
        dims: &[usize],
        numbers: &[i64],
    ) -> String {
        let name = self.names.fresh(base);
        let bytes: Vec<u8> = match element {
            ElementType::Int32 => numbers
                .iter()
                .flat_map(|&n| (n as i32).to_le_bytes())
                .collect(),
            ElementType::Bool => numbers.iter().map(|&n| n as u8).collect(),
            _ => numbers.iter().flat_map(|n| n.to_le_bytes()).collect(),
        };
        self.initializers
            .push(from_raw(&name, element, dims, bytes));
        name
    }
}
