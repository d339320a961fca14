//! Numbers written anew: as a constant, as a list put together again, as a patch over what is computed, or as
//! arithmetic over sizes that the graph has.

use super::polynomial::SizeWriter;
use super::shapes::ShapeRewriter;
use crate::axes::Extent;
use crate::graph::{NodeId, Producer, ValueId};
use crate::onnx::ElementType;
use crate::ops::find;

/// An element as `(computed - less) * times / by + more`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Change {
    less: i64,
    times: i64,
    by: i64,
    more: i64,
}

/// A number of a change.
type Number = fn(&Change) -> i64;

impl Change {
    const NONE: Change = Change {
        less: 0,
        times: 1,
        by: 1,
        more: 0,
    };

    /// What makes `wanted` of `now`; none where no factor and constants do.
    fn of(now: Option<&Extent>, wanted: Option<&Extent>) -> Option<Change> {
        match (now, wanted) {
            (_, None) => Some(Change::NONE),
            (now, Some(wanted)) if now == Some(wanted) => Some(Change::NONE),
            (_, Some(Extent::Known(number))) => Some(Change {
                times: 0,
                more: *number,
                ..Change::NONE
            }),
            (Some(now), Some(wanted)) => {
                let (times, by) = wanted.ratio_to(now)?;
                let (less, more) = (now.parts().1, wanted.parts().1);
                Some(Change {
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
        let key = (self.analysis.graph().body_of(node), value, wanted.clone());
        if let Some(name) = self.written.get(&key) {
            return name.clone();
        }
        self.patch.before(node);
        let graph = self.analysis.graph();
        let old_name = graph.value(value).name.clone();
        let base = format!("{old_name}.pruned");
        let known = self.number_list(value, &base, &wanted);
        let name = known.or_else(|| match self.joined_parts(value) {
            Some(parts) => self.emit_joined(node, &base, value, &parts, &wanted),
            None => self.emit_changed(node, &base, value, &wanted),
        });
        let Some(name) = name else {
            self.faults.push(node);
            return old_name;
        };
        self.written.insert(key, name.clone());
        name
    }

    /// The name of a new constant in the place of a value, where all of its numbers are known.
    pub(super) fn number_list(
        &mut self,
        value: ValueId,
        base: &str,
        wanted: &[Option<Extent>],
    ) -> Option<String> {
        let element = self.element(value);
        let bytes = self.bytes(element, wanted)?;
        let dims = self.dims(value, wanted.len());
        Some(self.patch.constant(base, element, &dims, bytes))
    }

    fn element(&self, value: ValueId) -> ElementType {
        let element = self.analysis.state.elements[value.index()];
        let element = element.filter(|element| element.is_index() || element.is_float());
        element.unwrap_or(ElementType::Int64)
    }

    /// The bytes of numbers that are all known.
    fn bytes(&self, element: ElementType, wanted: &[Option<Extent>]) -> Option<Vec<u8>> {
        if !element.is_float() {
            let known = wanted.iter().map(|n| n.as_ref()?.known());
            return Some(integer_bytes(
                element,
                &known.collect::<Option<Vec<i64>>>()?,
            ));
        }
        let known = wanted.iter().map(|n| {
            let (over, by) = self.symbols.fraction(n.as_ref()?)?;
            Some(over.known()? as f64 / by as f64)
        });
        real_bytes(element, &known.collect::<Option<Vec<f64>>>()?)
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
        let mut joining = self.analysis.graph().node_proto(producer).clone();
        joining.input = inputs;
        self.patch.copy(base, &joining).into_iter().next()
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
        let changes = wanted.iter().enumerate();
        let changes: Option<Vec<Change>> = changes
            .map(|(place, wanted)| Change::of(computed(place), wanted.as_ref()))
            .collect();
        match changes {
            Some(changes) => Some(self.write_changes(base, value, (element, &dims), &changes)),
            None => SizeWriter::new(self, node, base).list(value, (element, &dims), wanted),
        }
    }

    /// `(value - less) * times / by + more`, without the steps that change nothing.
    fn write_changes(
        &mut self,
        base: &str,
        value: ValueId,
        (element, dims): (ElementType, &[usize]),
        changes: &[Change],
    ) -> String {
        let steps: [(&str, &str, i64, Number); 4] = [
            ("Sub", "less", 0, |change| change.less),
            ("Mul", "times", 1, |change| change.times),
            ("Div", "by", 1, |change| change.by),
            ("Add", "more", 0, |change| change.more),
        ];
        let mut name = self.analysis.graph().value(value).name.clone();
        for (operator, what, nothing, number) in steps {
            let numbers: Vec<i64> = changes.iter().map(number).collect();
            if numbers.iter().any(|&number| number != nothing) {
                let numbers = self.constant(&format!("{base}.{what}"), element, dims, &numbers);
                name = self
                    .patch
                    .node(base, operator, &[&name, &numbers], Vec::new());
            }
        }
        name
    }

    /// A new initializer of whole numbers of some type; returns its name.
    pub(super) fn constant(
        &mut self,
        base: &str,
        element: ElementType,
        dims: &[usize],
        numbers: &[i64],
    ) -> String {
        let real = || numbers.iter().map(|&n| n as f64).collect::<Vec<f64>>();
        let bytes = real_bytes(element, &real()).unwrap_or_else(|| integer_bytes(element, numbers));
        self.patch.constant(base, element, dims, bytes)
    }
}

fn integer_bytes(element: ElementType, numbers: &[i64]) -> Vec<u8> {
    let numbers = numbers.iter();
    match element {
        ElementType::Int32 => numbers.flat_map(|&n| (n as i32).to_le_bytes()).collect(),
        ElementType::Uint32 => numbers.flat_map(|&n| (n as u32).to_le_bytes()).collect(),
        ElementType::Bool => numbers.map(|&n| n as u8).collect(),
        _ => numbers.flat_map(|n| n.to_le_bytes()).collect(),
    }
}

/// None for types in which nothing is computed with sizes.
fn real_bytes(element: ElementType, numbers: &[f64]) -> Option<Vec<u8>> {
    let numbers = numbers.iter();
    match element {
        ElementType::Float => Some(numbers.flat_map(|&n| (n as f32).to_le_bytes()).collect()),
        ElementType::Double => Some(numbers.flat_map(|n| n.to_le_bytes()).collect()),
        _ => None,
    }
}
