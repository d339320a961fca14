//! `c = f c' + i g`, `h = o k(c)` with gates i, o, f, g in this order.

use super::super::{Backward, must};
use super::Given;
use super::direction::{Direction, at, in_steps};
use crate::graph::Array;
use crate::ops::typing::Ruling;

/// What goes into the gates of all steps, without the cells' part.
struct Into {
    i: Array,
    o: Array,
    f: Array,
    g: Array,
    /// What cells are multiplied with on their way to i, o and f.
    peepholes: Option<[Array; 3]>,
    /// True if f is what i leaves.
    coupled: bool,
}

impl Into {
    fn of(b: &mut Backward, own: &Direction) -> Into {
        let all = own.sum_of_products(b);
        let [i, o, f, g] = [0, 1, 2, 3].map(|gate| own.gate(b, &all, gate));
        let peepholes = own.peepholes.as_ref();
        let peepholes = peepholes.map(|all| [0, 1, 2].map(|gate| own.gate(b, all, gate)));
        Into {
            i,
            o,
            f,
            g,
            peepholes,
            coupled: b.int("input_forget", 0) != 0,
        }
    }

    /// What goes into i, o or f, with the part of the cells.
    fn with(&self, b: &mut Backward, a: &Array, which: usize, cells: &Array) -> Array {
        match &self.peepholes {
            Some(peepholes) => {
                let part = b.emit.mul(cells, &peepholes[which]);
                b.emit.add(a, &part)
            }
            None => a.clone(),
        }
    }
}

/// The cells before each step, and those after it.
fn cells(b: &mut Backward, own: &Direction, into: &Into) -> [Array; 2] {
    let all = match into.peepholes {
        Some(_) => cells_that_are_read(b, own, into),
        None => cells_at_once(b, own, into),
    };
    let all = b.emit.concat(&all, 0);
    [0, 1].map(|first| b.emit.part(&all, 0, first, own.steps))
}

/// With all gates known before the walk.
fn cells_at_once(b: &mut Backward, own: &Direction, into: &Into) -> Vec<Array> {
    let [i, g] = [(&into.i, 0), (&into.g, 1)]
        .map(|(a, function)| own.functions[function].value_of(b, a, own.clip));
    let f = match into.coupled {
        true => b.emit.number_less(1.0, &i),
        false => own.functions[0].value_of(b, &into.f, own.clip),
    };
    let f = own.held(b, &f);
    let entered = b.emit.mul(&i, &g);
    let entered = own.masked(b, &entered);
    let mut all = vec![own.cell.clone()];
    let mut cell = own.cell.clone();
    for step in 0..own.steps {
        let (f, entered) = (at(b, &f, step), at(b, &entered, step));
        let kept = b.emit.mul(&cell, &f);
        cell = b.emit.add(&kept, &entered);
        all.push(cell.clone());
    }
    all
}

/// Gates read the cells: they are made step by step.
fn cells_that_are_read(b: &mut Backward, own: &Direction, into: &Into) -> Vec<Array> {
    let g = own.functions[1].value_of(b, &into.g, own.clip);
    let mut all = vec![own.cell.clone()];
    let mut cell = own.cell.clone();
    for step in 0..own.steps {
        let [i, f, g] = [&into.i, &into.f, &g].map(|all| at(b, all, step));
        let [i, f] = [(i, 0), (f, 2)].map(|(a, which)| {
            let a = into.with(b, &a, which, &cell);
            own.functions[0].value_of(b, &a, own.clip)
        });
        let f = match into.coupled {
            true => b.emit.number_less(1.0, &i),
            false => f,
        };
        let (kept, entered) = (b.emit.mul(&cell, &f), b.emit.mul(&i, &g));
        let mut next = b.emit.add(&kept, &entered);
        if let Some(mask) = own.mask() {
            let within = at(b, mask, step);
            let change = b.emit.sub(&next, &cell);
            let change = b.emit.mul(&change, &within);
            next = b.emit.add(&cell, &change);
        }
        cell = next;
        all.push(cell.clone());
    }
    all
}

/// Slopes of all steps.
struct Slopes {
    /// Of what goes into i, o, f, g: by a change of the cell, but of o by one of h.
    gates: Array,
    /// Of the cell by h.
    cell: Array,
    /// Of the cell before by the cell.
    earlier: Array,
}

