//! A mask over one tensor, and tensors with a mask applied.

use std::ops::Range;

use bytes::Bytes;
use fixedbitset::FixedBitSet;
use half::{bf16, f16};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::onnx::ElementType;
use crate::onnx::packed_bytes;
use crate::onnx::proto::TensorProto;

/// Elements per piece of work; the pieces do not depend on the number of threads.
const PIECE: usize = 1 << 20;
/// Bits of an absolute value beyond which it is no number.
pub(super) const INFINITE: u32 = 0x7f80_0000;

/// Weights whose absolute value lies below a limit. Absolute values are compared as the bits of an `f32`,
/// which are in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// All below this are zeroed.
    pub(super) limit: u32,
    /// And this many of those that equal it, the first ones.
    pub(super) ties: usize,
}

impl Cut {
    /// All absolute values below `limit`.
    pub(super) fn below(limit: f64) -> Cut {
        let mut nearest = limit as f32;
        if f64::from(nearest) < limit {
            nearest = nearest.next_up();
        }
        Cut {
            limit: nearest.to_bits(),
            ties: 0,
        }
    }
}

/// Which weights of a tensor stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mask {
    /// Those that a cut leaves: nothing is stored by weight.
    Cut(Cut),
    /// Those whose bit is set, in the tensor's order.
    Kept(FixedBitSet),
}

/// The weights of a tensor as bytes.
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    pub(super) name: String,
    pub(super) bytes: Bytes,
    pub(super) element: ElementType,
}

impl Weights {
    /// # Errors
    /// A tensor without packed bytes.
    pub(crate) fn of(tensor: &TensorProto) -> Result<Weights> {
        Ok(Weights {
            name: tensor.name().to_owned(),
            bytes: packed_bytes(tensor)?,
            element: ElementType::of(tensor.data_type()).unwrap_or(ElementType::Float),
        })
    }

    pub(crate) fn element(&self) -> ElementType {
        self.element
    }

    pub(super) fn width(&self) -> usize {
        (self.element.bits() as usize).div_ceil(8).max(1)
    }

    pub(crate) fn byte_length(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / self.width()
    }

    /// The bytes in pieces of equal numbers of elements.
    fn pieces(&self) -> rayon::slice::Chunks<'_, u8> {
        self.bytes.par_chunks(PIECE * self.width())
    }

    /// Folds the absolute values of each piece, in parallel; the results are in order.
    pub(super) fn fold<T: Send>(
        &self,
        start: impl Fn() -> T + Sync,
        step: impl Fn(&mut T, u32) + Sync,
    ) -> Vec<T> {
        let fold = |piece: &[u8]| {
            let mut state = start();
            magnitudes(piece, self.element, |bits| step(&mut state, bits));
            state
        };
        self.pieces().map(fold).collect()
    }

    /// Number of zeros.
    pub(crate) fn zeros(&self) -> usize {
        let counts = self.fold(|| 0, |count, bits| *count += usize::from(bits == 0));
        counts.into_iter().sum()
    }

    /// Whether the weight at a place is zero.
    pub(crate) fn is_zero(&self, place: usize) -> bool {
        self.magnitude(place) == 0
    }

    /// Bits of the absolute value at a place.
    pub(super) fn magnitude(&self, place: usize) -> u32 {
        let width = self.width();
        let mut found = 0;
        magnitudes(
            &self.bytes[place * width..][..width],
            self.element,
            |bits| found = bits,
        );
        found
    }

    /// The values as `f32`.
    pub(crate) fn values(&self) -> Vec<f32> {
        let mut out = Vec::with_capacity(self.len());
        values(&self.bytes, self.element, |value| out.push(value));
        out
    }

    /// Standard deviation of the weights.
    pub(super) fn deviation(&self) -> f64 {
        let values = self.values();
        let count = values.len().max(1) as f64;
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let squares = values.iter().map(|&x| (f64::from(x) - mean).powi(2));
        (squares.sum::<f64>() / count).sqrt()
    }

    /// # Errors
    /// A weight that is no number, for `why` (a clause).
    pub(crate) fn all_numbers(&self, why: &str) -> Result<()> {
        let found = self.fold(|| false, |found, bits| *found |= bits > INFINITE);
        match found.contains(&true) {
            true => Err(not_a_number(&self.name, why)),
            false => Ok(()),
        }
    }

    /// The bytes with masked weights at zero.
    pub(crate) fn masked(&self, mask: &Mask) -> Vec<u8> {
        let width = self.width();
        // Fresh zeroed memory costs nothing until each piece is copied into it, in parallel.
        let mut out = vec![0; self.bytes.len()];
        let pieces = out.par_chunks_mut(PIECE * width).zip(self.pieces());
        match mask {
            Mask::Cut(cut) => {
                let before = self.ties_before(*cut);
                pieces.zip(before).for_each(|((piece, source), ties)| {
                    piece.copy_from_slice(source);
                    cut_piece(piece, self.element, *cut, ties);
                });
            }
            Mask::Kept(kept) => {
                pieces.enumerate().for_each(|(number, (piece, source))| {
                    piece.copy_from_slice(source);
                    for (place, element) in piece.chunks_exact_mut(width).enumerate() {
                        if !kept.contains(number * PIECE + place) {
                            element.fill(0);
                        }
                    }
                });
            }
        }
        out
    }

    /// Up to `count` ranges of whole elements of at most `bytes` bytes, spread over the tensor.
    pub(crate) fn samples(&self, bytes: usize, count: usize) -> Vec<Range<usize>> {
        let size = bytes / self.width();
        let step = (self.len() / count).max(size).max(1);
        let starts = (0..self.len()).step_by(step);
        starts
            .map(|start| start..(start + size).min(self.len()))
            .collect()
    }

    fn byte_range(&self, range: Range<usize>) -> Range<usize> {
        range.start * self.width()..range.end * self.width()
    }

    /// The bytes of a range of elements.
    pub(crate) fn piece(&self, range: Range<usize>) -> Bytes {
        self.bytes.slice(self.byte_range(range))
    }

    /// The bytes of a range of elements in other bytes of the same tensor.
    pub(crate) fn piece_of(&self, bytes: &Bytes, range: Range<usize>) -> Bytes {
        bytes.slice(self.byte_range(range))
    }

    /// The bytes of a range of elements with masked weights at zero; of weights that equal the limit of a
    /// cut all are taken as masked or none.
    pub(crate) fn masked_piece(&self, range: Range<usize>, mask: &Mask) -> Vec<u8> {
        let is_zero = self.zero_under(mask);
        let mut out = self.piece(range.clone()).to_vec();
        for (element, place) in out.chunks_exact_mut(self.width()).zip(range) {
            if is_zero(place) {
                element.fill(0);
            }
        }
        out
    }

    /// How many ties of a cut each piece may still take.
    fn ties_before(&self, cut: Cut) -> Vec<usize> {
        let pieces = self.len().div_ceil(PIECE);
        if cut.ties == 0 {
            return vec![0; pieces];
        }
        let counts = self.fold(|| 0, |count, bits| *count += usize::from(bits == cut.limit));
        let mut left = cut.ties;
        let take = |count: usize| {
            let own = left;
            left = left.saturating_sub(count);
            own
        };
        counts.into_iter().map(take).collect()
    }

    /// Number of zeros when the mask is applied.
    pub(crate) fn zeros_under(&self, mask: &Mask) -> usize {
        match mask {
            Mask::Cut(cut) => {
                let below = |count: &mut (usize, usize), bits: u32| {
                    count.0 += usize::from(bits == 0 || bits < cut.limit);
                    count.1 += usize::from(bits != 0 && bits == cut.limit);
                };
                let counts = self.fold(|| (0, 0), below).into_iter();
                let (below, equal) = counts.fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
                below + equal.min(cut.ties)
            }
            Mask::Kept(kept) => {
                let mut place = 0;
                let mut zeros = 0;
                magnitudes(&self.bytes, self.element, |bits| {
                    zeros += usize::from(bits == 0 || !kept.contains(place));
                    place += 1;
                });
                zeros
            }
        }
    }

    /// The mask bit by bit.
    pub(crate) fn kept(&self, mask: &Mask) -> FixedBitSet {
        let cut = match mask {
            Mask::Kept(kept) => return kept.clone(),
            Mask::Cut(cut) => cut,
        };
        let mut kept = FixedBitSet::with_capacity(self.len());
        let (mut place, mut ties) = (0, cut.ties);
        magnitudes(&self.bytes, self.element, |bits| {
            let tie = bits == cut.limit && ties > 0;
            ties -= usize::from(tie);
            kept.set(place, bits >= cut.limit && !tie);
            place += 1;
        });
        kept
    }
}

