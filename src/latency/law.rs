//! Times as a function of the channels, fitted to what was timed.
//!
//! Each kernel's time is explained by what its node touches, by least squares with numbers that are not negative. The sum
//! of all kernels and what values there are between them then explain the whole runs, which the profiler does not slow
//! down.

use std::collections::{BTreeMap, BTreeSet};

use super::observations::Observations;
use super::touched::{FEATURES, OF_VALUES, Touched};
use crate::algebra::nonnegative;
use crate::dimensions::Analysis;
use crate::graph::{Graph, NodeId};

/// Microseconds that a kernel's time is uncertain by, and a share of its mean: shorter times count little.
const UNCERTAIN: f64 = 0.3;
const UNCERTAIN_SHARE: f64 = 0.25;
/// Nodes that are fused into the kernel of one behind them lie this near.
const FUSED: usize = 6;
const PICOSECONDS: f64 = 1e12;
/// Picoseconds that a term says at most.
const LONGEST: f64 = 1e15;

/// Picoseconds of a run by the channels that stay.
#[derive(Debug)]
pub(super) struct Law {
    terms: Vec<LawTerm>,
    /// What no node takes.
    constant: u64,
    /// By dimension the terms in which it occurs.
    of: Vec<Vec<usize>>,
}

#[derive(Debug)]
struct LawTerm {
    /// The node whose kernel it is.
    node: usize,
    touched: Touched,
    /// Picoseconds of one of each feature.
    each: [f64; FEATURES],
}

impl LawTerm {
    fn value(&self, channels: &[usize]) -> u64 {
        let features = self.touched.features(channels);
        let parts = features.iter().zip(&self.each).map(|(n, each)| n * each);
        parts.sum::<f64>().min(LONGEST) as u64
    }
}

/// Features of nodes at every choice that was timed, with the times.
struct Explained {
    node: usize,
    touched: Touched,
    /// Microseconds by choice; none where no kernel is of the node.
    times: Option<Vec<f64>>,
    by_choice: Vec<[f64; FEATURES]>,
}

impl Law {
    /// The law that fits what was timed best.
    pub(super) fn fitted(analysis: &Analysis, observed: &Observations) -> Law {
        let nodes = explained(analysis, observed);
        let choices = observed.seconds.len();
        let mut kernels = vec![0.0; choices];
        let mut own = Vec::new();
        for node in &nodes {
            let each = node.times.as_ref().map(|times| {
                let columns: Vec<Vec<f64>> = (0..FEATURES).map(|of| node.column(of)).collect();
                fit(columns, times)
            });
            let each = each.unwrap_or_else(|| vec![0.0; FEATURES]);
            for (sum, features) in kernels.iter_mut().zip(&node.by_choice) {
                *sum += features
                    .iter()
                    .zip(&each)
                    .map(|(n, each)| n * each)
                    .sum::<f64>();
            }
            own.push(each);
        }
        // Kernels that are of no one node, by all values.
        let values = |of: usize| -> Vec<f64> {
            let sum = |choice: usize| nodes.iter().map(|node| node.by_choice[choice][of]).sum();
            (0..choices).map(sum).collect()
        };
        let mut columns: Vec<Vec<f64>> = OF_VALUES.map(values).collect();
        columns.push(vec![1.0; choices]);
        let rest = observed.kernels.iter().find(|row| row.node.is_none());
        let rest = rest.map_or(vec![0.0; columns.len()], |rest| {
            fit(columns.clone(), &rest.microseconds)
        });
        for (choice, sum) in kernels.iter_mut().enumerate() {
            let parts = columns.iter().zip(&rest);
            *sum += parts
                .map(|(column, each)| column[choice] * each)
                .sum::<f64>();
        }
        columns.push(kernels);
        let whole: Vec<f64> = observed
            .seconds
            .iter()
            .map(|seconds| 1e6 * seconds)
            .collect();
        let weights = whole.iter().map(|time| 1.0 / time).collect();
        let last = weighted(columns, &whole, weights);
        let scale = last[last.len() - 1];
        let all: Vec<f64> = rest.iter().zip(&last).map(|(a, b)| scale * a + b).collect();
        let own = own
            .iter()
            .map(|each| each.iter().map(|n| scale * n).collect());
        Law::of_parts(analysis, nodes, own.collect(), &all)
    }

