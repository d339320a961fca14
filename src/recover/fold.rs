//! The fold of removed channels into those kept, by the dense model's statistics alone: with the
//! covariance S of what a layer reads, the kept columns K get `W S[:, K] (S[K, K] + lambda I)^-1` (CORP).

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use faer::{ColRef, Mat, Scale};

use super::Recovered;
use crate::algebra::{Damped, Shrinking, columns, product, square};
use crate::axes::VarId;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::layers::Addition;
use crate::layers::Layer;
use crate::onnx::{ElementType, packed};
use crate::rewrite::{Edit, rows_with_constants};
use crate::statistics::Stats;

/// Ridge in mean diagonals.
pub(super) const FOLD: f64 = 1e-3;
/// Bytes that may wait for smaller sizes.
const MOST_WAITING: usize = 512 << 20;

/// Weights of the columns that stay which come nearest to all columns: rows by columns kept.
pub(super) fn folded(weights: &Mat<f64>, covariance: &Mat<f64>, kept: &[usize]) -> Mat<f64> {
    let cross = product(
        weights.as_ref(),
        columns(covariance.as_ref(), kept).as_ref(),
    );
    let damped = Damped::new(square(covariance.as_ref(), kept), FOLD);
    let right = cross + columns(weights.as_ref(), kept) * Scale(damped.lambda);
    damped.solve(right.as_ref())
}

/// The layers that read one dimension at ever fewer channels of it that stay: what goes is folded into what stays.
pub(crate) struct Folds<'a> {
    analysis: &'a Analysis,
    stats: &'a Stats,
    readers: Vec<Reader<'a>>,
    /// The size that is next.
    next: usize,
    /// Bytes that may still wait for the sizes to come.
    room: usize,
}

/// A layer that reads the dimension.
struct Reader<'a> {
    layer: &'a Layer,
    matrices: Vec<Columns>,
}

/// The columns of a matrix.
struct Columns {
    /// Those that stay longest first.
    order: Vec<usize>,
    /// By size how many of them stay.
    stay: Vec<usize>,
    /// The weights at the last size.
    waiting: Option<Shrinking>,
}

impl Columns {
    /// `sizes` are the sizes at which each column stays.
    fn new(sizes: &[usize], count: usize) -> Columns {
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        order.sort_by_key(|&column| Reverse(sizes[column]));
        let stay = |number| sizes.iter().filter(|&&size| size > number).count();
        Columns {
            order,
            stay: (0..count).map(stay).collect(),
            waiting: None,
        }
    }
}

