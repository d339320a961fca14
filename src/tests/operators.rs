//! `docs/operators.md`: what the table says of every operator, read off the models that prove it.
//!
//! `SECATEUR_WRITE_OPERATORS=1 cargo test operators` writes the file anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;

use super::builder::analyse;
use super::cases;
use super::families;
use super::held;
use crate::axes::{Origin, Type};
use crate::dimensions::Analysis;
use crate::graph::NodeId;
use crate::onnx::Model;
use crate::ops::{Adjoint, Form, Mix, NEWEST_OPSET, Row, TABLE, find};

const HEAD: &str = "# Operators

What `secateur` knows of every operator, generated from its table of rules and the models that prove them
(`SECATEUR_WRITE_OPERATORS=1 cargo test operators` writes this file anew). An operator that is not here holds all axes that it touches, and
what is behind it is read from a run; an input that a rule does not use is held. Nothing is guessed.

- **pruned**: axes along which channels can go, as `input slot[axes]`; `->` the same of outputs. They follow from the other axes of a graph:
  what is an input or an output of it keeps its size.
- **summed over**: axes along which a removed channel adds nothing. Pruning is exact there: it equals masking.
- **meet**: axes along which channels influence each other, and how; the proof puts the original right there, so that such plans are proven too.
- **held**: what keeps its size, and why.
- **gradient**: whether `tune` and the criteria by gradients go through. **8 bit**: whether `quantise` has it compute on codes.
";

/// What was seen of a row.
#[derive(Default)]
struct Seen {
    pruned: BTreeMap<usize, BTreeSet<usize>>,
    made: BTreeMap<usize, BTreeSet<usize>>,
    summed: BTreeMap<usize, BTreeSet<usize>>,
    meet: BTreeSet<String>,
    held: BTreeSet<&'static str>,
}

impl Seen {
    fn look(&mut self, analysis: &Analysis, node: NodeId) {
        let (graph, state) = (analysis.graph(), &analysis.state);
        let connections = graph.node(node);
        let free = |ty: &Type| {
            let mut vars = state.types.vars(ty).into_iter();
            vars.any(|var| analysis.dimensions().iter().any(|of| of.var == var))
        };
        let sides = [
            (&connections.inputs, &mut self.pruned),
            (&connections.outputs, &mut self.made),
        ];
        for (values, seen) in sides {
            for (slot, value) in values.iter().enumerate() {
                let axes = value
                    .and_then(|value| state.axes(value))
                    .unwrap_or_default();
                let axes = axes.iter().enumerate().filter(|(_, ty)| free(ty));
                for (axis, _) in axes {
                    seen.entry(slot).or_default().insert(axis);
                }
            }
        }
        for at in state.contractions_of(node) {
            self.summed.entry(at.slot).or_default().insert(at.axis);
        }
        for fact in state.mixes_of(node) {
            let axes: Vec<String> = fact.axes.iter().map(|(axis, _)| axis.to_string()).collect();
            self.meet.insert(format!(
                "{}[{}]: {}",
                fact.slot,
                axes.join(", "),
                how(&fact.mix)
            ));
        }
        self.look_inside(analysis, node);
        self.held.extend(state.unruled_of(node));
        let values = connections
            .inputs
            .iter()
            .chain(&connections.outputs)
            .flatten();
        for ty in values.filter_map(|&value| state.axes(value)).flatten() {
            let pins = state.types.vars(ty).into_iter();
            let pins = pins.filter_map(|var| state.types.var(var).pin);
            let own = pins.filter(|pin| pin.origin == Origin::Node(node.0));
            self.held.extend(own.map(|pin| pin.why));
        }
    }
}

impl Seen {
    /// Where channels meet in a node that is typed by its body.
    fn look_inside(&mut self, analysis: &Analysis, node: NodeId) {
        let (graph, state) = (analysis.graph(), &analysis.state);
        if !state.bodied.contains(&node) {
            return;
        }
        for (slot, value) in graph.node(node).inputs.iter().enumerate() {
            let axes = value
                .and_then(|value| state.axes(value))
                .unwrap_or_default();
            for (axis, ty) in axes.iter().enumerate() {
                let mixing = state.types.vars(ty).into_iter();
                let mut mixing = mixing.filter_map(|var| state.types.var(var).mixing);
                if let Some(own) = mixing.find(|of| of.origin == Origin::Node(node.0)) {
                    self.meet.insert(format!("{slot}[{axis}]: {}", own.why));
                }
            }
        }
    }
}

