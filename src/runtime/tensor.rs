//! Tensors that go in and out of sessions.

use std::borrow::Cow;

use half::{bf16, f16};
use ndarray::{ArrayD, IxDyn};
use ort::session::SessionInputValue;
use ort::value::{DynValue, TensorElementType, TensorRef, ValueType};

use super::fault;
use crate::error::{Error, Result};
use crate::onnx::ElementType;

/// Generates the tensor type from one list: variant, Rust type, ONNX type, runtime type, conversion to f64.
macro_rules! tensors {
    ($($variant:ident, $rust:ty, $element:ident, $ort:ident, $to:expr;)*) => {
        /// An array of any element type that sessions take.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)]
        pub enum Tensor {
            $($variant(ArrayD<$rust>),)*
        }

        impl Tensor {
            /// Sizes of the axes.
            pub fn shape(&self) -> &[usize] {
                match self {
                    $(Tensor::$variant(array) => array.shape(),)*
                }
            }

            /// The element type.
            pub fn element(&self) -> ElementType {
                match self {
                    $(Tensor::$variant(_) => ElementType::$element,)*
                }
            }

            /// All elements in row-major order, as numbers.
            pub fn to_f64(&self) -> Vec<f64> {
                match self {
                    $(Tensor::$variant(array) => array.iter().map(|&x| ($to)(x)).collect(),)*
                }
            }

            /// A tensor from numbers in row-major order, rounded to the element type.
            ///
            /// # Errors
            /// An element type that sessions do not take, or another number of elements than the shape says.
            pub fn from_f64(element: ElementType, shape: &[usize], numbers: &[f64]) -> Result<Tensor> {
                Tensor::from_numbers(element, shape, numbers.iter().copied())
            }

            /// As [`Tensor::from_f64`], of numbers that are made one by one.
            pub(crate) fn from_numbers(
                element: ElementType,
                shape: &[usize],
                numbers: impl Iterator<Item = f64>,
            ) -> Result<Tensor> {
                match element {
                    $(ElementType::$element => {
                        let elements = numbers.map(<$rust as Rounded>::rounded);
                        let array = ArrayD::from_shape_vec(IxDyn(shape), elements.collect())
                            .map_err(|misfit| Error::Usage(format!("the numbers do not fit the shape: {misfit}")))?;
                        Ok(Tensor::$variant(array))
                    })*
                    other => Err(Error::Runtime {
                        reason: format!("tensors of type {other} cannot be made"),
                        remedy: "run with `proof` skipped".to_owned(),
                    }),
                }
            }

            /// A tensor from packed little-endian bytes in row-major order.
            ///
            /// # Errors
            /// An element type that sessions do not take, or another number of bytes than the shape says.
            pub(crate) fn from_packed(element: ElementType, shape: &[usize], bytes: &[u8]) -> Result<Tensor> {
                Tensor::filled(element, shape, bytes.len(), |packed| {
                    packed.copy_from_slice(bytes);
                    Ok(())
                })
            }

            /// A tensor whose packed bytes, `length` in number, `fill` writes.
            ///
            /// # Errors
            /// As [`Tensor::from_packed`], and those of `fill`.
            pub(crate) fn filled(
                element: ElementType,
                shape: &[usize],
                length: usize,
                fill: impl FnOnce(&mut [u8]) -> Result<()>,
            ) -> Result<Tensor> {
                match element {
                    $(ElementType::$element => {
                        let elements = <$rust as Packed>::filled(length, fill)?;
                        let array = ArrayD::from_shape_vec(IxDyn(shape), elements)
                            .map_err(|misfit| Error::Usage(format!("the bytes do not fit the shape: {misfit}")))?;
                        Ok(Tensor::$variant(array))
                    })*
                    other => Err(Error::Usage(format!("tensors of type {other} cannot be run"))),
                }
            }

            /// Tensors of one type one after the other along an axis.
            ///
            /// # Errors
            /// There is none, or they do not fit.
            pub(crate) fn joined(parts: &[&Tensor], axis: usize) -> Result<Tensor> {
                let misfit = || Error::Usage(format!("samples do not fit together along axis {axis}"));
                match parts.first() {
                    $(Some(Tensor::$variant(_)) => {
                        let views = parts.iter().map(|part| match part {
                            Tensor::$variant(array) => Ok(array.view()),
                            _ => Err(misfit()),
                        });
                        let views = views.collect::<Result<Vec<_>>>()?;
                        if views.iter().any(|view| view.ndim() <= axis) {
                            return Err(misfit());
                        }
                        let joined = ndarray::concatenate(ndarray::Axis(axis), &views);
                        let joined = joined.map_err(|_| misfit())?;
                        Ok(Tensor::$variant(joined.as_standard_layout().into_owned()))
                    })*
                    None => Err(misfit()),
                }
            }

            /// Positions of an axis.
            ///
            /// # Errors
            /// There are not so many.
            pub(crate) fn part(&self, axis: usize, positions: std::ops::Range<usize>) -> Result<Tensor> {
                let size = self.shape().get(axis).copied().unwrap_or(0);
                if positions.start > positions.end || positions.end > size {
                    return Err(Error::Usage(format!("axis {axis} has no positions {positions:?}")));
                }
                Ok(match self {
                    $(Tensor::$variant(array) => {
                        let part = array.slice_axis(ndarray::Axis(axis), positions.into());
                        Tensor::$variant(part.as_standard_layout().into_owned())
                    })*
                })
            }

            /// The same elements with the axes in opposite order.
            pub(crate) fn reversed(self) -> Tensor {
                match self {
                    $(Tensor::$variant(array) => {
                        Tensor::$variant(array.reversed_axes().as_standard_layout().into_owned())
                    })*
                }
            }

            /// The elements as packed little-endian bytes in row-major order.
            pub(crate) fn packed(&self) -> Cow<'_, [u8]> {
                match self {
                    $(Tensor::$variant(array) => match array.as_slice() {
                        Some(elements) => Cow::Borrowed(bytemuck::cast_slice(elements)),
                        None => {
                            let elements: Vec<$rust> = array.iter().copied().collect();
                            Cow::Owned(bytemuck::cast_slice(&elements).to_vec())
                        }
                    })*
                }
            }

            /// The tensor as a value that lives on, without a copy where it lies in row-major order.
            pub(super) fn into_value(self) -> Result<DynValue> {
                let made = match self {
                    $(Tensor::$variant(array) => {
                        ort::value::Tensor::from_array(array).map(ort::value::Tensor::into_dyn)
                    })*
                };
                made.map_err(|reason| fault("an input could not be made", reason))
            }

            /// The tensor as an input of a run, without a copy.
            pub(super) fn as_input(&self) -> Result<SessionInputValue<'_>> {
                let made = match self {
                    $(Tensor::$variant(array) => {
                        TensorRef::from_array_view(array.view()).map(SessionInputValue::from)
                    })*
                };
                made.map_err(|reason| fault("an input could not be made", reason))
            }
        }

        impl<'a> PackedView<'a> {
            /// The elements of an output.
            pub(super) fn of(value: &'a DynValue) -> Result<PackedView<'a>> {
                let ValueType::Tensor { ty, .. } = value.dtype() else {
                    return Err(fault("an output cannot be read", "it is no tensor"));
                };
                match ty {
                    $(TensorElementType::$ort => {
                        let elements = value.try_extract_tensor::<$rust>();
                        let (shape, elements) =
                            elements.map_err(|reason| fault("an output cannot be read", reason))?;
                        Ok(PackedView {
                            element: ElementType::$element,
                            // onnxruntime makes no tensor of sizes below zero.
                            shape: shape.iter().map(|&size| size as usize).collect(),
                            packed: bytemuck::cast_slice(elements),
                        })
                    })*
                    other => Err(fault("an output cannot be read", format!("its type is {other:?}"))),
                }
            }

            /// The elements as an input of a run, without a copy.
            #[cfg(unix)]
            pub(super) fn as_input(&self) -> Result<SessionInputValue<'a>> {
                let made = match self.element {
                    $(ElementType::$element => {
                        let elements = bytemuck::checked::try_cast_slice::<u8, $rust>(self.packed);
                        let elements = elements.map_err(|reason| fault("an input could not be made", reason))?;
                        TensorRef::from_array_view((self.shape.clone(), elements)).map(SessionInputValue::from)
                    })*
                    other => return Err(fault("an input could not be made", format!("its type is {other}"))),
                };
                made.map_err(|reason| fault("an input could not be made", reason))
            }
        }

        /// The ONNX type of a runtime type.
        pub(super) fn element_of(ty: TensorElementType) -> Option<ElementType> {
            match ty {
                $(TensorElementType::$ort => Some(ElementType::$element),)*
                _ => None,
            }
        }
    };
}

