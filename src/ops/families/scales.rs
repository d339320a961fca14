//! Rules of operators on numbers run for operators on codes, and the scales and zero points of these.

use super::demands::{beside_codes, one, present};
use crate::ops::facts::AxisCodes;
use crate::ops::numbers::CodedSlot;
use crate::ops::typing::{Ruling, Typing, Unsupported, axis_of};

/// Runs the rule of an operator on numbers, whose inputs stand at these places, and joins scales and zero points.
pub(super) fn on_codes<T>(
    op: &mut Typing,
    slots: Vec<CodedSlot>,
    rule: impl FnOnce(&mut Typing) -> Ruling<T>,
) -> Ruling<T> {
    for &own in &slots {
        beside_codes(op, own);
    }
    with_scales(op, slots, rule)
}

/// As [`on_codes`], of what makes codes of numbers.
pub(super) fn with_scales<T>(
    op: &mut Typing,
    slots: Vec<CodedSlot>,
    rule: impl FnOnce(&mut Typing) -> Ruling<T>,
) -> Ruling<T> {
    let made = reading(op, &slots, rule)?;
    for own in slots {
        join_scales(op, own)?;
    }
    Ok(made)
}

/// Runs the rule of an operator on numbers, whose inputs stand at these places.
pub(super) fn reading<T>(
    op: &mut Typing,
    slots: &[CodedSlot],
    rule: impl FnOnce(&mut Typing) -> Ruling<T>,
) -> Ruling<T> {
    op.coded = slots.to_vec();
    let ruling = rule(op);
    op.coded.clear();
    ruling
}

/// One scale and one zero point, or as many as there are positions along the axis.
fn join_scales(op: &mut Typing, own: CodedSlot) -> Ruling {
    let Some(axes) = op.optional(own.codes)? else {
        return Ok(());
    };
    for slot in [own.scale, own.zero].into_iter().flatten() {
        let Some(partner) = op.optional(slot)? else {
            continue;
        };
        if partner.iter().all(|axis| op.is_one(axis)) {
            continue;
        }
        let axis = own
            .axis
            .filter(|_| partner.len() == 1 || partner.len() == axes.len());
        let axis = axis.ok_or(Unsupported("its scales are more than one"))?;
        let axis = axis_of(axis, axes.len())?;
        // A list, or as many axes as the codes have of which only this one is long.
        let place = if partner.len() == 1 { 0 } else { axis };
        let others = partner.iter().enumerate().filter(|(at, _)| *at != place);
        if others.into_iter().any(|(_, other)| !op.is_one(other)) {
            return Err(Unsupported("its scales lie along several axes"));
        }
        if op.extent(&partner[place]) != op.extent(&axes[axis]) {
            return Err(not_as_many(own, slot));
        }
        op.unify(&partner[place], &axes[axis]);
    }
    let axis = own.axis.and_then(|axis| axis_of(axis, axes.len()).ok());
    note_codes(op, own, vec![axis.unwrap_or(0)]);
    Ok(())
}

/// Why scales or zero points fit no axis.
fn not_as_many(own: CodedSlot, slot: usize) -> Unsupported {
    Unsupported(match own.zero == Some(slot) {
        true => "its zero points are not as many as the channels",
        false => "its scales are not as many as the channels",
    })
}

/// Joins axes of scales and zero points to axes of the codes, as many of these as they have.
pub(super) fn join_along(op: &mut Typing, own: CodedSlot, along: [usize; 2]) -> Ruling {
    let codes = op.input(own.codes)?;
    beside_codes(op, own);
    if let Some(zero) = own.zero {
        present(op, zero);
    }
    let mut beside = 0;
    for slot in [own.scale, own.zero].into_iter().flatten() {
        let Some(partner) = op.optional(slot)? else {
            continue;
        };
        if partner.len() > along.len() {
            return Err(Unsupported("its scales have an unusual rank"));
        }
        for (axis, place) in partner.iter().zip(along) {
            let place = codes.get(place).cloned();
            let place = place.ok_or(Unsupported("its codes have an unusual rank"))?;
            if op.extent(axis) != op.extent(&place) {
                return Err(not_as_many(own, slot));
            }
            op.unify(axis, &place);
        }
        beside = partner.len().max(beside);
    }
    note_codes(op, own, along[..beside].to_vec());
    Ok(())
}

/// Says what constant codes stand for.
fn note_codes(op: &mut Typing, own: CodedSlot, axes: Vec<usize>) {
    if own.scale.or(own.zero).is_some() && op.is_constant(own.codes) {
        op.has_codes(AxisCodes {
            node: op.node,
            codes: own.codes,
            scale: own.scale,
            zero: own.zero,
            axes,
        });
    }
}

/// The scale and the zero point of what the node makes are one each.
pub(super) fn single(op: &mut Typing, slots: [usize; 2]) -> Ruling {
    for slot in slots {
        let axes = op.optional(slot)?.unwrap_or_default();
        if axes.iter().any(|axis| !op.is_one(axis)) {
            one(op, slot);
            return Err(Unsupported("what it makes has several scales"));
        }
    }
    Ok(())
}
