//! Costs as polynomials in the numbers of channels that stay: the only way in which costs are counted.
//!
//! A polynomial is made once for a model. [`Meter`] holds it at a choice of channels and, when one dimension
//! changes, counts anew only the terms in which it occurs. Where blocks are dropped, terms of what goes with them count
//! nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::reach::Reach;
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
    /// The nodes of which one has to be left; none where it counts in any case.
    of: Option<Vec<usize>>,
}

impl Term {
    /// Whether it counts where these nodes are left.
    fn is_left(&self, nodes: &[bool]) -> bool {
        let of = self.of.as_ref();
        of.is_none_or(|of| of.iter().any(|&node| nodes[node]))
    }

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
    reach: Reach,
}

impl CostPolynomial {
    /// Of what the analysed model holds and computes. A constant that nothing reads costs nothing.
    pub(super) fn new(analysis: &Analysis) -> CostPolynomial {
        let sizes = Expressions::new(analysis);
        let mut terms = Vec::new();
        for (id, of) in read_values(analysis) {
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
            terms.push(Term {
                expression,
                counts,
                of,
            });
        }
        for cost in analysis.state.costs() {
            terms.push(Term {
                expression: sizes.product(cost.produced.iter().chain(&cost.contracted)),
                counts: Counts::Operations(cost.node),
                of: Some(vec![cost.node.index()]),
            });
        }
        let mut of = vec![Vec::new(); analysis.dimensions().len()];
        for (number, term) in terms.iter().enumerate() {
            let mut dimensions = HashSet::new();
            term.expression.collect(&mut dimensions);
            dimensions.into_iter().for_each(|at| of[at].push(number));
        }
        let reach = Reach::of(analysis);
        CostPolynomial { terms, of, reach }
    }

    /// By node whether it is left where blocks are dropped.
    pub(super) fn nodes_left(&self, dropped: &BTreeSet<usize>) -> Vec<bool> {
        self.reach.left(dropped)
    }

    /// Multiply-accumulate operations by node that is left.
    pub(super) fn operations(
        &self,
        channels: &[usize],
        dropped: &BTreeSet<usize>,
    ) -> BTreeMap<NodeId, u64> {
        let left = self.nodes_left(dropped);
        let mut out = BTreeMap::new();
        for term in self.terms.iter().filter(|term| term.is_left(&left)) {
            if let Counts::Operations(node) = term.counts {
                let sum = out.entry(node).or_insert(0_u64);
                *sum = sum.saturating_add(term.expression.value(channels));
            }
        }
        out
    }

    /// By block what goes where it is dropped alone.
    pub(super) fn of_blocks(&self, channels: &[usize]) -> Vec<Totals> {
        let mut by_node: HashMap<usize, Vec<usize>> = HashMap::new();
        for (number, term) in self.terms.iter().enumerate() {
            for &node in term.of.iter().flatten() {
                by_node.entry(node).or_default().push(number);
            }
        }
        let totals = |gone: HashSet<usize>| {
            let touched = gone.iter().filter_map(|node| by_node.get(node)).flatten();
            let touched: BTreeSet<usize> = touched.copied().collect();
            let mut sums = [0; 3];
            for term in touched.into_iter().map(|number| &self.terms[number]) {
                let all_gone = term.of.iter().flatten().all(|node| gone.contains(node));
                if all_gone {
                    let costs = term.costs(term.expression.value(channels));
                    (0..3).for_each(|of| sums[of] += costs[of]);
                }
            }
            totals_of(sums, gone.len())
        };
        self.reach.gone_alone().map(totals).collect()
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

/// The costs at a choice of channels and blocks that changes one by one.
pub(crate) struct Meter<'a> {
    polynomial: &'a CostPolynomial,
    channels: Vec<usize>,
    dropped: BTreeSet<usize>,
    /// By term.
    counts: Vec<u64>,
    /// By term whether it counts.
    left: Vec<bool>,
    /// Nodes that are left.
    nodes: usize,
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
            dropped: BTreeSet::new(),
            counts,
            left: vec![true; polynomial.terms.len()],
            nodes: polynomial.nodes_left(&BTreeSet::new()).len(),
            sums,
        }
    }

    /// The same without these blocks as well.
    pub(crate) fn without(mut self, blocks: &BTreeSet<usize>) -> Meter<'a> {
        blocks.iter().for_each(|&block| self.drop_block(block));
        self
    }

    /// A block is dropped.
    pub(crate) fn drop_block(&mut self, block: usize) {
        if self.dropped.insert(block) {
            self.count_what_is_left();
        }
    }

    /// A block is there again.
    #[cfg(test)]
    pub(crate) fn restore_block(&mut self, block: usize) {
        if self.dropped.remove(&block) {
            self.count_what_is_left();
        }
    }

    fn count_what_is_left(&mut self) {
        let nodes = self.polynomial.nodes_left(&self.dropped);
        self.nodes = nodes.iter().filter(|&&left| left).count();
        for (number, term) in self.polynomial.terms.iter().enumerate() {
            let left = term.is_left(&nodes);
            if left == std::mem::replace(&mut self.left[number], left) {
                continue;
            }
            let costs = term.costs(self.counts[number]);
            (0..3).for_each(|of| match left {
                true => self.sums[of] += costs[of],
                false => self.sums[of] -= costs[of],
            });
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
            if !self.left[number] {
                continue;
            }
            (0..3).for_each(|of| self.sums[of] = self.sums[of] + now[of] - before[of]);
        }
    }

    /// The costs now.
    pub(crate) fn totals(&self) -> Totals {
        totals_of(self.sums, self.nodes)
    }
}

fn totals_of(sums: [u128; 3], nodes: usize) -> Totals {
    let [params, macs, bytes] = sums.map(|n| u64::try_from(n).unwrap_or(u64::MAX));
    Totals {
        params,
        macs,
        bytes,
        nodes,
    }
}

/// The values that a node, a body or the graph's outputs read, with the nodes that do; none of these where it is read in
/// any case.
fn read_values(analysis: &Analysis) -> Vec<(ValueId, Option<Vec<usize>>)> {
    let graph = analysis.graph();
    let mut readers: HashMap<ValueId, Vec<usize>> = HashMap::new();
    for node in graph.order_with_bodies() {
        for value in graph.node(node).reads() {
            readers.entry(value).or_default().push(node.index());
        }
    }
    let read = graph.value_ids().filter_map(|id| {
        let readers = readers.remove(&id);
        match graph.value(id).is_output {
            true => Some((id, None)),
            false => readers.map(|readers| (id, Some(readers))),
        }
    });
    read.collect()
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
