//! The `.npy` format: what an array is, and parts of it in row-major order.
//!
//! Written from the format's description in numpy's documentation (`numpy.lib.format`).

use std::io::{self, Read};
use std::ops::Range;

use crate::error::Result;
use crate::onnx::ElementType;
use crate::runtime::Tensor;

const MAGIC: &[u8] = b"\x93NUMPY";
/// A header that is longer describes no array of numbers.
const LONGEST_HEADER: usize = 1 << 16;

/// What the elements of an array are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Number(ElementType),
    /// Two bytes without a type, as bfloat16 numbers are written.
    Raw,
}

/// What an array is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) shape: Vec<usize>,
    /// Bytes of an element.
    width: usize,
    big_endian: bool,
    /// The first axis is the one whose neighbours lie side by side.
    fortran: bool,
    /// Where the elements begin.
    offset: usize,
    /// Bytes of all elements.
    length: usize,
}

impl Header {
    /// Reads the header at the start of an array; the reader stands at the elements afterwards.
    pub(crate) fn read(source: &mut dyn Read) -> std::result::Result<Header, String> {
        let mut take = |count: usize| {
            let mut bytes = vec![0; count];
            let read = source.read_exact(&mut bytes);
            read.map(|()| bytes).map_err(|_| "it is cut off".to_owned())
        };
        let start = take(MAGIC.len() + 2)?;
        if !start.starts_with(MAGIC) {
            return Err("it is no .npy array".to_owned());
        }
        let wide = start[MAGIC.len()] > 1;
        let digits = take(if wide { 4 } else { 2 })?;
        let length = digits
            .iter()
            .rev()
            .fold(0, |n, &byte| n << 8 | usize::from(byte));
        if length > LONGEST_HEADER {
            return Err("its header is longer than that of any array of numbers".to_owned());
        }
        let text = String::from_utf8_lossy(&take(length)?).into_owned();
        let mut header = parse(&text).ok_or("its header cannot be read")??;
        header.offset = start.len() + digits.len() + length;
        Ok(header)
    }

    /// That of an array whose elements a numpy descriptor (as `<f4`) says, without bytes before them.
    pub(super) fn described(
        descriptor: &str,
        shape: Vec<usize>,
        fortran: bool,
    ) -> std::result::Result<Header, String> {
        let (kind, width) = element(descriptor.trim_start_matches(['<', '>', '|', '=']))
            .ok_or_else(|| format!("its element type '{descriptor}' cannot be read"))?;
        let length = shape.iter().try_fold(width, |n, &size| n.checked_mul(size));
        let length = length.filter(|&length| length <= isize::MAX as usize);
        Ok(Header {
            kind,
            width,
            big_endian: descriptor.starts_with('>') && width > 1 && kind != Kind::Raw,
            fortran,
            offset: 0,
            length: length.ok_or("its sizes are larger than any file")?,
            shape,
        })
    }

    /// The bytes before the elements of an array of Booleans in row-major order.
    ///
    /// # Errors
    /// More axes than a header has room for.
    pub(crate) fn of_booleans(shape: &[usize]) -> io::Result<Vec<u8>> {
        let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
        let sizes = match sizes.as_slice() {
            [size] => format!("{size},"),
            sizes => sizes.join(", "),
        };
        let text = format!("{{'descr': '|b1', 'fortran_order': False, 'shape': ({sizes}), }}");
        let start = MAGIC.len() + 4;
        // The elements begin at a multiple of 64 bytes, behind a line's end.
        let length = (start + text.len() + 1).next_multiple_of(64) - start;
        let digits = u16::try_from(length).map_err(io::Error::other)?;
        let mut out = MAGIC.to_vec();
        out.extend([1, 0]);
        out.extend(digits.to_le_bytes());
        out.extend(format!("{text:<width$}\n", width = length - 1).into_bytes());
        Ok(out)
    }

