//! What is left without residual branches: proven, and anything else refused.

use std::collections::BTreeSet;
use std::path::Path;

use super::blocks::{all_proven, around, names, plan, proven, two_layers};
use super::builder::{Builder, analyse};
use super::rules::runtime;
use super::zoo;
use crate::error::Error;
use crate::onnx::{ElementType, Model, packed, to_f32};
use crate::rewrite::{Masks, prune, twin, with_block_switches};
use crate::validate::verify;

/// Exported nets with the number of residual branches that they have. The first attention of t5 makes position biases
/// that the others read as well.
const ZOO: [(&str, usize); 12] = [
    ("bert_small", 8),
    ("bert_small__dynamo", 8),
    ("distilbert_small", 6),
    ("gpt2_small__dynamo", 6),
    ("llama_gqa__dynamo", 6),
    ("t5_encoder", 5),
    ("whisper_encoder", 6),
    ("yolov8n", 6),
    ("tcn1d", 3),
    ("unet_tconv", 0),
    ("multihead_featout", 0),
    ("se_block", 0),
];

#[test]
fn infinite_numbers_of_a_dropped_branch_stay_out() {
    let model = around(17, |net| {
        let net = two_layers(net, "h", "f").node("Sub", "h h -> zero", &[]);
        let net = net.node("Div", "f zero -> wild", &[]);
        net.node("Add", "h wild -> y", &[])
    });
    let analysis = analyse(&model.model());
    proven(&analysis, &plan(&analysis, &["f.w1"], 0.0));
}

#[test]
fn a_model_with_another_branch_gone_is_refused() {
    let model = around(17, |net| {
        let net = two_layers(net, "h", "f").node("Add", "h f -> m", &[]);
        two_layers(net, "m", "g").node("Add", "g m -> y", &[])
    });
    let analysis = analyse(&model.model());
    let choices: [&[&str]; 4] = [&[], &["f.w1"], &["g.w1"], &["f.w1", "g.w1"]];
    let plans = choices.map(|blocks| plan(&analysis, blocks, 0.0));
    for (place, right) in plans.iter().enumerate() {
        for (other, wrong) in plans.iter().enumerate() {
            let made = prune(&analysis, wrong).expect("a model");
            let verdict = verify(&analysis, right, &made, &runtime());
            match place == other {
                true => drop(verdict.expect("the right one")),
                false => assert!(
                    matches!(verdict, Err(Error::Verification { .. })),
                    "{place} {other}: {verdict:?}"
                ),
            }
        }
    }
}

#[test]
fn plans_with_wrong_blocks_are_refused() {
    let model = around(17, |net| {
        two_layers(net, "h", "f").node("Add", "h f -> y", &[])
    });
    let analysis = analyse(&model.model());
    for (blocks, why) in [
        (&["g.w1"][..], "no residual block 'g.w1'"),
        (&["f.w1", "f.w1"][..], "block 'f.w1' is there twice"),
    ] {
        let wrong = plan(&analysis, blocks, 0.0).checked(&analysis);
        let fault = wrong.expect_err("a wrong plan").to_string();
        assert!(fault.contains(why), "{fault}");
    }
    assert!(plan(&analysis, &["f.w1"], 0.0).checked(&analysis).is_ok());
    let nothing = plan(&analysis, &[], 0.0).checked(&analysis);
    assert!(nothing.is_err());
}

/// What switches turn off is what plans drop.
#[test]
fn switches_do_what_plans_do() {
    for opset in [8, 17] {
        let model = around(opset, |net| {
            let net = two_layers(net, "h", "f").node("Add", "h f -> m", &[]);
            two_layers(net, "m", "g").node("Add", "g m -> y", &[])
        });
        let analysis = analyse(&model.model());
        let switched = with_block_switches(&analysis).expect("switches");
        let runtime = runtime();
        let mut session = runtime.session(&switched.model, "it").expect("a session");
        for off in [vec![], vec![0], vec![1], vec![0, 1]] {
            let names: Vec<&str> = off.iter().map(|&at| ["f.w1", "g.w1"][at]).collect();
            let twin = twin(&analysis, &plan(&analysis, &names, 0.0), Masks::Inputs);
            let mut other = runtime.session(&twin.expect("a twin"), "it").expect("one");
            let inputs = crate::data::random_inputs(&analysis, &other.inputs(), 1);
            let mut inputs = inputs.expect("inputs");
            let expected = other.run(&inputs).expect("outputs");
            inputs.extend(switched.inputs(&BTreeSet::from_iter(off)).expect("tensors"));
            assert_eq!(session.run(&inputs).expect("outputs"), expected);
        }
    }
}

#[test]
fn trained_nets_are_proven_without_any_of_their_branches() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/trained");
    for (name, count) in [
        ("vit_fashion", 8),
        ("resnet8_fashion.bn", 1),
        ("bert_spam", 4),
    ] {
        let path = folder.join(format!("{name}.onnx"));
        let model = Model::load(path).expect("a model");
        assert_eq!(names(&model).len(), count, "{name}");
        all_proven(&model);
    }
}

#[test]
fn exported_nets_have_so_many_branches() {
    for (name, count) in ZOO {
        let model = zoo::load(name);
        assert_eq!(names(&model).len(), count, "{name}");
    }
    for name in ["bert_small", "gpt2_small__dynamo"] {
        let analysis = analyse(&zoo::load(name));
        let blocks: Vec<&str> = analysis.blocks()[1..4]
            .iter()
            .map(|b| &b.name[..])
            .collect();
        proven(&analysis, &plan(&analysis, &blocks, 0.0));
    }
}

/// The net in another element type of real numbers.
fn as_element(mut builder: Builder, element: ElementType) -> Model {
    let graph = builder.graph_proto();
    for tensor in &mut graph.initializer {
        let numbers = to_f32(tensor).expect("numbers");
        tensor.data_type = Some(element.number());
        tensor.raw_data = Some(packed(&numbers, element).into());
    }
    for declared in graph.input.iter_mut().chain(&mut graph.output) {
        let kind = declared
            .r#type
            .as_mut()
            .and_then(|kind| kind.value.as_mut());
        if let Some(crate::onnx::proto::type_proto::Value::TensorType(tensor)) = kind {
            tensor.elem_type = Some(element.number());
        }
    }
    builder.model()
}

#[test]
fn branches_of_other_element_types_are_proven() {
    let net = || {
        around(17, |net| {
            two_layers(net, "h", "f").node("Add", "h f -> y", &[])
        })
    };
    for element in [ElementType::Double, ElementType::Float16] {
        all_proven(&as_element(net(), element));
    }
}

/// As if a dropped branch were still there in part: what reads the sum reads the wrong operand, or both.
#[test]
fn readers_of_the_sum_that_read_anything_else_are_refused() {
    let model = around(17, |net| {
        two_layers(net, "h", "f").node("Add", "h f -> y", &[])
    });
    let analysis = analyse(&model.model());
    let plan = plan(&analysis, &["f.w1"], 0.0);
    let right = prune(&analysis, &plan).expect("a model").settled();
    let whole = analysis.graph().model().clone();
    verify(&analysis, &plan, &right, &runtime()).expect("the right one");
    for wrong in ["f", "y", "f.w1"] {
        let mut proto = whole.proto.clone();
        let graph = proto.graph.as_mut().expect("a graph");
        let last = graph.node.last_mut().expect("a node");
        last.input[0] = wrong.to_owned();
        let made = whole.with(proto, whole.lazy.clone());
        let verdict = verify(&analysis, &plan, &made, &runtime());
        assert!(verdict.is_err(), "{wrong}");
    }
}
