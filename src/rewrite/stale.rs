//! What of a choice cannot be made right: the model that it would leave is typed, and its sizes are compared
//! with those that the choice asks for.

use std::collections::HashSet;

use super::apply::rewritten;
use crate::axes::{Extent, Kept, Origin, Reason, Symbols, VarId};
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, Producer, ValueId};
use crate::ops::{State, type_graph};

/// Variables that must keep their positions, and why.
#[derive(Clone, Debug)]
pub(crate) struct Stale {
    pub(crate) vars: Vec<VarId>,
    pub(crate) reason: Reason,
}

impl Stale {
    /// Why a plan with this in it is refused.
    pub(super) fn refusal(&self, analysis: &Analysis, kept: &Kept) -> Error {
        let cut = analysis.dimensions().iter().filter_map(|dimension| {
            let positions = analysis.positions(kept, dimension)?;
            let named = self.vars.contains(&dimension.var);
            named.then(|| {
                let (name, size) = (&dimension.name, dimension.size);
                format!("'{name}' to {} of {size} channels", positions.len())
            })
        });
        let cut: Vec<String> = cut.collect();
        Error::plan(format!(
            "it cuts {}, but {}; make a plan that leaves these as they are, or with other numbers",
            cut.join(" and "),
            analysis.explain(self.reason)
        ))
    }
}

const UNWRITTEN: &str = "reads a number that depends on its size and cannot be written anew";
const REFUSED: &str = "would not fit together with the sizes that are left";

/// Everything of `kept` that cannot be made right, found one after the other.
///
/// # Errors
/// A weight that cannot be sliced.
pub(crate) fn stale(analysis: &Analysis, kept: &Kept) -> Result<Vec<Stale>> {
    let mut left = kept.clone();
    let mut out: Vec<Stale> = Vec::new();
    loop {
        match attempt(analysis, &left)? {
            Ok(after) => {
                analysis.keep_fitting(left, after);
                return Ok(out);
            }
            Err(found) => {
                found.vars.iter().for_each(|&var| left.remove(var));
                out.push(found);
            }
        }
    }
}

/// Pins whatever of the dimensions cannot lose half of its positions, with the reason.
///
/// # Errors
/// A weight that cannot be sliced.
pub(crate) fn hold_stale(analysis: &mut Analysis) -> Result<()> {
    if analysis.dimensions().is_empty() {
        return Ok(());
    }
    let mut half = analysis.everything();
    for dimension in analysis.dimensions() {
        let block = dimension.size / dimension.blocks.max(1);
        let positions = 0..dimension.size as u32;
        let least = dimension.least.div_ceil(dimension.blocks.max(1));
        let stays = block.div_ceil(2).max(least);
        let stays = stays.next_multiple_of(dimension.multiple());
        let first = positions.filter(|at| *at as usize % block.max(1) < stays);
        half.insert(dimension.var, first.collect());
    }
    let stale = stale(analysis, &half)?;
    analysis.hold(stale.into_iter().flat_map(|stale| {
        let Stale { vars, reason } = stale;
        vars.into_iter().map(move |var| (var, reason))
    }));
    Ok(())
}

/// The graph that a choice leaves; as an error the first node in graph order that would go wrong, where one would.
///
/// # Errors
/// A weight that cannot be sliced, or a graph that breaks the rules of all graphs.
pub(super) fn attempt(analysis: &Analysis, kept: &Kept) -> Result<Result<Graph, Stale>> {
    if let Some(stale) = off_step(analysis, kept) {
        return Ok(Err(stale));
    }
    let (model, faults) = rewritten(analysis, kept)?;
    if let Some(&node) = faults.first() {
        return Ok(Err(blamed(analysis, kept, node, UNWRITTEN)));
    }
    let after = Graph::verified(model, "the pruned model")?;
    if kept.is_empty() {
        return Ok(Ok(after));
    }
    let state = type_graph(&after, analysis.premises());
    let pruned = Pruned { after, state };
    let wrong =
        (analysis.state.typed.iter().copied()).find(|&node| pruned.is_wrong(analysis, kept, node));
    Ok(match wrong {
        Some(node) => Err(blamed(analysis, kept, node, REFUSED)),
        None => Ok(pruned.after),
    })
}

/// What a kernel does not take: a size that is no multiple of the number that it demands.
fn off_step(analysis: &Analysis, kept: &Kept) -> Option<Stale> {
    let types = &analysis.state.types;
    analysis.state.multiples().iter().find_map(|demand| {
        let left = types.kept_extent(&demand.size, kept).size()?;
        let vars = types.vars(&demand.size).into_iter();
        let cut = vars.filter(|&var| types.positions(kept, var).is_some());
        let vars: Vec<VarId> = cut.collect();
        let origin = Origin::Node(demand.node.0);
        let why = demand.why;
        (!vars.is_empty() && !left.is_multiple_of(demand.of)).then_some(Stale {
            vars,
            reason: Reason { origin, why },
        })
    })
}

