//! Attention as one operator: which part may go, what kernels demand, what is written out.

use std::collections::BTreeMap;

use super::builder::{Builder, Size, analyse, halves, planned};
use super::families::attention as cases;
use super::rules::runtime;
use crate::data::DataSource;
use crate::dimensions::Analysis;
use crate::graph::Attributes;
use crate::job::{self, Calibration, PruneOptions};
use crate::onnx::{ElementType, Model};
use crate::ops::AttentionPart;
use crate::plan::{AttentionCut, Cost, Plan, Settings};
use crate::rewrite::prune;
use crate::validate::verify;

fn settings(attention: AttentionCut) -> Settings {
    Settings {
        attention,
        ..halves()
    }
}

/// What a plan leaves of the dimensions that it cuts, by what they are in an attention.
fn left(analysis: &Analysis, plan: &Plan) -> Vec<(Option<AttentionPart>, usize)> {
    let cut = plan.dimensions.iter().map(|planned| {
        let mut all = analysis.dimensions().iter();
        let found = all.find(|found| found.name == planned.name);
        (found.and_then(|of| of.attends), planned.kept.len())
    });
    cut.collect()
}

#[test]
fn each_part_goes_where_it_is_asked_for() {
    let runtime = runtime();
    let mut taken: BTreeMap<AttentionPart, usize> = BTreeMap::new();
    for case in cases() {
        let analysis = analyse(&case.model);
        for (cut, part) in [
            (AttentionCut::Heads, AttentionPart::Heads),
            (AttentionCut::HeadDim, AttentionPart::HeadWidth),
        ] {
            let plan = planned(&analysis, &settings(cut));
            let parts = left(&analysis, &plan);
            let own = parts.iter().filter(|(of, _)| *of == Some(part)).count();
            let others = parts.iter().filter(|(of, _)| of.is_some()).count();
            assert_eq!(own, others, "{} {cut}: {parts:?}", case.name);
            *taken.entry(part).or_default() += own;
            let pruned = prune(&analysis, &plan).expect("a model");
            let proof = verify(&analysis, &plan, &pruned, &runtime);
            proof.unwrap_or_else(|fault| panic!("{} {cut}: {fault}", case.name));
        }
        let none = planned(&analysis, &settings(AttentionCut::None));
        let parts = left(&analysis, &none);
        assert!(parts.iter().all(|(of, _)| of.is_none()), "{parts:?}");
    }
    assert!(taken[&AttentionPart::Heads] > 10 && taken[&AttentionPart::HeadWidth] > 10);
}

/// Attention as products: heads and widths are told by what the nodes do.
fn decomposed() -> Builder {
    let mut builder = Builder::new(17)
        .input("x", &[2, 5, 6])
        .ints("heads", &[0, 0, 3, 4])
        .ints("joined", &[0, 0, 12]);
    for (name, perm) in [
        ("q", [0, 2, 1, 3]),
        ("k", [0, 2, 3, 1]),
        ("v", [0, 2, 1, 3]),
    ] {
        builder = builder
            .weight(&format!("w{name}"), &[6, 12])
            .node("MatMul", &format!("x w{name} -> {name}f"), &[])
            .node("Reshape", &format!("{name}f heads -> {name}r"), &[])
            .node(
                "Transpose",
                &format!("{name}r -> {name}"),
                &[("perm", perm.into())],
            );
    }
    builder
        .node("MatMul", "q k -> s", &[])
        .node("Softmax", "s -> p", &[("axis", (-1).into())])
        .node("MatMul", "p v -> o", &[])
        .node("Transpose", "o -> t", &[("perm", [0, 2, 1, 3].into())])
        .node("Reshape", "t joined -> j", &[])
        .weight("wo", &[12, 4])
        .node("MatMul", "j wo -> y", &[])
        .output("y")
}

