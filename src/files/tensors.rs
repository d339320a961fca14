//! Safetensors files that appear whole.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::Metadata;

use super::replace;
use crate::error::Result;

/// Replaces the file at `path` by one with these tensors, whose bytes are `data`, and facts about them.
///
/// # Errors
/// The file cannot be written; an old one is untouched then.
pub(crate) fn replace_tensors(
    path: &Path,
    tensors: &Metadata,
    facts: &HashMap<String, String>,
    data: &[&[u8]],
) -> Result<()> {
    replace(path, |out| {
        let mut header = serde_json::to_value(tensors)?;
        header["__metadata__"] = serde_json::to_value(facts)?;
        let mut header = header.to_string();
        // Data starts at a multiple of 8 bytes.
        let padded = header.len().next_multiple_of(8);
        header.extend(std::iter::repeat_n(' ', padded - header.len()));
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        data.iter().try_for_each(|part| out.write_all(part))
    })
}
