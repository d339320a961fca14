//! The constants that can be stored in fewer bytes, and what each becomes.

use super::grids::{BLOCK, GridRows, nearest_blocks};
use super::{HalfType, StoredBits};
use crate::algebra::Codes;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::{Graph, NodeId, ValueId};
use crate::layers::{Layer, Layers, LeftWeight};
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, packed, to_f32};
use crate::ops::{Form, Operand, Role, find};
use crate::patterns::Patterns;
use crate::recover::LayerCodes;
use crate::rewrite::{Edit, StoredForm, StoredWeight, by_column};

/// Tables of fewer numbers are left as they are.
const LEAST: usize = 1024;
/// A constant with a larger number masks something, and is no weight.
const MOST: f32 = 1e3;

/// Constants by name with why they stay real.
pub(super) type Reasons = Vec<(String, String)>;

/// A constant that is stored as codes.
#[derive(Clone)]
pub(super) struct StorageTarget {
    pub(super) name: String,
    /// Number of its elements.
    pub(super) count: usize,
    /// Size of its last axis.
    last: usize,
    /// The layer whose rows have a scale each; without, all that the last axis holds has one.
    pub(super) layer: Option<Layer>,
    /// True if an operator of onnxruntime can read it in blocks of codes.
    pub(super) blocked: bool,
    /// True if all that reads it looks its rows up.
    is_table: bool,
}

/// What becomes of a constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum StoredWidth {
    /// Numbers of 16 bits.
    Half(HalfType),
    /// Codes, in blocks or with a step for each row.
    Bits(StoredBits, bool),
}

impl Default for StoredWidth {
    fn default() -> StoredWidth {
        StoredWidth::Bits(StoredBits::Eight, false)
    }
}

/// The constants that are stored as codes, and why others are not.
pub(super) fn targets(
    analysis: &Analysis,
    kept: &Patterns<'_>,
    half: Option<HalfType>,
) -> Result<(Vec<StorageTarget>, Reasons)> {
    let graph = analysis.graph();
    let fixed = graph.fixed_nodes();
    let found = Layers::of(analysis);
    let (mut targets, mut real) = (Vec::new(), Vec::new());
    let mut decide = |name: &str, value, layer: Option<Layer>| -> Result<()> {
        let why = match kept.matched(&[name]) {
            Some(_) => Some("is kept, as asked"),
            None => stays_real(graph, value, (layer.as_ref(), half))?,
        };
        let name = name.to_owned();
        if let Some(why) = why {
            real.push((name, why.to_owned()));
            return Ok(());
        }
        let tensor = graph.constant(value);
        let sizes = tensor.map_or(&[][..], |tensor| &tensor.dims);
        targets.push(StorageTarget {
            name,
            count: sizes.iter().product::<i64>() as usize,
            last: sizes.last().map_or(1, |&size| size as usize),
            blocked: layer
                .as_ref()
                .is_some_and(|of| is_blocked(analysis, of, &fixed)),
            is_table: is_table(analysis, value),
            layer,
        });
        Ok(())
    };
    for layer in found.layers {
        let (name, value) = (layer.name.clone(), layer.value);
        decide(&name, value, Some(layer))?;
    }
    for LeftWeight { name, value, .. } in found.left {
        if graph.constant(value).is_some_and(is_large) {
            decide(&name, value, None)?;
        }
    }
    Ok((targets, real))
}

/// Why the first few of these stay real, and how many more do; nothing where there are none.
pub(super) fn first_of(real: &[(String, String)]) -> Option<String> {
    const SHOWN: usize = 3;
    let first = real.iter().take(SHOWN);
    let mut why: Vec<String> = first.map(|(name, why)| format!("'{name}' {why}")).collect();
    if real.len() > SHOWN {
        why.push(format!("and {} more", real.len() - SHOWN));
    }
    (!why.is_empty()).then(|| why.join("; "))
}

/// True for a table or more that is worth a scale for each row; others are no weights to speak of.
fn is_large(tensor: &TensorProto) -> bool {
    let count: i64 = tensor.dims.iter().product();
    tensor.dims.len() >= 2 && count as usize >= LEAST
}

