//! The two factors of a product of matrices, as they are multiplied, and what their axes are in it.

use crate::axes::Type;
use crate::ops::facts::{Operand, Role};
use crate::ops::typing::{Ruling, Typing};

/// One factor: an input with its axes in the order in which they are multiplied, matrices last.
pub(in crate::ops) struct Factor {
    pub(in crate::ops) slot: usize,
    pub(in crate::ops) axes: Vec<Type>,
    /// By axis of the factor that of the input.
    pub(in crate::ops) order: Vec<usize>,
    /// False where batches of the input stand between the axes of its matrices.
    in_order: bool,
}

impl Factor {
    /// The input as it is.
    pub(in crate::ops) fn of(op: &mut Typing, slot: usize) -> Ruling<Factor> {
        let axes = op.input(slot)?;
        Ok(Factor::with(slot, axes))
    }

    /// The input with these axes.
    pub(in crate::ops) fn with(slot: usize, axes: Vec<Type>) -> Factor {
        Factor {
            slot,
            order: (0..axes.len()).collect(),
            axes,
            in_order: true,
        }
    }

    /// The input, its matrices transposed where the first attribute says so, its first axis behind its batches where the
    /// second does.
    pub(in crate::ops) fn turned(
        op: &mut Typing,
        slot: usize,
        [transposed, batch]: [&str; 2],
    ) -> Ruling<Factor> {
        let axes = op.input(slot)?;
        let rank = axes.len();
        let mut order: Vec<usize> = (0..rank).collect();
        let in_order = rank <= 2 || op.int(batch, 0) == 0;
        if !in_order {
            order[..rank - 1].rotate_left(1);
        }
        if rank > 1 && op.int(transposed, 0) != 0 {
            order.swap(rank - 1, rank - 2);
        }
        Ok(Factor {
            slot,
            axes: order.iter().map(|&axis| axes[axis].clone()).collect(),
            order,
            in_order,
        })
    }

    /// Roles by axis of the input from those by axis of the factor; they name axes of the other input.
    fn roles(&self, other: &Factor, roles: &[Role]) -> Vec<Role> {
        let mut out = roles.to_vec();
        for (&axis, &role) in self.order.iter().zip(roles) {
            out[axis] = match role {
                Role::Reduction(axis) => Role::Reduction(other.order[axis]),
                Role::Batch(axis) => Role::Batch(axis.map(|axis| other.order[axis])),
                // Rows of an output are not laid out as the data is then.
                Role::Row(axis) => Role::Row(axis.filter(|_| other.in_order)),
                Role::Kernel => Role::Kernel,
            };
        }
        out
    }
}

/// Either factor may be the weight; the axes before the last two are batches, aligned from the back. The output has
/// `rank` axes, and its rows are what the product makes if it `is_made`.
pub(in crate::ops) fn matrix_roles(
    op: &mut Typing,
    factors: &[Factor; 2],
    rank: usize,
    is_made: bool,
) {
    let [a, b] = [&factors[0].axes[..], &factors[1].axes[..]];
    let batches = |op: &Typing, own: &[Type], other: &[Type]| -> Vec<Role> {
        let count = own.len().saturating_sub(2);
        let other = &other[..other.len().saturating_sub(2)];
        let aligned = |axis: usize| (axis + other.len()).checked_sub(count);
        let shared = |axis: usize| {
            let with = aligned(axis).filter(|&with| !op.is_one(&other[with]));
            with.filter(|_| !op.is_one(&own[axis]))
        };
        (0..count).map(|axis| Role::Batch(shared(axis))).collect()
    };
    let row = |from_back: usize| Role::Row(rank.checked_sub(from_back).filter(|_| is_made));
    let (last, row_axis) = (a.len() - 1, b.len().saturating_sub(2));
    let mut left = batches(op, a, b);
    if a.len() > 1 {
        left.push(row(if b.len() > 1 { 2 } else { 1 }));
    }
    left.push(Role::Reduction(row_axis));
    let mut right = batches(op, b, a);
    right.push(Role::Reduction(last));
    if b.len() > 1 {
        right.push(row(1));
    }
    for (own, other, roles) in [
        (&factors[0], &factors[1], left),
        (&factors[1], &factors[0], right),
    ] {
        let roles = own.roles(other, &roles);
        op.linear(own.slot, Some(Operand::Input(other.slot)), roles);
    }
}
