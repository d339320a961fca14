//! Element types of tensors (`TensorProto.DataType`, ONNX IR 14).

use std::fmt;

use half::f16;
use serde::{Deserialize, Serialize};

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
#[non_exhaustive]
pub enum ElementType {
    Float,
    Uint8,
    Int8,
    Uint16,
    Int16,
    Int32,
    Int64,
    String,
    Bool,
    Float16,
    Double,
    Uint32,
    Uint64,
    Complex64,
    Complex128,
    Bfloat16,
    Float8E4m3fn,
    Float8E4m3fnuz,
    Float8E5m2,
    Float8E5m2fnuz,
    Uint4,
    Int4,
    Float4E2m1,
    Float8E8m0,
    Uint2,
    Int2,
    Float6E2m3,
    Float6E3m2,
}

use ElementType::*;

/// One row per type, in the order of the numbers of the IR from 1 on: type, bits per element, name.
const TABLE: [(ElementType, u32, &str); 28] = [
    (Float, 32, "float32"),
    (Uint8, 8, "uint8"),
    (Int8, 8, "int8"),
    (Uint16, 16, "uint16"),
    (Int16, 16, "int16"),
    (Int32, 32, "int32"),
    (Int64, 64, "int64"),
    (String, 0, "string"),
    (Bool, 8, "bool"),
    (Float16, 16, "float16"),
    (Double, 64, "float64"),
    (Uint32, 32, "uint32"),
    (Uint64, 64, "uint64"),
    (Complex64, 64, "complex64"),
    (Complex128, 128, "complex128"),
    (Bfloat16, 16, "bfloat16"),
    (Float8E4m3fn, 8, "float8e4m3fn"),
    (Float8E4m3fnuz, 8, "float8e4m3fnuz"),
    (Float8E5m2, 8, "float8e5m2"),
    (Float8E5m2fnuz, 8, "float8e5m2fnuz"),
    (Uint4, 4, "uint4"),
    (Int4, 4, "int4"),
    (Float4E2m1, 4, "float4e2m1"),
    (Float8E8m0, 8, "float8e8m0"),
    (Uint2, 2, "uint2"),
    (Int2, 2, "int2"),
    (Float6E2m3, 6, "float6e2m3"),
    (Float6E3m2, 6, "float6e3m2"),
];

impl ElementType {
    /// The largest number of a type.
    pub(crate) const NEWEST: i32 = TABLE.len() as i32;

    /// The type of a `TensorProto.DataType` number, if there is one.
    pub(crate) fn of(number: i32) -> Option<ElementType> {
        let row = usize::try_from(number).ok()?.checked_sub(1)?;
        TABLE.get(row).map(|&(element, _, _)| element)
    }

    /// The `TensorProto.DataType` number.
    pub(crate) fn number(self) -> i32 {
        self as i32 + 1
    }

    /// Bits of one element as stored; 0 for strings.
    pub fn bits(self) -> u32 {
        TABLE[self as usize].1
    }

    /// True for the types in which real-valued weights are stored, 16 bits and wider.
    pub fn is_float(self) -> bool {
        matches!(self, Float | Float16 | Bfloat16 | Double)
    }

    /// A finite number of a real type below what data holds: half of the lowest, so that what is taken off it stays finite.
    pub(crate) fn low(self) -> f32 {
        match self {
            Float16 => f16::MIN.to_f32() / 2.0,
            _ => f32::MIN / 2.0,
        }
    }

    /// True for the types that carry shapes, indices and flags and never weights.
    pub(crate) fn is_index(self) -> bool {
        matches!(self, Int32 | Int64 | Uint32 | Uint64 | Bool | String)
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(TABLE[*self as usize].2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::tensor_proto::DataType;

    #[test]
    fn numbers_follow_the_ir() {
        for number in 1..=ElementType::NEWEST {
            let element = ElementType::of(number).expect("every number has a type");
            assert_eq!(element.number(), number);
            let ir = DataType::try_from(number).expect("the IR has it");
            let spelled = ir.as_str_name().to_lowercase().replace("double", "float64");
            let ours = element.to_string();
            assert!(
                spelled == ours || format!("{spelled}32") == ours,
                "{spelled} {ours}"
            );
        }
        assert_eq!(ElementType::of(0), None);
        assert_eq!(ElementType::of(29), None);
        assert_eq!(ElementType::of(-1), None);
    }
}
