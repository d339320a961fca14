//! What one batch of an input looks like: its form, and what its numbers have in common.

use std::collections::HashSet;

use ndarray::{Array2, ArrayD, Axis, IxDyn};

use crate::onnx::ElementType;
use crate::runtime::Tensor;

/// An input as one batch shows it.
pub(super) struct InputFacts {
    pub(super) element: ElementType,
    /// The axis that counts samples.
    pub(super) axis: Option<usize>,
    /// The numbers, samples along the first axis (where samples are counted at all).
    numbers: ArrayD<f64>,
}

impl InputFacts {
    pub(super) fn of(tensor: &Tensor, axis: Option<usize>) -> InputFacts {
        let axis = axis.filter(|&axis| axis < tensor.shape().len());
        // A tensor has as many numbers as its shape says.
        let numbers = ArrayD::from_shape_vec(IxDyn(tensor.shape()), tensor.to_f64());
        let mut numbers = numbers.unwrap_or_else(|_| ArrayD::zeros(IxDyn(tensor.shape())));
        for place in (0..axis.unwrap_or(0)).rev() {
            numbers.swap_axes(place, place + 1);
        }
        InputFacts {
            element: tensor.element(),
            axis,
            numbers: numbers.as_standard_layout().into_owned(),
        }
    }

    /// The sizes of one sample.
    pub(super) fn sizes(&self) -> &[usize] {
        self.numbers.shape().get(1..).unwrap_or_default()
    }

    pub(super) fn is_token_type(&self) -> bool {
        matches!(self.element, ElementType::Int32 | ElementType::Int64)
    }

    /// The length of a sample that is one line of numbers, whatever axes of size 1 are around it.
    pub(super) fn length(&self) -> Option<usize> {
        let mut long = self.sizes().iter().filter(|&&size| size != 1);
        match (self.axis, long.next(), long.next()) {
            (Some(_), Some(&length), None) => Some(length),
            _ => None,
        }
    }

    /// A whole number per sample, which may say how long it is.
    pub(super) fn counts(&self) -> bool {
        let alone = self.sizes().iter().all(|&size| size == 1);
        self.axis.is_some() && alone && !self.element.is_float() && !self.is_shared()
    }

    /// How many different numbers there are, `most` at most.
    pub(super) fn distinct(&self, most: usize) -> usize {
        let mut seen = HashSet::new();
        for number in &self.numbers {
            if seen.len() >= most {
                break;
            }
            // 0 and -0 are one number.
            seen.insert((number + 0.0).to_bits());
        }
        seen.len()
    }

    /// Only 0 and 1.
    pub(super) fn is_binary(&self) -> bool {
        let mut numbers = self.numbers.iter();
        numbers.all(|&number| number == 0.0 || number == 1.0)
    }

    /// The same for every sample, of several.
    pub(super) fn is_shared(&self) -> bool {
        if self.axis.is_none() {
            return true;
        }
        let mut samples = self.numbers.axis_iter(Axis(0));
        let Some(first) = samples.next() else {
            return false;
        };
        self.numbers.shape()[0] > 1 && samples.all(|sample| sample == first)
    }

    /// The lines of all samples; empty where a sample is none.
    pub(super) fn lines(&self) -> Array2<f64> {
        let Some(length) = self.length() else {
            return Array2::default((0, 0));
        };
        let numbers = self.numbers.iter().copied().collect();
        Array2::from_shape_vec((self.numbers.shape()[0], length), numbers).unwrap_or_default()
    }

    /// Every sample ascends, or goes on by 0 or 1 but for one place: where the padding begins or ends.
    pub(super) fn are_positions(&self) -> bool {
        let lines = self.lines();
        let steps = |line: ndarray::ArrayView1<f64>| -> Vec<f64> {
            let next = line.iter().skip(1);
            line.iter().zip(next).map(|(a, b)| b - a).collect()
        };
        let ascends = |steps: &Vec<f64>| steps.iter().all(|&step| step >= 0.0);
        let jumps_once = |steps: &Vec<f64>| {
            let jumps = steps.iter().filter(|&&step| step != 0.0 && step != 1.0);
            jumps.count() <= 1
        };
        let all: Vec<Vec<f64>> = lines.outer_iter().map(steps).collect();
        all.iter().all(ascends) || all.iter().all(jumps_once)
    }

    /// True if numbers beside each other along an axis of the sample resemble each other, as those of images and
    /// signals do: their correlation is a half at least.
    pub(super) fn is_smooth(&self, axis: usize) -> bool {
        let Some(&size) = self.sizes().get(axis) else {
            return false;
        };
        let mut squares = (0.0, 0_u64);
        let along = Axis(axis + 1);
        for place in 1..size {
            let here = self.numbers.index_axis(along, place);
            let before = self.numbers.index_axis(along, place - 1);
            for (a, b) in here.iter().zip(before.iter()) {
                squares = (squares.0 + (a - b) * (a - b), squares.1 + 1);
            }
        }
        let variance = self
            .deviation()
            .map_or(0.0, |deviation| deviation * deviation);
        variance > 0.0 && squares.1 > 0 && squares.0 / squares.1 as f64 <= variance
    }

    /// The standard deviation of all numbers; none where one is not finite.
    pub(super) fn deviation(&self) -> Option<f64> {
        let count = self.numbers.len().max(1) as f64;
        let mean = self.numbers.iter().sum::<f64>() / count;
        let squares = self.numbers.iter().map(|x| (x - mean) * (x - mean));
        let deviation = (squares.sum::<f64>() / count).sqrt();
        deviation.is_finite().then_some(deviation)
    }
}
