//! Sums over the slices of a tensor: in lanes of 32 bits over short stretches, in 64 bits over these.
//!
//! A tensor is read once, in pieces that depend on its dims alone, so that the sums are the same on any number of
//! threads.

use std::ops::Range;

use rayon::prelude::*;

use super::Norm;
use crate::error::Result;
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, numbers, packed_bytes};

/// One little-endian `f32` where it stands in the file, aligned or not.
type Word = [u8; 4];

/// Numbers that are added side by side.
const LANES: usize = 16;
/// Numbers of a row, and rows, that are added up in 32 bits.
const STRETCH: usize = 1024;
const ROWS: usize = 16;
/// Numbers behind a position from which they are summed for themselves, not row by row.
const LONG_RUN: usize = 64;
/// Numbers of a tensor that one thread reads at a time, and pieces of it whose sums are held at a time.
const PIECE: usize = 1 << 20;
const WINDOW: usize = 32;

/// An axis whose positions get a sum each, counted apart in every one of some equal blocks of axis 0.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub(super) axis: usize,
    pub(super) blocks: usize,
}

/// For each wanted axis, in ascending order, the sum of |w| or w^2 at each of its positions, block by block.
///
/// # Errors
/// Elements that are no real numbers.
pub(super) fn axis_sums(
    tensor: &TensorProto,
    wanted: &[Wanted],
    norm: Norm,
) -> Result<Vec<Vec<f64>>> {
    let dims: Vec<usize> = tensor.dims.iter().map(|&dim| dim as usize).collect();
    let empty = |of: &Wanted| vec![0.0; dims[of.axis] * of.blocks];
    let mut sums: Vec<Vec<f64>> = wanted.iter().map(empty).collect();
    let Some(rows) = Rows::of(&dims, wanted) else {
        return Ok(sums);
    };
    let bytes = packed_bytes(tensor)?;
    let element = ElementType::of(tensor.data_type());
    let summed = |piece: &Piece| -> Result<Summed> {
        let range = rows.numbers(piece);
        if element == Some(ElementType::Float) {
            return Ok(rows.summed(piece, &bytes.as_chunks().0[range], norm));
        }
        let numbers = numbers(tensor, &bytes, range)?;
        Ok(rows.summed(piece, bytemuck::cast_slice(&numbers), norm))
    };
    for pieces in rows.pieces().chunks(WINDOW) {
        let read: Result<Vec<Summed>> = pieces.par_iter().map(summed).collect();
        for (piece, summed) in pieces.iter().zip(read?) {
            rows.add(piece, &summed, wanted, &mut sums);
        }
    }
    Ok(sums)
}

/// A tensor as rows along the last of the wanted axes, with a run of numbers at each position.
struct Rows<'a> {
    /// The axes before the last wanted one.
    outer: &'a [usize],
    count: usize,
    size: usize,
    run: usize,
    /// Rows of each block of axis 0.
    block: usize,
}

/// Whole rows of one block, or some positions of one row.
#[derive(Clone, Debug, PartialEq)]
struct Piece {
    rows: Range<usize>,
    positions: Range<usize>,
}

/// The sums of a piece: by position over its rows, and by row over its positions.
struct Summed {
    positions: Vec<f64>,
    rows: Vec<f64>,
}

