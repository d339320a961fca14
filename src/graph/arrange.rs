//! New nodes that cut, join, pad and scatter arrays, and that multiply matrices and convolve.

use super::{Array, Emitter, broadcast_sizes, float, int, ints, text};
use crate::onnx::ElementType;
use crate::onnx::proto::AttributeProto;

/// Inputs of one Concat; more are joined in steps.
const MOST_PARTS: usize = 8;

/// A range of positions of an axis: the first one, the number of them and the step from one to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) axis: usize,
    pub(crate) start: usize,
    pub(crate) count: usize,
    pub(crate) step: usize,
}

impl Emitter {
    /// Positions `start..start + count` of an axis.
    pub(crate) fn part(&mut self, x: &Array, axis: usize, start: usize, count: usize) -> Array {
        let range = Span {
            axis,
            start,
            count,
            step: 1,
        };
        self.slice(x, &[range])
    }

    /// Ranges of positions, at most one of an axis.
    pub(crate) fn slice(&mut self, x: &Array, ranges: &[Span]) -> Array {
        let wanted = ranges.iter();
        let wanted = wanted.filter(|r| (r.start, r.count) != (0, x.sizes[r.axis]));
        let wanted: Vec<Span> = wanted.copied().collect();
        if wanted.is_empty() {
            return x.clone();
        }
        let mut sizes = x.sizes.clone();
        wanted.iter().for_each(|r| sizes[r.axis] = r.count);
        let list = |of: &dyn Fn(&Span) -> usize| -> Vec<i64> {
            wanted.iter().map(|range| of(range) as i64).collect()
        };
        let starts = list(&|r| r.start);
        let ends = list(&|r| r.start + r.count.saturating_sub(1) * r.step + r.count.min(1));
        let (axes, steps) = (list(&|r| r.axis), list(&|r| r.step));
        if self.opset() < 10 {
            return self.slice_of_old(x, &wanted, [starts, ends, axes], sizes);
        }
        let lists = [starts, ends, axes, steps].map(|list| self.list(&list));
        let names = [&*x.name, &lists[0], &lists[1], &lists[2], &lists[3]];
        self.node("Slice", &names, Vec::new(), (sizes, x.element))
    }

    /// Before version 10 ranges are attributes and have no steps.
    fn slice_of_old(
        &mut self,
        x: &Array,
        ranges: &[Span],
        [starts, ends, axes]: [Vec<i64>; 3],
        sizes: Vec<usize>,
    ) -> Array {
        if ranges.iter().all(|range| range.step == 1) {
            let names = ["starts", "ends", "axes"];
            let lists = names.iter().zip([starts, ends, axes]);
            let attributes = lists.map(|(name, list)| ints(name, &list)).collect();
            return self.node("Slice", &[&x.name], attributes, (sizes, x.element));
        }
        ranges.iter().fold(x.clone(), |x, range| {
            let places = (0..range.count).map(|n| (range.start + n * range.step) as i64);
            self.gather(&x, range.axis, &places.collect::<Vec<_>>())
        })
    }

    /// Positions of an axis, by number.
    pub(crate) fn gather(&mut self, x: &Array, axis: usize, places: &[i64]) -> Array {
        let list = self.list(places);
        let mut sizes = x.sizes.clone();
        sizes[axis] = places.len();
        let attributes = vec![int("axis", axis as i64)];
        self.node("Gather", &[&x.name, &list], attributes, (sizes, x.element))
    }

    /// The positions of an axis from the last to the first.
    pub(crate) fn reversed(&mut self, x: &Array, axis: usize) -> Array {
        if x.sizes[axis] <= 1 {
            return x.clone();
        }
        if self.opset() < 10 {
            let places: Vec<i64> = (0..x.sizes[axis] as i64).rev().collect();
            return self.gather(x, axis, &places);
        }
        let lists = [[-1], [i64::MIN], [axis as i64], [-1]].map(|list| self.list(&list));
        let names = [&*x.name, &lists[0], &lists[1], &lists[2], &lists[3]];
        self.node("Slice", &names, Vec::new(), (x.sizes.clone(), x.element))
    }

    /// Arrays one after the other along an axis.
    pub(crate) fn concat(&mut self, parts: &[Array], axis: usize) -> Array {
        let mut parts = parts.to_vec();
        while parts.len() > 1 {
            // What is joined early is copied again: the smallest neighbours.
            let few = match parts.len().checked_sub(MOST_PARTS) {
                None | Some(0) => parts.len(),
                Some(more) => MOST_PARTS.min(more + 1),
            };
            let size = |start: &usize| -> usize {
                parts[*start..start + few].iter().map(Array::count).sum()
            };
            let start = (0..=parts.len() - few).min_by_key(size).unwrap_or(0);
            let joined = self.concat_few(&parts[start..start + few], axis);
            parts.splice(start..start + few, [joined]);
        }
        parts
            .pop()
            .unwrap_or_else(|| self.number(0.0, ElementType::Float))
    }

    fn concat_few(&mut self, parts: &[Array], axis: usize) -> Array {
        if let [only] = parts {
            return only.clone();
        }
        let mut sizes = parts[0].sizes.clone();
        sizes[axis] = parts.iter().map(|part| part.sizes[axis]).sum();
        let names: Vec<&str> = parts.iter().map(|part| &*part.name).collect();
        let made = (sizes, parts[0].element);
        self.node("Concat", &names, vec![int("axis", axis as i64)], made)
    }

