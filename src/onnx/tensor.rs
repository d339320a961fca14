//! A tensor's bytes: whatever field they stand in, as one little-endian packed buffer.

use std::ops::Range;

use bytes::Bytes;
use half::{bf16, f16};

use super::ElementType;
use super::minifloat::minifloat;
use super::model::NEWEST_IR;
use super::proto::TensorProto;
use crate::error::{Error, Result};

/// The element type of a tensor.
///
/// # Errors
/// An unknown or undefined type number.
pub(crate) fn element_type(tensor: &TensorProto) -> Result<ElementType> {
    let number = tensor.data_type();
    ElementType::of(number).ok_or_else(|| match number > ElementType::NEWEST {
        true => Error::TooNew {
            what: format!("tensor '{}'", tensor.name()),
            reason: format!(
                "element type number {number} is unknown, IR version {NEWEST_IR} has types up to {}",
                ElementType::NEWEST
            ),
        },
        false => Error::tensor(
            tensor.name(),
            format!("element type number {number} is unknown"),
        ),
    })
}

/// Number of elements that the dims ask for.
///
/// # Errors
/// A negative dim or a product that overflows.
pub(crate) fn element_count(tensor: &TensorProto) -> Result<usize> {
    let fault = |what: &str| {
        Error::tensor(
            tensor.name(),
            format!("dims {:?} {what}", tensor.dims.as_slice()),
        )
    };
    let mut count = 1_usize;
    for &dim in &tensor.dims {
        let dim = usize::try_from(dim).map_err(|_| fault("hold a negative size"))?;
        count = count
            .checked_mul(dim)
            .ok_or_else(|| fault("overflow the address space"))?;
    }
    Ok(count)
}

/// Bytes of `count` packed elements of `bits` bits.
pub(crate) fn byte_length(count: usize, bits: u32) -> Option<usize> {
    count
        .checked_mul(bits as usize)
        .map(|bits| bits.div_ceil(8))
}

/// The tensor's elements as packed little-endian bytes, without a copy where they stand so in the file.
///
/// # Errors
/// Unknown types, strings, and data that is longer or shorter than the dims say.
pub(crate) fn packed_bytes(tensor: &TensorProto) -> Result<Bytes> {
    let element = element_type(tensor)?;
    let expected = byte_length(element_count(tensor)?, element.bits())
        .ok_or_else(|| Error::tensor(tensor.name(), "its size overflows"))?;
    if element == ElementType::String {
        return Err(Error::tensor(tensor.name(), "strings have no packed bytes"));
    }
    let bytes = match &tensor.raw_data {
        Some(raw) => raw.clone(),
        None => typed_bytes(tensor, element),
    };
    if bytes.len() != expected {
        return Err(Error::tensor(
            tensor.name(),
            format!(
                "dims {:?} of {element} need {expected} bytes, but {} are there",
                tensor.dims.as_slice(),
                bytes.len()
            ),
        ));
    }
    Ok(bytes)
}

fn collect<T: Copy, const N: usize>(items: &[T], write: impl Fn(T) -> [u8; N]) -> Bytes {
    items.iter().flat_map(|&item| write(item)).collect()
}

/// Bytes from the typed fields, by the field that the IR assigns to each type.
fn typed_bytes(tensor: &TensorProto, element: ElementType) -> Bytes {
    use ElementType::*;
    match element {
        Float | Complex64 => collect(&tensor.float_data, f32::to_le_bytes),
        Double | Complex128 => collect(&tensor.double_data, f64::to_le_bytes),
        Int64 => collect(&tensor.int64_data, i64::to_le_bytes),
        Uint64 => collect(&tensor.uint64_data, u64::to_le_bytes),
        Uint32 => collect(&tensor.uint64_data, |x| (x as u32).to_le_bytes()),
        Int32 => collect(&tensor.int32_data, i32::to_le_bytes),
        Uint16 | Int16 | Float16 | Bfloat16 => {
            collect(&tensor.int32_data, |x| (x as u16).to_le_bytes())
        }
        Float6E2m3 | Float6E3m2 => {
            let codes: Vec<u8> = tensor.int32_data.iter().map(|&x| x as u8).collect();
            pack(&codes, element.bits()).into()
        }
        Uint8 | Int8 | Bool | Float8E4m3fn | Float8E4m3fnuz | Float8E5m2 | Float8E5m2fnuz
        | Float8E8m0 | Uint4 | Int4 | Float4E2m1 | Uint2 | Int2 => {
            collect(&tensor.int32_data, |x| [x as u8])
        }
        String => Bytes::new(),
    }
}

