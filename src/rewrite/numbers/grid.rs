//! The numbers that a constant of codes can stand for, and which of them it does.

use crate::error::Result;
use crate::graph::{Graph, NodeId, ValueId};
use crate::onnx::proto::TensorProto;
use crate::onnx::{
    ElementType, element_count, from_raw, pack, packed, packed_bytes, to_f32, unpacked,
};
use crate::ops::{BlockCodes, CodedSlot, ZeroCodes};

/// Codes above which a weight is none of few bits: what rounds sums.
const WIDE: u32 = 16;

/// What steps have to grow by before they do: quotients of 32-bit numbers tell no less.
const WIDER: f32 = 1.0 + 1e-5;
/// What makes a number of the coarsest type the next one.
const COARSEST: f32 = 1.0 + 1.0 / 128.0;

/// The number of a type that is at least as large as a step, if that is no more than the type tells apart.
fn stored(step: f32, element: ElementType) -> f32 {
    let nearest = |step: f32| {
        let tensor = from_raw("", element, &[1], packed(&[step], element));
        to_f32(&tensor).map_or(step, |of| of.first().copied().unwrap_or(step))
    };
    match nearest(step) {
        own if own.abs() >= step.abs() => own,
        own => nearest(own * COARSEST),
    }
}

/// A constant of codes: element by element `(code - zero) * step`.
#[derive(Clone, Debug)]
pub(crate) struct CodeGrid {
    /// The name of the codes.
    pub(crate) name: String,
    pub(super) codes: ValueId,
    element: ElementType,
    /// Bits of a code where several stand in a byte of the element type.
    packed: Option<u32>,
    dims: Vec<usize>,
    /// By element the place of its step.
    groups: Vec<u32>,
    steps: Vec<f32>,
    /// One, or one for each step.
    zeros: Vec<f32>,
    numbers: Vec<f32>,
    /// Where the steps stand; none where they follow from others.
    pub(super) scale: Option<ValueId>,
    scale_type: ElementType,
    /// Whether they may change.
    own: bool,
}

/// What the codes of layers may become while these are rounded, by element.
#[derive(Clone, Debug)]
pub(crate) struct ElementSteps {
    pub(crate) steps: Vec<f32>,
    /// Codes less the zero point: the least and the largest.
    pub(crate) ranges: Vec<[f32; 2]>,
}

/// The inputs of a node that make numbers of its codes.
pub(super) struct CodeSource<'a> {
    pub(super) graph: &'a Graph,
    pub(super) node: NodeId,
}

/// A place of 32 bits: constants of more elements are not put on numbers.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// True if a value is read once and by nothing else, and so may be changed for its reader.
pub(super) fn is_owned(graph: &Graph, value: ValueId) -> bool {
    let known = graph.value(value);
    known.consumers.len() == 1 && !known.is_output && !graph.is_captured(value)
}

