//! Recurrent layers: LSTM, GRU, RNN. The hidden units are one dimension across gates and directions.
//!
//! Hidden units meet themselves inside the operator: they are masked where they are made (gate rows of W, R
//! and B, initial states) and where R reads them, so that a masked unit stays 0 for any activation.

use crate::axes::{Extent, Type};
use crate::ops::adjoints::recurrent as back;
use crate::ops::facts::{Bias, Operand, Role};
use crate::ops::typing::{Ruling, Typing, Unsupported};
use crate::ops::{KernelFamily, Row, row};

pub(in crate::ops) const ROWS: &[Row] = &[
    row("LSTM", |op| recurrent(op, 4))
        .gives(back::lstm)
        .ranked_as(0, 1)
        .kernels(KernelFamily::Recurrent),
    row("GRU", |op| recurrent(op, 3))
        .gives(back::gru)
        .ranked_as(0, 1)
        .kernels(KernelFamily::Recurrent),
    row("RNN", |op| recurrent(op, 1))
        .gives(back::rnn)
        .ranked_as(0, 1)
        .kernels(KernelFamily::Recurrent),
];

/// Slots: X[seq, batch, in], W[dirs, gates*h, in], R[dirs, gates*h, h], B[dirs, 2*gates*h], sequence_lens,
/// initial_h[dirs, batch, h], initial_c, P[dirs, 3*h].
fn recurrent(op: &mut Typing, gates: usize) -> Ruling {
    let (x, w, r) = (op.input(0)?, op.input(1)?, op.input(2)?);
    if [&x, &w, &r].iter().any(|axes| axes.len() != 3) || op.int("layout", 0) != 0 {
        return Err(Unsupported(
            "its data is not laid out as sequence, batch, features",
        ));
    }
    let hidden = op.size(&r[2])?;
    let h = r[2].clone();
    op.unify(&x[2], &w[2]);
    op.contract(0, 2);
    gate_rows(op, &w[1], gates, hidden, &h);
    gate_rows(op, &r[1], gates, hidden, &h);
    for (slot, axis) in [(1, 1), (2, 1), (2, 2)] {
        op.contract(slot, axis);
    }
    let directions = w[0].clone();
    op.pin(&directions, "is a direction");
    op.unify(&directions, &r[0]);
    if let Some(bias) = pair(op, 3)? {
        op.unify(&directions, &bias[0]);
        gate_rows(op, &bias[1], 2 * gates, hidden, &h);
        op.contract(3, 1);
    }
    op.optional(4)?;
    op.lengths(4, &x[0]);
    for slot in [5, 6] {
        let Some(state) = op.optional(slot)? else {
            continue;
        };
        let [d, batch, units] = &state[..] else {
            return Err(Unsupported("an initial state is not of rank 3"));
        };
        op.unify(&directions, d);
        op.unify(&x[1], batch);
        op.unify(&h, units);
        op.contract(slot, 2);
    }
    if let Some(peepholes) = pair(op, 7)? {
        op.unify(&directions, &peepholes[0]);
        gate_rows(op, &peepholes[1], 3, hidden, &h);
    }
    recurrent_linears(op);
    op.mirror_int("hidden_size", &h);
    op.nonlinear(&h, "applies a function to each unit");
    let mut produced = x[..2].to_vec();
    produced.extend([w[0].clone(), w[1].clone()]);
    op.cost(produced.clone(), vec![x[2].clone()]);
    op.cost(produced, vec![h.clone()]);
    op.output(
        0,
        vec![x[0].clone(), directions.clone(), x[1].clone(), h.clone()],
    );
    for slot in [1, 2] {
        op.output(slot, vec![directions.clone(), x[1].clone(), h.clone()]);
    }
    Ok(())
}

/// What W makes of the data, and R of the states before.
fn recurrent_linears(op: &mut Typing) {
    let (row, all) = (Role::Row(None), Role::Batch(None));
    let weights = vec![all, row, Role::Reduction(2)];
    // B holds a vector for W, then one for R.
    let bias = |part: usize| Bias {
        slot: 3,
        parts: 2,
        part,
    };
    op.linear_with(1, Some(Operand::Input(0)), weights, 1, Some(bias(0)));
    // R reads the hidden states, which are the first output: [seq, dirs, batch, h].
    let recurrent = vec![Role::Batch(Some(1)), row, Role::Reduction(3)];
    op.linear_with(2, Some(Operand::Output(0)), recurrent, 1, Some(bias(1)));
}

fn pair(op: &mut Typing, slot: usize) -> Ruling<Option<Vec<Type>>> {
    match op.optional(slot)? {
        Some(axes) if axes.len() != 2 => Err(Unsupported("a parameter is not of rank 2")),
        axes => Ok(axes),
    }
}

/// An axis of stacked gates: Product[gates, hidden] with the gates pinned.
fn gate_rows(op: &mut Typing, axis: &Type, gates: usize, hidden: usize, h: &Type) {
    let factors = op.factor(axis, &[Extent::from(gates), Extent::from(hidden)]);
    op.pin(&factors[0], "is a gate");
    op.unify(&factors[1], h);
}
