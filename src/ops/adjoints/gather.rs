//! Selection by index: what was taken goes back, and is added where it was taken several times.

use super::Backward;
use crate::graph::{Array, Emitter, Span, int, text};
use crate::onnx::ElementType;
use crate::ops::typing::{Ruling, Unsupported, axis_of};

/// Known positions that go back one by one.
const FEW_PLACES: usize = 4;
/// Elements at most in a matrix of zeros and ones.
const MOST_CHOICES: usize = 1 << 26;

pub(super) const NEEDS_ADDING: Unsupported =
    Unsupported("its gradient is added by index, which needs version 16 of the operator set");
const UNUSUAL: Unsupported = Unsupported("its index and axis do not fit together");

/// Y[a.., i.., b..] = X[a.., index[i..], b..]
pub(in crate::ops) fn gather(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (x, index) = (b.input(0)?, b.input(1)?);
    let axis = axis_of(b.int("axis", 0), x.rank())?;
    if d.rank() + 1 != x.rank() + index.rank() || x.count() == 0 {
        return Err(UNUSUAL);
    }
    if d.count() == 0 {
        return Ok(b.emit.full(0.0, &x.sizes, x.element));
    }
    let outer: usize = x.sizes[..axis].iter().product();
    let inner: usize = x.sizes[axis + 1..].iter().product();
    let size = x.sizes[axis];
    let flat = b.emit.reshape(d, &[outer, index.count(), inner]);
    let known = b
        .integers(1, "")
        .ok()
        .flatten()
        .and_then(|places| wrapped(&places, size));
    let given = match known.as_deref().and_then(runs) {
        Some(runs) => by_runs(b.emit, &flat, &runs, size),
        None => by_index(b.emit, &flat, (&index, known), size)?,
    };
    Ok(b.emit.reshape(&given, &x.sizes))
}

/// Known positions along an axis of this size, those below 0 counted from its end.
fn wrapped(places: &[i64], size: usize) -> Option<Vec<usize>> {
    let wrap = |&place: &i64| {
        let place = if place < 0 {
            place.checked_add(size as i64)?
        } else {
            place
        };
        usize::try_from(place).ok().filter(|&place| place < size)
    };
    places.iter().map(wrap).collect()
}

/// Stretches of positions with equal steps, as first position, number and step; none if they are many.
pub(super) fn runs(places: &[usize]) -> Option<Vec<[usize; 3]>> {
    let mut runs: Vec<[usize; 3]> = Vec::new();
    for &place in places {
        match runs.last_mut() {
            Some([first, count @ 1, step]) if place > *first => {
                (*count, *step) = (2, place - *first);
            }
            Some([first, count, step]) if *count > 1 && place == *first + *count * *step => {
                *count += 1;
            }
            _ => runs.push([place, 1, 1]),
        }
        if runs.len() > FEW_PLACES {
            return None;
        }
    }
    Some(runs)
}

/// `d[outer, places, inner]` back at the positions of the middle axis.
pub(super) fn by_runs(emit: &mut Emitter, d: &Array, runs: &[[usize; 3]], size: usize) -> Array {
    let (mut sum, mut from) = (None, 0);
    for &[start, count, step] in runs {
        let part = emit.part(d, 1, from, count);
        let range = Span {
            axis: 1,
            start,
            count,
            step,
        };
        let placed = emit.spread(&part, range, size);
        sum = Some(match sum {
            None => placed,
            Some(sum) => emit.add(&sum, &placed),
        });
        from += count;
    }
    sum.unwrap_or_else(|| d.clone())
}

/// As [`by_runs`], where the index says.
fn by_index(
    emit: &mut Emitter,
    d: &Array,
    (index, known): (&Array, Option<Vec<usize>>),
    size: usize,
) -> Ruling<Array> {
    let [outer, count, inner] = [d.sizes[0], d.sizes[1], d.sizes[2]];
    // Positions come first.
    let rows = match outer {
        1 => emit.reshape(d, &[count, inner]),
        _ => {
            let turned = emit.transpose(d, &[1, 0, 2]);
            emit.reshape(&turned, &[count, outer * inner])
        }
    };
    let index = match known {
        Some(places) => {
            let places: Vec<f64> = places.into_iter().map(|place| place as f64).collect();
            emit.constant(&places, &[count], ElementType::Int64)
        }
        None => {
            let wide = emit.cast(index, ElementType::Int64);
            emit.reshape(&wide, &[count])
        }
    };
    let sum = add_rows(emit, &rows, &index, size)?;
    if outer == 1 {
        return Ok(emit.reshape(&sum, &[1, size, inner]));
    }
    let apart = emit.reshape(&sum, &[size, outer, inner]);
    Ok(emit.transpose(&apart, &[1, 0, 2]))
}

/// `size` rows of zeros with `rows` added where the index says, which has a number for each.
pub(super) fn add_rows(
    emit: &mut Emitter,
    rows: &Array,
    index: &Array,
    size: usize,
) -> Ruling<Array> {
    let (count, inner) = (rows.sizes[0], rows.sizes[1]);
    if emit.opset() >= 16 && is_added(rows.element) {
        let index = emit.reshape(index, &[count, 1]);
        return Ok(emit.scatter_nd(&index, rows, &[size, inner]));
    }
    let choices = size.saturating_mul(count);
    match choices <= MOST_CHOICES && emit.opset() >= 9 {
        true => Ok(by_choices(emit, rows, index, size)),
        false => Err(NEEDS_ADDING),
    }
}

