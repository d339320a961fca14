//! Sequences of rows, signals by channel, and the masks that go with them.

use super::facts::InputFacts;
use super::moves::{Moving, Shift};
use super::{Told, Treatment};

/// Places that small images, and rows across, are shifted by at most.
pub(super) const PIXELS: usize = 2;
/// Shortest text and shortest sequence of rows.
pub(super) const SEQUENCE: usize = 4;
/// Sequences are shifted by one in this many rows at most.
const ROWS: usize = 14;
/// A signal has this many times more values than channels that resemble each other.
const FEW: usize = 4;
/// Shortest row that is shifted across.
const ROW: usize = 16;

/// Finds sequences of rows, and the masks that go with them.
pub(super) fn sequences(all: &[InputFacts], out: &mut [Option<Told>]) {
    let counted = all.iter().any(InputFacts::counts);
    for place in 0..all.len() {
        if out[place].is_some() {
            continue;
        }
        let texts: Vec<usize> = out.iter().flatten().filter_map(text_length).collect();
        let is_fixed = |length: usize| counted || texts.contains(&length);
        let Some((moving, phrase)) = rows(&all[place], &is_fixed) else {
            continue;
        };
        out[place] = Some((Treatment::Moved(moving), phrase));
        let Some(shift) = moving.down else {
            continue;
        };
        let length = all[place].sizes()[shift.axis];
        for (told, facts) in out.iter_mut().zip(all) {
            let axis = facts.sizes().iter().position(|&size| size == length);
            let goes_along = told.is_none() && facts.length() == Some(length) && facts.is_binary();
            if let Some(axis) = axis.filter(|_| goes_along) {
                let down = Some(Shift { axis, ..shift });
                let moving = Moving {
                    down,
                    ..Moving::default()
                };
                let phrase = "mask, shifted with the rows".to_owned();
                *told = Some((Treatment::Moved(moving), phrase));
            }
        }
    }
}

fn text_length(told: &Told) -> Option<usize> {
    match told.0 {
        Treatment::Tokens(length) => Some(length),
        _ => None,
    }
}

/// How a sequence of rows, or of values by channel, is moved. What another input says of a sequence's places
/// (`is_fixed`, by length) stays true: it is not shifted along then.
fn rows(facts: &InputFacts, is_fixed: &dyn Fn(usize) -> bool) -> Option<(Moving, String)> {
    let &[a, b] = facts.sizes() else {
        return None;
    };
    if !facts.element.is_float() || facts.axis.is_none() {
        return None;
    }
    let smooth = [0, 1].map(|axis| facts.is_smooth(axis));
    // Time is where neighbours resemble each other; channels may do so too, but are few.
    let by_channel = smooth[1] && (!smooth[0] || FEW * a <= b);
    let time = usize::from(by_channel);
    let length = facts.sizes()[time];
    if length < SEQUENCE {
        return None;
    }
    let along = Shift {
        axis: time,
        most: (length / ROWS).max(1),
    };
    let across = Shift {
        axis: 1,
        most: PIXELS,
    };
    let moving = Moving {
        down: Some(along).filter(|_| !is_fixed(length)),
        right: Some(across).filter(|_| smooth[1] && !by_channel && b >= ROW),
        mirror: None,
    };
    let what = match by_channel {
        true => format!("{a} channel(s) of {b} values"),
        false => format!("{a} rows of {b}"),
    };
    let how = match (moving.down, moving.right) {
        (Some(down), Some(right)) => {
            format!(
                "shifted by up to {} along and {} across",
                down.most, right.most
            )
        }
        (Some(down), None) => format!("shifted by up to {} along", down.most),
        (None, Some(right)) => format!("shifted by up to {} across", right.most),
        (None, None) => return None,
    };
    Some((moving, format!("{what}, {how}")))
}
