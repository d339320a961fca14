//! Contractions of matrices: Gemm, MatMul, Einsum, and what onnxruntime makes of them and of what stands beside them.

use std::collections::{BTreeMap, BTreeSet};

use super::elementwise::{broadcast, broadcast_axis};
use super::factors::{Factor, matrix_roles};
use crate::axes::Type;
use crate::onnx::ElementType;
use crate::ops::adjoints::{Adjoint, fused, products};
use crate::ops::facts::{AttentionPart, Bias, Joined, Operand, Role};
use crate::ops::row::GPU_ALONE;
use crate::ops::typing::{Ruling, Typing, Unsupported};
use crate::ops::{Elements, Form, KernelFamily, Row, contrib, row};

pub(in crate::ops) const ROWS: &[Row] = &[
    row("MatMul", matmul)
        .gives(products::matmul)
        .ranked_as(0, 1)
        .kernels(KernelFamily::MatMul)
        .form(Form::Summed)
        .sparse_kernels(),
    row("Gemm", gemm)
        .gives(products::gemm)
        .ranked_as(0, 1)
        .kernels(KernelFamily::Gemm)
        .form(Form::Summed)
        .sparse_kernels(),
    row("Einsum", einsum)
        .gives(products::einsum)
        .kernels(KernelFamily::MatMul)
        .sparse_kernels(),
    contrib("MatMulInteger16", matmul_of_shorts)
        .adjoint(Adjoint::Zero)
        .of_elements(&[Elements::Always(ElementType::Int32)]),
    contrib("FusedMatMul", fused_matmul)
        .gives(fused::matmul)
        .kernels(KernelFamily::MatMul),
    contrib("TransposeMatMul", fused_matmul)
        .gives(fused::matmul)
        .kernels(KernelFamily::MatMul),
    contrib("FusedGemm", fused_gemm)
        .gives(fused::gemm)
        .ranked_as(0, 1)
        .kernels(KernelFamily::Gemm),
    contrib("GemmFastGelu", gemm_fast_gelu).stops(GPU_ALONE),
];

/// Why a function behind a product is no change of basis.
pub(super) const ACTIVATED: &str = "applies a function to each element";

/// The letters of an output that an equation leaves out: those of the ellipsis, then those that stand once.
fn implied(seen: &BTreeMap<char, usize>) -> Vec<char> {
    let of_the_ellipsis = seen.keys().filter(|c| c.is_ascii_digit());
    let once = seen
        .iter()
        .filter(|(c, times)| !c.is_ascii_digit() && **times == 1);
    of_the_ellipsis
        .chain(once.map(|(c, _)| c))
        .copied()
        .collect()
}

/// Y[.., M, N] = sum over K of A[.., M, K] * B[.., K, N]
pub(super) fn matmul(op: &mut Typing) -> Ruling {
    let factors = [Factor::of(op, 0)?, Factor::of(op, 1)?];
    product(op, &factors, true).map(drop)
}

/// Y = alpha * A' B', whose factors are transposed as the attributes say.
fn fused_matmul(op: &mut Typing) -> Ruling {
    let left = Factor::turned(op, 0, ["transA", "transBatchA"])?;
    let right = Factor::turned(op, 1, ["transB", "transBatchB"])?;
    product(op, &[left, right], true).map(drop)
}

/// Y[.., N] = f(sum over K of X[.., K] * W[K, N] + B[N])
fn gemm_fast_gelu(op: &mut Typing) -> Ruling {
    let factors = [Factor::of(op, 0)?, Factor::of(op, 1)?];
    let out = product(op, &factors, false)?;
    let columns = out.last().ok_or(Unsupported("its output has rank 0"))?;
    op.nonlinear(columns, ACTIVATED);
    if let Some(bias) = op.optional(2)? {
        let bias = bias.last().ok_or(Unsupported("its bias has rank 0"))?;
        op.unify(bias, columns);
    }
    Ok(())
}