#[test]
fn parts_are_told_where_attention_is_many_nodes() {
    let analysis = analyse(&decomposed().model());
    let mut parts: Vec<_> = analysis
        .dimensions()
        .iter()
        .map(|of| (of.size, of.attends))
        .collect();
    parts.sort_unstable();
    let (heads, width) = (Some(AttentionPart::Heads), Some(AttentionPart::HeadWidth));
    assert_eq!(parts, [(3, heads), (4, width), (4, width)]);
    // A product of one axis with data is no attention.
    let plain = Builder::new(17)
        .input("x", &[2, 6])
        .weight("w", &[6, 8])
        .node("MatMul", "x w -> a", &[])
        .node("Transpose", "a -> t", &[])
        .node("MatMul", "a t -> y", &[])
        .output("y");
    let analysis = analyse(&plain.model());
    assert!(analysis.dimensions().iter().all(|of| of.attends.is_none()));
}

fn model(name: &str) -> Model {
    let mut cases = cases().into_iter();
    let found = cases.find(|case| case.name == name);
    found.expect("the case").model
}

/// A real attribute of the operator with this end of a name.
fn scale(model: &Model, operator: &str) -> Option<f32> {
    let graph = model.proto.graph.as_ref()?;
    let node = graph
        .node
        .iter()
        .find(|n| n.op_type().ends_with(operator))?;
    node.attribute("scale")?.f
}

#[test]
fn a_scale_that_is_left_out_is_written_where_the_width_changes() {
    for (name, width) in [("Attention", 4.0_f32), ("MultiHeadAttention", 4.0)] {
        let model = model(name);
        let analysis = analyse(&model);
        let of = |cut| {
            let plan = planned(&analysis, &settings(cut));
            scale(&prune(&analysis, &plan).expect("a model"), "Attention")
        };
        assert_eq!(of(AttentionCut::Heads), None);
        assert_eq!(of(AttentionCut::HeadDim), Some(1.0 / width.sqrt()));
    }
    let given = model("Attention by head");
    let analysis = analyse(&given);
    let plan = planned(&analysis, &settings(AttentionCut::HeadDim));
    let pruned = prune(&analysis, &plan).expect("a model");
    assert_eq!(scale(&pruned, "Attention"), Some(0.3));
}

#[test]
fn what_a_kernel_does_not_take_is_not_left() {
    let analysis = analyse(&model("GroupQueryAttention rotary"));
    for ratio in [0.1, 0.3, 0.5, 0.9] {
        let settings = Settings {
            ratio,
            ..settings(AttentionCut::HeadDim)
        };
        let plan = planned(&analysis, &settings);
        let kept: Vec<usize> = plan.dimensions.iter().map(|of| of.kept.len()).collect();
        let expected: &[usize] = if ratio < 0.5 { &[] } else { &[8] };
        assert_eq!(kept, expected, "at {ratio}");
    }
    let mut plan = planned(&analysis, &settings(AttentionCut::HeadDim));
    plan.dimensions[0].kept.truncate(6);
    let fault = prune(&analysis, &plan).expect_err("a width that the kernel refuses");
    let said = fault.to_string();
    assert!(
        said.contains("multiples of 16") && said.contains("6 of 16"),
        "{said}"
    );
}

#[test]
fn heads_that_do_not_divide_are_left_alone() {
    let attention = |heads: [i64; 2], widths: [usize; 3]| {
        let mut builder = Builder::new(23).input("x", &[2, 5, 6]);
        for (name, width) in ["q", "k", "v"].into_iter().zip(widths) {
            builder = builder.weight(&format!("w{name}"), &[6, width]).node(
                "MatMul",
                &format!("x w{name} -> {name}"),
                &[],
            );
        }
        let numbers = [
            ("q_num_heads", heads[0].into()),
            ("kv_num_heads", heads[1].into()),
        ];
        analyse(
            &builder
                .node("Attention", "q k v -> y", &numbers)
                .output("y")
                .model(),
        )
    };
    for (heads, widths) in [
        ([3, 2], [12, 8, 8]),
        ([5, 5], [12, 12, 12]),
        ([4, 2], [16, 6, 8]),
        ([0, 0], [12, 12, 12]),
    ] {
        let analysis = attention(heads, widths);
        assert!(analysis.dimensions().is_empty(), "{heads:?} {widths:?}");
        assert_eq!(analysis.unsupported().len(), 1, "{heads:?} {widths:?}");
    }
}

/// Sizes of the dimensions of a model in ascending order.
fn sizes(builder: Builder) -> Vec<usize> {
    let analysis = analyse(&builder.model());
    assert!(
        analysis.unsupported().is_empty(),
        "{:?}",
        analysis.unsupported()
    );
    let mut sizes: Vec<usize> = analysis.dimensions().iter().map(|of| of.size).collect();
    sizes.sort_unstable();
    sizes
}

