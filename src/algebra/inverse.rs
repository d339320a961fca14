//! Factors of inverses, for methods that change columns one after the other and make up for each in those to come.

use faer::linalg::cholesky::llt::factor::{
    LltParams, cholesky_in_place, cholesky_in_place_scratch,
};
use faer::linalg::triangular_inverse::invert_lower_triangular;
use faer::{Auto, Mat, MatRef, Par, dyn_stack};

/// Damping in units of the mean diagonal, as in the papers; ten times more after every failure.
pub(crate) const DAMPING: f64 = 0.01;
const MOST_DAMPING: f64 = 1e6;

/// U in `H^-1 = U^T U` with U upper triangular, of a symmetric matrix H in a given order of its columns.
///
/// It comes from one Cholesky decomposition of H turned by half a turn and one triangular inverse.
pub(crate) struct InverseFactor {
    turned: Mat<f64>,
    /// What made H positive definite, in units of its mean diagonal.
    pub(crate) damping: f64,
    /// Columns, in the order given, with nothing on the diagonal: inputs that are always zero.
    pub(crate) dead: Vec<bool>,
}

impl InverseFactor {
    /// Of `gram`, row by row, whose columns are taken in this order; it is used up.
    pub(crate) fn of(mut gram: Vec<f64>, order: &[usize]) -> InverseFactor {
        let size = order.len();
        if order.iter().enumerate().any(|(place, &at)| place != at) {
            let rows = order.iter().map(|row| &gram[row * size..(row + 1) * size]);
            gram = rows
                .flat_map(|row| order.iter().map(|&at| row[at]))
                .collect();
        }
        let dead: Vec<bool> = (0..size).map(|i| gram[i * size + i] <= 0.0).collect();
        let alive = dead.iter().filter(|dead| !**dead).count();
        let trace: f64 = (0..size).map(|i| gram[i * size + i].max(0.0)).sum();
        let mean = match alive {
            0 => 1.0,
            _ => trace / alive as f64,
        };
        for column in (0..size).filter(|&i| dead[i]) {
            gram[column * size + column] = mean;
        }
        // Half a turn of a matrix is its elements backwards.
        gram.reverse();
        let (factor, damping) = decomposed(&gram, size, mean);
        drop(gram);
        let mut turned = Mat::<f64>::zeros(size, size);
        invert_lower_triangular(turned.as_mut(), factor.as_ref(), Par::rayon(0));
        InverseFactor {
            turned,
            damping,
            dead,
        }
    }

    /// U.
    pub(crate) fn upper(&self) -> MatRef<'_, f64> {
        self.turned.as_ref().reverse_rows_and_cols()
    }
}

/// The lower Cholesky factor of a matrix with as much damping as it needs, and how much that is.
fn decomposed(matrix: &[f64], size: usize, mean: f64) -> (Mat<f64>, f64) {
    let original = MatRef::from_row_major_slice(matrix, size, size);
    let par = Par::rayon(0);
    let params: faer::Spec<LltParams, f64> = <LltParams as Auto<f64>>::auto().into();
    let mut damping = DAMPING;
    let mut factor = Mat::<f64>::zeros(size, size);
    let mut memory = dyn_stack::MemBuffer::new(cholesky_in_place_scratch::<f64>(size, par, params));
    loop {
        factor.as_mut().copy_from(original);
        (0..size).for_each(|i| factor[(i, i)] += damping * mean);
        let stack = dyn_stack::MemStack::new(&mut memory);
        let done = cholesky_in_place(factor.as_mut(), Default::default(), par, stack, params);
        if done.is_ok() || damping > MOST_DAMPING {
            return (factor, damping);
        }
        damping *= 10.0;
    }
}
