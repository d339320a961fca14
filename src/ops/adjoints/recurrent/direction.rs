//! What a recurrent layer reads and makes, one direction of it in the order of its steps.

use super::super::{Backward, must};
use super::functions::Function;
use crate::graph::Array;
use crate::ops::typing::{Ruling, Unsupported};

const UNUSUAL: &str = "an input or output has an unusual shape";

/// The sizes of a layer.
pub(super) struct Recurrence {
    pub(super) gates: usize,
    pub(super) directions: usize,
    pub(super) steps: usize,
    pub(super) batch: usize,
    pub(super) width: usize,
    pub(super) hidden: usize,
    /// The hidden states of all steps.
    y: Array,
}

impl Recurrence {
    pub(super) fn of(b: &mut Backward, gates: usize) -> Ruling<Recurrence> {
        must(b.int("layout", 0) == 0, "its data begins with the batch")?;
        let (x, w, r) = (b.input(0)?, b.input(1)?, b.input(2)?);
        let (&[steps, batch, width], &[directions, _, _], &[_, _, hidden]) =
            (&x.sizes[..], &w.sizes[..], &r.sizes[..])
        else {
            return Err(Unsupported(UNUSUAL));
        };
        let two_ways = b.string("direction", "forward") == "bidirectional";
        let stacked = gates * hidden;
        let usual = w.sizes == [directions, stacked, width]
            && r.sizes == [directions, stacked, hidden]
            && directions == 1 + usize::from(two_ways)
            && steps > 0;
        must(usual, UNUSUAL)?;
        let sizes = [steps, directions, batch, hidden];
        let y = b.output_with(0, &sizes, x.element);
        Ok(Recurrence {
            gates,
            directions,
            steps,
            batch,
            width,
            hidden,
            y,
        })
    }

    /// All steps and samples as rows.
    pub(super) fn rows(&self, b: &mut Backward, x: &Array) -> Array {
        let rows = self.steps * self.batch;
        let columns = x.count() / rows.max(1);
        b.emit.reshape(x, &[rows, columns])
    }
}

/// One direction. What has steps is in the order of them: the last place first where it goes backwards.
pub(super) struct Direction {
    pub(super) steps: usize,
    pub(super) hidden: usize,
    backwards: bool,
    pub(super) x: Array,
    pub(super) w: Array,
    pub(super) r: Array,
    /// What W's and R's products are added to.
    pub(super) bias: Option<[Array; 2]>,
    /// The hidden states before each step.
    pub(super) before: Array,
    /// The gradient of the hidden states of all steps as outputs; 0 behind the end of a sequence.
    d: Option<Array>,
    /// The gradients of the last hidden state and of the last cell.
    last: [Array; 2],
    /// The cell before the first step.
    pub(super) cell: Array,
    pub(super) peepholes: Option<Array>,
    /// One where a step belongs to the sequence.
    mask: Option<Array>,
    pub(super) functions: Vec<Function>,
    pub(super) clip: Option<f64>,
}

impl Direction {
    pub(super) fn of(
        b: &mut Backward,
        layer: &Recurrence,
        place: usize,
        functions: Vec<Function>,
    ) -> Ruling<Direction> {
        let backwards = place == 1 || b.string("direction", "forward") == "reverse";
        let turned = |b: &mut Backward, x: Array| match backwards {
            true => b.emit.reversed(&x, 0),
            false => x,
        };
        let state = [layer.directions, layer.batch, layer.hidden];
        let stacked = layer.gates * layer.hidden;
        let x = b.input(0)?;
        let x = turned(b, x);
        let y = hidden_states(b, layer, &layer.y, place);
        let y = turned(b, y);
        let mask = mask(b, layer, backwards)?;
        let first = own(b, 5, &state, place)?;
        let before = states_before(b, &y, first, mask.as_ref().filter(|_| backwards))?;
        let d = of_outputs(b, layer, place)?;
        let d = d.map(|d| turned(b, d));
        let d = match (d, &mask) {
            (Some(d), Some(mask)) => Some(b.emit.mul(&d, mask)),
            (d, _) => d,
        };
        let last = [last(b, layer, 1, place)?, last(b, layer, 2, place)?];
        let bias = biases(b, layer, place)?;
        let cell = match own(b, 6, &state, place)? {
            Some(cell) => cell,
            None => b.emit.full(0.0, &[1, layer.batch, layer.hidden], x.element),
        };
        let [w, r] = [(1, layer.width), (2, layer.hidden)].map(|(slot, width)| {
            let all = b.input(slot)?;
            let part = b.emit.part(&all, 0, place, 1);
            Ok(b.emit.reshape(&part, &[stacked, width]))
        });
        let clip = b.float("clip", 0.0);
        Ok(Direction {
            steps: layer.steps,
            hidden: layer.hidden,
            backwards,
            x,
            w: w?,
            r: r?,
            bias,
            before,
            d,
            last,
            cell,
            peepholes: own(b, 7, &[layer.directions, 3 * layer.hidden], place)?,
            mask,
            functions,
            clip: (clip > 0.0).then_some(clip),
        })
    }

