//! Task metrics of two models on labelled data, and the difference between them with its uncertainty.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use super::deviation::{TOP, largest, rank};
use super::scores::{Answer, ClassRow, class_rows, confusion, counts, macro_scores};
use crate::data::Labels;
use crate::error::{Error, Result};
use crate::runtime::Tensor;

/// Resamplings of the paired bootstrap.
const RESAMPLINGS: usize = 2000;
/// Share of the resampled drops that the interval leaves out, both sides together.
const LEFT_OUT: f64 = 0.05;

/// A metric of both models.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metric {
    /// Its name: `accuracy`, `top5`, `precision`, `recall`, `f1` (macro averages), `mse`, `mae`, `r2`.
    pub name: &'static str,
    /// The reference model's value.
    pub reference: f64,
    /// The candidate's value.
    pub candidate: f64,
    /// How much worse the candidate is; negative if it is better.
    pub drop: f64,
    /// 95 % interval of the drop by paired bootstrap over samples.
    pub interval: [f64; 2],
    /// True if the interval holds no drop at all: the difference is within noise.
    pub within_noise: bool,
}

/// Everything about the task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskReport {
    /// Labelled samples.
    pub samples: usize,
    /// The metrics.
    pub metrics: Vec<Metric>,
    /// Per class; empty for regression.
    pub classes: Vec<ClassRow>,
    /// Candidate's confusion matrix: rows are labels, columns predictions; empty for regression.
    pub confusion: Vec<Vec<u64>>,
    /// Chance of so unequal a number of changed answers if both models were as good (McNemar, with
    /// continuity correction); none for regression.
    pub mcnemar_p: Option<f64>,
}

/// One labelled number of a regression: target, reference, candidate.
type Estimate = [f64; 3];

/// Accumulates answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Task {
    classes: usize,
    answers: Vec<Answer>,
    estimates: Vec<Estimate>,
}

impl Task {
    /// Adds a batch: labels and the first outputs of both models.
    pub(crate) fn add(
        &mut self,
        labels: &Labels,
        reference: &Tensor,
        candidate: &Tensor,
    ) -> Result<()> {
        let (a, b) = (reference.to_f64(), candidate.to_f64());
        match labels {
            Labels::Classes(labels) => {
                let rows = reference.shape().first().copied().unwrap_or(0);
                if rows != labels.len() {
                    return Err(misfit(format!(
                        "{} labels for {rows} rows of the first output",
                        labels.len()
                    )));
                }
                self.add_classes(labels, &a, &b)
            }
            Labels::Values(values) => {
                if values.len() != a.len() {
                    return Err(misfit(format!(
                        "{} real numbers for a first output of {} per batch; classes are given as integers",
                        values.len(),
                        a.len()
                    )));
                }
                let triples = values.iter().zip(&a).zip(&b);
                self.estimates
                    .extend(triples.map(|((&t, &a), &b)| [t, a, b]));
                Ok(())
            }
        }
    }

    fn add_classes(&mut self, labels: &[usize], a: &[f64], b: &[f64]) -> Result<()> {
        let classes = a.len() / labels.len().max(1);
        if classes < 2 || classes * labels.len() != a.len() {
            return Err(misfit(format!(
                "{} labels for a first output of {} numbers; one row of classes per sample is expected",
                labels.len(),
                a.len()
            )));
        }
        if let Some(label) = labels.iter().find(|&&label| label >= classes) {
            return Err(misfit(format!(
                "{label} is out of range, the model has {classes} classes"
            )));
        }
        self.classes = classes;
        let rows = labels
            .iter()
            .zip(a.chunks_exact(classes))
            .zip(b.chunks_exact(classes));
        for ((&label, a), b) in rows {
            self.answers.push(Answer {
                label: label as u32,
                said: [largest(a) as u32, largest(b) as u32],
                top: [rank(a, label) < TOP, rank(b, label) < TOP],
            });
        }
        Ok(())
    }

    /// The metrics so far; none without labels.
    pub(crate) fn finish(&self, seed: u64) -> Option<TaskReport> {
        self.report((seed, RESAMPLINGS))
    }

    /// As [`Task::finish`], with intervals of no width: they cost most of the time.
    pub(crate) fn points(&self) -> Option<TaskReport> {
        self.report((0, 0))
    }