/// The product of two factors; `is_made` where it is what the node makes, and not what a function is applied to.
fn product(op: &mut Typing, factors: &[Factor; 2], is_made: bool) -> Ruling<Vec<Type>> {
    let [a, b] = [&factors[0].axes, &factors[1].axes];
    if a.is_empty() || b.is_empty() {
        return Err(Unsupported("an input has rank 0"));
    }
    let (last, row_axis) = (a.len() - 1, b.len().saturating_sub(2));
    op.unify(&a[last], &b[row_axis]);
    op.contract(factors[0].slot, factors[0].order[last]);
    let batch = [&a[..a.len().saturating_sub(2)], &b[..row_axis]];
    let mut out = broadcast(op, &batch.map(<[Type]>::to_vec))?;
    if a.len() > 1 {
        out.push(a[last - 1].clone());
    }
    if b.len() > 1 {
        out.push(b[b.len() - 1].clone());
    }
    matrix_roles(op, factors, out.len(), is_made);
    if a.len() > 2 && b.len() > 2 {
        let rows = out.len() - 2;
        let widths = [&out[rows..], &a[last..]].concat();
        may_attend(op, &out[..rows], &widths);
    }
    op.cost(out.clone(), vec![a[last].clone()]);
    op.output(0, out.clone());
    Ok(out)
}

/// In an attention batches are heads, and what is summed over, or stays of either factor, may be the width of a head.
fn may_attend(op: &mut Typing, batches: &[Type], widths: &[Type]) {
    for heads in batches {
        op.may_attend(AttentionPart::Heads, heads);
    }
    for width in widths {
        op.may_attend(AttentionPart::HeadWidth, width);
    }
}

/// As [`gemm`], with a function applied to what it makes.
fn fused_gemm(op: &mut Typing) -> Ruling {
    let is_made = op.string("activation", "").is_empty();
    let out = affine(op, is_made)?;
    if !is_made {
        out.iter().for_each(|axis| op.nonlinear(axis, ACTIVATED));
    }
    Ok(())
}

/// A product of integers of 16 bits. Nothing that it sums over goes: onnxruntime has no kernel that masks such numbers.
fn matmul_of_shorts(op: &mut Typing) -> Ruling {
    if let Some(summed) = op.input(0)?.last() {
        op.pin(summed, "is summed over as integers of 16 bits");
    }
    matmul(op)
}

/// Y[M, N] = alpha * sum over K of A[M, K] * B[K, N] + beta * C[M, N]
pub(super) fn gemm(op: &mut Typing) -> Ruling {
    affine(op, true).map(drop)
}

/// The rule of [`gemm`]; `is_made` as for [`product`].
fn affine(op: &mut Typing, is_made: bool) -> Ruling<Vec<Type>> {
    let (a, b) = (op.input(0)?, op.input(1)?);
    if a.len() != 2 || b.len() != 2 {
        return Err(Unsupported("an input is no matrix"));
    }
    let summed = if op.int("transA", 0) != 0 { 0 } else { 1 };
    let read = if op.int("transB", 0) != 0 { 1 } else { 0 };
    op.unify(&a[summed], &b[read]);
    op.contract(0, summed);
    let roles = |summed: usize, with: usize, row: usize| {
        let mut roles = [Role::Row(is_made.then_some(row)); 2];
        roles[summed] = Role::Reduction(with);
        roles.to_vec()
    };
    op.linear_with(
        0,
        Some(Operand::Input(1)),
        roles(summed, read, 0),
        1,
        // The third input has a number for each column of what it makes, which are no rows of this one.
        None,
    );
    op.linear_with(
        1,
        Some(Operand::Input(0)),
        roles(read, summed, 1),
        1,
        Some(Bias::whole(2)),
    );
    let out = vec![a[1 - summed].clone(), b[1 - read].clone()];
    if let Some(c) = op.optional(2)? {
        broadcast(op, &[out.clone(), c])?;
    }
    op.cost(out.clone(), vec![a[summed].clone()]);
    op.output(0, out.clone());
    Ok(out)
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
    let mut lettered: Vec<Vec<char>> = Vec::new();
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
        lettered.push(term);
    }
    let output = match right {
        Some(right) => spread(&letters(&right), usize::MAX)
            .map(|letters| expand_ellipsis(letters, ellipsis))?,
        None => implied(&seen),
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
    einsum_parts(op, &lettered, &output, &axes);
    einsum_roles(op, &lettered, &output, &axes);
    op.cost(out.clone(), contracted);
    op.output(0, out);
    Ok(())
}

