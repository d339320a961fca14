//! What training did.

use super::parts::{self, fact};
use crate::charts::{Chart, Line, Panel};
use crate::pages::numbers::{count, short, short_or_none};
use crate::pages::page::{Figure, Page, PagePart};
use crate::pages::rows::DataTable;
use crate::report::TrainingRow;
use crate::train::{Stopped, TrainingRecord};

/// Adds the section.
pub(super) fn add(page: &mut Page, row: &TrainingRow) {
    let TrainingRow(record) = row;
    let [before, after] = record.before_and_after();
    for (name, loss) in [
        ("training.loss_before", before),
        ("training.loss_after", after),
    ] {
        page.metric(name, loss.unwrap_or(f64::NAN));
    }
    page.metric("training.best_step", record.best_step as f64);
    page.metric("training.steps", record.steps as f64);
    page.metric("training.seconds", record.seconds);
    let mut said = vec![
        PagePart::Text(ended(record)),
        PagePart::Facts(facts(record)),
    ];
    if !record.losses.is_empty() || !record.judgements.is_empty() {
        said.push(PagePart::Figure(Figure::Lines(
            chart(record),
            numbers(record),
        )));
    }
    let mut frozen = DataTable::new("Constants that stayed as they are", &["constant", "why"], 2);
    for row in &record.frozen {
        frozen.push(
            0.0,
            vec![row.name.clone().into(), row.reason.clone().into()],
        );
    }
    said.extend(parts::listed(frozen));
    page.section("Training", said);
}

fn ended(record: &TrainingRecord) -> String {
    let stopped = match &record.stopped {
        Stopped::Done => String::new(),
        Stopped::Asked { step } => format!(" It ended early after {step} steps, as asked."),
        Stopped::NoNumber { step, .. } => {
            format!(" It stopped at step {step}, where the loss or a gradient was no number.")
        }
    };
    let [before, after] = record.before_and_after().map(short_or_none);
    match record.best_step {
        0 => format!(
            "The start was kept: no step was better on held-out samples ({before}).{stopped}"
        ),
        step => format!(
            "The weights of step {step} were taken: held-out loss {after}, {before} before.{stopped}"
        ),
    }
}

fn facts(record: &TrainingRecord) -> Vec<(String, String)> {
    let mut facts = vec![
        fact("Data", record.data.clone()),
        fact(
            "Steps",
            format!("{} of {} samples", record.steps, record.batch),
        ),
        fact(
            "Samples",
            format!("{} seen, {} held out", record.seen, record.held_out),
        ),
        fact(
            "Trained",
            format!(
                "{} numbers in {} tensors",
                count(record.trained as u64),
                record.tensors
            ),
        ),
        fact("Time", format!("{} s", short(record.seconds))),
    ];
    if !record.augmentation.is_empty() {
        facts.push(fact("Changed samples", record.augmentation.join("; ")));
    }
    if record.masked > 0 {
        facts.push(fact(
            "Zeros that stayed zeros",
            format!("in {} tensors", record.masked),
        ));
    }
    if let Some(first) = record.stops.first() {
        facts.push(fact(
            "No gradient through",
            format!("{} nodes, first {first}", record.stops.len()),
        ));
    }
    facts
}

fn chart(record: &TrainingRecord) -> Chart {
    let line = |name: &str, points: Vec<(f64, f64)>, marked| Line {
        name: name.to_owned(),
        points,
        intervals: Vec::new(),
        marked,
    };
    let losses = record
        .losses
        .iter()
        .map(|point| (point.step as f64, point.loss));
    let judged = record.judgements.iter();
    let judged = judged.filter_map(|judged| Some((judged.step, judged.loss?)));
    let judged: Vec<(usize, f64)> = judged.collect();
    let best = judged
        .iter()
        .position(|(step, _)| *step == record.best_step);
    let held_out = judged
        .iter()
        .map(|&(step, loss)| (step as f64, loss))
        .collect();
    let all = record.losses.iter().map(|point| point.loss);
    let all: Vec<f64> = all.chain(judged.iter().map(|judged| judged.1)).collect();
    Chart {
        title: "Loss by step".to_owned(),
        description: format!(
            "The loss while it was trained and on {} held-out samples; the weights of step {} were taken.",
            record.held_out, record.best_step
        ),
        x: "step".to_owned(),
        y: "loss".to_owned(),
        logarithmic: all.iter().all(|loss| *loss > 0.0),
        panels: vec![Panel {
            title: String::new(),
            lines: vec![
                line("training", losses.collect(), None),
                line("held out", held_out, best),
            ],
            bound: None,
        }],
    }
}

fn numbers(record: &TrainingRecord) -> DataTable {
    let mut table = DataTable::new("Loss on held-out samples", &["step", "loss"], 0);
    for judged in &record.judgements {
        let weight = f64::from(u8::from(judged.step == record.best_step));
        table.push(
            weight,
            vec![
                judged.step.to_string().into(),
                short_or_none(judged.loss).into(),
            ],
        );
    }
    table
}
