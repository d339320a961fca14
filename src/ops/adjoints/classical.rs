//! Classical machine learning: what is linear, and norms.

use super::normalisation::{Divisor, over_norm};
use super::{Backward, must};
use crate::graph::{Array, Attributes};
use crate::ops::typing::{Ruling, Unsupported};

/// An attribute that is a list of real numbers.
fn reals(b: &Backward, name: &str) -> Vec<f64> {
    let found = b.proto().attribute(name).map(|a| a.floats.clone());
    found
        .unwrap_or_default()
        .into_iter()
        .map(f64::from)
        .collect()
}

/// `(x - offset) scale`.
pub(in crate::ops) fn scaler(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let scale = reals(b, "scale");
    let width = d.sizes.last().copied().unwrap_or(1);
    must(
        scale.len() == 1 || scale.len() == width,
        "it has an unusual number of scales",
    )?;
    let scale = b.emit.constant(&scale, &[scale.len()], d.element);
    Ok(b.emit.mul(d, &scale))
}

/// Each row over its norm.
pub(in crate::ops) fn normalizer(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (x, y) = (b.input(0)?, b.output(0)?);
    let x = b.emit.cast(&x, y.element);
    let axis = x
        .rank()
        .checked_sub(1)
        .ok_or(Unsupported("its data has rank 0"))?;
    let norm = match b.string("norm", "MAX").as_str() {
        "L1" => Divisor::Sum,
        "L2" => Divisor::Root,
        "MAX" => Divisor::Largest,
        _ => return Err(Unsupported("its norm is none that the operator has")),
    };
    over_norm(b, d, [&x, &y], axis, norm)
}

/// Rows times a matrix.
pub(in crate::ops) fn linear_regressor(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let plain = b.string("post_transform", "NONE") == "NONE";
    must(plain, "it transforms what it makes")?;
    let x = b.input(0)?;
    let coefficients = reals(b, "coefficients");
    let (Some(&width), Some(&targets)) = (x.sizes.last(), d.sizes.last()) else {
        return Err(Unsupported("its data has rank 0"));
    };
    let fits = coefficients.len() == width.saturating_mul(targets) && d.rank() == 2;
    must(fits, "it has an unusual number of coefficients")?;
    let matrix = b.emit.constant(&coefficients, &[targets, width], d.element);
    let product = b.emit.gemm(d, &matrix, [false, false], 1.0);
    Ok(b.emit.reshape(&product, &x.sizes))
}
