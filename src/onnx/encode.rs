//! The message of a model around its weights, which go straight from where they lie, or are made, to the file.

use bytes::Bytes;
use prost::Message;
use prost::encoding::{
    WireType, encode_key, encode_varint, encoded_len_varint, key_len, message, string,
};

use super::model::Model;
use super::proto::{GraphProto, ModelProto, TensorProto};
use super::stream::Stream;

const MODEL_GRAPH: u32 = 7;
const GRAPH_INITIALIZER: u32 = 5;
const TENSOR_RAW_DATA: u32 = 9;

impl Model {
    /// The model in the order of the field numbers, as other writers do.
    pub(super) fn encoded(&self) -> Stream<'_> {
        let none = GraphProto::default();
        let graph = self.proto.graph.as_ref().unwrap_or(&none);
        let (model_head, model_tail) = around_the_graph(&self.proto);
        let (graph_head, graph_tail) = around_the_initializers(graph);
        let frames = graph.initializer.iter();
        let frames: Vec<Frame> = frames
            .map(|tensor| Frame::of(tensor, self.length_of(tensor)))
            .collect();
        let lengths = frames.iter().map(Frame::length);
        let tensors: usize = lengths
            .map(|length| framed(GRAPH_INITIALIZER, length))
            .sum();

        let mut stream = Stream::default();
        let mut head = model_head;
        push_frame(
            MODEL_GRAPH,
            graph_head.len() + tensors + graph_tail.len(),
            &mut head,
        );
        head.extend(graph_head);
        for (tensor, frame) in graph.initializer.iter().zip(frames) {
            push_frame(GRAPH_INITIALIZER, frame.length(), &mut head);
            head.extend(frame.head);
            if let Some(length) = frame.raw {
                push_frame(TENSOR_RAW_DATA, length, &mut head);
                stream.push(std::mem::take(&mut head));
                self.push_data(tensor, &mut stream);
            }
            head.extend(frame.tail);
        }
        head.extend(graph_tail);
        head.extend(model_tail);
        stream.push(head);
        stream
    }

    /// Adds the bytes of an initializer.
    pub(super) fn push_data<'a>(&'a self, tensor: &TensorProto, stream: &mut Stream<'a>) {
        match self.lazy.get(tensor.name()) {
            Some(lazy) => stream.push_lazy(lazy),
            None => stream.push(tensor.raw_data.clone().unwrap_or_default()),
        }
    }

    /// Bytes of all initializers.
    pub(crate) fn weight_bytes(&self) -> usize {
        let graph = self.proto.graph.iter();
        let tensors = graph.flat_map(|graph| &graph.initializer);
        tensors.map(|tensor| self.length_of(tensor)).sum()
    }

    /// Length of the bytes of an initializer.
    pub(super) fn length_of(&self, tensor: &TensorProto) -> usize {
        match self.lazy.get(tensor.name()) {
            Some(lazy) => lazy.length(),
            None => tensor.raw_data.as_ref().map_or(0, Bytes::len),
        }
    }
}

/// An initializer's message around its `raw_data`.
struct Frame {
    head: Vec<u8>,
    raw: Option<usize>,
    tail: Vec<u8>,
}

impl Frame {
    fn of(tensor: &TensorProto, raw_length: usize) -> Frame {
        if raw_length == 0 {
            return Frame {
                head: tensor.encode_to_vec(),
                raw: None,
                tail: Vec::new(),
            };
        }
        let head = TensorProto {
            dims: tensor.dims.clone(),
            data_type: tensor.data_type,
            segment: tensor.segment,
            name: tensor.name.clone(),
            ..TensorProto::default()
        };
        let tail = TensorProto {
            doc_string: tensor.doc_string.clone(),
            external_data: tensor.external_data.clone(),
            data_location: tensor.data_location,
            metadata_props: tensor.metadata_props.clone(),
            ..TensorProto::default()
        };
        Frame {
            head: head.encode_to_vec(),
            raw: Some(raw_length),
            tail: tail.encode_to_vec(),
        }
    }

    fn length(&self) -> usize {
        let raw = self.raw.map_or(0, |length| framed(TENSOR_RAW_DATA, length));
        self.head.len() + raw + self.tail.len()
    }
}

/// Length of a field that holds `length` bytes.
fn framed(tag: u32, length: usize) -> usize {
    key_len(tag) + encoded_len_varint(length as u64) + length
}