impl<'a> Rows<'a> {
    /// None where nothing is wanted, or there are no numbers.
    fn of(dims: &'a [usize], wanted: &[Wanted]) -> Option<Rows<'a>> {
        let last = wanted.last().filter(|_| !dims.contains(&0))?;
        let outer = &dims[..last.axis];
        let count: usize = outer.iter().product();
        Some(Rows {
            outer,
            count,
            size: dims[last.axis],
            run: dims[last.axis + 1..].iter().product(),
            block: count.div_ceil(last.blocks.max(1)),
        })
    }

    fn length(&self) -> usize {
        self.size * self.run
    }

    /// Whether each run is summed for itself; else rows are added to one another number by number.
    fn by_run(&self) -> bool {
        self.run >= LONG_RUN || self.count == 1
    }

    fn pieces(&self) -> Vec<Piece> {
        let whole = PIECE / self.length();
        let (rows, positions) = match self.by_run() {
            true if whole == 0 => (1, (PIECE / self.run).max(1)),
            true => (whole, self.size),
            false => (whole.max(ROWS).next_multiple_of(ROWS), self.size),
        };
        let blocks = steps(0..self.count, self.block);
        let rows = blocks.flat_map(|block| steps(block, rows));
        let pieces = rows.flat_map(|rows| {
            steps(0..self.size, positions).map(move |positions| Piece {
                rows: rows.clone(),
                positions,
            })
        });
        pieces.collect()
    }

    /// Where the numbers of a piece are.
    fn numbers(&self, piece: &Piece) -> Range<usize> {
        let start = piece.rows.start * self.length() + piece.positions.start * self.run;
        start..start + piece.rows.len() * piece.positions.len() * self.run
    }

    fn summed(&self, piece: &Piece, words: &[Word], norm: Norm) -> Summed {
        match norm {
            Norm::L2 => self.summed_by(piece, words, |x| x * x),
            _ => self.summed_by(piece, words, f32::abs),
        }
    }

    fn summed_by(&self, piece: &Piece, words: &[Word], measure: impl Fn(f32) -> f32) -> Summed {
        if !self.by_run() {
            return self.summed_by_row(words, measure);
        }
        let mut positions = vec![0.0; piece.positions.len()];
        let rows = words.chunks_exact(positions.len() * self.run).map(|row| {
            let mut whole = 0.0;
            for (position, run) in positions.iter_mut().zip(row.chunks_exact(self.run)) {
                let stretches = run.chunks(STRETCH);
                let sum: f64 = stretches.map(|words| lane_sum(words, &measure)).sum();
                *position += sum;
                whole += sum;
            }
            whole
        });
        let rows = rows.collect();
        Summed { positions, rows }
    }

    /// Sums of whole rows, number by number, a few rows and a stretch of each at a time.
    fn summed_by_row(&self, words: &[Word], measure: impl Fn(f32) -> f32) -> Summed {
        let length = self.length();
        let mut columns = vec![0.0; length];
        let mut rows = vec![0.0; words.len() / length];
        for (rows, words) in rows.chunks_mut(ROWS).zip(words.chunks(ROWS * length)) {
            for start in (0..length).step_by(STRETCH) {
                let columns = &mut columns[start..length.min(start + STRETCH)];
                let mut sums = [0.0; STRETCH];
                for (row, words) in rows.iter_mut().zip(words.chunks_exact(length)) {
                    let words = &words[start..start + columns.len()];
                    *row += add_measures(&mut sums, words, &measure);
                }
                for (column, sum) in columns.iter_mut().zip(sums) {
                    *column += f64::from(sum);
                }
            }
        }
        let positions = columns.chunks_exact(self.run);
        let positions = positions.map(|run| run.iter().sum()).collect();
        Summed { positions, rows }
    }

    /// Adds the sums of a piece to those of the axes.
    fn add(&self, piece: &Piece, summed: &Summed, wanted: &[Wanted], sums: &mut [Vec<f64>]) {
        let block = |row: usize, of: &Wanted| row / self.count.div_ceil(of.blocks.max(1));
        let inner = wanted.len() - 1;
        for (of, sums) in wanted[..inner].iter().zip(&mut *sums) {
            let size = self.outer[of.axis];
            let step: usize = self.outer[of.axis + 1..].iter().product();
            for (row, sum) in piece.rows.clone().zip(&summed.rows) {
                sums[block(row, of) * size + row / step % size] += sum;
            }
        }
        let start = block(piece.rows.start, &wanted[inner]) * self.size + piece.positions.start;
        for (sum, part) in sums[inner][start..].iter_mut().zip(&summed.positions) {
            *sum += part;
        }
    }
}

/// A range in steps of `step`, the last of which may be shorter.
fn steps(range: Range<usize>, step: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range
        .step_by(step)
        .map(move |start| start..end.min(start + step))
}

/// Adds the measure of each number to the sum at its place, and returns the sum of all.
fn add_measures(sums: &mut [f32; STRETCH], words: &[Word], measure: impl Fn(f32) -> f32) -> f64 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = words.as_chunks::<LANES>();
    let (wide, _) = sums.as_chunks_mut::<LANES>();
    for (sums, words) in wide.iter_mut().zip(chunks) {
        for ((lane, sum), &word) in lanes.iter_mut().zip(sums).zip(words) {
            let number = measure(f32::from_le_bytes(word));
            *lane += number;
            *sum += number;
        }
    }
    let mut whole: f64 = lanes.iter().map(|&lane| f64::from(lane)).sum();
    for (sum, &word) in sums[words.len() - rest.len()..].iter_mut().zip(rest) {
        let number = measure(f32::from_le_bytes(word));
        *sum += number;
        whole += f64::from(number);
    }
    whole
}

