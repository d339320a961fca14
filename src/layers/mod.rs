//! Layers: the weights of a model as matrices, whatever operator reads them.
//!
//! The rules of `ops` say of every operand that is multiplied with data which of its axes are rows (outputs),
//! which are columns (summed over) and which are batches of separate matrices. Here an initializer is
//! followed from the operand back through transposes and reshapes, and its elements get coordinates
//! `(batch, row, column)`. Everything that treats weights as matrices (masking, calibration, recovery) works
//! on these and knows no operator.
//!
//! An initializer with another reader (a table that is looked up, a parameter that is multiplied elementwise)
//! is no layer; [`Layers::left`] says why.

mod addition;
mod channels;
mod coded;
mod find;
mod tail;
mod view;

use faer::Mat;

use crate::algebra::from_rows;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::graph::Attributes;
use crate::graph::{Graph, NodeId, ValueId};
use crate::onnx::to_f32;
use crate::ops::{Bias, Linear, Operand, Pointwise, Role, find as find_row};

pub(crate) use addition::Addition;
pub(crate) use coded::summed_codes;
pub(crate) use tail::{Follower, Tail};
pub(crate) use view::constant_of;

pub(crate) use find::unmeasured_nodes;
pub use find::{Layers, LeftWeight};

/// An axis of a matrix coordinate: its size, and how far apart its positions are in the initializer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stride {
    pub(crate) size: usize,
    pub(crate) step: usize,
}

/// A weight that is multiplied with data.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The initializer's name.
    pub name: String,
    /// Operator of the first node that reads it.
    pub operator: String,
    /// True where GPUs have kernels for weights of which at most two of every four are not zero.
    pub(crate) sparse_kernels: bool,
    /// Sizes of the initializer's axes.
    pub dims: Vec<usize>,
    pub(crate) value: ValueId,
    /// Every place where it is multiplied; more than one for shared weights.
    pub(crate) uses: Vec<Linear>,
    pub(crate) batches: Vec<Stride>,
    pub(crate) rows: Vec<Stride>,
    pub(crate) columns: Vec<Stride>,
    /// The place in `columns` of the reduction axis; none where only a window is summed over.
    pub(crate) reduction: Option<usize>,
}

/// Number of positions of several axes.
/// True if one of the coordinates runs along an axis of an initializer of these dims.
fn are_along(coordinates: &[Stride], dims: &[usize], axis: usize) -> bool {
    let step: usize = dims[axis + 1..].iter().product();
    let along = step..step * dims[axis];
    let mut coordinates = coordinates.iter();
    coordinates.any(|of| of.size > 1 && along.contains(&of.step))
}

fn count(axes: &[Stride]) -> usize {
    axes.iter().map(|axis| axis.size).product()
}

/// Where each position stands in the initializer, in row-major order of the axes.
fn offsets(axes: &[Stride]) -> Vec<usize> {
    axes.iter().fold(vec![0], |outer, axis| {
        let spread = |&at: &usize| (0..axis.size).map(move |i| at + i * axis.step);
        outer.iter().flat_map(spread).collect()
    })
}

impl Layer {
    /// Number of weights.
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// True if there are no weights.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of separate matrices (groups of a convolution, directions of a recurrent layer).
    pub fn batches(&self) -> usize {
        count(&self.batches)
    }

    /// Rows of each matrix: outputs.
    pub fn rows(&self) -> usize {
        count(&self.rows)
    }

    /// Columns of each matrix: what a row sums over.
    pub fn columns(&self) -> usize {
        count(&self.columns)
    }

    /// Size of the reduction axis: the columns without the places of a window.
    pub fn reduction(&self) -> usize {
        self.reduction.map_or(1, |place| self.columns[place].size)
    }

    /// True if its data is laid out as samples, channels, places: it is a convolution.
    pub(crate) fn reads_windows(&self) -> bool {
        let mut uses = self.uses.iter();
        uses.any(|linear| linear.groups > 1 || linear.roles.contains(&Role::Kernel))
    }

    /// The scale of a batch normalisation as a layer: one matrix of one weight per channel, which reads the
    /// channel over the root of its variance.
    pub(crate) fn of_normalisation(analysis: &Analysis, node: NodeId) -> Option<Layer> {
        let graph = analysis.graph();
        let proto = graph.node_proto(node);
        let kind = find_row(graph, node)?.pointwise;
        let training = proto.int("training_mode").unwrap_or(0) != 0;
        if kind != Some(Pointwise::Normalised) || training {
            return None;
        }
        let value = graph.node(node).input(1)?;
        let known = graph.value(value);
        let [(_, 1)] = known.consumers[..] else {
            return None;
        };
        if known.is_output || graph.is_captured(value) {
            return None;
        }
        let tensor = graph.constant(value)?;
        let [channels] = tensor.dims[..] else {
            return None;
        };
        let channels = channels as usize;
        Some(Layer {
            name: graph.value(value).name.clone(),
            operator: proto.op_type().to_owned(),
            sparse_kernels: false,
            dims: vec![channels],
            value,
            uses: vec![Linear {
                node,
                slot: 1,
                data: Some(Operand::Input(0)),
                roles: vec![Role::Row(Some(1))],
                groups: channels,
                bias: Some(Bias::whole(2)),
                scales: [1.0; 2],
                joined: None,
            }],
            batches: vec![Stride {
                size: channels,
                step: 1,
            }],
            rows: Vec::new(),
            columns: Vec::new(),
            reduction: None,
        })
        .filter(|_| channels > 1)
    }

