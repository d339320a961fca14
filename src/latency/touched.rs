//! What nodes compute, read and make, as functions of the channels that stay: what their times are explained by.

use std::collections::{BTreeMap, HashSet};

use crate::dimensions::{Analysis, Expression, Expressions, kernel_widths};
use crate::graph::NodeId;

/// Kernels of convolutions run on blocks of this many channels.
const BLOCK: u64 = 16;
/// Numbers by which times are explained.
pub(super) const FEATURES: usize = 11;
/// Those that speak of the values between kernels: their elements, and the elements of values whose widths are no
/// multiples, which other kernels take or which are laid out anew.
pub(super) const OF_VALUES: std::ops::Range<usize> = 0..4;

/// What nodes touch together.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Multiply-accumulate operations, with the widths that products read and make.
    macs: Vec<Macs>,
    /// What is read and made, but for constants.
    values: Vec<Elements>,
    /// Elements of constants.
    weights: Vec<Expression>,
}

#[derive(Debug)]
struct Macs {
    count: Expression,
    /// What is read, then what is made: channels of so many equal parts.
    widths: [Option<(Expression, u64)>; 2],
}

#[derive(Debug)]
struct Elements {
    count: Expression,
    /// Sizes that vary.
    varying: Vec<Expression>,
}

impl Touched {
    /// By node what it touches.
    pub(super) fn by_node(analysis: &Analysis) -> BTreeMap<NodeId, Touched> {
        let sizes = Expressions::new(analysis);
        let graph = analysis.graph();
        let mut out: BTreeMap<NodeId, Touched> = BTreeMap::new();
        for &id in graph.order() {
            let node = graph.node(id);
            let touched = out.entry(id).or_default();
            for &value in node.inputs.iter().chain(&node.outputs).flatten() {
                let Some(axes) = analysis.state.axes(value) else {
                    continue;
                };
                let count = sizes.product(axes);
                if graph.constant(value).is_some() {
                    touched.weights.push(count);
                    continue;
                }
                let varying = axes.iter().map(|ty| sizes.size(ty)).filter(varies);
                touched.values.push(Elements {
                    varying: varying.collect(),
                    count,
                });
            }
        }
        for cost in analysis.state.costs() {
            let macs = Macs {
                count: sizes.product(cost.produced.iter().chain(&cost.contracted)),
                widths: [None, None],
            };
            out.entry(cost.node).or_default().macs.push(macs);
        }
        for width in kernel_widths(analysis) {
            let place = usize::from(!width.read);
            for macs in &mut out.entry(width.node).or_default().macs {
                let size = || (sizes.size(&width.channels), width.parts as u64);
                macs.widths[place].get_or_insert_with(size);
            }
        }
        out
    }

    /// True if there are operations to count.
    pub(super) fn computes(&self) -> bool {
        !self.macs.is_empty()
    }

    /// Takes in what another touches.
    pub(super) fn join(&mut self, other: Touched) {
        self.macs.extend(other.macs);
        self.values.extend(other.values);
        self.weights.extend(other.weights);
    }

    /// The dimensions that it depends on.
    pub(super) fn dimensions(&self) -> HashSet<usize> {
        let mut found = HashSet::new();
        let macs = self.macs.iter().map(|of| &of.count);
        let values = self.values.iter().map(|of| &of.count);
        let all = macs.chain(values).chain(&self.weights);
        all.for_each(|expression| expression.collect(&mut found));
        found
    }

    /// What times are sums of, each times a number that is not negative.
    pub(super) fn features(&self, channels: &[usize]) -> [f64; FEATURES] {
        let mut out = [0.0; FEATURES];
        for values in &self.values {
            let count = values.count.value(channels) as f64;
            let odd = |multiple: u64| {
                let mut sizes = values.varying.iter().map(|size| size.value(channels));
                sizes.any(|size| !size.is_multiple_of(multiple))
            };
            let shares = [true, odd(BLOCK), odd(BLOCK / 2), odd(BLOCK / 4)];
            for (feature, holds) in out.iter_mut().zip(shares) {
                *feature += if holds { count } else { 0.0 };
            }
        }
        let weights = self.weights.iter().map(|of| of.value(channels) as f64);
        out[4] = weights.sum();
        for macs in &self.macs {
            let count = macs.count.value(channels) as f64;
            let [read, made] = macs.widths.each_ref().map(|width| {
                let width = width
                    .as_ref()
                    .map_or(BLOCK, |(of, parts)| of.value(channels) / parts);
                width.max(1)
            });
            // What a block is filled up with is computed as well.
            let filled = |width: u64| width.next_multiple_of(BLOCK) as f64 / width as f64;
            // What reads other widths than multiples of this leaves the kernels that run on blocks.
            let plain = f64::from(u8::from(!read.is_multiple_of(BLOCK / 4)));
            let (read, made) = (filled(read), filled(made));
            let shares = [1.0, read, made, read * made, plain];
            for (feature, share) in out[5..].iter_mut().zip(shares) {
                *feature += count * share;
            }
        }
        out[10] = 1.0;
        out
    }
}

/// Whether any dimension occurs in it.
fn varies(size: &Expression) -> bool {
    let mut found = HashSet::new();
    size.collect(&mut found);
    !found.is_empty()
}
