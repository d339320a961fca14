//! Costs as polynomials in the numbers of channels that stay: the only way in which costs are counted.
//!
//! A polynomial is made once for a model. [`Meter`] holds it at a choice of channels and, when one dimension
//! changes, counts anew only the terms in which it occurs.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Analysis, Totals};
use crate::axes::{Type, VarId};
use crate::graph::{NodeId, ValueId};
use crate::onnx::{ElementType, element_count};

/// A polynomial.
#[derive(Debug)]
pub(crate) enum Expression {
    Number(u64),
    /// The channels that stay of a dimension.
    Channels(usize),
    Product(Vec<Expression>),
    Sum(Vec<Expression>),
    /// One of so many equal blocks.
    Block(Box<Expression>, u64),
}

impl Expression {
    /// The number at these channels, the largest there is where it overflows.
    pub(crate) fn value(&self, channels: &[usize]) -> u64 {
        match self {
            Expression::Number(number) => *number,
            Expression::Channels(dimension) => channels[*dimension] as u64,
            Expression::Product(factors) => factors
                .iter()
                .fold(1, |n, factor| n.saturating_mul(factor.value(channels))),
            Expression::Sum(parts) => parts
                .iter()
                .fold(0, |n, part| n.saturating_add(part.value(channels))),
            Expression::Block(of, blocks) => of.value(channels) / blocks,
        }
    }

    /// Adds the dimensions that it speaks of.
    pub(crate) fn collect(&self, out: &mut HashSet<usize>) {
        match self {
            Expression::Number(_) => {}
            Expression::Channels(dimension) => {
                out.insert(*dimension);
            }
            Expression::Product(inner) | Expression::Sum(inner) => {
                inner.iter().for_each(|of| of.collect(out));
            }
            Expression::Block(of, _) => of.collect(out),
        }
    }
}

/// What a term counts.
#[derive(Debug)]
enum Counts {
    /// Elements of a tensor of so many bits each, and whether they are parameters.
    Elements { bits: u32, parameters: bool },
    /// Multiply-accumulate operations of a node.
    Operations(NodeId),
}

#[derive(Debug)]
struct Term {
    expression: Expression,
    counts: Counts,
}

impl Term {
    /// Params, multiply-accumulate operations and bytes of a count.
    fn costs(&self, count: u64) -> [u128; 3] {
        match self.counts {
            Counts::Operations(_) => [0, u128::from(count), 0],
            Counts::Elements { bits, parameters } => {
                let count = u128::from(count);
                let bytes = (count * u128::from(bits)).div_ceil(8);
                [if parameters { count } else { 0 }, 0, bytes]
            }
        }
    }
}

/// The costs of a model by the channels that stay of each dimension.
#[derive(Debug, Default)]
pub(crate) struct CostPolynomial {
    terms: Vec<Term>,
    /// By dimension the terms in which it occurs.
    of: Vec<Vec<usize>>,
    nodes: usize,
}

impl CostPolynomial {
    /// Of what the analysed model holds and computes. A constant that nothing reads costs nothing.
    pub(super) fn new(analysis: &Analysis) -> CostPolynomial {
        let sizes = Expressions::new(analysis);
        let mut terms = Vec::new();
        for id in read_values(analysis) {
            let Some(tensor) = analysis.graph().constant(id) else {
                continue;
            };
            let element = ElementType::of(tensor.data_type());
            let expression = match analysis.state.axes(id) {
                Some(axes) => sizes.product(axes),
                None => Expression::Number(element_count(tensor).unwrap_or(0) as u64),
            };
            let counts = Counts::Elements {
                bits: element.map_or(0, ElementType::bits),
                parameters: element.is_some_and(|e| !e.is_index()),
            };
            terms.push(Term { expression, counts });
        }
        for cost in analysis.state.costs() {
            terms.push(Term {
                expression: sizes.product(cost.produced.iter().chain(&cost.contracted)),
                counts: Counts::Operations(cost.node),
            });
        }
        let mut of = vec![Vec::new(); analysis.dimensions().len()];
        for (number, term) in terms.iter().enumerate() {
            let mut dimensions = HashSet::new();
            term.expression.collect(&mut dimensions);
            dimensions.into_iter().for_each(|at| of[at].push(number));
        }
        let nodes = analysis.graph().node_count();
        CostPolynomial { terms, of, nodes }
    }

    /// The costs when these numbers of channels stay, by dimension. Nodes are counted as they are.
    pub(crate) fn at(&self, channels: &[usize]) -> Totals {
        Meter::new(self, channels.to_vec()).totals()
    }

    /// Multiply-accumulate operations by node.
    pub(crate) fn operations(&self, channels: &[usize]) -> BTreeMap<NodeId, u64> {
        let mut out = BTreeMap::new();
        for term in &self.terms {
            if let Counts::Operations(node) = term.counts {
                let sum = out.entry(node).or_insert(0_u64);
                *sum = sum.saturating_add(term.expression.value(channels));
            }
        }
        out
    }

