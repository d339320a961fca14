//! Tokens of one text in the place of another's.

use ndarray::{Array2, ArrayD};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Probability that a place gets the token of another sample.
pub(super) const PLACES: f64 = 0.1;
/// A stretch is at most this part of a sample.
const STRETCH: usize = 4;

/// The longest stretch of a text of this length.
pub(super) fn longest(length: usize) -> usize {
    length / STRETCH
}

/// A place of a sample that gets what another sample has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    sample: usize,
    place: usize,
    other: usize,
}

/// What must hold at a place of two samples so that their tokens may be exchanged.
pub(super) enum Guard {
    /// Nothing is padding: both are not 0.
    Mask(Array2<f64>),
    /// Both are the same.
    Type(Array2<f64>),
}

impl Guard {
    fn allows(&self, exchange: Exchange) -> bool {
        let at =
            |numbers: &Array2<f64>, sample: usize| numbers.get([sample, exchange.place]).copied();
        let pair = |numbers| (at(numbers, exchange.sample), at(numbers, exchange.other));
        match self {
            Guard::Mask(numbers) => {
                matches!(pair(numbers), (Some(a), Some(b)) if a != 0.0 && b != 0.0)
            }
            Guard::Type(numbers) => matches!(pair(numbers), (Some(a), Some(b)) if a == b),
        }
    }
}

/// Draws the exchanges of a batch: a stretch of each sample, and places here and there.
pub(super) fn drawn(
    samples: usize,
    length: usize,
    guards: &[Guard],
    generator: &mut ChaCha8Rng,
) -> Vec<Exchange> {
    let mut out = Vec::new();
    if samples < 2 {
        return out;
    }
    for sample in 0..samples {
        let other =
            |generator: &mut ChaCha8Rng| (sample + generator.random_range(1..samples)) % samples;
        let stretch = generator.random_range(0..=longest(length));
        let start = generator.random_range(0..=length - stretch);
        let from = other(generator);
        let one = |place: usize, other: usize| Exchange {
            sample,
            place,
            other,
        };
        out.extend((start..start + stretch).map(|place| one(place, from)));
        for place in 0..length {
            if generator.random_bool(PLACES) {
                out.push(one(place, other(generator)));
            }
        }
    }
    out.retain(|&exchange| guards.iter().all(|guard| guard.allows(exchange)));
    out
}

/// Puts tokens of the batch as it was into their new places; samples are along `axis` of two.
pub(super) fn exchange<T: Clone>(batch: &mut ArrayD<T>, axis: usize, exchanges: &[Exchange]) {
    let before = batch.clone();
    for exchange in exchanges {
        let index = |sample: usize| match axis {
            0 => [sample, exchange.place],
            _ => [exchange.place, sample],
        };
        let from = before.get(&index(exchange.other)[..]);
        if let (Some(to), Some(from)) = (batch.get_mut(&index(exchange.sample)[..]), from) {
            *to = from.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::IxDyn;

    use super::*;
    use crate::random::generator;

    /// By sample and place `100 * sample + place`.
    fn tokens(samples: usize, length: usize) -> ArrayD<i64> {
        ArrayD::from_shape_fn(IxDyn(&[samples, length]), |at| (100 * at[0] + at[1]) as i64)
    }

    #[test]
    fn tokens_keep_their_place_and_most_stay() {
        let mut batch = tokens(16, 64);
        let exchanges = drawn(16, 64, &[], &mut generator("tokens", 0));
        exchange(&mut batch, 0, &exchanges);
        let mut changed = 0;
        for ((at, now), before) in batch.indexed_iter().zip(&tokens(16, 64)) {
            assert_eq!(*now as usize % 100, at[1]);
            changed += usize::from(now != before);
        }
        // One in ten, and half of the longest stretch.
        let expected = 16.0 * 64.0 * (1.0 - (1.0 - 0.1) * (1.0 - 0.125));
        assert!(
            (changed as f64 / expected - 1.0).abs() < 0.3,
            "{changed} of {expected}"
        );
    }

    #[test]
    fn there_are_stretches_from_one_sample() {
        let exchanges = drawn(8, 64, &[], &mut generator("tokens", 1));
        let follows = |pair: &[Exchange]| {
            pair[0].sample == pair[1].sample
                && pair[0].other == pair[1].other
                && pair[0].place + 1 == pair[1].place
        };
        let following = exchanges.windows(2).filter(|pair| follows(pair)).count();
        assert!(following > 20, "{following} places follow another one");
    }

    #[test]
    fn padding_stays_and_types_agree() {
        let real = |sample: usize, place: usize| place < 8 + 4 * sample;
        let mask = Array2::from_shape_fn((4, 32), |(i, j)| f64::from(u8::from(real(i, j))));
        let kind = |sample: usize, place: usize| place > 5 + sample;
        let types = Array2::from_shape_fn((4, 32), |(i, j)| f64::from(u8::from(kind(i, j))));
        let guards = [Guard::Mask(mask), Guard::Type(types)];
        let mut count = 0;
        for seed in 0..20 {
            for exchange in drawn(4, 32, &guards, &mut generator("tokens", seed)) {
                let pair = [exchange.sample, exchange.other];
                assert!(pair.iter().all(|&sample| real(sample, exchange.place)));
                assert_eq!(kind(pair[0], exchange.place), kind(pair[1], exchange.place));
                count += 1;
            }
        }
        assert!(count > 100, "{count} exchanges");
    }

    #[test]
    fn samples_may_be_columns() {
        let exchanges = drawn(6, 20, &[], &mut generator("tokens", 2));
        let mut rows = tokens(6, 20);
        exchange(&mut rows, 0, &exchanges);
        let mut columns = tokens(6, 20).reversed_axes();
        exchange(&mut columns, 1, &exchanges);
        assert_ne!(rows, tokens(6, 20));
        assert_eq!(rows, columns.reversed_axes());
    }

    #[test]
    fn one_sample_and_empty_texts_have_nothing_to_exchange() {
        let mut generator = generator("tokens", 0);
        assert_eq!(drawn(1, 64, &[], &mut generator), []);
        assert_eq!(drawn(5, 0, &[], &mut generator), []);
    }
}
