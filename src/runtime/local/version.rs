//! Versions: that of the library, and those of models that are too new for it.

use std::ffi::CStr;
use std::path::Path;

use ort::sys::OrtApiBase;

use crate::error::Error;
use crate::runtime::fault;

/// The version that a loaded library says it has.
pub(super) fn version_of(library: &Path) -> Option<String> {
    type GetApiBase = unsafe extern "C" fn() -> *const OrtApiBase;
    // SAFETY: ort has loaded this file, found the function and asked for the same text; a library that is loaded again
    // is the same one.
    unsafe {
        let library = libloading::Library::new(library).ok()?;
        let base = library.get::<GetApiBase>(b"OrtGetApiBase").ok()?;
        let text = (base().as_ref()?.GetVersionString)();
        Some(CStr::from_ptr(text).to_str().ok()?.to_owned())
    }
}

/// The error for a model that onnxruntime does not take, with its `reason`; `what` names the model.
pub(super) fn refused(what: &str, version: &str, reason: &str) -> Error {
    match too_new(reason) {
        Some((has, reads)) => Error::Runtime {
            reason: format!(
                "{what} cannot be run: it has {has}, and onnxruntime {version} reads versions up to {reads}"
            ),
            remedy:
                "convert the model to an older version, or name a newer onnxruntime with `library`"
                    .to_owned(),
        },
        None => fault(
            &format!("{what} cannot be run by onnxruntime {version}"),
            reason,
        ),
    }
}

/// What version of what the model has, and the last that onnxruntime reads, where that is the `reason`.
fn too_new(reason: &str) -> Option<(String, &str)> {
    if let Some(has) = word_after(reason, "Unsupported model IR version: ") {
        let reads = word_after(reason, "max supported IR version: ")?;
        return Some((format!("IR version {has}"), reads));
    }
    let has = word_after(reason, "opset versions. Opset ")?;
    let domain = word_after(reason, "Current official support for domain ")?;
    let reads = word_after(reason, " is till opset ")?;
    Some((format!("version {has} of operator set {domain}"), reads))
}

/// The letters, digits and dots within a word behind `mark`.
fn word_after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(mark)?;
    let end = rest.find(|c: char| c.is_whitespace() || c == ',');
    let word = rest[..end.unwrap_or(rest.len())].trim_end_matches('.');
    (!word.is_empty()).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_that_are_too_new_are_told_from_others() {
        let ir = "model.cc:256 Model(int) Unsupported model IR version: 15, max supported IR version: 14\n";
        assert_eq!(too_new(ir), Some(("IR version 15".to_owned(), "14")));
        let set = "released onnx opset versions. Opset 29 is under development. Current official support for domain \
                   ai.onnx.ml is till opset 5.";
        let has = "version 29 of operator set ai.onnx.ml".to_owned();
        assert_eq!(too_new(set), Some((has, "5")));
        for other in [
            "",
            "Opset 29",
            "max supported IR version: 14",
            "versions. Opset ",
        ] {
            assert_eq!(too_new(other), None);
        }
    }
}
