//! Numbers of values, and what they range over by position of an axis.

use std::collections::HashMap;

use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::ValueId;
use crate::onnx::to_f32;
use crate::runtime::Tensor;

/// Differences between places that rounding makes of a constant.
const SAME: f32 = 1e-5;

/// A value's numbers.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    pub(super) shape: Vec<usize>,
    pub(super) data: Vec<f32>,
}

/// Least and greatest number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    least: f32,
    greatest: f32,
}

impl Range {
    const EMPTY: Range = Range {
        least: f32::INFINITY,
        greatest: f32::NEG_INFINITY,
    };

    fn include(&mut self, x: f32) {
        // Not a number is neither zero nor constant.
        let x = if x.is_nan() { f32::INFINITY } else { x };
        self.least = self.least.min(x);
        self.greatest = self.greatest.max(x);
    }

    pub(super) fn is_zero(self) -> bool {
        self.least == 0.0 && self.greatest == 0.0
    }

    /// The number, if there is only one.
    pub(super) fn constant(self) -> Option<f32> {
        let size = self.least.abs().max(self.greatest.abs());
        let spread = self.greatest - self.least;
        (size.is_finite() && spread <= SAME * size).then_some((self.least + self.greatest) / 2.0)
    }
}

impl Numbers {
    /// By position of an axis.
    pub(super) fn ranges(&self, axis: usize) -> Vec<Range> {
        let size = self.shape[axis];
        let inner: usize = self.shape[axis + 1..].iter().product();
        let mut out = vec![Range::EMPTY; size];
        for (block, numbers) in self.data.chunks(inner.max(1)).enumerate() {
            let range = &mut out[block % size.max(1)];
            numbers.iter().for_each(|&x| range.include(x));
        }
        out
    }
}

/// Constants of a model and values seen in a run, with their ranges.
pub(super) struct Seen<'a> {
    analysis: &'a Analysis,
    observed: HashMap<ValueId, Numbers>,
    ranges: HashMap<(ValueId, usize), Vec<Range>>,
}

impl<'a> Seen<'a> {
    pub(super) fn new(analysis: &'a Analysis) -> Seen<'a> {
        Seen {
            analysis,
            observed: HashMap::new(),
            ranges: HashMap::new(),
        }
    }

    pub(super) fn observe(&mut self, value: ValueId, tensor: &Tensor) {
        let data = tensor.to_f64().into_iter().map(|x| x as f32).collect();
        let shape = tensor.shape().to_vec();
        self.observed.insert(value, Numbers { shape, data });
    }

    /// The numbers of a value that is a constant or was observed.
    pub(super) fn numbers(&mut self, value: ValueId) -> Result<Option<&Numbers>> {
        if let Some(tensor) = self.analysis.graph().constant(value)
            && !self.observed.contains_key(&value)
        {
            let numbers = Numbers {
                shape: tensor.dims.iter().map(|&dim| dim as usize).collect(),
                data: to_f32(tensor)?,
            };
            self.observed.insert(value, numbers);
        }
        Ok(self.observed.get(&value))
    }

    /// The ranges by position of an axis; none for a value that is not known.
    pub(super) fn ranges(&mut self, value: ValueId, axis: usize) -> Result<&[Range]> {
        if !self.ranges.contains_key(&(value, axis)) {
            let ranges = self.numbers(value)?.map(|numbers| numbers.ranges(axis));
            self.ranges
                .insert((value, axis), ranges.unwrap_or_default());
        }
        Ok(&self.ranges[&(value, axis)])
    }
}