    /// True if what it is multiplied with can be measured: at every use it is one value of known rank that depends
    /// on data. `unmeasured` are the nodes of [`unmeasured_nodes`].
    pub(crate) fn is_measurable(&self, analysis: &Analysis, unmeasured: &[bool]) -> bool {
        let graph = analysis.graph();
        let depends = |linear: &Linear, slot: usize| {
            let value = graph.node(linear.node).input(slot);
            value.is_some_and(|value| {
                analysis.state.axes(value).is_some() && !graph.is_fixed(value, unmeasured)
            })
        };
        let known = |linear: &Linear| match linear.data {
            _ if unmeasured[linear.node.index()] => false,
            Some(Operand::Input(slot)) => depends(linear, slot),
            Some(Operand::Output(_)) => true,
            Some(Operand::Joined) => {
                let mut slots = linear.joined.iter().flat_map(|joined| &joined.slots);
                slots.any(|&slot| depends(linear, slot))
            }
            None => false,
        };
        self.uses.iter().all(known)
    }

    /// Whether its rows sum over this axis of the initializer.
    pub(crate) fn sums_over(&self, axis: usize) -> bool {
        are_along(&self.columns, &self.dims, axis)
    }

    /// The nodes that read it.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.uses.iter().map(|of| of.node)
    }

    /// Where each row of all matrices starts in the initializer, batch by batch.
    pub(crate) fn row_offsets(&self) -> Vec<usize> {
        let rows = offsets(&self.rows);
        let batches = offsets(&self.batches);
        let spread = |&batch: &usize| rows.iter().map(move |&row| batch + row);
        batches.iter().flat_map(spread).collect()
    }

    /// How far each column stands from the start of its row.
    pub(crate) fn column_offsets(&self) -> Vec<usize> {
        offsets(&self.columns)
    }

    /// The columns in lanes along the reduction axis: one lane for each place of the window. Patterns such as
    /// N:M hold along these.
    pub(crate) fn lanes(&self) -> Vec<Vec<usize>> {
        let columns = self.columns();
        let Some(place) = self.reduction else {
            return (0..columns).map(|column| vec![column]).collect();
        };
        let size = self.columns[place].size;
        let inner = count(&self.columns[place + 1..]);
        let starts = (0..columns).filter(|column| (column / inner).is_multiple_of(size));
        let lane = |start: usize| (0..size).map(|i| start + i * inner).collect();
        starts.map(lane).collect()
    }

    /// The place of each column along the reduction axis.
    pub(crate) fn column_places(&self) -> Vec<usize> {
        let columns = 0..self.columns();
        let Some(place) = self.reduction else {
            return columns.map(|_| 0).collect();
        };
        let inner = count(&self.columns[place + 1..]);
        let size = self.columns[place].size;
        columns.map(|column| column / inner % size).collect()
    }

    /// The weights as rows of columns, batch by batch, from `elements` in the initializer's order.
    pub(crate) fn gather<T: Copy>(&self, elements: &[T]) -> Vec<T> {
        let columns = self.column_offsets();
        let mut out = Vec::with_capacity(elements.len());
        for row in self.row_offsets() {
            out.extend(columns.iter().map(|column| elements[row + column]));
        }
        out
    }

    /// The weights as a matrix of rows and columns for every batch.
    ///
    /// # Errors
    /// A tensor that cannot be read, or holds what is no number.
    pub(crate) fn matrices(&self, graph: &Graph) -> Result<Vec<Mat<f64>>> {
        let Some(tensor) = graph.constant(self.value) else {
            return Ok(Vec::new());
        };
        let elements: Vec<f64> = self
            .gather(&to_f32(tensor)?)
            .into_iter()
            .map(f64::from)
            .collect();
        if elements.iter().any(|weight| !weight.is_finite()) {
            return Err(Error::tensor(
                &self.name,
                "holds weights that are no finite numbers, so it cannot be solved for; use a criterion that reads weights only, with `recovery` none, or repair the model",
            ));
        }
        let (rows, columns) = (self.rows(), self.columns());
        let batches = elements.chunks_exact((rows * columns).max(1));
        Ok(batches.map(|of| from_rows(rows, columns, of)).collect())
    }

    /// The inverse of [`Layer::gather`].
    pub(crate) fn scatter<T: Copy + Default>(&self, matrix: &[T]) -> Vec<T> {
        let columns = self.column_offsets();
        let mut out = vec![T::default(); matrix.len()];
        let rows = self.row_offsets().into_iter();
        for (row, from) in rows.zip(matrix.chunks_exact(columns.len().max(1))) {
            for (column, &element) in columns.iter().zip(from) {
                out[row + column] = element;
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convolution() -> Layer {
        let stride = |size, step| Stride { size, step };
        Layer {
            name: "w".to_owned(),
            operator: "Conv".to_owned(),
            sparse_kernels: true,
            dims: vec![2, 3, 2],
            value: ValueId(0),
            uses: Vec::new(),
            batches: Vec::new(),
            rows: vec![stride(2, 6)],
            columns: vec![stride(3, 2), stride(2, 1)],
            reduction: Some(0),
        }
    }

    #[test]
    fn lanes_follow_the_reduction_axis_at_each_place_of_the_window() {
        assert_eq!(convolution().lanes(), [[0, 2, 4], [1, 3, 5]]);
    }

    #[test]
    fn scattering_undoes_gathering() {
        let mut layer = convolution();
        // The same weights behind a transpose.
        layer.rows = vec![Stride { size: 3, step: 1 }];
        layer.columns = vec![Stride { size: 4, step: 3 }];
        let elements: Vec<u32> = (0..12).collect();
        let matrix = layer.gather(&elements);
        assert_eq!(matrix[..4], [0, 3, 6, 9]);
        assert_eq!(layer.scatter(&matrix), elements);
    }
}