impl CodeSource<'_> {
    fn constant(&self, slot: usize) -> Option<(ValueId, &TensorProto)> {
        let value = self.graph.node(self.node).input(slot)?;
        Some((value, self.graph.constant(value)?))
    }

    /// True if a scale may be changed: it is of these codes alone.
    fn is_own_scale(&self, scale: ValueId, tensor: &TensorProto) -> bool {
        let real = ElementType::of(tensor.data_type()).is_some_and(ElementType::is_float);
        real && is_owned(self.graph, scale)
    }

    /// Codes that only this node reads, and their integers.
    fn codes(&self, slot: usize) -> Result<Option<(ValueId, &TensorProto, Vec<f32>)>> {
        let Some((value, tensor)) = self.constant(slot) else {
            return Ok(None);
        };
        let element = ElementType::of(tensor.data_type());
        let is_code = element.is_some_and(|of| !of.is_float() && of.bits() <= 32);
        let many = u32::try_from(element_count(tensor)?).is_err();
        if !is_code || many || !is_owned(self.graph, value) {
            return Ok(None);
        }
        Ok(Some((value, tensor, to_f32(tensor)?)))
    }

    /// Codes with one step, or one for each position of an axis; none where they are no constants of this form.
    ///
    /// # Errors
    /// Elements that are no real numbers.
    pub(super) fn along(&self, own: CodedSlot) -> Result<Option<CodeGrid>> {
        let Some((scale, tensor)) = own.scale.and_then(|slot| self.constant(slot)) else {
            return Ok(None);
        };
        let steps = to_f32(tensor)?;
        let (count, is_own) = (steps.len(), self.is_own_scale(scale, tensor));
        let grid = self.with_steps(own, steps)?;
        Ok(grid.map(|grid| {
            let alone = grid.steps.len() == count;
            grid.stepping((scale, tensor), is_own && alone)
        }))
    }

    /// As [`CodeSource::along`], with steps that stand elsewhere.
    pub(super) fn with_steps(&self, own: CodedSlot, steps: Vec<f32>) -> Result<Option<CodeGrid>> {
        let Some((codes, tensor, integers)) = self.codes(own.codes)? else {
            return Ok(None);
        };
        let zeros = match own.zero.map(|slot| (slot, self.constant(slot))) {
            Some((_, Some((_, zeros)))) => to_f32(zeros)?,
            Some((slot, None)) if self.graph.node(self.node).input(slot).is_some() => {
                return Ok(None);
            }
            _ => vec![0.0],
        };
        let dims: Vec<usize> = tensor.dims.iter().map(|&dim| dim as usize).collect();
        let rank = dims.len() as i64;
        let axis = own.axis.unwrap_or(0);
        let axis = if axis < 0 { axis + rank } else { axis };
        let Ok(axis) = usize::try_from(axis) else {
            return Ok(None);
        };
        let size = dims.get(axis).copied().unwrap_or(1);
        let inner: usize = dims.iter().skip(axis + 1).product();
        let group = |at: usize| at / inner.max(1) % size.max(1);
        let count = steps.len().max(zeros.len());
        if ![1, size].contains(&count) || ![1, count].contains(&steps.len()) {
            return Ok(None);
        }
        let spread = match steps.len() {
            1 => vec![steps[0]; count],
            _ => steps,
        };
        let groups = (0..integers.len()).map(|at| if count == 1 { 0 } else { place(group(at)) });
        Ok(self.grid(
            (codes, tensor),
            dims,
            (groups.collect(), integers),
            (spread, zeros),
        ))
    }

    /// Codes with a step for each block, one to an element of the tensor.
    pub(super) fn in_blocks(&self, of: &BlockCodes, sizes: &[usize]) -> Result<Option<CodeGrid>> {
        let Some((scale, scales)) = self.constant(of.scales) else {
            return Ok(None);
        };
        let Some((codes, tensor, mut integers)) = self.codes(of.codes.0)? else {
            return Ok(None);
        };
        let bits = of.codes.1.and_then(|bits| u32::try_from(bits).ok());
        if let Some(bits) = bits {
            let bytes = packed_bytes(tensor)?;
            let all = unpacked(&bytes, bits, bytes.len() * 8 / bits.max(1) as usize);
            integers = all.into_iter().map(f32::from).collect();
        }
        let zeros = match of.zeros {
            ZeroCodes::Always(zero) => vec![zero],
            ZeroCodes::At(slot) => match self.constant(slot) {
                Some((_, zeros)) => to_f32(zeros)?,
                None => return Ok(None),
            },
            ZeroCodes::Packed(slot, row) | ZeroCodes::Repacked(slot, row) => {
                match (self.constant(slot), bits) {
                    (Some((_, zeros)), Some(bits)) => zero_rows(zeros, bits, row)?,
                    _ => return Ok(None),
                }
            }
        };
        let (axis, block) = of.block;
        let (size, steps) = (sizes[axis], to_f32(scales)?);
        let inner: usize = sizes[axis + 1..].iter().product();
        let blocks = size.div_ceil(block.max(1));
        let count = sizes.iter().product::<usize>() / size.max(1) * blocks;
        if integers.len() != sizes.iter().product::<usize>() || steps.len() != count {
            return Ok(None);
        }
        let group = |at: usize| {
            let (outer, within) = (at / (size * inner), at / inner % size);
            place((outer * blocks + within / block) * inner + at % inner)
        };
        let groups = (0..integers.len()).map(group).collect();
        let own = self.is_own_scale(scale, scales);
        let sizes = sizes.to_vec();
        let grid = self.grid((codes, tensor), sizes, (groups, integers), (steps, zeros));
        Ok(grid.map(|grid| CodeGrid {
            packed: bits,
            ..grid.stepping((scale, scales), own)
        }))
    }

    fn grid(
        &self,
        (codes, tensor): (ValueId, &TensorProto),
        dims: Vec<usize>,
        (groups, integers): (Vec<u32>, Vec<f32>),
        (steps, zeros): (Vec<f32>, Vec<f32>),
    ) -> Option<CodeGrid> {
        let element = ElementType::of(tensor.data_type())?;
        let usable = steps.iter().all(|step| step.is_normal());
        if !usable || ![1, steps.len()].contains(&zeros.len()) {
            return None;
        }
        let mut grid = CodeGrid {
            name: self.graph.value(codes).name.clone(),
            codes,
            element,
            packed: None,
            dims,
            groups,
            steps,
            zeros,
            numbers: Vec::new(),
            scale: None,
            scale_type: ElementType::Float,
            own: false,
        };
        let numbers = integers.iter().enumerate();
        let numbers = numbers.map(|(at, code)| (code - grid.zero(at)) * grid.step(at));
        grid.numbers = numbers.collect();
        Some(grid)
    }
}

/// Zero points in rows that start in bytes of their own.
fn zero_rows(tensor: &TensorProto, bits: u32, row: usize) -> Result<Vec<f32>> {
    let bytes = packed_bytes(tensor)?;
    let width = (row * bits as usize).div_ceil(8).max(1);
    let rows = bytes.chunks_exact(width);
    let codes = rows.flat_map(|bytes| unpacked(bytes, bits, row));
    Ok(codes.map(f32::from).collect())
}

