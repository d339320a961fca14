//! Recurrent layers. The node's output holds the hidden states of all steps, so that what goes into all gates of all
//! steps is two large products, without a recurrence. Slopes of all steps are made at once as well; what walks
//! backwards is a few nodes per step.

mod direction;
mod functions;
mod gru;
mod lstm;
mod rnn;

use super::{Backward, must};
use crate::graph::Array;
use crate::ops::typing::{Ruling, Unsupported};

use direction::{Direction, Recurrence};
use functions::functions;

/// Steps that are walked one by one.
const MOST_STEPS: usize = 2048;

/// What one direction gives.
struct Given {
    /// The gradient of what goes into the gates, for the data: `[steps, batch, gates * hidden]`.
    by_data: Array,
    /// The same for the hidden states.
    by_state: Array,
    /// Parts of that and what R multiplies them with: rows of R's gradient, one after the other.
    products: Vec<(Array, Array)>,
    /// Of the state before the first step, of the cell before it.
    states: Vec<Array>,
    /// Of the three vectors that cells are multiplied with.
    peepholes: Option<Array>,
}

type Walk = fn(&mut Backward, &Direction) -> Ruling<Given>;

pub(in crate::ops) fn lstm(b: &mut Backward) -> Ruling {
    recurrent(b, 4, &["Sigmoid", "Tanh", "Tanh"], lstm::walk)
}

pub(in crate::ops) fn gru(b: &mut Backward) -> Ruling {
    let walk: Walk = match b.int("linear_before_reset", 0) {
        0 => gru::walk_reset_before,
        _ => gru::walk_reset_behind,
    };
    recurrent(b, 3, &["Sigmoid", "Tanh"], walk)
}

pub(in crate::ops) fn rnn(b: &mut Backward) -> Ruling {
    recurrent(b, 1, &["Tanh"], rnn::walk)
}

fn recurrent(b: &mut Backward, gates: usize, defaults: &[&'static str], walk: Walk) -> Ruling {
    let layer = Recurrence::of(b, gates)?;
    must(layer.steps <= MOST_STEPS, "it has very many steps")?;
    let all = functions(b, layer.directions, defaults)?;
    let mut given = Vec::new();
    for (place, few) in all.chunks(defaults.len()).enumerate() {
        let direction = Direction::of(b, &layer, place, few.to_vec())?;
        let made = walk(b, &direction)?;
        given.push((direction, made));
    }
    of_data(b, &layer, &given)?;
    of_weights(b, &layer, &given)?;
    for slot in [5, 6, 7]
        .into_iter()
        .filter(|&slot| b.needs(slot))
        .collect::<Vec<_>>()
    {
        let parts = given.iter().map(|(_, made)| match slot {
            7 => made.peepholes.clone(),
            _ => made.states.get(slot - 5).cloned(),
        });
        let parts: Option<Vec<Array>> = parts.collect();
        let parts = parts.ok_or(Unsupported("it has an unusual input"))?;
        let whole = b.emit.concat(&parts, 0);
        b.give(slot, &whole)?;
    }
    Ok(())
}

/// What all directions give to the data.
fn of_data(b: &mut Backward, layer: &Recurrence, given: &[(Direction, Given)]) -> Ruling {
    if !b.needs(0) {
        return Ok(());
    }
    for (direction, made) in given {
        let rows = layer.rows(b, &made.by_data);
        let product = b.emit.gemm(&rows, &direction.w, [false, false], 1.0);
        let sizes = [layer.steps, layer.batch, layer.width];
        let product = b.emit.reshape(&product, &sizes);
        let product = direction.in_order(b, &product);
        b.give(0, &product)?;
    }
    Ok(())
}

/// W, R and B, whose directions stand one after the other.
fn of_weights(b: &mut Backward, layer: &Recurrence, given: &[(Direction, Given)]) -> Ruling {
    let (mut w, mut r, mut bias) = (Vec::new(), Vec::new(), Vec::new());
    let stacked = layer.gates * layer.hidden;
    for (direction, made) in given {
        if b.needs(1) {
            let rows = layer.rows(b, &made.by_data);
            let x = layer.rows(b, &direction.x);
            let product = b.emit.gemm(&rows, &x, [true, false], 1.0);
            w.push(b.emit.reshape(&product, &[1, stacked, layer.width]));
        }
        if b.needs(2) {
            let mut parts = Vec::new();
            for (gradient, states) in &made.products {
                let (rows, states) = (layer.rows(b, gradient), layer.rows(b, states));
                parts.push(b.emit.gemm(&rows, &states, [true, false], 1.0));
            }
            let whole = b.emit.concat(&parts, 0);
            r.push(b.emit.reshape(&whole, &[1, stacked, layer.hidden]));
        }
        if b.needs(3) {
            let sums = [&made.by_data, &made.by_state].map(|part| b.emit.sum(part, &[0, 1], false));
            let whole = b.emit.concat(&sums, 0);
            bias.push(b.emit.reshape(&whole, &[1, 2 * stacked]));
        }
    }
    for (slot, parts) in [(1, w), (2, r), (3, bias)] {
        if !parts.is_empty() {
            let whole = b.emit.concat(&parts, 0);
            b.give(slot, &whole)?;
        }
    }
    Ok(())
}
