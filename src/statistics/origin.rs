//! What statistics were measured on: they are of use for the same model, data and onnxruntime alone.

use std::collections::HashMap;

use crate::data::DataSet;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::runtime::Runtime;

const DATA: &str = "secateur.data";

/// By what a fact is called in a file: what it is called in messages.
const FACTS: [(&str, &str); 4] = [
    ("secateur.model_hash", "a model with hash"),
    ("secateur.samples", "a number of samples of"),
    ("secateur.data_hash", "data with hash"),
    ("secateur.runtime", "onnxruntime"),
];

/// A model, data and an onnxruntime.
pub(crate) struct MeasuredOn {
    /// As in [`FACTS`].
    facts: [String; 4],
    /// The data, for people.
    data: String,
}

impl MeasuredOn {
    /// # Errors
    /// Data that cannot be read.
    pub(crate) fn new(
        analysis: &Analysis,
        data: &DataSet,
        runtime: &Runtime,
    ) -> Result<MeasuredOn> {
        Ok(MeasuredOn {
            facts: [
                analysis.graph().model().hash().to_owned(),
                data.samples().to_string(),
                data.hash()?,
                runtime.version().to_owned(),
            ],
            data: data.describe(),
        })
    }

    /// Writes it into the metadata of a file.
    pub(super) fn write(&self, metadata: &mut HashMap<String, String>) {
        let names = FACTS.iter().map(|(name, _)| (*name).to_owned());
        metadata.extend(names.zip(self.facts.iter().cloned()));
        metadata.insert(DATA.to_owned(), self.data.clone());
    }

    /// What the metadata of a file says of something else than this.
    pub(super) fn difference(&self, metadata: &HashMap<String, String>) -> Option<String> {
        let mut pairs = FACTS.iter().zip(&self.facts);
        pairs.find_map(|((name, what), now)| {
            let then = metadata.get(*name).map_or("nothing", String::as_str);
            (then != now).then(|| format!("was measured with {what} '{then}', now it is '{now}'"))
        })
    }
}

/// The data that the metadata of a file names.
pub(super) fn described(metadata: &HashMap<String, String>) -> String {
    metadata.get(DATA).cloned().unwrap_or_default()
}
