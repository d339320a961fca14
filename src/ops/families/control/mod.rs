//! Operators that run bodies: what goes into a body, and comes out, is what goes into the node, and comes out.
//!
//! A body is typed with the graph around it, in which the values that it captures have their types. What a loop carries has
//! one type before the first run, between runs and after the last, but for axes whose size changes from run to run.

mod fits;

use crate::axes::{Extent, Type};
use crate::graph::{BodyId, ValueId};
use crate::ops::Row;
use crate::ops::pass::type_body;
use crate::ops::row::row;
use crate::ops::typing::{Ruling, Typing, Unsupported, axis_of};

pub(super) const ROWS: &[Row] = &[
    row("If", branches)
        .runs(fits::branches)
        .of_elements(&[])
        .stops(STOPS),
    row("Loop", repeat)
        .runs(fits::repeated)
        .of_elements(&[])
        .stops(STOPS),
    row("Scan", scan)
        .runs(fits::stepped)
        .since(9)
        .of_elements(&[])
        .stops(STOPS),
];

const STOPS: &str = "its body is not differentiated";
const GROWS: &str = "changes its size from run to run";
const STEPS: &str = "is what a body goes through step by step";

/// Loops in loops: each multiplies the work.
const MOST_LOOPS: usize = 4;
/// How often a body is typed to find which sizes move. Each time shows those that follow from the ones before; where there are
/// more than these, all are taken to move.
const MOST_TRIALS: usize = 3;

/// The inputs and outputs of a body.
struct Ends {
    body: BodyId,
    inputs: Vec<ValueId>,
    outputs: Vec<ValueId>,
}

fn ends(op: &Typing, attribute: &str) -> Ruling<Ends> {
    let mut bodies = op.graph.bodies_of(op.node);
    let found = bodies.find(|(_, body)| body.attribute == attribute);
    let (id, body) = found.ok_or(Unsupported("it has no body"))?;
    Ok(Ends {
        body: id,
        inputs: body.inputs.clone(),
        outputs: body.outputs.clone(),
    })
}

/// Types a body whose inputs have their types.
fn enter(op: &mut Typing, ends: &Ends) {
    type_body(op.graph, op.state, ends.body);
}

/// Says that the bodies are typed; holds positions that are given back as numbers.
fn opened(op: &mut Typing, bodies: &[&Ends]) {
    let reason = op.reason("has positions that are read as numbers");
    for value in bodies.iter().flat_map(|ends| &ends.outputs) {
        if let Some(of) = op.state.pointers.get(value).cloned() {
            op.state.types.pin(&of, reason);
        }
    }
    op.state.opened.insert(op.node);
}

fn branches(op: &mut Typing) -> Ruling {
    op.held(0, "is a condition");
    op.state.conditions.extend(op.value(0));
    let [yes, no] = [ends(op, "then_branch")?, ends(op, "else_branch")?];
    let count = op.output_count();
    if [&yes, &no].iter().any(|ends| ends.outputs.len() < count) {
        return Err(Unsupported("a branch has fewer outputs than the node"));
    }
    enter(op, &yes);
    enter(op, &no);
    let condition = op.integers(0).and_then(|all| all.first().cloned()?);
    let decided = condition.and_then(|condition| Some(condition.known()? != 0));
    if let Some(first) = decided {
        let idle = if first { &no } else { &yes };
        op.state.idle.insert(idle.body);
    }
    for slot in 0..count {
        let values = match decided {
            // The other branch never runs: nothing comes from it.
            Some(true) => [yes.outputs[slot]; 2],
            Some(false) => [no.outputs[slot]; 2],
            None => [yes.outputs[slot], no.outputs[slot]],
        };
        let element = values
            .iter()
            .find_map(|value| op.state.elements[value.index()]);
        give_element(op, slot, element);
        let [a, b] = values.map(|value| op.state.axes(value).map(<[Type]>::to_vec));
        match (a, b) {
            (Some(a), Some(b)) if a.len() == b.len() => {
                let axes = a.iter().zip(&b).enumerate();
                let axes = axes
                    .map(|(axis, (a, b))| either(op, (slot, axis), a, b))
                    .collect();
                op.output(slot, axes);
            }
            (a, b) => {
                let all: Vec<Type> = [a, b].into_iter().flatten().flatten().collect();
                op.pin_all(&all, "is of another rank in the other branch");
            }
        }
    }
    opened(op, &[&yes, &no]);
    Ok(())
}

