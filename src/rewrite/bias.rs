//! Adding constants to the rows that layers produce: into the bias where there is one of their own, else as
//! a new bias, else as a node.

use std::collections::HashMap;

use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::{Graph, Insertions, Names, Producer, ValueId};
use crate::layers::Addition;
use crate::layers::Layer;
use crate::onnx::packed;
use crate::onnx::proto::{GraphProto, NodeProto};
use crate::onnx::{ElementType, Model, from_raw, to_f32};
use crate::ops::{Bias, Pointwise, Role, find};

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
    let mut proto = graph.model().proto.clone();
    let target = proto.graph.get_or_insert_default();
    let mut adder = Adder {
        analysis,
        names: Names::of(graph),
        added: Insertions::default(),
        changed: HashMap::new(),
    };
    let names: Result<Vec<String>> = constants
        .iter()
        .map(|constant| adder.add(constant, target))
        .collect();
    let names = names?;
    adder.added.apply(target);
    let model = graph.model().with(proto, graph.model().lazy.clone());
    let model = Graph::verified(model, "the model with constants in its biases")?;
    Ok((model.model().clone(), names))
}

/// Number of rows over all batches of a layer to which constants can be added, if they can: rows that are an
/// axis of the output, or that have a bias of their own inside the operator.
pub(crate) fn rows_with_constants(analysis: &Analysis, layer: &Layer) -> Option<usize> {
    let [linear] = &layer.uses[..] else {
        return None;
    };
    let graph = analysis.graph();
    let node = graph.node(linear.node);
    if let Some(bias) = linear.bias.filter(|bias| bias.parts > 1) {
        let value = node.input(bias.slot)?;
        let known = graph.value(value);
        let owned = known.consumers.len() == 1 && !known.is_output;
        let initializer = matches!(known.producer, Producer::Initializer(_));
        return (owned && initializer).then_some(layer.rows() * layer.batches());
    }
    let rows = linear.roles.iter();
    let rows = rows.filter(|role| matches!(role, Role::Row(_)));
    let [Role::Row(Some(axis))] = rows.collect::<Vec<_>>()[..] else {
        return None;
    };
    let axes = analysis.state.axes(node.output(0)?)?;
    let size = analysis.state.types.size(axes.get(*axis)?) as usize;
    let fits = size == layer.rows() * linear.groups && layer.batches() == linear.groups;
    fits.then_some(size)
}

struct Adder<'a> {
    analysis: &'a Analysis,
    names: Names,
    added: Insertions,
    /// What biases are now, as several constants may go to one.
    changed: HashMap<ValueId, Vec<f32>>,
}