    fn report(&self, resampled: (u64, usize)) -> Option<TaskReport> {
        if !self.answers.is_empty() {
            return Some(self.classification(resampled));
        }
        (!self.estimates.is_empty()).then(|| self.regression(resampled))
    }

    fn classification(&self, resampled: (u64, usize)) -> TaskReport {
        let names: &[&'static str] = match self.classes > TOP {
            true => &["accuracy", "top5", "precision", "recall", "f1"],
            false => &["accuracy", "precision", "recall", "f1"],
        };
        let compute = |answers: &[Answer]| -> [Vec<f64>; 2] {
            [0, 1].map(|model| {
                let scores = macro_scores(&counts(answers, self.classes, model));
                let share = |holds: &dyn Fn(&Answer) -> bool| {
                    answers.iter().filter(|answer| holds(answer)).count() as f64
                        / answers.len() as f64
                };
                let named = |name: &&'static str| match *name {
                    "accuracy" => share(&|answer| answer.said[model] == answer.label),
                    "top5" => share(&|answer| answer.top[model]),
                    "precision" => scores[0],
                    "recall" => scores[1],
                    _ => scores[2],
                };
                names.iter().map(named).collect()
            })
        };
        let confusion = confusion(&self.answers, self.classes, 1);
        let classes = class_rows(&counts(&self.answers, self.classes, 1));
        TaskReport {
            samples: self.answers.len(),
            metrics: metrics(names, &self.answers, compute, |_| 1.0, resampled),
            mcnemar_p: Some(self.mcnemar()),
            classes,
            confusion,
        }
    }

    fn regression(&self, resampled: (u64, usize)) -> TaskReport {
        let names = ["mse", "mae", "r2"];
        let compute = |estimates: &[Estimate]| -> [Vec<f64>; 2] {
            let count = estimates.len() as f64;
            let mean = estimates.iter().map(|e| e[0]).sum::<f64>() / count;
            let spread: f64 = estimates.iter().map(|e| (e[0] - mean).powi(2)).sum();
            [1, 2].map(|model| {
                let squared: f64 = estimates.iter().map(|e| (e[0] - e[model]).powi(2)).sum();
                let absolute: f64 = estimates.iter().map(|e| (e[0] - e[model]).abs()).sum();
                vec![squared / count, absolute / count, 1.0 - squared / spread]
            })
        };
        // Errors are better when smaller.
        let direction = |name: &str| if name == "r2" { 1.0 } else { -1.0 };
        TaskReport {
            samples: self.estimates.len(),
            metrics: metrics(&names, &self.estimates, compute, direction, resampled),
            classes: Vec::new(),
            confusion: Vec::new(),
            mcnemar_p: None,
        }
    }

    /// Two-sided p of McNemar's test on the answers that only one model has right.
    fn mcnemar(&self) -> f64 {
        let only = |model: usize| {
            let right = |a: &Answer, model: usize| a.said[model] == a.label;
            let lone = self
                .answers
                .iter()
                .filter(|a| right(a, model) && !right(a, 1 - model));
            lone.count() as f64
        };
        let (lost, won) = (only(0), only(1));
        if lost + won == 0.0 {
            return 1.0;
        }
        let distance = ((lost - won).abs() - 1.0).max(0.0);
        chi_squared_tail(distance * distance / (lost + won))
    }
}

fn misfit(reason: String) -> Error {
    Error::Data {
        what: "the labels".to_owned(),
        misfits: vec![reason],
    }
}

