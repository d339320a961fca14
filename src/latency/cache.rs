//! Times that are kept for later runs: one file for each machine, onnxruntime, provider and structure of a model.

use std::path::PathBuf;

use prost::Message;
use serde::{Deserialize, Serialize};

use super::measure::{Clock, THREADS};
use super::observations::Observations;
use super::touched::Touched;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::files;
use crate::runtime::{Provider, cache_folder};

/// Version of the file, and of how models are timed.
const VERSION: u32 = 1;
/// Bytes of a file at most.
const LARGEST: usize = 64 << 20;

/// What times are of. Others are of no use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    secateur_latency: u32,
    /// What the processors are called.
    machine: Vec<String>,
    cores: usize,
    onnxruntime: String,
    provider: String,
    threads: usize,
    /// Hash of all that times depend on in the model: nodes, sizes, dimensions.
    model: String,
}

/// A file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    of: Key,
    times: Observations,
}

/// The place of a model's times.
pub(super) struct Entry {
    path: PathBuf,
    key: Key,
}

impl Entry {
    /// None where the machine cannot be told from others, or there is no folder.
    ///
    /// # Errors
    /// The library cannot be loaded.
    pub(super) fn of(analysis: &Analysis, clock: Clock) -> Result<Option<Entry>> {
        let (Some(machine), Ok(folder)) = (machine(clock)?, cache_folder()) else {
            return Ok(None);
        };
        let cores = std::thread::available_parallelism();
        let key = Key {
            secateur_latency: VERSION,
            machine,
            cores: cores.map_or(1, |cores| cores.get()),
            onnxruntime: clock.runtime.version().to_owned(),
            provider: clock.provider.to_string(),
            threads: THREADS,
            model: structure(analysis),
        };
        let name = blake3::hash(&serde_json::to_vec(&key).unwrap_or_default());
        let path = folder
            .join("latency")
            .join(format!("{}.json", name.to_hex()));
        Ok(Some(Entry { path, key }))
    }

    /// The times, if they are there, whole, and of this machine and model.
    pub(super) fn load(&self, analysis: &Analysis) -> Option<Observations> {
        let text = files::map_file(&self.path).ok()?;
        let record: Record = serde_json::from_slice(text.get(..text.len().min(LARGEST))?).ok()?;
        let sizes = analysis.channels(&analysis.everything());
        let nodes = analysis.graph().node_count();
        let fits = record.of == self.key && record.times.fits(&sizes, nodes);
        fits.then_some(record.times)
    }

    /// # Errors
    /// The folder cannot be written.
    pub(super) fn save(&self, times: &Observations) -> Result<()> {
        let record = Record {
            of: self.key.clone(),
            times: times.clone(),
        };
        let text = serde_json::to_vec(&record).unwrap_or_default();
        if let Some(folder) = self.path.parent() {
            // That it is not there is the error of what comes next.
            let _ = std::fs::create_dir_all(folder);
        }
        files::replace(&self.path, |file| file.write_all(&text))
    }
}

/// What the processors are called that the model runs on, where the system says so.
fn machine(clock: Clock) -> Result<Option<Vec<String>>> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let named = |text: &str, label: &str| {
        let mut lines = text.lines();
        lines.find_map(|line| {
            Some(
                line.strip_prefix(label)?
                    .trim_matches(&[' ', '\t', ':'][..])
                    .to_owned(),
            )
        })
    };
    let processor = read("/proc/cpuinfo");
    let (Some(name), Some(flags)) = (
        named(&processor, "model name").or_else(|| named(&processor, "CPU part")),
        named(&processor, "flags").or_else(|| named(&processor, "Features")),
    ) else {
        return Ok(None);
    };
    let flags = blake3::hash(flags.as_bytes()).to_hex();
    let mut names = vec![std::env::consts::ARCH.to_owned(), name, flags.to_string()];
    let devices: Vec<String> = match clock.provider {
        Provider::Cpu => return Ok(Some(names)),
        Provider::Cuda { .. } | Provider::TensorRt { .. } => {
            let folders = std::fs::read_dir("/proc/driver/nvidia/gpus")
                .into_iter()
                .flatten();
            let files = folders
                .flatten()
                .map(|folder| folder.path().join("information"));
            let texts = files.filter_map(|file| std::fs::read_to_string(file).ok());
            texts.filter_map(|text| named(&text, "Model")).collect()
        }
        // What a plugin calls its devices says too little of which they are.
        _ => Vec::new(),
    };
    names.extend(devices.iter().cloned());
    Ok((!devices.is_empty()).then_some(names))
}

/// A hash of all that times depend on in a model.
fn structure(analysis: &Analysis) -> String {
    let mut hasher = blake3::Hasher::new();
    let whole = analysis.channels(&analysis.everything());
    for (node, touched) in Touched::by_node(analysis) {
        let node = analysis.graph().node_proto(node).encode_to_vec();
        hasher
            .update(&(node.len() as u64).to_le_bytes())
            .update(&node);
        for feature in touched.features(&whole) {
            hasher.update(&feature.to_le_bytes());
        }
    }
    for of in analysis.dimensions() {
        hasher.update(of.name.as_bytes());
        let sizes = [of.name.len(), of.size, of.blocks];
        sizes.iter().for_each(|n| {
            hasher.update(&(*n as u64).to_le_bytes());
        });
    }
    hasher.finalize().to_hex().to_string()
}
