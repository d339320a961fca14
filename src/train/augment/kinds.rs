//! What is done to each input, as its form and the numbers of one batch tell.

use std::collections::{BTreeSet, HashSet};

use super::exchange::{PLACES, longest};
use super::facts::InputFacts;
use super::moves::{Moving, Shift};
use super::rows::{PIXELS, SEQUENCE, sequences};
use super::{AugmentSettings, Told, Treatment};
use crate::onnx::ElementType;

/// Shortest side of an image.
const SIDE: usize = 8;
/// Sides up to this size are shifted by up to [`PIXELS`] places, others by one in [`SIDES`] of theirs.
const SMALL: usize = 64;
const SIDES: usize = 16;
/// Most different numbers of an input that says of which kind tokens are.
const TYPES: usize = 16;

/// What is done to inputs that look like this.
pub(super) fn treatments(all: &[InputFacts], settings: &AugmentSettings) -> Vec<Told> {
    let mut out: Vec<Option<Told>> = all.iter().map(image).collect();
    texts(all, &mut out);
    sequences(all, &mut out);
    let rest =
        |(told, facts): (Option<Told>, &InputFacts)| told.unwrap_or_else(|| other(facts, settings));
    out.into_iter().zip(all).map(rest).collect()
}

fn image(facts: &InputFacts) -> Option<Told> {
    let elements = facts.element.is_float() || facts.element == ElementType::Uint8;
    let &[a, b, c] = facts.sizes() else {
        return None;
    };
    let fits = |channels: usize, sides: [usize; 2]| {
        matches!(channels, 1 | 3 | 4) && sides.iter().all(|&side| side >= SIDE)
    };
    let (down, right) = match () {
        () if fits(a, [b, c]) => (1, 2),
        () if fits(c, [a, b]) => (0, 1),
        () => return None,
    };
    if !elements || facts.axis.is_none() {
        return None;
    }
    let shift = |axis: usize| Shift {
        axis,
        most: match facts.sizes()[axis] {
            ..=SMALL => PIXELS,
            side => side / SIDES,
        },
    };
    let [down, right] = [shift(down), shift(right)];
    let by = match down.most == right.most {
        true => down.most.to_string(),
        false => format!("{} and {}", down.most, right.most),
    };
    let moving = Moving {
        down: Some(down),
        right: Some(right),
        mirror: Some(right.axis),
    };
    let phrase = format!("image {a}x{b}x{c}, shifted by up to {by}, mirrored");
    Some((Treatment::Moved(moving), phrase))
}

/// Finds tokens, and what goes with them: masks, types, positions.
fn texts(all: &[InputFacts], out: &mut [Option<Told>]) {
    let is_text = |facts: &&InputFacts| facts.is_token_type() && facts.sizes().len() == 1;
    let lengths = all.iter().filter(is_text).filter_map(InputFacts::length);
    let lengths: BTreeSet<usize> = lengths.filter(|&length| length >= SEQUENCE).collect();
    for length in lengths {
        let is_candidate = |facts: &&InputFacts| {
            is_text(facts)
                && facts.length() == Some(length)
                && !facts.is_binary()
                && !facts.is_shared()
                && !facts.are_positions()
        };
        let candidates = all.iter().filter(is_candidate);
        let Some(tokens) = candidates.max_by_key(|facts| facts.distinct(usize::MAX)) else {
            continue;
        };
        for (told, facts) in out.iter_mut().zip(all) {
            if told.is_none() && facts.length() == Some(length) {
                let many = std::ptr::eq(facts, tokens) || facts.distinct(TYPES + 1) > TYPES;
                *told = match is_candidate(&facts) && many {
                    true => Some(tokens_of(length)),
                    false => beside(facts, tokens, length),
                };
            }
        }
    }
}

fn tokens_of(length: usize) -> Told {
    let phrase = format!(
        "{length} tokens, {:.0} % of them and a stretch of up to {} from other samples",
        100.0 * PLACES,
        longest(length)
    );
    (Treatment::Tokens(length), phrase)
}

/// What an input says of the tokens that it goes with.
fn beside(facts: &InputFacts, tokens: &InputFacts, length: usize) -> Option<Told> {
    if facts.is_binary() && marks_padding(facts, tokens) {
        let phrase = "mask, left as it is: no padding is exchanged".to_owned();
        return Some((Treatment::Mask(length), phrase));
    }
    if facts.element.is_float() {
        return None;
    }
    let fixed = !facts.is_binary() && (facts.is_shared() || facts.are_positions());
    match fixed {
        true => Some((Treatment::Kept, "positions, left as they are".to_owned())),
        false => {
            let phrase = "types of tokens, left as they are: only tokens of one type are exchanged";
            Some((Treatment::Types(length), phrase.to_owned()))
        }
    }
}

