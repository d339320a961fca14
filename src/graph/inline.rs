//! Local functions (`ModelProto.functions`) replaced by their bodies, so that weights reach the operators
//! that use them.
//!
//! Names made inside a body get the calling node's name as prefix; attribute references take the caller's
//! value or the function's default. Element types and shapes stay as they are.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::attributes::Attributes;
use super::calls::{Allowance, Key, key_of};
use super::names::collect;
use crate::error::{Error, Result};
use crate::onnx::proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto};
use crate::onnx::{Model, domain_of};

/// The model without local functions; a model that has none is returned as it is.
pub(crate) fn inlined(model: &Model) -> Result<Model> {
    if model.proto.functions.is_empty() {
        return Ok(model.clone());
    }
    let mut proto = model.proto.clone();
    let functions: HashMap<Key, FunctionProto> = std::mem::take(&mut proto.functions)
        .into_iter()
        .map(|function| {
            let key = (
                function.domain().to_owned(),
                function.name().to_owned(),
                function.overload().to_owned(),
            );
            (key, function)
        })
        .collect();
    import_operator_sets(&mut proto, &functions)?;
    let mut taken = HashSet::new();
    if let Some(graph) = &proto.graph {
        collect(graph, &mut taken);
    }
    let mut inliner = Inliner {
        functions: &functions,
        taken: taken.into_iter().collect(),
        calls: 0,
        allowance: Allowance::new(&functions, model.source_bytes()),
    };
    if let Some(graph) = &mut proto.graph {
        inliner.allowance.check_calls(graph)?;
        inliner.graph(graph)?;
    }
    Ok(model.with(proto, model.lazy.clone()))
}

/// The bodies' operator sets become the model's; two versions of one set cannot both stand.
fn import_operator_sets(
    proto: &mut ModelProto,
    functions: &HashMap<Key, FunctionProto>,
) -> Result<()> {
    let mut sorted: Vec<_> = functions.values().collect();
    sorted.sort_by_key(|function| (function.domain(), function.name(), function.overload()));
    for function in sorted {
        for import in &function.opset_import {
            let known = proto
                .opset_import
                .iter()
                .find(|known| domain_of(known.domain()) == domain_of(import.domain()));
            match known {
                None => proto.opset_import.push(import.clone()),
                Some(known) if known.version() == import.version() => {}
                Some(known) => {
                    return Err(Error::Function {
                        function: function.name().to_owned(),
                        reason: format!(
                            "it is written for version {} of operator set '{}' and the model for version {}; convert the model to one version first",
                            import.version(),
                            import.domain(),
                            known.version()
                        ),
                    });
                }
            }
        }
    }
    Ok(())
}

struct Inliner<'a> {
    functions: &'a HashMap<Key, FunctionProto>,
    /// All names of the model's graph before its calls are replaced.
    taken: BTreeSet<String>,
    calls: usize,
    allowance: Allowance<'a>,
}

impl Inliner<'_> {
    fn graph(&mut self, graph: &mut GraphProto) -> Result<()> {
        let nodes = std::mem::take(&mut graph.node);
        graph.node = self.nodes(nodes)?;
        Ok(())
    }

    fn nodes(&mut self, nodes: Vec<NodeProto>) -> Result<Vec<NodeProto>> {
        let mut out = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            let functions = self.functions;
            if let Some((key, function)) = functions.get_key_value(&key_of(&node)) {
                out.extend(self.call(&node, key, function)?);
                continue;
            }
            for graph in node.bodies_mut() {
                self.graph(graph)?;
            }
            out.push(node);
        }
        Ok(out)
    }

    /// A prefix for the names of one call's body that no name of the model has.
    fn prefix(&mut self, base: &str) -> String {
        loop {
            self.calls += 1;
            let prefix = format!("{base}.{}", self.calls);
            let inside = format!("{prefix}.");
            let next = self.taken.range(inside.clone()..).next();
            if !next.is_some_and(|name| name.starts_with(&inside)) {
                return prefix;
            }
        }
    }

    fn call(
        &mut self,
        caller: &NodeProto,
        key: &Key,
        function: &FunctionProto,
    ) -> Result<Vec<NodeProto>> {
        let fault = |reason: &str| Error::Function {
            function: function.name().to_owned(),
            reason: reason.to_owned(),
        };
        if caller.input.len() > function.input.len() || caller.output.len() > function.output.len()
        {
            return Err(fault(
                "it is called with more inputs or outputs than it has",
            ));
        }
        let prefix = self.prefix(match caller.name() {
            "" => function.name(),
            name => name,
        });
        self.allowance.take(function, key, &prefix)?;
        let mut rename = Renaming {
            names: HashMap::new(),
            prefix,
            attributes: attribute_values(caller, function),
        };
        let bound = |names: &[String], slot: usize| names.get(slot).cloned().unwrap_or_default();
        for (slot, name) in function.input.iter().enumerate() {
            rename
                .names
                .insert(name.clone(), bound(&caller.input, slot));
        }
        for (slot, name) in function.output.iter().enumerate() {
            let outer = bound(&caller.output, slot);
            let is_input = rename.names.contains_key(name);
            if is_input || outer.is_empty() {
                continue;
            }
            rename.names.insert(name.clone(), outer);
        }
        let mut body: Vec<NodeProto> = function.node.iter().map(|n| rename.node(n)).collect();
        body.extend(passed_on(caller, function, &mut rename));
        self.nodes(body)
    }
}

