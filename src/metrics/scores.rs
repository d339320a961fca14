//! Scores of a classification from counts of answers.

use serde::Serialize;

/// Precision, recall and F1 of one class, for the candidate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassRow {
    /// The class.
    pub class: usize,
    /// Samples of the class.
    pub samples: u64,
    /// Right among those said to be of the class.
    pub precision: f64,
    /// Found among those that are of the class.
    pub recall: f64,
    /// Harmonic mean of both.
    pub f1: f64,
}

/// One labelled sample of a classification.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) label: u32,
    /// Predictions of reference and candidate.
    pub(super) said: [u32; 2],
    /// Whether the label is among the five likeliest.
    pub(super) top: [bool; 2],
}

pub(super) fn confusion(answers: &[Answer], classes: usize, model: usize) -> Vec<Vec<u64>> {
    let mut matrix = vec![vec![0; classes]; classes];
    for answer in answers {
        matrix[answer.label as usize][answer.said[model] as usize] += 1;
    }
    matrix
}

/// Of one class: right answers, times said, samples.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    right: u64,
    said: u64,
    samples: u64,
}

/// By class; without the whole matrix, which is too large to make for every resampling.
pub(super) fn counts(answers: &[Answer], classes: usize, model: usize) -> Vec<Counts> {
    let mut counts = vec![Counts::default(); classes];
    for answer in answers {
        let (label, said) = (answer.label as usize, answer.said[model] as usize);
        counts[label].samples += 1;
        counts[said].said += 1;
        counts[label].right += u64::from(label == said);
    }
    counts
}

impl Counts {
    /// Precision, recall, F1; 0 where they are not defined.
    fn scores(self) -> [f64; 3] {
        let ratio = |whole: u64| match whole {
            0 => 0.0,
            whole => self.right as f64 / whole as f64,
        };
        let (precision, recall) = (ratio(self.said), ratio(self.samples));
        let f1 = match precision + recall {
            0.0 => 0.0,
            sum => 2.0 * precision * recall / sum,
        };
        [precision, recall, f1]
    }
}

pub(super) fn class_rows(counts: &[Counts]) -> Vec<ClassRow> {
    let row = |(class, counts): (usize, &Counts)| {
        let [precision, recall, f1] = counts.scores();
        ClassRow {
            class,
            samples: counts.samples,
            precision,
            recall,
            f1,
        }
    };
    counts.iter().enumerate().map(row).collect()
}

/// Precision, recall and F1 averaged over the classes that have samples.
pub(super) fn macro_scores(counts: &[Counts]) -> [f64; 3] {
    let mut sums = [0.0; 3];
    let mut classes = 0.0_f64;
    for counts in counts.iter().filter(|counts| counts.samples > 0) {
        classes += 1.0;
        for (sum, score) in sums.iter_mut().zip(counts.scores()) {
            *sum += score;
        }
    }
    sums.map(|sum| sum / classes.max(1.0))
}
