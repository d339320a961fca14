//! What of a choice cannot be made right: the model that it would leave is typed, and its sizes are compared
//! with those that the choice asks for.

use super::prune::rewritten;
use crate::axes::{Extent, Kept, Origin, Reason, Symbols, VarId};
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::{Graph, NodeId, ValueId};
use crate::ops::{State, type_graph};

/// Variables that must keep their positions, and why.
#[derive(Clone, Debug)]
pub(crate) struct Stale {
    pub(crate) vars: Vec<VarId>,
    pub(crate) reason: Reason,
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
    while !left.is_empty() {
        let Some(found) = first(analysis, &left)? else {
            break;
        };
        found.vars.iter().for_each(|&var| left.remove(var));
        out.push(found);
    }
    Ok(out)
}

/// Pins whatever of the dimensions cannot lose half of its positions, with the reason.
///
/// # Errors
/// A weight that cannot be sliced.
pub(crate) fn hold_stale(analysis: &mut Analysis) -> Result<()> {
    let mut half = analysis.everything();
    for dimension in analysis.dimensions() {
        let block = dimension.size / dimension.blocks.max(1);
        let positions = 0..dimension.size as u32;
        let first = positions.filter(|at| *at as usize % block.max(1) < block.div_ceil(2));
        half.insert(dimension.var, first.collect());
    }
    let stale = stale(analysis, &half)?;
    analysis.hold(stale.into_iter().flat_map(|stale| {
        let Stale { vars, reason } = stale;
        vars.into_iter().map(move |var| (var, reason))
    }));
    Ok(())
}

/// The first node in graph order that would go wrong.
fn first(analysis: &Analysis, kept: &Kept) -> Result<Option<Stale>> {
    let (model, faults) = rewritten(analysis, kept)?;
    if let Some(&node) = faults.first() {
        return Ok(Some(blamed(analysis, kept, node, UNWRITTEN)));
    }
    let after = Graph::verified(model, "the pruned model")?;
    let state = type_graph(&after, analysis.observed());
    let pruned = Pruned { after, state };
    let order = analysis.graph().order().iter();
    let wrong = order
        .copied()
        .find(|&node| pruned.is_wrong(analysis, kept, node));
    Ok(wrong.map(|node| blamed(analysis, kept, node, REFUSED)))
}

/// The variables that lose positions where a node works; all that do, where none does there.
fn blamed(analysis: &Analysis, kept: &Kept, node: NodeId, why: &'static str) -> Stale {
    let types = &analysis.state.types;
    let connections = analysis.graph().node(node);
    let values = connections
        .reads()
        .chain(connections.outputs.iter().flatten().copied());
    let axes = values.flat_map(|value| analysis.state.axes(value).unwrap_or_default());
    let mirrors = analysis.state.mirrors_of(node);
    let sizes = mirrors.flat_map(|mirror| mirror.sizes.iter().flatten());
    let mut vars: Vec<VarId> = axes.chain(sizes).flat_map(|ty| types.vars(ty)).collect();
    vars.retain(|&var| types.positions(kept, var).is_some());
    vars.sort_unstable();
    vars.dedup();
    if vars.is_empty() {
        vars = kept.vars().collect();
    }
    let origin = Origin::Node(node.0);
    let reason = Reason { origin, why };
    Stale { vars, reason }
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
            let new = self.after.find(&graph.value(old).name)?;
            Some((old, new))
        });
        pairs.any(|(old, new)| {
            self.is_refused(analysis, node, new) || self.differs(analysis, kept, old, new)
        })
    }

    /// True if the rule of the node does not apply any more.
    fn is_refused(&self, analysis: &Analysis, node: NodeId, made: ValueId) -> bool {
        let crate::graph::Producer::Node(now, _) = self.after.value(made).producer else {
            return false;
        };
        let before = analysis.state.unruled_of(node);
        before.is_none() && self.state.unruled_of(now).is_some()
    }

    /// True if some size is not the one that the choice asks for.
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
                wanted
                    .zip(made)
                    .is_some_and(|(wanted, made)| wanted != made)
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
