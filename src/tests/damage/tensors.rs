//! Positions of a tensor along an axis: taken, exchanged, changed.

use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, packed_bytes};

/// A tensor as blocks along one axis.
pub(super) struct Blocks {
    tensor: TensorProto,
    axis: usize,
    bytes: Vec<u8>,
    /// Bytes of one position within one of the outer places.
    inner: usize,
}

impl Blocks {
    /// Nothing for elements that share bytes.
    pub(super) fn new(tensor: &TensorProto, axis: usize) -> Option<Blocks> {
        let width = ElementType::of(tensor.data_type())?.bits() as usize;
        let size = |dims: &[i64]| dims.iter().product::<i64>() as usize;
        let bytes = packed_bytes(tensor).ok()?.to_vec();
        (width.is_multiple_of(8) && !bytes.is_empty()).then(|| Blocks {
            tensor: tensor.clone(),
            axis,
            inner: size(&tensor.dims[axis + 1..]) * width / 8,
            bytes,
        })
    }

    /// Positions along the axis.
    pub(super) fn size(&self) -> usize {
        self.tensor.dims[self.axis] as usize
    }

    /// The tensor with these positions of `of`, which differs from this one along the axis alone.
    pub(super) fn taken(&self, of: &Blocks, positions: &[usize]) -> TensorProto {
        let rows = of.bytes.chunks(of.size() * of.inner);
        let taken = rows.flat_map(|row| {
            let piece = |&place: &usize| &row[place * of.inner..][..of.inner];
            positions.iter().flat_map(piece).copied()
        });
        let bytes: Vec<u8> = taken.collect();
        let mut tensor = self.with(bytes);
        tensor.dims[self.axis] = positions.len() as i64;
        tensor
    }

    /// The tensor with other numbers at one position; nothing for types whose numbers are not known here.
    pub(super) fn changed(&self, position: usize) -> Option<TensorProto> {
        let mut bytes = self.bytes.clone();
        let element = ElementType::of(self.tensor.data_type())?;
        for row in bytes.chunks_mut(self.size() * self.inner) {
            let piece = &mut row[position * self.inner..][..self.inner];
            match element {
                ElementType::Float => {
                    for number in piece.as_chunks_mut::<4>().0 {
                        let other = 1.5 * f32::from_le_bytes(*number) + 0.25;
                        *number = other.to_le_bytes();
                    }
                }
                ElementType::Int8 | ElementType::Uint8 => {
                    piece.iter_mut().for_each(|code| *code ^= 0x14);
                }
                _ => return None,
            }
        }
        Some(self.with(bytes))
    }

    fn with(&self, bytes: Vec<u8>) -> TensorProto {
        TensorProto {
            raw_data: Some(bytes.into()),
            float_data: Vec::new(),
            int32_data: Vec::new(),
            int64_data: Vec::new(),
            double_data: Vec::new(),
            ..self.tensor.clone()
        }
    }
}

/// The numbers of a tensor of 64-bit integers.
pub(super) fn integers(tensor: &TensorProto) -> Option<Vec<i64>> {
    if ElementType::of(tensor.data_type()) != Some(ElementType::Int64) {
        return None;
    }
    let bytes = packed_bytes(tensor).ok()?;
    let numbers = bytes.as_chunks().0.iter();
    Some(numbers.map(|&number| i64::from_le_bytes(number)).collect())
}

/// The tensor with other integers, as many.
pub(super) fn with_integers(tensor: &TensorProto, numbers: &[i64]) -> TensorProto {
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    TensorProto {
        raw_data: Some(bytes.into()),
        int64_data: Vec::new(),
        ..tensor.clone()
    }
}

/// The tensor of real numbers with another one at `index`; nothing for types that masks do not have here.
pub(super) fn with_number(
    tensor: &TensorProto,
    numbers: &[f32],
    index: usize,
    number: f32,
) -> Option<TensorProto> {
    let mut numbers = numbers.to_vec();
    numbers[index] = number;
    let bytes = match ElementType::of(tensor.data_type())? {
        ElementType::Float => numbers.iter().flat_map(|n| n.to_le_bytes()).collect(),
        ElementType::Double => {
            let wide = numbers.iter().map(|&n| f64::from(n));
            wide.flat_map(f64::to_le_bytes).collect::<Vec<u8>>()
        }
        _ => return None,
    };
    Some(TensorProto {
        raw_data: Some(bytes.into()),
        float_data: Vec::new(),
        double_data: Vec::new(),
        ..tensor.clone()
    })
}
