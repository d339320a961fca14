//! What is asked of masking.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::error::{Error, Result};

/// How many weights become zero.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Amount {
    /// This share of the weights, zeros that are there already included.
    Sparsity(f64),
    /// All weights of a smaller absolute value.
    Threshold(f64),
    /// All weights of a layer below this many of its standard deviations.
    Deviations(f64),
}

/// Among which weights the least important are sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MaskScope {
    /// Those of one layer.
    Layer,
    /// Those of all layers together.
    Global,
    /// Those of one row: the weights of one output.
    Row,
}

/// How weights are scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WeightCriterion {
    /// Absolute value.
    #[default]
    Magnitude,
    /// Uniform random numbers from a seed.
    Random,
    /// Layer-adaptive magnitude: a weight's square over the sum of the squares of all weights of its layer
    /// that are not smaller (Lee et al. 2021).
    Lamp,
    /// Absolute value times the norm of the input feature (Sun et al. 2024).
    Wanda,
    /// Error after the best update of the other weights, column by column; the update is made (Frantar and
    /// Alistarh 2023).
    Sparsegpt,
    /// Norm of the input feature.
    Activation,
}

impl WeightCriterion {
    /// All criteria.
    pub const ALL: [WeightCriterion; 6] = [
        WeightCriterion::Magnitude,
        WeightCriterion::Random,
        WeightCriterion::Lamp,
        WeightCriterion::Wanda,
        WeightCriterion::Sparsegpt,
        WeightCriterion::Activation,
    ];

    /// True if it needs calibration data.
    pub fn is_calibrated(self) -> bool {
        use WeightCriterion::{Activation, Lamp, Magnitude, Random, Sparsegpt, Wanda};
        match self {
            Magnitude | Random | Lamp => false,
            Wanda | Sparsegpt | Activation => true,
        }
    }

    /// The scope that its source uses.
    pub fn scope(self) -> MaskScope {
        use WeightCriterion::{Activation, Lamp, Magnitude, Random, Sparsegpt, Wanda};
        match self {
            Magnitude | Random | Sparsegpt => MaskScope::Layer,
            Lamp => MaskScope::Global,
            Wanda | Activation => MaskScope::Row,
        }
    }
}

/// Which zeros belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pattern {
    /// None.
    #[default]
    Unstructured,
    /// Of every `of` weights in a row along the reduction axis at most `kept` are not zero.
    Grouped {
        /// Weights that may stay in each group.
        kept: usize,
        /// Weights per group.
        of: usize,
    },
    /// Blocks of rows by positions of the reduction axis.
    Block {
        /// Rows per block.
        rows: usize,
        /// Positions of the reduction axis per block.
        columns: usize,
    },
}

/// How the sparsity is shared among layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Budget {
    /// The same in every layer.
    #[default]
    Uniform,
    /// Erdős–Rényi kernel: density in proportion to the sum of a layer's sizes over their product (Evci et
    /// al. 2020).
    Erk,
    /// What LAMP scores over all layers would take from each.
    Lamp,
}

/// What is asked of masking.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskSettings {
    /// How many weights become zero; ignored by N:M patterns, which say it themselves.
    pub amount: Amount,
    /// Among which weights the least important are sought; the criterion's own scope without.
    pub scope: Option<MaskScope>,
    /// How weights are scored.
    pub criterion: WeightCriterion,
    /// Which zeros belong together.
    pub pattern: Pattern,
    /// How the sparsity is shared among layers; the criterion's own budget without.
    pub budget: Option<Budget>,
    /// Glob patterns of layers to leave alone: initializer, node or operator.
    pub skip: Vec<String>,
    /// Glob patterns of layers to mask and no others; empty for all.
    pub only: Vec<String>,
    /// Glob patterns of other weights to mask as well: norms, biases, embeddings.
    pub include: Vec<String>,
    /// Sparsities of layers by glob pattern; of several that match the last counts.
    pub sparsity_for: Vec<(String, f64)>,
    /// Seed of [`WeightCriterion::Random`].
    pub seed: u64,
}