/// True for numbers that operators add by index.
fn is_added(element: ElementType) -> bool {
    matches!(element, ElementType::Float | ElementType::Double)
}

/// A product with a matrix of zeros and ones.
fn by_choices(emit: &mut Emitter, rows: &Array, index: &Array, size: usize) -> Array {
    let index = wrapped_index(emit, index, size);
    let single = emit.reshape(&index, &[index.count(), 1]);
    let all: Vec<f64> = (0..size).map(|place| place as f64).collect();
    let all = emit.constant(&all, &[1, size], ElementType::Int64);
    let chosen = emit.equal(&single, &all);
    let ones = emit.cast(&chosen, rows.element);
    emit.gemm(&ones, rows, [true, false], 1.0)
}

/// Positions below 0 counted from the end of an axis of this size.
pub(super) fn wrapped_index(emit: &mut Emitter, index: &Array, size: usize) -> Array {
    let zero = emit.number(0.0, index.element);
    let total = emit.number(size as f64, index.element);
    let negative = emit.less(index, &zero);
    let wrapped = emit.add(index, &total);
    emit.choose(&negative, &wrapped, index)
}

/// Positions along one axis for each element, or along several for each slice.
#[derive(Clone)]
pub(super) struct Targets {
    pub(super) index: Array,
    /// The axis that positions are of; none where the last axis of the index holds one for each of the first axes.
    pub(super) axis: Option<usize>,
}

impl Targets {
    /// What stands there.
    pub(super) fn read(&self, emit: &mut Emitter, x: &Array) -> Ruling<Array> {
        match self.axis {
            Some(axis) if emit.opset() >= 11 => {
                let attributes = vec![int("axis", axis as i64)];
                let made = (self.index.sizes.clone(), x.element);
                let names = [&*x.name, &self.index.name];
                Ok(emit.node("GatherElements", &names, attributes, made))
            }
            Some(axis) if emit.opset() >= 9 => Ok(self.read_flat(emit, x, axis)),
            Some(_) => Err(Unsupported(
                "its index is of a version before 9 of the operator set",
            )),
            None => {
                let (depth, places) = self.index.sizes.split_last().ok_or(UNUSUAL)?;
                let rest = x.sizes.get(*depth..).ok_or(UNUSUAL)?;
                let made = ([places, rest].concat(), x.element);
                let names = [&*x.name, &self.index.name];
                Ok(emit.node("GatherND", &names, Vec::new(), made))
            }
        }
    }

    /// By the number of each element in row-major order.
    fn read_flat(&self, emit: &mut Emitter, x: &Array, axis: usize) -> Array {
        let index = emit.cast(&self.index, ElementType::Int64);
        let index = wrapped_index(emit, &index, x.sizes[axis]);
        let stride = |axis: usize| x.sizes[axis + 1..].iter().product::<usize>();
        let pace = emit.number(stride(axis) as f64, ElementType::Int64);
        let mut flat = emit.mul(&index, &pace);
        for other in (0..x.rank()).filter(|&other| other != axis) {
            let steps = (0..index.sizes[other]).map(|n| (n * stride(other)) as f64);
            let steps: Vec<f64> = steps.collect();
            let mut sizes = vec![1; x.rank()];
            sizes[other] = steps.len();
            let steps = emit.constant(&steps, &sizes, ElementType::Int64);
            flat = emit.add(&flat, &steps);
        }
        let all = emit.reshape(x, &[x.count()]);
        let attributes = vec![int("axis", 0)];
        let made = (index.sizes.clone(), x.element);
        emit.node("Gather", &[&all.name, &flat.name], attributes, made)
    }

    /// `x` with `updates` written there, or combined with what stands there.
    pub(super) fn write(
        &self,
        emit: &mut Emitter,
        [x, updates]: [&Array; 2],
        reduction: &str,
    ) -> Ruling<Array> {
        let needed = match reduction {
            "none" => 0,
            "max" | "min" => 18,
            _ => 16,
        };
        if emit.opset() < needed {
            return Err(NEEDS_ADDING);
        }
        let names = [&*x.name, &self.index.name, &updates.name];
        let made = (x.sizes.clone(), x.element);
        let mut attributes = Vec::new();
        if reduction != "none" {
            attributes.push(text("reduction", reduction));
        }
        Ok(match self.axis {
            None => emit.node("ScatterND", &names, attributes, made),
            Some(axis) => {
                attributes.push(int("axis", axis as i64));
                let operator = if emit.opset() >= 11 {
                    "ScatterElements"
                } else {
                    "Scatter"
                };
                emit.node(operator, &names, attributes, made)
            }
        })
    }

    /// Zeros of these sizes with `updates` added.
    pub(super) fn add_up(
        &self,
        emit: &mut Emitter,
        updates: &Array,
        sizes: &[usize],
    ) -> Ruling<Array> {
        let zeros = emit.full(0.0, sizes, updates.element);
        self.write(emit, [&zeros, updates], "add")
    }
}
