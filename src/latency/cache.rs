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
    /// The form that is timed; none for models as they are.
    form: Option<String>,
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
            form: clock.form.map(|form| form.name.clone()),
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
pub(super) fn machine(clock: Clock) -> Result<Option<Vec<String>>> {
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
    let graph = analysis.graph();
    hasher.update(format!("{:?}", graph.model().opset()).as_bytes());
    for value in graph.value_ids() {
        let element = graph.element(value).map(|element| element.to_string());
        hasher
            .update(element.unwrap_or_default().as_bytes())
            .update(b";");
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dimensions::InputSizes;
    use crate::graph::Graph;
    use crate::latency::observations::KernelTimes;
    use crate::onnx::Model;

    fn lenet() -> Analysis {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures/trained/lenet_mnist.onnx");
        let graph = Graph::new(&Model::load(&path).expect("a model")).expect("a graph");
        let sizes = InputSizes::for_graph(&graph, &[]).expect("sizes");
        Analysis::new(graph, sizes)
    }

    fn entry(folder: &std::path::Path, machine: &str, version: &str) -> Entry {
        let key = Key {
            secateur_latency: VERSION,
            machine: vec![machine.to_owned()],
            cores: 2,
            onnxruntime: version.to_owned(),
            provider: "cpu".to_owned(),
            threads: THREADS,
            form: None,
            model: "a model".to_owned(),
        };
        let path = folder.join("latency").join("times.json");
        Entry { path, key }
    }

    fn times(analysis: &Analysis) -> Observations {
        let whole = analysis.channels(&analysis.everything());
        let half: Vec<usize> = whole.iter().map(|n| n / 2).collect();
        Observations {
            original: 1.0,
            channels: vec![whole, half],
            seconds: vec![2e-3, 1e-3],
            kernels: vec![KernelTimes {
                node: Some(0),
                microseconds: vec![4.0, 2.0],
            }],
        }
    }

    #[test]
    fn times_of_another_machine_or_library_are_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let analysis = lenet();
        let own = entry(folder.path(), "this one", "1.32.0");
        assert_eq!(own.load(&analysis), None);
        own.save(&times(&analysis)).expect("a file");
        assert_eq!(own.load(&analysis), Some(times(&analysis)));
        let others = [
            entry(folder.path(), "another", "1.32.0"),
            entry(folder.path(), "this one", "1.31.0"),
        ];
        assert!(others.iter().all(|other| other.load(&analysis).is_none()));
    }

    #[test]
    fn damaged_times_are_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let analysis = lenet();
        let own = entry(folder.path(), "this one", "1.32.0");
        own.save(&times(&analysis)).expect("a file");
        let text = std::fs::read_to_string(&own.path).expect("text");
        for damaged in [
            text[..text.len() / 2].to_owned(),
            String::new(),
            text.replace("0.002", "-0.002"),
            text.replace("[32,64,100]", "[32,64]"),
            text.replace("[16,32,50]", "[16,0,50]"),
            text.replace("\"node\":0", "\"node\":99"),
            text.replace("[4.0,2.0]", "[4.0]"),
        ] {
            assert_ne!(damaged, text);
            std::fs::write(&own.path, damaged).expect("a file");
            assert_eq!(own.load(&analysis), None);
        }
    }

    #[test]
    fn what_changes_times_changes_the_name() {
        let analysis = lenet();
        let sizes = |batch| {
            let graph = analysis.graph().clone();
            let input = [("batch".to_owned(), batch)];
            let sizes = InputSizes::for_graph(&graph, &input).expect("sizes");
            structure(&Analysis::new(graph, sizes))
        };
        assert_eq!(sizes(1), structure(&analysis));
        assert_ne!(sizes(2), sizes(1));
    }

    #[cfg(unix)]
    #[test]
    fn where_nothing_can_be_written_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let analysis = lenet();
        let own = entry(folder.path(), "this one", "1.32.0");
        std::fs::write(folder.path().join("latency"), "a file").expect("a file");
        assert!(own.save(&times(&analysis)).is_err());
        assert_eq!(own.load(&analysis), None);
    }
}
