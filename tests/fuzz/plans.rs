//! Plans and masks: the JSON of a plan with values replaced, and archives whose arrays are damaged, not their sums.

use std::fs;
use std::sync::LazyLock;

use secateur::job::{self, MaskOptions, MaskSource, PlanInput, Proof};
use secateur::{PruneOptions, Silent};
use serde_json::Value;
use tempfile::TempDir;

use crate::archives::{archive, arrays};
use crate::choices::Choices;
use crate::guard::{alone, within_bounds};
use crate::models::fixture;

/// A model and the JSON of a plan for it.
static PLANNED: LazyLock<Vec<(Vec<u8>, Value)>> = LazyLock::new(|| {
    let names = [
        "models/perceptron",
        "field/nested_functions_without_names",
        "field/heads_by_mul",
        "field/conv_bilstm_dynamic_length",
    ];
    let planned = names.map(|name| {
        let model = fixture(&format!("{name}.onnx"));
        let options = PruneOptions {
            proof: Proof::Skipped,
            ..PruneOptions::default()
        };
        let pruned = secateur::prune(model.as_path(), &options).expect("a plan");
        let plan = serde_json::from_str(&pruned.plan.to_json()).expect("JSON");
        (fs::read(&model).expect("a file"), plan)
    });
    planned.into()
});

/// A value within a value, chosen on the way down.
pub fn within<'a>(value: &'a mut Value, choices: &mut Choices) -> &'a mut Value {
    let length = match &*value {
        Value::Array(all) => all.len(),
        Value::Object(all) => all.len(),
        _ => 0,
    };
    if choices.byte().is_multiple_of(8) || length == 0 {
        return value;
    }
    let place = choices.below(length);
    let chosen = match value {
        Value::Array(all) => &mut all[place],
        Value::Object(all) => all.values_mut().nth(place).expect("below the length"),
        other => return other,
    };
    within(chosen, choices)
}

/// Another value in its place, of any kind.
pub fn replace(value: &mut Value, choices: &mut Choices) {
    match (choices.byte() % 6, &mut *value) {
        (0, _) => *value = Value::Null,
        (1, _) => *value = Value::from("N*(N-1)\u{7}"),
        (2, Value::Array(all)) => {
            let twice = choices.of(all).cloned();
            all.extend(twice);
        }
        (3, Value::Array(all)) => all.reverse(),
        (4, Value::Object(all)) => {
            let place = choices.below(all.len());
            if let Some(key) = all.keys().nth(place).cloned() {
                all.remove(&key);
            }
        }
        _ => *value = Value::from(choices.integer()),
    }
}

#[test]
fn plans_of_changed_values() {
    let _alone = alone();
    let folder = TempDir::new().expect("a folder");
    let (model_path, plan_path) = (folder.path().join("m.onnx"), folder.path().join("p.json"));
    bolero::check!()
        .with_iterations(3_000)
        .for_each(|bytes: &[u8]| {
            let mut choices = Choices::new(bytes);
            let (model, plan) = choices.of(&PLANNED).expect("plans");
            let mut plan = plan.clone();
            for _ in 0..=choices.below(4) {
                replace(within(&mut plan, &mut choices), &mut choices);
            }
            let mut text = plan.to_string().into_bytes();
            if choices.byte() % 8 == 7 {
                choices.damage(&mut text);
            }
            fs::write(&model_path, model).expect("space");
            fs::write(&plan_path, &text).expect("space");
            let options = PruneOptions {
                plan: Some(PlanInput::Path(plan_path.clone())),
                proof: Proof::Skipped,
                ..PruneOptions::default()
            };
            within_bounds("plan", &text, |_| {
                drop(secateur::prune(model_path.as_path(), &options));
            });
        });
}

#[test]
fn masks_of_changed_arrays() {
    let _alone = alone();
    let sound = arrays(&fixture("masks/layer_77.npz"));
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("masks.npz");
    let model = fixture("trained/lenet_mnist.onnx");
    bolero::check!()
        .with_iterations(500)
        .for_each(|bytes: &[u8]| {
            let bytes = archive(&sound, &mut Choices::new(bytes));
            fs::write(&path, &bytes).expect("space");
            let options = MaskOptions {
                source: MaskSource::File(path.clone()),
                proof: Proof::Skipped,
                ..MaskOptions::default()
            };
            within_bounds("masks", &bytes, |_| {
                drop(job::mask(&model, &options, &mut Silent))
            });
        });
}
