//! Contractions of matrices: Gemm, MatMul, Einsum.

use std::collections::BTreeMap;

use super::elementwise::{broadcast, broadcast_axis};
use super::typing::{Ruling, Typing, Unsupported};
use super::{Row, row};
use crate::axes::Type;

pub(super) const ROWS: &[Row] = &[
    row("MatMul", matmul),
    row("Gemm", gemm),
    row("Einsum", einsum),
];

/// Y[.., M, N] = sum over K of A[.., M, K] * B[.., K, N]
fn matmul(op: &mut Typing) -> Ruling {
    let (a, b) = (op.input(0)?, op.input(1)?);
    if a.is_empty() || b.is_empty() {
        return Err(Unsupported("an input has rank 0"));
    }
    let (last, row_axis) = (a.len() - 1, b.len().saturating_sub(2));
    op.unify(&a[last], &b[row_axis]);
    op.contract(0, last);
    let batch = [&a[..a.len().saturating_sub(2)], &b[..row_axis]];
    let mut out = broadcast(op, &batch.map(<[Type]>::to_vec))?;
    if a.len() > 1 {
        out.push(a[last - 1].clone());
    }
    if b.len() > 1 {
        out.push(b[b.len() - 1].clone());
    }
    op.cost(out.clone(), vec![a[last].clone()]);
    op.output(0, out);
    Ok(())
}

/// Y[M, N] = alpha * sum over K of A[M, K] * B[K, N] + beta * C[M, N]
fn gemm(op: &mut Typing) -> Ruling {
    let (a, b) = (op.input(0)?, op.input(1)?);
    if a.len() != 2 || b.len() != 2 {
        return Err(Unsupported("an input is no matrix"));
    }
    let summed = if op.int("transA", 0) != 0 { 0 } else { 1 };
    let read = if op.int("transB", 0) != 0 { 1 } else { 0 };
    op.unify(&a[summed], &b[read]);
    op.contract(0, summed);
    let out = vec![a[1 - summed].clone(), b[1 - read].clone()];
    if let Some(c) = op.optional(2)? {
        broadcast(op, &[out.clone(), c])?;
    }
    op.cost(out.clone(), vec![a[summed].clone()]);
    op.output(0, out);
    Ok(())
}

/// The letters of the equation are the axes.
fn einsum(op: &mut Typing) -> Ruling {
    let equation: String = op.string("equation", "").split_whitespace().collect();
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left.to_owned(), Some(right.to_owned())),
        None => (equation, None),
    };
    let terms: Vec<Vec<char>> = left.split(',').map(letters).collect();
    if terms.len() != op.input_count() {
        return Err(Unsupported("its equation has another number of inputs"));
    }
    let mut axes: BTreeMap<char, Type> = BTreeMap::new();
    let mut seen: BTreeMap<char, usize> = BTreeMap::new();
    let mut first_place: Vec<(char, usize, usize)> = Vec::new();
    let mut ellipsis = 0;
    for (slot, term) in terms.iter().enumerate() {
        let x = op.input(slot)?;
        let term = spread(term, x.len())?;
        ellipsis = ellipsis.max(term.iter().filter(|c| c.is_ascii_digit()).count());
        for (axis, (&letter, ty)) in term.iter().zip(&x).enumerate() {
            *seen.entry(letter).or_insert(0) += 1;
            match axes.remove(&letter) {
                Some(known) => {
                    let joined = broadcast_axis(op, known, ty)?;
                    axes.insert(letter, joined);
                }
                None => {
                    axes.insert(letter, ty.clone());
                    first_place.push((letter, slot, axis));
                }
            }
        }
    }
    let output = match right {
        Some(right) => spread(&letters(&right), usize::MAX)
            .map(|letters| expand_ellipsis(letters, ellipsis))?,
        None => {
            let mut out: Vec<char> = axes
                .keys()
                .filter(|c| c.is_ascii_digit())
                .copied()
                .collect();
            out.extend(axes.keys().filter(|c| !c.is_ascii_digit() && seen[c] == 1));
            out
        }
    };
    let out: Option<Vec<Type>> = output.iter().map(|c| axes.get(c).cloned()).collect();
    let out = out.ok_or(Unsupported("its equation names an unknown letter"))?;
    let mut contracted = Vec::new();
    for (letter, slot, axis) in first_place {
        if !output.contains(&letter) {
            op.contract(slot, axis);
            contracted.push(axes[&letter].clone());
        }
    }
    op.cost(out.clone(), contracted);
    op.output(0, out);
    Ok(())
}

/// The letters of a term, with `.` for the three dots of an ellipsis.
fn letters(term: &str) -> Vec<char> {
    term.replace("...", ".").chars().collect()
}

/// Replaces the ellipsis by digits that number its axes from the back, so that shorter ones align.
fn spread(term: &[char], rank: usize) -> Ruling<Vec<char>> {
    let Some(place) = term.iter().position(|&c| c == '.') else {
        if rank != usize::MAX && term.len() != rank {
            return Err(Unsupported("its equation does not fit an input's rank"));
        }
        return Ok(term.to_vec());
    };
    if rank == usize::MAX {
        return Ok(term.to_vec());
    }
    let hidden = (rank + 1)
        .checked_sub(term.len())
        .filter(|&hidden| hidden < 10)
        .ok_or(Unsupported("its equation does not fit an input's rank"))?;
    let mut out = term[..place].to_vec();
    out.extend(digits(hidden));
    out.extend(&term[place + 1..]);
    Ok(out)
}

fn digits(count: usize) -> impl Iterator<Item = char> {
    (0..count).rev().map(|i| char::from(b'0' + i as u8))
}

fn expand_ellipsis(term: Vec<char>, count: usize) -> Vec<char> {
    let mut out = Vec::with_capacity(term.len() + count);
    for letter in term {
        match letter {
            '.' => out.extend(digits(count)),
            letter => out.push(letter),
        }
    }
    out
}
