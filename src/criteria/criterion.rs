//! What criteria there are: names, and what each needs.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::patterns::like;

/// How channels are scored; the least important go first. Texts and plans say `l2`, `lp:3` or `scores:importance.npz`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Criterion {
    /// Sum of absolute values.
    L1,
    /// Euclidean norm.
    #[default]
    L2,
    /// Largest absolute value.
    Linf,
    /// The norm of this power, which is finite and above 0.
    Lp(f64),
    /// Absolute scale of the batch normalisations behind what makes the channel (Liu et al. 2017), or of any other constant
    /// that multiplies it; other dimensions are left alone.
    BnScale,
    /// Distance of the weights that make the channel to those that make the others: what is close to all others can be
    /// replaced by them (He et al. 2019).
    Fpgm,
    /// Euclidean norm of the weights that make the channel, as they are. No channel whose norm is this or more goes, and
    /// without a budget all others do. Finite and above 0.
    Threshold(f64),
    /// Scores that a file gives: an `.npz` archive of arrays, or a JSON object of lists, by dimension; those that it does
    /// not name are left alone.
    Scores(PathBuf),
    /// Uniform random numbers from a seed.
    Random,
    /// Structured optimal brain surgeon on the covariance of what the readers read (OSSCAR, Meng et al. 2024).
    Obs,
    /// How badly a channel follows from those kept, by ridge regression, as its readers weigh it (GRAIL).
    Reconstruction,
    /// Sum over readers of `|w| * ||x||` (Sun et al. 2023).
    Wanda,
    /// Absolute mean activation.
    ActMean,
    /// Largest activation.
    ActMax,
    /// Absolute least activation.
    ActMin,
    /// Variance of the activation.
    ActVar,
    /// Share of activations that are not zero (APoZ, Hu et al. 2016).
    ActZero,
    /// How much a loss changes when the channel is off.
    Loss,
    /// Absolute mean of the gradient of the channel's mask (Molchanov et al. 2019).
    Taylor,
    /// Mean square of the gradient of the channel's mask, for answers that the model draws itself (Theis et al. 2018).
    Fisher,
    /// [`Criterion::Obs`] times [`Criterion::Fisher`].
    ObsFisher,
}

/// What a criterion needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Needs {
    /// The model, or a file.
    Weights,
    /// Statistics of what layers read on calibration data.
    Statistics,
    /// Runs of the model on calibration data.
    Runs,
    /// Gradients of the model on calibration data.
    Gradients,
}

/// Names of the criteria that are told nothing.
const PLAIN: [(&str, Criterion); 18] = [
    ("l1", Criterion::L1),
    ("l2", Criterion::L2),
    ("linf", Criterion::Linf),
    ("bn-scale", Criterion::BnScale),
    ("fpgm", Criterion::Fpgm),
    ("random", Criterion::Random),
    ("obs", Criterion::Obs),
    ("reconstruction", Criterion::Reconstruction),
    ("wanda", Criterion::Wanda),
    ("act-mean", Criterion::ActMean),
    ("act-max", Criterion::ActMax),
    ("act-min", Criterion::ActMin),
    ("act-var", Criterion::ActVar),
    ("act-zero", Criterion::ActZero),
    ("loss", Criterion::Loss),
    ("taylor", Criterion::Taylor),
    ("fisher", Criterion::Fisher),
    ("obs-fisher", Criterion::ObsFisher),
];

/// Those that are told something: name, what, and an example of it.
const TOLD: [(&str, &str, &str); 3] = [
    ("lp", "P", "3"),
    ("threshold", "T", "0.01"),
    ("scores", "FILE", "importance.npz"),
];

impl Criterion {
    /// What it needs.
    pub fn needs(&self) -> Needs {
        use Criterion::{BnScale, Fpgm, L1, L2, Linf, Lp, Random, Scores, Threshold};
        match self {
            L1 | L2 | Linf | Lp(_) | BnScale | Fpgm | Threshold(_) | Scores(_) | Random => {
                Needs::Weights
            }
            Criterion::Loss => Needs::Runs,
            Criterion::Taylor | Criterion::Fisher | Criterion::ObsFisher => Needs::Gradients,
            _ => Needs::Statistics,
        }
    }

    /// The norm that a channel has at least if it stays whatever else is asked for.
    pub(crate) fn threshold(&self) -> Option<f64> {
        match self {
            Criterion::Threshold(least) => Some(*least),
            _ => None,
        }
    }

    /// Whether scores of several dimensions are compared as they are, not in units of each dimension's mean.
    pub(crate) fn is_absolute(&self) -> bool {
        matches!(self, Criterion::Threshold(_) | Criterion::Scores(_))
    }