    /// Zeros before and behind each axis; numbers below zero cut off.
    pub(crate) fn pad(&mut self, x: &Array, before: &[i64], behind: &[i64]) -> Array {
        self.pad_with(x, before, behind, 0.0)
    }

    /// As [`Emitter::pad`], with another number.
    pub(crate) fn pad_with(
        &mut self,
        x: &Array,
        before: &[i64],
        behind: &[i64],
        number: f64,
    ) -> Array {
        if before.iter().chain(behind).all(|&n| n == 0) {
            return x.clone();
        }
        let sizes = x.sizes.iter().zip(before.iter().zip(behind));
        let sizes = sizes.map(|(&size, (before, behind))| {
            usize::try_from(size as i64 + before + behind).unwrap_or_default()
        });
        let made = (sizes.collect(), x.element);
        let pads = [before, behind].concat();
        if self.opset() < 11 {
            let attributes = vec![ints("pads", &pads), float("value", number as f32)];
            return self.node("Pad", &[&x.name], attributes, made);
        }
        let list = self.list(&pads);
        if number == 0.0 {
            return self.node("Pad", &[&x.name, &list], Vec::new(), made);
        }
        let number = self.number(number, x.element);
        self.node("Pad", &[&x.name, &list, &number.name], Vec::new(), made)
    }

    /// `x` at positions `start..` of an axis of this size, zeros elsewhere.
    pub(crate) fn placed(&mut self, x: &Array, axis: usize, start: usize, size: usize) -> Array {
        let mut pads = [vec![0; x.rank()], vec![0; x.rank()]];
        pads[0][axis] = start as i64;
        pads[1][axis] = (size - start - x.sizes[axis]) as i64;
        self.pad(x, &pads[0], &pads[1])
    }

    /// As [`Emitter::placed`], at every `step`-th position.
    pub(crate) fn spread(&mut self, x: &Array, range: Span, size: usize) -> Array {
        let Span {
            axis, start, step, ..
        } = range;
        if step == 1 || x.sizes[axis] <= 1 {
            return self.placed(x, axis, start, size);
        }
        let mut apart = x.sizes.clone();
        apart.insert(axis + 1, 1);
        let single = self.reshape(x, &apart);
        let padded = self.placed(&single, axis + 1, 0, step);
        let mut joined = x.sizes.clone();
        joined[axis] *= step;
        let joined = self.reshape(&padded, &joined);
        // What follows the last one is zero.
        let used = joined.sizes[axis].min(size - start);
        let cut = self.part(&joined, axis, 0, used);
        self.placed(&cut, axis, start, size)
    }

    /// The product of two matrices, either of them transposed, times a factor.
    pub(crate) fn gemm(
        &mut self,
        a: &Array,
        b: &Array,
        transposed: [bool; 2],
        alpha: f32,
    ) -> Array {
        let rows = a.sizes[usize::from(transposed[0])];
        let columns = b.sizes[usize::from(!transposed[1])];
        let attributes = vec![
            int("transA", transposed[0].into()),
            int("transB", transposed[1].into()),
            float("alpha", alpha),
        ];
        let made = (vec![rows, columns], a.element);
        if self.opset() < 11 {
            let zero = self.number(0.0, a.element);
            let names = [&*a.name, &b.name, &zero.name];
            return self.node("Gemm", &names, attributes, made);
        }
        self.node("Gemm", &[&a.name, &b.name], attributes, made)
    }

    /// The products of the matrices of two arrays, whose axes before the last two are broadcast.
    pub(crate) fn matmul(&mut self, a: &Array, b: &Array) -> Array {
        let [outer_a, outer_b] = [a, b].map(|x| &x.sizes[..x.rank().saturating_sub(2)]);
        let mut sizes = broadcast_sizes(outer_a, outer_b);
        sizes.extend(
            a.sizes
                .iter()
                .rev()
                .nth(1)
                .into_iter()
                .chain(b.sizes.last()),
        );
        let made = (sizes, a.element);
        self.node("MatMul", &[&a.name, &b.name], Vec::new(), made)
    }

    /// A convolution or a transposed one, with the sizes of its result.
    pub(crate) fn convolve(
        &mut self,
        operator: &str,
        [x, weight]: [&Array; 2],
        attributes: Vec<AttributeProto>,
        sizes: &[usize],
    ) -> Array {
        let made = (sizes.to_vec(), x.element);
        self.node(operator, &[&x.name, &weight.name], attributes, made)
    }

    /// Zeros of these sizes with the rows of `updates` added where `indices` say: as ScatterND of version 16 has it.
    pub(crate) fn scatter_nd(
        &mut self,
        indices: &Array,
        updates: &Array,
        sizes: &[usize],
    ) -> Array {
        let zeros = self.full(0.0, sizes, updates.element);
        let names = [&*zeros.name, &indices.name, &updates.name];
        let made = (sizes.to_vec(), updates.element);
        self.node("ScatterND", &names, vec![text("reduction", "add")], made)
    }

    /// A product of arrays by letters.
    pub(crate) fn einsum(&mut self, equation: &str, parts: &[&Array], sizes: &[usize]) -> Array {
        let names: Vec<&str> = parts.iter().map(|part| &*part.name).collect();
        let element = parts[0].element;
        let attributes = vec![text("equation", equation)];
        self.node("Einsum", &names, attributes, (sizes.to_vec(), element))
    }
}