impl Default for MaskSettings {
    fn default() -> MaskSettings {
        MaskSettings {
            amount: Amount::Sparsity(0.5),
            scope: None,
            criterion: WeightCriterion::default(),
            pattern: Pattern::default(),
            budget: None,
            skip: Vec::new(),
            only: Vec::new(),
            include: Vec::new(),
            sparsity_for: Vec::new(),
            seed: 0,
        }
    }
}

impl MaskSettings {
    /// The scope that holds: the one asked for, or the criterion's own; blocks are compared within layers.
    pub fn scope(&self) -> MaskScope {
        let own = match self.pattern {
            Pattern::Block { .. } => MaskScope::Layer,
            Pattern::Unstructured | Pattern::Grouped { .. } => self.criterion.scope(),
        };
        self.scope.unwrap_or(own)
    }

    /// The budget that holds: the one asked for, or the criterion's own. Wanda and SparseGPT share unevenly
    /// by default: the same sparsity everywhere ruins small layers, of which the first of a convolutional net
    /// is one, long before the others suffer.
    pub fn budget(&self) -> Budget {
        use WeightCriterion::{Sparsegpt, Wanda};
        let uneven = matches!(self.criterion, Wanda | Sparsegpt)
            && self.pattern == Pattern::Unstructured
            && self.scope() != MaskScope::Global;
        let own = if uneven {
            Budget::Lamp
        } else {
            Budget::Uniform
        };
        self.budget.unwrap_or(own)
    }

    /// The command that asks for these settings; what is not said has its default.
    pub fn command(&self) -> String {
        let grouped = matches!(self.pattern, Pattern::Grouped { .. });
        let mut words = match self.amount {
            Amount::Sparsity(_) if grouped => "mask".to_owned(),
            Amount::Sparsity(share) => format!("mask --sparsity {share}"),
            Amount::Threshold(limit) => format!("mask --threshold {limit}"),
            Amount::Deviations(count) => format!("mask --std-threshold {count}"),
        };
        words += &format!(" --criterion {} --pattern {}", self.criterion, self.pattern);
        if !grouped && matches!(self.amount, Amount::Sparsity(_)) {
            words += &format!(" --scope {}", self.scope());
        }
        if self.budget() != Budget::Uniform {
            words += &format!(" --budget {}", self.budget());
        }
        if self.criterion == WeightCriterion::Random {
            words += &format!(" --seed {}", self.seed);
        }
        let lists = [
            ("skip", &self.skip),
            ("only", &self.only),
            ("include", &self.include),
        ];
        for (flag, globs) in lists {
            for glob in globs {
                words += &format!(" --{flag} '{glob}'");
            }
        }
        for (glob, share) in &self.sparsity_for {
            words += &format!(" --sparsity-for '{glob}={share}'");
        }
        words
    }

