//! What is trained, on what and how: a training goes on from its own state alone.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::{Map, Value};

use crate::files;

const SETTINGS: &str = "secateur.settings";
/// The setting that follows from the memory bound.
pub(super) const PARTS: &str = "parts";

/// In how many parts the training whose state is in a file runs a batch; none where that is not said.
pub(super) fn parts_in(path: &Path) -> Option<usize> {
    let bytes = files::map_file(path).ok()?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes).ok()?;
    let settings = metadata.metadata().as_ref()?.get(SETTINGS)?;
    let settings: Value = serde_json::from_str(settings).ok()?;
    usize::try_from(settings.get(PARTS)?.as_u64()?).ok()
}

/// What is trained, on what and how. Only the same training goes on from a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TrainedOn {
    /// Hash of the model whose weights are trained, as it was before.
    pub(crate) model: String,
    /// Hash of the model that teaches.
    pub(crate) teacher: String,
    /// Hash of the data.
    pub(crate) data: String,
    /// All settings that change what comes out.
    pub(crate) settings: Value,
}

impl TrainedOn {
    /// By what a hash is called in a file: what it is called in messages, and the hash.
    fn hashes(&self) -> [(&'static str, &'static str, &str); 3] {
        [
            ("secateur.model_hash", "model", &self.model),
            ("secateur.teacher_hash", "teacher", &self.teacher),
            ("secateur.data_hash", "data set", &self.data),
        ]
    }

    /// Writes it into the metadata of a file.
    pub(super) fn write(&self, facts: &mut HashMap<String, String>) {
        let hashes = self.hashes();
        facts.extend(hashes.map(|(name, _, hash)| (name.to_owned(), hash.to_owned())));
        facts.insert(SETTINGS.to_owned(), self.settings.to_string());
    }

    /// In what a file's training differs from this one.
    pub(super) fn differences(&self, facts: &HashMap<String, String>) -> Vec<String> {
        let mut out = Vec::new();
        for (name, what, now) in self.hashes() {
            let then = facts.get(name).map_or("nothing", String::as_str);
            if then != now {
                out.push(format!(
                    "it is of another {what}: hash '{then}', now '{now}'"
                ));
            }
        }
        let settings = facts.get(SETTINGS).map(|text| serde_json::from_str(text));
        match settings {
            Some(Ok(then)) => compare("", &then, &self.settings, &mut out),
            _ => out.push("it names no settings".to_owned()),
        }
        out
    }
}

/// Lists the settings in which two values differ, by their names.
fn compare(name: &str, then: &Value, now: &Value, out: &mut Vec<String>) {
    match (then, now) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for inner in names {
                let whole = match name {
                    "" => inner.clone(),
                    outer => format!("{outer}.{inner}"),
                };
                let of = |settings: &Map<String, Value>| {
                    settings.get(inner).cloned().unwrap_or(Value::Null)
                };
                compare(&whole, &of(a), &of(b), out);
            }
        }
        _ if then != now => {
            out.push(format!("its setting `{name}` was {then}, now it is {now}"));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(model: &str, settings: Value) -> TrainedOn {
        TrainedOn {
            model: model.to_owned(),
            teacher: "t".to_owned(),
            data: "d".to_owned(),
            settings,
        }
    }

    fn differences(then: &TrainedOn, now: &TrainedOn) -> Vec<String> {
        let mut facts = HashMap::new();
        then.write(&mut facts);
        now.differences(&facts)
    }

    #[test]
    fn every_difference_is_named() {
        let then = of(
            "m",
            json!({"steps": 300, "rate": 1e-3, "augment": {"kind": "auto", "noise": 0.0}}),
        );
        assert_eq!(differences(&then, &then), [""; 0]);
        // Numbers are written so that they are read as they were.
        let rate = of("m", json!({"rate": 0.1 + 0.2}));
        assert_eq!(differences(&rate, &rate), [""; 0]);
        let now = of(
            "n",
            json!({"steps": 300, "seed": 1, "augment": {"kind": "none", "noise": 0.0}}),
        );
        assert_eq!(
            differences(&then, &now),
            [
                "it is of another model: hash 'm', now 'n'",
                "its setting `augment.kind` was \"auto\", now it is \"none\"",
                "its setting `rate` was 0.001, now it is null",
                "its setting `seed` was null, now it is 1",
            ]
        );
    }

    #[test]
    fn a_file_that_names_nothing_differs() {
        let found = of("m", json!({})).differences(&HashMap::new());
        assert_eq!(found.len(), 4);
        assert!(found[0].contains("hash 'nothing'"), "{}", found[0]);
        assert_eq!(found[3], "it names no settings");
    }
}