    /// In the order of the data.
    pub(super) fn in_order(&self, b: &mut Backward, x: &Array) -> Array {
        match self.backwards {
            true => b.emit.reversed(x, 0),
            false => x.clone(),
        }
    }

    /// `x W` and `h R` with their biases, for gates of all steps.
    pub(super) fn products(&self, b: &mut Backward) -> [Array; 2] {
        let biases = match &self.bias {
            Some([first, second]) => [Some(first), Some(second)],
            None => [None, None],
        };
        let x = self.product(b, [&self.x, &self.w], biases[0]);
        let h = self.product(b, [&self.before, &self.r], biases[1]);
        [self.by_step(b, &x), self.by_step(b, &h)]
    }

    /// The sum of both.
    pub(super) fn sum_of_products(&self, b: &mut Backward) -> Array {
        let bias = self.bias.as_ref();
        let bias = bias.map(|[first, second]| b.emit.add(first, second));
        let x = self.product(b, [&self.x, &self.w], bias.as_ref());
        let sum = self.product(b, [&self.before, &self.r], Some(&x));
        self.by_step(b, &sum)
    }

    /// Rows of all steps times a weight, onto something.
    fn product(&self, b: &mut Backward, [x, weight]: [&Array; 2], onto: Option<&Array>) -> Array {
        let rows = x.sizes[0] * x.sizes[1];
        let flat = b.emit.reshape(x, &[rows, x.sizes[2]]);
        match onto {
            Some(onto) => b.emit.gemm_onto(&flat, weight, [false, true], onto),
            None => b.emit.gemm(&flat, weight, [false, true], 1.0),
        }
    }

    fn by_step(&self, b: &mut Backward, rows: &Array) -> Array {
        let batch = self.x.sizes[1];
        b.emit.reshape(rows, &[self.steps, batch, rows.sizes[1]])
    }

    /// The part of one gate.
    pub(super) fn gate(&self, b: &mut Backward, all: &Array, gate: usize) -> Array {
        let axis = all.rank() - 1;
        b.emit.part(all, axis, gate * self.hidden, self.hidden)
    }

    /// A slope of all steps, 0 behind the end of a sequence.
    pub(super) fn masked(&self, b: &mut Backward, slope: &Array) -> Array {
        match &self.mask {
            Some(mask) => b.emit.mul(slope, mask),
            None => slope.clone(),
        }
    }

    /// How much of a state stays: all behind the end of a sequence.
    pub(super) fn held(&self, b: &mut Backward, share: &Array) -> Array {
        match &self.mask {
            Some(mask) => {
                let rest = b.emit.number_less(1.0, mask);
                let part = b.emit.mul(share, mask);
                b.emit.add(&part, &rest)
            }
            None => share.clone(),
        }
    }

    /// One where a step is none, if there are such.
    pub(super) fn idle(&self, b: &mut Backward) -> Option<Array> {
        let mask = self.mask.as_ref()?;
        Some(b.emit.number_less(1.0, mask))
    }

    pub(super) fn mask(&self) -> Option<&Array> {
        self.mask.as_ref()
    }

    /// The gradients of the last hidden state and of the last cell, which the walk begins with.
    pub(super) fn carried(&self) -> [Array; 2] {
        self.last.clone()
    }

    /// The gradient of a step's hidden state: of the output, and what later steps have carried here.
    pub(super) fn reached(&self, b: &mut Backward, step: usize, carried: &Array) -> Array {
        match &self.d {
            Some(d) => {
                let own = at(b, d, step);
                b.emit.add(&own, carried)
            }
            None => carried.clone(),
        }
    }
}

