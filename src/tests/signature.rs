//! A pruned model with another signature than the original's, compared with it.

use super::builder::planned;
use super::decoding::{analysed, plain};
use super::rules::runtime;
use crate::data::DataSource;
use crate::error::Class;
use crate::events::Silent;
use crate::files::TemporaryFolder;
use crate::job::{RuntimeOptions, Shapes, ValidateOptions, validate};
use crate::metrics::Deviation;
use crate::plan::{RoundTo, Settings};
use crate::rewrite::{Masks, prune, twin};
use crate::runtime::{IntegerSums, Provider};
use crate::validate::Fallback;

#[test]
fn models_of_two_signatures_are_compared_by_the_plan() {
    let signature = &["*"][..];
    let analysis = analysed(&plain(), signature);
    let settings = Settings {
        round_to: RoundTo::Multiple(1),
        change_signature: vec!["*".to_owned()],
        ..Settings::default()
    };
    let plan = planned(&analysis, &settings);
    let mut pruned = prune(&analysis, &plan).expect("a pruned model");
    pruned.set_metadata("secateur.command", &settings.command());
    let folder = TemporaryFolder::new().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let twin = twin(&analysis, &plan, Masks::Initializers).expect("a twin");
    for (model, name) in [(plain(), "dense"), (pruned, "pruned"), (twin, "twin")] {
        model.save(path(name)).expect("a file");
    }
    std::fs::write(path("plan"), plan.to_json()).expect("a file");
    drop(runtime());
    let compared = |reference: &str, plan: Option<&str>| {
        let options = ValidateOptions {
            plan: plan.map(path),
            providers: vec![Provider::Cpu],
            source: DataSource::Random {
                samples: 4,
                seed: 0,
            },
            batch: 2,
            shapes: Shapes::default(),
            perturbations: Vec::new(),
            gates: Vec::new(),
            fallback: Fallback::Allowed,
            seed: 0,
            sums: IntegerSums::Fast,
            runtime: RuntimeOptions::default(),
        };
        validate(&path(reference), &path("pruned"), &options, &mut Silent)
    };
    let fault = compared("dense", None)
        .expect_err("other sizes")
        .to_string();
    assert!(fault.contains("name its plan"), "{fault}");
    let fault = compared("twin", Some("plan")).expect_err("no original");
    assert_eq!(fault.class(), Class::Input, "{fault}");
    let whole = compared("dense", Some("plan"))
        .expect("a comparison")
        .report;
    let drift = &whole.providers[0].conditions[0].pruning_drift;
    assert_eq!(drift.len(), 3);
    // Half is gone: the outputs differ, but are those of the same words.
    let largest = |of: &Deviation| of.max_absolute.unwrap_or(f64::NAN);
    assert!(
        drift
            .iter()
            .all(|of| largest(of) > 1e-3 && of.not_finite == 0),
        "{drift:?}"
    );
    let same = compared("twin", None).expect("a comparison").report;
    let drift = &same.providers[0].conditions[0].pruning_drift;
    assert!(drift.iter().all(|of| largest(of) < 1e-4), "{drift:?}");
}