impl CodeGrid {
    /// Says where the steps stand.
    pub(super) fn stepping(self, (scale, tensor): (ValueId, &TensorProto), own: bool) -> CodeGrid {
        CodeGrid {
            scale: Some(scale),
            scale_type: ElementType::of(tensor.data_type()).unwrap_or(ElementType::Float),
            own,
            ..self
        }
    }

    /// Bits of a code.
    fn bits(&self) -> u32 {
        self.packed.unwrap_or(self.element.bits())
    }

    fn step(&self, at: usize) -> f32 {
        self.steps[self.groups[at] as usize]
    }

    fn zero(&self, at: usize) -> f32 {
        match self.zeros.len() {
            1 => self.zeros[0],
            _ => self.zeros[self.groups[at] as usize],
        }
    }

    /// The steps, one for each group.
    pub(super) fn steps(&self) -> &[f32] {
        &self.steps
    }

    /// By element the group whose step it has.
    pub(super) fn group(&self, at: usize) -> Option<usize> {
        self.groups.get(at).map(|&group| group as usize)
    }

    /// True of codes that round sums, which have more bits than weights and data.
    pub(super) fn is_wide(&self) -> bool {
        self.element.bits() > WIDE
    }

    /// Codes to an element of the tensor.
    pub(super) fn to_an_element(&self) -> usize {
        (self
            .packed
            .map_or(1, |bits| self.element.bits() / bits.max(1)))
        .max(1) as usize
    }

    pub(super) fn numbers(&self) -> &[f32] {
        &self.numbers
    }

    /// The numbers as a tensor of the codes' name.
    pub(super) fn tensor(&self, element: ElementType) -> TensorProto {
        from_raw(
            &self.name,
            element,
            &self.dims,
            packed(&self.numbers, element),
        )
    }

    /// The codes that the type has, or that the weight had where it uses fewer: kernels may count on that.
    fn range(&self) -> [f32; 2] {
        let bits = self.bits().min(31);
        let whole = (1_i64 << bits) as f32;
        let signed = matches!(
            self.element,
            ElementType::Int8
                | ElementType::Int4
                | ElementType::Int2
                | ElementType::Int16
                | ElementType::Int32
        );
        match signed {
            true => [-whole / 2.0, whole / 2.0 - 1.0],
            false => [0.0, whole - 1.0],
        }
    }

    /// By element the least and the largest code, less the zero point.
    fn ranges(&self) -> Vec<[f32; 2]> {
        let [low, high] = self.range();
        let each = self.numbers.iter().enumerate();
        let most = each.map(|(at, number)| (number / self.step(at)).round().abs());
        let most = most.fold(0.0, f32::max);
        let own = |at| {
            let zero = self.zero(at);
            match self.is_wide() {
                true => [low - zero, high - zero],
                false => [(low - zero).max(-most), (high - zero).min(most)],
            }
        };
        (0..self.numbers.len()).map(own).collect()
    }

    /// Steps that are as large as they were, or as large as these numbers need, of those that the scale's type has.
    pub(super) fn fitting(&self, numbers: &[f32]) -> Vec<f32> {
        let mut steps = self.steps.clone();
        if !self.own {
            return steps;
        }
        let ranges = self.ranges();
        for (at, (&number, [low, high])) in numbers.iter().zip(ranges).enumerate() {
            let step = &mut steps[self.groups[at] as usize];
            let code = number / *step;
            let needed = number / if code < 0.0 { low } else { high };
            if needed.is_finite() && needed.abs() > step.abs() * WIDER {
                *step = needed;
            }
        }
        let changed = steps.iter_mut().zip(&self.steps);
        changed
            .filter(|(step, old)| step != old)
            .for_each(|(step, _)| *step = stored(*step, self.scale_type));
        steps
    }

    /// Steps and ranges by element.
    pub(super) fn by_element(&self, steps: &[f32]) -> ElementSteps {
        let own = self.groups.iter().map(|&group| steps[group as usize]);
        ElementSteps {
            steps: own.collect(),
            ranges: self.ranges(),
        }
    }

    /// The codes of numbers at these steps, packed.
    pub(super) fn encoded(&self, numbers: &[f32], steps: &[f32]) -> Vec<u8> {
        let [low, high] = self.range();
        let code = |(at, &number): (usize, &f32)| {
            let step = f64::from(steps[self.groups[at] as usize]);
            let code = (f64::from(number) / step + f64::from(self.zero(at))).round_ties_even();
            code.clamp(f64::from(low), f64::from(high)) as i64
        };
        let codes = numbers.iter().enumerate().map(code);
        match self.bits() {
            32 => codes.flat_map(|code| (code as i32).to_le_bytes()).collect(),
            16 => codes.flat_map(|code| (code as u16).to_le_bytes()).collect(),
            8 => codes.map(|code| code as u8).collect(),
            bits => {
                let bytes: Vec<u8> = codes.map(|code| code as u8).collect();
                pack(&bytes, bits)
            }
        }
    }
}
