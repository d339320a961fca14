//! The same elements in another arrangement: reshapes, transposes, space and depth.

use crate::axes::{Extent, Type};
use crate::ops::adjoints::{Adjoint, layout as adjoint};
use crate::ops::shapes::arrange as ev;
use crate::ops::typing::{Ruling, Typing, Unsupported, axis_of};
use crate::ops::{Form, Row, Viewing, row};

pub(in crate::ops) const ROWS: &[Row] = &[
    row("Reshape", reshape)
        .adjoint(Adjoint::Viewed)
        .form(Form::Through)
        .evaluated(ev::reshape)
        .viewed(Viewing::Reshaped),
    row("Flatten", flatten)
        .adjoint(Adjoint::Viewed)
        .form(Form::Through)
        .viewed(Viewing::Reshaped),
    row("Squeeze", squeeze)
        .adjoint(Adjoint::Viewed)
        .form(Form::Through)
        .evaluated(ev::squeeze)
        .viewed(Viewing::Reshaped),
    row("Unsqueeze", unsqueeze)
        .adjoint(Adjoint::Viewed)
        .form(Form::Through)
        .evaluated(ev::unsqueeze)
        .viewed(Viewing::Reshaped),
    row("Transpose", transpose)
        .adjoint(Adjoint::Viewed)
        .form(Form::Through)
        .evaluated(ev::transpose)
        .viewed(Viewing::Permuted),
    row("DepthToSpace", depth_to_space).slope(adjoint::depth_to_space),
    row("SpaceToDepth", space_to_depth).slope(adjoint::space_to_depth),
];

fn reshape(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    op.shapes(1);
    let elements = op.list(1);
    let elements = elements.ok_or(Unsupported("its target shape is computed at run time"))?;
    let keep_zero = op.int("allowzero", 0) != 0;
    let target = target_extents(op, &x, &elements, keep_zero)?;
    let out = regroup(op, &x, &target);
    let mut mirrors = Vec::with_capacity(elements.len());
    for (place, element) in elements.iter().enumerate() {
        let adapts = match element {
            None => {
                op.pin(&out[place], RUN_TIME);
                true
            }
            Some(Extent::Known(-1)) => true,
            Some(Extent::Known(0)) if !keep_zero => x.get(place) == Some(&out[place]),
            _ => false,
        };
        mirrors.push((!adapts).then(|| out[place].clone()));
    }
    op.mirror(1, "shape", mirrors);
    op.output(0, out);
    Ok(())
}

const RUN_TIME: &str = "is given a size that is computed at run time";

/// The sizes that a Reshape asks for, with 0 copied and -1 (or one unknown element) computed where it can be.
fn target_extents(
    op: &mut Typing,
    x: &[Type],
    elements: &[Option<Extent>],
    keep_zero: bool,
) -> Ruling<Vec<Option<Extent>>> {
    let copied = |op: &Typing, place: usize| {
        let axis = x.get(place);
        axis.map(|axis| op.extent(axis)).ok_or(Unsupported(
            "its target shape copies an axis that is not there",
        ))
    };
    let mut target = Vec::with_capacity(elements.len());
    for (place, element) in elements.iter().enumerate() {
        target.push(match element {
            None | Some(Extent::Known(-1)) => None,
            Some(Extent::Known(0)) if !keep_zero => Some(copied(op, place)?),
            Some(extent) => Some(extent.clone()),
        });
    }
    fill(&op.extents(x), &mut target);
    if op.extents(x).contains(&Extent::Known(0)) || target.contains(&Some(Extent::Known(0))) {
        return Err(Unsupported("a tensor is empty"));
    }
    Ok(target)
}

/// Computes the only open size where the product of all sizes is that of `sizes`.
fn fill(sizes: &[Extent], target: &mut [Option<Extent>]) {
    let open: Vec<usize> = (0..target.len()).filter(|&i| target[i].is_none()).collect();
    if let [place] = open[..] {
        let others = Extent::product(target.iter().flatten());
        let total = Extent::product(sizes).zip(others);
        target[place] = total.and_then(|(total, others)| total.div_exact(&others));
    }
}