/// Both models' metrics with the drop and its interval from so many resamplings of a seed. `direction` is 1 where more is
/// better, else -1.
fn metrics<T: Copy + Sync>(
    names: &[&'static str],
    samples: &[T],
    compute: impl Fn(&[T]) -> [Vec<f64>; 2] + Sync,
    direction: impl Fn(&str) -> f64,
    (seed, resamplings): (u64, usize),
) -> Vec<Metric> {
    let [reference, candidate] = compute(samples);
    let resampled: Vec<[Vec<f64>; 2]> = (0..resamplings as u64)
        .into_par_iter()
        .map(|number| {
            // A stream of its own for each: the same numbers at any thread count.
            let mut generator = ChaCha8Rng::seed_from_u64(seed);
            generator.set_stream(number);
            let pick = |_| samples[generator.random_range(0..samples.len())];
            compute(&(0..samples.len()).map(pick).collect::<Vec<T>>())
        })
        .collect();
    let drops = (0..names.len()).map(|place| {
        let drop = |[a, b]: &[Vec<f64>; 2]| direction(names[place]) * (a[place] - b[place]);
        resampled.iter().map(drop).collect::<Vec<f64>>()
    });
    let rows = names.iter().zip(drops).enumerate();
    rows.map(|(place, (&name, mut drops))| {
        let whole = direction(name) * (reference[place] - candidate[place]);
        if drops.is_empty() {
            drops.push(whole);
        }
        drops.sort_by(f64::total_cmp);
        let at = |share: f64| drops[((drops.len() - 1) as f64 * share).round() as usize];
        let interval = [at(LEFT_OUT / 2.0), at(1.0 - LEFT_OUT / 2.0)];
        Metric {
            name,
            reference: reference[place],
            candidate: candidate[place],
            drop: whole,
            interval,
            within_noise: interval[0] <= 0.0 && interval[1] >= 0.0,
        }
    })
    .collect()
}

/// P(X > x) of a chi-squared variable with one degree of freedom.
fn chi_squared_tail(x: f64) -> f64 {
    libm::erfc((x / 2.0).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::ElementType;

    fn logits(rows: &[[f64; 3]]) -> Tensor {
        let flat: Vec<f64> = rows.concat();
        Tensor::from_f64(ElementType::Float, &[rows.len(), 3], &flat).expect("a tensor")
    }

    #[test]
    fn scores_match_hand_computed_values() {
        let mut task = Task::default();
        let right = logits(&[
            [1.0, 0.0, 0.0],
            [0.0, 1.0, 0.0],
            [0.0, 0.0, 1.0],
            [1.0, 0.0, 0.0],
        ]);
        let wrong = logits(&[
            [1.0, 0.0, 0.0],
            [1.0, 0.0, 0.0],
            [0.0, 0.0, 1.0],
            [1.0, 0.0, 0.0],
        ]);
        task.add(&Labels::Classes(vec![0, 1, 2, 0]), &right, &wrong)
            .expect("it fits");
        let report = task.finish(0).expect("labels");
        let metric = |name: &str| {
            report
                .metrics
                .iter()
                .find(|m| m.name == name)
                .expect("there")
                .clone()
        };
        assert_eq!(metric("accuracy").drop, 0.25);
        // Class 0: precision 2/3, recall 1; class 1: 0, 0; class 2: 1, 1.
        assert!((metric("precision").candidate - 5.0 / 9.0).abs() < 1e-12);
        assert!((metric("f1").candidate - (0.8 + 0.0 + 1.0) / 3.0).abs() < 1e-12);
        assert_eq!(report.confusion[1], [1, 0, 0]);
        assert!(metric("accuracy").interval[0] >= 0.0 && metric("accuracy").interval[1] <= 1.0);
        assert!(
            task.add(&Labels::Classes(vec![3, 0, 0, 0]), &right, &wrong)
                .is_err()
        );
        assert!(
            task.add(&Labels::Classes(vec![0, 0, 0]), &right, &wrong)
                .is_err()
        );
    }

    #[test]
    fn the_tail_of_chi_squared_is_close() {
        for (x, p) in [
            (0.0, 1.0),
            (1.0, 0.317_310_5),
            (3.841_459, 0.05),
            (10.827_57, 0.001),
        ] {
            assert!((chi_squared_tail(x) - p).abs() < 1e-6, "{x}");
        }
    }

    #[test]
    fn regression_counts_smaller_errors_as_better() {
        let mut task = Task::default();
        let tensor = |numbers: &[f64]| {
            Tensor::from_f64(ElementType::Double, &[4], numbers).expect("a tensor")
        };
        let labels = Labels::Values(vec![1.0, 2.0, 3.0, 4.0]);
        task.add(
            &labels,
            &tensor(&[1.0, 2.0, 3.0, 4.0]),
            &tensor(&[1.0, 2.0, 3.0, 6.0]),
        )
        .expect("it fits");
        let report = task.finish(0).expect("labels");
        assert_eq!(
            (report.metrics[0].candidate, report.metrics[0].drop),
            (1.0, 1.0)
        );
        let r2 = &report.metrics[2];
        assert!((r2.candidate - 0.2).abs() < 1e-12 && (r2.drop - 0.8).abs() < 1e-12);
    }
}
