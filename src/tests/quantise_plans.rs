//! Plans of quantisations: replayed to the same bytes, and refused where they do not fit.

use std::fs;

use serde_json::{Value, json};

use super::quantise::every;
use super::quantise_budgets::{Place, budget, perceptron, random};
use super::quantise_channels::depthwise_model;
use crate::error::{Class, Error};
use crate::job::{Calibration, QuantiseOptions};
use crate::quantise::{FileBudget, QuantisePlan, QuantiseSettings};

/// Quantises a model and writes the plan.
fn planned(place: &Place, settings: &QuantiseSettings) -> QuantisePlan {
    let path = place.at("plan.json");
    let out = |options: &mut QuantiseOptions| options.plan_out = Some(path.clone());
    place.quantise(settings, out).expect("a model");
    QuantisePlan::load(&path).expect("a plan")
}

/// Replays what is in `plan.json`; settings do not count then.
fn replayed(
    place: &Place,
    change: impl FnOnce(&mut QuantiseOptions),
) -> Result<Vec<String>, Error> {
    let report = place.quantise(&QuantiseSettings::default(), |options| {
        options.plan = Some(place.at("plan.json"));
        options.output = Some(place.at("again.onnx"));
        change(options);
    });
    report.map(|report| report.warnings)
}

/// Checks that a plan is replayed to the same bytes and the same plan.
fn is_replayed(place: &Place) {
    let again = |options: &mut QuantiseOptions| options.plan_out = Some(place.at("plan2.json"));
    let warnings = replayed(place, again).expect("a model");
    assert!(
        !warnings.iter().any(|of| of.contains("rounded otherwise")),
        "{warnings:?}"
    );
    let read = |name: &str| fs::read(place.at(name)).expect("a file");
    assert!(read("out.onnx") == read("again.onnx"));
    assert!(read("plan.json") == read("plan2.json"));
}

#[test]
fn a_plan_of_products_gives_the_same_bytes() {
    let place = Place::of(&perceptron());
    let plan = planned(&place, &QuantiseSettings::default());
    assert!(!plan.values.is_empty() && plan.weights.len() >= 2);
    is_replayed(&place);
    // Weights are rounded for the samples that there are.
    let other = |options: &mut QuantiseOptions| {
        options.calibration = Some(Calibration::new(random(2)));
    };
    let warnings = replayed(&place, other).expect("a model");
    assert!(
        warnings
            .iter()
            .any(|of| of.contains("were rounded otherwise")),
        "{warnings:?}"
    );
}

#[test]
fn a_plan_of_factors_gives_the_same_bytes() {
    let place = Place::of(&depthwise_model());
    let plan = planned(&place, &every());
    assert!(!plan.factors.is_empty());
    is_replayed(&place);
}

#[test]
fn a_plan_of_widths_gives_the_same_bytes() {
    let place = Place::of(&perceptron());
    let plan = planned(&place, &budget(FileBudget::Bytes(7_000)));
    let widths: std::collections::BTreeSet<_> = plan.weights.values().map(|of| of.bits).collect();
    assert!(widths.len() > 1 && !widths.contains(&None), "{widths:?}");
    is_replayed(&place);
    // What is not said of a weight is 8 bits, with a word.
    let mut plan = plan;
    plan.weights.remove("w1");
    fs::write(place.at("plan.json"), plan.to_json()).expect("a file");
    let warnings = replayed(&place, |_| {}).expect("a model");
    assert!(warnings.iter().any(|of| of.contains("w1")), "{warnings:?}");
}

#[test]
fn a_plan_of_another_model_is_refused() {
    let place = Place::of(&perceptron());
    planned(&place, &QuantiseSettings::default());
    let other = Place::of(&depthwise_model());
    fs::copy(place.at("plan.json"), other.at("plan.json")).expect("a copy");
    let fault = replayed(&other, |_| {}).expect_err("refused");
    assert_eq!(fault.class(), Class::Input);
    assert!(fault.to_string().contains("another model"), "{fault}");
}

