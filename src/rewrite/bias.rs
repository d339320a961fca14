//! Adding constants to the rows that layers produce: into the bias where there is one of their own, else as
//! a new bias, else as a node.

use std::collections::BTreeMap;

use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::{Graph, NodeId, Patch, ValueId};
use crate::layers::Addition;
use crate::layers::Layer;
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, Model, cleared, packed, to_f32};
use crate::ops::{Bias, Linear, Pointwise, Role, find};

/// The analysed model with constants added to the rows of its layers, and the name of the initializer that
/// each constant went to.
///
/// # Errors
/// A bias that cannot be read, or a result that is no valid graph.
pub(crate) fn add_to_rows(
    analysis: &Analysis,
    constants: &[Addition],
) -> Result<(Model, Vec<String>)> {
    let graph = analysis.graph();
    let mut adder = Adder {
        analysis,
        patch: Patch::of(graph),
        changed: BTreeMap::new(),
    };
    let (merged, places) = merged(constants);
    let names: Result<Vec<String>> = merged.iter().map(|constant| adder.add(constant)).collect();
    let names = names?;
    let names = places.into_iter().map(|place| names[place].clone());
    let mut proto = graph.model().proto.clone();
    let target = proto.graph.get_or_insert_default();
    for (value, numbers) in &adder.changed {
        if let Some(tensor) = graph.constant_mut(target, *value) {
            *tensor = with_numbers(tensor, numbers);
        }
    }
    adder.patch.apply(target);
    let model = graph.model().with(proto, graph.model().lazy.clone());
    let graph = Graph::verified(model, "the model with constants in its biases")?;
    Ok((graph.into_model(), names.collect()))
}

/// The constants with those for the same rows added up, and by constant its place among them.
fn merged(constants: &[Addition]) -> (Vec<Addition>, Vec<usize>) {
    let mut out: Vec<Addition> = Vec::new();
    let place = |constant: &Addition| {
        let same = |known: &Addition| {
            known.linear == constant.linear && known.added.len() == constant.added.len()
        };
        match out.iter().position(same) {
            Some(place) => {
                let pairs = out[place].added.iter_mut().zip(&constant.added);
                pairs.for_each(|(sum, added)| *sum += added);
                place
            }
            None => {
                out.push(constant.clone());
                out.len() - 1
            }
        }
    };
    let places = constants.iter().map(place).collect();
    (out, places)
}

/// Number of rows over all batches of a layer to which constants can be added, if they can: rows that are an
/// axis of the output, or that have a bias of their own inside the operator.
pub(crate) fn rows_with_constants(analysis: &Analysis, layer: &Layer) -> Option<usize> {
    let [linear] = &layer.uses[..] else {
        return None;
    };
    let graph = analysis.graph();
    let node = graph.node(linear.node);
    let rows = linear.roles.iter();
    let rows = rows.filter(|role| matches!(role, Role::Row(_)));
    let rows: Vec<&Role> = rows.collect();
    // Behind a function of what is made only a bias before it will do.
    let inside = rows == [&Role::Row(None)] && linear.scales[1] == 1.0;
    if let Some(bias) = linear.bias.filter(|bias| bias.parts > 1 || inside) {
        let value = node.input(bias.slot)?;
        let dims = &graph.constant(value)?.dims;
        let rows = layer.rows() * layer.batches();
        let fits = !inside
            || dims.last() == Some(&(rows as i64)) && dims.iter().product::<i64>() == rows as i64;
        return (fits && is_owned(graph, value)).then_some(rows);
    }
    let [Role::Row(Some(axis))] = rows[..] else {
        return None;
    };
    let axes = analysis.state.axes(node.output(0)?)?;
    let size = analysis.state.types.size(axes.get(*axis)?) as usize;
    let fits = size == layer.rows() * linear.groups && layer.batches() == linear.groups;
    fits.then_some(size)
}

