//! Noise for weights that were taken out of a graph, and for data.

use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};

/// Numbers without order, the same in every run.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u64 {
        let product = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = product.wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// From 0 to 1.
    pub fn unit(&mut self) -> f32 {
        self.next() as f32 / (1u64 << 31) as f32
    }
}

/// Fields of the messages of a model.
const GRAPH: u32 = 7;
const INITIALIZER: u32 = 5;
const DIMS: u32 = 1;
const NAME: u32 = 8;
const RAW_DATA: u32 = 9;

/// A model with noise for the initializers that have no data.
pub fn filled(model: &[u8]) -> Vec<u8> {
    let mut noise = Noise(3);
    rewritten(model, GRAPH, &mut |graph| {
        rewritten(graph, INITIALIZER, &mut |tensor| {
            with_data(tensor, &mut noise)
        })
    })
}

/// A message in which every field `wanted` is what `make` makes of it.
fn rewritten(message: &[u8], wanted: u32, make: &mut dyn FnMut(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    for field in fields(message) {
        match field.number == wanted {
            true => add(&mut out, wanted, &make(field.bytes)),
            false => out.extend_from_slice(field.whole),
        }
    }
    out
}

fn with_data(tensor: &[u8], noise: &mut Noise) -> Vec<u8> {
    let mut dims = Vec::new();
    let mut is_empty = true;
    for field in fields(tensor) {
        match field.number {
            DIMS if field.bytes.is_empty() => dims.push(field.value),
            DIMS => {
                let mut packed = field.bytes;
                while !packed.is_empty() {
                    dims.push(decode_varint(&mut packed).expect("a size"));
                }
            }
            number => is_empty &= number <= 2 || number == NAME,
        }
    }
    let mut out = tensor.to_vec();
    if !is_empty || dims.is_empty() {
        return out;
    }
    let inputs: u64 = dims.iter().skip(1).product();
    let scale = match dims.len() {
        1 => 0.1,
        _ => (12.0 / inputs as f32).sqrt(),
    };
    let numbers = 0..dims.iter().product::<u64>();
    let numbers = numbers.flat_map(|_| ((noise.unit() - 0.5) * scale).to_le_bytes());
    add(&mut out, RAW_DATA, &numbers.collect::<Vec<u8>>());
    out
}

fn add(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A field of an encoded message.
struct Field<'a> {
    number: u32,
    /// A number, where it is one.
    value: u64,
    /// What it holds, where that has a length.
    bytes: &'a [u8],
    /// The field with its key.
    whole: &'a [u8],
}

fn fields(message: &[u8]) -> Vec<Field<'_>> {
    let mut out = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let before = rest;
        let (number, kind) = decode_key(&mut rest).expect("a key");
        let mut value = 0;
        let mut bytes: &[u8] = &[];
        let fixed = match kind {
            WireType::ThirtyTwoBit => 4,
            WireType::SixtyFourBit => 8,
            WireType::LengthDelimited => decode_varint(&mut rest).expect("a length") as usize,
            _ => {
                value = decode_varint(&mut rest).expect("a number");
                0
            }
        };
        if kind == WireType::LengthDelimited {
            bytes = &rest[..fixed];
        }
        rest = &rest[fixed..];
        let whole = &before[..before.len() - rest.len()];
        out.push(Field {
            number,
            value,
            bytes,
            whole,
        });
    }
    out
}