/// In an attention letters of both terms that are kept are heads, and others may be the width of a head.
fn einsum_parts(
    op: &mut Typing,
    terms: &[Vec<char>],
    output: &[char],
    axes: &BTreeMap<char, Type>,
) {
    let [a, b] = terms else { return };
    let shared = |letter: &char| a.contains(letter) && b.contains(letter);
    let (batches, widths): (Vec<_>, Vec<_>) = axes
        .iter()
        .partition(|(letter, _)| output.contains(letter) && shared(letter));
    let types = |of: Vec<(&char, &Type)>| of.into_iter().map(|(_, ty)| ty.clone()).collect();
    let [batches, widths]: [Vec<Type>; 2] = [types(batches), types(widths)];
    may_attend(op, &batches, &widths);
}

/// Any term may be the weight; the others together are its data. A letter that the output lacks is summed over;
/// one that the weight, the data and the output have is a batch.
fn einsum_roles(
    op: &mut Typing,
    terms: &[Vec<char>],
    output: &[char],
    axes: &BTreeMap<char, Type>,
) {
    let once = |term: &[char]| {
        let count = |letter: &char| term.iter().filter(|other| *other == letter).count();
        term.iter().all(|letter| count(letter) == 1)
    };
    let place = |letters: &[char], letter: &char| letters.iter().position(|l| l == letter);
    for (slot, term) in terms.iter().enumerate() {
        let others: Vec<usize> = (0..terms.len()).filter(|&other| other != slot).collect();
        let distinct = terms.iter().all(|term| once(term));
        let data: Option<Vec<char>> = match others[..] {
            _ if !distinct => None,
            [] => None,
            [other] => Some(terms[other].clone()),
            _ => Some(joined_letters(terms, &others, term, output)),
        };
        let role = |letter: &char| {
            let with = data.as_deref().and_then(|data| place(data, letter));
            match (place(output, letter), with) {
                (Some(_), Some(axis)) => Role::Batch(Some(axis)),
                (None, Some(axis)) => Role::Reduction(axis),
                (row, None) => Role::Row(row),
            }
        };
        let roles: Vec<Role> = term.iter().map(role).collect();
        match (others.as_slice(), data) {
            ([other], Some(_)) => op.linear(slot, Some(Operand::Input(*other)), roles),
            (_, Some(letters)) => match joined(terms, &others, &letters, axes) {
                Some(joined) => op.linear_joined(slot, joined, roles),
                None => op.linear(slot, None, roles),
            },
            (_, None) => op.linear(slot, None, roles),
        }
    }
}

/// The letters of several terms that matter to another: those of the output or of that term.
fn joined_letters(
    terms: &[Vec<char>],
    others: &[usize],
    term: &[char],
    output: &[char],
) -> Vec<char> {
    let mut letters: Vec<char> = Vec::new();
    for letter in others.iter().flat_map(|&other| &terms[other]) {
        let matters = output.contains(letter) || term.contains(letter);
        if matters && !letters.contains(letter) {
            letters.push(*letter);
        }
    }
    letters
}

/// Several terms as one value with these letters.
fn joined(
    terms: &[Vec<char>],
    others: &[usize],
    letters: &[char],
    axes: &BTreeMap<char, Type>,
) -> Option<Joined> {
    // The axes of an ellipsis are numbered, and numbers are no letters of an equation.
    let used: BTreeSet<char> = terms.iter().flatten().copied().collect();
    let mut free = ('A'..='Z').filter(|letter| !used.contains(letter));
    let numbers = used.iter().filter(|letter| letter.is_ascii_digit());
    let spelled: BTreeMap<char, char> = numbers
        .map(|&number| Some((number, free.next()?)))
        .collect::<Option<_>>()?;
    let spell = |letters: &[char]| -> String {
        let letter = |letter| spelled.get(letter).copied().unwrap_or(*letter);
        letters.iter().map(letter).collect()
    };
    let left: Vec<String> = others.iter().map(|&other| spell(&terms[other])).collect();
    Some(Joined {
        slots: others.to_vec(),
        equation: format!("{}->{}", left.join(","), spell(letters)),
        axes: letters
            .iter()
            .map(|letter| axes.get(letter).cloned())
            .collect::<Option<_>>()?,
    })
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
