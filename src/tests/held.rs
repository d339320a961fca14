//! Operators that hold their axes: what their rows say of the outputs, compared with what onnxruntime makes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::builder::analyse;
use super::rules::runtime;
use crate::axes::Type;
use crate::data::random_inputs;
use crate::dimensions::{Analysis, InputSizes};
use crate::error::Result;
use crate::graph::{Producer, ValueId, declaration};
use crate::onnx::Model;
use crate::onnx::proto::NodeProto;
use crate::runtime::{Runtime, Session};

/// Behind the name of an output the name of its sizes.
const SIZES: &str = ".sizes";

/// Operators with sizes that no row says, and why.
const OPEN_SIZES: [(&str, &str); 4] = [
    ("NonMaxSuppression", "the boxes that stay are data"),
    ("StringNormalizer", "the words that stay are data"),
    ("StringSplit", "the most parts of a text are data"),
    ("Unique", "the number of different elements is data"),
];

/// Operators with outputs of an element type that no row says, and why.
const OPEN_ELEMENTS: [(&str, &str); 2] = [
    (
        "ai.onnx.ml.CategoryMapper",
        "numbers become texts, and texts numbers",
    ),
    (
        "ai.onnx.ml.LabelEncoder",
        "version 1 swaps as a category mapper; version 4 may hold a tensor",
    ),
];

pub(super) fn models() -> Vec<(String, Model)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/held");
    let files = std::fs::read_dir(folder).expect("the folder").flatten();
    let mut models: Vec<(String, Model)> = files
        .map(|file| {
            let path = file.path();
            let name = path.file_stem().and_then(|name| name.to_str());
            let name = name.expect("a name").to_owned();
            (name, Model::load(&path).expect("a model"))
        })
        .collect();
    models.sort_by(|a, b| a.0.cmp(&b.0));
    models
}

/// An operator with its domain.
pub(super) fn full_name(domain: &str, operator: &str) -> String {
    match domain {
        "" => operator.to_owned(),
        domain => format!("{domain}.{operator}"),
    }
}

fn outputs(analysis: &Analysis) -> Vec<ValueId> {
    let values = analysis.graph().value_ids();
    let is_output = |id: &ValueId| analysis.graph().value(*id).is_output;
    values.filter(is_output).collect()
}

/// The operator that makes a value.
fn operator(analysis: &Analysis, id: ValueId) -> String {
    match analysis.graph().value(id).producer {
        Producer::Node(node, _) => {
            let proto = analysis.graph().node_proto(node);
            full_name(proto.domain(), proto.op_type())
        }
        _ => String::new(),
    }
}

/// The operators whose outputs are compared.
pub(super) fn compared() -> BTreeSet<String> {
    let models = models();
    let of = models.iter().flat_map(|(_, model)| {
        let analysis = analyse(model);
        let outputs = outputs(&analysis).into_iter();
        outputs
            .map(|id| operator(&analysis, id))
            .collect::<Vec<_>>()
    });
    of.collect()
}

/// The model with the sizes of its outputs as outputs.
fn with_sizes(model: &Model) -> Model {
    let mut proto = model.proto.clone();
    let graph = proto.graph.get_or_insert_default();
    for output in graph.output.clone() {
        let sizes = format!("{}{SIZES}", output.name());
        graph.node.push(NodeProto {
            op_type: Some("Shape".to_owned()),
            input: vec![output.name().to_owned()],
            output: vec![sizes.clone()],
            ..NodeProto::default()
        });
        graph.output.push(declaration(&sizes, None, None));
    }
    model.with(proto, model.lazy.clone())
}

/// The sizes of every output in a run at these sizes of the inputs.
fn run(
    analysis: &Analysis,
    session: &mut Session,
    sizes: &InputSizes,
) -> Result<Vec<(String, Vec<i64>)>> {
    let sized = Analysis::new(analysis.graph().clone(), sizes.clone());
    let inputs = random_inputs(&sized, &session.inputs(), 0)?;
    let made = session.run(&inputs)?.into_iter();
    let sizes = made.filter_map(|(name, tensor)| {
        let name = name.strip_suffix(SIZES)?.to_owned();
        let sizes = tensor.to_f64().into_iter().map(|size| size as i64);
        Some((name, sizes.collect()))
    });
    Ok(sizes.collect())
}

/// The element type of an output, as it is written.
fn element(session: &Session, name: &str) -> String {
    let read = session.outputs();
    if let Some(output) = read.iter().find(|output| output.name == name) {
        return output.element.map(|e| e.to_string()).unwrap_or_default();
    }
    let unread = session.unread_outputs();
    let output = unread.iter().find(|output| output.name == name);
    let kind = output.map(|output| output.kind.replace("tensor of ", ""));
    kind.unwrap_or_default()
}

/// The size of an axis at these sizes of the inputs; none if it depends on anything else.
fn claimed(analysis: &Analysis, axis: &Type, sizes: &InputSizes) -> Option<i64> {
    let extent = analysis.state.types.extent(axis);
    let mut names = analysis.state.symbols.names(&extent).into_iter();
    names.all(|name| sizes.get(name).is_some()).then_some(())?;
    analysis.integer_at(&extent, sizes)
}

/// What typing leaves open, by operator.
#[derive(Default)]
struct Open {
    sizes: BTreeSet<String>,
    elements: BTreeSet<String>,
}

/// What is wrong with the outputs of a model.
fn faults(name: &str, model: &Model, runtime: &Runtime, open: &mut Open) -> Result<Vec<String>> {
    let analysis = analyse(model);
    let sized = with_sizes(model);
    let mut session = runtime.session(&sized, name)?;
    let mut faults = Vec::new();
    for id in outputs(&analysis) {
        let output = &analysis.graph().value(id).name;
        let made = element(&session, output);
        match analysis.state.elements[id.index()] {
            Some(said) if said.to_string() == made => {}
            Some(said) => faults.push(format!("{name}: '{output}' is {made}, not {said}")),
            None => drop(open.elements.insert(operator(&analysis, id))),
        }
    }
    for spread in [0, 1].map(|run| analysis.sizes().spread(run)) {
        for (output, made) in run(&analysis, &mut session, &spread)? {
            let id = analysis.graph().find(&output).expect("an output");
            let Some(axes) = analysis.state.axes(id) else {
                faults.push(format!("{name}: the rank of '{output}' is open: {made:?}"));
                continue;
            };
            let axes = axes.iter().map(|axis| claimed(&analysis, axis, &spread));
            let said: Vec<Option<i64>> = axes.collect();
            let agree = said.len() == made.len()
                && said
                    .iter()
                    .zip(&made)
                    .all(|(said, made)| said.is_none_or(|said| said == *made));
            if !agree {
                faults.push(format!("{name}: '{output}' is {made:?}, not {said:?}"));
            }
            if said.contains(&None) {
                open.sizes.insert(operator(&analysis, id));
            }
        }
    }
    Ok(faults)
}

#[test]
fn rows_say_the_outputs_that_onnxruntime_makes() {
    let runtime = runtime();
    let mut open = Open::default();
    let mut found = Vec::new();
    for (name, model) in models() {
        match faults(&name, &model, &runtime, &mut open) {
            Ok(faults) => found.extend(faults),
            Err(reason) => found.push(reason.to_string()),
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(
        Vec::from_iter(open.sizes),
        OPEN_SIZES.map(|(operator, _)| operator),
        "operators that leave a size open"
    );
    assert_eq!(
        Vec::from_iter(open.elements),
        OPEN_ELEMENTS.map(|(operator, _)| operator),
        "operators that leave an element type open"
    );
}
