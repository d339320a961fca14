//! The masked twin: the original with 0/1 masks multiplied into what is read of pruned dimensions.
//!
//! What holds at every value, by induction over the nodes: at the positions that stay the twin has the numbers of the
//! pruned model, and at the others some number or other. A node that treats each position for itself passes this on. One that
//! sums over a dimension reads 0 where a position is removed, which adds nothing (`contract` in its rule). One in which
//! channels meet otherwise reads what does not count there, and its result is put right where numbers are counted
//! (`mixes` in its rule, [`statistics`]). A residual branch that is dropped is turned off where it is added (`switch`): what is
//! left of the sum is what the branch reads.

mod codes;
mod masks;
mod open;
mod signature;
mod statistics;

use std::collections::HashMap;
use std::sync::Arc;

use super::expand::expanded;
use super::switch::turn_off;
use crate::axes::Kept;
use crate::dimensions::{Analysis, Dimension};
use crate::error::Result;
use crate::graph::{BodyId, Graph, NodeId, Patch, ValueId, declaration_of};
use crate::onnx::{ElementType, Model};
use crate::ops::Contraction;
use crate::plan::Plan;

pub(crate) use masks::MaskInput;
use masks::{StandIn, TwinMasks};
pub(super) use signature::{chosen, declared_narrow, gathered, narrow_axes, narrowed};
use statistics::Neutral;

/// Where the masks of a twin stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Masks {
    /// In initializers: the twin runs like the original.
    Initializers,
    /// In graph inputs: the twin runs any plan over the same dimensions.
    Inputs,
}

/// The masked twin of the analysed model under `plan`.
///
/// # Errors
/// The plan does not fit the model, or a masked value has an element type without a zero and a one.
pub fn twin(analysis: &Analysis, plan: &Plan, masks: Masks) -> Result<Model> {
    let kept = plan.kept(analysis)?;
    let (model, _) = match expanded(analysis, &kept)? {
        Some((bodies, kept)) => masked(&bodies, &kept, masks)?,
        None => masked(analysis, &kept, masks)?,
    };
    if masks == Masks::Inputs {
        return Ok(model);
    }
    Ok(narrowed(
        analysis,
        &kept,
        Graph::verified(model, "the masked twin")?,
    ))
}

/// The twin that masks one dimension by graph inputs, and those inputs.
///
/// # Errors
/// A masked value that has an element type without a zero and a one.
pub(crate) fn instrument(
    analysis: &Analysis,
    dimension: &Dimension,
) -> Result<(Model, Vec<MaskInput>)> {
    let mut kept = analysis.everything();
    kept.insert(dimension.var, Arc::from_iter(1..dimension.size as u32));
    let bodies = expanded(analysis, &kept)?;
    let there = |(bodies, kept): (Analysis, Kept)| {
        let var = kept.vars().next();
        var.map(|var| (var, bodies, kept))
    };
    let Some((var, bodies, kept)) = bodies.and_then(there) else {
        return masked(analysis, &kept, Masks::Inputs);
    };
    let (model, mut inputs) = masked(&bodies, &kept, Masks::Inputs)?;
    let own = StandIn {
        analysis: Arc::new(bodies),
        of: dimension.var,
        var,
    };
    for input in &mut inputs {
        input.stand_in = Some(own.clone());
    }
    Ok((model, inputs))
}

