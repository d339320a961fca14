//! Products of matrices: each factor's gradient is a product with the other one.

use std::collections::{BTreeMap, BTreeSet};

use super::{Backward, must};
use crate::graph::Array;
use crate::ops::typing::{Ruling, Unsupported};

/// The longest diagonal: each is a matrix of its own.
const WIDEST_DIAGONAL: usize = 2048;

/// `Y = A B`, with batches broadcast; a vector has an axis of size 1 for the time being.
pub(in crate::ops) fn matmul(b: &mut Backward) -> Ruling {
    let (d, left, right) = (b.cotangent()?, b.input(0)?, b.input(1)?);
    if left.rank() == 0 || right.rank() == 0 {
        return Err(Unsupported("an input has rank 0"));
    }
    if right.rank() == 2 {
        return by_one_matrix(b, &d, &left, &right);
    }
    let (rows, columns) = (left.rank() > 1, right.rank() > 1);
    let left = wide(b, &left, rows, true);
    let right = wide(b, &right, columns, false);
    let mut sizes = d.sizes.clone();
    let place = sizes.len() - usize::from(columns);
    if !rows {
        sizes.insert(place, 1);
    }
    if !columns {
        sizes.push(1);
    }
    let d = b.emit.reshape(&d, &sizes);
    if b.needs(0) {
        let other = b.emit.transposed(&right);
        let given = b.emit.matmul(&d, &other);
        give_narrow(b, 0, &given, &left)?;
    }
    if b.needs(1) {
        let other = b.emit.transposed(&left);
        let given = b.emit.matmul(&other, &d);
        give_narrow(b, 1, &given, &right)?;
    }
    Ok(())
}

/// A vector as a matrix of one row, or of one column.
fn wide(b: &mut Backward, x: &Array, is_matrix: bool, row: bool) -> Array {
    if is_matrix {
        return x.clone();
    }
    let size = x.count();
    let sizes = if row { [1, size] } else { [size, 1] };
    b.emit.reshape(x, &sizes)
}

/// Sums over batches that were broadcast, and takes the axis away that a vector was given.
fn give_narrow(b: &mut Backward, slot: usize, given: &Array, wide: &Array) -> Ruling {
    let own = b.input(slot)?.sizes;
    let summed = b.emit.sum_to(given, &wide.sizes);
    let narrow = b.emit.reshape(&summed, &own);
    b.give(slot, &narrow)
}

/// Rows of all batches at once: one large product, which sums over the batches by itself.
fn by_one_matrix(b: &mut Backward, d: &Array, left: &Array, right: &Array) -> Ruling {
    let [inner, columns] = [right.sizes[0], right.sizes[1]];
    let rows = left.count() / inner.max(1);
    let d = b.emit.reshape(d, &[rows, columns]);
    if b.needs(0) {
        let given = b.emit.gemm(&d, right, [false, true], 1.0);
        let given = b.emit.reshape(&given, &left.sizes);
        b.give(0, &given)?;
    }
    if b.needs(1) {
        let flat = b.emit.reshape(left, &[rows, inner]);
        let given = b.emit.gemm(&flat, &d, [true, false], 1.0);
        b.give(1, &given)?;
    }
    Ok(())
}

/// `Y = alpha A' B' + beta C`.
pub(in crate::ops) fn gemm(b: &mut Backward) -> Ruling {
    let d = b.cotangent()?;
    gemm_of(b, &d)
}

/// As [`gemm`], of this gradient of what it makes before an activation.
pub(in crate::ops) fn gemm_of(b: &mut Backward, d: &Array) -> Ruling {
    let (left, right) = (b.input(0)?, b.input(1)?);
    let turned = ["transA", "transB"].map(|name| b.int(name, 0) != 0);
    let alpha = b.float("alpha", 1.0) as f32;
    if b.needs(0) {
        let given = match turned[0] {
            false => b.emit.gemm(d, &right, [false, !turned[1]], alpha),
            true => b.emit.gemm(&right, d, [turned[1], true], alpha),
        };
        b.give(0, &given)?;
    }
    if b.needs(1) {
        let given = match turned[1] {
            false => b.emit.gemm(&left, d, [!turned[0], false], alpha),
            true => b.emit.gemm(d, &left, [true, turned[0]], alpha),
        };
        b.give(1, &given)?;
    }
    if b.needs(2) {
        let sizes = b.input(2)?.sizes;
        let summed = b.emit.sum_to(d, &sizes);
        let beta = b.float("beta", 1.0);
        let given = b.emit.scale(&summed, beta);
        b.give(2, &given)?;
    }
    Ok(())
}

