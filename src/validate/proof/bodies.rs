//! Which bodies of a model ran in the runs that were compared: what never did is not proven.

use std::collections::HashSet;

use super::draws::Tensors;
use super::pair::{Pair, side_by_side};
use crate::dimensions::Analysis;
use crate::graph::{BodyId, Graph};
use crate::runtime::Session;

/// The bodies of a reference that have not run yet.
pub(super) struct BodyWatch {
    session: Session,
    output: String,
    /// By place in that output.
    left: Vec<(usize, String)>,
}

impl BodyWatch {
    /// None where there are no bodies that may run, or what watches them cannot.
    pub(super) fn over(pair: &Pair) -> Option<BodyWatch> {
        pair.analysis.graph().parts().nth(1)?;
        let graph = Graph::verified(pair.reference.clone(), pair.what).ok()?;
        let watched = graph.watched()?;
        let idle = idle(pair.analysis);
        let left = watched.bodies.into_iter().enumerate();
        let left: Vec<(usize, String)> = left.filter(|(_, name)| !idle.contains(name)).collect();
        let (runtime, options) = (pair.runtime, side_by_side());
        let session = runtime.session_with(&watched.model, pair.what, &options);
        Some(BodyWatch {
            session: session.ok().filter(|_| !left.is_empty())?,
            output: watched.output,
            left,
        })
    }

    /// Looks which bodies run on these inputs.
    pub(super) fn look(&mut self, inputs: &Tensors) {
        if self.left.is_empty() {
            return;
        }
        let Ok(outputs) = self.session.run(inputs) else {
            return;
        };
        let counts = outputs.iter().find(|(name, _)| *name == self.output);
        let counts = counts.map_or(Vec::new(), |(_, tensor)| tensor.to_f64());
        let ran = |place: usize| counts.get(place).is_some_and(|&count| count > 0.0);
        self.left.retain(|&(place, _)| !ran(place));
    }

    /// Those that never ran.
    pub(super) fn rest(self) -> impl Iterator<Item = String> {
        self.left.into_iter().map(|(_, name)| name)
    }
}

/// The bodies that no input lets run, as they are called.
fn idle(analysis: &Analysis) -> HashSet<String> {
    let graph = analysis.graph();
    let is_idle = |body: BodyId| {
        let mut around = Some(body);
        while let Some(body) = around {
            if analysis.state.idle.contains(&body) {
                return true;
            }
            around = graph.body_of(graph.owner(body));
        }
        false
    };
    let bodies = graph.parts().flatten().filter(|&body| is_idle(body));
    bodies.map(|body| graph.describe_body(body)).collect()
}