    /// Why a dimension has no scores.
    pub(crate) fn silence(&self) -> &'static str {
        match self {
            Criterion::BnScale => {
                "`criterion` bn-scale has no score for it: no batch normalisation and no other constant scales its channels behind what makes them"
            }
            Criterion::Scores(_) => {
                "the file of `criterion` scores does not name it; `secateur inspect` lists names and sizes"
            }
            _ => "no weights make its channels, so they have no scores",
        }
    }

    /// # Errors
    /// A number that is none, or out of its range.
    pub(crate) fn check(&self) -> Result<()> {
        let (name, number) = match self {
            Criterion::Lp(power) => ("lp", *power),
            Criterion::Threshold(norm) => ("threshold", *norm),
            _ => return Ok(()),
        };
        match number.is_finite() && number > 0.0 {
            true => Ok(()),
            false => Err(Error::Usage(format!(
                "`criterion` {name} takes a finite number above 0, not {number}"
            ))),
        }
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Criterion::Lp(power) => write!(f, "lp:{power}"),
            Criterion::Threshold(norm) => write!(f, "threshold:{norm}"),
            Criterion::Scores(path) => write!(f, "scores:{}", path.display()),
            plain => {
                let name = PLAIN.iter().find(|(_, known)| known == plain);
                f.write_str(name.map_or("", |(name, _)| name))
            }
        }
    }
}

impl From<Criterion> for String {
    fn from(criterion: Criterion) -> String {
        criterion.to_string()
    }
}

impl TryFrom<String> for Criterion {
    type Error = Error;

    fn try_from(text: String) -> Result<Criterion> {
        text.parse()
    }
}

impl FromStr for Criterion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Criterion> {
        let (name, told) = match text.split_once(':') {
            Some((name, told)) => (name, Some(told)),
            None => (text, None),
        };
        let plain = PLAIN.iter().find(|(known, _)| *known == name);
        let kind = TOLD.iter().find(|(known, ..)| *known == name);
        match (plain, kind, told) {
            (Some((_, criterion)), _, None) => Ok(criterion.clone()),
            (Some(_), _, Some(_)) => Err(Error::Usage(format!(
                "the criterion {name} takes nothing behind its name: write {name}"
            ))),
            (None, Some((_, what, example)), None | Some("")) => Err(Error::Usage(format!(
                "the criterion {name} is told {what}: write {name}:{what}, as in {name}:{example}"
            ))),
            (None, Some(_), Some(told)) => told_criterion(name, told),
            (None, None, _) => Err(unknown(name)),
        }
    }
}

fn told_criterion(name: &str, told: &str) -> Result<Criterion> {
    if name == "scores" {
        return Ok(Criterion::Scores(told.into()));
    }
    let number: f64 = told.parse().map_err(|_| {
        Error::Usage(format!(
            "the criterion {name} takes a number, and '{told}' is none"
        ))
    })?;
    let criterion = match name {
        "lp" => Criterion::Lp(number),
        _ => Criterion::Threshold(number),
    };
    criterion.check().map(|()| criterion)
}

fn unknown(name: &str) -> Error {
    let plain = PLAIN.iter().map(|(name, _)| (*name).to_owned());
    let told = TOLD.iter();
    let all: Vec<String> = plain
        .chain(told.map(|(name, what, _)| format!("{name}:{what}")))
        .collect();
    let names = all.iter().map(|all| all.split(':').next().unwrap_or(all));
    let meant = match like(name, names) {
        Some(like) => format!(" (is {like} meant?)"),
        None => String::new(),
    };
    Error::Usage(format!(
        "there is no criterion '{name}'{meant}; choose one of {}",
        all.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criteria_are_what_their_texts_say() {
        let told = ["lp:0.5", "lp:3", "threshold:0.01", "scores:a:b/c d.npz"];
        for text in PLAIN.iter().map(|(name, _)| *name).chain(told) {
            let criterion: Criterion = text.parse().expect(text);
            assert_eq!(criterion.to_string(), text);
            let json = serde_json::to_string(&criterion).expect("JSON");
            assert_eq!(json, format!("\"{text}\""));
            let read: Criterion = serde_json::from_str(&json).expect("a criterion");
            assert_eq!(read, criterion);
        }
    }

    #[test]
    fn texts_that_say_no_criterion_are_refused_with_what_was_meant() {
        for (text, part) in [
            ("wnda", "is wanda meant?"),
            ("L2", "is l2 meant?"),
            ("treshold:0.1", "is threshold meant?"),
            ("magnitude-of-everything", "choose one of l1, l2"),
            ("lp", "write lp:P, as in lp:3"),
            ("lp:", "write lp:P, as in lp:3"),
            ("lp:x", "'x' is none"),
            ("lp:0", "above 0"),
            ("lp:-1", "above 0"),
            ("lp:inf", "finite"),
            ("threshold:nan", "finite"),
            ("l2:3", "write l2"),
            ("scores:", "scores:importance.npz"),
        ] {
            let fault = text.parse::<Criterion>().expect_err(text).to_string();
            assert!(fault.contains(part), "{text}: {fault}");
        }
    }
}