fn attribute_values(
    caller: &NodeProto,
    function: &FunctionProto,
) -> HashMap<String, AttributeProto> {
    let defaults = function.attribute_proto.iter();
    defaults
        .chain(&caller.attribute)
        .map(|attribute| (attribute.name().to_owned(), attribute.clone()))
        .collect()
}

/// The graph with `prefix` and a dot before all of its names but those of its inputs.
pub(crate) fn prefixed(graph: &GraphProto, prefix: &str) -> GraphProto {
    let own: HashSet<&str> = graph.initializer.iter().map(|t| t.name()).collect();
    let inputs = graph.input.iter().map(|input| input.name());
    let kept = inputs.filter(|name| !own.contains(name));
    let rename = Renaming {
        names: kept
            .map(|name| (name.to_owned(), name.to_owned()))
            .collect(),
        prefix: prefix.to_owned(),
        attributes: HashMap::new(),
    };
    let mut graph = graph.clone();
    rename.graph(&mut graph);
    graph
}

/// An output that is an input of the function needs a node that carries it over.
fn passed_on(
    caller: &NodeProto,
    function: &FunctionProto,
    rename: &mut Renaming,
) -> Vec<NodeProto> {
    let mut out = Vec::new();
    let pairs = function.output.iter().zip(&caller.output).enumerate();
    for (slot, (name, outer)) in pairs {
        if !outer.is_empty() && function.input.contains(name) {
            out.push(NodeProto {
                op_type: Some("Identity".to_owned()),
                name: Some(format!("{}.output.{slot}", rename.prefix)),
                input: vec![rename.name(name)],
                output: vec![outer.clone()],
                ..NodeProto::default()
            });
        }
    }
    out
}

/// What the names and attribute references of one call's body become.
struct Renaming {
    names: HashMap<String, String>,
    prefix: String,
    attributes: HashMap<String, AttributeProto>,
}

impl Renaming {
    fn name(&self, name: &str) -> String {
        match self.names.get(name) {
            Some(outer) => outer.clone(),
            None if name.is_empty() => String::new(),
            None => format!("{}.{name}", self.prefix),
        }
    }

    fn node(&self, node: &NodeProto) -> NodeProto {
        let mut node = node.clone();
        // A node without a name stays so: two with the same prefix would have one name.
        if !node.name().is_empty() {
            node.name = Some(format!("{}.{}", self.prefix, node.name()));
        }
        for name in node.input.iter_mut().chain(&mut node.output) {
            *name = self.name(name);
        }
        // Inputs that the caller leaves out at the end are not there at all.
        while node.input.last().is_some_and(String::is_empty) {
            node.input.pop();
        }
        node.attribute = node
            .attribute
            .into_iter()
            .filter_map(|attribute| self.attribute(attribute))
            .collect();
        node
    }

    /// A reference becomes the caller's attribute, or nothing where the caller leaves it out.
    fn attribute(&self, mut attribute: AttributeProto) -> Option<AttributeProto> {
        if !attribute.ref_attr_name().is_empty() {
            let mut value = self.attributes.get(attribute.ref_attr_name())?.clone();
            value.name = attribute.name;
            return Some(value);
        }
        for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            self.graph(graph);
        }
        Some(attribute)
    }

    fn graph(&self, graph: &mut GraphProto) {
        let sparse = graph.sparse_initializer.iter_mut();
        let sparse = sparse.filter_map(|tensor| tensor.values.as_mut());
        for tensor in graph.initializer.iter_mut().chain(sparse) {
            tensor.name = Some(self.name(tensor.name()));
        }
        let infos = graph.input.iter_mut().chain(&mut graph.output);
        for info in infos.chain(&mut graph.value_info) {
            info.name = Some(self.name(info.name()));
        }
        graph.node = graph.node.iter().map(|node| self.node(node)).collect();
    }
}
