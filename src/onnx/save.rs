//! Writing: the messages are encoded around the weights, which go straight from where they lie to the file.
//!
//! A file appears whole or not at all: it is written under a temporary name in the target's folder, synced
//! and renamed. Weights go to a data file beside the model, named after their hash, when they were external before or when
//! the model would pass the 2 GB that protobuf allows.

use std::io::{self, Write};
use std::path::Path;

use super::model::Model;
use super::proto::{
    GraphProto, ModelProto, StringStringEntryProto, TensorProto, tensor_proto::DataLocation,
};
use crate::error::{Error, Result};
use crate::files::{Temporary, data_name, persist_pair, write_temporary};
use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use rayon::prelude::*;

/// Protobuf readers refuse messages of 2 GiB; external data starts a little below.
const LARGEST_FILE: usize = (1 << 31) - (1 << 20);
/// Tensors below this size stay in the model file when the others are external.
const SMALLEST_EXTERNAL: usize = 1024;
/// External tensors start at multiples of the page size, so that readers can map them.
const EXTERNAL_ALIGNMENT: u64 = 4096;

/// Bytes of several tensors that are made at a time; a larger tensor is made alone.
const LARGEST_WINDOW: usize = 32 << 20;

/// Key of the data file's name in a tensor's references.
const LOCATION: &str = "location";

const MODEL_GRAPH: u32 = 7;
const GRAPH_INITIALIZER: u32 = 5;
const TENSOR_RAW_DATA: u32 = 9;

impl Model {
    /// Writes the model to `path`, with a data file `STEM-HASH.data` beside it where external data is needed.
    ///
    /// A reader finds the old model with its data or the new one, at any moment. Data of ours that only the replaced
    /// model named is removed.
    ///
    /// # Errors
    /// The folder cannot be written or is full; in that case no file is left or changed.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_counted(path.as_ref()).map(drop)
    }

    /// As [`Model::save`]; returns the bytes of the files.
    pub(crate) fn save_counted(&self, path: &Path) -> Result<u64> {
        self.check_target(path)?;
        let length = |file: &Temporary| file.length(path);
        if !self.needs_external_data() {
            let file = write_temporary(path, |file| self.encode(file))?;
            let bytes = length(&file)?;
            persist_pair(file, path, None)?;
            return Ok(bytes);
        }
        let mut proto = self.proto.clone();
        let mut hasher = blake3::Hasher::new();
        let data = write_temporary(path, |file| {
            let mut hashed = Hashed {
                hasher: &mut hasher,
                out: file,
            };
            self.move_out(&mut proto, &mut hashed)
        })?;
        let name = data_name(path, &hasher.finalize()).ok_or_else(|| unnameable(path))?;
        set_location(&mut proto, &name);
        let bare = self.with(proto, Default::default());
        let file = write_temporary(path, |file| bare.encode(file))?;
        let data = (hasher.count() > 0).then_some((data, name));
        let beside = data.as_ref().map(|(data, _)| length(data)).transpose()?;
        let bytes = length(&file)? + beside.unwrap_or(0);
        persist_pair(file, path, data)?;
        Ok(bytes)
    }

    /// That [`Model::save`] can write to `path` as far as names go.
    ///
    /// # Errors
    /// The data file would have a name that no model can hold.
    pub(crate) fn check_target(&self, path: &Path) -> Result<()> {
        let name = path.file_name().and_then(|name| name.to_str());
        match name.is_none() && self.needs_external_data() {
            true => Err(unnameable(path)),
            false => Ok(()),
        }
    }

    /// The whole model as one message.
    ///
    /// # Errors
    /// The model is larger than protobuf allows.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self.encode(&mut bytes) {
            Ok(()) if bytes.len() <= LARGEST_FILE => Ok(bytes),
            _ => Err(Error::Usage(
                "the model is larger than 2 GB and has to be saved to a file with external data"
                    .to_owned(),
            )),
        }
    }

    /// True if [`Model::save`] writes a data file beside the model.
    pub(crate) fn needs_external_data(&self) -> bool {
        let lazy: usize = self.lazy.values().map(|lazy| lazy.length).sum();
        self.external || self.proto.encoded_len() + lazy > LARGEST_FILE
    }

    fn bytes_of(&self, tensor: &TensorProto) -> Option<Bytes> {
        match self.lazy.get(tensor.name()) {
            Some(lazy) => Some((lazy.make)()),
            None => tensor.raw_data.clone(),
        }
    }

    /// The end of the window of tensors that starts at `start`: at least one tensor.
    fn window_end(&self, tensors: &[TensorProto], start: usize) -> usize {
        let mut bytes = 0;
        let fits = |tensor: &&TensorProto| {
            bytes += self.length_of(tensor);
            bytes <= LARGEST_WINDOW
        };
        let window = tensors[start..]
            .iter()
            .take(rayon::current_num_threads() * 2);
        start + window.take_while(fits).count().max(1)
    }

    fn length_of(&self, tensor: &TensorProto) -> usize {
        match self.lazy.get(tensor.name()) {
            Some(lazy) => lazy.length,
            None => tensor.raw_data.as_ref().map_or(0, Bytes::len),
        }
    }

    /// Writes the weights to `out` and leaves references to them in `proto`, to a file without a name yet.
    fn move_out(&self, proto: &mut ModelProto, out: &mut dyn Write) -> io::Result<()> {
        let mut position = 0_u64;
        let graph = proto.graph.get_or_insert_default();
        for tensor in &mut graph.initializer {
            if self.length_of(tensor) < SMALLEST_EXTERNAL {
                tensor.raw_data = self.bytes_of(tensor);
                continue;
            }
            let padding = position.next_multiple_of(EXTERNAL_ALIGNMENT) - position;
            io::copy(&mut io::Read::take(io::repeat(0), padding), out)?;
            let bytes = self.bytes_of(tensor).unwrap_or_default();
            out.write_all(&bytes)?;
            let offset = position + padding;
            position = offset + bytes.len() as u64;
            let entry = |key: &str, value: String| StringStringEntryProto {
                key: Some(key.to_owned()),
                value: Some(value),
            };
            tensor.raw_data = None;
            tensor.data_location = Some(DataLocation::External as i32);
            tensor.external_data = vec![
                entry(LOCATION, String::new()),
                entry("offset", offset.to_string()),
                entry("length", bytes.len().to_string()),
            ];
        }
        Ok(())
    }

    /// Encodes the model in the order of the field numbers, as other writers do.
    pub(crate) fn encode(&self, out: &mut dyn Write) -> io::Result<()> {
        let graph = self.proto.graph.clone().unwrap_or_default();
        let (model_head, model_tail) = around_the_graph(&self.proto);
        let graph_head = GraphProto {
            node: graph.node,
            name: graph.name,
            ..GraphProto::default()
        };
        let graph_tail = GraphProto {
            node: Vec::new(),
            name: None,
            initializer: Vec::new(),
            doc_string: graph.doc_string,
            ..GraphProto {
                sparse_initializer: graph.sparse_initializer,
                input: graph.input,
                output: graph.output,
                value_info: graph.value_info,
                quantization_annotation: graph.quantization_annotation,
                metadata_props: graph.metadata_props,
                ..GraphProto::default()
            }
        };
        let pieces: Vec<Pieces> = graph
            .initializer
            .iter()
            .map(|tensor| Pieces::of(tensor, self.length_of(tensor)))
            .collect();
        let tensors: usize = pieces
            .iter()
            .map(|piece| framed(GRAPH_INITIALIZER, piece.length()))
            .sum();
        let graph_length = graph_head.encoded_len() + tensors + graph_tail.encoded_len();

        out.write_all(&model_head.encode_to_vec())?;
        write_frame(out, MODEL_GRAPH, graph_length)?;
        out.write_all(&graph_head.encode_to_vec())?;
        // A window of tensors is made in parallel, then written in order: memory stays bounded.
        let mut start = 0;
        while start < graph.initializer.len() {
            let end = self.window_end(&graph.initializer, start);
            let (tensors, pieces) = (&graph.initializer[start..end], &pieces[start..end]);
            start = end;
            let data: Vec<_> = tensors.par_iter().map(|t| self.bytes_of(t)).collect();
            for (piece, bytes) in pieces.iter().zip(data) {
                write_frame(out, GRAPH_INITIALIZER, piece.length())?;
                piece.write(bytes, out)?;
            }
        }
        out.write_all(&graph_tail.encode_to_vec())?;
        out.write_all(&model_tail.encode_to_vec())
    }
}