    /// Bytes of the header and all elements.
    pub(crate) fn file_length(&self) -> u64 {
        self.offset as u64 + self.length as u64
    }

    /// The bytes of all elements of the array in `file`.
    pub(crate) fn elements<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        let data = file.get(self.offset..).unwrap_or_default();
        data.get(..self.length).unwrap_or(data)
    }

    /// The positions `range` of `axis`, or all elements without, of the array in `file`.
    pub(crate) fn tensor(
        &self,
        file: &[u8],
        element: ElementType,
        part: Option<(usize, Range<usize>)>,
    ) -> Result<Tensor> {
        let data = self.elements(file);
        // An array in Fortran order is one in C order with its axes reversed.
        let mut stored = self.shape.clone();
        let mut axis = part.as_ref().map(|(axis, _)| *axis);
        if self.fortran {
            stored.reverse();
            axis = axis.map(|axis| stored.len() - 1 - axis);
        }
        let mut bytes = match (axis, part) {
            // The other sizes of an array without elements may be any.
            (Some(axis), Some((_, range))) if self.length == 0 => {
                stored[axis] = range.len();
                Vec::new()
            }
            (Some(axis), Some((_, range))) => {
                let before: usize = stored[..axis].iter().product();
                let inner = stored[axis + 1..].iter().product::<usize>() * self.width;
                let stride = stored[axis] * inner;
                let places = range.start * inner..range.end * inner;
                stored[axis] = range.len();
                let piece = |n: usize| &data[n * stride + places.start..n * stride + places.end];
                (0..before).flat_map(piece).copied().collect::<Vec<u8>>()
            }
            _ => data.to_vec(),
        };
        if self.big_endian {
            bytes.chunks_exact_mut(self.width).for_each(<[u8]>::reverse);
        }
        let tensor = Tensor::from_packed(element, &stored, &bytes)?;
        Ok(if self.fortran {
            tensor.reversed()
        } else {
            tensor
        })
    }
}

/// The fields of a header; none where one is missing.
fn parse(text: &str) -> Option<std::result::Result<Header, String>> {
    let after = |key: &str| {
        let place = text.find(&format!("'{key}'"))? + key.len() + 2;
        Some(text[place..].trim_start().strip_prefix(':')?.trim_start())
    };
    let descriptor = after("descr")?;
    let Some(descriptor) = descriptor
        .strip_prefix('\'')
        .and_then(|rest| rest.split('\'').next())
    else {
        return Some(Err("its elements have several fields".to_owned()));
    };
    let fortran = after("fortran_order")?.starts_with("True");
    let sizes = after("shape")?.strip_prefix('(')?.split(')').next()?;
    let sizes = sizes
        .split(',')
        .map(|size| size.trim().trim_end_matches('L'));
    let shape = sizes.filter(|size| !size.is_empty()).map(str::parse);
    let shape: Vec<usize> = shape.collect::<std::result::Result<_, _>>().ok()?;
    Some(Header::described(descriptor, shape, fortran))
}