    /// Checks that the settings go together.
    ///
    /// # Errors
    /// Numbers outside their range and combinations without a meaning, with what to say instead.
    pub fn check(&self) -> Result<()> {
        let usage = |text: String| Err(Error::Usage(text));
        let shares = self.sparsity_for.iter().map(|(_, share)| *share);
        let asked = match self.amount {
            Amount::Sparsity(share) => Some(share),
            Amount::Threshold(_) | Amount::Deviations(_) => None,
        };
        for share in shares.chain(asked) {
            if !(0.0..=1.0).contains(&share) {
                return usage(format!(
                    "the sparsity {share} is outside [0, 1]: it is the share of the weights that become zero"
                ));
            }
        }
        if let Amount::Threshold(limit) | Amount::Deviations(limit) = self.amount {
            if !(limit >= 0.0 && limit.is_finite()) {
                return usage(format!("the threshold {limit} is no positive number"));
            }
            let plain = self.pattern == Pattern::Unstructured && self.budget.is_none();
            let magnitude = self.criterion == WeightCriterion::Magnitude;
            if !plain || !magnitude || self.scope.is_some() || !self.sparsity_for.is_empty() {
                return usage(
                    "a threshold is one of magnitude, weight by weight: it goes with no other criterion, scope, pattern, budget or sparsity"
                        .to_owned(),
                );
            }
        }
        self.check_pattern()?;
        let lamp = self.criterion == WeightCriterion::Lamp;
        if lamp && (self.scope() != MaskScope::Global || self.pattern != Pattern::Unstructured) {
            return usage(
                "LAMP scores are compared over all layers, weight by weight: use `scope` global without a pattern, or `budget` lamp with another criterion"
                    .to_owned(),
            );
        }
        if self.budget.is_some() && self.scope() == MaskScope::Global {
            return usage(
                "a global scope decides itself what each layer loses: leave out `budget`, or use `scope` layer"
                    .to_owned(),
            );
        }
        if self.criterion == WeightCriterion::Sparsegpt && self.scope() != MaskScope::Layer {
            return usage(
                "SparseGPT solves one layer after the other: use `scope` layer, and `budget` to share the sparsity among layers"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn check_pattern(&self) -> Result<()> {
        match self.pattern {
            Pattern::Unstructured => Ok(()),
            Pattern::Grouped { .. }
                if self.scope.is_some()
                    || self.budget.is_some()
                    || !self.sparsity_for.is_empty() =>
            {
                Err(Error::Usage(
                    "an N:M pattern says itself how many weights every group loses: leave out `scope`, `budget` and `sparsity_for`"
                        .to_owned(),
                ))
            }
            Pattern::Grouped { .. } => Ok(()),
            Pattern::Block { .. } if self.scope() == MaskScope::Row => Err(Error::Usage(
                "blocks span rows: use `scope` layer or global with `pattern` block".to_owned(),
            )),
            Pattern::Block { .. } if self.criterion == WeightCriterion::Sparsegpt => {
                Err(Error::Usage(
                    "SparseGPT decides column by column: use `pattern` N:M or none".to_owned(),
                ))
            }
            Pattern::Block { .. } => Ok(()),
        }
    }
}

impl FromStr for Pattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Pattern> {
        let fault = |why: &str| {
            Err(Error::Usage(format!(
                "'{text}' is no pattern: {why}; write unstructured, N:M as in 2:4, or block:RxC as in block:4x1"
            )))
        };
        let pair = |text: &str, by: char| -> Option<(usize, usize)> {
            let (a, b) = text.split_once(by)?;
            Some((a.parse().ok()?, b.parse().ok()?))
        };
        if text == "unstructured" {
            return Ok(Pattern::Unstructured);
        }
        if let Some(sizes) = text.strip_prefix("block:") {
            return match pair(sizes, 'x') {
                Some((rows @ 1.., columns @ 1..)) => Ok(Pattern::Block { rows, columns }),
                _ => fault("a block has a positive number of rows and columns"),
            };
        }
        match pair(text, ':') {
            Some((kept, of @ 2..)) if kept <= of => Ok(Pattern::Grouped { kept, of }),
            Some((kept, of)) if kept > of => fault("N weights of M cannot stay if N is above M"),
            Some(_) => fault("a group has at least two weights"),
            None => fault("it has none of these forms"),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Unstructured => f.write_str("unstructured"),
            Pattern::Grouped { kept, of } => write!(f, "{kept}:{of}"),
            Pattern::Block { rows, columns } => write!(f, "block:{rows}x{columns}"),
        }
    }
}

/// Reading and printing of an enum of plain names.
macro_rules! named {
    ($kind:ty, $what:literal, $($name:literal => $variant:path),*) => {
        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $($variant => $name,)*
                })
            }
        }

        impl FromStr for $kind {
            type Err = Error;

            fn from_str(text: &str) -> Result<$kind> {
                match text {
                    $($name => Ok($variant),)*
                    _ => Err(Error::Usage(format!(
                        "there is no {} '{text}'; choose one of {}", $what, [$($name),*].join(", ")
                    ))),
                }
            }
        }
    };
}

named!(MaskScope, "scope",
    "layer" => MaskScope::Layer, "global" => MaskScope::Global, "row" => MaskScope::Row);
named!(Budget, "budget",
    "uniform" => Budget::Uniform, "erk" => Budget::Erk, "lamp" => Budget::Lamp);
named!(WeightCriterion, "criterion",
    "magnitude" => WeightCriterion::Magnitude, "random" => WeightCriterion::Random,
    "lamp" => WeightCriterion::Lamp, "wanda" => WeightCriterion::Wanda,
    "sparsegpt" => WeightCriterion::Sparsegpt, "activation" => WeightCriterion::Activation);
