//! Recurrent layers: LSTM, GRU, RNN. The hidden units are one dimension across gates and directions.
//!
//! Hidden units meet themselves inside the operator: they are masked where they are made (gate rows of W, R
//! and B, initial states) and where R reads them, so that a masked unit stays 0 for any activation.

use super::demands::equals;
use super::scales::{join_along, reading};
use crate::axes::{Extent, Type};
use crate::ops::adjoints::recurrent as back;
use crate::ops::facts::{Bias, Operand, Role};
use crate::ops::numbers::CodedSlot;
use crate::ops::typing::{Ruling, Typing, Unsupported};
use crate::ops::{KernelFamily, Row, contrib, row};

pub(in crate::ops) const ROWS: &[Row] = &[
    row("LSTM", |op| recurrent(op, 4, Stacked::Rows))
        .gives(back::lstm)
        .ranked_as(0, 1)
        .kernels(KernelFamily::Recurrent),
    row("GRU", |op| recurrent(op, 3, Stacked::Rows))
        .gives(back::gru)
        .ranked_as(0, 1)
        .kernels(KernelFamily::Recurrent),
    row("RNN", |op| recurrent(op, 1, Stacked::Rows))
        .gives(back::rnn)
        .ranked_as(0, 1)
        .kernels(KernelFamily::Recurrent),
    contrib("DynamicQuantizeLSTM", lstm_of_codes)
        .stops("it rounds to codes: train the model before its quantisation")
        .ranked_as(0, 1)
        .kernels(KernelFamily::Recurrent),
];

/// Functions of which that of 0 is not 0, or need not be.
const NOT_OF_ZERO: &[&str] = &["affine", "hardsigmoid", "sigmoid", "softplus"];

/// Where the gates stand in the matrices.
#[derive(Clone, Copy)]
enum Stacked {
    Rows,
    Columns,
}

impl Stacked {
    /// The axis of the gates, and that of what is read.
    const fn axes(self) -> (usize, usize) {
        match self {
            Stacked::Rows => (1, 2),
            Stacked::Columns => (2, 1),
        }
    }
}

/// Slots: X[seq, batch, in], W[dirs, gates*h, in], R[dirs, gates*h, h], B[dirs, 2*gates*h], sequence_lens,
/// initial_h[dirs, batch, h], initial_c, P[dirs, 3*h].
/// Steps stay: one of zeros is a step all the same.
fn recurrent(op: &mut Typing, gates: usize, stacked: Stacked) -> Ruling {
    let (made, read) = stacked.axes();
    let (x, w, r) = (op.input(0)?, op.input(1)?, op.input(2)?);
    if [&x, &w, &r].iter().any(|axes| axes.len() != 3) || op.int("layout", 0) != 0 {
        return Err(Unsupported(
            "its data is not laid out as sequence, batch, features",
        ));
    }
    op.pin(&x[0], "is a step of time");
    let hidden = op.size(&r[read])?;
    equals(op, "hidden_size", hidden);
    let h = r[read].clone();
    op.unify(&x[2], &w[read]);
    op.contract(0, 2);
    gate_rows(op, &w[made], gates, hidden, &h);
    gate_rows(op, &r[made], gates, hidden, &h);
    for (slot, axis) in [(1, made), (2, made), (2, read)] {
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
    initial_states(op, [&directions, &x[1], &h])?;
    if let Some(peepholes) = pair(op, 7)? {
        op.unify(&directions, &peepholes[0]);
        gate_rows(op, &peepholes[1], 3, hidden, &h);
    }
    recurrent_linears(op, stacked);
    op.mirror_int("hidden_size", &h);
    op.nonlinear(&h, "applies a function to each unit");
    let mut produced = x[..2].to_vec();
    produced.extend([w[0].clone(), w[made].clone()]);
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

/// As an LSTM, its matrices the other way round and codes, and scales and zero points of these in its last inputs, one for
/// each direction or each of its columns. Data and states become codes by their extremes, of which 0 is always one.
fn lstm_of_codes(op: &mut Typing) -> Ruling {
    let own = |codes, scale| CodedSlot {
        codes,
        scale: Some(scale),
        zero: Some(scale + 1),
        axis: None,
    };
    let weights = [own(1, 8), own(2, 10)];
    let mut slots = vec![CodedSlot::numbers(0)];
    slots.extend(weights);
    slots.extend((3..8).map(CodedSlot::numbers));
    if !is_still(op) {
        return Err(Unsupported("its functions make something of nothing"));
    }
    op.rounds();
    reading(op, &slots, |op| recurrent(op, 4, Stacked::Columns))?;
    for own in weights {
        join_along(op, own, [0, 2])?;
    }
    for axis in &op.input(0)?[..2] {
        op.pin(axis, "decides what codes stand for");
    }
    Ok(())
}

/// Whether a unit that reads nothing makes nothing, however long it runs: what codes stand for depends on all units.
fn is_still(op: &Typing) -> bool {
    let named = op.proto().attribute.iter();
    let mut functions = named.filter(|a| a.name() == "activations");
    let Some(functions) = functions.next() else {
        return true;
    };
    let by_direction = functions.strings.chunks(3);
    by_direction.flat_map(|of| of.iter().skip(1)).all(|name| {
        let name = String::from_utf8_lossy(name).to_lowercase();
        !NOT_OF_ZERO.contains(&name.as_str())
    })
}

/// What W makes of the data, and R of the states before.
/// States that the first step reads, of these axes.
fn initial_states(op: &mut Typing, axes: [&Type; 3]) -> Ruling {
    for slot in [5, 6] {
        let Some(state) = op.optional(slot)? else {
            continue;
        };
        if state.len() != axes.len() {
            return Err(Unsupported("an initial state is not of rank 3"));
        }
        for (axis, own) in axes.iter().zip(&state) {
            op.unify(axis, own);
        }
        op.contract(slot, 2);
    }
    Ok(())
}

fn recurrent_linears(op: &mut Typing, stacked: Stacked) {
    let laid = |batch, column| {
        let (made, read) = stacked.axes();
        let mut roles = vec![Role::Batch(batch); 3];
        (roles[made], roles[read]) = (Role::Row(None), Role::Reduction(column));
        roles
    };
    // B holds a vector for W, then one for R.
    let bias = |part: usize| Bias {
        slot: 3,
        parts: 2,
        part,
    };
    op.linear_with(1, Some(Operand::Input(0)), laid(None, 2), 1, Some(bias(0)));
    // R reads the hidden states, which are the first output: [seq, dirs, batch, h].
    let recurrent = laid(Some(1), 3);
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
