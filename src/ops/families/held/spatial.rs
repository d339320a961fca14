//! Values put back at places that count through all channels, and images from bytes.

use super::{Held, axis, output};
use crate::axes::Extent;
use crate::onnx::ElementType;
use crate::ops::adjoints::{Adjoint, spatial as adjoint};
use crate::ops::typing::{Ruling, Typing};
use crate::ops::{Elements, Row, Window, row};

pub(super) const ROWS: &[Row] = &[
    row("MaxUnpool", unpool).slope(adjoint::unpool),
    row("ImageDecoder", |op| super::ranks(op, &[3]))
        .adjoint(Adjoint::Zero)
        .of_elements(&[Elements::Always(ElementType::Uint8)]),
];

/// Values back at the places that a pool took them from.
fn unpool(op: &mut Typing) -> Ruling {
    let x = Held::of(op).at(0)?;
    let sizes = op.integers(2).filter(|sizes| sizes.len() == x.len());
    match sizes {
        Some(sizes) => output(op, 0, sizes),
        None => {
            let spatial = x.len().saturating_sub(2);
            let kernel = op.ints("kernel_shape").unwrap_or_default();
            let window = Window::of(op.proto(), spatial).filter(|_| kernel.len() == spatial);
            let sized = op.value(2).is_some();
            let mut out = x.clone();
            for (place, ty) in out.iter_mut().enumerate().skip(2) {
                let size = window.as_ref().filter(|_| !sized).and_then(|window| {
                    let kernel = Extent::Known(kernel[place - 2]);
                    window.spread(place - 2, &op.extent(ty), &kernel, 0)
                });
                *ty = axis(op, 0, place, size);
            }
            op.output(0, out);
        }
    }
    Ok(())
}