/// The variables that lose positions where a node works, or else where the numbers come from that it reads; all
/// that do, where none does there either.
fn blamed(analysis: &Analysis, kept: &Kept, node: NodeId, why: &'static str) -> Stale {
    let (mut nodes, mut seen) = (vec![node], HashSet::from([node]));
    let mut vars = Vec::new();
    while vars.is_empty() && !nodes.is_empty() {
        vars = nodes
            .iter()
            .flat_map(|&node| cut_at(analysis, kept, node))
            .collect();
        let sources = nodes.iter().flat_map(|&node| sources(analysis, node));
        nodes = sources.filter(|&node| seen.insert(node)).collect();
    }
    if vars.is_empty() {
        vars = kept.vars().collect();
    }
    vars.sort_unstable();
    vars.dedup();
    let origin = Origin::Node(node.0);
    let reason = Reason { origin, why };
    Stale { vars, reason }
}

/// The variables that lose positions in what a node reads, makes or has to say in numbers.
fn cut_at(analysis: &Analysis, kept: &Kept, node: NodeId) -> Vec<VarId> {
    let types = &analysis.state.types;
    let connections = analysis.graph().node(node);
    let values = connections
        .reads()
        .chain(connections.outputs.iter().flatten().copied());
    let axes = values.flat_map(|value| analysis.state.axes(value).unwrap_or_default());
    let mirrors = analysis.state.mirrors_of(node);
    let sizes = mirrors.flat_map(|mirror| mirror.sizes.iter().flatten());
    let vars = axes.chain(sizes).flat_map(|ty| types.vars(ty));
    vars.filter(|&var| types.positions(kept, var).is_some())
        .collect()
}

/// The nodes that make the numbers that a node reads.
fn sources(analysis: &Analysis, node: NodeId) -> Vec<NodeId> {
    let graph = analysis.graph();
    let is_number = |&value: &ValueId| {
        let element = analysis.state.elements[value.index()];
        let known = analysis.state.integers[value.index()].is_some();
        known || element.is_some_and(|element| element.is_index())
    };
    let reads = graph.node(node).reads().filter(is_number);
    let producers = reads.filter_map(|value| match graph.value(value).producer {
        Producer::Node(node, _) => Some(node),
        _ => None,
    });
    producers.collect()
}

/// A pruned model, typed.
struct Pruned {
    after: Graph,
    state: State,
}

impl Pruned {
    fn is_wrong(&self, analysis: &Analysis, kept: &Kept, node: NodeId) -> bool {
        let graph = analysis.graph();
        let outputs = graph.node(node).outputs.iter().flatten();
        let mut pairs = outputs.filter_map(|&old| {
            let new = graph.find_in(&self.after, old)?;
            Some((old, new))
        });
        pairs.any(|(old, new)| {
            self.is_refused(analysis, node, new) || self.differs(analysis, kept, old, new)
        })
    }

    /// True if the rule of the node does not apply any more.
    fn is_refused(&self, analysis: &Analysis, node: NodeId, made: ValueId) -> bool {
        let Producer::Node(now, _) = self.after.value(made).producer else {
            return false;
        };
        let before = analysis.state.unruled_of(node);
        before.is_none() && self.state.unruled_of(now).is_some()
    }

    /// True if some size is not the one that the choice asks for, or cannot be told any more.
    fn differs(&self, analysis: &Analysis, kept: &Kept, old: ValueId, new: ValueId) -> bool {
        let state = &analysis.state;
        let (Some(old), Some(new)) = (state.axes(old), self.state.axes(new)) else {
            return false;
        };
        let differ = |(old, new): (&_, &_)| {
            let wanted = state.types.kept_extent(old, kept);
            let made = self.state.types.extent(new);
            let sizes = [(&state.symbols, &wanted), (&self.state.symbols, &made)];
            (0..2).any(|run| {
                let [wanted, made] =
                    sizes.map(|(symbols, extent)| number(symbols, extent, &state.symbols, run));
                wanted.is_some() && wanted != made
            })
        };
        old.len() != new.len() || old.iter().zip(new).any(differ)
    }
}

/// The number that a size is where every symbol has a number that follows from its name; none where one has a
/// name that `known` does not have.
fn number(symbols: &Symbols, extent: &Extent, known: &Symbols, run: usize) -> Option<i64> {
    let foreign = std::cell::Cell::new(false);
    let assign = |name: &str| {
        foreign.set(foreign.get() || !known.has_name(name));
        let hash = blake3::hash(name.as_bytes());
        32 + i64::from(hash.as_bytes()[run])
    };
    let number = symbols.evaluate(extent, &assign);
    number.filter(|_| !foreign.get())
}
