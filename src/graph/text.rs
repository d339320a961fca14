//! The graph as text: one line per node, in topological order. Tests, traces and errors speak it.
//!
//! ```text
//! input x: float32[batch, 3, 32, 32]
//! weight conv.weight: float32[16, 3, 3, 3]
//! Conv 'conv' (x, conv.weight, conv.bias) {pads=[1, 1, 1, 1]} -> y
//! output y
//! ```

use std::fmt;

use super::{DeclaredSize, Graph, Producer, Value};
use crate::onnx::proto::AttributeProto;

/// Lists longer than this are cut.
const LISTED: usize = 8;

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for id in self.value_ids() {
            if let Producer::Input(_) = self.value(id).producer {
                writeln!(f, "input {}", declared(self.value(id)))?;
            }
        }
        for id in self.value_ids() {
            let value = self.value(id);
            match value.producer {
                _ if value.body.is_some() => {}
                Producer::Initializer(index) => {
                    let tensor = &self.proto().initializer[index];
                    let element = value.element.map_or("?".to_owned(), |e| e.to_string());
                    writeln!(
                        f,
                        "weight {}: {element}{:?}",
                        value.name,
                        tensor.dims.as_slice()
                    )?;
                }
                Producer::SparseInitializer(_) => writeln!(f, "sparse weight {}", value.name)?,
                Producer::Input(_)
                | Producer::Node(..)
                | Producer::BodyInput(_)
                | Producer::Missing => {}
            }
        }
        for &id in self.order() {
            let node = self.node_proto(id);
            write!(f, "{} ({})", self.describe(id), node.input.join(", "))?;
            if !node.attribute.is_empty() {
                let attributes: Vec<String> = node.attribute.iter().map(attribute).collect();
                write!(f, " {{{}}}", attributes.join(", "))?;
            }
            writeln!(f, " -> {}", node.output.join(", "))?;
        }
        for output in &self.proto().output {
            writeln!(f, "output {}", output.name())?;
        }
        Ok(())
    }
}

fn declared(value: &Value) -> String {
    let element = value.element.map_or("?".to_owned(), |e| e.to_string());
    let sizes = value.declared.iter().flatten().map(|size| match size {
        DeclaredSize::Known(size) => size.to_string(),
        DeclaredSize::Named(name) => name.clone(),
        DeclaredSize::Unknown => "?".to_owned(),
    });
    let sizes: Vec<String> = sizes.collect();
    format!("{}: {element}[{}]", value.name, sizes.join(", "))
}

fn attribute(attribute: &AttributeProto) -> String {
    let name = attribute.name();
    if let Some(value) = attribute.i {
        format!("{name}={value}")
    } else if let Some(value) = attribute.f {
        format!("{name}={value}")
    } else if let Some(value) = &attribute.s {
        format!("{name}={:?}", String::from_utf8_lossy(value))
    } else if let Some(tensor) = &attribute.t {
        format!("{name}=tensor{:?}", tensor.dims.as_slice())
    } else if !attribute.ints.is_empty() {
        let cut = attribute.ints.len() > LISTED;
        let shown = &attribute.ints[..attribute.ints.len().min(LISTED)];
        format!("{name}={shown:?}{}", if cut { ".." } else { "" })
    } else if attribute.g.is_some() {
        format!("{name}=graph")
    } else {
        name.to_owned()
    }
}
