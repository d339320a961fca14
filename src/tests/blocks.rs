//! Residual branches: which are found, and that what is left without them is the original with them turned off.

use std::collections::BTreeSet;
use std::path::Path;

use super::builder::{Builder, analyse, info};
use super::rules::runtime;
use super::zoo;
use crate::criteria::{Criterion, scores};
use crate::dimensions::{Analysis, Meter, Totals};
use crate::error::Error;
use crate::onnx::proto::{AttributeProto, GraphProto, NodeProto};
use crate::onnx::{ElementType, Model};
use crate::plan::{Plan, RoundTo, Settings};
use crate::rewrite::{Masks, prune, twin, with_block_switches};
use crate::search::select;
use crate::validate::{Verification, verify};

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

/// A layer before and one behind; between them what `branch` adds, from `h` to `y`.
fn around(opset: i64, branch: impl FnOnce(Builder) -> Builder) -> Builder {
    let before = Builder::new(opset)
        .input("x", &[2, 6])
        .weight("w0", &[6, 8])
        .node("MatMul", "x w0 -> h", &[]);
    branch(before)
        .weight("w9", &[8, 4])
        .node("MatMul", "y w9 -> z", &[])
        .output("z")
}

/// Two layers with a Relu between, from `from` to `to`.
fn two_layers(builder: Builder, from: &str, to: &str) -> Builder {
    let name = |part: &str| format!("{to}.{part}");
    builder
        .weight(&name("w1"), &[8, 16])
        .weight(&name("w2"), &[16, 8])
        .node("MatMul", &format!("{from} {to}.w1 -> {to}.a"), &[])
        .node("Relu", &format!("{to}.a -> {to}.r"), &[])
        .node("MatMul", &format!("{to}.r {to}.w2 -> {to}"), &[])
}

fn names(model: &Model) -> Vec<String> {
    let analysis = analyse(model);
    let blocks = analysis.blocks().iter();
    blocks.map(|block| block.name.clone()).collect()
}

/// The plan that drops these blocks and, by half, channels where asked for.
fn plan(analysis: &Analysis, blocks: &[&str], ratio: f64) -> Plan {
    let settings = Settings {
        ratio,
        round_to: RoundTo::Multiple(1),
        ..Settings::default()
    };
    let scores = scores(analysis, Criterion::L2, 0).expect("scores");
    let selection = select(analysis, &scores, &settings).expect("a selection");
    let blocks = blocks.iter().map(|&name| name.to_owned()).collect();
    Plan::new(analysis, &selection, &scores, &settings).dropping(analysis, blocks)
}

/// That what is left without blocks is proven and costs what was foretold.
fn proven(analysis: &Analysis, plan: &Plan) -> (Model, Verification) {
    let pruned = prune(analysis, plan).expect("a pruned model");
    let proof = verify(analysis, plan, &pruned, &runtime()).expect("equal to the twin");
    assert!(proof.outputs.iter().all(|output| output.informative));
    assert_eq!(proof.dropped_blocks, plan.dropped_blocks.len());
    let foretold = analysis.totals(&plan.kept(analysis).expect("positions"));
    assert_eq!(foretold, analyse(&pruned).model_totals());
    (pruned, proof)
}

/// Drops each block alone, all together, and all with half of the channels.
fn all_proven(model: &Model) {
    let analysis = analyse(model);
    let names: Vec<&str> = analysis.blocks().iter().map(|b| b.name.as_str()).collect();
    assert!(!names.is_empty());
    for name in &names {
        proven(&analysis, &plan(&analysis, &[name], 0.0));
    }
    proven(&analysis, &plan(&analysis, &names, 0.0));
    let plan = plan(&analysis, &names, 0.5).exact_part(&analysis);
    let pruned = prune(&analysis, &plan).expect("a pruned model");
    verify(&analysis, &plan, &pruned, &runtime()).expect("equal to the twin");
}

