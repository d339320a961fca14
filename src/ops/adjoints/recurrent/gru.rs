//! `h = (1 - z) n + z h'` with gates z and r, in this order.

use super::super::Backward;
use super::Given;
use super::direction::{Direction, at, in_steps};
use crate::graph::Array;
use crate::ops::typing::Ruling;

/// The gates of all steps, and slopes.
struct Gates {
    z: Array,
    r: Array,
    /// The slope of r.
    steep_r: Array,
    /// What a change of h makes of a change of what goes into z.
    to_z: Array,
    /// The same of n, before what R adds is reset.
    to_n: Array,
}

/// Gates from what goes into them; `n` from what W and what R add to it.
fn gates(
    b: &mut Backward,
    own: &Direction,
    [by_x, by_h]: [&Array; 2],
    candidate: fn(&mut Backward, &Direction, [&Array; 3]) -> Array,
) -> Gates {
    let [z, r] = [0, 1].map(|gate| {
        let (x, h) = (own.gate(b, by_x, gate), own.gate(b, by_h, gate));
        let a = b.emit.add(&x, &h);
        own.functions[0].of(b, &a, own.clip)
    });
    let ([z, steep_z], [r, steep_r]) = (z, r);
    let [x, h] = [by_x, by_h].map(|all| own.gate(b, all, 2));
    let a = candidate(b, own, [&x, &h, &r]);
    let [n, steep_n] = own.functions[1].of(b, &a, own.clip);
    let moved = b.emit.sub(&own.before, &n);
    let to_z = b.emit.mul(&moved, &steep_z);
    let rest = b.emit.number_less(1.0, &z);
    let to_n = b.emit.mul(&rest, &steep_n);
    Gates {
        z: own.held(b, &z),
        r,
        steep_r,
        to_z: own.masked(b, &to_z),
        to_n: own.masked(b, &to_n),
    }
}

/// `n = g(x W + r (h' R))`.
pub(super) fn walk_reset_behind(b: &mut Backward, own: &Direction) -> Ruling<Given> {
    let [by_x, by_h] = own.products(b);
    let gates = gates(b, own, [&by_x, &by_h], |b, _, [x, h, r]| {
        let reset = b.emit.mul(r, h);
        b.emit.add(x, &reset)
    });
    let by_h = own.gate(b, &by_h, 2);
    let to_r = b.emit.mul(&by_h, &gates.steep_r);
    let to_r = b.emit.mul(&to_r, &gates.to_n);
    let reset = b.emit.mul(&gates.to_n, &gates.r);
    let slopes = b.emit.concat(&[gates.to_z.clone(), to_r, reset], 2);
    let [mut carried, _] = own.carried();
    let (mut steps, mut reached) = (Vec::new(), Vec::new());
    for step in (0..own.steps).rev() {
        let u = own.reached(b, step, &carried);
        let thrice = b.emit.concat(&[u.clone(), u.clone(), u.clone()], 2);
        let slopes = at(b, &slopes, step);
        let gradient = b.emit.mul(&thrice, &slopes);
        let through = b.emit.matmul(&gradient, &own.r);
        let z = at(b, &gates.z, step);
        let kept = b.emit.mul(&u, &z);
        carried = b.emit.add(&kept, &through);
        steps.push(gradient);
        reached.push(u);
    }
    let by_state = in_steps(b, steps);
    let reached = in_steps(b, reached);
    let of_n = b.emit.mul(&reached, &gates.to_n);
    let of_gates = b.emit.part(&by_state, 2, 0, 2 * own.hidden);
    Ok(Given {
        by_data: b.emit.concat(&[of_gates, of_n], 2),
        by_state: by_state.clone(),
        products: vec![(by_state, own.before.clone())],
        states: vec![carried],
        peepholes: None,
    })
}

/// `n = g(x W + (r h') R)`.
pub(super) fn walk_reset_before(b: &mut Backward, own: &Direction) -> Ruling<Given> {
    let hidden = own.hidden;
    let [by_x, by_h] = own.products(b);
    let gates = gates(b, own, [&by_x, &by_h], |b, own, [x, _, r]| {
        let reset = b.emit.mul(r, &own.before);
        let weight = b.emit.part(&own.r, 0, 2 * own.hidden, own.hidden);
        let turned = b.emit.transposed(&weight);
        let product = b.emit.matmul(&reset, &turned);
        let sum = b.emit.add(x, &product);
        match &own.bias {
            Some([_, bias]) => {
                let bias = own.gate(b, bias, 2);
                b.emit.add(&sum, &bias)
            }
            None => sum,
        }
    });
    let of_gates = b.emit.part(&own.r, 0, 0, 2 * hidden);
    let of_n = b.emit.part(&own.r, 0, 2 * hidden, hidden);
    let to_r = b.emit.mul(&own.before, &gates.steep_r);
    let [mut carried, _] = own.carried();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for step in (0..own.steps).rev() {
        let u = own.reached(b, step, &carried);
        let [to_z, to_r, to_n] = [&gates.to_z, &to_r, &gates.to_n].map(|slope| at(b, slope, step));
        let [z, r] = [&gates.z, &gates.r].map(|gate| at(b, gate, step));
        let n = b.emit.mul(&u, &to_n);
        let reset = b.emit.matmul(&n, &of_n);
        let (of_z, of_r) = (b.emit.mul(&u, &to_z), b.emit.mul(&reset, &to_r));
        let both = b.emit.concat(&[of_z, of_r], 2);
        let through = b.emit.matmul(&both, &of_gates);
        let (kept, reset) = (b.emit.mul(&u, &z), b.emit.mul(&reset, &r));
        let direct = b.emit.add(&kept, &reset);
        carried = b.emit.add(&direct, &through);
        first.push(both);
        second.push(n);
    }
    let (first, second) = (in_steps(b, first), in_steps(b, second));
    let all = b.emit.concat(&[first.clone(), second.clone()], 2);
    let reset = b.emit.mul(&gates.r, &own.before);
    Ok(Given {
        by_data: all.clone(),
        by_state: all,
        products: vec![(first, own.before.clone()), (second, reset)],
        states: vec![carried],
        peepholes: None,
    })
}
