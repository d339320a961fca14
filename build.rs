//! Compiles `proto/onnx.proto` with protox, so that no `protoc` has to be installed, and lists its fields.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto/onnx.proto");
    let descriptors = protox::compile(["onnx.proto"], ["proto"])?;

    // Messages by their full names, nested ones too.
    let mut messages = BTreeMap::new();
    let mut open = Vec::new();
    for file in &descriptors.file {
        let inside = format!(".{}", file.package());
        open.extend(file.message_type.iter().map(|m| (inside.clone(), m)));
    }
    while let Some((outer, message)) = open.pop() {
        let name = format!("{outer}.{}", message.name());
        open.extend(message.nested_type.iter().map(|m| (name.clone(), m)));
        messages.insert(name, message);
    }
    let place = |name: &str| messages.keys().position(|key| key == name);
    let mut table = String::new();
    for (name, message) in &messages {
        let mut fields: Vec<_> = message.field.iter().collect();
        fields.sort_by_key(|field| field.number());
        let fields = fields.iter().map(|f| (f.number(), place(f.type_name())));
        let fields: Vec<_> = fields.collect();
        let short = name.trim_start_matches(".onnx.");
        writeln!(table, "Message {{ name: {short:?}, fields: &{fields:?} }},")?;
    }
    let root = place(".onnx.ModelProto").ok_or("there is no ModelProto")?;
    let source =
        format!("const MODEL: usize = {root};\nstatic MESSAGES: &[Message] = &[\n{table}];\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    std::fs::write(out.join("fields.rs"), source)?;

    // `bytes` fields become slices of the decoded buffer: a memory-mapped model is read without a copy.
    prost_build::Config::new()
        .bytes(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