fn how(mix: &Mix) -> &'static str {
    match mix {
        Mix::Sum => "sum",
        Mix::Product => "product",
        Mix::Largest => "largest",
        Mix::Powers => "shares of powers",
        Mix::Smallest => "smallest",
        Mix::Mean => "mean",
        Mix::Normalised { centred: true, .. } => "mean and variance",
        Mix::Normalised { centred: false, .. } => "mean square",
    }
}

/// Slots with axes, or nothing.
fn slots(of: &BTreeMap<usize, BTreeSet<usize>>) -> String {
    let slots = of.iter().map(|(slot, axes)| {
        let axes: Vec<String> = axes.iter().map(usize::to_string).collect();
        format!("{slot}[{}]", axes.join(", "))
    });
    slots.collect::<Vec<_>>().join(" ")
}

fn gradient(row: &Row) -> &'static str {
    match row.adjoint {
        Adjoint::Unstated | Adjoint::None(_) => "stops",
        Adjoint::Zero => "zero",
        Adjoint::Viewed | Adjoint::Slope(_) | Adjoint::Rule(_) => "yes",
        Adjoint::Straight(_) => "straight through",
    }
}

fn versions(row: &Row) -> String {
    match row.versions {
        (1, last) if last == NEWEST_OPSET || !row.domain.is_empty() => "all".to_owned(),
        (first, last) if last == NEWEST_OPSET => format!("{first} and later"),
        (1, last) => format!("up to {last}"),
        (first, last) => format!("{first} to {last}"),
    }
}

fn document(seen: &BTreeMap<(&str, &str, i64), (&'static Row, Seen)>) -> String {
    let mut text = HEAD.to_owned();
    let mut domain = None;
    for ((of, operator, _), (row, seen)) in seen {
        if domain != Some(*of) {
            domain = Some(of);
            let title = if of.is_empty() { "ai.onnx" } else { of };
            let _ = write!(
                text,
                "\n## {title}\n\n| operator | versions | pruned | summed over | meet | held | gradient | 8 bit |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n"
            );
        }
        let pruned = match (slots(&seen.pruned), slots(&seen.made)) {
            (read, made) if read.is_empty() && made.is_empty() => String::new(),
            (read, made) => format!("{read} -> {made}").trim().to_owned(),
        };
        let list = |of: Vec<&str>| of.join("; ");
        let _ = writeln!(
            text,
            "| {operator} | {} | {pruned} | {} | {} | {} | {} | {} |",
            versions(row),
            slots(&seen.summed),
            list(seen.meet.iter().map(String::as_str).collect()),
            list(seen.held.iter().copied().collect()),
            gradient(row),
            if row.form == Form::Real { "" } else { "yes" },
        );
    }
    text
}

#[test]
fn the_document_of_operators_is_what_the_table_says() {
    let mut seen = BTreeMap::new();
    for row in TABLE.iter().flat_map(|family| family.iter()) {
        let key = (row.domain, row.operator, row.versions.0);
        seen.insert(key, (row, Seen::default()));
    }
    let typed = families::on_gpus().into_iter();
    let models = cases::all().into_iter().chain(typed).map(|case| case.model);
    let held = held::models().into_iter().map(|(_, model)| model);
    for model in models.chain(held).collect::<Vec<Model>>() {
        let analysis = analyse(&model);
        for &node in analysis.graph().order() {
            let Some(row) = find(analysis.graph(), node) else {
                continue;
            };
            let key = (row.domain, row.operator, row.versions.0);
            if let Some((_, seen)) = seen.get_mut(&key) {
                seen.look(&analysis, node);
            }
        }
    }
    let text = document(&seen);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/operators.md");
    if std::env::var_os("SECATEUR_WRITE_OPERATORS").is_some() {
        std::fs::write(&path, &text).expect("it is written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = text
        .lines()
        .zip(written.lines())
        .find(|(now, then)| now != then);
    assert!(
        differs.is_none() && text.len() == written.len(),
        "docs/operators.md is not what the table says; write it anew as its head tells: {differs:?}"
    );
}

#[test]
fn every_operator_has_one_row_per_version() {
    let rows: Vec<&Row> = TABLE.iter().flat_map(|family| family.iter()).collect();
    for (place, a) in rows.iter().enumerate() {
        assert!(
            a.versions.0 <= a.versions.1,
            "{} has no version",
            a.operator
        );
        let same = |b: &&&Row| b.operator == a.operator && b.domain == a.domain;
        for b in rows[place + 1..].iter().filter(same) {
            let apart = a.versions.1 < b.versions.0 || b.versions.1 < a.versions.0;
            assert!(apart, "{} has two rows for one version", a.operator);
        }
    }
}