fn masked(analysis: &Analysis, kept: &Kept, masks: Masks) -> Result<(Model, Vec<MaskInput>)> {
    let source = analysis.graph();
    let mut builder = TwinBuilder {
        analysis,
        kept,
        patch: Patch::of(source),
        body: None,
        masks: TwinMasks::default(),
        open: HashMap::new(),
        infinite: false,
        flags: HashMap::new(),
        masked: HashMap::new(),
    };
    // In the order of the graph: what is corrected behind a node is there for those that read it.
    for &node in &analysis.state.typed {
        builder.body = source.body_of(node);
        for contraction in analysis.state.contractions_of(node) {
            builder.mask_at(contraction)?;
        }
        for mix in analysis.state.mixes_of(node) {
            builder.correct(mix)?;
        }
    }
    for block in analysis.dropped_blocks(kept) {
        turn_off(analysis, block, &mut builder.patch)?;
    }
    let TwinBuilder {
        mut patch,
        masks: made,
        ..
    } = builder;
    let TwinMasks {
        tensors, inputs, ..
    } = made;
    if masks == Masks::Inputs {
        tensors
            .iter()
            .for_each(|tensor| patch.input(declaration_of(tensor)));
    }
    let mut proto = source.model().proto.clone();
    let graph = proto.graph.get_or_insert_default();
    patch.apply(graph);
    if masks == Masks::Initializers {
        graph.initializer.extend(tensors);
    }
    let model = source.model().with(proto, source.model().lazy.clone());
    let model = Graph::verified(model, "the masked twin")?.into_model();
    Ok((model, inputs))
}

/// A body, and the names of a value there and of its mask.
type MaskedKey = (Option<BodyId>, String, String);

struct TwinBuilder<'a> {
    analysis: &'a Analysis,
    kept: &'a Kept,
    patch: Patch,
    /// The body in which new nodes stand: what is made there is seen there alone.
    body: Option<BodyId>,
    masks: TwinMasks,
    /// By body, value, axis and element type the mask along an axis of unknown size.
    open: HashMap<(Option<BodyId>, ValueId, usize, ElementType), String>,
    /// Whether a share of 0, of which a logarithm is infinite, stands for anything.
    infinite: bool,
    /// By mask its flags.
    flags: HashMap<String, String>,
    /// By body, value and mask: the masked value.
    masked: HashMap<MaskedKey, String>,
}

impl TwinBuilder<'_> {
    /// Lets a node read a value masked along the axis that it sums over; it may be masked along others.
    fn mask_at(&mut self, at: &Contraction) -> Result<()> {
        let value = self.analysis.graph().node(at.node).input(at.slot);
        let axes = value.and_then(|value| Some((value, self.analysis.state.axes(value)?)));
        let Some((value, axes)) = axes else {
            return Ok(());
        };
        let ty = &axes[at.axis];
        if !self.analysis.state.types.is_pruned(ty, self.kept) {
            return Ok(());
        }
        let element = self.element(value);
        if !element.is_float()
            && let Some(zero) = at.zero
            && self.analysis.graph().node(at.node).input(zero).is_some()
        {
            return self.fill_codes((at.node, at.slot), value, at.axis, zero);
        }
        // No product makes 0 of what is infinite.
        if !element.is_float() || self.infinite {
            return self.fill_at((at.node, at.slot), value, at.axis, Neutral::Zero);
        }
        let Some(input) = self.patch.reads(self.analysis.graph(), at.node, at.slot) else {
            return Ok(());
        };
        let mask = self.mask_of(value, at.axis)?;
        let key = (self.body, input, mask);
        if self.reuse((at.node, at.slot), &key) {
            return Ok(());
        }
        self.patch.before(at.node);
        let (_, input, mask) = &key;
        let base = format!("{input}.masked");
        let name = self.patch.node(&base, "Mul", &[input, mask], Vec::new());
        self.patch.connect(at.node, at.slot, &name);
        self.masked.insert(key, name);
        Ok(())
    }

    /// Lets a node read a value that was masked like this for another; false where there is none.
    fn reuse(&mut self, (node, slot): (NodeId, usize), key: &MaskedKey) -> bool {
        let Some(name) = self.masked.get(key) else {
            return false;
        };
        self.patch.advance(name, node);
        self.patch.connect(node, slot, name);
        true
    }

    fn element(&self, value: ValueId) -> ElementType {
        self.analysis.state.elements[value.index()].unwrap_or(ElementType::Float)
    }
}
