//! The bodies of a graph that their nodes cannot run.

use super::fitting::{End, Fitting};
use super::kinds::Viewing;
use super::row::find;
use super::state::State;
use crate::error::Fault;
use crate::graph::{Graph, Producer, ValueId};

/// All faults of bodies in a typed graph.
pub(crate) fn unfit_bodies(graph: &Graph, state: &State) -> Vec<Fault> {
    let mut faults = Vec::new();
    for node in graph.order_with_bodies() {
        let Some(fits) = find(graph, node).and_then(|row| row.fits) else {
            continue;
        };
        let mut fitting = Fitting {
            graph,
            state,
            node,
            faults: Vec::new(),
        };
        fits(&mut fitting);
        faults.append(&mut fitting.faults);
    }
    faults
}

impl Fitting<'_> {
    /// The value that an end is, through nodes that only hand it on.
    pub(super) fn origin(&self, end: &End) -> Option<ValueId> {
        let mut value = end.value?;
        while let Producer::Node(node, 0) = self.graph.value(value).producer {
            let row = find(self.graph, node);
            if row.is_none_or(|row| row.viewing != Some(Viewing::Same)) {
                break;
            }
            value = self.graph.node(node).input(0)?;
        }
        Some(value)
    }
}