fn unnameable(path: &Path) -> Error {
    Error::Usage(format!(
        "the name of {} is not UTF-8, and the model has to name the data file beside it; name another output",
        path.display()
    ))
}

/// Names the data file in every reference to it.
fn set_location(proto: &mut ModelProto, name: &str) {
    let graph = proto.graph.get_or_insert_default();
    let entries = graph
        .initializer
        .iter_mut()
        .flat_map(|tensor| &mut tensor.external_data);
    for entry in entries.filter(|entry| entry.key() == LOCATION) {
        entry.value = Some(name.to_owned());
    }
}

/// Hashes what is written.
struct Hashed<'a> {
    hasher: &'a mut blake3::Hasher,
    out: &'a mut dyn Write,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update_rayon(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// An initializer's message around its `raw_data`.
struct Pieces {
    head: Vec<u8>,
    raw: Option<usize>,
    tail: Vec<u8>,
}

impl Pieces {
    fn of(tensor: &TensorProto, raw_length: usize) -> Pieces {
        if raw_length == 0 {
            return Pieces {
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
        Pieces {
            head: head.encode_to_vec(),
            raw: Some(raw_length),
            tail: tail.encode_to_vec(),
        }
    }

    fn length(&self) -> usize {
        let raw = self.raw.map_or(0, |length| framed(TENSOR_RAW_DATA, length));
        self.head.len() + raw + self.tail.len()
    }

    fn write(&self, raw: Option<Bytes>, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.head)?;
        if self.raw.is_some() {
            let raw = raw.unwrap_or_default();
            write_frame(out, TENSOR_RAW_DATA, raw.len())?;
            out.write_all(&raw)?;
        }
        out.write_all(&self.tail)
    }
}

fn framed(tag: u32, length: usize) -> usize {
    key_len(tag) + encoded_len_varint(length as u64) + length
}

fn write_frame(out: &mut dyn Write, tag: u32, length: usize) -> io::Result<()> {
    let mut frame = Vec::with_capacity(16);
    encode_key(tag, WireType::LengthDelimited, &mut frame);
    encode_varint(length as u64, &mut frame);
    out.write_all(&frame)
}

/// What of a message is written before its graph, and what after it: fields go by their numbers.
fn around_the_graph(proto: &ModelProto) -> (ModelProto, ModelProto) {
    let head = ModelProto {
        graph: None,
        opset_import: Vec::new(),
        metadata_props: Vec::new(),
        training_info: Vec::new(),
        functions: Vec::new(),
        configuration: Vec::new(),
        ..proto.clone()
    };
    let tail = ModelProto {
        opset_import: proto.opset_import.clone(),
        metadata_props: proto.metadata_props.clone(),
        training_info: proto.training_info.clone(),
        functions: proto.functions.clone(),
        configuration: proto.configuration.clone(),
        ..ModelProto::default()
    };
    (head, tail)
}
