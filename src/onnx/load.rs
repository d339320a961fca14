//! Reading: map the file, decode in place, bring external data in, check every tensor.

use std::path::Path;

use bytes::Bytes;
use prost::Message;

use super::external::ExternalFiles;
use super::model::{Model, NEWEST_IR, SourceFile};
use super::proto::{ModelProto, tensor_proto::DataLocation};
use super::{sparse, tensor, unknown, visit, weigh};
use crate::error::{Error, Result};

impl Model {
    /// Reads the model at `path` with its external data.
    ///
    /// # Errors
    /// Unreadable files, bytes that are no ONNX model, external data that is missing, too short or outside
    /// the model's folder, and tensors whose dims and data disagree.
    pub fn load(path: impl AsRef<Path>) -> Result<Model> {
        let path = path.as_ref();
        let source = SourceFile::open(path)?;
        let files = ExternalFiles::beside(path);
        decode(source, &path.display().to_string(), Some(files))
    }

    /// Decodes a model that has no external data.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Model> {
        decode(SourceFile::buffer(bytes.into()), "the given buffer", None)
    }
}

/// Why bytes are no model. The decoder lists all messages around the place, of which only the innermost tell anything.
fn undecodable(fault: &prost::DecodeError) -> String {
    let text = fault.to_string();
    if text.ends_with("recursion limit reached") {
        return "its graphs stand inside one another more than 30 deep".to_owned();
    }
    format!("it does not decode as a ModelProto ({text})")
}

fn decode(source: SourceFile, what: &str, files: Option<ExternalFiles>) -> Result<Model> {
    let bytes = source.bytes().clone();
    let not_a_model = |reason: String| Error::NotAModel {
        what: what.to_owned(),
        reason,
    };
    if bytes.is_empty() {
        return Err(not_a_model("it is empty".to_owned()));
    }
    if !weigh::is_bearable(&bytes) {
        return Err(not_a_model(
            "it is made of so many empty parts that reading it would take far more memory than the file has bytes"
                .to_owned(),
        ));
    }
    let mut proto =
        ModelProto::decode(bytes.clone()).map_err(|fault| not_a_model(undecodable(&fault)))?;
    if let Some(field) = unknown::unknown_field(&bytes) {
        return Err(Error::TooNew {
            what: format!("{what} (IR version {})", proto.ir_version()),
            reason: format!(
                "a {} of it has a field {}, which is none of IR version {NEWEST_IR}",
                field.message, field.number
            ),
        });
    }
    if proto.graph.is_none() {
        return Err(not_a_model("it holds no graph".to_owned()));
    }
    if proto.opset_import.is_empty() {
        return Err(not_a_model("it imports no operator set".to_owned()));
    }
    let mut files = files;
    let mut external = false;
    visit::tensors_mut(&mut proto, &mut |tensor| {
        if tensor.data_location() == DataLocation::External {
            let Some(files) = &mut files else {
                return Err(Error::tensor(
                    tensor.name(),
                    "has external data, which a model in memory cannot have; load it from its file",
                ));
            };
            files.resolve(tensor)?;
            external = true;
        }
        tensor::check(tensor)
    })?;
    sparse::make_dense(&mut proto, bytes.len())?;
    let mut sources = vec![source];
    sources.extend(files.into_iter().flat_map(ExternalFiles::into_files));
    Ok(Model::new(proto, sources, external))
}
