//! Files of statistics: their header as JSON with values replaced, numbers that no data has, damaged bytes.

use std::fs;
use std::path::Path;

use secateur::PruneOptions;
use secateur::criteria::Criterion;
use secateur::data::DataSource;
use secateur::job::{Calibration, Proof};
use secateur::plan::{Scope, Settings};
use secateur::recover::Recovery;
use serde_json::Value;
use tempfile::TempDir;

use crate::choices::Choices;
use crate::data::damage_head;
use crate::guard::{alone, within_bounds};
use crate::models::fixture;
use crate::plans::{replace, within};

/// Pruning that reads its statistics from `stats`, or measures them where there is no such file.
fn options(stats: &Path, criterion: Criterion, recovery: Recovery) -> PruneOptions {
    PruneOptions {
        settings: Settings {
            criterion: Some(criterion),
            scope: Some(Scope::Uniform),
            ..Settings::default()
        },
        calibration: Some(Calibration::new(DataSource::Random {
            samples: 20,
            seed: 0,
        })),
        stats: Some(stats.to_owned()),
        recovery,
        proof: Proof::Skipped,
        ..PruneOptions::default()
    }
}

/// The header of a safetensors file and what follows it.
fn parts(file: &[u8]) -> (Value, &[u8]) {
    let (length, rest) = file.split_first_chunk().expect("a length");
    let length = u64::from_le_bytes(*length) as usize;
    let header = serde_json::from_slice(&rest[..length]).expect("JSON");
    (header, &rest[length..])
}

/// A file with another header, other numbers or other bytes.
fn damaged(header: &Value, numbers: &[u8], choices: &mut Choices) -> Vec<u8> {
    let (mut header, mut numbers) = (header.clone(), numbers.to_vec());
    if choices.byte().is_multiple_of(2) {
        replace(within(&mut header, choices), choices);
    }
    for _ in 0..choices.below(4) {
        let place = choices.below(numbers.len() / 4) * 4;
        let number = match choices.byte() % 8 {
            0 => f32::NAN,
            1 => f32::INFINITY,
            2 => f32::MAX,
            3 => -1.0,
            4 => 0.0,
            5 => f32::MIN_POSITIVE / 2.0,
            _ => f32::from(choices.byte()) / 16.0 - 8.0,
        };
        numbers[place..place + 4].copy_from_slice(&number.to_le_bytes());
    }
    let header = header.to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.into_bytes());
    file.extend(numbers);
    if choices.byte().is_multiple_of(4) {
        damage_head(&mut file, choices);
    }
    file
}

#[test]
fn statistics_of_changed_numbers() {
    let _alone = alone();
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("statistics");
    let model = fixture("models/perceptron.onnx");
    let measure = options(&path, Criterion::Obs, Recovery::None);
    secateur::prune(model.as_path(), &measure).expect("statistics are measured");
    let sound = fs::read(&path).expect("a file");
    let (header, numbers) = parts(&sound);
    bolero::check!()
        .with_iterations(300)
        .for_each(|bytes: &[u8]| {
            let mut choices = Choices::new(bytes);
            let file = damaged(&header, numbers, &mut choices);
            fs::write(&path, &file).expect("space");
            let criteria = [
                Criterion::Obs,
                Criterion::Reconstruction,
                Criterion::Wanda,
                Criterion::ActVar,
                Criterion::ActMin,
            ];
            let criterion = choices.of(&criteria).cloned().expect("a criterion");
            let recovery = match choices.byte() % 4 {
                0 => Recovery::Fold,
                _ => Recovery::None,
            };
            let options = options(&path, criterion, recovery);
            within_bounds("statistics", &file, |_| {
                drop(secateur::prune(model.as_path(), &options));
            });
        });
}
