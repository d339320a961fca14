//! Axes that lose whole units: blocks of codes, and bytes in which several stand.

use crate::axes::{Extent, Type};
use crate::graph::ValueId;
use crate::ops::typing::{Ruling, Typing};

/// Why an inner factor keeps its positions.
pub(super) const IN_A_BLOCK: &str = "is a place in a block of codes";

/// An axis of which whole units go.
pub(super) struct Units(Type);

impl Units {
    /// An axis whose positions go one by one.
    pub(super) fn each(axis: &Type) -> Units {
        Units(axis.clone())
    }

    /// An axis in units of this many positions; held where they do not divide it.
    pub(super) fn of(op: &mut Typing, axis: &Type, size: usize) -> Ruling<Units> {
        let whole = op.size(axis)?;
        if size <= 1 || whole == 0 || !whole.is_multiple_of(size) {
            if size > 1 {
                op.pin(axis, "does not divide into the blocks of a weight's codes");
            }
            return Ok(Units(axis.clone()));
        }
        let sizes = [Extent::from(whole / size), Extent::from(size)];
        let factors = op.factor(axis, &sizes);
        op.pin(&factors[1], IN_A_BLOCK);
        Ok(Units(factors[0].clone()))
    }

    /// Joins an axis that has one position for each `positions` of the first one, or several, as its size says.
    pub(super) fn join(&self, op: &mut Typing, axis: &Type) {
        let whole = op.extent(axis);
        let units = op.extent(&self.0);
        if whole == units {
            return op.unify(axis, &self.0);
        }
        match whole.div_exact(&units) {
            Some(inner) => {
                let inner = op.fixed(inner, IN_A_BLOCK);
                op.unify(axis, &Type::Product(vec![self.0.clone(), inner]));
            }
            // A last block or byte is not full.
            None => {
                op.pin(
                    &self.0,
                    "does not divide into the blocks of a weight's codes",
                );
                op.pin(axis, IN_A_BLOCK);
            }
        }
    }

    /// As [`Units::join`], of the last axis of a list that may be flattened, behind other axes.
    pub(super) fn join_last(&self, op: &mut Typing, outer: &[Type], axes: &[Type]) {
        if let [flat] = axes
            && !outer.is_empty()
        {
            let rows = op.extents(outer);
            let rows = rows.iter().try_fold(Extent::ONE, |n, size| n.mul(size));
            let inner = rows.and_then(|rows| op.extent(flat).div_exact(&rows));
            let Some(inner) = inner else {
                return op.pin(flat, "has an unusual size");
            };
            let mut sizes = op.extents(outer);
            sizes.push(inner);
            let parts = op.factor(flat, &sizes);
            return self.join_last(op, outer, &parts);
        }
        let Some((last, before)) = axes.split_last() else {
            return;
        };
        if before.len() != outer.len() {
            return op.pin_all(axes, "has an unusual rank");
        }
        let pairs = before.iter().zip(outer);
        pairs.for_each(|(axis, outer)| op.unify(axis, outer));
        self.join(op, last);
    }
}

/// True if one node reads a value, and neither a body nor who runs the model does.
fn is_read_once(op: &Typing, value: ValueId) -> bool {
    let known = op.graph.value(value);
    known.consumers.len() == 1 && !known.is_output && !op.graph.is_captured(value)
}

/// Joins the rows of a constant of bytes, each of which holds several codes, to these axes. Its bytes are no positions of
/// anything: codes go from them one by one. False where others read the constant as well, or its sizes are unusual.
pub(super) fn rows_of_bytes(
    op: &mut Typing,
    (slot, axes): (usize, &[Type]),
    outer: &[Type],
    width: usize,
) -> bool {
    let alone = op.value(slot).is_some_and(|value| is_read_once(op, value));
    let mut sizes = op.extents(outer);
    sizes.push(Extent::from(width));
    let parts = match axes {
        [flat] if !outer.is_empty() => {
            let whole = sizes.iter().try_fold(Extent::ONE, |n, size| n.mul(size));
            if whole != Some(op.extent(flat)) || !alone || !op.is_constant(slot) {
                return false;
            }
            op.factor(flat, &sizes)
        }
        axes => axes.to_vec(),
    };
    let Some((bytes, rows)) = parts.split_last() else {
        return false;
    };
    if op.extents(&parts) != sizes || !alone || !op.is_constant(slot) {
        return false;
    }
    op.pin(bytes, IN_A_BLOCK);
    let pairs = rows.iter().zip(outer);
    pairs.for_each(|(row, outer)| op.unify(row, outer));
    true
}