/// Why a constant is not stored as codes.
fn stays_real(
    graph: &Graph,
    value: ValueId,
    (layer, half): (Option<&Layer>, Option<HalfType>),
) -> Result<Option<&'static str>> {
    let Some(tensor) = graph.constant(value) else {
        return Ok(Some("is no constant"));
    };
    let known = graph.value(value);
    if known.body.is_some() {
        return Ok(Some("stands in the body of a node"));
    }
    if graph.element(value) != Some(ElementType::Float) {
        return Ok(Some("has numbers of another type than float32"));
    }
    let inputs = &graph.proto().input;
    let listed = inputs.iter().any(|input| input.name() == known.name);
    if listed || known.is_output || graph.is_captured(value) {
        return Ok(Some(
            "is an input or output as well, or read inside another graph",
        ));
    }
    let numbers = to_f32(tensor)?;
    if numbers.iter().any(|number| !number.is_finite()) {
        return Ok(Some(
            "has numbers that are NaN or infinite: repair the model",
        ));
    }
    if let Some(half) = half
        && !half.holds(&numbers)
    {
        return Ok(Some(
            "has numbers that 16 bits do not hold: too large or too small",
        ));
    }
    if layer.is_some() {
        return Ok(None);
    }
    let masks = numbers.iter().any(|number| number.abs() > MOST);
    Ok(masks.then_some("has numbers that are no weights"))
}

/// True if all that reads a constant selects positions of its first axis.
fn is_table(analysis: &Analysis, table: ValueId) -> bool {
    let looks = |&(node, slot): &(NodeId, usize)| {
        let mut lookups = analysis.state.lookups_of(node);
        slot == 0 && lookups.any(|lookup| lookup.axis == 0)
    };
    let graph = analysis.graph();
    graph.value(table).consumers.iter().all(looks)
}

/// True if an operator that reads blocks of codes can take the place of a layer's.
fn is_blocked(analysis: &Analysis, layer: &Layer, fixed: &[bool]) -> bool {
    let [linear] = &layer.uses[..] else {
        return false;
    };
    let graph = analysis.graph();
    let summed = find(graph, linear.node).is_some_and(|row| row.form == Form::Summed);
    let direct = graph.node(linear.node).input(linear.slot) == Some(layer.value);
    let rank = |value: Option<ValueId>| value.and_then(|value| analysis.state.axes(value));
    let rank = |value| rank(value).map(<[_]>::len);
    let (Some(Operand::Input(data)), 2) = (linear.data, layer.dims.len()) else {
        return false;
    };
    let data = graph.node(linear.node).input(data);
    if data.is_none_or(|data| graph.is_fixed(data, fixed)) {
        return false;
    }
    let read = rank(data);
    let made = rank(graph.node(linear.node).output(0));
    let fits = |role: &Role| match *role {
        Role::Reduction(axis) => read == Some(axis + 1),
        Role::Row(axis) => made == axis.map(|axis| axis + 1),
        _ => false,
    };
    let whole = linear.bias.is_none_or(|bias| bias.parts == 1);
    let unscaled = linear.scales == [1.0; 2];
    summed && direct && whole && unscaled && linear.roles.iter().all(fits)
}

impl StorageTarget {
    /// Bits in the file, with the steps and what makes numbers of them again.
    pub(super) fn bits(&self, width: StoredWidth) -> f64 {
        // Nodes, names and small constants, as they are written.
        const NODES: [f64; 2] = [8.0 * 130.0, 8.0 * 400.0];
        let rows = match &self.layer {
            Some(layer) => layer.rows() * layer.batches(),
            None => self.count / self.last.max(1),
        };
        let (form, nodes) = match width {
            StoredWidth::Half(half) => (StoredForm::Half(half.element()), NODES[0]),
            StoredWidth::Bits(StoredBits::Eight, _) => (StoredForm::Codes, NODES[0]),
            StoredWidth::Bits(bits, _) => (bits.form(), NODES[1]),
        };
        self.count as f64 * form.bits() + rows as f64 * 32.0 + nodes
    }

    /// The constant rounded to what is nearest.
    pub(super) fn nearest(
        &self,
        graph: &Graph,
        bits: StoredBits,
    ) -> Result<Option<(ValueId, Edit)>> {
        let stored = self.stored(graph, (StoredWidth::Bits(bits, false), None))?;
        Ok(stored.map(|(value, _, numbers)| {
            let bytes = packed(&numbers, ElementType::Float);
            (value, Edit::Bytes(bytes.into()))
        }))
    }

