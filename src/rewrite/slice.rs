//! Slicing a tensor's bytes: kept positions per axis, in runs that are as long as they can be.

use std::ops::Range;

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

    /// Parts that [`TensorSlice::append`] can make apart: positions of the first axis, where these are whole bytes.
    pub(super) fn rows(&self) -> usize {
        match self.dims().first() {
            Some(&rows) if self.bits.is_multiple_of(8) => rows,
            _ => 1,
        }
    }

    /// The sliced elements, packed.
    pub(super) fn run(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.length());
        self.append(0..self.rows(), &mut out);
        out
    }

    /// Appends the sliced elements of some rows, packed.
    pub(super) fn append(&self, rows: Range<usize>, out: &mut Vec<u8>) {
        if self.bits.is_multiple_of(8) {
            return self.copy(&self.bytes, self.bits as usize / 8, rows, out);
        }
        let count = element_count(&self.dims);
        let codes = unpacked(&self.bytes, self.bits, count);
        let mut kept = Vec::new();
        let rows = 0..self.dims().first().copied().unwrap_or(1);
        self.copy(&codes, 1, rows, &mut kept);
        out.extend(pack(&kept, self.bits));
    }

    fn copy(&self, bytes: &[u8], width: usize, rows: Range<usize>, out: &mut Vec<u8>) {
        let Some(first) = self.axes.first() else {
            return out.extend_from_slice(bytes);
        };
        if element_count(&self.dims()) == 0 {
            return;
        }
        let mut strides = vec![width; self.dims.len()];
        for axis in (1..self.dims.len()).rev() {
            strides[axis - 1] = strides[axis] * self.dims[axis];
        }
        let cut = |axis: &AxisSlice| !matches!(axis, AxisSlice::All);
        let mut copy = Copy {
            slice: self,
            bytes,
            strides,
            last: self.axes.iter().rposition(cut).unwrap_or(0),
            out,
        };
        match first {
            AxisSlice::Positions(positions) => copy.picked(0, 0, 0, &positions[rows]),
            _ => copy.all(0, 0, 0, rows),
        }
    }
}

struct Copy<'a> {
    slice: &'a TensorSlice,
    bytes: &'a [u8],
    strides: Vec<usize>,
    /// Behind this axis everything stays.
    last: usize,
    out: &'a mut Vec<u8>,
}

impl Copy<'_> {
    /// What stays from an axis on of what starts at `offset`, where axis 0 is at `first`.
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
        match positions {
            Some(positions) => self.picked(axis, offset, first, positions),
            None => self.all(axis, offset, first, 0..slice.dims[axis]),
        }
    }

    /// Some positions of an axis.
    fn picked(&mut self, axis: usize, offset: usize, first: usize, positions: &[u32]) {
        if axis == self.last {
            return self.copy_row(offset, self.strides[axis], positions);
        }
        for &position in positions {
            self.descend(axis, offset, first, position as usize);
        }
    }

    /// All positions of an axis in a range.
    fn all(&mut self, axis: usize, offset: usize, first: usize, range: Range<usize>) {
        if axis == self.last {
            let [start, end] = [range.start, range.end].map(|at| offset + at * self.strides[axis]);
            return self.out.extend_from_slice(&self.bytes[start..end]);
        }
        for position in range {
            self.descend(axis, offset, first, position);
        }
    }

    fn descend(&mut self, axis: usize, offset: usize, first: usize, position: usize) {
        let first = if axis == 0 { position } else { first };
        self.walk(axis + 1, offset + position * self.strides[axis], first);
    }

    fn copy_row(&mut self, offset: usize, stride: usize, positions: &[u32]) {
        let row = &self.bytes[offset..];
        match stride {
            1 => gather::<1>(row, positions, self.out),
            2 => gather::<2>(row, positions, self.out),
            4 => gather::<4>(row, positions, self.out),
            8 => gather::<8>(row, positions, self.out),
            36 => gather::<36>(row, positions, self.out),
            _ => {
                for &position in positions {
                    let at = position as usize * stride;
                    self.out.extend_from_slice(&row[at..at + stride]);
                }
            }
        }
    }
}

/// Pieces of a length that is known when this is compiled: single elements, and windows of 3 x 3 of 32 bits.
fn gather<const N: usize>(row: &[u8], positions: &[u32], out: &mut Vec<u8>) {
    let pieces = row.as_chunks::<N>().0;
    let start = out.len();
    out.resize(start + positions.len() * N, 0);
    let target = out[start..].as_chunks_mut::<N>().0;
    for (piece, &position) in target.iter_mut().zip(positions) {
        *piece = pieces[position as usize];
    }
}

/// Dims of a type's axes after pruning, where they are known.
pub(super) fn kept_size(types: &Types, ty: &Type, kept: &Kept) -> Option<i64> {
    match types.kept_extent(ty, kept) {
        Extent::Known(size) => Some(size),
        Extent::Symbolic(_) => None,
    }
}
