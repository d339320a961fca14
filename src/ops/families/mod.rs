//! One file per family of operators: its rows and its rules.

mod attention;
mod broadcast;
mod classical;
mod coded;
mod composed;
mod control;
mod convolution;
mod demands;
mod elementwise;
mod experts;
mod factors;
mod gather;
mod held;
mod indexed;
mod joins;
mod layout;
mod matmul;
mod normalization;
mod packed;
mod pooling;
mod recurrent;
mod reduction;
mod resize;
mod sampled;
mod scales;
mod shapes;
mod spectra;
mod units;

use super::Row;

/// Every operator with a rule, by family.
pub(crate) const TABLE: &[&[Row]] = &[
    elementwise::ROWS,
    convolution::ROWS,
    matmul::ROWS,
    packed::ROWS,
    coded::ROWS,
    experts::ROWS,
    normalization::ROWS,
    joins::ROWS,
    layout::ROWS,
    gather::ROWS,
    indexed::ROWS,
    broadcast::ROWS,
    pooling::ROWS,
    resize::ROWS,
    sampled::ROWS,
    spectra::ROWS,
    classical::ROWS,
    reduction::ROWS,
    recurrent::ROWS,
    shapes::ROWS,
    composed::ROWS,
    control::ROWS,
    attention::FAMILIES[0],
    attention::FAMILIES[1],
    attention::FAMILIES[2],
    attention::FAMILIES[3],
    attention::FAMILIES[4],
    held::FAMILIES[0],
    held::FAMILIES[1],
    held::FAMILIES[2],
    held::FAMILIES[3],
    held::FAMILIES[4],
];
