//! Numbers drawn by chance, and places that the data says.

use super::{HELD, Held, axis, drawn_like, like, output, ranks};
use crate::axes::Extent;
use crate::onnx::ElementType;
use crate::ops::adjoints::Adjoint;
use crate::ops::row::INT64;
use crate::ops::typing::{Ruling, Typing, axis_of};
use crate::ops::{Elements, Row, row};

const DTYPE: &[Elements] = &[Elements::Attribute("dtype"), Elements::Input(0)];

pub(super) const ROWS: &[Row] = &[
    row("EyeLike", |op| like(op, 0))
        .adjoint(Adjoint::Zero)
        .of_elements(DTYPE),
    row("RandomNormalLike", |op| drawn_like(op, 0))
        .draws()
        .adjoint(Adjoint::Zero)
        .of_elements(DTYPE),
    row("RandomUniformLike", |op| drawn_like(op, 0))
        .draws()
        .adjoint(Adjoint::Zero)
        .of_elements(DTYPE),
    row("Bernoulli", |op| drawn_like(op, 0))
        .draws()
        .adjoint(Adjoint::Zero)
        .of_elements(DTYPE),
    row("NonZero", non_zero)
        .adjoint(Adjoint::Zero)
        .of_elements(INT64),
    row("Unique", unique)
        .stops("its operator makes as many elements as the data says")
        .yields(1, ElementType::Int64)
        .yields(2, ElementType::Int64)
        .yields(3, ElementType::Int64),
    row("NonMaxSuppression", non_max_suppression)
        .adjoint(Adjoint::Zero)
        .of_elements(INT64),
    row("Multinomial", multinomial)
        .draws()
        .adjoint(Adjoint::Zero)
        .of_elements(&[
            Elements::Attribute("dtype"),
            Elements::Always(ElementType::Int32),
        ]),
    row("SequenceLength", |op| ranks(op, &[0]))
        .adjoint(Adjoint::Zero)
        .of_elements(INT64),
];

fn non_zero(op: &mut Typing) -> Ruling {
    let rank = Held::of(op).at(0)?.len();
    output(op, 0, vec![Some(Extent::from(rank)), None]);
    Ok(())
}

/// X with an axis of this length, or one that only the data says, or as a list of such a length without that attribute.
fn chosen(op: &mut Typing, held: &Held, count: Option<Extent>) -> Ruling {
    match op.int("axis", i64::MIN) {
        i64::MIN => output(op, 0, vec![count]),
        place => {
            let mut out = held.at(0)?;
            let place = axis_of(place, out.len())?;
            out[place] = axis(op, 0, place, count);
            op.output(0, out);
        }
    }
    Ok(())
}

/// Different slices along an axis, or different elements; where each stands first, which of them each slice or element
/// of the input is, and how often each stands.
fn unique(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    chosen(op, &held, None)?;
    let sizes = held.get(0).map(|axes| op.extents(axes));
    let all = sizes.and_then(|sizes| match op.int("axis", i64::MIN) {
        i64::MIN => Extent::product(&sizes),
        place => sizes.get(axis_of(place, sizes.len()).ok()?).cloned(),
    });
    for (slot, size) in [(1, None), (2, all), (3, None)] {
        output(op, slot, vec![size]);
    }
    Ok(())
}

fn non_max_suppression(op: &mut Typing) -> Ruling {
    Held::of(op);
    output(op, 0, vec![None, Some(Extent::Known(3))]);
    Ok(())
}

fn multinomial(op: &mut Typing) -> Ruling {
    let mut out = Held::of(op).at(0)?;
    let count = op.fixed(Extent::Known(op.int("sample_size", 1)), HELD);
    if let Some(last) = out.last_mut() {
        *last = count;
    }
    op.output(0, out);
    Ok(())
}