/// Elements that lie somewhere else, in row-major order.
pub(super) struct PackedView<'a> {
    pub(super) element: ElementType,
    pub(super) shape: Vec<usize>,
    /// Their little-endian bytes.
    pub(super) packed: &'a [u8],
}

impl PackedView<'_> {
    pub(super) fn to_tensor(&self) -> Result<Tensor> {
        Tensor::from_packed(self.element, &self.shape, self.packed)
    }
}

/// Nearest value of an element type.
trait Rounded {
    fn rounded(x: f64) -> Self;
}

macro_rules! rounded {
    ($($rust:ty: $from:expr;)*) => {
        $(impl Rounded for $rust {
            fn rounded(x: f64) -> $rust {
                ($from)(x)
            }
        })*
    };
}

/// Elements from their bytes.
trait Packed: Sized {
    /// Elements whose bytes, `length` in number, `fill` writes.
    fn filled(length: usize, fill: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Vec<Self>>;
}

// Packed bytes of files are taken for elements in memory.
const _: () = assert!(cfg!(target_endian = "little"));

macro_rules! packed {
    ($($rust:ty,)*) => {
        $(impl Packed for $rust {
            fn filled(length: usize, fill: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Vec<$rust>> {
                let mut elements: Vec<$rust> = vec![bytemuck::Zeroable::zeroed(); length.div_ceil(size_of::<$rust>())];
                let bytes = bytemuck::cast_slice_mut(&mut elements);
                fill(bytes.get_mut(..length).unwrap_or_default())?;
                Ok(elements)
            }
        })*
    };
}

packed! { f32, f64, f16, bf16, i8, i16, i32, i64, u8, u16, u32, u64, }

impl Packed for bool {
    fn filled(length: usize, fill: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Vec<bool>> {
        let bytes = <u8 as Packed>::filled(length, fill)?;
        Ok(bytes.into_iter().map(|byte| byte != 0).collect())
    }
}

rounded! {
    f32: |x: f64| x as f32;
    f64: |x: f64| x;
    f16: f16::from_f64;
    bf16: bf16::from_f64;
    i8: |x: f64| x as i8;
    i16: |x: f64| x as i16;
    i32: |x: f64| x as i32;
    i64: |x: f64| x as i64;
    u8: |x: f64| x as u8;
    u16: |x: f64| x as u16;
    u32: |x: f64| x as u32;
    u64: |x: f64| x as u64;
    bool: |x: f64| x != 0.0;
}

tensors! {
    Float, f32, Float, Float32, f64::from;
    Double, f64, Double, Float64, |x: f64| x;
    Float16, f16, Float16, Float16, f64::from;
    Bfloat16, bf16, Bfloat16, Bfloat16, f64::from;
    Int8, i8, Int8, Int8, f64::from;
    Int16, i16, Int16, Int16, f64::from;
    Int32, i32, Int32, Int32, f64::from;
    Int64, i64, Int64, Int64, |x: i64| x as f64;
    Uint8, u8, Uint8, Uint8, f64::from;
    Uint16, u16, Uint16, Uint16, f64::from;
    Uint32, u32, Uint32, Uint32, f64::from;
    Uint64, u64, Uint64, Uint64, |x: u64| x as f64;
    Bool, bool, Bool, Bool, |x: bool| f64::from(u8::from(x));
}