/// True if constants that are added to the rows of a linear map go into a constant that is there.
pub(crate) fn has_bias(analysis: &Analysis, linear: &Linear, rows: usize) -> bool {
    let graph = analysis.graph();
    let fits = |value: ValueId, parts: usize| {
        let tensor = graph.constant(value);
        tensor.is_some_and(|tensor| {
            let real = ElementType::of(tensor.data_type()).is_some_and(ElementType::is_float);
            let count: i64 = tensor.dims.iter().product();
            real && count as usize == rows * parts && is_owned(graph, value)
        })
    };
    let own = linear.bias.filter(|_| linear.scales[1] == 1.0);
    match own.map(|own| (own.parts, graph.node(linear.node).input(own.slot))) {
        Some((parts, Some(bias))) => fits(bias, parts),
        Some((_, None)) => false,
        None => sum_behind(analysis, linear).is_some_and(|(_, bias)| fits(bias, 1)),
    }
}

/// The tensor with other numbers.
fn with_numbers(tensor: &TensorProto, numbers: &[f32]) -> TensorProto {
    let element = ElementType::of(tensor.data_type()).unwrap_or(ElementType::Float);
    TensorProto {
        raw_data: Some(packed(numbers, element).into()),
        ..cleared(tensor)
    }
}

/// The sum that is all that reads what a linear map makes, of rows that are its last axis, and what it adds.
pub(crate) fn sum_behind(analysis: &Analysis, linear: &Linear) -> Option<(NodeId, ValueId)> {
    let graph = analysis.graph();
    let output = graph.node(linear.node).output(0)?;
    let value = graph.value(output);
    let last = analysis.state.axes(output)?.len().checked_sub(1)?;
    let [(reader, slot)] = value.consumers[..] else {
        return None;
    };
    let sums = find(graph, reader)?.pointwise == Some(Pointwise::Sum);
    let rows_last = linear.roles.contains(&Role::Row(Some(last)));
    let alone = !value.is_output && !graph.is_captured(output);
    if !alone || !sums || graph.node(reader).inputs.len() != 2 || !rows_last {
        return None;
    }
    let added = graph.node(reader).input(1 - slot.min(1))?;
    Some((reader, added))
}

/// The constant with one number per row that is added to all that a linear map without a bias makes, and the sum that does
/// it, where onnxruntime makes one operator of both: of matrices, or where all sizes are known.
pub(crate) fn bias_behind(analysis: &Analysis, linear: &Linear) -> Option<(NodeId, ValueId)> {
    let graph = analysis.graph();
    let output = graph.node(linear.node).output(0)?;
    let axes = analysis.state.axes(output)?;
    let size = |ty| analysis.state.types.extent(ty).size();
    let rows = size(axes.last()?)?;
    let joins = axes.len() == 2 || axes.iter().all(|ty| size(ty).is_some());
    let found = sum_behind(analysis, linear).filter(|_| joins && linear.bias.is_none());
    let is_bias = |value: ValueId| {
        let tensor = graph.constant(value);
        let vector = tensor.is_some_and(|tensor| tensor.dims == [rows as i64]);
        let inputs = &graph.proto().input;
        let given = inputs.iter().any(|of| of.name() == graph.value(value).name);
        let real = graph.element(value) == Some(ElementType::Float);
        vector && real && !given && is_owned(graph, value)
    };
    found.filter(|&(_, value)| is_bias(value))
}

/// True if a constant is read by one node and nothing else, and so may be changed for it.
fn is_owned(graph: &Graph, value: ValueId) -> bool {
    let known = graph.value(value);
    known.consumers.len() == 1 && !known.is_output && !graph.is_captured(value)
}

struct Adder<'a> {
    analysis: &'a Analysis,
    patch: Patch,
    /// What biases are now, as several constants may go to one.
    changed: BTreeMap<ValueId, Vec<f32>>,
}