pub(super) fn not_a_number(tensor: &str, why: &str) -> Error {
    Error::tensor(
        tensor,
        format!("holds weights that are no numbers (NaN), {why}; leave it out with `skip`"),
    )
}

fn cut_piece(piece: &mut [u8], element: ElementType, cut: Cut, mut ties: usize) {
    if element == ElementType::Float {
        let words = piece.as_chunks_mut::<4>().0;
        // Without a branch or a state, so that it runs at the speed of memory.
        for word in words.iter_mut() {
            let bits = u32::from_le_bytes(*word);
            let kept = if bits & 0x7fff_ffff < cut.limit {
                0
            } else {
                bits
            };
            *word = kept.to_le_bytes();
        }
        let equal = |word: &&mut [u8; 4]| u32::from_le_bytes(**word) & 0x7fff_ffff == cut.limit;
        words
            .iter_mut()
            .filter(equal)
            .take(ties)
            .for_each(|word| *word = [0; 4]);
        return;
    }
    let width = (element.bits() as usize).div_ceil(8).max(1);
    for word in piece.chunks_exact_mut(width) {
        let mut bits = 0;
        magnitudes(word, element, |found| bits = found);
        let tie = bits == cut.limit && ties > 0;
        ties -= usize::from(tie);
        if bits < cut.limit || tie {
            word.fill(0);
        }
    }
}

/// Calls `each` with the bits of every absolute value.
fn magnitudes(bytes: &[u8], element: ElementType, mut each: impl FnMut(u32)) {
    match element {
        ElementType::Float => bytes
            .as_chunks::<4>()
            .0
            .iter()
            .for_each(|&word| each(u32::from_le_bytes(word) & 0x7fff_ffff)),
        other => values(bytes, other, |value| each(value.abs().to_bits())),
    }
}

/// Calls `each` with every value; only for element types that layers have.
fn values(bytes: &[u8], element: ElementType, mut each: impl FnMut(f32)) {
    match element {
        ElementType::Double => {
            let words = bytes.as_chunks::<8>().0.iter();
            words.for_each(|&word| each(f64::from_le_bytes(word) as f32));
        }
        ElementType::Float16 => {
            let words = bytes.as_chunks::<2>().0.iter();
            words.for_each(|&word| each(f16::from_le_bytes(word).to_f32()));
        }
        ElementType::Bfloat16 => {
            let words = bytes.as_chunks::<2>().0.iter();
            words.for_each(|&word| each(bf16::from_le_bytes(word).to_f32()));
        }
        _ => {
            let words = bytes.as_chunks::<4>().0.iter();
            words.for_each(|&word| each(f32::from_le_bytes(word)));
        }
    }
}