/// What onnxruntime has no kernel for on processors: queries, keys and values in one value, and samples without padding.
#[test]
fn packed_forms_are_typed() {
    let heads = ("num_heads", 3.into());
    let end = |builder: Builder, width: usize| {
        let builder = builder.weight("wo", &[width, 4]);
        builder.node("MatMul", "a wo -> y", &[]).output("y")
    };
    let start = |shape: &[i64], list: &[i64], width: usize| {
        Builder::new(17)
            .input("x", shape)
            .ints("apart", list)
            .weight("w", &[6, width])
            .node("MatMul", "x w -> j", &[])
            .node("Reshape", "j apart -> p", &[])
    };
    let operator = "com.microsoft.MultiHeadAttention";
    let whole = start(&[2, 5, 6], &[0, 0, 3, 3, 4], 36)
        .weight("b", &[36])
        .node(operator, "p - - b -> a", std::slice::from_ref(&heads));
    assert_eq!(sizes(end(whole, 12)), [3, 4]);
    let pair = start(&[2, 5, 6], &[0, 0, 3, 2, 4], 24)
        .weight("wq", &[6, 12])
        .node("MatMul", "x wq -> q", &[])
        .node(operator, "q p -> a", std::slice::from_ref(&heads));
    assert_eq!(sizes(end(pair, 12)), [3, 4]);
    let operator = "com.microsoft.PackedMultiHeadAttention";
    let places = |builder: Builder| {
        builder
            .ints("offsets", &[0, 1])
            .ints("lengths", &[0, 5, 10])
            .weight("bias", &[1, 3, 5, 5])
    };
    let whole = places(start(&[10, 6], &[0, 3, 3, 4], 36)).node(
        operator,
        "p - - - offsets lengths bias -> a",
        std::slice::from_ref(&heads),
    );
    assert_eq!(sizes(end(whole, 12)), [3, 4]);
    let mut apart = places(Builder::new(17).input("x", &[10, 6]));
    for (name, width) in [("q", 12), ("k", 12), ("v", 15)] {
        apart = apart.weight(&format!("w{name}"), &[6, width]).node(
            "MatMul",
            &format!("x w{name} -> {name}"),
            &[],
        );
    }
    let apart = apart.weight("b", &[39]).node(
        operator,
        "q k v b offsets lengths bias -> a",
        std::slice::from_ref(&heads),
    );
    assert_eq!(sizes(end(apart, 15)), [3, 4, 5]);
    let own = places(Builder::new(17).input("x", &[10, 6]))
        .weight("w", &[6, 39])
        .weight("b", &[39])
        .node(
            "com.microsoft.PackedAttention",
            "x w b offsets lengths bias -> a",
            &[heads, ("qkv_hidden_sizes", [12, 12, 15].into())],
        );
    assert_eq!(sizes(end(own, 15)), [3, 4, 5]);
}

/// The curves run a part of the model alone, behind whose inputs onnxruntime infers sizes of its own.
#[test]
fn attention_is_pruned_on_data() {
    let shape: [Size; 3] = ["n".into(), 5.into(), 6.into()];
    let mut builder = Builder::new(23).input_of("x", ElementType::Float, &shape);
    for (name, width) in [("q", 32), ("k", 16), ("v", 16)] {
        builder = builder.weight(&format!("w{name}"), &[6, width]).node(
            "MatMul",
            &format!("x w{name} -> {name}"),
            &[],
        );
    }
    let numbers = [("q_num_heads", 8.into()), ("kv_num_heads", 4.into())];
    let builder = builder
        .node("Attention", "q k v -> a", &numbers)
        .weight("wo", &[32, 4])
        .node("MatMul", "a wo -> y", &[])
        .output("y");
    let data = DataSource::Random {
        samples: 40,
        seed: 3,
    };
    let options = PruneOptions {
        calibration: Some(Calibration::new(data)),
        ..PruneOptions::keeping(Cost::Params, 0.6)
    };
    let pruned = job::prune(builder.model(), &options).expect("a model");
    assert!(pruned.plan.dimensions.iter().any(|of| of.kept.len() < 4));
}
