//! Functions of the elements of several arrays, broadcast: what was repeated is summed back when it is given.

use super::Backward;
use crate::ops::typing::Ruling;

/// Powers: `b x^(b-1)` and `y log x`.
pub(in crate::ops) fn pow(b: &mut Backward) -> Ruling {
    let (d, x, power) = (b.cotangent()?, b.input(0)?, b.input(1)?);
    if b.needs(0) {
        let single = b.reals(1).filter(|numbers| numbers.len() == 1);
        let slope = match single.as_deref() {
            Some([2.0]) => b.emit.scale(&x, 2.0),
            Some([0.5]) => {
                let y = b.output(0)?;
                let half = b.emit.number(0.5, x.element);
                b.emit.div(&half, &y)
            }
            Some([p]) => {
                let p = f64::from(*p);
                let less = b.emit.number(p - 1.0, x.element);
                let raised = b.emit.pow(&x, &less);
                b.emit.scale(&raised, p)
            }
            _ => {
                let power = b.emit.cast(&power, x.element);
                let less = b.emit.shift(&power, -1.0);
                let raised = b.emit.pow(&x, &less);
                b.emit.mul(&power, &raised)
            }
        };
        let given = b.times(&d, &slope);
        b.give(0, &given)?;
    }
    if b.needs(1) {
        let y = b.output(0)?;
        let positive = b.emit.above(&x, 0.0);
        let one = b.emit.number(1.0, x.element);
        let safe = b.emit.choose(&positive, &x, &one);
        let log = b.emit.map("Log", &safe);
        let slope = b.emit.mul(&y, &log);
        let given = b.times(&d, &slope);
        b.give(1, &given)?;
    }
    Ok(())
}

/// Slope `s` where x < 0, which is an input.
pub(in crate::ops) fn prelu(b: &mut Backward) -> Ruling {
    let (d, x, slope) = (b.cotangent()?, b.input(0)?, b.input(1)?);
    let negative = b.emit.below(&x, 0.0);
    if b.needs(0) {
        let below = b.emit.mul(&d, &slope);
        let given = b.emit.choose(&negative, &below, &d);
        b.give(0, &given)?;
    }
    if b.needs(1) {
        let product = b.emit.mul(&d, &x);
        let given = b.emit.keep_where(&negative, &product);
        b.give(1, &given)?;
    }
    Ok(())
}

pub(in crate::ops) fn add(b: &mut Backward) -> Ruling {
    let d = b.cotangent()?;
    (0..b.input_count()).try_for_each(|slot| b.give(slot, &d))
}

pub(in crate::ops) fn sub(b: &mut Backward) -> Ruling {
    let d = b.cotangent()?;
    b.give(0, &d)?;
    if b.needs(1) {
        let opposite = b.emit.neg(&d);
        b.give(1, &opposite)?;
    }
    Ok(())
}

/// The mean of all inputs.
pub(in crate::ops) fn mean(b: &mut Backward) -> Ruling {
    let d = b.cotangent()?;
    let share = b.emit.scale(&d, 1.0 / b.input_count().max(1) as f64);
    (0..b.input_count()).try_for_each(|slot| b.give(slot, &share))
}

pub(in crate::ops) fn mul(b: &mut Backward) -> Ruling {
    let d = b.cotangent()?;
    for slot in 0..2 {
        if b.needs(slot) {
            let other = b.input(1 - slot)?;
            let given = b.emit.mul(&d, &other);
            b.give(slot, &given)?;
        }
    }
    Ok(())
}

/// With `q = d / b`: `q` and `-q y`.
pub(in crate::ops) fn div(b: &mut Backward) -> Ruling {
    let (d, by) = (b.cotangent()?, b.input(1)?);
    let q = b.emit.div(&d, &by);
    b.give(0, &q)?;
    if b.needs(1) {
        let y = b.output(0)?;
        let product = b.emit.mul(&q, &y);
        let given = b.emit.neg(&product);
        b.give(1, &given)?;
    }
    Ok(())
}

/// Min and Max: to those that equal the result, in equal shares.
pub(in crate::ops) fn extreme(b: &mut Backward) -> Ruling {
    let (d, y) = (b.cotangent()?, b.output(0)?);
    let mut shares = Vec::new();
    for slot in 0..b.input_count() {
        let x = b.input(slot)?;
        let taken = b.emit.equal(&x, &y);
        shares.push(b.emit.cast(&taken, d.element));
    }
    let Some(first) = shares.first().cloned() else {
        return Ok(());
    };
    let rest = shares[1..].iter();
    let all = rest.fold(first, |sum, share| b.emit.add(&sum, share));
    let d = b.emit.div(&d, &all);
    for (slot, share) in shares.iter().enumerate() {
        if b.needs(slot) {
            let given = b.emit.mul(&d, share);
            b.give(slot, &given)?;
        }
    }
    Ok(())
}

/// Where: each to the one that is taken.
pub(in crate::ops) fn choose(b: &mut Backward) -> Ruling {
    let (d, condition) = (b.cotangent()?, b.input(0)?);
    let zero = b.emit.number(0.0, d.element);
    if b.needs(1) {
        let given = b.emit.choose(&condition, &d, &zero);
        b.give(1, &given)?;
    }
    if b.needs(2) {
        let given = b.emit.choose(&condition, &zero, &d);
        b.give(2, &given)?;
    }
    Ok(())
}

/// Of `x mod y`, which is x less a whole number times y: 1, and that number, negative.
pub(in crate::ops) fn modulo(b: &mut Backward) -> Ruling {
    let d = b.cotangent()?;
    b.give(0, &d)?;
    if b.needs(1) {
        let (x, by, y) = (b.input(0)?, b.input(1)?, b.output(0)?);
        let less = b.emit.sub(&y, &x);
        let times = b.emit.div(&less, &by);
        let given = b.times(&d, &times);
        b.give(1, &given)?;
    }
    Ok(())
}
