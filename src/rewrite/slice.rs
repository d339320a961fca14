//! Slicing a tensor's bytes: kept positions per axis, in runs that are as long as they can be.

use bytes::Bytes;

use crate::axes::{Extent, Kept, Type, Types};
use crate::error::{Error, Result};
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, byte_length, from_raw, pack, packed_bytes, unpacked};

/// By element of what `kept` leaves of a tensor with these axes its place in the whole tensor.
///
/// # Errors
/// A tensor that is too large to number.
pub(crate) fn kept_elements(
    dims: &[usize],
    axes: &[Type],
    types: &Types,
    kept: &Kept,
) -> Result<Vec<u32>> {
    let count = u32::try_from(element_count(dims)).map_err(|_| {
        Error::tensor(
            "places",
            format!("{dims:?} has more elements than can be numbered"),
        )
    })?;
    let numbers = (0..count).flat_map(|number| number.to_le_bytes());
    let numbers = from_raw(
        "places",
        ElementType::Uint32,
        dims,
        numbers.collect::<Vec<u8>>(),
    );
    let slice = TensorSlice::new(&numbers, axes, types, kept)?.run();
    let places = slice.as_chunks().0.iter();
    Ok(places.map(|&bytes| u32::from_le_bytes(bytes)).collect())
}

/// Number of elements of a tensor whose bytes are at hand.
fn element_count(dims: &[usize]) -> usize {
    match dims.contains(&0) {
        true => 0,
        false => dims.iter().product(),
    }
}

/// What stays of one axis.
#[derive(Clone, Debug)]
enum AxisSlice {
    All,
    Positions(Vec<u32>),
    /// Per equal block of axis 0.
    PerBlock(Vec<Vec<u32>>),
}

/// A tensor to be sliced, and how.
#[derive(Clone, Debug)]
pub(super) struct TensorSlice {
    bytes: Bytes,
    bits: u32,
    dims: Vec<usize>,
    axes: Vec<AxisSlice>,
}

impl TensorSlice {
    /// The slice of `tensor`, whose axes have these types, that `kept` leaves.
    pub(super) fn new(
        tensor: &TensorProto,
        axes: &[Type],
        types: &Types,
        kept: &Kept,
    ) -> Result<TensorSlice> {
        let slice = |ty: &Type| match types.normal(ty) {
            ty if !types.is_pruned(&ty, kept) => AxisSlice::All,
            Type::Block { of, blocks } => {
                AxisSlice::PerBlock(types.kept_per_block(&of, blocks, kept))
            }
            ty => AxisSlice::Positions(types.kept_positions(&ty, kept)),
        };
        Ok(TensorSlice {
            bytes: packed_bytes(tensor)?,
            bits: ElementType::of(tensor.data_type()).map_or(0, ElementType::bits),
            dims: tensor.dims.iter().map(|&dim| dim as usize).collect(),
            axes: axes.iter().map(slice).collect(),
        })
    }

    /// Dims of the result.
    pub(super) fn dims(&self) -> Vec<usize> {
        let size = |(axis, &dim): (&AxisSlice, &usize)| match axis {
            AxisSlice::All => dim,
            AxisSlice::Positions(positions) => positions.len(),
            AxisSlice::PerBlock(blocks) => blocks.first().map_or(0, Vec::len),
        };
        self.axes.iter().zip(&self.dims).map(size).collect()
    }

    /// Bytes of the result.
    pub(super) fn length(&self) -> usize {
        byte_length(element_count(&self.dims()), self.bits).unwrap_or(0)
    }

    /// The sliced elements, packed.
    pub(super) fn run(&self) -> Vec<u8> {
        if self.bits.is_multiple_of(8) {
            return self.copy(&self.bytes, self.bits as usize / 8);
        }
        let count = element_count(&self.dims);
        let codes = unpacked(&self.bytes, self.bits, count);
        pack(&self.copy(&codes, 1), self.bits)
    }

    fn copy(&self, bytes: &[u8], width: usize) -> Vec<u8> {
        let last = self
            .axes
            .iter()
            .rposition(|axis| !matches!(axis, AxisSlice::All));
        let Some(last) = last else {
            return bytes.to_vec();
        };
        let mut strides = vec![width; self.dims.len()];
        for axis in (1..self.dims.len()).rev() {
            strides[axis - 1] = strides[axis] * self.dims[axis];
        }
        let count = element_count(&self.dims());
        if count == 0 {
            return Vec::new();
        }
        let mut copy = Copy {
            slice: self,
            bytes,
            strides,
            last,
            out: Vec::with_capacity(count * width),
        };
        copy.walk(0, 0, 0);
        copy.out
    }
}

struct Copy<'a> {
    slice: &'a TensorSlice,
    bytes: &'a [u8],
    strides: Vec<usize>,
    /// Behind this axis everything stays.
    last: usize,
    out: Vec<u8>,
}

impl Copy<'_> {
    fn walk(&mut self, axis: usize, offset: usize, first: usize) {
        let slice = self.slice;
        let positions = match &slice.axes[axis] {
            AxisSlice::All => None,
            AxisSlice::Positions(positions) => Some(positions),
            AxisSlice::PerBlock(blocks) => {
                let rows = (slice.dims[0] / blocks.len().max(1)).max(1);
                blocks.get(first / rows)
            }
        };
        let stride = self.strides[axis];
        match positions {
            Some(positions) if axis == self.last => self.copy_row(offset, stride, positions),
            Some(positions) => {
                for &position in positions {
                    self.descend(axis, offset, first, position as usize);
                }
            }
            None => {
                for position in 0..slice.dims[axis] {
                    self.descend(axis, offset, first, position);
                }
            }
        }
    }

    fn descend(&mut self, axis: usize, offset: usize, first: usize, position: usize) {
        let first = if axis == 0 { position } else { first };
        self.walk(axis + 1, offset + position * self.strides[axis], first);
    }

    fn copy_row(&mut self, offset: usize, stride: usize, positions: &[u32]) {
        let row = &self.bytes[offset..];
        match stride {
            1 => self.out.extend(positions.iter().map(|&p| row[p as usize])),
            2 => gather::<2>(row, positions, &mut self.out),
            4 => gather::<4>(row, positions, &mut self.out),
            8 => gather::<8>(row, positions, &mut self.out),
            _ => {
                for &position in positions {
                    let at = position as usize * stride;
                    self.out.extend_from_slice(&row[at..at + stride]);
                }
            }
        }
    }
}

/// Single elements of a width that fits a register.
fn gather<const N: usize>(row: &[u8], positions: &[u32], out: &mut Vec<u8>) {
    let elements = row.as_chunks::<N>().0;
    out.extend(positions.iter().flat_map(|&p| elements[p as usize]));
}

/// Dims of a type's axes after pruning, where they are known.
pub(super) fn kept_size(types: &Types, ty: &Type, kept: &Kept) -> Option<i64> {
    match types.kept_extent(ty, kept) {
        Extent::Known(size) => Some(size),
        Extent::Symbolic(_) => None,
    }
}