#[test]
fn a_branch_is_found_on_either_side_of_either_addition() {
    for sum in ["Add h f", "Add f h", "Sum h f", "Sum f h"] {
        let (operator, operands) = sum.split_once(' ').expect("an operator");
        for opset in [8, 17] {
            let model = around(opset, |net| {
                let wiring = format!("{operands} -> y");
                two_layers(net, "h", "f").node(operator, &wiring, &[])
            });
            let model = model.model();
            let analysis = analyse(&model);
            let [block] = analysis.blocks() else {
                panic!("{sum}: {:?}", analysis.blocks());
            };
            assert_eq!((block.name.as_str(), block.nodes.len()), ("f.w1", 3));
            let costs = Totals {
                params: 256,
                macs: 512,
                bytes: 1024,
                nodes: 4,
            };
            assert_eq!(block.costs, costs);
            all_proven(&model);
        }
    }
}

#[test]
fn what_is_no_branch_is_not_found() {
    let second_exit = |net: Builder| two_layers(net, "h", "f").node("Add", "h f -> y", &[]);
    let cases: [(&str, Builder); 8] = [
        ("another reader", {
            let net = |net| second_exit(net).node("Relu", "f.a -> other", &[]);
            around(17, net).output("other")
        }),
        ("an output", around(17, second_exit).output("f.r")),
        (
            "a broadcast",
            around(17, |net| {
                let net = two_layers(net, "h", "g").ints("first", &[0]);
                net.node("Gather", "g first -> f", &[("axis", 0.into())])
                    .node("Add", "h f -> y", &[])
            }),
        ),
        (
            "a projected shortcut",
            around(17, |net| {
                let net = two_layers(net, "h", "f").weight("p", &[8, 8]);
                net.node("MatMul", "h p -> s", &[])
                    .node("Add", "s f -> y", &[])
            }),
        ),
        (
            "no layer",
            around(17, |net| {
                let net = net.node("Relu", "h -> f", &[]);
                net.node("Add", "h f -> y", &[])
            }),
        ),
        (
            "three operands",
            around(17, |net| {
                two_layers(net, "h", "f").node("Sum", "h f h -> y", &[])
            }),
        ),
        (
            "a difference",
            around(17, |net| {
                two_layers(net, "h", "f").node("Sub", "h f -> y", &[])
            }),
        ),
        (
            "side by side",
            around(17, |net| {
                let net = two_layers(two_layers(net, "h", "f"), "h", "g");
                net.node("Add", "g f -> y", &[])
            }),
        ),
    ];
    for (what, builder) in cases {
        assert_eq!(names(&builder.model()), [""; 0], "{what}");
    }
}

/// A body that reads a value of the graph around it.
fn body_reading(value: &str) -> AttributeProto {
    let copy = NodeProto {
        op_type: Some("Identity".to_owned()),
        input: vec![value.to_owned()],
        output: vec![format!("{value}.copy")],
        ..NodeProto::default()
    };
    AttributeProto {
        g: Some(GraphProto {
            name: Some("body".to_owned()),
            node: vec![copy],
            output: vec![info(&format!("{value}.copy"), ElementType::Float, &[])],
            ..GraphProto::default()
        }),
        ..AttributeProto::default()
    }
}

/// The net with a choice whose branches read a value.
fn captured(mut builder: Builder, value: &str) -> Model {
    builder = builder
        .tensor(crate::onnx::from_raw(
            "yes",
            ElementType::Bool,
            &[],
            vec![1],
        ))
        .node("If", "yes -> chosen", &[]);
    let node = builder.graph_proto().node.last_mut().expect("a node");
    for name in ["then_branch", "else_branch"] {
        node.attribute.push(AttributeProto {
            name: Some(name.to_owned()),
            r#type: Some(5),
            ..body_reading(value)
        });
    }
    builder.output("chosen").model()
}

