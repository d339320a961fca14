//! How gradients go through operators: the verbs in which adjoints speak, and one file of them per family.
//!
//! An adjoint gets the gradient of a node's outputs and gives those of its inputs, as new nodes. All sizes are numbers
//! by then.

pub(in crate::ops) mod activations;
pub(in crate::ops) mod attention;
pub(in crate::ops) mod broadcast;
pub(in crate::ops) mod classical;
pub(in crate::ops) mod convolution;
pub(in crate::ops) mod functions;
pub(in crate::ops) mod fused;
pub(in crate::ops) mod gather;
pub(in crate::ops) mod joins;
mod kernels;
pub(in crate::ops) mod layout;
pub(in crate::ops) mod losses;
pub(in crate::ops) mod normalisation;
pub(in crate::ops) mod pooling;
pub(in crate::ops) mod products;
pub(in crate::ops) mod quantised;
pub(in crate::ops) mod recurrent;
pub(in crate::ops) mod reduction;
pub(in crate::ops) mod regions;
pub(in crate::ops) mod resize;
mod rows;
pub(in crate::ops) mod sampling;
pub(in crate::ops) mod selecting;
pub(in crate::ops) mod signals;
pub(in crate::ops) mod spatial;

use crate::graph::{Array, Attributes, Emitter, Graph, NodeId, ValueId, ints};
use crate::onnx::proto::{NodeProto, TensorProto};
use crate::onnx::{ElementType, to_f32};

use super::kinds::Viewing;
use super::state::State;
use super::typing::{Ruling, Unsupported};

/// The oldest operator set that the nodes of gradients exist in.
const OLDEST: i64 = 7;
/// The largest number of elements of a value.
const LARGEST: usize = 1 << 40;
const TOO_OLD: &str = "its operator set is older than 7: export the model with a newer one";

/// Gives the gradients of a node's inputs.
pub(in crate::ops) type Gives = fn(&mut Backward) -> Ruling;
/// The gradient of a node's first input, from that of its first output.
pub(in crate::ops) type Slope = fn(&mut Backward, &Array) -> Ruling<Array>;

/// How a gradient goes through an operator.
#[derive(Clone, Copy)]
pub(crate) enum Adjoint {
    /// The row does not say: it stops there.
    Unstated,
    /// It stops there, for this reason.
    None(&'static str),
    /// The output does not change with small changes of the inputs.
    Zero,
    /// The elements of the output are those of the first input, as the row's `viewed` says.
    Viewed,
    /// By a function of the first output's gradient, for the first input.
    Slope(Slope),
    /// By a function that gives the gradients of all inputs.
    Rule(Gives),
    /// The same, from codes or to codes: their gradient is that of the real numbers that they were rounded from.
    Straight(Gives),
}

/// What is known of the graph that gradients go through.
#[derive(Clone, Copy)]
pub(crate) struct Settled<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) state: &'a State,
}

/// One node while its adjoint runs. Slots are input and output positions.
pub(crate) struct Backward<'a> {
    pub(in crate::ops) emit: &'a mut Emitter,
    settled: Settled<'a>,
    node: NodeId,
    cotangents: Vec<Option<Array>>,
    needs: Vec<bool>,
    given: Vec<(usize, Array)>,
}

impl Settled<'_> {
    /// A value with its sizes, if these are known.
    pub(crate) fn array(&self, value: ValueId) -> Option<Array> {
        let axes = self.state.axes(value)?.iter();
        let sizes = axes.map(|axis| self.state.types.extent(axis).size());
        let sizes = sizes.collect::<Option<Vec<usize>>>()?;
        let count = sizes
            .iter()
            .try_fold(1, |count: usize, &size| count.checked_mul(size));
        // No memory holds more.
        count.filter(|&count| count <= LARGEST)?;
        Some(Array {
            name: self.graph.value(value).name.clone(),
            sizes,
            element: self.state.elements[value.index()]?,
        })
    }
}

