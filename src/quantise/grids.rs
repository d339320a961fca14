//! Where the steps of stored weights stand, and what they are where no data is looked at.

use crate::algebra::Codes;
use crate::layers::Layer;
use crate::rewrite::places_in;

/// Columns that share a step where an operator reads codes of 4 bits.
pub(super) const BLOCK: usize = 32;

/// Steps for blocks of columns that no data was looked at for, row by row.
pub(super) fn nearest_blocks(matrix: &[f32], columns: usize, codes: Codes) -> Vec<f32> {
    let rows = matrix.chunks(columns.max(1));
    let blocks = rows.flat_map(|row| row.chunks(BLOCK));
    blocks.map(|block| codes.even_step(block)).collect()
}

/// The rows of a constant, each with a scale: sizes of the scales' axes, and by element its row.
pub(super) struct GridRows {
    pub(super) sizes: Vec<usize>,
    pub(super) row: Vec<usize>,
}

impl GridRows {
    pub(super) fn of(layer: Option<&Layer>, dims: &[usize]) -> GridRows {
        let mut sizes = dims.to_vec();
        match layer {
            Some(layer) => {
                let count = layer.rows() * layer.batches();
                let rows = (0..count).flat_map(|row| vec![row; layer.columns()]);
                let own = layer.scatter(&rows.collect::<Vec<usize>>());
                for axis in 0..dims.len() {
                    let step: usize = dims[axis + 1..].iter().product();
                    if dims[axis] > 1 && own[0] == own[step] {
                        sizes[axis] = 1;
                    }
                }
            }
            None => {
                if let Some(last) = sizes.last_mut() {
                    *last = 1;
                }
            }
        }
        let row = places_in(&sizes, dims);
        GridRows { sizes, row }
    }

    /// Steps in the order of the scales from those in the order of a layer's rows.
    pub(super) fn steps_of(&self, layer: &Layer, steps: &[f32]) -> Vec<f32> {
        let by_element: Vec<f32> = steps
            .iter()
            .flat_map(|&step| vec![step; layer.columns()])
            .collect();
        let mut out = vec![1.0; self.sizes.iter().product()];
        for (&row, step) in self.row.iter().zip(layer.scatter(&by_element)) {
            out[row] = step;
        }
        out
    }

    pub(super) fn nearest(&self, numbers: &[f32], codes: Codes) -> Vec<f32> {
        let mut rows = vec![Vec::new(); self.sizes.iter().product()];
        for (&row, &number) in self.row.iter().zip(numbers) {
            rows[row].push(number);
        }
        rows.iter().map(|row| codes.even_step(row)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_scale_for_all_that_its_last_axis_holds() {
        let rows = GridRows::of(None, &[2, 3, 2]);
        assert_eq!(rows.sizes, [2, 3, 1]);
        assert_eq!(rows.row, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    }
}
