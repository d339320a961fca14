//! Tensors blown up: Expand and Tile. An axis made from size 1 is a new dimension without a weight; the
//! number that makes it follows whatever it meets later.

use crate::axes::{Extent, Type};
use crate::ops::adjoints::layout as adjoint;
use crate::ops::typing::{Ruling, Typing, Unsupported};
use crate::ops::{Carried, Row, row};

pub(in crate::ops) const ROWS: &[Row] = &[
    row("Expand", expand).slope(adjoint::expand).carries(Carried::First),
    row("Tile", tile).slope(adjoint::tile).carries(Carried::First),
];

fn expand(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    op.bounded(1, Extent::ONE, Some(Extent::ONE));
    let elements = op.list(1);
    let elements = elements.ok_or(Unsupported("its target shape is computed at run time"))?;
    let rank = x.len().max(elements.len());
    let mut out = Vec::with_capacity(rank);
    let mut mirrors = vec![None; elements.len()];
    for place in 0..rank {
        let axis = (place + x.len()).checked_sub(rank).map(|i| x[i].clone());
        let asked = (place + elements.len()).checked_sub(rank);
        let wide = axis.clone().filter(|axis| !op.is_one(axis));
        let size = asked.map(|i| elements[i].clone());
        out.push(match (wide, size) {
            (Some(axis), Some(Some(size))) if !size.is_one() => {
                if size == op.extent(&axis) {
                    mirrors[asked.unwrap_or(0)] = Some(axis.clone());
                } else {
                    op.pin(&axis, "is expanded to a dynamic size");
                }
                axis
            }
            (Some(axis), Some(None)) => {
                op.pin(&axis, "is expanded to a dynamic size");
                axis
            }
            (Some(axis), _) => axis,
            (None, Some(Some(size))) => {
                let made = op.fresh(size);
                mirrors[asked.unwrap_or(0)] = Some(made.clone());
                made
            }
            (None, Some(None)) => op.unknown(0, place, "is expanded to a dynamic size"),
            (None, None) => op.fixed(Extent::ONE, "has size 1"),
        });
    }
    op.mirror(1, "shape", mirrors);
    op.output(0, out);
    Ok(())
}

fn tile(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    op.bounded(1, Extent::ONE, Some(Extent::ONE));
    let repeats = op.list(1).filter(|repeats| repeats.len() == x.len());
    let repeats = repeats.ok_or(Unsupported("its repeats are computed at run time"))?;
    let mut out = Vec::with_capacity(x.len());
    let mut mirrors = vec![None; x.len()];
    for (place, (axis, times)) in x.iter().zip(repeats).enumerate() {
        out.push(match times {
            Some(Extent::Known(1)) => axis.clone(),
            Some(times) if op.is_one(axis) => {
                let made = op.fresh(times);
                mirrors[place] = Some(made.clone());
                made
            }
            Some(times) => {
                let times = op.fixed(times, "is a number of repetitions");
                op.state
                    .types
                    .normal(&Type::Product(vec![times, axis.clone()]))
            }
            None => {
                op.pin(axis, "is repeated a dynamic number of times");
                op.unknown(0, place, "is repeated a dynamic number of times")
            }
        });
    }
    op.mirror(1, "repeats", mirrors);
    op.output(0, out);
    Ok(())
}