fn slopes(b: &mut Backward, own: &Direction, into: &Into, [before, after]: [&Array; 2]) -> Slopes {
    let into_i = into.with(b, &into.i, 0, before);
    let [i, steep_i] = own.functions[0].of(b, &into_i, own.clip);
    let into_o = into.with(b, &into.o, 1, after);
    let [o, steep_o] = own.functions[0].of(b, &into_o, own.clip);
    let [g, steep_g] = own.functions[1].of(b, &into.g, own.clip);
    // onnxruntime does not cut cells off.
    let [k, steep_k] = own.functions[2].of(b, after, None);
    let to_g = b.emit.mul(&i, &steep_g);
    let to_o = b.emit.mul(&k, &steep_o);
    let (f, to_i, to_f) = match into.coupled {
        true => {
            let other = b.emit.sub(&g, before);
            let to_i = b.emit.mul(&other, &steep_i);
            let none = b.emit.full(0.0, &to_i.sizes, to_i.element);
            (b.emit.number_less(1.0, &i), to_i, none)
        }
        false => {
            let into_f = into.with(b, &into.f, 2, before);
            let [f, steep_f] = own.functions[0].of(b, &into_f, own.clip);
            let to_i = b.emit.mul(&g, &steep_i);
            (f, to_i, b.emit.mul(before, &steep_f))
        }
    };
    let mut cell = b.emit.mul(&o, &steep_k);
    let mut earlier = f;
    if let Some([by_i, by_o, by_f]) = &into.peepholes {
        let part = b.emit.mul(&to_o, by_o);
        cell = b.emit.add(&cell, &part);
        for (slope, peephole) in [(&to_i, by_i), (&to_f, by_f)] {
            let part = b.emit.mul(slope, peephole);
            earlier = b.emit.add(&earlier, &part);
        }
    }
    let gates = b.emit.concat(&[to_i, to_o, to_f, to_g], 2);
    Slopes {
        gates: own.masked(b, &gates),
        cell: own.masked(b, &cell),
        earlier: own.held(b, &earlier),
    }
}

pub(super) fn walk(b: &mut Backward, own: &Direction) -> Ruling<Given> {
    let into = Into::of(b, own);
    let [before, after] = cells(b, own, &into);
    let slopes = slopes(b, own, &into, [&before, &after]);
    let idle = own.idle(b);
    let [mut hidden, mut cell] = own.carried();
    let mut steps = Vec::new();
    for step in (0..own.steps).rev() {
        let u = own.reached(b, step, &hidden);
        let slope = at(b, &slopes.cell, step);
        let part = b.emit.mul(&u, &slope);
        let v = b.emit.add(&cell, &part);
        let all = b
            .emit
            .concat(&[v.clone(), u.clone(), v.clone(), v.clone()], 2);
        let slope = at(b, &slopes.gates, step);
        let gradient = b.emit.mul(&all, &slope);
        hidden = b.emit.matmul(&gradient, &own.r);
        if let Some(idle) = &idle {
            let idle = at(b, idle, step);
            let kept = b.emit.mul(&u, &idle);
            hidden = b.emit.add(&hidden, &kept);
        }
        let slope = at(b, &slopes.earlier, step);
        cell = b.emit.mul(&v, &slope);
        steps.push(gradient);
    }
    let gradient = in_steps(b, steps);
    let peepholes = match b.needs(7) {
        true => Some(of_peepholes(b, own, &gradient, [&before, &after])?),
        false => None,
    };
    Ok(Given {
        by_data: gradient.clone(),
        by_state: gradient.clone(),
        products: vec![(gradient, own.before.clone())],
        states: vec![hidden, cell],
        peepholes,
    })
}

/// Of the vectors for i, o and f, one after the other.
fn of_peepholes(
    b: &mut Backward,
    own: &Direction,
    gradient: &Array,
    [before, after]: [&Array; 2],
) -> Ruling<Array> {
    must(own.peepholes.is_some(), "it has an unusual input")?;
    let parts = [(0, before), (1, after), (2, before)].map(|(gate, cells)| {
        let gradient = own.gate(b, gradient, gate);
        let product = b.emit.mul(&gradient, cells);
        b.emit.sum(&product, &[0, 1], false)
    });
    let whole = b.emit.concat(&parts, 0);
    Ok(b.emit.reshape(&whole, &[1, 3 * own.hidden]))
}
