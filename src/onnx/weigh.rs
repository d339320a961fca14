//! What the messages of a file will take in memory, counted on its bytes before they are decoded: an empty message
//! is two bytes in a file and hundreds in memory.

use std::mem::size_of;

use super::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, SparseTensorProto,
    StringStringEntryProto, TensorAnnotation, TensorProto, TrainingInfoProto, TypeProto,
    ValueInfoProto, tensor_shape_proto::Dimension,
};

/// A text with its place in a list, and the smallest piece of memory that holds it.
const TEXT: usize = 56;
/// An entry of the lists of which no model has many.
const OTHER: usize = 128;
/// Bytes that the messages of any file may take, and bytes for each byte of the file.
const LARGEST: usize = 64 << 20;
const LARGEST_EXPANSION: usize = 32;

/// Messages that hold others.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    Function,
    Training,
    Annotation,
    Info,
    Type,
    Shape,
    Dimension,
    Entry,
    Other,
}

impl Message {
    /// What a field holds, where it is a message, and the bytes that each takes.
    fn field(self, number: usize) -> Option<(Option<Message>, usize)> {
        use Message::*;
        let inner = match (self, number) {
            (Model, 7) | (Training, 1 | 2) | (Attribute, 6 | 11) => Graph,
            (Model, 20) => Training,
            (Model, 25) => Function,
            (Graph, 1) | (Function, 7) => Node,
            (Graph, 5) | (Attribute, 5 | 10) | (Sparse, 1 | 2) => Tensor,
            (Graph, 15) | (Attribute, 22 | 23) => Sparse,
            (Graph, 11..=13) | (Function, 12) => Info,
            (Graph, 14) => Annotation,
            (Node, 5) | (Function, 11) => Attribute,
            (Attribute, 14 | 15) | (Info, 2) => Type,
            // Tensor, sequence, map, optional and sparse tensor types: each holds a type or a shape.
            (Type, 1 | 4 | 5 | 8 | 9) => Type,
            (Type, 2) => Shape,
            (Shape, 1) => Dimension,
            (Model | Graph, 14 | 16)
            | (Node | Function, 9 | 14)
            | (Tensor, 13 | 16)
            | (Info, 4)
            | (Annotation, 2)
            | (Training, 3 | 4) => Entry,
            (Model, 8 | 26) | (Node, 10) => Other,
            (Node, 1 | 2) | (Function, 4..=6) => return Some((None, TEXT)),
            (Attribute, 9) | (Tensor, 6) => return Some((None, size_of::<bytes::Bytes>())),
            (Other, _) => return Some((None, OTHER)),
            _ => return None,
        };
        Some((Some(inner), inner.bytes()))
    }

    fn bytes(self) -> usize {
        match self {
            Message::Model => size_of::<ModelProto>(),
            Message::Graph => size_of::<GraphProto>(),
            Message::Node => size_of::<NodeProto>(),
            Message::Attribute => size_of::<AttributeProto>(),
            Message::Tensor => size_of::<TensorProto>(),
            Message::Sparse => size_of::<SparseTensorProto>(),
            Message::Function => size_of::<FunctionProto>(),
            Message::Training => size_of::<TrainingInfoProto>(),
            Message::Annotation => size_of::<TensorAnnotation>(),
            Message::Info => size_of::<ValueInfoProto>(),
            Message::Type | Message::Shape => size_of::<TypeProto>(),
            Message::Dimension => size_of::<Dimension>(),
            Message::Entry => size_of::<StringStringEntryProto>(),
            Message::Other => OTHER,
        }
    }
}

/// Whether the messages of an encoded model take no more memory than any real model of its size needs.
pub(super) fn is_bearable(file: &[u8]) -> bool {
    let most = LARGEST.saturating_add(file.len().saturating_mul(LARGEST_EXPANSION));
    let mut total = 0_usize;
    // What is not read yet of every message that is open.
    let mut open = vec![(Message::Model, file)];
    while let Some((message, rest)) = open.pop() {
        let Some(field) = next_field(rest) else {
            continue;
        };
        open.push((message, field.after));
        let known = message.field(field.number);
        let (Some(data), Some((inner, bytes))) = (field.data, known) else {
            continue;
        };
        total = total.saturating_add(bytes);
        if total > most {
            return false;
        }
        open.extend(inner.map(|inner| (inner, data)));
    }
    true
}

/// One field of a message.
struct EncodedField<'a> {
    number: usize,
    /// Its bytes, where it has a length.
    data: Option<&'a [u8]>,
    /// What follows it.
    after: &'a [u8],
}

/// The first field of a message; none at its end or where the bytes are no message, which decoding will say.
fn next_field(mut rest: &[u8]) -> Option<EncodedField<'_>> {
    let key = prost::decode_length_delimiter(&mut rest).ok()?;
    let mut data = None;
    let length = match key & 7 {
        0 => {
            prost::decode_length_delimiter(&mut rest).ok()?;
            0
        }
        1 => 8,
        2 => {
            let length = prost::decode_length_delimiter(&mut rest).ok()?;
            data = Some(rest.get(..length)?);
            length
        }
        5 => 4,
        // Groups have no length; what is in them is counted as if it stood outside.
        _ => 0,
    };
    Some(EncodedField {
        number: key >> 3,
        data,
        after: rest.get(length..)?,
    })
}

#[cfg(test)]
mod tests {
    use super::is_bearable;

    fn nested(tags: &[u8], inner: &[u8]) -> Vec<u8> {
        tags.iter().rev().fold(inner.to_vec(), |inner, &tag| {
            let mut out = vec![tag];
            prost::encode_length_delimiter(inner.len(), &mut out).expect("room");
            out.extend(inner);
            out
        })
    }

    #[test]
    fn empty_messages_are_counted_wherever_they_stand() {
        let (graph, node, attribute) = (7 << 3 | 2, 1 << 3 | 2, 5 << 3 | 2);
        for (path, tag) in [
            (&[graph][..], node),
            (&[graph, node], attribute),
            (&[graph, node, attribute, 6 << 3 | 2], node),
            (&[graph, node, attribute, 5 << 3 | 2], 13 << 3 | 2),
        ] {
            assert!(is_bearable(&nested(path, &[tag, 0].repeat(1000))));
            let many = nested(path, &[tag, 0].repeat(2_000_000));
            assert!(!is_bearable(&many), "{path:?}");
        }
    }

    #[test]
    fn what_is_no_message_is_left_to_decoding() {
        assert!(is_bearable(&[0xff; 100]));
        assert!(is_bearable(&[7 << 3 | 2, 200, 1]));
    }
}