/// What is done to a plan, and what is said then.
type PlanDamage = (&'static str, fn(&mut Value), &'static str);

fn first(plan: &mut Value, field: &str) -> String {
    let all = plan[field].as_object().expect("an object");
    all.keys().next().expect("an entry").clone()
}

fn with_range(plan: &mut Value, field: &str, number: Value) {
    let value = first(plan, "values");
    plan["values"][value][field] = number;
}

fn with_factor(plan: &mut Value, number: Value) {
    let value = first(plan, "factors");
    plan["factors"][value][0] = number;
}

const DAMAGES: &[PlanDamage] = &[
    (
        "no range",
        |plan| {
            let value = first(plan, "values");
            plan["values"]
                .as_object_mut()
                .expect("an object")
                .remove(&value);
        },
        "no range of codes for the value",
    ),
    (
        "a scale of 0",
        |plan| with_range(plan, "scale", json!(0.0)),
        "no range of codes",
    ),
    (
        "a scale below 0",
        |plan| with_range(plan, "scale", json!(-0.1)),
        "no range of codes",
    ),
    (
        "a scale that is nearly 0",
        |plan| with_range(plan, "scale", json!(1e-44)),
        "no range of codes",
    ),
    (
        "no number as a scale",
        |plan| with_range(plan, "scale", json!(null)),
        "no plan",
    ),
    (
        "an endless scale",
        |plan| with_range(plan, "scale", json!(1e60)),
        "no",
    ),
    (
        "a zero that is no code",
        |plan| with_range(plan, "zero", json!(256)),
        "no range of codes",
    ),
    (
        "a zero below the codes",
        |plan| with_range(plan, "zero", json!(-1)),
        "no range of codes",
    ),
    (
        "a factor of 0",
        |plan| with_factor(plan, json!(0.0)),
        "factors of",
    ),
    (
        "a factor below 1",
        |plan| with_factor(plan, json!(0.5)),
        "factors of",
    ),
    (
        "a factor above 64",
        |plan| with_factor(plan, json!(65.0)),
        "factors of",
    ),
    (
        "an endless factor",
        |plan| with_factor(plan, json!(1e60)),
        "no plan",
    ),
    (
        "a factor too few",
        |plan| {
            let value = first(plan, "factors");
            plan["factors"][value].as_array_mut().expect("a list").pop();
        },
        "factors of",
    ),
    (
        "factors of what has none",
        |plan| plan["factors"]["y"] = json!([1.0, 2.0]),
        "factors of 'y'",
    ),
    (
        "another version",
        |plan| plan["secateur_quantise_plan"] = json!(2),
        "version 2",
    ),
    (
        "a field too much",
        |plan| plan["more"] = json!(1),
        "no plan",
    ),
    ("no fields", |plan| *plan = json!({}), "no plan"),
    ("no object", |plan| *plan = json!([1, 2]), "no plan"),
];

#[test]
fn plans_that_do_not_fit_are_refused() {
    let place = Place::of(&depthwise_model());
    planned(&place, &every());
    let path = place.at("plan.json");
    let text = fs::read_to_string(&path).expect("a plan");
    for (what, damage, said) in DAMAGES {
        let mut plan: Value = serde_json::from_str(&text).expect("JSON");
        damage(&mut plan);
        fs::write(&path, plan.to_string()).expect("a file");
        let fault = replayed(&place, |_| {}).err();
        let fault = fault.unwrap_or_else(|| panic!("{what} is not refused"));
        assert_eq!(fault.class(), Class::Input, "{what}: {fault}");
        assert!(fault.to_string().contains(said), "{what}: {fault}");
        assert!(!place.at("again.onnx").exists());
    }
    fs::write(&path, "} garbage").expect("a file");
    let fault = replayed(&place, |_| {}).expect_err("refused");
    assert_eq!(fault.class(), Class::Input);
    assert!(
        fault.to_string().contains("no plan of a quantisation"),
        "{fault}"
    );
}
