//! Sums over axes, and what is repeated along them.

use super::emit::signed;
use super::{Array, Emitter, int, ints};
use crate::onnx::ElementType;

impl Emitter {
    /// The sum over axes, which stay with size 1 or go.
    pub(crate) fn sum(&mut self, x: &Array, axes: &[usize], keep: bool) -> Array {
        self.reduce("ReduceSum", x, axes, keep)
    }

    /// The largest number along axes, which stay with size 1.
    pub(crate) fn max(&mut self, x: &Array, axes: &[usize]) -> Array {
        self.reduce("ReduceMax", x, axes, true)
    }

    pub(super) fn reduce(
        &mut self,
        operator: &str,
        x: &Array,
        axes: &[usize],
        keep: bool,
    ) -> Array {
        if axes.is_empty() {
            return x.clone();
        }
        let sizes = x.sizes.iter().enumerate();
        let sizes = sizes.filter_map(|(axis, &size)| match axes.contains(&axis) {
            true => keep.then_some(1),
            false => Some(size),
        });
        let made = (sizes.collect(), x.element);
        let mut attributes = vec![int("keepdims", keep.into())];
        let as_input = match operator {
            "ReduceSum" => self.opset() >= 13,
            _ => self.opset() >= 18,
        };
        if as_input {
            let list = self.list(&signed(axes));
            return self.node(operator, &[&x.name, &list], attributes, made);
        }
        attributes.push(ints("axes", &signed(axes)));
        self.node(operator, &[&x.name], attributes, made)
    }

    /// The mean over axes, which stay with size 1.
    pub(crate) fn mean(&mut self, x: &Array, axes: &[usize]) -> Array {
        let count: usize = axes.iter().map(|&axis| x.sizes[axis]).product();
        let sum = self.sum(x, axes, true);
        self.scale(&sum, 1.0 / count.max(1) as f64)
    }

    /// What was broadcast from `sizes`, summed back to them.
    pub(crate) fn sum_to(&mut self, x: &Array, sizes: &[usize]) -> Array {
        if x.sizes == sizes {
            return x.clone();
        }
        let leading = x.rank().saturating_sub(sizes.len());
        let stretched =
            (leading..x.rank()).filter(|&axis| sizes[axis - leading] == 1 && x.sizes[axis] != 1);
        let stretched: Vec<usize> = stretched.collect();
        if stretched.is_empty() {
            let axes: Vec<usize> = (0..leading).collect();
            return self.sum(x, &axes, false);
        }
        let axes: Vec<usize> = (0..leading).chain(stretched).collect();
        let sum = self.sum(x, &axes, true);
        self.reshape(&sum, sizes)
    }

    /// Repeated along axes of size 1, or new ones before the others.
    pub(crate) fn expand(&mut self, x: &Array, sizes: &[usize]) -> Array {
        if x.sizes == sizes {
            return x.clone();
        }
        if self.opset() >= 8 {
            let list = self.list(&signed(sizes));
            let made = (sizes.to_vec(), x.element);
            return self.node("Expand", &[&x.name, &list], Vec::new(), made);
        }
        let mut own = vec![1; sizes.len().saturating_sub(x.rank())];
        own.extend(&x.sizes);
        let times = sizes.iter().zip(&own);
        let times: Vec<i64> = times
            .map(|(&to, &from)| (to / from.max(1)) as i64)
            .collect();
        let x = self.reshape(x, &own);
        let list = self.list(&times);
        self.node(
            "Tile",
            &[&x.name, &list],
            Vec::new(),
            (sizes.to_vec(), x.element),
        )
    }

    /// An array full of one number.
    pub(crate) fn full(&mut self, number: f64, sizes: &[usize], element: ElementType) -> Array {
        let number = self.number(number, element);
        self.expand(&number, sizes)
    }
}