/// An axis that is one of two.
fn either(op: &mut Typing, (slot, axis): (usize, usize), a: &Type, b: &Type) -> Type {
    const OTHER: &str = "is of another size in the other branch";
    if op.extent(a) == op.extent(b) {
        op.unify(a, b);
        return a.clone();
    }
    // The branches run apart: their sizes need not agree.
    op.pin(a, OTHER);
    op.pin(b, OTHER);
    op.unknown(slot, axis, OTHER)
}

fn give_element(op: &mut Typing, slot: usize, element: Option<crate::onnx::ElementType>) {
    let outputs = &op.graph.node(op.node).outputs;
    if let Some(value) = outputs.get(slot).copied().flatten() {
        let known = &mut op.state.elements[value.index()];
        *known = known.or(element);
    }
}

/// What goes round: the value before the first run, that inside the body, and that after a run.
struct Carried {
    slot: usize,
    inside: ValueId,
    after: ValueId,
    out: usize,
}

fn repeat(op: &mut Typing) -> Ruling {
    let ends = ends(op, "body")?;
    op.held(0, "is a number of runs");
    op.held(1, "is a condition");
    op.state.runs.extend(op.value(0));
    op.state.conditions.extend(op.value(1));
    op.state.runs.extend(ends.outputs.first());
    let count = op.input_count().saturating_sub(2);
    if ends.inputs.len() != count + 2 || ends.outputs.len() < count + 1 {
        return Err(Unsupported("the body does not fit the node"));
    }
    for &value in &ends.inputs[..2] {
        op.state.axes[value.index()] = Some(Vec::new());
    }
    let carried = (0..count).map(|place| Carried {
        slot: 2 + place,
        inside: ends.inputs[2 + place],
        after: ends.outputs[1 + place],
        out: place,
    });
    let carried: Vec<Carried> = carried.collect();
    go_round(op, &ends, &carried)?;
    for (place, &value) in ends.outputs.iter().enumerate().skip(1 + count) {
        let axes = op.state.axes(value).map(<[Type]>::to_vec);
        let slot = place - 1;
        give_element(op, slot, op.state.elements[value.index()]);
        if let Some(mut axes) = axes {
            let runs = op.unknown(slot, 0, "counts runs");
            axes.insert(0, runs);
            op.output(slot, axes);
        }
    }
    opened(op, &[&ends]);
    Ok(())
}

/// Types a body that runs again and again, and what it carries.
fn go_round(op: &mut Typing, ends: &Ends, carried: &[Carried]) -> Ruling {
    if op.state.loops >= MOST_LOOPS {
        return Err(Unsupported("is a loop in too many loops"));
    }
    op.state.loops += 1;
    let moving = enter_loop(op, ends, carried);
    op.state.loops -= 1;
    let moving = moving?;
    for (own, moving) in carried.iter().zip(&moving) {
        let before = op.optional(own.slot)?.unwrap_or_default();
        let after = op.state.axes(own.after).map(<[Type]>::to_vec);
        let after = after.filter(|after| after.len() == before.len());
        let after = after.ok_or(Unsupported("a carried value changes its rank"))?;
        let mut out = Vec::with_capacity(before.len());
        for (axis, (before, after)) in before.iter().zip(&after).enumerate() {
            if moving[axis] {
                op.pin(before, GROWS);
                op.pin(after, GROWS);
                out.push(op.unknown(own.out, axis, GROWS));
            } else {
                op.unify(before, after);
                out.push(before.clone());
            }
        }
        give_element(op, own.out, op.state.elements[own.after.index()]);
        op.output(own.out, out);
    }
    Ok(())
}

/// Types the body of a loop, and says by carried value and axis whether its size is another after a run.
fn enter_loop(op: &mut Typing, ends: &Ends, carried: &[Carried]) -> Ruling<Vec<Vec<bool>>> {
    let moving = moving(op, ends, carried)?;
    for (own, moving) in carried.iter().zip(&moving) {
        let axes = op.optional(own.slot)?.unwrap_or_default();
        let inside = inside(op, own, &axes, moving);
        op.state.axes[own.inside.index()] = Some(inside);
        let element = op.element(own.slot);
        let known = &mut op.state.elements[own.inside.index()];
        *known = known.or(element);
    }
    enter(op, ends);
    Ok(moving)
}