/// True if all tokens at a mask's zeros are the same one; so they are not where zeros are types of tokens.
fn marks_padding(mask: &InputFacts, tokens: &InputFacts) -> bool {
    let (mask, tokens) = (mask.lines(), tokens.lines());
    let pairs = mask.iter().zip(&tokens);
    let hidden = pairs.filter(|(mask, _)| **mask == 0.0);
    let hidden: HashSet<u64> = hidden.map(|(_, token)| token.to_bits()).collect();
    mask.dim() == tokens.dim() && hidden.len() <= 1
}

fn other(facts: &InputFacts, settings: &AugmentSettings) -> Told {
    let form = || {
        let sizes: Vec<String> = facts.sizes().iter().map(ToString::to_string).collect();
        format!("{}[{}]", facts.element, sizes.join(", "))
    };
    let kept = |why: String| (Treatment::Kept, format!("{why}, left as it is"));
    if facts.axis.is_none() {
        return kept("the same for all samples".to_owned());
    }
    let varies = facts.element.is_float() && !facts.is_shared() && facts.distinct(3) > 2;
    let deviation = facts
        .deviation()
        .filter(|&deviation| varies && deviation > 0.0);
    match deviation {
        Some(deviation) if settings.noise > 0.0 => {
            let phrase = format!(
                "{}, with normal noise of {} standard deviations",
                form(),
                settings.noise
            );
            (Treatment::Noise(settings.noise * deviation), phrase)
        }
        _ => kept(format!("{} of no known kind", form())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Tensor;
    use ElementType::{Bool, Float, Float16, Int32, Int64, Uint8};

    const SAMPLES: usize = 6;

    /// An input of which each sample has these sizes; the number follows from the sample and the place in it.
    fn input(
        element: ElementType,
        sizes: &[usize],
        number: &dyn Fn(usize, usize) -> f64,
    ) -> InputFacts {
        let shape = [&[SAMPLES], sizes].concat();
        let each: usize = sizes.iter().product();
        let numbers = (0..SAMPLES * each).map(|at| number(at / each, at % each));
        let numbers: Vec<f64> = numbers.collect();
        let tensor = Tensor::from_f64(element, &shape, &numbers).expect("it fits");
        InputFacts::of(&tensor, Some(0))
    }

    fn mixed(sample: usize, at: usize) -> f64 {
        ((1000 * sample + at).wrapping_mul(2_654_435_761) >> 9) as f64 % 97.0
    }

    /// A wave along the places of a line of `length`.
    fn wave(length: usize) -> impl Fn(usize, usize) -> f64 {
        move |sample, at| {
            ((at % length) as f64 / 4.0 + sample as f64 + (at / length * 7) as f64).sin()
        }
    }

    fn padded(sample: usize, at: usize) -> f64 {
        f64::from(at < 10 + sample)
    }

    fn told(inputs: Vec<InputFacts>) -> Vec<String> {
        let told = treatments(&inputs, &AugmentSettings::default());
        told.into_iter().map(|(_, phrase)| phrase).collect()
    }

    fn phrase(
        element: ElementType,
        sizes: &[usize],
        number: &dyn Fn(usize, usize) -> f64,
    ) -> String {
        told(vec![input(element, sizes, number)]).remove(0)
    }

    #[test]
    fn images_are_told_by_channels_and_sides() {
        let is = |element, sizes: &[usize], wanted: &str| {
            let found = phrase(element, sizes, &mixed);
            assert!(found.starts_with(wanted), "{sizes:?}: {found}");
        };
        is(
            Float,
            &[1, 28, 28],
            "image 1x28x28, shifted by up to 2, mirrored",
        );
        is(
            Float16,
            &[64, 128, 3],
            "image 64x128x3, shifted by up to 2 and 8, mirrored",
        );
        is(
            Uint8,
            &[4, 224, 224],
            "image 4x224x224, shifted by up to 14, mirrored",
        );
        is(Float, &[3, 7, 28], "float32[3, 7, 28] of no known kind");
        is(Float, &[16, 28, 28], "float32[16, 28, 28] of no known kind");
        is(Int64, &[3, 28, 28], "int64[3, 28, 28] of no known kind");
    }

    #[test]
    fn rows_and_channels_of_signals_are_told_by_what_resembles_its_neighbours() {
        let image = |sample: usize, at: usize| wave(28)(sample, at) + wave(28)(sample, at / 28);
        let found = phrase(Float, &[28, 28], &image);
        assert_eq!(
            found,
            "28 rows of 28, shifted by up to 2 along and 2 across"
        );
        let found = phrase(Float, &[42, 64], &mixed);
        assert_eq!(found, "42 rows of 64, shifted by up to 3 along");
        let found = phrase(Float, &[6, 140], &wave(140));
        assert_eq!(
            found,
            "6 channel(s) of 140 values, shifted by up to 10 along"
        );
        let apart = |sample: usize, at: usize| wave(64)(sample + 97 * (at / 64), at % 64);
        let found = phrase(Float, &[42, 64], &apart);
        assert_eq!(
            found,
            "42 channel(s) of 64 values, shifted by up to 4 along"
        );
        let found = phrase(Float, &[3, 40], &mixed);
        assert_eq!(found, "float32[3, 40] of no known kind, left as it is");
    }

    #[test]
    fn tokens_are_told_from_masks_types_and_positions() {
        let first = |sample: usize, at: usize| f64::from(at > 4 + sample) * padded(sample, at);
        let ids = |sample: usize, at: usize| padded(sample, at) * (1.0 + mixed(sample, at));
        let shifted = |sample: usize, at: usize| (at + 1) as f64 * padded(sample, at);
        let found = told(vec![
            input(Int64, &[32], &first),
            input(Bool, &[1, 1, 32], &padded),
            input(Int32, &[32], &shifted),
            input(Int64, &[32], &ids),
            input(Int64, &[32], &|_, _| 0.0),
            input(Int64, &[32], &|_, at| at as f64),
        ]);
        let starts = [
            "types",
            "mask",
            "positions",
            "32 tokens",
            "types",
            "positions",
        ];
        for (found, start) in found.iter().zip(starts) {
            assert!(found.starts_with(start), "{found}, not {start}");
        }
        assert_eq!(
            found[3],
            "32 tokens, 10 % of them and a stretch of up to 8 from other samples"
        );
    }

    #[test]
    fn an_alphabet_may_be_small_and_texts_two() {
        let letters = |sample: usize, at: usize| mixed(sample, at) % 4.0;
        assert!(phrase(Int64, &[40], &letters).starts_with("40 tokens"));
        let pair = |by: usize| move |sample: usize, at: usize| mixed(sample + by, at);
        let found = told(vec![
            input(Int64, &[40], &pair(0)),
            input(Int64, &[40], &pair(7)),
            input(Int64, &[24], &pair(9)),
        ]);
        let lengths = found.iter().map(|found| found.split(" tokens").next());
        assert_eq!(
            lengths.collect::<Vec<_>>(),
            [Some("40"), Some("40"), Some("24")]
        );
        // Without tokens there is nothing to exchange.
        assert!(phrase(Int64, &[32], &padded).ends_with("left as it is"));
        assert!(phrase(Int64, &[3], &mixed).ends_with("left as it is"));
    }

    #[test]
    fn rows_whose_length_is_told_elsewhere_stay_in_place() {
        let rows = || input(Float, &[28, 10], &mixed);
        let found = told(vec![
            rows(),
            input(Int64, &[], &|sample, _| (20 + sample) as f64),
        ]);
        assert_eq!(found[0], "float32[28, 10] of no known kind, left as it is");
        let found = told(vec![rows(), input(Int64, &[], &|_, _| 28.0)]);
        assert_eq!(found[0], "28 rows of 10, shifted by up to 2 along");
        let found = told(vec![input(Bool, &[28], &padded), rows()]);
        assert_eq!(found[0], "mask, shifted with the rows");
        let found = told(vec![
            rows(),
            input(Int64, &[28], &mixed),
            input(Bool, &[28], &|_, _| 1.0),
        ]);
        assert!(found[0].ends_with("left as it is"), "{found:?}");
        assert!(found[2].starts_with("mask, left as it is"), "{found:?}");
    }

    #[test]
    fn what_is_no_batch_stays() {
        let tensor = Tensor::from_f64(Float, &[2, 3, 16, 16], &vec![0.5; 1536]).expect("it fits");
        let found = treatments(
            &[InputFacts::of(&tensor, None)],
            &AugmentSettings::default(),
        );
        assert_eq!(found[0].0, Treatment::Kept);
        let scalar = Tensor::from_f64(Int64, &[], &[3.0]).expect("it fits");
        let found = treatments(
            &[InputFacts::of(&scalar, Some(0))],
            &AugmentSettings::default(),
        );
        assert_eq!(found[0].0, Treatment::Kept);
    }
}