impl Adder<'_> {
    fn add(&mut self, constant: &Addition, target: &mut GraphProto) -> Result<String> {
        let linear = &constant.linear;
        let graph = self.analysis.graph();
        let node = graph.node(linear.node);
        if let Some(own) = linear.bias.filter(|_| linear.scales[1] == 1.0) {
            match node.input(own.slot) {
                Some(bias) if self.add_to_constant(bias, own, &constant.added, target)? => {
                    return Ok(graph.value(bias).name.clone());
                }
                None => return Ok(self.as_bias(constant, own.slot, target)),
                Some(_) => {}
            }
        }
        if let Some(bias) = self.bias_behind(constant)
            && self.add_to_constant(bias, Bias::whole(0), &constant.added, target)?
        {
            return Ok(graph.value(bias).name.clone());
        }
        Ok(self.as_node(constant, target))
    }

    /// Adds to an initializer that has one number per row and that nobody else reads.
    fn add_to_constant(
        &mut self,
        bias: ValueId,
        of: Bias,
        added: &[f32],
        target: &mut GraphProto,
    ) -> Result<bool> {
        let graph = self.analysis.graph();
        let value = graph.value(bias);
        let (Producer::Initializer(index), Some(tensor)) = (value.producer, graph.constant(bias))
        else {
            return Ok(false);
        };
        let element = ElementType::of(tensor.data_type()).filter(|element| element.is_float());
        let count: i64 = tensor.dims.iter().product();
        let last = tensor.dims.last().copied().unwrap_or(1);
        let batches = match of.parts {
            1 => 1,
            _ => count / last.max(1),
        };
        let fits = count as usize == added.len() * of.parts && last * batches == count;
        let Some(element) =
            element.filter(|_| fits && value.consumers.len() == 1 && !value.is_output)
        else {
            return Ok(false);
        };
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
        let dims: Vec<usize> = tensor.dims.iter().map(|&dim| dim as usize).collect();
        target.initializer[index] = from_raw(tensor.name(), element, &dims, packed(&now, element));
        self.changed.insert(bias, now);
        Ok(true)
    }

    /// The constant that a sum behind the node adds to all that it makes.
    fn bias_behind(&self, constant: &Addition) -> Option<ValueId> {
        let graph = self.analysis.graph();
        let output = graph.node(constant.node()).output(0)?;
        let value = graph.value(output);
        let last = self.analysis.state.axes(output)?.len().checked_sub(1)?;
        let [(reader, slot)] = value.consumers[..] else {
            return None;
        };
        let adds = find(graph, reader).is_some_and(|row| row.pointwise == Some(Pointwise::Sum));
        let rows_last = constant.linear.roles.contains(&Role::Row(Some(last)));
        if value.is_output || !adds || !rows_last {
            return None;
        }
        graph.node(reader).input(1 - slot.min(1))
    }

    fn element(&self, constant: &Addition) -> ElementType {
        let output = self.analysis.graph().node(constant.node()).output(0);
        let element = output.and_then(|value| self.analysis.state.elements[value.index()]);
        element.unwrap_or(ElementType::Float)
    }

    /// A new initializer with the constants, with `behind` axes of size 1 after that of the rows.
    fn tensor(&mut self, constant: &Addition, behind: usize, target: &mut GraphProto) -> String {
        let element = self.element(constant);
        let name = self.names.fresh(&format!(
            "{}.constant",
            self.analysis.graph().node_proto(constant.node()).name()
        ));
        let mut dims = vec![constant.added.len()];
        dims.resize(behind + 1, 1);
        target.initializer.push(from_raw(
            &name,
            element,
            &dims,
            packed(&constant.added, element),
        ));
        name
    }

    fn as_bias(&mut self, constant: &Addition, slot: usize, target: &mut GraphProto) -> String {
        let place = constant.node().index();
        // Two constants for one new bias meet in the node's list of inputs.
        let there = target.node[place]
            .input
            .get(slot)
            .filter(|name| !name.is_empty());
        if there.is_some() {
            return self.as_node(constant, target);
        }
        let name = self.tensor(constant, 0, target);
        let inputs = &mut target.node[place].input;
        inputs.resize(inputs.len().max(slot + 1), String::new());
        inputs[slot].clone_from(&name);
        name
    }

    /// An Add behind the node, under the name of what the node made.
    fn as_node(&mut self, constant: &Addition, target: &mut GraphProto) -> String {
        let graph = self.analysis.graph();
        let place = constant.node().index();
        let output = graph.node(constant.node()).output(0);
        let rank = output
            .and_then(|value| self.analysis.state.axes(value))
            .map_or(1, <[_]>::len);
        let row = constant.linear.roles.iter().find_map(|role| match role {
            Role::Row(axis) => *axis,
            Role::Reduction(_) | Role::Kernel | Role::Batch(_) => None,
        });
        let behind = rank - 1 - row.unwrap_or(rank - 1).min(rank - 1);
        let name = self.tensor(constant, behind, target);
        let made = target.node[place].output[0].clone();
        let bare = self.names.fresh(&format!("{made}.bare"));
        target.node[place].output[0].clone_from(&bare);
        let add = NodeProto {
            op_type: Some("Add".to_owned()),
            name: Some(format!("{bare}.add")),
            input: vec![bare, name.clone()],
            output: vec![made],
            ..NodeProto::default()
        };
        self.added.before(place + 1, add);
        name
    }
}