/// Sees the axes `x` as axes of the sizes `target`: groups end where the products of the sizes meet, counted
/// from the front, then from the back. What lies between is held.
fn regroup(op: &mut Typing, x: &[Type], target: &[Option<Extent>]) -> Vec<Type> {
    let wide: Vec<Type> = x.iter().filter(|axis| !op.is_one(axis)).cloned().collect();
    let sizes: Vec<Option<Extent>> = op.extents(&wide).into_iter().map(Some).collect();
    let asked = target.iter().filter(|size| **size != Some(Extent::ONE));
    let asked: Vec<Option<Extent>> = asked.cloned().collect();
    let (mut i, mut j, mut k, mut l) = (0, 0, wide.len(), asked.len());
    let mut front = Vec::new();
    while let Some((m, n)) = common_cut(sizes[i..].iter(), asked[j..].iter()) {
        front.extend(group(op, &wide[i..i + m], &asked[j..j + n]));
        (i, j) = (i + m, j + n);
    }
    let mut back = Vec::new();
    while let Some((m, n)) = common_cut(sizes[i..k].iter().rev(), asked[j..l].iter().rev()) {
        let mut own = group(op, &wide[k - m..k], &asked[l - n..l]);
        own.append(&mut back);
        back = own;
        (k, l) = (k - m, l - n);
    }
    op.pin_all(
        &wide[i..k],
        "is regrouped with a size that cannot be computed",
    );
    let mut held = asked[j..l].to_vec();
    let between: Vec<Extent> = sizes[i..k].iter().flatten().cloned().collect();
    fill(&between, &mut held);
    let held = held.into_iter().enumerate();
    let held = held.map(|(place, size)| op.sized((0, j + place), size, RUN_TIME));
    let groups = front.into_iter().chain(held.collect::<Vec<_>>());
    let mut groups = groups.chain(back);
    let out = target.iter().map(|size| match size {
        Some(Extent::ONE) => None,
        _ => groups.next(),
    });
    let out: Vec<Option<Type>> = out.collect();
    let one = |axis: Option<Type>| axis.unwrap_or_else(|| op.fixed(Extent::ONE, "has size 1"));
    out.into_iter().map(one).collect()
}

/// Some axes as axes of sizes with the same product.
fn group(op: &mut Typing, axes: &[Type], sizes: &[Option<Extent>]) -> Vec<Type> {
    let sizes: Vec<Extent> = sizes.iter().flatten().cloned().collect();
    op.factor(&Type::Product(axes.to_vec()), &sizes)
}

/// The lengths of the shortest prefixes of both lists with the same product.
fn common_cut<'a>(
    a: impl Iterator<Item = &'a Option<Extent>>,
    b: impl Iterator<Item = &'a Option<Extent>>,
) -> Option<(usize, usize)> {
    let products = |list: &mut dyn Iterator<Item = &'a Option<Extent>>| -> Vec<Extent> {
        let mut product = Some(Extent::ONE);
        let products = list.map_while(|size| {
            product = product.as_ref()?.mul(size.as_ref()?);
            product.clone()
        });
        products.collect()
    };
    let (mut a, mut b) = (a, b);
    let (left, right) = (products(&mut a), products(&mut b));
    left.iter().enumerate().find_map(|(i, product)| {
        let j = right.iter().position(|other| other == product)?;
        Some((i + 1, j + 1))
    })
}

fn flatten(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let axis = op.int("axis", 1);
    let axis = match axis == x.len() as i64 {
        true => x.len(),
        false => axis_of(axis, x.len())?,
    };
    let mut out = Vec::with_capacity(2);
    for part in [&x[..axis], &x[axis..]] {
        out.push(match part {
            [] => op.fixed(Extent::ONE, "has size 1"),
            part => op.state.types.normal(&Type::Product(part.to_vec())),
        });
    }
    op.output(0, out);
    Ok(())
}

