//! Graphs: faults are named all at once, functions are inlined, the text form is stable.

use prost::Message;

use super::builder::{Builder, Size, analyse, info, noise};
use crate::error::{Error, Fault};
use crate::graph::{Graph, verify};
use crate::onnx::proto::{AttributeProto, FunctionProto, NodeProto, OperatorSetIdProto};
use crate::onnx::{ElementType, Model};

fn faults(builder: Builder) -> Vec<Fault> {
    let bytes = builder.proto().encode_to_vec();
    let model = Model::from_bytes(bytes).expect("it decodes");
    assert!(!verify(&model).is_empty());
    match Graph::new(&model) {
        Err(Error::Graph { faults, .. }) => faults,
        other => panic!("expected faults, got {other:?}"),
    }
}

#[test]
fn all_faults_are_named_at_once() {
    let mut builder = Builder::new(17)
        .input("x", &[1, 4])
        .weight("w", &[4, 4])
        .weight("w", &[4, 4])
        .node("Add", "x ghost -> a", &[])
        .node("Add", "a c -> b", &[])
        .node("Relu", "b -> c", &[])
        .node("Relu", "x -> a", &[])
        .output("c")
        .output("nowhere");
    let sizes: [Size; 1] = [Size::Known(4)];
    builder
        .graph_proto()
        .value_info
        .push(info("x", ElementType::Float, &sizes));
    let text: Vec<String> = faults(builder).iter().map(Fault::to_string).collect();
    insta::assert_snapshot!(text.join("\n"), @"
    'w' is produced twice: by initializer 0 and by initializer 1
    'a' is produced twice: by output 0 of Add 'Add0' and by output 0 of Relu 'Relu3'
    Add 'Add0' reads 'ghost', which no input, initializer or node produces
    the list of graph outputs reads 'nowhere', which no input, initializer or node produces
    'x' has rank 2 in the graph inputs but rank 1 in value_info
    the nodes Add 'Add1', Relu 'Relu2' depend on each other in a cycle
    ");
}

#[test]
fn the_text_form_shows_every_value_and_node() {
    let model = Builder::new(17)
        .input_of(
            "x",
            ElementType::Float,
            &[Size::from("batch"), 3.into(), 8.into()],
        )
        .weight("w", &[4, 3, 3])
        .node(
            "Conv",
            "x w -> h",
            &[("pads", [1, 1].into()), ("auto_pad", "NOTSET".into())],
        )
        .node("Relu", "h -> y", &[])
        .output("y")
        .model();
    let graph = Graph::new(&model).expect("a graph");
    insta::assert_snapshot!(graph.to_string(), @r#"
    input x: float32[batch, 3, 8]
    weight w: float32[4, 3, 3]
    Conv 'Conv0' (x, w) {pads=[1, 1], auto_pad="NOTSET"} -> h
    Relu 'Relu1' (h) -> y
    output y
    "#);
    let order = graph.order().to_vec();
    assert_eq!(graph.successors(order[0]).collect::<Vec<_>>(), [order[1]]);
}

/// y = leaky(x, w) = LeakyRelu(MatMul(x, w)) with the slope of the caller, called twice.
fn model_with_functions() -> Model {
    let mut proto = Builder::new(17)
        .input("x", &[2, 6])
        .weight("w1", &[6, 8])
        .weight("w2", &[8, 4])
        .node("leaky", "x w1 -> h", &[("slope", 0.25_f32.into())])
        .node("leaky", "h w2 -> y", &[])
        .output("y")
        .proto();
    for node in &mut proto.graph.as_mut().expect("a graph").node {
        node.domain = Some("local".to_owned());
    }
    let node = |operator: &str, input: &[&str], output: &str| NodeProto {
        op_type: Some(operator.to_owned()),
        input: input.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    };
    let mut relu = node("LeakyRelu", &["m"], "out");
    relu.attribute.push(AttributeProto {
        name: Some("alpha".to_owned()),
        ref_attr_name: Some("slope".to_owned()),
        r#type: Some(1),
        ..AttributeProto::default()
    });
    let opset = |domain: &str, version| OperatorSetIdProto {
        domain: Some(domain.to_owned()),
        version: Some(version),
    };
    proto.opset_import.push(opset("local", 1));
    proto.functions.push(FunctionProto {
        name: Some("leaky".to_owned()),
        domain: Some("local".to_owned()),
        input: vec!["a".to_owned(), "b".to_owned()],
        output: vec!["out".to_owned()],
        attribute: vec!["slope".to_owned()],
        node: vec![node("MatMul", &["a", "b"], "m"), relu],
        opset_import: vec![opset("", 17)],
        ..FunctionProto::default()
    });
    Model::from_bytes(proto.encode_to_vec()).expect("it decodes")
}

#[test]
fn weights_reach_the_operators_inside_functions() {
    let analysis = analyse(&model_with_functions());
    let sizes: Vec<usize> = analysis.dimensions().iter().map(|d| d.size).collect();
    assert_eq!(sizes, [8]);
    insta::assert_snapshot!(analysis.graph().to_string(), @"
    input x: float32[2, 6]
    weight w1: float32[6, 8]
    weight w2: float32[8, 4]
    MatMul 'leaky0.1.m' (x, w1) -> leaky0.1.m
    LeakyRelu 'h' (leaky0.1.m) {alpha=0.25} -> h
    MatMul 'leaky1.2.m' (h, w2) -> leaky1.2.m
    LeakyRelu 'y' (leaky1.2.m) -> y
    output y
    ");
}

#[test]
fn a_function_that_calls_itself_is_refused() {
    let model = model_with_functions();
    let mut proto = model.proto;
    let call = proto.graph.as_ref().expect("a graph").node[0].clone();
    proto.functions[0].node[0] = NodeProto {
        input: vec!["a".to_owned(), "b".to_owned()],
        output: vec!["m".to_owned()],
        ..call
    };
    let model = Model::from_bytes(proto.encode_to_vec()).expect("it decodes");
    let message = Graph::new(&model).expect_err("recursion").to_string();
    assert!(
        message.contains("'leaky'") && message.contains("recursion"),
        "{message}"
    );
}

#[test]
fn a_function_of_another_version_is_refused_whatever_name_the_default_set_has() {
    let written_for = |domain: &str, version| {
        let mut proto = model_with_functions().proto;
        let import = &mut proto.functions[0].opset_import[0];
        (import.domain, import.version) = (Some(domain.to_owned()), Some(version));
        let model = Model::from_bytes(proto.encode_to_vec()).expect("it decodes");
        Graph::new(&model).map_err(|error| error.to_string())
    };
    for domain in ["", "ai.onnx"] {
        let same = written_for(domain, 17).expect("the same version");
        assert_eq!(same.model().proto.opset_import.len(), 2);
        let refused = written_for(domain, 13).expect_err("another version");
        assert!(refused.contains("written for version 13"), "{refused}");
    }
}

/// What a body gives back is an output of the graph here.
#[test]
fn what_outputs_of_bodies_hold_is_held_around_them() {
    let inner = || Builder::new(17).node("Identity", "h -> z", &[]).output("z");
    let builder = Builder::new(17)
        .input("x", &[2, 6])
        .input_of("flag", ElementType::Bool, &[])
        .tensor(noise("w1", &[6, 8]))
        .tensor(noise("w2", &[8, 4]))
        .node("MatMul", "x w1 -> h", &[])
        .node("If", "flag -> i", &[])
        .body("then_branch", inner())
        .body("else_branch", inner())
        .node("MatMul", "h w2 -> y", &[])
        .output("y")
        .output("i");
    let analysis = analyse(&builder.model());
    assert!(analysis.dimensions().is_empty());
    let reasons: Vec<&str> = analysis
        .blocked()
        .iter()
        .map(|b| b.reason.as_str())
        .collect();
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("'i' (is an output of the graph)")),
        "{reasons:?}"
    );
}

fn hostile(name: &str) -> Model {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/hostile");
    Model::load(folder.join(name)).expect("a model")
}

/// A GRU whose B is transposed: its gates are where its directions should be.
#[test]
fn axes_of_other_sizes_than_their_operator_needs_are_held() {
    let analysis = analyse(&hostile("gates_of_another_size.onnx"));
    assert!(analysis.dimensions().is_empty());
    let scores = crate::criteria::scores(&analysis, crate::criteria::Criterion::L2, 0);
    assert!(scores.expect("scores").is_empty());
}

/// Calls in bodies of nodes, few enough, that take 80,000 times the file's bytes.
#[test]
fn bodies_of_functions_are_counted_as_they_lie_in_memory() {
    let fault = Graph::new(&hostile("function_bodies_6_kb.onnx")).expect_err("it is too large");
    assert!(
        fault.to_string().contains("would become too large"),
        "{fault}"
    );
}