/// Checks that a tensor's type, dims and data agree.
pub(crate) fn check(tensor: &TensorProto) -> Result<()> {
    let element = element_type(tensor)?;
    let count = element_count(tensor)?;
    if element == ElementType::String {
        if tensor.string_data.len() == count {
            return Ok(());
        }
        return Err(Error::tensor(
            tensor.name(),
            format!(
                "{count} strings expected, {} found",
                tensor.string_data.len()
            ),
        ));
    }
    packed_bytes(tensor).map(drop)
}

/// One byte per element from elements narrower than a byte, least significant bits first.
pub(crate) fn unpacked(bytes: &[u8], bits: u32, count: usize) -> Vec<u8> {
    unpacked_in(bytes, bits, 0..count)
}

fn unpacked_in(bytes: &[u8], bits: u32, range: Range<usize>) -> Vec<u8> {
    let bits = bits as usize;
    let mask = (1_u16 << bits) - 1;
    range
        .map(|i| {
            let (byte, shift) = (i * bits / 8, i * bits % 8);
            let high = bytes.get(byte + 1).copied().unwrap_or(0);
            let window = u16::from(bytes[byte]) | u16::from(high) << 8;
            (window >> shift & mask) as u8
        })
        .collect()
}

/// The inverse of [`unpacked`].
pub(crate) fn pack(codes: &[u8], bits: u32) -> Vec<u8> {
    let bits = bits as usize;
    let mask = (1_u16 << bits) - 1;
    let mut out = vec![0_u8; (codes.len() * bits).div_ceil(8)];
    for (i, &code) in codes.iter().enumerate() {
        let (byte, shift) = (i * bits / 8, i * bits % 8);
        let window = (u16::from(code) & mask) << shift;
        out[byte] |= window as u8;
        if let Some(next) = out.get_mut(byte + 1) {
            *next |= (window >> 8) as u8;
        }
    }
    out
}

/// The elements of a real-valued tensor as `f32`; quantised codes count as their integer value.
///
/// # Errors
/// As [`packed_bytes`]; strings and complex numbers are refused.
pub(crate) fn to_f32(tensor: &TensorProto) -> Result<Vec<f32>> {
    numbers(tensor, &packed_bytes(tensor)?, 0..element_count(tensor)?)
}

/// As [`to_f32`], of the elements in a range of a tensor whose packed bytes these are.
///
/// # Errors
/// Strings and complex numbers are refused.
pub(crate) fn numbers(tensor: &TensorProto, bytes: &[u8], range: Range<usize>) -> Result<Vec<f32>> {
    use ElementType::*;
    let element = element_type(tensor)?;
    let each = Each {
        bytes,
        range: range.clone(),
    };
    Ok(match element {
        Float => each.read(f32::from_le_bytes),
        Double => each.read(|x| f64::from_le_bytes(x) as f32),
        Float16 => each.read(|x| f16::from_le_bytes(x).to_f32()),
        Bfloat16 => each.read(|x| bf16::from_le_bytes(x).to_f32()),
        Int8 => each.read(|x| f32::from(i8::from_le_bytes(x))),
        Uint8 | Bool => each.read(|[x]| f32::from(x)),
        Int16 => each.read(|x| f32::from(i16::from_le_bytes(x))),
        Uint16 => each.read(|x| f32::from(u16::from_le_bytes(x))),
        Int32 => each.read(|x| i32::from_le_bytes(x) as f32),
        Int64 => each.read(|x| i64::from_le_bytes(x) as f32),
        Uint32 => each.read(|x| u32::from_le_bytes(x) as f32),
        Uint64 => each.read(|x| u64::from_le_bytes(x) as f32),
        Uint4 | Uint2 | Int4 | Int2 => {
            let bits = element.bits();
            let signed = matches!(element, Int4 | Int2);
            unpacked_in(bytes, bits, range)
                .into_iter()
                .map(|code| {
                    let wide = i16::from(code);
                    let negative = signed && wide >= 1 << (bits - 1);
                    f32::from(if negative { wide - (1 << bits) } else { wide })
                })
                .collect()
        }
        Float8E4m3fn | Float8E4m3fnuz | Float8E5m2 | Float8E5m2fnuz | Float8E8m0 | Float4E2m1
        | Float6E2m3 | Float6E3m2 => {
            let codes = unpacked_in(bytes, element.bits(), range).into_iter();
            codes.filter_map(|code| minifloat(element, code)).collect()
        }
        String | Complex64 | Complex128 => {
            return Err(Error::tensor(
                tensor.name(),
                format!("values of type {element} cannot be scored"),
            ));
        }
    })
}