fn squeeze(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let out = match op.constants(1, "axes")? {
        Some(axes) => {
            let axes: Ruling<Vec<usize>> = axes.iter().map(|&a| axis_of(a, x.len())).collect();
            let axes = axes?;
            let kept = (0..x.len()).filter(|axis| !axes.contains(axis));
            kept.map(|axis| x[axis].clone()).collect()
        }
        None if x.iter().all(|axis| op.extent(axis).known().is_some()) => {
            x.into_iter().filter(|axis| !op.is_one(axis)).collect()
        }
        None => return Err(Unsupported("it removes axes that depend on dynamic sizes")),
    };
    op.output(0, out);
    Ok(())
}

fn unsqueeze(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let axes = op
        .constants(1, "axes")?
        .ok_or(Unsupported("it has no axes"))?;
    let rank = x.len() + axes.len();
    let axes: Ruling<Vec<usize>> = axes.iter().map(|&axis| axis_of(axis, rank)).collect();
    let axes = axes?;
    let mut rest = x.into_iter();
    let mut out = Vec::with_capacity(rank);
    for axis in 0..rank {
        out.push(match axes.contains(&axis) {
            true => op.fixed(Extent::ONE, "has size 1"),
            false => rest.next().ok_or(Unsupported("its axes repeat"))?,
        });
    }
    op.output(0, out);
    Ok(())
}

fn transpose(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let reversed = || (0..x.len() as i64).rev().collect();
    let order = op.ints("perm").unwrap_or_else(reversed);
    if order.len() != x.len() {
        return Err(Unsupported(
            "its permutation has another length than the rank",
        ));
    }
    let out: Ruling<Vec<Type>> = order
        .into_iter()
        .map(|axis| axis_of(axis, x.len()).map(|axis| x[axis].clone()))
        .collect();
    op.output(0, out?);
    Ok(())
}

fn block(op: &Typing, x: &[Type]) -> Ruling<Extent> {
    match op.int("blocksize", 0) {
        size if size > 0 && x.len() == 4 => Ok(Extent::Known(size)),
        _ => Err(Unsupported("its data or block size is unusual")),
    }
}

/// Spatial axes multiplied or divided by the block size.
fn spatial(op: &mut Typing, x: &[Type], scale: impl Fn(&Extent) -> Option<Extent>) -> Vec<Type> {
    let why = "is a spatial axis";
    (2..4)
        .map(|axis| op.sized((0, axis), scale(&op.extent(&x[axis])), why))
        .collect()
}

fn depth_to_space(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let block = block(op, &x)?;
    let channels = block
        .mul(&block)
        .and_then(|square| op.extent(&x[1]).div_exact(&square))
        .ok_or(Unsupported("its channels do not divide into blocks"))?;
    op.pin_all(&x[2..], "is a spatial axis");
    let why = "becomes a spatial axis";
    let blocks_first = op.string("mode", "DCR") == "DCR";
    let sizes = match blocks_first {
        true => [block.clone(), block.clone(), channels],
        false => [channels, block.clone(), block.clone()],
    };
    let factors = op.factor(&x[1], &sizes);
    let channel = if blocks_first { 2 } else { 0 };
    for place in (0..3).filter(|&place| place != channel) {
        op.pin(&factors[place], why);
    }
    let mut out = vec![x[0].clone(), factors[channel].clone()];
    out.extend(spatial(op, &x, |size| size.mul(&block)));
    op.output(0, out);
    Ok(())
}

fn space_to_depth(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let block = block(op, &x)?;
    op.pin_all(&x[2..], "is a spatial axis");
    let square = block
        .mul(&block)
        .ok_or(Unsupported("its block size overflows"))?;
    let square = op.fixed(square, "was a spatial axis");
    // Before version 28 there is no such attribute, and blocks come first.
    let factors = match op.string("mode", "DCR") == "DCR" {
        true => vec![square, x[1].clone()],
        false => vec![x[1].clone(), square],
    };
    let mut out = vec![x[0].clone(), Type::Product(factors)];
    out.extend(spatial(op, &x, |size| size.div_exact(&block)));
    op.output(0, out);
    Ok(())
}
