//! Fields that a file has and the messages here do not: decoding drops them without a word.

use prost::encoding::{WireType, decode_key, decode_varint};

// `MESSAGES`, the fields of `proto/onnx.proto`, and `MODEL`, the place of a `ModelProto` among them.
include!(concat!(env!("OUT_DIR"), "/fields.rs"));

/// What is known of a message: its fields by number, with the place of the message that each holds.
struct Message {
    name: &'static str,
    fields: &'static [(i32, Option<usize>)],
}

/// A field that no message here has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownField {
    /// The message that it stands in.
    pub(crate) message: &'static str,
    pub(crate) number: u32,
}

/// The first unknown field of the `ModelProto` in `bytes`, which decodes.
pub(crate) fn unknown_field(bytes: &[u8]) -> Option<UnknownField> {
    // Messages that are not read to their ends, the innermost last.
    let mut open = vec![(&MESSAGES[MODEL], bytes)];
    while let Some((message, mut rest)) = open.pop() {
        while !rest.is_empty() {
            let (number, wire) = decode_key(&mut rest).ok()?;
            let same = |field: &&(i32, Option<usize>)| i64::from(field.0) == i64::from(number);
            let Some((_, inner)) = message.fields.iter().find(same) else {
                let message = message.name;
                return Some(UnknownField { message, number });
            };
            let length = match wire {
                WireType::Varint => {
                    decode_varint(&mut rest).ok()?;
                    continue;
                }
                WireType::ThirtyTwoBit => 4,
                WireType::SixtyFourBit => 8,
                WireType::LengthDelimited => {
                    usize::try_from(decode_varint(&mut rest).ok()?).ok()?
                }
                // No message has groups, so that none decodes.
                WireType::StartGroup | WireType::EndGroup => return None,
            };
            let (held, after) = rest.split_at_checked(length)?;
            rest = after;
            if let Some(inner) = inner {
                open.push((message, rest));
                open.push((&MESSAGES[*inner], held));
                break;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::onnx::proto::{GraphProto, ModelProto, NodeProto, TensorProto};

    /// A field of this number that holds three bytes.
    fn field(number: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        prost::encoding::encode_key(number, WireType::LengthDelimited, &mut bytes);
        bytes.extend([3, 1, 2, 3]);
        bytes
    }

    fn within(number: u32, held: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        prost::encoding::encode_key(number, WireType::LengthDelimited, &mut bytes);
        prost::encoding::encode_varint(held.len() as u64, &mut bytes);
        bytes.extend(held);
        bytes
    }

    #[test]
    fn unknown_fields_are_found_at_any_depth() {
        let model = ModelProto {
            ir_version: Some(14),
            graph: Some(GraphProto {
                node: vec![NodeProto::default(); 3],
                initializer: vec![TensorProto {
                    dims: vec![1, 2],
                    float_data: vec![1.0, 2.0],
                    ..TensorProto::default()
                }],
                ..GraphProto::default()
            }),
            ..ModelProto::default()
        };
        let known = model.encode_to_vec();
        assert_eq!(unknown_field(&known), None);
        // Model, graph, node, attribute, tensor, entry of its metadata: by number, and the number that each stands in.
        for (path, message) in [
            (&[][..], "ModelProto"),
            (&[7], "GraphProto"),
            (&[7, 1], "NodeProto"),
            (&[7, 1, 5], "AttributeProto"),
            (&[7, 1, 5, 5], "TensorProto"),
            (&[7, 1, 5, 5, 16], "StringStringEntryProto"),
            (&[7, 1, 5, 5, 3], "TensorProto.Segment"),
            (&[25, 7], "NodeProto"),
            (&[20, 1, 11, 2, 1, 2, 1], "TensorShapeProto.Dimension"),
        ] {
            for number in [100, 900, (1 << 29) - 1] {
                let inner = path
                    .iter()
                    .rev()
                    .fold(field(number), |held, &n| within(n, &held));
                for bytes in [
                    [inner.clone(), known.clone()].concat(),
                    [known.clone(), inner].concat(),
                ] {
                    let found = unknown_field(&bytes).map(|field| (field.message, field.number));
                    assert_eq!(found, Some((message, number)));
                }
            }
        }
    }

    #[test]
    fn bytes_that_are_no_message_end_the_search() {
        let bytes: Vec<u8> = (0..=255).collect();
        for start in 0..256 {
            // Whatever is found, it comes back.
            unknown_field(&bytes[start..]);
        }
    }
}
