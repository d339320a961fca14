//! The masked twin: the original with 0/1 masks multiplied into what is read of pruned dimensions.
//!
//! For dimensions that are not mixing the twin computes what the pruned model must compute, by
//! construction: a masked channel adds nothing wherever it is summed over, and channels meet nowhere else. A residual
//! branch that is dropped is turned off where it is added (`switch`): what is left of the sum is what the branch reads.

use std::collections::HashMap;
use std::sync::Arc;

use super::switch::turn_off;
use crate::axes::{Kept, Type};
use crate::dimensions::{Analysis, Dimension};
use crate::error::{Error, Result};
use crate::graph::{Graph, Patch, ValueId, declaration_of};
use crate::onnx::{ElementType, Model, from_raw};
use crate::ops::Contraction;
use crate::plan::Plan;
use crate::runtime::Tensor;

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
    Ok(masked(analysis, &plan.kept(analysis)?, masks)?.0)
}

/// A mask of a twin.
pub(crate) struct MaskInput {
    name: String,
    element: ElementType,
    /// The type of the axis that is masked.
    ty: Type,
    dims: Vec<usize>,
}

impl MaskInput {
    /// Its name and numbers when `kept` stays.
    ///
    /// # Errors
    /// An element type that sessions do not take.
    pub(crate) fn tensor(&self, analysis: &Analysis, kept: &Kept) -> Result<(String, Tensor)> {
        let types = &analysis.state.types;
        let mut numbers = vec![0.0; types.size(&self.ty) as usize];
        for position in types.kept_positions(&self.ty, kept) {
            numbers[position as usize] = 1.0;
        }
        let tensor = Tensor::from_f64(self.element, &self.dims, &numbers)?;
        Ok((self.name.clone(), tensor))
    }
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
    masked(analysis, &kept, Masks::Inputs)
}

fn masked(analysis: &Analysis, kept: &Kept, masks: Masks) -> Result<(Model, Vec<MaskInput>)> {
    let source = analysis.graph();
    let mut builder = TwinBuilder {
        analysis,
        kept,
        patch: Patch::of(source),
        masks: HashMap::new(),
        tensors: Vec::new(),
        inputs: Vec::new(),
        masked: HashMap::new(),
    };
    for contraction in analysis.state.contractions() {
        let value = source.node(contraction.node).input(contraction.slot);
        let axes = value.and_then(|value| Some((value, analysis.state.axes(value)?)));
        let Some((value, axes)) = axes else { continue };
        if analysis
            .state
            .types
            .is_pruned(&axes[contraction.axis], kept)
        {
            builder.mask_at(contraction, value, axes)?;
        }
    }
    for block in analysis.dropped_blocks(kept) {
        turn_off(analysis, block, &mut builder.patch)?;
    }
    let TwinBuilder {
        mut patch,
        tensors,
        inputs,
        ..
    } = builder;
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

/// A mask: kept positions, size, axes behind, element type.
type MaskKey = (Vec<u32>, u32, usize, ElementType);

struct TwinBuilder<'a> {
    analysis: &'a Analysis,
    kept: &'a Kept,
    patch: Patch,
    masks: HashMap<MaskKey, String>,
    tensors: Vec<crate::onnx::proto::TensorProto>,
    /// As the tensors.
    inputs: Vec<MaskInput>,
    /// By value and mask: the masked value.
    masked: HashMap<(String, String), String>,
}

impl TwinBuilder<'_> {
    /// Lets a node read `value` masked along the axis that it sums over; it may be masked along others.
    fn mask_at(&mut self, at: &Contraction, value: ValueId, axes: &[Type]) -> Result<()> {
        let Some(input) = self.patch.reads(self.analysis.graph(), at.node, at.slot) else {
            return Ok(());
        };
        let element = self.analysis.state.elements[value.index()].unwrap_or(ElementType::Float);
        let behind = axes.len() - at.axis - 1;
        let mask = self.mask(&axes[at.axis], behind, element, &input)?;
        let key = (input.clone(), mask.clone());
        let name = match self.masked.get(&key) {
            Some(name) => {
                self.patch.advance(name, at.node);
                name.clone()
            }
            None => {
                self.patch.before(at.node);
                let base = format!("{input}.masked");
                let name = self.patch.node(&base, "Mul", &[&input, &mask], Vec::new());
                self.masked.insert(key, name.clone());
                name
            }
        };
        self.patch.connect(at.node, at.slot, &name);
        Ok(())
    }

    fn mask(
        &mut self,
        ty: &Type,
        behind: usize,
        element: ElementType,
        input: &str,
    ) -> Result<String> {
        let types = &self.analysis.state.types;
        let (positions, size) = (types.kept_positions(ty, self.kept), types.size(ty));
        let key = (positions, size, behind, element);
        if let Some(name) = self.masks.get(&key) {
            return Ok(name.clone());
        }
        let (zero, one): (Vec<u8>, Vec<u8>) = match element {
            ElementType::Float => (vec![0; 4], 1.0_f32.to_le_bytes().into()),
            ElementType::Double => (vec![0; 8], 1.0_f64.to_le_bytes().into()),
            ElementType::Float16 => (vec![0; 2], half::f16::ONE.to_le_bytes().into()),
            ElementType::Bfloat16 => (vec![0; 2], half::bf16::ONE.to_le_bytes().into()),
            other => {
                let reason = format!(
                    "has element type {other}, which a twin cannot mask; run with `proof` skipped"
                );
                return Err(Error::tensor(input, reason));
            }
        };
        let mut kept = key.0.iter().peekable();
        let bytes: Vec<u8> = (0..size)
            .flat_map(|position| match kept.next_if(|&&kept| kept == position) {
                Some(_) => one.clone(),
                None => zero.clone(),
            })
            .collect();
        let mut dims = vec![size as usize];
        dims.resize(behind + 1, 1);
        let name = self
            .patch
            .fresh(&format!("secateur.mask.{}", self.masks.len()));
        self.tensors.push(from_raw(&name, element, &dims, bytes));
        self.inputs.push(MaskInput {
            name: name.clone(),
            element,
            ty: ty.clone(),
            dims,
        });
        self.masks.insert(key, name.clone());
        Ok(name)
    }
}
