//! Least squares with numbers that are not negative (Lawson and Hanson 1974).

/// The numbers, none negative, whose sum with `columns` is nearest to `targets`; each column and the targets have one entry
/// for each equation. A column of zeros gets 0.
pub(crate) fn nonnegative(columns: &[Vec<f64>], targets: &[f64]) -> Vec<f64> {
    let norms: Vec<f64> = columns.iter().map(|of| inner(of, of).sqrt()).collect();
    let used: Vec<usize> = (0..columns.len()).filter(|&of| norms[of] > 0.0).collect();
    let unit = |&of: &usize| {
        let entries = columns[of].iter();
        entries.map(|entry| entry / norms[of]).collect()
    };
    let scaled: Vec<Vec<f64>> = used.iter().map(unit).collect();
    let mut system = System {
        squares: Vec::new(),
        products: scaled.iter().map(|of| inner(of, targets)).collect(),
    };
    for (row, of) in scaled.iter().enumerate() {
        let mut squares: Vec<f64> = scaled.iter().map(|other| inner(of, other)).collect();
        squares[row] += DAMPING;
        system.squares.push(squares);
    }
    let mut out = vec![0.0; columns.len()];
    for (&of, number) in used.iter().zip(system.solved()) {
        out[of] = number / norms[of];
    }
    out
}

/// Added to squares of columns of length 1, some of which may be the same.
const DAMPING: f64 = 1e-6;
/// Rounds for each column, many more than are needed.
const ROUNDS: usize = 10;

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Normal equations.
struct System {
    squares: Vec<Vec<f64>>,
    products: Vec<f64>,
}

impl System {
    fn solved(&self) -> Vec<f64> {
        let count = self.products.len();
        let largest = self.products.iter().fold(0.0_f64, |n, p| n.max(p.abs()));
        let (mut free, mut out): (Vec<usize>, _) = (Vec::new(), vec![0.0; count]);
        for _ in 0..ROUNDS * count {
            let slope = |of: usize| self.products[of] - inner(&self.squares[of], &out);
            let bound = (0..count).filter(|of| !free.contains(of));
            let Some(steepest) = bound.max_by(|&a, &b| slope(a).total_cmp(&slope(b))) else {
                break;
            };
            if slope(steepest) <= 1e-9 * largest {
                break;
            }
            free.push(steepest);
            self.move_inside(&mut free, &mut out);
        }
        out
    }

    /// Goes towards the best numbers of the free ones, and binds those that would be negative.
    fn move_inside(&self, free: &mut Vec<usize>, out: &mut [f64]) {
        while !free.is_empty() {
            let best = self.best(free);
            let steps = free.iter().zip(&best).filter(|(_, best)| **best <= 0.0);
            let steps = steps.map(|(&of, best)| out[of] / (out[of] - best).max(f64::MIN_POSITIVE));
            let step = steps.fold(1.0, f64::min);
            for (&of, best) in free.iter().zip(&best) {
                out[of] += step * (best - out[of]);
            }
            if best.iter().all(|best| *best > 0.0) {
                return;
            }
            let pairs = free.iter().zip(&best);
            let gone = pairs.filter(|&(&of, best)| *best <= 0.0 && out[of] <= 1e-12);
            let gone: Vec<usize> = gone.map(|(&of, _)| of).collect();
            // What is no number is neither, and would be tried for ever.
            if gone.is_empty() {
                return;
            }
            gone.iter().for_each(|&of| out[of] = 0.0);
            free.retain(|of| !gone.contains(of));
        }
    }

    /// The solution for these columns alone, by elimination.
    fn best(&self, free: &[usize]) -> Vec<f64> {
        let row = |&of: &usize| {
            let squares = free.iter().map(|&other| self.squares[of][other]);
            squares.chain([self.products[of]]).collect()
        };
        let mut rows: Vec<Vec<f64>> = free.iter().map(row).collect();
        let count = rows.len();
        for at in 0..count {
            let (above, below) = rows.split_at_mut(at + 1);
            let pivot = &above[at];
            for row in below {
                let factor = row[at] / pivot[at];
                row.iter_mut()
                    .zip(pivot)
                    .for_each(|(entry, of)| *entry -= factor * of);
            }
        }
        let mut out = vec![0.0; count];
        for at in (0..count).rev() {
            let known = inner(&rows[at][at + 1..count], &out[at + 1..]);
            out[at] = (rows[at][count] - known) / rows[at][at];
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::nonnegative;

    #[test]
    fn a_law_is_found_and_nothing_is_negative() {
        let places = (0..20).map(f64::from);
        let columns: Vec<Vec<f64>> = [0, 1, 2]
            .map(|power| places.clone().map(|x| x.powi(power)).collect())
            .to_vec();
        let made = |of: [f64; 3]| -> Vec<f64> {
            let at = |x: f64| of[0] + of[1] * x + of[2] * x * x;
            places.clone().map(at).collect()
        };
        let found = nonnegative(&columns, &made([3.0, 0.0, 0.5]));
        assert!(
            (found[0] - 3.0).abs() < 1e-2 && (found[2] - 0.5).abs() < 1e-3,
            "{found:?}"
        );
        let found = nonnegative(&columns, &made([9.0, -1.0, 0.25]));
        assert!(found.iter().all(|number| *number >= 0.0), "{found:?}");
        let twice = [columns[1].clone(), columns[1].clone(), vec![0.0; 20]];
        let found = nonnegative(&twice, &columns[1]);
        assert!((found[0] + found[1] - 1.0).abs() < 1e-3 && found[2] == 0.0);
    }
}