impl Adder<'_> {
    fn add(&mut self, constant: &Addition) -> Result<String> {
        let linear = &constant.linear;
        let graph = self.analysis.graph();
        let node = graph.node(linear.node);
        if let Some(own) = linear.bias.filter(|_| linear.scales[1] == 1.0) {
            match node.input(own.slot) {
                Some(bias) if self.add_to_constant(bias, own, &constant.added)? => {
                    return Ok(graph.value(bias).name.clone());
                }
                None => return Ok(self.as_bias(constant, own.slot)),
                Some(_) => {}
            }
        }
        if let Some((_, bias)) = sum_behind(self.analysis, linear)
            && self.add_to_constant(bias, Bias::whole(0), &constant.added)?
        {
            return Ok(graph.value(bias).name.clone());
        }
        Ok(self.as_node(constant))
    }

    /// Adds to a constant that has one number per row and that nobody else reads.
    fn add_to_constant(&mut self, bias: ValueId, of: Bias, added: &[f32]) -> Result<bool> {
        let graph = self.analysis.graph();
        let Some(tensor) = graph.constant(bias) else {
            return Ok(false);
        };
        let real = ElementType::of(tensor.data_type()).is_some_and(ElementType::is_float);
        let count: i64 = tensor.dims.iter().product();
        let last = tensor.dims.last().copied().unwrap_or(1);
        let batches = match of.parts {
            1 => 1,
            _ => count / last.max(1),
        };
        let fits = count as usize == added.len() * of.parts && last * batches == count;
        if !real || !fits || !is_owned(graph, bias) {
            return Ok(false);
        }
        let mut now = match self.changed.remove(&bias) {
            Some(now) => now,
            None => to_f32(tensor)?,
        };
        let rows = added.len() / (batches as usize).max(1);
        for (batch, added) in added.chunks_exact(rows.max(1)).enumerate() {
            for (row, added) in added.iter().enumerate() {
                now[of.place(batch, row, rows)] += added;
            }
        }
        self.changed.insert(bias, now);
        Ok(true)
    }

    fn element(&self, constant: &Addition) -> ElementType {
        let output = self.analysis.graph().node(constant.node()).output(0);
        let element = output.and_then(|value| self.analysis.state.elements[value.index()]);
        element.unwrap_or(ElementType::Float)
    }

    /// A new initializer with the constants, with `behind` axes of size 1 after that of the rows.
    fn tensor(&mut self, constant: &Addition, behind: usize) -> String {
        let element = self.element(constant);
        let output = self.analysis.graph().node(constant.node()).output(0);
        let made = output.map_or("", |value| &self.analysis.graph().value(value).name);
        let mut dims = vec![constant.added.len()];
        dims.resize(behind + 1, 1);
        let bytes = packed(&constant.added, element);
        let base = format!("{made}.constant");
        self.patch.constant(&base, element, &dims, bytes)
    }

    fn as_bias(&mut self, constant: &Addition, slot: usize) -> String {
        let graph = self.analysis.graph();
        // Two constants for one new bias meet in the node's list of inputs.
        if self.patch.reads(graph, constant.node(), slot).is_some() {
            return self.as_node(constant);
        }
        let name = self.tensor(constant, 0);
        self.patch.connect(constant.node(), slot, &name);
        name
    }

    /// A sum behind the node, under the name of what the node made.
    fn as_node(&mut self, constant: &Addition) -> String {
        let graph = self.analysis.graph();
        let node = constant.node();
        let Some(output) = graph.node(node).output(0) else {
            return String::new();
        };
        let rank = self.analysis.state.axes(output).map_or(1, <[_]>::len);
        let row = constant.linear.roles.iter().find_map(|role| match role {
            Role::Row(axis) => *axis,
            Role::Reduction(_) | Role::Kernel | Role::Batch(_) => None,
        });
        let behind = rank - 1 - row.unwrap_or(rank - 1).min(rank - 1);
        let name = self.tensor(constant, behind);
        let made = graph.value(output).name.clone();
        let bare = self.patch.fresh(&format!("{made}.bare"));
        self.patch.rename_output(node, 0, &bare);
        self.patch.behind(node);
        self.patch
            .node_as(&made, "Add", &[&bare, &name], Vec::new());
        name
    }
}
