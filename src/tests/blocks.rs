//! Residual branches: which are found, and that what is left without them is the original with them turned off.

use super::builder::{Builder, analyse, info};
use super::rules::runtime;
use crate::criteria::{Criterion, scores};
use crate::dimensions::{Analysis, Meter, Totals};
use crate::onnx::proto::{AttributeProto, GraphProto, NodeProto};
use crate::onnx::{ElementType, Model};
use crate::plan::{Plan, RoundTo, Settings};
use crate::rewrite::prune;
use crate::search::select;
use crate::validate::{Verification, verify};

/// A layer before and one behind; between them what `branch` adds, from `h` to `y`.
pub(super) fn around(opset: i64, branch: impl FnOnce(Builder) -> Builder) -> Builder {
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
pub(super) fn two_layers(builder: Builder, from: &str, to: &str) -> Builder {
    let name = |part: &str| format!("{to}.{part}");
    builder
        .weight(&name("w1"), &[8, 16])
        .weight(&name("w2"), &[16, 8])
        .node("MatMul", &format!("{from} {to}.w1 -> {to}.a"), &[])
        .node("Relu", &format!("{to}.a -> {to}.r"), &[])
        .node("MatMul", &format!("{to}.r {to}.w2 -> {to}"), &[])
}

pub(super) fn names(model: &Model) -> Vec<String> {
    let analysis = analyse(model);
    let blocks = analysis.blocks().iter();
    blocks.map(|block| block.name.clone()).collect()
}

/// The plan that drops these blocks and, by half, channels where asked for.
pub(super) fn plan(analysis: &Analysis, blocks: &[&str], ratio: f64) -> Plan {
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
pub(super) fn proven(analysis: &Analysis, plan: &Plan) -> (Model, Verification) {
    let pruned = prune(analysis, plan).expect("a pruned model");
    let proof = verify(analysis, plan, &pruned, &runtime()).expect("equal to the twin");
    assert!(proof.outputs.iter().all(|output| output.informative));
    assert_eq!(proof.dropped_blocks, plan.dropped_blocks.len());
    let foretold = analysis.totals(&plan.kept(analysis).expect("positions"));
    assert_eq!(foretold, analyse(&pruned).model_totals());
    (pruned, proof)
}

/// Drops each block alone, all together, and all with half of the channels.
pub(super) fn all_proven(model: &Model) {
    let analysis = analyse(model);
    let names: Vec<&str> = analysis.blocks().iter().map(|b| b.name.as_str()).collect();
    assert!(!names.is_empty());
    for name in &names {
        proven(&analysis, &plan(&analysis, &[name], 0.0));
    }
    proven(&analysis, &plan(&analysis, &names, 0.0));
    let plan = plan(&analysis, &names, 0.5).provable_part(&analysis);
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
    for (place, block) in analysis.blocks().iter().enumerate() {
        let before = meter.totals();
        meter.drop_block(place);
        let after = meter.totals();
        meter.restore_block(place);
        let gone = [before.params - after.params, before.macs - after.macs];
        assert_eq!(gone, [block.costs.params, block.costs.macs]);
        let gone = (before.bytes - after.bytes, before.nodes - after.nodes);
        assert_eq!(gone, (block.costs.bytes, block.costs.nodes));
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
