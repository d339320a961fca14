//! Operators that hold every axis they touch but whose output shape is known, so that what lies behind them
//! can still be typed.

mod codes;
mod fused;
mod selecting;
mod signals;
mod spatial;

use crate::axes::{Extent, Type};
use crate::ops::Row;
use crate::ops::typing::{Ruling, Typing, Unsupported};

pub(super) const FAMILIES: [&[Row]; 5] = [
    selecting::ROWS,
    codes::ROWS,
    fused::ROWS,
    spatial::ROWS,
    signals::ROWS,
];

const HELD: &str = "holds all axes it touches";
const DRAWN: &str = "draws other numbers where it draws fewer";

/// The inputs of a node, all their axes pinned.
struct Held(Vec<Option<Vec<Type>>>);

impl Held {
    fn of(op: &mut Typing) -> Held {
        Held(op.hold_inputs(HELD))
    }

    /// The axes of an input whose rank has to be known.
    fn at(&self, slot: usize) -> Ruling<Vec<Type>> {
        let axes = self.0.get(slot).cloned().flatten();
        axes.ok_or(Unsupported("the rank of an input is unknown"))
    }

    /// The axes of an input that may be left out.
    fn get(&self, slot: usize) -> Option<&[Type]> {
        self.0.get(slot)?.as_deref()
    }
}

/// An axis of the output: of this size, or of one that cannot be computed.
fn axis(op: &mut Typing, slot: usize, place: usize, size: Option<Extent>) -> Type {
    op.sized((slot, place), size, HELD)
}

/// An output whose axes have these sizes, where they can be computed.
fn output(op: &mut Typing, slot: usize, sizes: Vec<Option<Extent>>) {
    let axes = sizes.into_iter().enumerate();
    let axes: Vec<Type> = axes
        .map(|(place, size)| axis(op, slot, place, size))
        .collect();
    op.output(slot, axes);
}

/// All outputs have the axes of one input.
fn like(op: &mut Typing, slot: usize) -> Ruling {
    let out = Held::of(op).at(slot)?;
    for place in 0..op.output_count() {
        op.output(place, out.clone());
    }
    Ok(())
}

/// As many numbers by chance as an input has.
fn drawn_like(op: &mut Typing, slot: usize) -> Ruling {
    op.hold_inputs(DRAWN);
    let out = op.input(slot)?;
    op.output(0, out);
    Ok(())
}

/// The outputs have these ranks, and sizes that nothing tells.
fn ranks(op: &mut Typing, ranks: &[usize]) -> Ruling {
    Held::of(op);
    for (slot, &rank) in ranks.iter().enumerate() {
        output(op, slot, vec![None; rank]);
    }
    Ok(())
}