impl Backward<'_> {
    pub(super) fn proto(&self) -> &NodeProto {
        self.settled.graph.node_proto(self.node)
    }

    /// The gradient of the first output.
    pub(super) fn cotangent(&self) -> Ruling<Array> {
        let found = self.cotangent_of(0);
        found.ok_or(Unsupported("the gradient of another output is asked for"))
    }

    /// The gradient of an output; none where nothing depends on it.
    pub(super) fn cotangent_of(&self, slot: usize) -> Option<Array> {
        self.cotangents.get(slot).cloned().flatten()
    }

    /// True if an input is connected.
    pub(super) fn has(&self, slot: usize) -> bool {
        self.value(slot).is_some()
    }

    pub(super) fn input_count(&self) -> usize {
        self.settled.graph.node(self.node).inputs.len()
    }

    pub(super) fn output_count(&self) -> usize {
        self.settled.graph.node(self.node).outputs.len()
    }

    fn value(&self, slot: usize) -> Option<ValueId> {
        self.settled.graph.node(self.node).input(slot)
    }

    /// A required input.
    pub(super) fn input(&self, slot: usize) -> Ruling<Array> {
        let value = self.value(slot);
        let value = value.ok_or(Unsupported("a required input is missing"))?;
        self.settled_array(value)
    }

    /// An output that the node makes.
    pub(super) fn output(&self, slot: usize) -> Ruling<Array> {
        let value = self.settled.graph.node(self.node).output(slot);
        let value = value.ok_or(Unsupported("an output is left out"))?;
        self.settled_array(value)
    }

    fn settled_array(&self, value: ValueId) -> Ruling<Array> {
        let array = self.settled.array(value);
        array.ok_or(Unsupported("the size of an input or output is not known"))
    }

    /// An output that the node makes, or else shall make, with these sizes.
    pub(super) fn output_with(
        &mut self,
        slot: usize,
        sizes: &[usize],
        element: ElementType,
    ) -> Array {
        let known = self.settled.graph.node(self.node).output(slot);
        let name = match known {
            Some(value) => self.settled.graph.value(value).name.clone(),
            None => {
                let base = format!("{}.{slot}", self.proto().op_type());
                let name = self.emit.patch().fresh(&base);
                self.emit.patch().rename_output(self.node, slot, &name);
                name
            }
        };
        let made = Array {
            name,
            sizes: sizes.to_vec(),
            element,
        };
        self.emit.note(&made);
        made
    }

    /// True if the gradient of an input is wanted.
    pub(super) fn needs(&self, slot: usize) -> bool {
        self.needs.get(slot).copied().unwrap_or(false)
    }

    /// The gradient of an input, or a part of it: several are added. What was broadcast is summed.
    pub(super) fn give(&mut self, slot: usize, gradient: &Array) -> Ruling {
        if self.needs(slot) {
            let input = self.input(slot)?;
            let mut gradient = self.emit.sum_to(gradient, &input.sizes);
            // That of codes is real.
            if input.element.is_float() {
                gradient = self.emit.cast(&gradient, input.element);
            }
            self.given.push((slot, gradient));
        }
        Ok(())
    }

    /// The integers of an input or, in older operator versions, of an attribute; none where it has neither.
    pub(super) fn integers(&self, slot: usize, attribute: &str) -> Ruling<Option<Vec<i64>>> {
        if let Some(list) = self.proto().ints(attribute) {
            return Ok(Some(list.to_vec()));
        }
        let Some(value) = self.value(slot) else {
            return Ok(None);
        };
        let numbers = self.settled.state.integers[value.index()].as_ref();
        let numbers = numbers.and_then(|numbers| {
            let known = numbers.elements.iter();
            known.map(|element| element.as_ref()?.known()).collect()
        });
        match numbers {
            Some(numbers) => Ok(Some(numbers)),
            None => Err(Unsupported("an argument is computed at run time")),
        }
    }

    /// The real numbers of a constant input.
    pub(super) fn reals(&self, slot: usize) -> Option<Vec<f32>> {
        to_f32(self.constant(slot)?).ok()
    }

    /// A constant truth value.
    pub(super) fn flag(&self, slot: usize) -> Option<bool> {
        let tensor = self.constant(slot)?;
        let raw = tensor.raw_data.as_ref().and_then(|bytes| bytes.first());
        let listed = tensor.int32_data.first().map(|&number| number != 0);
        raw.map(|&byte| byte != 0).or(listed)
    }

    fn constant(&self, slot: usize) -> Option<&TensorProto> {
        self.settled.graph.constant(self.value(slot)?)
    }

    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        self.proto().int(name).unwrap_or(default)
    }

    pub(super) fn float(&self, name: &str, default: f32) -> f64 {
        let found = self.proto().attribute(name).and_then(|a| a.f);
        f64::from(found.unwrap_or(default))
    }

    pub(super) fn string(&self, name: &str, default: &'static str) -> String {
        self.proto().string(name).unwrap_or(default).to_owned()
    }
}

/// True if small changes of its inputs do not change what a node makes.
pub(crate) fn stands_still(graph: &Graph, node: NodeId) -> bool {
    super::find(graph, node).is_some_and(|row| matches!(row.adjoint, Adjoint::Zero))
}