impl<'a> Folds<'a> {
    /// Folds of `dimension` to the channels in `sizes`, each among those of the one before.
    pub(crate) fn of(
        analysis: &'a Analysis,
        layers: &'a [Layer],
        stats: &'a Stats,
        dimension: VarId,
        sizes: &[Vec<u32>],
    ) -> Folds<'a> {
        // As the channels are among those before, the number of sizes says which.
        let mut counts: HashMap<u32, usize> = HashMap::new();
        for &channel in sizes.iter().flatten() {
            *counts.entry(channel).or_default() += 1;
        }
        let of = |label: &Option<u32>| match label {
            Some(channel) => counts.get(channel).copied().unwrap_or(0),
            None => sizes.len(),
        };
        let reader = |layer: &'a Layer| {
            let axes = analysis.state.axes(layer.value).unwrap_or_default();
            let has = |ty| analysis.state.types.vars(ty).contains(&dimension);
            let labels = match axes.iter().any(has) {
                true => layer.column_channels(analysis, dimension),
                false => return None,
            };
            let mut all = labels.iter().flatten();
            all.any(Option::is_some).then(|| Reader {
                layer,
                matrices: labels
                    .iter()
                    .map(|labels| {
                        Columns::new(&labels.iter().map(of).collect::<Vec<_>>(), sizes.len())
                    })
                    .collect(),
            })
        };
        Folds {
            analysis,
            stats,
            readers: layers.iter().filter_map(reader).collect(),
            next: 0,
            room: MOST_WAITING,
        }
    }

    /// What the layers that read the dimension become at the next size.
    ///
    /// # Errors
    /// Statistics of other layers, or weights that are no numbers.
    pub(crate) fn next(&mut self) -> Result<Recovered> {
        let mut recovered = Recovered {
            edits: BTreeMap::new(),
            constants: Vec::new(),
            layers: Vec::new(),
        };
        for reader in &mut self.readers {
            let layer = reader.layer;
            let mut weights = layer.matrices(self.analysis.graph())?;
            let means = self.stats.layer(layer)?.mean;
            let mut added = Vec::with_capacity(layer.batches() * layer.rows());
            for (batch, matrix) in reader.matrices.iter_mut().enumerate() {
                let whole = &mut weights[batch];
                let stay = matrix.stay[self.next];
                if stay == whole.ncols() || stay == 0 {
                    added.extend(vec![0.0; layer.rows()]);
                    continue;
                }
                let order = &matrix.order;
                let mut shrinking = match matrix.waiting.take() {
                    Some(waiting) => {
                        self.room += waiting.bytes();
                        waiting
                    }
                    None => {
                        let covariance = self.stats.covariance(layer, batch)?;
                        let covariance = square(covariance.as_ref(), order);
                        let ordered = columns(whole.as_ref(), order);
                        Shrinking::new(ordered, covariance, FOLD)
                    }
                };
                let mean: Vec<f64> = order.iter().map(|&column| means[batch][column]).collect();
                let before = columns(whole.as_ref(), order) * column(&mean);
                let new = shrinking.to(stay);
                let after = new * column(&mean[..stay]);
                added.extend((0..before.nrows()).map(|row| (before[row] - after[row]) as f32));
                for (at, &column) in order[..stay].iter().enumerate() {
                    whole.col_mut(column).copy_from(new.col(at));
                }
                if let Some(left) = self.room.checked_sub(shrinking.bytes()) {
                    self.room = left;
                    matrix.waiting = Some(shrinking);
                }
            }
            enter(self.analysis, layer, &weights, added, &mut recovered);
        }
        self.next += 1;
        Ok(recovered)
    }
}

/// What a layer becomes where, of each of its matrices, these columns stay, ascending: what goes is folded into them.
///
/// # Errors
/// Statistics of another layer, or weights that are no numbers.
pub(crate) fn fold_to(
    analysis: &Analysis,
    layer: &Layer,
    stats: &Stats,
    kept: &[Vec<usize>],
) -> Result<Recovered> {
    let mut recovered = Recovered::default();
    let mut weights = layer.matrices(analysis.graph())?;
    let means = stats.layer(layer)?.mean;
    let mut added = Vec::with_capacity(layer.batches() * layer.rows());
    for (batch, (whole, kept)) in weights.iter_mut().zip(kept).enumerate() {
        if kept.len() == whole.ncols() || kept.is_empty() {
            added.extend(vec![0.0; layer.rows()]);
            continue;
        }
        let covariance = stats.covariance(layer, batch)?;
        let new = folded(whole, &covariance, kept);
        let mean: Vec<f64> = kept.iter().map(|&column| means[batch][column]).collect();
        let before = &*whole * column(&means[batch]);
        let after = &new * column(&mean);
        added.extend((0..before.nrows()).map(|row| (before[row] - after[row]) as f32));
        for (at, &column) in kept.iter().enumerate() {
            whole.col_mut(column).copy_from(new.col(at));
        }
    }
    enter(analysis, layer, &weights, added, &mut recovered);
    Ok(recovered)
}

fn column(numbers: &[f64]) -> ColRef<'_, f64> {
    ColRef::from_slice(numbers)
}

fn enter(
    analysis: &Analysis,
    layer: &Layer,
    weights: &[Mat<f64>],
    added: Vec<f32>,
    recovered: &mut Recovered,
) {
    let element = analysis.graph().element(layer.value);
    let numbers: Vec<f32> = weights
        .iter()
        .flat_map(|matrix| {
            let rows = 0..matrix.nrows();
            rows.flat_map(move |i| (0..matrix.ncols()).map(move |j| matrix[(i, j)] as f32))
        })
        .collect();
    let bytes: bytes::Bytes = packed(
        &layer.scatter(&numbers),
        element.unwrap_or(ElementType::Float),
    )
    .into();
    recovered.edits.insert(layer.value, Edit::Bytes(bytes));
    if let ([linear], Some(_)) = (&layer.uses[..], rows_with_constants(analysis, layer)) {
        recovered.constants.push(Addition {
            linear: linear.clone(),
            added,
        });
    }
}