fn push_frame(tag: u32, length: usize, out: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

/// What of a model's message is written before its graph, and what after it: fields go by their numbers.
fn around_the_graph(proto: &ModelProto) -> (Vec<u8>, Vec<u8>) {
    // No rest pattern: a field that is new must be given its place.
    let ModelProto {
        ir_version,
        opset_import,
        producer_name,
        producer_version,
        domain,
        model_version,
        doc_string,
        graph: _,
        metadata_props,
        training_info,
        functions,
        configuration,
    } = proto;
    let head = ModelProto {
        ir_version: *ir_version,
        producer_name: producer_name.clone(),
        producer_version: producer_version.clone(),
        domain: domain.clone(),
        model_version: *model_version,
        doc_string: doc_string.clone(),
        ..ModelProto::default()
    };
    let mut tail = Vec::new();
    message::encode_repeated(8, opset_import, &mut tail);
    message::encode_repeated(14, metadata_props, &mut tail);
    message::encode_repeated(20, training_info, &mut tail);
    message::encode_repeated(25, functions, &mut tail);
    message::encode_repeated(26, configuration, &mut tail);
    (head.encode_to_vec(), tail)
}

/// The same of a graph's message and its initializers.
fn around_the_initializers(graph: &GraphProto) -> (Vec<u8>, Vec<u8>) {
    let GraphProto {
        node,
        name,
        initializer: _,
        sparse_initializer,
        doc_string,
        input,
        output,
        value_info,
        quantization_annotation,
        metadata_props,
    } = graph;
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    message::encode_repeated(1, node, &mut head);
    if let Some(name) = name {
        string::encode(2, name, &mut head);
    }
    if let Some(text) = doc_string {
        string::encode(10, text, &mut tail);
    }
    message::encode_repeated(11, input, &mut tail);
    message::encode_repeated(12, output, &mut tail);
    message::encode_repeated(13, value_info, &mut tail);
    message::encode_repeated(14, quantization_annotation, &mut tail);
    message::encode_repeated(15, sparse_initializer, &mut tail);
    message::encode_repeated(16, metadata_props, &mut tail);
    (head, tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::LazyBytes;
    use crate::onnx::proto::{NodeProto, OperatorSetIdProto, StringStringEntryProto};

    fn entry(key: &str) -> StringStringEntryProto {
        StringStringEntryProto {
            key: Some(key.to_owned()),
            value: Some("of the test".to_owned()),
        }
    }

    /// A model with something in every part around its weights.
    fn proto() -> ModelProto {
        let tensor = |name: &str, bytes: usize| TensorProto {
            name: Some(name.to_owned()),
            dims: vec![bytes as i64],
            data_type: Some(3),
            raw_data: Some(
                (0..bytes)
                    .map(|i| (i * 31 % 251) as u8)
                    .collect::<Vec<u8>>()
                    .into(),
            ),
            doc_string: Some("a tensor".to_owned()),
            metadata_props: vec![entry("tensor")],
            ..TensorProto::default()
        };
        ModelProto {
            ir_version: Some(10),
            producer_name: Some("a test".to_owned()),
            producer_version: Some("1".to_owned()),
            domain: Some("d".to_owned()),
            model_version: Some(7),
            doc_string: Some("a model".to_owned()),
            opset_import: vec![OperatorSetIdProto::default(); 2],
            metadata_props: vec![entry("model")],
            training_info: vec![Default::default()],
            functions: vec![Default::default()],
            configuration: vec![Default::default()],
            graph: Some(GraphProto {
                name: Some("graph".to_owned()),
                node: vec![NodeProto::default(); 3],
                initializer: (0..40)
                    .map(|i| tensor(&format!("w{i}"), i * i * i * 40))
                    .collect(),
                sparse_initializer: vec![Default::default()],
                doc_string: Some("a graph".to_owned()),
                input: vec![Default::default()],
                output: vec![Default::default()],
                value_info: vec![Default::default()],
                quantization_annotation: vec![Default::default()],
                metadata_props: vec![entry("graph")],
            }),
        }
    }

    #[test]
    fn what_is_streamed_is_what_prost_encodes() {
        let proto = proto();
        let right = proto.encode_to_vec();
        let mut bytes = Vec::new();
        let mut model = Model::new(proto, Vec::new(), false);
        model.encoded().write(&mut bytes).expect("memory");
        assert_eq!(bytes, right);
        // The same of weights that are made in parts, all of one size but for the first.
        let graph = model.proto.graph.as_mut().expect("a graph");
        for tensor in &mut graph.initializer[1..] {
            let data = tensor.raw_data.take().expect("data");
            let (length, parts) = (data.len(), 8);
            let part = length / parts;
            let make = move |range: std::ops::Range<usize>, out: &mut Vec<u8>| {
                out.extend_from_slice(&data[range.start * part..range.end * part]);
            };
            let lazy = LazyBytes::in_parts(length, parts, make);
            assert_eq!(lazy.bytes().len(), length);
            model.lazy.insert(tensor.name().to_owned(), lazy);
        }
        bytes.clear();
        model.encoded().write(&mut bytes).expect("memory");
        assert_eq!(bytes, right);
    }
}
