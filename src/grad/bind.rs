//! A model at fixed sizes of its inputs.

use crate::dimensions::{Analysis, InputSizes};
use crate::engine::observed;
use crate::error::Result;
use crate::graph::{Graph, declaration};
use crate::ops::{Premises, Settled};
use crate::runtime::Runtime;

/// A graph in which sizes are numbers, as far as they follow from those of the inputs.
#[derive(Debug)]
pub(crate) struct BoundGraph {
    analysis: Analysis,
}

impl BoundGraph {
    /// The graph with inputs of these sizes, by name. What no rule says is looked at in a run, if there is a runtime.
    ///
    /// # Errors
    /// The sizes contradict the model.
    pub(crate) fn of(
        graph: &Graph,
        sizes: &[(String, Vec<usize>)],
        runtime: Option<&Runtime>,
    ) -> Result<BoundGraph> {
        let source = graph.model();
        let mut proto = source.proto.clone();
        let target = proto.graph.get_or_insert_default();
        for input in &mut target.input {
            if let Some((name, sizes)) = sizes.iter().find(|(name, _)| name == input.name()) {
                let element = graph.find(name).and_then(|value| graph.element(value));
                let shape: Vec<_> = sizes.iter().map(|&size| Some(size as i64)).collect();
                *input = declaration(name, element, Some(&shape));
            }
        }
        for output in &mut target.output {
            let name = output.name().to_owned();
            let element = graph.find(&name).and_then(|value| graph.element(value));
            *output = declaration(&name, element, None);
        }
        // They may name sizes that are numbers now.
        target.value_info.clear();
        let model = source.with(proto, source.lazy.clone());
        let graph = Graph::verified(model, "the model at fixed sizes")?;
        let sizes = InputSizes::for_graph(&graph, &[])?;
        let analysis = Analysis::new(graph, sizes);
        let analysis = match runtime.filter(|_| analysis.has_unknown_ranks()) {
            None => analysis,
            Some(runtime) => {
                let seen = observed(&analysis, runtime);
                let sizes = analysis.sizes().clone();
                let premises = Premises {
                    observed: seen,
                    ..analysis.premises().clone()
                };
                Analysis::with(analysis.graph().clone(), sizes, premises)
            }
        };
        Ok(BoundGraph { analysis })
    }

    pub(crate) fn graph(&self) -> &Graph {
        self.analysis.graph()
    }

    /// What adjoints know of it.
    pub(crate) fn settled(&self) -> Settled<'_> {
        Settled {
            graph: self.analysis.graph(),
            state: &self.analysis.state,
        }
    }

    /// Bytes of a value, where its sizes are known.
    pub(crate) fn bytes_of(&self, name: &str) -> Option<u64> {
        let value = self.graph().find(name)?;
        self.settled().array(value).map(|array| array.bytes())
    }
}
