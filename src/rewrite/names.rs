//! Fresh names that no value or node of the model has.

use std::collections::HashSet;

use crate::graph::Graph;

/// Makes names; the same requests give the same names.
pub(super) struct Names(HashSet<String>);

impl Names {
    pub(super) fn of(graph: &Graph) -> Names {
        let values = graph.value_ids().map(|id| graph.value(id).name.clone());
        Names(values.collect())
    }

    /// `base`, or `base` with the first number that makes it new.
    pub(super) fn fresh(&mut self, base: &str) -> String {
        let mut name = base.to_owned();
        let mut number = 1;
        while !self.0.insert(name.clone()) {
            number += 1;
            name = format!("{base}.{number}");
        }
        name
    }
}
