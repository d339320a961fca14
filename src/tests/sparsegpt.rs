//! SparseGPT against the formulas of its paper, written without any of our code.

use super::builder::{Builder, analyse, noise};
use crate::layers::Layer;
use crate::masks::{MaskSettings, Pattern, choose, solve};

/// SparseGPT as its paper states it, without a factorisation: before every column the inverse of the damped
/// Gram matrix of the columns that are left gives the cost of the column and the change of the others.
fn reference(weights: &[f64], gram: &[f64], columns: usize, kept: &[bool]) -> Vec<f64> {
    let mut weights = weights.to_vec();
    let mean = (0..columns).map(|i| gram[i * columns + i]).sum::<f64>() / columns as f64;
    for column in 0..columns {
        let rest = columns - column;
        let own = |i: usize, j: usize| {
            let damping = if i == j { 0.01 * mean } else { 0.0 };
            gram[(column + i) * columns + column + j] + damping
        };
        let first = inverse_column(rest, &own);
        for row in 0..weights.len() / columns {
            if kept[row * columns + column] {
                continue;
            }
            let error = weights[row * columns + column] / first[0];
            for (i, factor) in first.iter().enumerate() {
                weights[row * columns + column + i] -= error * factor;
            }
            weights[row * columns + column] = 0.0;
        }
    }
    weights
}

/// The first column of the inverse of a matrix, by elimination.
fn inverse_column(size: usize, at: &dyn Fn(usize, usize) -> f64) -> Vec<f64> {
    let mut rows: Vec<Vec<f64>> = (0..size)
        .map(|i| {
            (0..size)
                .map(|j| at(i, j))
                .chain([f64::from(u8::from(i == 0))])
                .collect()
        })
        .collect();
    for pivot in 0..size {
        let scale = rows[pivot][pivot];
        rows[pivot].iter_mut().for_each(|x| *x /= scale);
        let own = rows[pivot].clone();
        for (i, row) in rows.iter_mut().enumerate() {
            let factor = row[pivot];
            if i != pivot {
                row.iter_mut().zip(&own).for_each(|(x, y)| *x -= factor * y);
            }
        }
    }
    rows.into_iter().map(|row| row[size]).collect()
}

fn error_of(before: &[f64], after: &[f64], gram: &[f64], columns: usize) -> f64 {
    let rows = before.chunks(columns).zip(after.chunks(columns));
    rows.map(|(a, b)| {
        let d: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        (0..columns)
            .map(|i| {
                d[i] * (0..columns)
                    .map(|j| gram[i * columns + j] * d[j])
                    .sum::<f64>()
            })
            .sum::<f64>()
    })
    .sum()
}

/// One product of 150 correlated inputs: more than a block of columns.
fn correlated() -> (Layer, Vec<f32>, Vec<f64>) {
    const COLUMNS: usize = 150;
    let model = Builder::new(17)
        .input("x", &[2, COLUMNS as i64])
        .weight("w", &[COLUMNS, 20])
        .node("MatMul", "x w -> y", &[])
        .output("y")
        .model();
    let analysis = analyse(&model);
    let chosen = choose(&analysis, &MaskSettings::default()).expect("a layer");
    let layer = chosen.layer(0).clone();
    let matrix = layer.gather(&chosen.weights(0).values());
    let inputs = crate::onnx::to_f32(&noise("inputs", &[400, COLUMNS])).expect("noise");
    let mixed = |row: &[f32]| -> Vec<f64> {
        let x = |i: usize| f64::from(row[i % COLUMNS]);
        (0..COLUMNS)
            .map(|i| x(i) + 0.8 * x(i / 3 * 3) + 0.5 * x(0))
            .collect()
    };
    let mut gram = vec![0.0; COLUMNS * COLUMNS];
    for row in inputs.chunks(COLUMNS) {
        let x = mixed(row);
        (0..COLUMNS).for_each(|i| (0..COLUMNS).for_each(|j| gram[i * COLUMNS + j] += x[i] * x[j]));
    }
    (layer, matrix, gram)
}

#[test]
fn sparsegpt_is_no_worse_than_the_paper_s_own_formulas() {
    let (layer, matrix, gram) = correlated();
    let columns = layer.columns();
    let before: Vec<f64> = matrix.iter().map(|&w| f64::from(w)).collect();
    let patterns = [
        Pattern::Unstructured,
        Pattern::Grouped { kept: 2, of: 4 },
        Pattern::Grouped { kept: 3, of: 7 },
    ];
    for pattern in patterns {
        let zeros = matrix.len() * 6 / 10;
        let solved = solve(&layer, matrix.clone(), vec![gram.clone()], zeros, pattern);
        let after: Vec<f64> = solved.matrix.iter().map(|&w| f64::from(w)).collect();
        assert!(
            solved
                .kept
                .iter()
                .zip(&after)
                .all(|(kept, w)| *kept == (*w != 0.0))
        );
        if pattern == Pattern::Unstructured {
            assert_eq!(solved.kept.iter().filter(|kept| !**kept).count(), zeros);
        }
        let reference = reference(&before, &gram, columns, &solved.kept);
        let found = error_of(&before, &after, &gram, columns);
        let bound = error_of(&before, &reference, &gram, columns);
        assert!(
            found <= bound * (1.0 + 1e-5),
            "{pattern}: {found} against {bound}"
        );
        // Without an update the same mask is far worse, and so is the mask by magnitude.
        let bare: Vec<f64> = before
            .iter()
            .zip(&solved.kept)
            .map(|(w, kept)| if *kept { *w } else { 0.0 })
            .collect();
        assert!(
            found < 0.8 * error_of(&before, &bare, &gram, columns),
            "{pattern}"
        );
    }
}

#[test]
fn sparsegpt_takes_dead_inputs_first_and_keeps_zeros() {
    let (layer, mut matrix, mut gram) = correlated();
    let columns = layer.columns();
    for dead in [3, 140] {
        (0..columns).for_each(|i| {
            gram[dead * columns + i] = 0.0;
            gram[i * columns + dead] = 0.0;
        });
    }
    (0..20).for_each(|row| matrix[row * columns + 77] = 0.0);
    let solved = solve(&layer, matrix, vec![gram], 20 * 8, Pattern::Unstructured);
    let rows = || solved.kept.chunks(columns);
    assert!(rows().all(|row| !row[77]), "zeros stay zeros");
    assert!(
        rows().all(|row| !row[3]),
        "inputs that are never there go first"
    );
    assert_eq!(solved.kept.iter().filter(|kept| !**kept).count(), 160);
    assert!(solved.matrix.iter().all(|w| w.is_finite()));
}