    /// `own` are microseconds of each node's features, `all` those of the values of all nodes, and what is constant.
    fn of_parts(
        analysis: &Analysis,
        nodes: Vec<Explained>,
        own: Vec<Vec<f64>>,
        all: &[f64],
    ) -> Law {
        let per = PICOSECONDS / 1e6;
        let constant = per * all[OF_VALUES.len()];
        let mut terms = Vec::new();
        let mut of = vec![Vec::new(); analysis.dimensions().len()];
        for (node, own) in nodes.into_iter().zip(own) {
            let each = std::array::from_fn(|place| {
                let shared = all[OF_VALUES].get(place).copied().unwrap_or(0.0);
                per * (own[place] + shared)
            });
            for dimension in node.touched.dimensions() {
                of[dimension].push(terms.len());
            }
            terms.push(LawTerm {
                node: node.node,
                touched: node.touched,
                each,
            });
        }
        let constant = constant as u64;
        Law {
            terms,
            constant,
            of,
        }
    }
}

impl Explained {
    fn column(&self, of: usize) -> Vec<f64> {
        self.by_choice.iter().map(|features| features[of]).collect()
    }
}

/// The numbers with which columns make times of kernels.
fn fit(columns: Vec<Vec<f64>>, times: &[f64]) -> Vec<f64> {
    let mean = times.iter().sum::<f64>() / times.len().max(1) as f64;
    let weight = |time: &f64| 1.0 / (time + UNCERTAIN_SHARE * mean + UNCERTAIN);
    weighted(columns, times, times.iter().map(weight).collect())
}

fn weighted(mut columns: Vec<Vec<f64>>, times: &[f64], weights: Vec<f64>) -> Vec<f64> {
    for column in &mut columns {
        column
            .iter_mut()
            .zip(&weights)
            .for_each(|(n, weight)| *n *= weight);
    }
    let targets: Vec<f64> = times.iter().zip(&weights).map(|(n, w)| n * w).collect();
    nonnegative(&columns, &targets)
}

/// What is to be explained: kernels with the nodes that they compute.
fn explained(analysis: &Analysis, observed: &Observations) -> Vec<Explained> {
    let mut touched = Touched::by_node(analysis);
    let rows = observed.kernels.iter();
    let rows = rows.filter_map(|row| Some((row.node?, row.microseconds.clone())));
    let mut times: BTreeMap<usize, Vec<f64>> = rows.collect();
    for (node, into) in fused(analysis.graph(), &touched, &times) {
        if let Some(inner) = touched.remove(&node) {
            touched.entry(into).or_default().join(inner);
        }
        if let Some(own) = times.remove(&node.index()) {
            let sums = times.entry(into.index()).or_default().iter_mut();
            sums.zip(own).for_each(|(sum, time)| *sum += time);
        }
    }
    let nodes = touched.into_iter().map(|(node, touched)| Explained {
        node: node.index(),
        times: times.remove(&node.index()),
        by_choice: (observed.channels.iter())
            .map(|channels| touched.features(channels))
            .collect(),
        touched,
    });
    nodes.collect()
}

/// Nodes that compute and have no kernel of their own at some choice, with the node behind them whose kernel is theirs.
fn fused(
    graph: &Graph,
    touched: &BTreeMap<NodeId, Touched>,
    times: &BTreeMap<usize, Vec<f64>>,
) -> Vec<(NodeId, NodeId)> {
    let seen: BTreeSet<usize> = times.keys().copied().collect();
    let missing = |node: NodeId| {
        let own = times.get(&node.index());
        own.is_none_or(|own| own.iter().any(|time| *time <= 0.0))
    };
    let computing = touched.iter().filter(|(_, of)| of.computes());
    let found = computing.filter(|(node, _)| missing(**node));
    let found = found.filter_map(|(&node, _)| {
        let mut next = node;
        for _ in 0..FUSED {
            let mut behind = graph.successors(next);
            next = behind.next()?;
            if behind.next().is_some() {
                return None;
            }
            if seen.contains(&next.index()) {
                return Some((node, next));
            }
        }
        None
    });
    found.collect()
}

/// Picoseconds at a choice of channels that changes dimension by dimension.
pub(super) struct LawMeter<'a> {
    law: &'a Law,
    channels: Vec<usize>,
    /// By term.
    times: Vec<u64>,
    /// By term whether its node is there.
    there: Vec<bool>,
    sum: u64,
}