/// One step.
pub(super) fn at(b: &mut Backward, x: &Array, step: usize) -> Array {
    b.emit.part(x, 0, step, 1)
}

/// What was made from the last step to the first, in order.
pub(super) fn in_steps(b: &mut Backward, mut parts: Vec<Array>) -> Array {
    parts.reverse();
    b.emit.concat(&parts, 0)
}

/// One direction of `[steps, directions, batch, hidden]`.
fn hidden_states(b: &mut Backward, layer: &Recurrence, y: &Array, place: usize) -> Array {
    let part = b.emit.part(y, 1, place, 1);
    b.emit
        .reshape(&part, &[layer.steps, layer.batch, layer.hidden])
}

/// The gradient of one direction's hidden states, if there is any.
fn of_outputs(b: &mut Backward, layer: &Recurrence, place: usize) -> Ruling<Option<Array>> {
    let Some(d) = b.cotangent_of(0) else {
        return Ok(None);
    };
    must(d.sizes == layer.y.sizes, UNUSUAL)?;
    Ok(Some(hidden_states(b, layer, &d, place)))
}

/// What one direction adds to W's and R's products.
fn biases(b: &mut Backward, layer: &Recurrence, place: usize) -> Ruling<Option<[Array; 2]>> {
    let stacked = layer.gates * layer.hidden;
    let bias = own(b, 3, &[layer.directions, 2 * stacked], place)?;
    Ok(bias.map(|bias| {
        [0, 1].map(|half| {
            let part = b.emit.part(&bias, 1, half * stacked, stacked);
            b.emit.reshape(&part, &[stacked])
        })
    }))
}

/// One direction of an input that may be left out.
fn own(b: &mut Backward, slot: usize, sizes: &[usize], place: usize) -> Ruling<Option<Array>> {
    if !b.has(slot) {
        return Ok(None);
    }
    let all = b.input(slot)?;
    must(all.sizes == sizes, UNUSUAL)?;
    Ok(Some(b.emit.part(&all, 0, place, 1)))
}

/// The gradient of a last state, `[1, batch, hidden]`.
fn last(b: &mut Backward, layer: &Recurrence, slot: usize, place: usize) -> Ruling<Array> {
    let Some(d) = b.cotangent_of(slot) else {
        let sizes = [1, layer.batch, layer.hidden];
        return Ok(b.emit.full(0.0, &sizes, layer.y.element));
    };
    must(
        d.sizes == [layer.directions, layer.batch, layer.hidden],
        UNUSUAL,
    )?;
    Ok(b.emit.part(&d, 0, place, 1))
}

/// One where a step lies within a sample's sequence: `[steps, batch, 1]`.
fn mask(b: &mut Backward, layer: &Recurrence, backwards: bool) -> Ruling<Option<Array>> {
    if !b.has(4) {
        return Ok(None);
    }
    let lengths = b.input(4)?;
    must(lengths.sizes == [layer.batch], UNUSUAL)?;
    let element = layer.y.element;
    let lengths = b.emit.cast(&lengths, element);
    let lengths = b.emit.reshape(&lengths, &[1, layer.batch, 1]);
    let mut places: Vec<f64> = (0..layer.steps).map(|step| step as f64).collect();
    if backwards {
        places.reverse();
    }
    let places = b.emit.constant(&places, &[layer.steps, 1, 1], element);
    let within = b.emit.greater(&lengths, &places);
    Ok(Some(b.emit.cast(&within, element)))
}

/// The hidden state before each step. Walked backwards, a shorter sequence begins later: `mask` says where.
fn states_before(
    b: &mut Backward,
    y: &Array,
    first: Option<Array>,
    mask: Option<&Array>,
) -> Ruling<Array> {
    let shifted = |b: &mut Backward, x: &Array| b.emit.pad(x, &[1, 0, 0], &[-1, 0, 0]);
    let Some(first) = first else {
        return Ok(shifted(b, y));
    };
    let Some(mask) = mask else {
        let earlier = b.emit.part(y, 0, 0, y.sizes[0] - 1);
        return Ok(match y.sizes[0] {
            1 => first,
            _ => b.emit.concat(&[first, earlier], 0),
        });
    };
    let earlier = shifted(b, y);
    let begun = shifted(b, mask);
    let begins = b.emit.sub(mask, &begun);
    let entered = b.emit.mul(&begins, &first);
    Ok(b.emit.add(&earlier, &entered))
}