/// True if gradients go through a node whose inputs or outputs are codes.
pub(crate) fn passes_codes(graph: &Graph, node: NodeId) -> bool {
    let row = super::find(graph, node);
    row.is_some_and(|row| matches!(row.adjoint, Adjoint::Straight(_) | Adjoint::Viewed))
}

/// True if what a node makes are codes that numbers were rounded to.
pub(crate) fn rounds(graph: &Graph, node: NodeId) -> bool {
    super::find(graph, node).is_some_and(|row| matches!(row.adjoint, Adjoint::Straight(_)))
}

/// The inputs of a node that are measured on data, and not trained.
pub(crate) fn measured_slots(graph: &Graph, node: NodeId) -> &'static [usize] {
    super::find(graph, node).map_or(&[], |row| row.measured)
}

/// The gradients of a node's inputs that need one, from those of its outputs, as new nodes.
///
/// # Errors
/// The reason for which none go through.
pub(crate) fn pull(
    settled: Settled,
    emit: &mut Emitter,
    node: NodeId,
    cotangents: Vec<Option<Array>>,
    needs: Vec<bool>,
) -> Ruling<Vec<(usize, Array)>> {
    let Some(row) = super::find(settled.graph, node) else {
        return Err(Unsupported(super::row::without_row(settled.graph, node)));
    };
    let stands = matches!(row.adjoint, Adjoint::Zero | Adjoint::None(_));
    if !stands && emit.opset() < OLDEST {
        return Err(Unsupported(TOO_OLD));
    }
    let mut backward = Backward {
        emit,
        settled,
        node,
        cotangents,
        needs,
        given: Vec::new(),
    };
    match row.adjoint {
        Adjoint::Unstated => return Err(Unsupported("its operator has no gradient yet")),
        Adjoint::None(why) => return Err(Unsupported(why)),
        Adjoint::Zero => (),
        Adjoint::Viewed => {
            let d = backward.cotangent()?;
            let x = viewed(&mut backward, &d, row.viewing)?;
            backward.give(0, &x)?;
        }
        Adjoint::Slope(slope) => {
            let d = backward.cotangent()?;
            let x = slope(&mut backward, &d)?;
            backward.give(0, &x)?;
        }
        Adjoint::Rule(rule) | Adjoint::Straight(rule) => rule(&mut backward)?,
    }
    Ok(backward.given)
}

/// Makes a node's output by other nodes before it, where these take less time on a processor once its weight is no constant.
/// True if it did: the node is gone then.
pub(crate) fn quicken(settled: Settled, emit: &mut Emitter, node: NodeId) -> bool {
    let proto = settled.graph.node_proto(node);
    if proto.op_type() != "Conv" || !proto.domain().is_empty() {
        return false;
    }
    let mut backward = Backward {
        emit,
        settled,
        node,
        cotangents: Vec::new(),
        needs: Vec::new(),
        given: Vec::new(),
    };
    backward.emit.patch().before(node);
    let Ok(Some(made)) = convolution::quicker(&mut backward) else {
        return false;
    };
    let output = proto.output.first().cloned().unwrap_or_default();
    emit.patch().remove(node);
    let order: Vec<i64> = [0, made.rank() as i64 - 1]
        .into_iter()
        .chain(1..made.rank() as i64 - 1)
        .collect();
    let order = vec![ints("perm", &order)];
    emit.patch()
        .node_as(&output, "Transpose", &[&made.name], order);
    true
}

/// What has to hold for an adjoint to go on, else the reason why it does not.
fn must(holds: bool, why: &'static str) -> Ruling {
    holds.then_some(()).ok_or(Unsupported(why))
}

/// The elements of the output's gradient where the first input has them.
fn viewed(b: &mut Backward, d: &Array, viewing: Option<Viewing>) -> Ruling<Array> {
    let x = b.input(0)?;
    let d = match x.element.is_float() {
        true => b.emit.cast(d, x.element),
        false => d.clone(),
    };
    if viewing != Some(Viewing::Permuted) {
        return Ok(b.emit.reshape(&d, &x.sizes));
    }
    let given = b.proto().ints("perm").map(<[i64]>::to_vec);
    let reversed = || (0..x.rank() as i64).rev().collect();
    let order: Vec<i64> = given.unwrap_or_else(reversed);
    let mut back = vec![0; order.len()];
    for (place, &axis) in order.iter().enumerate() {
        let axis = usize::try_from(axis).ok().filter(|&axis| axis < back.len());
        back[axis.ok_or(Unsupported("its order of axes is none"))?] = place;
    }
    Ok(b.emit.transpose(&d, &back))
}
