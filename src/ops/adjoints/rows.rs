//! Both gradients of a convolution by rows: channels stand last, and each position of the window is one product of matrices
//! over all samples. On processors this takes a third to all of the time of the opposite convolution, whose products
//! have one column per place of one sample.
//!
//! Data is split by its place modulo the stride. The positions of the window that reach such a part see it at the
//! gradient shifted by whole places, so that one slice of the gradient serves both products.

use crate::graph::{Array, Emitter, Slide, Span};
use crate::onnx::ElementType;

/// Channels at least, on both sides.
const FEWEST_CHANNELS: usize = 32;
/// Places of one sample per channel at most.
const MOST_PLACES: usize = 4;
/// Positions of the window at most.
const MOST_TAPS: usize = 32;

/// A position of the window along one axis, and the shift of the gradient under it.
type Reach = (usize, i64);

/// True if this form takes less time on a processor.
pub(super) fn pays([x, d]: [&Array; 2], slide: &Slide) -> bool {
    let channels = x.sizes[1].min(d.sizes[1]);
    let places: usize = slide.places.iter().product();
    let is_whole = || {
        (0..slide.rank()).all(|axis| {
            let mut parts = 0..slide.strides[axis];
            parts.all(|part| !reaches(slide, axis, part).is_empty())
        })
    };
    (2..=MOST_TAPS).contains(&slide.taps())
        && channels >= FEWEST_CHANNELS
        && places <= channels.saturating_mul(MOST_PLACES)
        && is_whole()
}

/// The positions of the window that reach places `stride * n + part` of an axis.
fn reaches(slide: &Slide, axis: usize, part: usize) -> Vec<Reach> {
    let stride = slide.strides[axis] as i64;
    let reaches = (0..slide.kernel[axis]).filter_map(|position| {
        let from = (part + slide.before[axis]) as i64 - (position * slide.dilations[axis]) as i64;
        (from.rem_euclid(stride) == 0).then(|| (position, from.div_euclid(stride)))
    });
    reaches.collect()
}

/// Number of places of an axis that one part has.
fn parted(slide: &Slide, axis: usize) -> usize {
    slide.sizes[axis].div_ceil(slide.strides[axis])
}

/// Places of one sample at most at which the convolution itself takes less time by rows.
const FEW_PLACES: usize = 16;
/// Channels at least that it has then, on both sides.
const MANY_CHANNELS: usize = 64;

/// True if the convolution itself takes less time by rows, on a processor and with a weight that is no constant.
pub(super) fn pays_forward([x, w]: [&Array; 2], slide: &Slide) -> bool {
    let places: usize = slide.places.iter().product();
    x.element == ElementType::Float
        && slide.taps() <= MOST_TAPS
        && x.sizes[1].min(w.sizes[0]) >= MANY_CHANNELS
        && places <= FEW_PLACES
        && x.sizes[0] > 1
}

/// The convolution of data `[N, C, sizes..]` with a weight `[O, C, kernel..]`, with channels last: `[N, places.., O]`.
pub(super) fn forward(
    emit: &mut Emitter,
    [x, w]: [&Array; 2],
    bias: Option<&Array>,
    slide: &Slide,
) -> Array {
    let (samples, channels, filters) = (x.sizes[0], x.sizes[1], w.sizes[0]);
    let last = channels_last(emit, x);
    let before: Vec<i64> = slide.before.iter().map(|&n| n as i64).collect();
    let behind: Vec<i64> = (0..slide.rank()).map(|axis| slide.behind(axis)).collect();
    let around = |pads: &[i64]| [&[0], pads, &[0]].concat();
    let padded = emit.pad(&last, &around(&before), &around(&behind));
    let weights = by_taps(emit, w, slide.taps());
    let rows = samples * slide.places.iter().product::<usize>();
    let mut sum = bias.cloned();
    for (tap, offset) in slide.offsets().iter().enumerate() {
        let spans = offset.iter().enumerate().map(|(axis, place)| Span {
            axis: axis + 1,
            start: place * slide.dilations[axis],
            count: slide.places[axis],
            step: slide.strides[axis],
        });
        let seen = emit.slice(&padded, &spans.collect::<Vec<_>>());
        let seen = emit.reshape(&seen, &[rows, channels]);
        let own = emit.part(&weights, 0, tap, 1);
        let own = emit.reshape(&own, &[filters, channels]);
        sum = Some(match sum {
            None => emit.gemm(&seen, &own, [false, true], 1.0),
            Some(sum) => emit.gemm_onto(&seen, &own, [false, true], &sum),
        });
    }
    let sizes = [&[samples], &slide.places[..], &[filters]].concat();
    let made = sum.unwrap_or_else(|| emit.full(0.0, &[rows, filters], x.element));
    emit.reshape(&made, &sizes)
}

