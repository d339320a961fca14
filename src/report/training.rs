//! What training did.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::table::{count, table};
use crate::train::{PartsFor, Stopped, TrainingRecord};

/// What training did.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct TrainingRow(pub TrainingRecord);

/// Reasons that people are shown.
const REASONS: usize = 3;

impl fmt::Display for TrainingRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TrainingRow(record) = self;
        let mut rows = table(&["step", "loss", "gradient", "held-out loss"], 1);
        for judged in &record.judgements {
            let mut before = record.losses.iter().rev();
            let point = before.find(|point| point.step < judged.step.max(1));
            let number = |number: Option<f64>| match number {
                Some(number) => format!("{number:.5}"),
                None => "-".to_owned(),
            };
            rows.add_row([
                judged.step.to_string(),
                number(point.filter(|_| judged.step > 0).map(|p| p.loss)),
                number(point.filter(|_| judged.step > 0).map(|p| p.norm)),
                number(judged.loss),
            ]);
        }
        writeln!(f, "{rows}")?;
        let parts = match record.split {
            None => String::new(),
            Some(why) => format!(" in {} parts ({})", record.parts, reason(why)),
        };
        writeln!(
            f,
            "trained {} numbers in {} tensors for {} steps of {} samples{parts}: {} samples seen, {} held out ({})",
            count(record.trained as u64),
            record.tensors,
            record.steps,
            record.batch,
            record.seen,
            record.held_out,
            record.data
        )?;
        for phrase in &record.augmentation {
            writeln!(f, "  {phrase}")?;
        }
        if record.masked > 0 {
            writeln!(f, "  zeros of {} tensor(s) stayed zeros", record.masked)?;
        }
        for stop in record.stops.iter().take(REASONS) {
            writeln!(f, "  no gradient through {stop}")?;
        }
        if record.stops.len() > REASONS {
            writeln!(f, "  and through {} more", record.stops.len() - REASONS)?;
        }
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for frozen in &record.frozen {
            *reasons.entry(&frozen.reason).or_default() += 1;
        }
        for (reason, count) in reasons {
            writeln!(f, "  {count} constant(s) stayed as they are: {reason}")?;
        }
        write!(f, "{}", self.end())
    }
}

fn reason(split: PartsFor) -> &'static str {
    match split {
        PartsFor::Memory => "memory bound",
        PartsFor::FixedBatch => "fixed batch size",
    }
}

/// What training did, if it was done, and what is to be measured.
pub(super) fn write_training(
    training: Option<&TrainingRow>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let trained = match training {
        None => "No training was done",
        Some(training) => {
            write!(f, "{training}")?;
            "The samples held out are few"
        }
    };
    writeln!(f, "{trained}: measure the accuracy before you deploy.")
}

impl TrainingRow {
    /// How it ended, as lines.
    pub(super) fn end(&self) -> impl fmt::Display {
        End(&self.0)
    }
}

struct End<'a>(&'a TrainingRecord);

impl fmt::Display for End<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let End(record) = self;
        match &record.stopped {
            Stopped::Done => (),
            Stopped::Asked { step } => writeln!(f, "ended early after {step} steps, as asked")?,
            Stopped::NoNumber { step, weight } => {
                let at = weight.as_deref().map(|name| format!(", first at '{name}'"));
                writeln!(
                    f,
                    "stopped at step {step}: the loss or a gradient was no number{}; a lower rate may help",
                    at.unwrap_or_default()
                )?;
            }
        }
        let [before, after] = record.before_and_after();
        let number =
            |number: Option<f64>| number.map_or("no number".to_owned(), |n| format!("{n:.5}"));
        match record.best_step {
            0 => writeln!(
                f,
                "kept the start: no step was better on held-out samples ({})",
                number(before)
            ),
            step => writeln!(
                f,
                "took the weights of step {step}: held-out loss {}, {} before, in {:.0} s",
                number(after),
                number(before),
                record.seconds
            ),
        }
    }
}