impl<'a> LawMeter<'a> {
    /// Where these nodes are left.
    pub(super) fn new(law: &'a Law, channels: Vec<usize>, left: &[bool]) -> LawMeter<'a> {
        let mut meter = LawMeter {
            sum: law.constant,
            there: law.terms.iter().map(|term| left[term.node]).collect(),
            times: vec![0; law.terms.len()],
            law,
            channels,
        };
        (0..law.terms.len()).for_each(|number| meter.count(number));
        meter
    }

    fn count(&mut self, number: usize) {
        self.sum -= self.times[number];
        self.times[number] = match self.there[number] {
            true => self.law.terms[number].value(&self.channels),
            false => 0,
        };
        self.sum += self.times[number];
    }

    pub(super) fn channels(&self) -> &[usize] {
        &self.channels
    }

    pub(super) fn set(&mut self, dimension: usize, channels: usize) {
        if self.channels[dimension] == channels {
            return;
        }
        self.channels[dimension] = channels;
        let law = self.law;
        law.of[dimension]
            .iter()
            .for_each(|&number| self.count(number));
    }

    /// Picoseconds now.
    pub(super) fn time(&self) -> u64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dimensions::InputSizes;
    use crate::latency::design::choices;
    use crate::latency::observations::KernelTimes;
    use crate::onnx::Model;

    fn resnet() -> Analysis {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures/trained/resnet8_fashion.bn.onnx");
        let graph = Graph::new(&Model::load(&path).expect("a model")).expect("a graph");
        let sizes = InputSizes::for_graph(&graph, &[]).expect("sizes");
        Analysis::new(graph, sizes)
    }

    fn all_left(analysis: &Analysis) -> Vec<bool> {
        vec![true; analysis.graph().node_count()]
    }

    /// Microseconds by node: blocks are filled up, values cost something, and each kernel takes a moment.
    fn truth(touched: &BTreeMap<NodeId, Touched>, channels: &[usize]) -> BTreeMap<usize, f64> {
        let time = |node: &NodeId, features: [f64; FEATURES]| {
            let pace = 1.0 + 0.1 * (node.index() % 3) as f64;
            0.4 + pace * (2e-5 * features[8] + 1e-6 * features[5] + 3e-4 * features[0])
        };
        let all = touched.iter();
        all.map(|(node, of)| (node.index(), time(node, of.features(channels))))
            .collect()
    }

    #[test]
    fn a_law_is_found_again() {
        let analysis = resnet();
        let touched = Touched::by_node(&analysis);
        let all = choices(&analysis, 64);
        let (known, asked) = all.split_at(48);
        let whole = |channels: &Vec<usize>| 7.0 + truth(&touched, channels).values().sum::<f64>();
        let kernels = touched.keys().map(|node| KernelTimes {
            node: Some(node.index()),
            microseconds: (known.iter())
                .map(|channels| truth(&touched, channels)[&node.index()])
                .collect(),
        });
        let observed = Observations {
            original: 1.0,
            channels: known.to_vec(),
            seconds: known
                .iter()
                .map(|channels| 1e-6 * whole(channels))
                .collect(),
            kernels: kernels.collect(),
        };
        let law = Law::fitted(&analysis, &observed);
        for channels in asked {
            let time =
                LawMeter::new(&law, channels.clone(), &all_left(&analysis)).time() as f64 * 1e-6;
            let error = time / whole(channels) - 1.0;
            assert!(error.abs() < 0.01, "{channels:?}: {error}");
        }
    }

    #[test]
    fn times_change_dimension_by_dimension() {
        let analysis = resnet();
        let touched = Touched::by_node(&analysis);
        let known = choices(&analysis, 20);
        let seconds = |channels: &Vec<usize>| truth(&touched, channels).values().sum::<f64>();
        let observed = Observations {
            original: 1.0,
            seconds: known.iter().map(|of| 1e-6 * seconds(of)).collect(),
            channels: known.clone(),
            kernels: Vec::new(),
        };
        let law = Law::fitted(&analysis, &observed);
        let mut meter = LawMeter::new(&law, known[0].clone(), &all_left(&analysis));
        for channels in &known {
            let pairs = channels.iter().enumerate();
            pairs.for_each(|(dimension, &count)| meter.set(dimension, count));
            let anew = LawMeter::new(&law, channels.clone(), &all_left(&analysis));
            assert_eq!(meter.time(), anew.time());
            assert_eq!(meter.channels(), anew.channels());
        }
    }
}