/// By carried value and axis whether its size is another after a run.
fn moving(op: &mut Typing, ends: &Ends, carried: &[Carried]) -> Ruling<Vec<Vec<bool>>> {
    let mut moving = Vec::new();
    for own in carried {
        moving.push(vec![
            false;
            op.optional(own.slot)?.unwrap_or_default().len()
        ]);
    }
    // Each trial finds more, or is the last.
    for _ in 0..MOST_TRIALS {
        let before = op.state.clone();
        for (own, moving) in carried.iter().zip(&moving) {
            let axes = op.optional(own.slot)?.unwrap_or_default();
            let inside = inside(op, own, &axes, moving);
            op.state.axes[own.inside.index()] = Some(inside);
        }
        enter(op, ends);
        let mut found = false;
        for (own, moving) in carried.iter().zip(&mut moving) {
            let Some(after) = op.state.axes(own.after) else {
                continue;
            };
            let start = op.state.axes(own.inside).unwrap_or_default();
            for (axis, (start, after)) in start.iter().zip(after).enumerate() {
                let types = &op.state.types;
                let changes = types.extent(start) != types.extent(after);
                found |= changes && !moving[axis];
                moving[axis] |= changes;
            }
        }
        *op.state = before;
        if !found {
            return Ok(moving);
        }
    }
    moving.iter_mut().for_each(|axes| axes.fill(true));
    Ok(moving)
}

/// What a carried value is inside the body.
fn inside(op: &mut Typing, own: &Carried, axes: &[Type], moving: &[bool]) -> Vec<Type> {
    let axes = axes.iter().zip(moving).enumerate();
    let axes = axes.map(|(axis, (ty, &moving))| match moving {
        false => ty.clone(),
        true => {
            let name = format!("{}:{}.{axis}", op.graph.value(own.inside).name, own.slot);
            let name = op.state.symbol_name(&name);
            let extent = op.state.symbols.named(&name);
            op.fixed(extent, GROWS)
        }
    });
    axes.collect()
}

fn scan(op: &mut Typing) -> Ruling {
    let ends = ends(op, "body")?;
    let slices = usize::try_from(op.int("num_scan_inputs", 0)).unwrap_or(0);
    let states = op.input_count().checked_sub(slices);
    let states = states.ok_or(Unsupported("it has fewer inputs than it steps through"))?;
    if ends.inputs.len() != op.input_count() || ends.outputs.len() < states {
        return Err(Unsupported("the body does not fit the node"));
    }
    let steps = stepped(op, &ends, (states, slices))?;
    let carried = (0..states).map(|place| Carried {
        slot: place,
        inside: ends.inputs[place],
        after: ends.outputs[place],
        out: place,
    });
    let carried: Vec<Carried> = carried.collect();
    op.state.repeated.extend(steps.clone());
    let round = go_round(op, &ends, &carried);
    if steps.is_some() {
        op.state.repeated.pop();
    }
    round?;
    stacked(op, &ends, states, steps)?;
    opened(op, &[&ends]);
    Ok(())
}

/// Gives the body the slices of what is stepped through; returns the axis along which that is.
fn stepped(op: &mut Typing, ends: &Ends, (states, slices): (usize, usize)) -> Ruling<Option<Type>> {
    let along = op.ints("scan_input_axes").unwrap_or_default();
    let mut steps: Option<Type> = None;
    for place in 0..slices {
        let mut axes = op.input(states + place)?;
        let axis = axis_of(along.get(place).copied().unwrap_or(0), axes.len())?;
        let step = axes.remove(axis);
        op.pin(&step, STEPS);
        if let Some(known) = &steps {
            op.unify(known, &step);
        }
        steps.get_or_insert(step);
        let inside = ends.inputs[states + place];
        op.state.axes[inside.index()] = Some(axes);
        let element = op.element(states + place);
        let known = &mut op.state.elements[inside.index()];
        *known = known.or(element);
    }
    Ok(steps)
}

/// The outputs that are put together of what each step gives.
fn stacked(op: &mut Typing, ends: &Ends, states: usize, steps: Option<Type>) -> Ruling {
    let along = op.ints("scan_output_axes").unwrap_or_default();
    for (place, &value) in ends.outputs.iter().enumerate().skip(states) {
        give_element(op, place, op.state.elements[value.index()]);
        let Some(mut axes) = op.state.axes(value).map(<[Type]>::to_vec) else {
            continue;
        };
        let axis = along.get(place - states).copied().unwrap_or(0);
        let axis = axis_of(axis, axes.len() + 1)?;
        let extent = steps.as_ref().map(|steps| op.extent(steps));
        let extent: Option<Extent> = extent;
        let step = op.sized((place, axis), extent, STEPS);
        axes.insert(axis, step);
        op.output(place, axes);
    }
    Ok(())
}
