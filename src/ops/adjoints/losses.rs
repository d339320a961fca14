//! Losses of classes: `-w log p` of the class that is the label.

use super::reduction::log_softmax_of;
use super::{Backward, must};
use crate::graph::{Array, Attributes};
use crate::ops::typing::{Ruling, Unsupported};

/// Scores, labels, weights of the classes: the loss, then the logarithms of the probabilities.
pub(in crate::ops) fn cross_entropy(b: &mut Backward) -> Ruling {
    let scores = b.input(0)?;
    let logs = b.output_with(1, &scores.sizes, scores.element);
    let mut parts: Vec<Array> = b.cotangent_of(1).into_iter().collect();
    if let Some(d) = b.cotangent_of(0) {
        parts.push(of_logs(b, &d, &logs)?);
    }
    must(scores.rank() >= 2, "its scores have no axis of classes")?;
    let of_logs = b.emit.total(&parts);
    let given = log_softmax_of(b, &of_logs, &logs, &[1]);
    b.give(0, &given)
}

/// The same from the logarithms.
pub(in crate::ops) fn log_likelihood(b: &mut Backward) -> Ruling {
    let (d, logs) = (b.cotangent()?, b.input(0)?);
    let given = of_logs(b, &d, &logs)?;
    b.give(0, &given)
}

/// The gradient of the logarithms `[samples, classes, ..]` from that of the loss; gives that of the classes' weights.
fn of_logs(b: &mut Backward, d: &Array, logs: &Array) -> Ruling<Array> {
    must(logs.rank() >= 2, "its scores have no axis of classes")?;
    let chosen = chosen(b, logs)?;
    let mut along = vec![1; logs.rank()];
    along[1] = logs.sizes[1];
    let weights = match b.has(2) {
        true => {
            let own = b.input(2)?;
            must(
                own.count() == along[1],
                "it has an unusual number of weights",
            )?;
            let own = b.emit.reshape(&own, &along);
            b.emit.mul(&chosen, &own)
        }
        false => chosen.clone(),
    };
    let mut kept = logs.sizes.clone();
    kept[1] = 1;
    let mean = b.string("reduction", "mean") == "mean";
    let d = match b.string("reduction", "mean").as_str() {
        "none" => b.emit.reshape(d, &kept),
        "sum" => d.clone(),
        "mean" => {
            let axes: Vec<usize> = (0..logs.rank()).collect();
            let all = b.emit.sum(&weights, &axes, false);
            b.emit.div(d, &all)
        }
        _ => return Err(Unsupported("its reduction is none that the operator has")),
    };
    if b.needs(2) {
        let mut worse = b.emit.neg(logs);
        if mean {
            let loss = b.output(0)?;
            worse = b.emit.sub(&worse, &loss);
        }
        let worse = b.emit.mul(&worse, &d);
        let part = b.emit.mul(&chosen, &worse);
        let sum = b.emit.sum_to(&part, &along);
        let given = b.emit.reshape(&sum, &[along[1]]);
        b.give(2, &given)?;
    }
    let product = b.emit.mul(&weights, &d);
    Ok(b.emit.neg(&product))
}

/// One at the label of each sample, unless that is ignored.
fn chosen(b: &mut Backward, logs: &Array) -> Ruling<Array> {
    let labels = b.input(1)?;
    let mut kept = logs.sizes.clone();
    kept[1] = 1;
    let labels = b.emit.reshape(&labels, &kept);
    let classes = logs.sizes[1];
    let mut along = vec![1; logs.rank()];
    along[1] = classes;
    let numbers: Vec<f64> = (0..classes).map(|class| class as f64).collect();
    let numbers = b.emit.constant(&numbers, &along, labels.element);
    let is_label = b.emit.equal(&labels, &numbers);
    let chosen = b.emit.cast(&is_label, logs.element);
    let Some(ignored) = b.proto().int("ignore_index") else {
        return Ok(chosen);
    };
    let ignored = b.emit.number(ignored as f64, labels.element);
    let is_ignored = b.emit.equal(&labels, &ignored);
    let counts = b.emit.not(&is_ignored);
    Ok(b.emit.keep_where(&counts, &chosen))
}