/// The gradient of each factor is the product of the others with that of the result, its letters exchanged with the
/// result's. A letter that stands in one factor alone was summed over: its gradient is the same everywhere. A letter
/// that stands twice in a factor is a diagonal: all else is zero.
pub(in crate::ops) fn einsum(b: &mut Backward) -> Ruling {
    let d = b.cotangent()?;
    let (terms, result) = equation(b)?;
    let sizes = sizes_of_letters(b, &terms)?;
    for slot in (0..terms.len())
        .filter(|&slot| b.needs(slot))
        .collect::<Vec<_>>()
    {
        let mut parts = vec![d.clone()];
        let mut letters = vec![result.clone()];
        for (other, term) in terms.iter().enumerate().filter(|(other, _)| *other != slot) {
            parts.push(b.input(other)?);
            letters.push(term.clone());
        }
        let given = of_factor(b, (&parts, &letters), slot, &terms[slot], &sizes)?;
        b.give(slot, &given)?;
    }
    Ok(())
}

/// The size of each letter, which may be 1 in some factors.
fn sizes_of_letters(b: &Backward, terms: &[Vec<char>]) -> Ruling<BTreeMap<char, usize>> {
    let mut sizes = BTreeMap::new();
    for (slot, term) in terms.iter().enumerate() {
        let own = b.input(slot)?.sizes;
        must(
            own.len() == term.len(),
            "its letters are not those of its axes",
        )?;
        for (&letter, &size) in term.iter().zip(&own) {
            let known = sizes.entry(letter).or_insert(size);
            *known = (*known).max(size);
        }
    }
    Ok(sizes)
}

/// What the product of these parts gives to a factor with these letters.
fn of_factor(
    b: &mut Backward,
    (parts, letters): (&[Array], &[Vec<char>]),
    slot: usize,
    wanted: &[char],
    all: &BTreeMap<char, usize>,
) -> Ruling<Array> {
    let sizes = b.input(slot)?.sizes;
    let there: BTreeSet<char> = letters.iter().flatten().copied().collect();
    let mut own: Vec<char> = Vec::new();
    let mut made = Vec::new();
    let mut kept = vec![1; sizes.len()];
    let mut twice = Vec::new();
    for (place, (&letter, &size)) in wanted.iter().zip(&sizes).enumerate() {
        if let Some(first) = wanted[..place].iter().position(|other| *other == letter) {
            twice.push((first, place));
        } else if there.contains(&letter) && all.get(&letter) == Some(&size) {
            own.push(letter);
            made.push(size);
            kept[place] = size;
        }
    }
    let left: Vec<String> = letters.iter().map(|term| term.iter().collect()).collect();
    let right: String = own.iter().collect();
    let text = format!("{}->{right}", left.join(","));
    let parts: Vec<&Array> = parts.iter().collect();
    let given = b.emit.einsum(&text, &parts, &made);
    let mut given = b.emit.reshape(&given, &kept);
    for (first, second) in twice {
        let size = sizes[first];
        must(size <= WIDEST_DIAGONAL, "it takes a very long diagonal")?;
        let mask = b
            .emit
            .diagonal(size, [first, second], sizes.len(), given.element);
        given = b.emit.mul(&given, &mask);
    }
    Ok(b.emit.expand(&given, &sizes))
}

/// The letters of the factors and of the result, with letters for what dots stand for.
fn equation(b: &Backward) -> Ruling<(Vec<Vec<char>>, Vec<char>)> {
    let text: String = b.string("equation", "").split_whitespace().collect();
    let (left, right) = match text.split_once("->") {
        Some((left, right)) => (left.to_owned(), Some(right.to_owned())),
        None => (text, None),
    };
    let mut terms = Vec::new();
    let mut longest = 0;
    for (slot, term) in left.split(',').enumerate() {
        let rank = b.input(slot)?.rank();
        let named = term.chars().filter(|letter| *letter != '.').count();
        let dots = rank.checked_sub(named).filter(|_| term.contains("..."));
        longest = longest.max(dots.unwrap_or(0));
        terms.push((term.to_owned(), dots.unwrap_or(0)));
    }
    if longest > 0
        && terms
            .iter()
            .any(|(term, dots)| term.contains("...") && *dots != longest)
    {
        return Err(Unsupported("its dots stand for different numbers of axes"));
    }
    let used: BTreeSet<char> = left.chars().collect();
    let free = ('A'..='Z').chain('a'..='z').filter(|c| !used.contains(c));
    let dots: String = free.take(longest).collect();
    let terms: Vec<Vec<char>> = terms
        .iter()
        .map(|(term, _)| term.replace("...", &dots).chars().collect())
        .collect();
    let result = match right {
        Some(right) => right.replace("...", &dots).chars().collect(),
        None => implied(&terms, &dots),
    };
    Ok((terms, result))
}

/// The letters of dots, then those that stand once, in order.
fn implied(terms: &[Vec<char>], dots: &str) -> Vec<char> {
    let all: Vec<char> = terms.iter().flatten().copied().collect();
    let once = |letter: &&char| all.iter().filter(|other| other == letter).count() == 1;
    let once: BTreeSet<char> = all.iter().filter(once).copied().collect();
    let rest = once.into_iter().filter(|letter| !dots.contains(*letter));
    dots.chars().chain(rest).collect()
}