    /// The codes that data says how to choose.
    pub(super) fn codes(&self, width: StoredWidth) -> Option<(String, LayerCodes)> {
        let StoredWidth::Bits(bits, blocked) = width else {
            return None;
        };
        self.layer.as_ref()?;
        let by_row = LayerCodes::by_row(bits.codes());
        let block = if blocked { BLOCK } else { by_row.block };
        Some((self.name.clone(), LayerCodes { block, ..by_row }))
    }

    /// The same in a changed model, whose layers these are.
    pub(super) fn among(&self, layers: &[Layer]) -> StorageTarget {
        let mut layers = layers.iter();
        StorageTarget {
            layer: layers.find(|layer| layer.name == self.name).cloned(),
            ..self.clone()
        }
    }

    /// The constant as it is stored, and the numbers that are loaded.
    pub(super) fn stored(
        &self,
        graph: &Graph,
        (width, steps): (StoredWidth, Option<&Vec<f32>>),
    ) -> Result<Option<(ValueId, StoredWeight, Vec<f32>)>> {
        let found = graph.find(&self.name);
        let Some((value, tensor)) = found.and_then(|value| Some((value, graph.constant(value)?)))
        else {
            return Ok(None);
        };
        let dims: Vec<usize> = tensor.dims.iter().map(|&size| size as usize).collect();
        let numbers = to_f32(tensor)?;
        let weight = |sizes, steps, form| StoredWeight {
            name: self.name.clone(),
            sizes,
            steps,
            form,
        };
        let (bits, blocked) = match width {
            StoredWidth::Bits(bits, blocked) => (bits, blocked),
            StoredWidth::Half(half) => {
                let weight = weight(Vec::new(), Vec::new(), StoredForm::Half(half.element()));
                return Ok(Some((value, weight, half.rounded(&numbers))));
            }
        };
        let found = (numbers, steps);
        let (planned, weight) = match (blocked, &self.layer) {
            (true, Some(layer)) => {
                let (planned, steps) = blocks(layer, found, bits.codes());
                let form = StoredForm::Blocks {
                    layer: Box::new(layer.clone()),
                    columns: BLOCK,
                };
                (planned, weight(Vec::new(), steps, form))
            }
            _ => {
                let (planned, sizes, steps) = self.by_row(&dims, found, bits.codes());
                let form = match self.is_table && bits == StoredBits::Eight {
                    true => StoredForm::Table,
                    false => bits.form(),
                };
                (planned, weight(sizes, steps, form))
            }
        };
        Ok(Some((value, weight, planned)))
    }

    /// Numbers on the grids of their rows, the sizes of the steps' axes, and the steps.
    fn by_row(
        &self,
        dims: &[usize],
        (numbers, steps): (Vec<f32>, Option<&Vec<f32>>),
        codes: Codes,
    ) -> (Vec<f32>, Vec<usize>, Vec<f32>) {
        let rows = GridRows::of(self.layer.as_ref(), dims);
        let steps = match (steps, &self.layer) {
            (Some(steps), Some(layer)) => rows.steps_of(layer, steps),
            _ => rows.nearest(&numbers, codes),
        };
        let pairs = numbers.iter().zip(&rows.row);
        let planned = pairs.map(|(&number, &row)| codes.stands_for(number, steps[row]));
        (planned.collect(), rows.sizes, steps)
    }
}

/// Numbers on the grids of blocks of columns, and the steps of these, row by row.
fn blocks(
    layer: &Layer,
    (numbers, steps): (Vec<f32>, Option<&Vec<f32>>),
    codes: Codes,
) -> (Vec<f32>, Vec<f32>) {
    let matrix = layer.gather(&numbers);
    let steps = match steps {
        Some(steps) => steps.clone(),
        None => nearest_blocks(&matrix, layer.columns(), codes),
    };
    let by_column = by_column(&steps, layer.columns(), BLOCK).into_iter();
    let pairs = matrix.into_iter().zip(by_column);
    let planned = pairs.map(|(number, step)| codes.stands_for(number, step));
    let planned: Vec<f32> = planned.collect();
    (layer.scatter(&planned), steps)
}

impl StoredBits {
    fn form(self) -> StoredForm {
        match self {
            StoredBits::Eight => StoredForm::Codes,
            _ => StoredForm::Digits {
                limit: self.codes().limit,
            },
        }
    }
}
