//! Wrong statements of how channels meet: a proof finds every one.

use super::builder::{analyse, halves, planned};
use super::cases::{Case, all};
use super::rules::runtime;
use crate::error::Error;
use crate::ops::Mix;
use crate::plan::Settings;
use crate::rewrite::prune;
use crate::validate::verify;

/// What could be stated instead; nothing at all where none.
fn wrong(mix: &Mix) -> Vec<Option<Mix>> {
    let normalised = |centred: bool, scale: Option<usize>, groups| {
        Some(Mix::Normalised {
            centred,
            scale,
            groups,
        })
    };
    let other = match mix {
        Mix::Sum => vec![Some(Mix::Product), Some(Mix::Mean)],
        Mix::Product => vec![Some(Mix::Sum)],
        Mix::Largest => vec![Some(Mix::Smallest)],
        Mix::Powers => vec![Some(Mix::Sum)],
        Mix::Smallest => vec![Some(Mix::Largest), Some(Mix::Sum)],
        Mix::Mean => vec![Some(Mix::Sum), Some(Mix::Largest)],
        Mix::Normalised {
            centred,
            scale,
            groups,
        } => {
            let mut other = vec![normalised(!centred, *scale, groups.clone()), Some(Mix::Sum)];
            if groups.is_some() {
                other.push(normalised(*centred, *scale, None));
            }
            other
        }
    };
    other.into_iter().chain([None]).collect()
}

fn all_of_it() -> Settings {
    Settings {
        only: vec!["*".to_owned()],
        ..halves()
    }
}

/// The mutants of a case that no proof found, and how many there were.
fn survivors(case: &Case) -> (usize, Vec<String>) {
    let runtime = runtime();
    let sound = analyse(&case.model);
    if !sound.state.bodied.is_empty() {
        // The twin is made of bodies then, of which there is an analysis of its own.
        return (0, Vec::new());
    }
    let plan = planned(&sound, &all_of_it());
    let pruned = prune(&sound, &plan).expect("it is pruned");
    let (mut count, mut survivors) = (0, Vec::new());
    for place in 0..sound.state.mixes().len() {
        let fact = &sound.state.mixes()[place];
        let pruned_here = |(_, ty): &(usize, _)| {
            let kept = plan.kept(&sound).expect("a choice");
            sound.state.types.is_pruned(ty, &kept)
        };
        if !fact.axes.iter().any(pruned_here) {
            continue;
        }
        for mix in wrong(&fact.mix) {
            let mut mutant = analyse(&case.model);
            let what = format!("{}: {:?} as {mix:?}", case.name, fact.mix);
            mutant.state.restate_mix(place, mix);
            // Variables are numbered alike, but a choice is good in one analysis only.
            let plan = plan.clone().checked(&mutant).expect("the same dimensions");
            count += 1;
            match verify(&mutant, &plan, &pruned, &runtime) {
                Err(Error::Verification { .. }) => {}
                Err(other) => panic!("{what}: {other}"),
                Ok(_) => survivors.push(what),
            }
        }
    }
    (count, survivors)
}

/// Mutants that compute the same.
const EQUIVALENT: [(&str, &str); 1] = [(
    "ArgMin into a table: Smallest as Some(Sum)",
    "the smallest number is below 0",
)];

#[test]
fn every_wrong_statement_is_refused() {
    let (mut count, mut left) = (0, Vec::new());
    for case in all().iter().filter(|case| case.mixing > 0) {
        let (tried, survived) = survivors(case);
        count += tried;
        left.extend(survived);
    }
    let known = |what: &String| EQUIVALENT.iter().any(|(part, _)| what.contains(part));
    left.retain(|what| !known(what));
    assert!(left.is_empty(), "of {count}: {left:#?}");
    assert!(count >= 100, "{count} were tried");
}