    /// Multiply-accumulate operations of the nodes in which each dimension occurs.
    pub(super) fn operations_by_dimension(&self, channels: &[usize]) -> Vec<u64> {
        let operations = self.terms.iter().map(|term| match term.counts {
            Counts::Operations(_) => term.expression.value(channels),
            Counts::Elements { .. } => 0,
        });
        let operations: Vec<u64> = operations.collect();
        let sum = |terms: &Vec<usize>| {
            let own = terms.iter().map(|&term| operations[term]);
            own.fold(0, u64::saturating_add)
        };
        self.of.iter().map(sum).collect()
    }
}

/// The costs at a choice of channels that changes dimension by dimension.
pub(crate) struct Meter<'a> {
    polynomial: &'a CostPolynomial,
    channels: Vec<usize>,
    /// By term.
    counts: Vec<u64>,
    /// Params, multiply-accumulate operations, bytes.
    sums: [u128; 3],
}

impl<'a> Meter<'a> {
    pub(crate) fn new(polynomial: &'a CostPolynomial, channels: Vec<usize>) -> Meter<'a> {
        let terms = polynomial.terms.iter();
        let counts: Vec<u64> = terms
            .clone()
            .map(|term| term.expression.value(&channels))
            .collect();
        let mut sums = [0; 3];
        for (term, &count) in terms.zip(&counts) {
            let costs = term.costs(count);
            (0..3).for_each(|of| sums[of] += costs[of]);
        }
        Meter {
            polynomial,
            channels,
            counts,
            sums,
        }
    }

    /// Channels that stay, by dimension.
    pub(crate) fn channels(&self) -> &[usize] {
        &self.channels
    }

    /// Another number of channels stays of one dimension.
    pub(crate) fn set(&mut self, dimension: usize, channels: usize) {
        if self.channels[dimension] == channels {
            return;
        }
        self.channels[dimension] = channels;
        for &number in &self.polynomial.of[dimension] {
            let term = &self.polynomial.terms[number];
            let before = term.costs(self.counts[number]);
            self.counts[number] = term.expression.value(&self.channels);
            let now = term.costs(self.counts[number]);
            (0..3).for_each(|of| self.sums[of] = self.sums[of] + now[of] - before[of]);
        }
    }

    /// The costs now.
    pub(crate) fn totals(&self) -> Totals {
        let [params, macs, bytes] = self.sums.map(|n| u64::try_from(n).unwrap_or(u64::MAX));
        Totals {
            params,
            macs,
            bytes,
            nodes: self.polynomial.nodes,
        }
    }
}

/// The values that a node, a body or the graph's outputs read.
fn read_values(analysis: &Analysis) -> Vec<ValueId> {
    let graph = analysis.graph();
    let nodes = graph.order().iter();
    let captured: HashSet<ValueId> = nodes
        .flat_map(|&node| graph.node(node).captured.iter().copied())
        .collect();
    let is_read = |&id: &ValueId| {
        let value = graph.value(id);
        value.is_output || !value.consumers.is_empty() || captured.contains(&id)
    };
    graph.value_ids().filter(is_read).collect()
}

/// Sizes of a model as polynomials.
pub(crate) struct Expressions<'a> {
    analysis: &'a Analysis,
    /// Of the dimensions, by their variables.
    places: HashMap<VarId, usize>,
}

impl<'a> Expressions<'a> {
    pub(crate) fn new(analysis: &'a Analysis) -> Expressions<'a> {
        let dimensions = analysis.dimensions().iter().enumerate();
        Expressions {
            analysis,
            places: dimensions.map(|(at, of)| (of.var, at)).collect(),
        }
    }

    /// The product of sizes.
    pub(crate) fn product<'t>(&self, types: impl IntoIterator<Item = &'t Type>) -> Expression {
        Expression::Product(types.into_iter().map(|ty| self.size(ty)).collect())
    }

    /// One size.
    pub(crate) fn size(&self, ty: &Type) -> Expression {
        let types = &self.analysis.state.types;
        match types.normal(ty) {
            Type::Var(var) => match self.places.get(&var) {
                Some(&place) => Expression::Channels(place),
                None => {
                    let extent = types.extent(&Type::Var(var));
                    Expression::Number(self.analysis.number(&extent))
                }
            },
            Type::Product(factors) => self.product(&factors),
            Type::Sum(parts) => Expression::Sum(parts.iter().map(|ty| self.size(ty)).collect()),
            Type::Block { of: inner, blocks } => {
                Expression::Block(Box::new(self.size(&inner)), blocks.max(1) as u64)
            }
        }
    }
}
