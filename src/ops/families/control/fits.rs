//! What bodies have to be, operator by operator.

use crate::graph::BodyGraph;
use crate::onnx::ElementType::{Bool, Int64};
use crate::ops::fitting::Fitting;

/// Runs that nobody waits for, however little each does.
const MOST_RUNS: i64 = 1 << 40;

/// Both branches take nothing, and give what the node does.
pub(super) fn branches(op: &mut Fitting) {
    if op.input_count() != 1 {
        let own = op.input_count();
        op.fault(format!(
            "it has {own} input(s), but takes a condition alone"
        ));
    }
    let condition = op.input(0);
    op.of_element(&condition, Bool);
    let Some(both) = op.bodies(["then_branch", "else_branch"]) else {
        return;
    };
    let count = op.output_count();
    let mut fit = true;
    for body in both {
        fit &= op.takes(body, 0) & op.gives(body, count);
    }
    for place in 0..count * usize::from(fit) {
        let [yes, no] = both.map(|body| op.given(body, place));
        op.same_element(&yes, &no);
    }
}

/// The body takes the number of the run, a condition and what is carried; it gives a condition, what is carried, and what is
/// collected.
pub(super) fn repeated(op: &mut Fitting) {
    let Some(carried) = op.input_count().checked_sub(2) else {
        let own = op.input_count();
        return op.fault(format!(
            "it has {own} input(s), but takes a number of runs and a condition"
        ));
    };
    for (slot, element) in [(0, Int64), (1, Bool)] {
        let end = op.input(slot);
        op.of_element(&end, element);
    }
    let Some([body]) = op.bodies(["body"]) else {
        return;
    };
    let outputs = op.output_count();
    if !(op.takes(body, carried + 2) & op.gives(body, outputs + 1)) {
        return;
    }
    if outputs < carried {
        return op.fault(format!(
            "it has {outputs} output(s), but carries {carried} value(s)"
        ));
    }
    let ends = [op.taken(body, 0), op.taken(body, 1), op.given(body, 0)];
    for (end, element) in ends.iter().zip([Int64, Bool, Bool]) {
        op.of_element(end, element);
    }
    for place in 0..carried {
        let (before, inside) = (op.input(2 + place), op.taken(body, 2 + place));
        op.same_element(&before, &inside);
        let after = op.given(body, 1 + place);
        op.same_element(&inside, &after);
    }
    has_end(op, body);
}

/// That a loop ends before anybody stops waiting.
fn has_end(op: &mut Fitting, body: &BodyGraph) {
    let is_true = |op: &Fitting, value| op.number(value).is_some_and(|number| number != 0);
    let begins = match op.origin(&op.input(1)) {
        None => true,
        Some(condition) => is_true(op, condition),
    };
    let after = op.origin(&op.given(body, 0));
    let goes_on = after.is_some_and(|after| {
        let given = op.taken(body, 1).value;
        is_true(op, after) || given == Some(after)
    });
    if !(begins && goes_on) {
        return;
    }
    match op.origin(&op.input(0)).map(|runs| op.number(runs)) {
        None => {
            op.fault("nothing makes its condition false, and no number of runs ends it".to_owned())
        }
        Some(Some(runs)) if runs > MOST_RUNS => op.fault(format!(
            "it runs {runs} times, as nothing makes its condition false"
        )),
        Some(_) => {}
    }
}

/// The body takes what is carried and a slice of each of the last inputs; it gives what is carried and slices of the last
/// outputs.
pub(super) fn stepped(op: &mut Fitting) {
    let (inputs, outputs) = (op.input_count(), op.output_count());
    let said = op.int("num_scan_inputs");
    let slices = said.and_then(|said| usize::try_from(said).ok());
    let Some(slices) = slices.filter(|slices| (1..=inputs).contains(slices)) else {
        let said = said.map_or("is left out".to_owned(), |said| format!("is {said}"));
        return op.fault(format!(
            "its attribute 'num_scan_inputs' {said}, where it has {inputs} input(s)"
        ));
    };
    let states = inputs - slices;
    for slot in 0..inputs {
        let end = op.input(slot);
        if end.value.is_none() {
            op.fault(format!("{} is left out", end.called));
        }
    }
    let Some([body]) = op.bodies(["body"]) else {
        return;
    };
    if !(op.takes(body, inputs) & op.gives(body, outputs)) {
        return;
    }
    let Some(made) = outputs.checked_sub(states) else {
        return op.fault(format!(
            "it has {outputs} output(s), but carries {states} value(s)"
        ));
    };
    for place in 0..inputs {
        let (before, inside) = (op.input(place), op.taken(body, place));
        op.same_element(&before, &inside);
        op.as_declared(&inside);
        if place < states {
            let after = op.given(body, place);
            op.same_element(&inside, &after);
        }
    }
    directions(
        op,
        ("scan_input_directions", "scan_output_directions"),
        (slices, made),
    );
    let along = op.list("scan_input_axes", slices);
    for (place, &axis) in along.iter().enumerate() {
        let rank = op.rank(&op.input(states + place));
        lies_in(op, "scan_input_axes", axis, rank);
    }
    let along = op.list("scan_output_axes", made);
    for (place, &axis) in along.iter().enumerate() {
        let rank = op.rank(&op.given(body, states + place));
        lies_in(op, "scan_output_axes", axis, rank.map(|rank| rank + 1));
    }
}

fn directions(op: &mut Fitting, names: (&str, &str), counts: (usize, usize)) {
    for (name, count) in [(names.0, counts.0), (names.1, counts.1)] {
        for way in op.list(name, count) {
            if ![0, 1].contains(&way) {
                op.fault(format!(
                    "its attribute '{name}' says {way}, where 0 is forward and 1 backward"
                ));
            }
        }
    }
}

fn lies_in(op: &mut Fitting, name: &str, axis: i64, rank: Option<usize>) {
    let Some(rank) = rank else { return };
    let end = rank as i64;
    if !(-end..end).contains(&axis) {
        op.fault(format!(
            "its attribute '{name}' says axis {axis}, where there are {rank}"
        ));
    }
}
