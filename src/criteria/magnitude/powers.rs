//! The largest numbers of slices of a tensor, and sums of any power of its numbers.
//!
//! Powers are summed in units of the largest number at each position and kept as logarithms, so that no power is beyond what
//! numbers can hold.

use std::ops::Range;

use rayon::prelude::*;

use super::Wanted;
use crate::error::Result;
use crate::onnx::proto::TensorProto;
use crate::onnx::{numbers, packed_bytes};

/// Numbers that one thread reads at a time, and such pieces that are held at a time.
const PIECE: usize = 1 << 20;
const WINDOW: usize = 32;

/// For each wanted axis the largest absolute value at each of its positions, block by block; NaN where one is.
pub(super) fn axis_largest(tensor: &TensorProto, wanted: &[Wanted]) -> Result<Vec<Vec<f64>>> {
    let axes = wanted.iter();
    axes.map(|of| Runs::of(tensor, *of).largest(tensor))
        .collect()
}

/// For each wanted axis the logarithm of the sum of `|w|^power` at each of its positions, block by block.
pub(super) fn axis_powers(
    tensor: &TensorProto,
    wanted: &[Wanted],
    power: f64,
) -> Result<Vec<Vec<f64>>> {
    let axes = wanted.iter().map(|of| {
        let runs = Runs::of(tensor, *of);
        let largest = runs.largest(tensor)?;
        let share = |place: usize, number: f64| match largest[place] {
            0.0 => 0.0,
            largest => (number / largest).powf(power),
        };
        let sums = runs.reduced(tensor, &share, |sum, own| sum + own)?;
        let pairs = sums.into_iter().zip(&largest);
        Ok(pairs
            .map(|(sum, largest)| match largest.is_infinite() {
                true => f64::INFINITY,
                false => power * largest.ln() + sum.max(1.0).ln(),
            })
            .collect())
    });
    axes.collect()
}

/// The logarithm of the sum of two numbers, from theirs.
pub(super) fn log_sum(a: f64, b: f64) -> f64 {
    let (least, largest) = if a < b { (a, b) } else { (b, a) };
    match least {
        f64::NEG_INFINITY => largest,
        _ if largest.is_infinite() => largest,
        _ => largest + (least - largest).exp().ln_1p(),
    }
}

/// A tensor as runs of numbers that stand side by side at one position of an axis.
struct Runs {
    size: usize,
    blocks: usize,
    inner: usize,
    count: usize,
}

impl Runs {
    fn of(tensor: &TensorProto, of: Wanted) -> Runs {
        let dims: Vec<usize> = tensor.dims.iter().map(|&dim| dim as usize).collect();
        Runs {
            size: dims[of.axis],
            blocks: of.blocks.max(1),
            inner: dims[of.axis + 1..].iter().product(),
            count: dims[..=of.axis].iter().product(),
        }
    }

    fn largest(&self, tensor: &TensorProto) -> Result<Vec<f64>> {
        let larger = |a: f64, b: f64| match a.is_nan() || a > b {
            true => a,
            false => b,
        };
        self.reduced(tensor, &|_, number| number, larger)
    }

    /// What the measures of the absolute numbers at every position come to, piece by piece in a fixed order.
    fn reduced(
        &self,
        tensor: &TensorProto,
        measure: &(dyn Fn(usize, f64) -> f64 + Sync),
        join: impl Fn(f64, f64) -> f64 + Sync,
    ) -> Result<Vec<f64>> {
        let bytes = packed_bytes(tensor)?;
        let mut out = vec![0.0; self.size * self.blocks];
        if self.count * self.inner == 0 {
            return Ok(out);
        }
        let long = (PIECE / self.inner).max(1);
        let starts: Vec<usize> = (0..self.count).step_by(long).collect();
        let piece = |&start: &usize| -> Result<(Range<usize>, Vec<f64>)> {
            let runs = start..self.count.min(start + long);
            let range = runs.start * self.inner..runs.end * self.inner;
            let numbers = numbers(tensor, &bytes, range)?;
            let reduced = runs.clone().zip(numbers.chunks_exact(self.inner));
            let reduced = reduced.map(|(run, numbers)| {
                let place = self.place(run);
                let measures = numbers.iter().map(|&x| measure(place, f64::from(x).abs()));
                measures.fold(0.0, &join)
            });
            Ok((runs.clone(), reduced.collect()))
        };
        for starts in starts.chunks(WINDOW) {
            let read: Result<Vec<_>> = starts.par_iter().map(piece).collect();
            for (run, own) in read?.into_iter().flat_map(|(runs, own)| runs.zip(own)) {
                let sum = &mut out[self.place(run)];
                *sum = join(*sum, own);
            }
        }
        Ok(out)
    }

    /// The position of a run, counted apart in every block.
    fn place(&self, run: usize) -> usize {
        let (outer, position) = (run / self.size, run % self.size);
        let rows = (self.count / self.size / self.blocks).max(1);
        outer / rows * self.size + position
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{ElementType, from_raw};

    fn tensor(dims: &[usize], numbers: &[f32]) -> TensorProto {
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        from_raw("w", ElementType::Float, dims, bytes)
    }

    #[test]
    fn positions_are_reduced_as_by_hand() {
        let numbers: Vec<f32> = (0..24).map(|n| n as f32 - 12.0).collect();
        let tensor = tensor(&[4, 3, 2], &numbers);
        let of = |axis, blocks| Wanted { axis, blocks };
        let largest = axis_largest(&tensor, &[of(0, 1), of(1, 1), of(2, 1), of(1, 2)]);
        let largest = largest.expect("numbers");
        assert_eq!(largest[0], [12.0, 6.0, 5.0, 11.0]);
        assert_eq!(largest[1], [12.0, 10.0, 11.0]);
        assert_eq!(largest[2], [12.0, 11.0]);
        assert_eq!(largest[3], [12.0, 10.0, 8.0, 7.0, 9.0, 11.0]);
        for power in [0.5, 1.0, 2.0, 3.0, 7.5] {
            let logs = axis_powers(&tensor, &[of(1, 2)], power).expect("numbers");
            for (place, log) in logs[0].iter().enumerate() {
                let (block, position) = (place / 3, place % 3);
                let own = (0..24).filter(|n| n / 12 == block && n / 2 % 3 == position);
                let sum: f64 = own.map(|n| f64::from(numbers[n]).abs().powf(power)).sum();
                assert!((log - sum.ln()).abs() < 1e-12, "{power} {place}");
            }
        }
    }

    #[test]
    fn no_power_is_too_large() {
        let tensor = tensor(&[3, 2], &[1e-30, 2e-30, 1e30, 2e30, 0.0, 0.0]);
        let wanted = [Wanted { axis: 0, blocks: 1 }];
        let logs = axis_powers(&tensor, &wanted, 400.0).expect("numbers");
        for (log, largest) in logs[0].iter().zip([2e-30_f64, 2e30]) {
            assert!((log / 400.0 - largest.ln()).abs() < 1e-6);
        }
        assert_eq!(logs[0][2], f64::NEG_INFINITY);
        assert_eq!(log_sum(f64::NEG_INFINITY, 3.0), 3.0);
        assert!((log_sum(1.0, 2.0) - (1_f64.exp() + 2_f64.exp()).ln()).abs() < 1e-12);
    }
}