fn lane_sum(words: &[Word], measure: impl Fn(f32) -> f32) -> f64 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = words.as_chunks::<LANES>();
    for words in chunks {
        for (lane, &word) in lanes.iter_mut().zip(words) {
            *lane += measure(f32::from_le_bytes(word));
        }
    }
    let rest = rest
        .iter()
        .map(|&word| f64::from(measure(f32::from_le_bytes(word))));
    lanes.iter().map(|&lane| f64::from(lane)).chain(rest).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::from_raw;
    use proptest::prelude::*;

    /// The sums as the definition says, a number at a time.
    fn plain(numbers: &[f64], dims: &[usize], wanted: &[Wanted]) -> Vec<Vec<f64>> {
        let sums = wanted.iter().map(|of| {
            let mut sums = vec![0.0; dims[of.axis] * of.blocks];
            let whole: usize = dims[1..].iter().product();
            let step: usize = dims[of.axis + 1..].iter().product();
            for (place, number) in numbers.iter().enumerate() {
                let block = place / whole * of.blocks / dims[0];
                sums[block * dims[of.axis] + place / step % dims[of.axis]] += number;
            }
            sums
        });
        sums.collect()
    }

    fn compare(dims: &[usize], wanted: &[Wanted]) {
        let count: usize = dims.iter().product();
        let numbers: Vec<f32> = (0..count)
            .map(|i| ((i * 7919) % 1013) as f32 - 500.0)
            .collect();
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        let single = from_raw("w", ElementType::Float, dims, bytes);
        let bytes: Vec<u8> = numbers
            .iter()
            .flat_map(|&x| f64::from(x).to_le_bytes())
            .collect();
        let double = from_raw("w", ElementType::Double, dims, bytes);
        for (norm, power) in [(Norm::L1, 1), (Norm::L2, 2)] {
            let measures: Vec<f64> = numbers
                .iter()
                .map(|&x| f64::from(x).abs().powi(power))
                .collect();
            let right = plain(&measures, dims, wanted);
            for tensor in [&single, &double] {
                let sums = axis_sums(tensor, wanted, norm).expect("sums");
                for (sum, right) in sums.iter().flatten().zip(right.iter().flatten()) {
                    assert!(
                        (sum - right).abs() <= 1e-5 * right.abs(),
                        "{dims:?}: {sum}, {right}"
                    );
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn sums_are_those_of_the_definition(
            dims in prop::collection::vec(1_usize..7, 1..5),
            scales in prop::collection::vec(0_usize..5, 4),
            mask in 1_usize..16,
            blocks in prop::sample::select(vec![1_usize, 2, 3]),
        ) {
            // Long axes here and there, so that runs, rows and groups of rows are longer than a register or a stretch.
            let long = |(&dim, &scale): (&usize, &usize)| if scale == 0 { dim * 37 } else { dim };
            let mut dims: Vec<usize> = dims.iter().zip(&scales).map(long).collect();
            dims[0] *= blocks;
            let axes = (0..dims.len()).filter(|axis| mask >> axis & 1 == 1);
            let blocks = |axis: usize| if axis == 0 { 1 } else { blocks };
            let wanted: Vec<Wanted> = axes.map(|axis| Wanted { axis, blocks: blocks(axis) }).collect();
            compare(&dims, &wanted);
        }
    }

    #[test]
    fn large_tensors_are_summed_in_pieces() {
        let both = [0, 1].map(|axis| Wanted { axis, blocks: 1 });
        let first = &both[..1];
        for (dims, wanted) in [
            (&[40, PIECE / 16 + 5][..], &both[..]),
            (&[5, 3, PIECE / 2], &both[..]),
            (&[3, PIECE / 2, 2], first),
            (&[PIECE / 8, 17], &both[..]),
            (&[2, 2, PIECE + 3], &both[..]),
        ] {
            compare(dims, wanted);
        }
    }
}
