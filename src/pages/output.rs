//! Documents as files: which form follows from a name, and that it can be written.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::html::html;
use super::markdown::markdown;
use super::page::Page;
use crate::error::{Error, Result};
use crate::files;

/// What a document is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PageFormat {
    Html,
    Markdown,
    /// Numbers alone, without levels.
    Metrics,
    /// The JSON document of the command, and how to reproduce it.
    Document,
}

impl PageFormat {
    fn of(path: &Path) -> Result<PageFormat> {
        let lower = |part: Option<&std::ffi::OsStr>| {
            part.map(|part| part.to_string_lossy().to_ascii_lowercase())
        };
        let name = lower(path.file_name()).unwrap_or_default();
        match lower(path.extension()).as_deref() {
            Some("html" | "htm") => Ok(PageFormat::Html),
            Some("md") => Ok(PageFormat::Markdown),
            Some("json") if name == "metrics.json" || name.ends_with(".metrics.json") => {
                Ok(PageFormat::Metrics)
            }
            Some("json") => Ok(PageFormat::Document),
            _ => Err(Error::Usage(format!(
                "a report is written in the form that its name ends in, and {} ends in none of them: .html or .htm (to look at), .md (short, for summaries), metrics.json (numbers alone, for trackers) or .json (the whole document)",
                path.display()
            ))),
        }
    }
}

impl Page {
    /// The document as one HTML file that needs nothing from elsewhere.
    pub fn to_html(&self) -> String {
        html(self)
    }

    /// The document as Markdown of at most 60 lines.
    pub fn to_markdown(&self) -> String {
        markdown(self)
    }
}

/// That a report can be written to each of these files, before the work is done that it is of: each has a form, a folder that
/// is there, and a name of its own, also among the `others` that the command reads or writes.
///
/// # Errors
/// [`Error::Usage`] for a name, [`Error::Write`] for a folder.
pub fn check(paths: &[PathBuf], others: &[PathBuf]) -> Result<()> {
    for (place, path) in paths.iter().enumerate() {
        PageFormat::of(path)?;
        let same = |other: &&PathBuf| {
            files::place_of(other) == files::place_of(path) || files::same_file(other, path)
        };
        if let Some(other) = paths[..place].iter().chain(others).find(same) {
            return Err(Error::Usage(format!(
                "the report {} would be the same file as {}; give it a name of its own",
                path.display(),
                other.display()
            )));
        }
        files::check_writable(path)?;
    }
    Ok(())
}

/// Writes a document in the form that the name of the file says, whole or not at all; `document` makes the JSON of the command
/// and of how to reproduce it.
///
/// # Errors
/// [`Error::Usage`] for a name without a form, [`Error::Write`] where it cannot be written, and what `document` fails with.
pub fn write(page: &Page, document: impl FnOnce() -> Result<String>, path: &Path) -> Result<()> {
    let text = match PageFormat::of(path)? {
        PageFormat::Html => page.to_html(),
        PageFormat::Markdown => page.to_markdown(),
        PageFormat::Metrics => format!("{:#}\n", metrics(page)),
        PageFormat::Document => document()? + "\n",
    };
    files::replace(path, |file| file.write_all(text.as_bytes()))
}

/// Whole numbers up to this one are written without a fraction.
const LARGEST_WHOLE: f64 = 9e15;

/// The flat numbers of a document; of two with one name the last counts.
fn metrics(page: &Page) -> Value {
    let numbers = page.metrics.iter();
    let numbers = numbers.map(|(name, number)| (name.clone(), metric_value(*number)));
    Value::Object(numbers.collect())
}

/// A flat number, which is finite, as JSON: whole ones up to [`LARGEST_WHOLE`] without a fraction.
pub(crate) fn metric_value(number: f64) -> Value {
    match number.fract() == 0.0 && number.abs() < LARGEST_WHOLE {
        true => Value::from(number as i64),
        false => Value::from(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::samples::of_layers;

    #[test]
    fn the_name_says_the_form() {
        let form = |name: &str| PageFormat::of(Path::new(name)).ok();
        for (name, expected) in [
            ("a.html", PageFormat::Html),
            ("b/a.HTM", PageFormat::Html),
            ("a.md", PageFormat::Markdown),
            ("x/metrics.json", PageFormat::Metrics),
            ("run.metrics.json", PageFormat::Metrics),
            ("mymetrics.json", PageFormat::Document),
            ("a.json", PageFormat::Document),
        ] {
            assert_eq!(form(name), Some(expected), "{name}");
        }
        for name in ["a", "a.txt", "html", ".html.gz", ""] {
            let fault = PageFormat::of(Path::new(name)).expect_err("it is refused");
            assert!(fault.to_string().contains(".htm"), "{fault}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_known_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        assert!(check(&[at("a.html"), at("a.md")], &[at("model.onnx")]).is_ok());
        for (paths, others, class) in [
            (vec![at("no/a.html")], vec![], crate::Class::Runtime),
            (
                vec![at("a.html"), at("./a.html")],
                vec![],
                crate::Class::Usage,
            ),
            (vec![at("a.json")], vec![at("a.json")], crate::Class::Usage),
            (vec![at("a.png")], vec![], crate::Class::Usage),
        ] {
            let fault = check(&paths, &others).expect_err("it is refused");
            assert_eq!(fault.class(), class, "{fault}");
        }
        assert_eq!(
            std::fs::read_dir(folder.path())
                .expect("it is there")
                .count(),
            0
        );
    }

    #[test]
    fn metrics_are_numbers_without_levels() {
        let mut page = of_layers(3);
        page.metric("whole", 3.0);
        page.metric("none", f64::NAN);
        let Value::Object(numbers) = metrics(&page) else {
            panic!("a table");
        };
        assert!(numbers.values().all(Value::is_number));
        assert_eq!(numbers["whole"], 3);
        assert_eq!(numbers["a.left"], 0.4);
        assert!(!numbers.contains_key("none") && !numbers.contains_key("c.before"));
    }
}
