//! The numbers that a twin holds: masks of kept positions, and ratios of how many there were and stay.

use std::collections::HashMap;
use std::sync::Arc;

use crate::axes::{Kept, Type, Types, VarId};
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::graph::Patch;
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, from_raw, packed};
use crate::runtime::Tensor;

/// What a tensor of a twin says of a choice.
enum Meaning {
    /// 1 where a position of the type stays, else 0; of channels by block once for each position of the first axis.
    Positions(Type),
    /// The number of positions over the number of those that stay, of all types together, to this power.
    Ratio(Vec<Type>, f64),
}

/// A form of the model in which types have other handles, and the variable there that stands for one of the model's.
#[derive(Clone)]
pub(super) struct StandIn {
    pub(super) analysis: Arc<Analysis>,
    pub(super) of: VarId,
    pub(super) var: VarId,
}

/// A number, or a list of numbers, of a twin that follows from the choice.
pub(crate) struct MaskInput {
    name: String,
    element: ElementType,
    meaning: Meaning,
    dims: Vec<usize>,
    /// Whose types it speaks of, where these are not the model's.
    pub(super) stand_in: Option<StandIn>,
}

impl MaskInput {
    /// Its name and numbers when `kept` stays.
    ///
    /// # Errors
    /// An element type that sessions do not take.
    pub(crate) fn tensor(&self, analysis: &Analysis, kept: &Kept) -> Result<(String, Tensor)> {
        let numbers = match &self.stand_in {
            None => self.numbers(analysis, kept),
            Some(own) => {
                let mut there = own.analysis.everything();
                if let Some(positions) = analysis.state.types.positions(kept, own.of) {
                    there.insert(own.var, positions.clone());
                }
                self.numbers(&own.analysis, &there)
            }
        };
        let tensor = Tensor::from_f64(self.element, &self.dims, &numbers)?;
        Ok((self.name.clone(), tensor))
    }

    fn numbers(&self, analysis: &Analysis, kept: &Kept) -> Vec<f64> {
        let types = &analysis.state.types;
        match &self.meaning {
            Meaning::Positions(ty) => {
                let mut numbers = vec![0.0; self.dims.iter().product()];
                for place in kept_places(types, ty, kept, self.dims[0]) {
                    numbers[place as usize] = 1.0;
                }
                numbers
            }
            Meaning::Ratio(of, power) => {
                let ratio = of.iter().map(|ty| {
                    let open = types.open_axis(ty).map(|open| open.channels);
                    let ty = open.as_ref().unwrap_or(ty);
                    let stay = types.kept_extent(ty, kept).known().unwrap_or(1);
                    f64::from(types.size(ty)) / stay as f64
                });
                vec![ratio.product::<f64>().powf(*power)]
            }
        }
    }
}

/// The places of the positions of a type that stay in its mask; of a block axis, which looks different at each of these
/// rows, in one row after the other.
fn kept_places(types: &Types, ty: &Type, kept: &Kept, rows: usize) -> Vec<u32> {
    let Type::Block { of, blocks } = types.normal(ty) else {
        return types.kept_positions(ty, kept);
    };
    let per_block = types.kept_per_block(&of, blocks, kept);
    let (size, height) = (types.size(ty), (rows / blocks.max(1)).max(1));
    let own = (0..rows).zip(0_u32..);
    let own = own.filter_map(|(row, place)| Some((place, per_block.get(row / height)?)));
    own.flat_map(|(row, block)| block.iter().map(move |place| row * size + place))
        .collect()
}

/// What a tensor says: the places that stay in it, its dims, its element type.
type MaskKey = (Vec<u32>, Vec<usize>, ElementType);

/// All numbers of a twin.
#[derive(Default)]
pub(super) struct TwinMasks {
    known: HashMap<MaskKey, String>,
    pub(super) tensors: Vec<TensorProto>,
    /// As the tensors.
    pub(super) inputs: Vec<MaskInput>,
}

impl TwinMasks {
    /// The name of a mask of the positions that stay along one of these axes.
    pub(super) fn positions(
        &mut self,
        (analysis, kept): (&Analysis, &Kept),
        patch: &mut Patch,
        (axes, axis): (&[Type], usize),
        element: ElementType,
    ) -> Result<String> {
        let types = &analysis.state.types;
        let ty = &axes[axis];
        let mut dims = vec![types.size(ty) as usize];
        dims.resize(axes.len() - axis, 1);
        if matches!(types.normal(ty), Type::Block { .. }) {
            dims.insert(0, types.size(&axes[0]) as usize);
        }
        let key = (kept_places(types, ty, kept, dims[0]), dims.clone(), element);
        if let Some(name) = self.known.get(&key) {
            return Ok(name.clone());
        }
        let meaning = Meaning::Positions(ty.clone());
        let name = self.add((analysis, kept), patch, element, (meaning, dims))?;
        self.known.insert(key, name.clone());
        Ok(name)
    }

    /// The name of how many positions of all these types there were for each that stays, to this power.
    pub(super) fn ratio(
        &mut self,
        choice: (&Analysis, &Kept),
        patch: &mut Patch,
        of: &[&Type],
        (power, element): (f64, ElementType),
    ) -> Result<String> {
        let of = of.iter().map(|&ty| ty.clone()).collect();
        self.add(choice, patch, element, (Meaning::Ratio(of, power), vec![1]))
    }

    fn add(
        &mut self,
        (analysis, kept): (&Analysis, &Kept),
        patch: &mut Patch,
        element: ElementType,
        (meaning, dims): (Meaning, Vec<usize>),
    ) -> Result<String> {
        let name = patch.fresh(&format!("secateur.mask.{}", self.tensors.len()));
        if !element.is_float() {
            let reason = format!("a twin has no mask of element type {element}");
            return Err(Error::tensor(&name, reason));
        }
        let made = MaskInput {
            name: name.clone(),
            element,
            meaning,
            dims,
            stand_in: None,
        };
        let numbers = made.numbers(analysis, kept);
        let numbers: Vec<f32> = numbers.into_iter().map(|number| number as f32).collect();
        let bytes = packed(&numbers, element);
        self.tensors
            .push(from_raw(&name, element, &made.dims, bytes));
        self.inputs.push(made);
        Ok(name)
    }
}
