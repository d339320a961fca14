//! `h = f(x W + h' R)`.

use super::super::Backward;
use super::Given;
use super::direction::{Direction, at, in_steps};
use crate::ops::typing::Ruling;

pub(super) fn walk(b: &mut Backward, own: &Direction) -> Ruling<Given> {
    let [by_x, by_h] = own.products(b);
    let a = b.emit.add(&by_x, &by_h);
    let [_, slope] = own.functions[0].of(b, &a, own.clip);
    let slope = own.masked(b, &slope);
    let idle = own.idle(b);
    let [mut carried, _] = own.carried();
    let mut steps = Vec::new();
    for step in (0..own.steps).rev() {
        let u = own.reached(b, step, &carried);
        let slope = at(b, &slope, step);
        let gradient = b.emit.mul(&u, &slope);
        carried = b.emit.matmul(&gradient, &own.r);
        if let Some(idle) = &idle {
            let idle = at(b, idle, step);
            let kept = b.emit.mul(&u, &idle);
            carried = b.emit.add(&carried, &kept);
        }
        steps.push(gradient);
    }
    let gradient = in_steps(b, steps);
    Ok(Given {
        by_data: gradient.clone(),
        by_state: gradient.clone(),
        products: vec![(gradient, own.before.clone())],
        states: vec![carried],
        peepholes: None,
    })
}
