//! The same elements in another arrangement: reshapes, transposes, space and depth.

use crate::axes::{Extent, Type};
use crate::ops::shapes::arithmetic as ev;
use crate::ops::typing::{Ruling, Typing, Unsupported, axis_of};
use crate::ops::{Row, Viewing, row};

pub(in crate::ops) const ROWS: &[Row] = &[
    row("Reshape", reshape)
        .evaluated(ev::reshape)
        .viewed(Viewing::Reshaped),
    row("Flatten", flatten).viewed(Viewing::Reshaped),
    row("Squeeze", squeeze)
        .evaluated(ev::same_elements)
        .viewed(Viewing::Reshaped),
    row("Unsqueeze", unsqueeze)
        .evaluated(ev::unsqueeze)
        .viewed(Viewing::Reshaped),
    row("Transpose", transpose)
        .evaluated(ev::transpose)
        .viewed(Viewing::Permuted),
    row("DepthToSpace", depth_to_space),
    row("SpaceToDepth", space_to_depth),
];

fn reshape(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    op.shapes(1);
    let elements = op.integers(1);
    let elements = elements.ok_or(Unsupported("its target shape is computed at run time"))?;
    let keep_zero = op.int("allowzero", 0) != 0;
    let target = target_extents(op, &x, &elements, keep_zero)?;
    let out = regroup(op, &x, &target)?;
    let mirrors = elements.iter().enumerate().map(|(place, element)| {
        let adapts = match element {
            None | Some(Extent::Known(-1)) => true,
            Some(Extent::Known(0)) if !keep_zero => x.get(place) == Some(&out[place]),
            _ => false,
        };
        (!adapts).then(|| out[place].clone())
    });
    let mirrors = mirrors.collect();
    op.mirror(1, "shape", mirrors);
    op.output(0, out);
    Ok(())
}

/// The sizes that a Reshape asks for, with 0 copied and -1 (or one unknown element) computed.
fn target_extents(
    op: &mut Typing,
    x: &[Type],
    elements: &[Option<Extent>],
    keep_zero: bool,
) -> Ruling<Vec<Extent>> {
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
    let open: Vec<usize> = (0..target.len()).filter(|&i| target[i].is_none()).collect();
    let too_many = Unsupported("its target shape is computed at run time");
    if let [place] = open[..] {
        let total = Extent::product(&op.extents(x));
        let others = Extent::product(target.iter().flatten());
        let rest = total
            .zip(others)
            .and_then(|(total, others)| total.div_exact(&others));
        target[place] =
            Some(rest.ok_or(Unsupported("a size of its target shape is not computable"))?);
    }
    target.into_iter().collect::<Option<_>>().ok_or(too_many)
}

/// Sees the axes `x` as axes of the sizes `target`: groups end where the products of the sizes meet.
fn regroup(op: &mut Typing, x: &[Type], target: &[Extent]) -> Ruling<Vec<Type>> {
    let misfit = Unsupported("its sizes do not multiply to the same number of elements");
    let wide: Vec<Type> = x.iter().filter(|axis| !op.is_one(axis)).cloned().collect();
    let sizes = op.extents(&wide);
    let asked: Vec<Extent> = target
        .iter()
        .filter(|size| !size.is_one())
        .cloned()
        .collect();
    if sizes
        .iter()
        .chain(&asked)
        .any(|size| *size == Extent::Known(0))
    {
        return Err(Unsupported("a tensor is empty"));
    }
    let mut groups = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < wide.len() || j < asked.len() {
        let (next_i, next_j) = common_cut(&sizes[i..], &asked[j..]).ok_or(misfit)?;
        let group = Type::Product(wide[i..i + next_i].to_vec());
        groups.extend(op.factor(&group, &asked[j..j + next_j]));
        (i, j) = (i + next_i, j + next_j);
    }
    let mut groups = groups.into_iter();
    target
        .iter()
        .map(|size| match size.is_one() {
            true => Ok(op.fixed(Extent::ONE, "has size 1")),
            false => groups.next().ok_or(misfit),
        })
        .collect()
}

/// The shortest prefixes of both lists with the same product.
fn common_cut(a: &[Extent], b: &[Extent]) -> Option<(usize, usize)> {
    let prefix = |list: &[Extent]| -> Vec<Option<Extent>> {
        (1..=list.len())
            .map(|n| Extent::product(&list[..n]))
            .collect()
    };
    let (left, right) = (prefix(a), prefix(b));
    for (i, product) in left.iter().enumerate() {
        let place = right
            .iter()
            .position(|other| other.is_some() && other == product);
        if let Some(j) = place {
            return Some((i + 1, j + 1));
        }
    }
    None
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
        .map(|axis| match scale(&op.extent(&x[axis])) {
            Some(size) => op.fixed(size, why),
            None => op.unknown(0, axis, why),
        })
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
    let mut out = vec![x[0].clone(), Type::Product(vec![square, x[1].clone()])];
    out.extend(spatial(op, &x, |size| size.div_exact(&block)));
    op.output(0, out);
    Ok(())
}
