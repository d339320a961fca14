//! Switches in front of residual branches: the original with a branch that can be turned off where it is added.
//!
//! What is off counts as 0, whatever the branch computes: it is chosen and not multiplied, so that infinite numbers and
//! those that are none stay out, too. Operator sets that cannot choose have a product instead.

use std::collections::BTreeSet;

use crate::dimensions::{Analysis, Block};
use crate::error::{Error, Result};
use crate::graph::{Graph, Patch, declaration_of};
use crate::onnx::ElementType::{self, Bool};
use crate::onnx::{Model, from_raw, packed};
use crate::runtime::Tensor;

/// Version of the operator set from which Where chooses.
const CHOICE: i64 = 9;

/// A model whose residual branches can be turned off by inputs of its own.
pub(crate) struct SwitchedModel {
    pub(crate) model: Model,
    /// By block the name of its input and the element type.
    inputs: Vec<(String, ElementType)>,
}

impl SwitchedModel {
    /// The inputs with which these blocks are off.
    ///
    /// # Errors
    /// An element type that sessions do not take.
    pub(crate) fn inputs(&self, off: &BTreeSet<usize>) -> Result<Vec<(String, Tensor)>> {
        let inputs = self.inputs.iter().enumerate();
        let tensors = inputs.map(|(place, (name, element))| {
            let on = if off.contains(&place) { 0.0 } else { 1.0 };
            Ok((name.clone(), Tensor::from_f64(*element, &[1], &[on])?))
        });
        tensors.collect()
    }
}

/// The analysed model with a switch for every residual branch.
///
/// # Errors
/// A branch of an element type that has no zero and one, or a result that is no valid graph.
pub(crate) fn with_block_switches(analysis: &Analysis) -> Result<SwitchedModel> {
    let source = analysis.graph();
    let mut patch = Patch::of(source);
    let mut inputs = Vec::new();
    for (place, block) in analysis.blocks().iter().enumerate() {
        let element = switch_element(analysis, block);
        let name = patch.fresh(&format!("secateur.block.{place}"));
        patch.input(declaration_of(&from_raw(&name, element, &[1], Vec::new())));
        switch(analysis, block, &name, &mut patch)?;
        inputs.push((name, element));
    }
    let model = patch.applied(source.model());
    let model = Graph::verified(model, "the model with switches")?.into_model();
    Ok(SwitchedModel { model, inputs })
}

/// Turns a branch off where it is added; other changes of what the sum reads count.
///
/// # Errors
/// As [`with_block_switches`].
pub(super) fn turn_off(analysis: &Analysis, block: &Block, patch: &mut Patch) -> Result<()> {
    let element = switch_element(analysis, block);
    let off = match element {
        Bool => vec![0],
        element => packed(&[0.0], element),
    };
    let off = patch.constant("secateur.off", element, &[1], off);
    switch(analysis, block, &off, patch)
}

/// The element type of a block's switch.
fn switch_element(analysis: &Analysis, block: &Block) -> ElementType {
    match analysis.graph().model().opset() >= CHOICE {
        true => Bool,
        false => element_of(analysis, block),
    }
}

fn element_of(analysis: &Analysis, block: &Block) -> ElementType {
    let element = analysis.state.elements[block.makes.index()];
    element.unwrap_or(ElementType::Float)
}

/// Puts the switch of this name between a branch and the sum.
fn switch(analysis: &Analysis, block: &Block, name: &str, patch: &mut Patch) -> Result<()> {
    let graph = analysis.graph();
    let inputs = graph.node(block.sum).inputs.iter();
    let slot = inputs.enumerate().find_map(|(slot, &value)| {
        let branch = value.is_some_and(|value| value != block.reads);
        branch.then_some(slot)
    });
    let Some((slot, added)) =
        slot.and_then(|slot| Some((slot, patch.reads(graph, block.sum, slot)?)))
    else {
        return Err(Error::plan(format!(
            "block '{}' has no branch that could be turned off",
            block.name
        )));
    };
    patch.before(block.sum);
    let base = format!("{added}.switched");
    let switched = match switch_element(analysis, block) {
        Bool => {
            let element = element_of(analysis, block);
            let zero = patch.constant("secateur.zero", element, &[1], packed(&[0.0], element));
            patch.node(&base, "Where", &[name, &added, &zero], Vec::new())
        }
        _ => patch.node(&base, "Mul", &[&added, name], Vec::new()),
    };
    patch.connect(block.sum, slot, &switched);
    Ok(())
}
