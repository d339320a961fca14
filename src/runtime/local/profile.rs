//! What onnxruntime's profiler says of a run: which kernel ran where, and how long.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::runtime::fault;
use crate::runtime::kernel::Kernel;

#[derive(Deserialize)]
struct Event {
    cat: Option<String>,
    name: Option<String>,
    dur: Option<u64>,
    #[serde(default)]
    args: serde_json::Map<String, serde_json::Value>,
}

/// Suffix of the events that time a kernel.
const KERNEL: &str = "_kernel_time";

/// The kernels of a profile file, in the order in which they ran.
pub(super) fn read(path: &Path) -> Result<Vec<Kernel>> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let events: Vec<Event> = serde_json::from_str(&text)
        .map_err(|reason| fault("its profile cannot be read", reason))?;
    Ok(events.into_iter().filter_map(kernel).collect())
}

fn kernel(event: Event) -> Option<Kernel> {
    let node = event.name?.strip_suffix(KERNEL)?.to_owned();
    if event.cat.as_deref() != Some("Node") {
        return None;
    }
    let text = |key: &str| event.args.get(key).and_then(|value| value.as_str());
    let operator = text("op_name")?.to_owned();
    let outputs = event
        .args
        .get("output_type_shape")
        .and_then(|list| list.as_array());
    let is_real = |name: &str| name.starts_with("float") || name == "double" || name == "bfloat16";
    let real = outputs.is_some_and(|outputs| {
        let types = outputs.iter().filter_map(|output| output.as_object());
        types
            .flat_map(|output| output.keys())
            .any(|name| is_real(name))
    });
    Some(Kernel {
        provider: text("provider")?.to_owned(),
        microseconds: event.dur.unwrap_or(0),
        computes: real && !operator.starts_with("Memcpy"),
        node,
        operator,
    })
}