/// By position of the window the weights, one after the other: `[K, O C]`.
fn by_taps(emit: &mut Emitter, w: &Array, taps: usize) -> Array {
    let flat = emit.reshape(w, &[w.sizes[0] * w.sizes[1], taps]);
    emit.transposed(&flat)
}

/// What is made of a convolution.
struct Rows<'a> {
    emit: &'a mut Emitter,
    slide: &'a Slide,
    /// Samples, channels of the data, filters.
    samples: usize,
    channels: usize,
    filters: usize,
    /// The gradient with channels last, with zeros around it as far as any position of the window reaches.
    d: Array,
    /// Where the gradient's first place is in it.
    before: Vec<i64>,
}

/// The gradients of the data `[N, C, sizes..]` and of the weight `[O, C, kernel..]`, each if it is wanted, from that of
/// the result, `[N, O, places..]`.
pub(super) fn gradients(
    emit: &mut Emitter,
    [x, d, w]: [&Array; 3],
    slide: &Slide,
    wanted: [bool; 2],
) -> [Option<Array>; 2] {
    let mut rows = Rows::of(emit, [x, d], slide);
    let data = wanted[1].then(|| rows.data(x));
    let weights = wanted[0].then(|| by_taps(rows.emit, w, slide.taps()));
    let (mut parts, mut taps) = (Vec::new(), Vec::new());
    for part in tuples(&slide.strides) {
        let own = data.as_ref().map(|data| rows.part(data, &part));
        let mut sum: Option<Array> = None;
        for reach in rows.reaches(&part) {
            let tap = slide.place_of(&reach.iter().map(|reach| reach.0).collect::<Vec<_>>());
            let seen = rows.seen(&reach);
            if let Some(weights) = &weights {
                sum = Some(rows.onto(sum, &seen, weights, tap));
            }
            if let Some(own) = &own {
                let product = rows.emit.gemm(&seen, own, [true, false], 1.0);
                let row = [1, rows.filters * rows.channels];
                taps.push((tap, rows.emit.reshape(&product, &row)));
            }
        }
        parts.extend(sum);
    }
    let dx = (!parts.is_empty()).then(|| rows.together(parts));
    taps.sort_by_key(|(tap, _)| *tap);
    let taps: Vec<Array> = taps.into_iter().map(|(_, product)| product).collect();
    let dw = (!taps.is_empty()).then(|| {
        let all = rows.emit.concat(&taps, 0);
        let all = rows.emit.transposed(&all);
        rows.emit.reshape(&all, &w.sizes)
    });
    [dx, dw]
}

/// All tuples of numbers below these, in row-major order.
fn tuples(sizes: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for &size in sizes {
        let longer = all
            .iter()
            .flat_map(|tuple: &Vec<usize>| (0..size).map(|n| [tuple.as_slice(), &[n]].concat()));
        all = longer.collect();
    }
    all
}

/// Channels behind the axes that windows slide over.
fn channels_last(emit: &mut Emitter, x: &Array) -> Array {
    let mut order = vec![0];
    order.extend(2..x.rank());
    order.push(1);
    emit.transpose(x, &order)
}