fn element(code: &str) -> Option<(Kind, usize)> {
    use ElementType as E;
    let (element, width) = match code {
        "V2" => return Some((Kind::Raw, 2)),
        "f2" => (E::Float16, 2),
        "f4" => (E::Float, 4),
        "f8" => (E::Double, 8),
        "i1" => (E::Int8, 1),
        "i2" => (E::Int16, 2),
        "i4" => (E::Int32, 4),
        "i8" => (E::Int64, 8),
        "u1" => (E::Uint8, 1),
        "u2" => (E::Uint16, 2),
        "u4" => (E::Uint32, 4),
        "u8" => (E::Uint64, 8),
        "b1" => (E::Bool, 1),
        _ => return None,
    };
    Some((Kind::Number(element), width))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(descriptor: &str, order: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let text =
            format!("{{'descr': '{descriptor}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let mut out = MAGIC.to_vec();
        out.extend([1, 0]);
        out.extend((text.len() as u16).to_le_bytes());
        out.extend(text.as_bytes());
        out.extend(data);
        out
    }

    fn numbers(file: &[u8], part: Option<(usize, Range<usize>)>) -> (Vec<usize>, Vec<f64>) {
        let header = Header::read(&mut &file[..]).expect("a header");
        let Kind::Number(element) = header.kind else {
            panic!("numbers are expected")
        };
        assert_eq!(header.file_length(), file.len() as u64);
        let tensor = header.tensor(file, element, part).expect("a tensor");
        (tensor.shape().to_vec(), tensor.to_f64())
    }

    #[test]
    fn parts_are_cut_along_any_axis_in_both_orders() {
        let c = file(
            "|u1",
            "False",
            "(2, 3, 2)",
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        );
        let f = file(
            "|u1",
            "True",
            "(2, 3, 2)",
            &[0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11],
        );
        for axis in 0..3 {
            let part = Some((axis, 1..2));
            assert_eq!(numbers(&c, part.clone()), numbers(&f, part));
        }
        assert_eq!(numbers(&c, None), numbers(&f, None));
        assert_eq!(
            numbers(&c, Some((1, 1..3))),
            (
                vec![2, 2, 2],
                vec![2.0, 3.0, 4.0, 5.0, 8.0, 9.0, 10.0, 11.0]
            )
        );
    }

    #[test]
    fn single_numbers_halves_and_big_endians_are_read() {
        assert_eq!(
            numbers(&file("<i8", "False", "()", &7_i64.to_le_bytes()), None).1,
            [7.0]
        );
        assert_eq!(
            numbers(&file(">i2", "False", "(2,)", &[1, 0, 0, 2]), None).1,
            [256.0, 2.0]
        );
        assert_eq!(
            numbers(&file("<f2", "True", "(1,)", &[0, 0x3e]), None).1,
            [1.5]
        );
    }

    #[test]
    fn headers_that_are_written_are_read() {
        for shape in [vec![], vec![7], vec![64, 3, 7, 7], vec![1; 32]] {
            let mut bytes = Header::of_booleans(&shape).expect("few axes");
            assert!(bytes.len().is_multiple_of(64));
            bytes.resize(bytes.len() + shape.iter().product::<usize>(), 1);
            let header = Header::read(&mut bytes.as_slice()).expect("a header");
            assert_eq!(header.shape, shape);
            assert_eq!(header.kind, Kind::Number(ElementType::Bool));
            assert_eq!(header.file_length(), bytes.len() as u64);
        }
    }

    #[test]
    fn arrays_without_elements_take_no_time_whatever_their_sizes() {
        for (order, sizes, axis) in [
            ("False", "(4611686018427387, 2, 0)", 1),
            (
                "False",
                "(2, 0, 4611686018427387904, 4611686018427387904)",
                0,
            ),
            (
                "True",
                "(2, 0, 4611686018427387904, 4611686018427387904)",
                0,
            ),
            ("True", "(0, 2, 4611686018427387)", 1),
        ] {
            let file = file("<f4", order, sizes, &[]);
            let header = Header::read(&mut &file[..]).expect("a header");
            let tensor = header.tensor(&file, ElementType::Float, Some((axis, 0..1)));
            // More places than there are addresses are no array.
            assert!(tensor.map_or(true, |tensor| tensor.to_f64().is_empty()));
        }
    }

    #[test]
    fn headers_that_describe_no_numbers_are_refused() {
        let fault = |file: &[u8]| Header::read(&mut &file[..]).expect_err("it is refused");
        assert!(fault(&file("|O", "False", "(2,)", &[])).contains("'|O'"));
        assert!(fault(b"PK").contains("cut off"));
        let huge = "(4611686018427387904, 4611686018427387904)";
        assert!(fault(&file("<f4", "False", huge, &[])).contains("larger"));
        assert!(fault(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").contains("longer"));
    }
}