#[test]
fn values_that_bodies_read_stay_what_they_are() {
    let net = || {
        around(17, |net| {
            two_layers(net, "h", "f").node("Add", "h f -> y", &[])
        })
    };
    assert_eq!(names(&captured(net(), "f.r")), [""; 0]);
    for value in ["h", "y"] {
        let model = captured(net(), value);
        assert_eq!(names(&model), ["f.w1"], "{value}");
        all_proven(&model);
    }
}

#[test]
fn outputs_keep_their_names() {
    let net = around(17, |net| {
        two_layers(net, "h", "f").node("Add", "h f -> y", &[])
    });
    all_proven(&net.output("y").output("h").model());
    // From an input of the graph to an output of it.
    let alone = Builder::new(17).input("x", &[2, 8]);
    let alone = two_layers(alone, "x", "f").node("Add", "f x -> y", &[]);
    let model = alone.output("y").model();
    let analysis = analyse(&model);
    let plan = plan(&analysis, &["f.w1"], 0.0);
    let pruned = prune(&analysis, &plan).expect("a pruned model");
    verify(&analysis, &plan, &pruned, &runtime()).expect("equal to the twin");
    assert_eq!(analyse(&pruned).model_totals().nodes, 1);
}

#[test]
fn chains_and_nests_are_left_out_in_any_choice() {
    let model = around(17, |net| {
        let net = two_layers(net, "h", "f").node("Add", "h f -> m", &[]);
        let net = two_layers(net, "m", "g").node("Add", "g m -> n", &[]);
        // Around both, and a weight of the inside once more behind.
        let net = net
            .node("Add", "h n -> o", &[])
            .node("MatMul", "o f.w1 -> p", &[])
            .node("MatMul", "p f.w2 -> q", &[]);
        net.node("Add", "o q -> y", &[])
    });
    let model = model.model();
    let found = names(&model);
    assert_eq!(found, ["f.w1", "g.w1", "f.w1..g.w2", "f.w1..f.w2"]);
    all_proven(&model);
    let analysis = analyse(&model);
    let costs: Vec<u64> = analysis.blocks().iter().map(|b| b.costs.params).collect();
    // The weights of the first are read behind as well, until both are gone.
    assert_eq!(costs, [0, 256, 256, 0]);
    let whole = analysis.channels(&analysis.everything());
    let mut meter = Meter::new(analysis.costs(), whole);
    for subset in 0..16_u32 {
        let chosen: Vec<usize> = (0..4).filter(|place| subset >> place & 1 == 1).collect();
        let names: Vec<&str> = chosen.iter().map(|&place| found[place].as_str()).collect();
        if names.is_empty() {
            continue;
        }
        let (pruned, _) = proven(&analysis, &plan(&analysis, &names, 0.0));
        chosen.iter().for_each(|&place| meter.drop_block(place));
        assert_eq!(meter.totals(), analyse(&pruned).model_totals());
        chosen.iter().for_each(|&place| meter.restore_block(place));
        assert_eq!(meter.totals(), analysis.model_totals());
    }
}

#[test]
fn masks_and_sizes_may_enter_from_outside() {
    let model = Builder::new(17)
        .input("x", &[2, 6])
        .input("mask", &[2, 16])
        .weight("w0", &[6, 8])
        .node("MatMul", "x w0 -> h", &[])
        .node("Shape", "h -> sizes", &[])
        .weight("w1", &[8, 16])
        .weight("w2", &[16, 8])
        .node("MatMul", "h w1 -> a", &[])
        .node("Add", "a mask -> b", &[])
        .node("MatMul", "b w2 -> c", &[])
        .node("Reshape", "c sizes -> f", &[])
        .node("Add", "h f -> y", &[])
        .node("Reshape", "y sizes -> z", &[])
        .output("z")
        .model();
    assert_eq!(names(&model), ["w1"]);
    let analysis = analyse(&model);
    proven(&analysis, &plan(&analysis, &["w1"], 0.0));
}

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
        if name == "bert_spam" && !path.exists() {
            continue;
        }
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