impl<'a> Rows<'a> {
    fn of(emit: &'a mut Emitter, [x, d]: [&Array; 2], slide: &'a Slide) -> Rows<'a> {
        let (mut before, mut behind) = (Vec::new(), Vec::new());
        for axis in 0..slide.rank() {
            let parts = (0..slide.strides[axis]).flat_map(|part| reaches(slide, axis, part));
            let shifts: Vec<i64> = parts.map(|(_, shift)| shift).collect();
            let least = shifts.iter().copied().min().unwrap_or(0);
            let most = shifts.iter().copied().max().unwrap_or(0);
            before.push(-least);
            behind.push(most + parted(slide, axis) as i64 - slide.places[axis] as i64);
        }
        let last = channels_last(emit, d);
        let around = |pads: &[i64]| [&[0], pads, &[0]].concat();
        let padded = emit.pad(&last, &around(&before), &around(&behind));
        Rows {
            emit,
            slide,
            samples: x.sizes[0],
            channels: x.sizes[1],
            filters: d.sizes[1],
            d: padded,
            before,
        }
    }

    /// The positions of the window that reach a part of the data.
    fn reaches(&self, part: &[usize]) -> Vec<Vec<Reach>> {
        let mut all = vec![Vec::new()];
        for (axis, &part) in part.iter().enumerate() {
            let own = reaches(self.slide, axis, part);
            let longer = all.iter().flat_map(|tuple: &Vec<Reach>| {
                own.iter()
                    .map(|reach| [tuple.as_slice(), &[*reach]].concat())
            });
            all = longer.collect();
        }
        all
    }

    /// Sizes of a part of the data, without its channels.
    fn parted(&self) -> Vec<usize> {
        let axes = (0..self.slide.rank()).map(|axis| parted(self.slide, axis));
        std::iter::once(self.samples).chain(axes).collect()
    }

    /// The data with channels last, of whole strides.
    fn data(&mut self, x: &Array) -> Array {
        let last = channels_last(self.emit, x);
        let rest = (0..self.slide.rank()).map(|axis| {
            let whole = parted(self.slide, axis) * self.slide.strides[axis];
            whole as i64 - self.slide.sizes[axis] as i64
        });
        let rest: Vec<i64> = [0].into_iter().chain(rest).chain([0]).collect();
        self.emit.pad(&last, &vec![0; rest.len()], &rest)
    }

    /// A row per place of a part of the data.
    fn part(&mut self, data: &Array, part: &[usize]) -> Array {
        let spans = part.iter().enumerate().map(|(axis, &start)| Span {
            axis: axis + 1,
            start,
            count: parted(self.slide, axis),
            step: self.slide.strides[axis],
        });
        let own = self.emit.slice(data, &spans.collect::<Vec<_>>());
        let rows = own.count() / self.channels;
        self.emit.reshape(&own, &[rows, self.channels])
    }

    /// The gradient as it stands over a part of the data at one position of the window.
    fn seen(&mut self, reach: &[Reach]) -> Array {
        let spans = reach.iter().enumerate().map(|(axis, (_, shift))| Span {
            axis: axis + 1,
            start: usize::try_from(shift + self.before[axis]).unwrap_or_default(),
            count: parted(self.slide, axis),
            step: 1,
        });
        let seen = self.emit.slice(&self.d, &spans.collect::<Vec<_>>());
        let rows = seen.count() / self.filters;
        self.emit.reshape(&seen, &[rows, self.filters])
    }

    /// What one position of the window gives to a part of the data, added to what others give.
    fn onto(&mut self, sum: Option<Array>, seen: &Array, weights: &Array, tap: usize) -> Array {
        let own = self.emit.part(weights, 0, tap, 1);
        let own = self.emit.reshape(&own, &[self.filters, self.channels]);
        match sum {
            None => self.emit.gemm(seen, &own, [false, false], 1.0),
            Some(sum) => self.emit.gemm_onto(seen, &own, [false, false], &sum),
        }
    }

    /// The data's gradient from its parts, `[N, C, sizes..]`.
    fn together(&mut self, parts: Vec<Array>) -> Array {
        let mut sizes = self.parted();
        sizes.push(self.channels);
        let mut parts = parts;
        for axis in (0..self.slide.rank()).rev() {
            let stride = self.slide.strides[axis];
            let mut apart = sizes.clone();
            apart.insert(axis + 2, 1);
            sizes[axis + 1] *= stride;
            let joined = parts.chunks(stride).map(|few| {
                let few = few.iter().map(|part| self.emit.reshape(part, &apart));
                let few: Vec<Array> = few.collect();
                let joined = self.emit.concat(&few, axis + 2);
                self.emit.reshape(&joined, &sizes)
            });
            parts = joined.collect();
        }
        let mut whole = parts.swap_remove(0);
        for axis in 0..self.slide.rank() {
            let size = self.slide.sizes[axis];
            whole = self.emit.part(&whole, axis + 1, 0, size);
        }
        let mut order = vec![0, whole.rank() - 1];
        order.extend(1..whole.rank() - 1);
        self.emit.transpose(&whole, &order)
    }
}
