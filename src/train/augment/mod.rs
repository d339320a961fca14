//! Samples changed a little at every step, so that few of them are worth many.
//!
//! What may be changed is told by the form of an input and the numbers of one batch: images are shifted and
//! mirrored, rows shifted, tokens exchanged between samples. The teacher answers on the changed samples, so that a
//! change need not leave the right answer as it is, only be like what the model may see.

mod change;
mod exchange;
mod facts;
mod kinds;
mod moves;
mod rows;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::random::generator;
use crate::runtime::Tensor;

use facts::InputFacts;
use moves::Moving;

/// Whether samples are changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AugmentKind {
    /// As each input's form tells.
    #[default]
    Auto,
    /// Not at all.
    None,
}

/// How samples are changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct AugmentSettings {
    /// Whether they are.
    pub(crate) kind: AugmentKind,
    /// Standard deviation of normal noise on float inputs of no known kind, in standard deviations of their data.
    pub(crate) noise: f64,
}

/// What is done to the inputs of a data set.
#[derive(Clone, Debug)]
pub(crate) struct Augmentation {
    inputs: Vec<AugmentedInput>,
}

#[derive(Clone, Debug)]
struct AugmentedInput {
    name: String,
    /// The axis that counts samples.
    axis: usize,
    rank: usize,
    treatment: Treatment,
    phrase: String,
}

/// What is done to an input.
#[derive(Clone, Debug, PartialEq)]
enum Treatment {
    Moved(Moving),
    /// Tokens of this length.
    Tokens(usize),
    /// Which of the tokens of this length are padding.
    Mask(usize),
    /// Of which kind the tokens of this length are.
    Types(usize),
    /// Normal noise of this standard deviation.
    Noise(f64),
    Kept,
}

/// A treatment and how it is told.
type Told = (Treatment, String);

impl Augmentation {
    /// What is done to inputs that look like those of one batch, which should have samples enough to show what they
    /// have in common. `axis` says of an input along which axis samples are counted, if they are.
    pub(crate) fn of(
        batch: &[(String, Tensor)],
        axis: &dyn Fn(&str) -> Option<usize>,
        settings: &AugmentSettings,
    ) -> Augmentation {
        let told = match settings.kind {
            AugmentKind::Auto => {
                let facts = batch
                    .iter()
                    .map(|(name, tensor)| InputFacts::of(tensor, axis(name)));
                kinds::treatments(&facts.collect::<Vec<_>>(), settings)
            }
            AugmentKind::None => {
                let kept = (Treatment::Kept, "left as it is".to_owned());
                vec![kept; batch.len()]
            }
        };
        let inputs = batch.iter().zip(told);
        let input =
            |((name, tensor), (treatment, phrase)): (&(String, Tensor), Told)| AugmentedInput {
                name: name.clone(),
                axis: axis(name).unwrap_or(0),
                rank: tensor.shape().len(),
                treatment,
                phrase,
            };
        Augmentation {
            inputs: inputs.map(input).collect(),
        }
    }

    /// The random numbers of a step.
    pub(crate) fn generator(seed: u64, step: usize) -> ChaCha8Rng {
        generator(&format!("augmentation of step {step}"), seed)
    }

    /// By input a phrase that says what is done to it.
    pub(crate) fn describe(&self) -> Vec<String> {
        let phrase = |input: &AugmentedInput| format!("`{}`: {}", input.name, input.phrase);
        self.inputs.iter().map(phrase).collect()
    }

    /// True if no input is changed.
    pub(crate) fn is_none(&self) -> bool {
        let mut inputs = self.inputs.iter();
        inputs.all(|input| {
            !matches!(
                input.treatment,
                Treatment::Moved(_) | Treatment::Tokens(_) | Treatment::Noise(_)
            )
        })
    }
}
