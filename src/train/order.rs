//! In which order samples are trained on: every epoch in a new one, batch after batch.

use crate::error::{Error, Result};
use crate::random::permutation;

/// Sample numbers by batch. All epochs follow each other, so that every batch is full: one that an epoch does not
/// fill goes on with the next epoch. A batch depends on its number and the seed alone.
#[derive(Clone, Debug)]
pub(crate) struct SampleOrder {
    samples: usize,
    batch: usize,
    seed: u64,
    /// The epoch that was asked for last, with its permutation.
    latest: Option<(usize, Vec<usize>)>,
}

impl SampleOrder {
    /// The order of `samples` samples, `batch` at a time (at least one).
    ///
    /// # Errors
    /// There are no samples.
    pub(crate) fn new(samples: usize, batch: usize, seed: u64) -> Result<SampleOrder> {
        if samples == 0 {
            return Err(Error::Usage(
                "there are no samples to train on: give data, or hold out less of it".to_owned(),
            ));
        }
        Ok(SampleOrder {
            samples,
            batch: batch.max(1),
            seed,
            latest: None,
        })
    }

    /// The samples of the batch with this number. Costs as much as one epoch has samples where the last call was
    /// for another epoch.
    pub(crate) fn batch(&mut self, number: usize) -> Vec<usize> {
        let first = number as u128 * self.batch as u128;
        let samples = self.samples as u128;
        let mut epoch = usize::try_from(first / samples).unwrap_or(usize::MAX);
        let mut from = (first % samples) as usize;
        let mut out = Vec::with_capacity(self.batch);
        while out.len() < self.batch {
            let to = self.samples.min(from + self.batch - out.len());
            out.extend_from_slice(&self.epoch(epoch)[from..to]);
            from = 0;
            epoch = epoch.wrapping_add(1);
        }
        out
    }

    fn epoch(&mut self, epoch: usize) -> &[usize] {
        let permutation = match self.latest.take() {
            Some((latest, permutation)) if latest == epoch => permutation,
            _ => permutation(
                self.samples,
                &format!("samples of epoch {epoch}"),
                self.seed,
            ),
        };
        &self.latest.insert((epoch, permutation)).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(order: &mut SampleOrder, numbers: std::ops::Range<usize>) -> Vec<usize> {
        numbers.flat_map(|number| order.batch(number)).collect()
    }

    #[test]
    fn every_epoch_has_every_sample_once_in_another_order() {
        // 35 batches of 6 are 21 epochs of 10.
        let stream = batches(&mut SampleOrder::new(10, 6, 7).expect("samples"), 0..35);
        let epochs: Vec<&[usize]> = stream.chunks(10).collect();
        for epoch in &epochs {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        let different: std::collections::BTreeSet<_> = epochs.iter().collect();
        assert_eq!(different.len(), 21);
        // Every place gets different samples: the shuffle favours none.
        for place in 0..10 {
            let there: std::collections::BTreeSet<_> = epochs.iter().map(|e| e[place]).collect();
            assert!(there.len() >= 5, "place {place}: {there:?}");
        }
    }

    #[test]
    fn a_batch_does_not_depend_on_those_before() {
        let mut order = SampleOrder::new(13, 5, 1).expect("samples");
        let all: Vec<Vec<usize>> = (0..40).map(|number| order.batch(number)).collect();
        for number in [39, 0, 17, 2, 18] {
            let alone = SampleOrder::new(13, 5, 1).expect("samples").batch(number);
            assert_eq!(alone, all[number]);
            assert_eq!(order.batch(number), all[number]);
        }
        let mut other = SampleOrder::new(13, 5, 2).expect("samples");
        assert_ne!(batches(&mut other, 0..4), all[..4].concat());
    }

    #[test]
    fn a_batch_may_be_larger_than_the_data() {
        let mut order = SampleOrder::new(3, 7, 0).expect("samples");
        let stream = batches(&mut order, 0..3);
        assert_eq!(stream.len(), 21);
        for epoch in stream.chunks(3) {
            assert_eq!(epoch.iter().sum::<usize>(), 3);
        }
        assert_eq!(SampleOrder::new(1, 0, 0).expect("a sample").batch(9), [0]);
    }

    #[test]
    fn no_samples_are_refused() {
        let fault = SampleOrder::new(0, 4, 0).expect_err("it is refused");
        assert!(fault.to_string().contains("no samples"), "{fault}");
    }
}