/// Some elements of whole bytes.
struct Each<'a> {
    bytes: &'a [u8],
    range: Range<usize>,
}

impl Each<'_> {
    fn read<const N: usize>(self, read: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        let elements = &self.bytes.as_chunks().0[self.range];
        elements.iter().map(|&element| read(element)).collect()
    }
}

/// Values as bytes of an element type. What would be a denormal becomes zero: kernels are slow on those.
pub(crate) fn packed(values: &[f32], element: ElementType) -> Vec<u8> {
    let flushed = values
        .iter()
        .map(|&x| if x.is_subnormal() { 0.0 } else { x });
    match element {
        ElementType::Double => flushed.flat_map(|x| f64::from(x).to_le_bytes()).collect(),
        ElementType::Float16 => flushed
            .flat_map(|x| f16::from_f32(x).to_le_bytes())
            .collect(),
        ElementType::Bfloat16 => flushed
            .flat_map(|x| bf16::from_f32(x).to_le_bytes())
            .collect(),
        _ => flushed.flat_map(f32::to_le_bytes).collect(),
    }
}

/// The elements of an integer or Boolean tensor; `None` for other types.
///
/// # Errors
/// As [`packed_bytes`].
pub(crate) fn integers(tensor: &TensorProto) -> Result<Option<Vec<i64>>> {
    let element = element_type(tensor)?;
    let values = |bytes: Bytes| match element {
        ElementType::Int64 => Some(each_i64(&bytes, i64::from_le_bytes)),
        ElementType::Int32 => Some(each_i64(&bytes, |x| i32::from_le_bytes(x).into())),
        ElementType::Bool => Some(bytes.iter().map(|&x| i64::from(x != 0)).collect()),
        _ => None,
    };
    if !element.is_index() || element == ElementType::String {
        return Ok(None);
    }
    packed_bytes(tensor).map(values)
}

fn each_i64<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> i64) -> Vec<i64> {
    bytes.as_chunks::<N>().0.iter().map(|&x| read(x)).collect()
}

/// The tensor without its data, in whatever field it stood.
pub(crate) fn cleared(tensor: &TensorProto) -> TensorProto {
    TensorProto {
        name: tensor.name.clone(),
        dims: tensor.dims.clone(),
        data_type: tensor.data_type,
        doc_string: tensor.doc_string.clone(),
        metadata_props: tensor.metadata_props.clone(),
        ..TensorProto::default()
    }
}

/// A tensor from packed little-endian bytes.
pub(crate) fn from_raw(
    name: &str,
    element: ElementType,
    dims: &[usize],
    bytes: impl Into<Bytes>,
) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        data_type: Some(element.number()),
        dims: dims.iter().map(|&dim| dim as i64).collect(),
        raw_data: Some(bytes.into()),
        ..TensorProto::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packing_is_undone_by_unpacking(
            (bits, codes) in prop_oneof![Just(2_u32), Just(4), Just(6)]
                .prop_flat_map(|bits| (Just(bits), prop::collection::vec(0_u8..1 << bits, 0..40)))
        ) {
            let packed = pack(&codes, bits);
            prop_assert_eq!(packed.len(), byte_length(codes.len(), bits).unwrap());
            prop_assert_eq!(unpacked(&packed, bits, codes.len()), codes);
        }
    }

    #[test]
    fn typed_fields_read_like_raw_bytes() {
        let typed = TensorProto {
            dims: vec![3],
            data_type: Some(ElementType::Bfloat16.number()),
            int32_data: vec![0x3f80, 0x4000, 0xbf80],
            ..TensorProto::default()
        };
        assert_eq!(to_f32(&typed).unwrap(), [1.0, 2.0, -1.0]);
        let signed = TensorProto {
            dims: vec![2],
            data_type: Some(ElementType::Int4.number()),
            int32_data: vec![0xf1],
            ..TensorProto::default()
        };
        assert_eq!(to_f32(&signed).unwrap(), [1.0, -1.0]);
    }

    #[test]
    fn dims_and_bytes_must_agree() {
        let mut tensor = from_raw("w", ElementType::Float, &[2, 3], vec![0_u8; 20]);
        let message = check(&tensor).unwrap_err().to_string();
        assert!(
            message.contains("'w'") && message.contains("24 bytes, but 20"),
            "{message}"
        );
        tensor.dims = vec![i64::MAX, i64::MAX];
        assert!(check(&tensor).unwrap_err().to_string().contains("overflow"));
        tensor.dims = vec![-1];
        assert!(check(&tensor).unwrap_err().to_string().contains("negative"));
    }
}
