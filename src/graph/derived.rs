//! Forms that gradients are made of, from simpler nodes.

use super::{Array, Emitter, int};
use crate::onnx::ElementType;

impl Emitter {
    /// `a` with the sign of `x`, 0 where that is 0.
    pub(crate) fn signed_as(&mut self, a: &Array, x: &Array) -> Array {
        let (above, below) = (self.above(x, 0.0), self.below(x, 0.0));
        let opposite = self.neg(a);
        let other = self.keep_where(&below, &opposite);
        self.choose(&above, a, &other)
    }

    /// At each position of an axis the sum of those up to `before` ahead of it and `behind` after it.
    pub(crate) fn neighbours(
        &mut self,
        x: &Array,
        axis: usize,
        [before, behind]: [usize; 2],
    ) -> Array {
        let size = x.sizes[axis];
        let mut pads = [vec![0; x.rank()], vec![0; x.rank()]];
        pads[0][axis] = before as i64;
        pads[1][axis] = behind as i64;
        let padded = self.pad(x, &pads[0], &pads[1]);
        let parts: Vec<Array> = (0..=before + behind)
            .map(|start| self.part(&padded, axis, start, size))
            .collect();
        self.total(&parts)
    }

    /// Cut off at `-limit` and `limit`.
    pub(crate) fn bounded(&mut self, x: &Array, limit: f64) -> Array {
        let [low, high] = [-limit, limit].map(|number| self.number(number, x.element));
        let made = (x.sizes.clone(), x.element);
        if self.opset() >= 8 {
            let above = self.node("Max", &[&x.name, &low.name], Vec::new(), made.clone());
            return self.node("Min", &[&above.name, &high.name], Vec::new(), made);
        }
        let below = self.less(x, &low);
        let cut = self.choose(&below, &low, x);
        let above = self.greater(x, &high);
        self.choose(&above, &high, &cut)
    }

    /// The sum of arrays of the same sizes.
    pub(crate) fn total(&mut self, parts: &[Array]) -> Array {
        let mut parts = parts.iter();
        let first = parts.next().cloned();
        let first = first.unwrap_or_else(|| self.number(0.0, ElementType::Float));
        parts.fold(first, |sum, part| self.add(&sum, part))
    }

    /// The product of all numbers along axes, which stay with size 1.
    pub(crate) fn product(&mut self, x: &Array, axes: &[usize]) -> Array {
        self.reduce("ReduceProd", x, axes, true)
    }

    /// Zeros of an axis of this size with the parts of `x` at different positions, which `indices` say.
    pub(crate) fn at_positions(
        &mut self,
        indices: &Array,
        x: &Array,
        axis: usize,
        size: usize,
    ) -> Array {
        let mut sizes = x.sizes.clone();
        sizes[axis] = size;
        if self.opset() >= 9 {
            let operator = if self.opset() >= 11 {
                "ScatterElements"
            } else {
                "Scatter"
            };
            let zeros = self.full(0.0, &sizes, x.element);
            let names = [&*zeros.name, &indices.name, &x.name];
            return self.node(
                operator,
                &names,
                vec![int("axis", axis as i64)],
                (sizes, x.element),
            );
        }
        let mut apart = x.sizes.clone();
        apart.insert(axis + 1, 1);
        let indices = self.reshape(indices, &apart);
        let x = self.reshape(x, &apart);
        let mut along = vec![1; apart.len()];
        along[axis + 1] = size;
        let places: Vec<f64> = (0..size).map(|place| place as f64).collect();
        let places = self.constant(&places, &along, indices.element);
        let here = self.equal(&indices, &places);
        let here = self.cast(&here, x.element);
        let spread = self.mul(&x, &here);
        self.sum(&spread, &[axis], false)
    }

    /// One where two axes of size `size` have the same position, else zero, with size 1 elsewhere.
    pub(crate) fn diagonal(
        &mut self,
        size: usize,
        axes: [usize; 2],
        rank: usize,
        element: ElementType,
    ) -> Array {
        let mut sizes = vec![1; rank];
        axes.iter().for_each(|&axis| sizes[axis] = size);
        let one = |place: usize| f64::from(u8::from(place % (size + 1) == 0));
        let numbers: Vec<f64> = (0..size * size).map(one).collect();
        self.constant(&numbers, &sizes, element)
    }

    /// The sum of all rows of `updates` that have the same number in `indices`, for numbers below `count`.
    pub(crate) fn added_rows(&mut self, indices: &Array, updates: &Array, count: usize) -> Array {
        let rows = indices.count();
        let width = updates.count() / rows.max(1);
        let indices = self.reshape(indices, &[rows, 1]);
        let updates = self.reshape(updates, &[rows, width]);
        if self.opset() >= 16 {
            let indices = self.cast(&indices, ElementType::Int64);
            return self.scatter_nd(&indices, &updates, &[count, width]);
        }
        let places: Vec<f64> = (0..count).map(|place| place as f64).collect();
        let places = self.constant(&places, &[1, count], indices.element);
        let here = self.equal(&indices, &places);
        let here = self.cast(&here, updates.element);
        self.gemm(&here, &updates, [true, false], 1.0)
    }

    /// The sum of all positions up to each one, or from each one on.
    pub(crate) fn cumulated(
        &mut self,
        x: &Array,
        axis: &str,
        exclusive: bool,
        reverse: bool,
    ) -> Array {
        let attributes = vec![
            int("exclusive", exclusive.into()),
            int("reverse", reverse.into()),
        ];
        self.node(
            "CumSum",
            &[&x.name, axis],
            attributes,
            (x.sizes.clone(), x.element),
        )
    }

    /// The upper or lower part of each matrix, from this diagonal.
    pub(crate) fn triangle(&mut self, x: &Array, shift: Option<&Array>, upper: bool) -> Array {
        let mut names = vec![&*x.name];
        names.extend(shift.map(|shift| &*shift.name));
        let made = (x.sizes.clone(), x.element);
        self.node("Trilu", &names, vec![int("upper", upper.into())], made)
    }
}
