//! Decoders with caches: which inputs these are, what they hold in proofs and data, and words one after the other.

use super::builder::{Builder, Size, planned};
use super::rules::runtime;
use crate::data::{ArrayOrder, DataSet, DataSource, NamedArray, declared_inputs};
use crate::dimensions::{Analysis, InputSizes};
use crate::graph::Graph;
use crate::onnx::ElementType::{Bool, Float, Int64};
use crate::onnx::Model;
use crate::ops::{CutRules, Premises};
use crate::plan::{RoundTo, Settings};
use crate::rewrite::{Masks, prune, twin};
use crate::runtime::{Runtime, Tensor};
use crate::validate::verify;

const VOCABULARY: usize = 24;
const STEPS: usize = 16;

/// Queries, keys and values of a layer with two heads, and what it adds to its input, in names that start with `p`. Keys and values
/// of the past are there where `cached`.
fn layer(builder: Builder, p: &str, cached: bool) -> Builder {
    let name = |text: &str| {
        let words = text.split(' ').map(|word| match word.strip_prefix('.') {
            Some(own) => format!("{p}{own}"),
            None => word.to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let mut builder = builder.node("Gather", &name("embed tokens -> .e"), &[]);
    for part in ["q", "k", "v"] {
        let made = |from: &str, to: &str| name(&format!("{from} -> .{part}{to}"));
        builder = builder
            .node("MatMul", &made(&format!(".e w{part}"), "0"), &[])
            .node("Reshape", &made(&format!(".{part}0 apart"), "1"), &[])
            .node(
                "Transpose",
                &made(&format!(".{part}1"), "2"),
                &[("perm", [0, 2, 1, 3].into())],
            );
    }
    for (part, past, present) in [("k", "left", "left_out"), ("v", "right", "right_out")] {
        let (operator, inputs) = match cached {
            true => ("Concat", format!("{past} .{part}2")),
            false => ("Identity", format!(".{part}2")),
        };
        let axis = ("axis", 2.into());
        let attributes = [axis];
        let attributes = if cached { &attributes[..] } else { &[] };
        builder = builder.node(
            operator,
            &name(&format!("{inputs} -> .{present}")),
            attributes,
        );
    }
    builder
        .node(
            "Transpose",
            &name(".left_out -> .kt"),
            &[("perm", [0, 1, 3, 2].into())],
        )
        .node("MatMul", &name(".q2 .kt -> .products"), &[])
        .node(
            "Softmax",
            &name(".products -> .shares"),
            &[("axis", (-1).into())],
        )
        .node("MatMul", &name(".shares .right_out -> .a0"), &[])
        .node(
            "Transpose",
            &name(".a0 -> .a1"),
            &[("perm", [0, 2, 1, 3].into())],
        )
        .node("Reshape", &name(".a1 together -> .a2"), &[])
        .node("MatMul", &name(".a2 wo -> .a3"), &[])
        .node("Add", &name(".e .a3 -> .s"), &[])
        .node("MatMul", &name(".s w1 -> .h"), &[])
        .node("Relu", &name(".h -> .r"), &[])
        .node("MatMul", &name(".r w2 -> .m"), &[])
        .node("Add", &name(".s .m -> .t"), &[])
        .node("MatMul", &name(".t head -> .logits"), &[])
}

fn weights(builder: Builder) -> Builder {
    builder
        .weight("embed", &[VOCABULARY, 16])
        .weight("wq", &[16, 16])
        .weight("wk", &[16, 16])
        .weight("wv", &[16, 16])
        .weight("wo", &[16, 16])
        .weight("w1", &[16, 32])
        .weight("w2", &[32, 16])
        .weight("head", &[16, VOCABULARY])
        .ints("apart", &[0, 0, 2, 8])
        .ints("together", &[0, 0, 16])
}

fn tokens(opset: i64) -> Builder {
    Builder::new(opset).input_of("tokens", Int64, &["n".into(), "s".into()])
}

fn caches(mut builder: Builder, names: &[&str]) -> Builder {
    for name in names {
        let shape: [Size; 4] = ["n".into(), 2.into(), "before".into(), 8.into()];
        builder = builder.input_of(name, Float, &shape);
    }
    builder
}

fn outputs(builder: Builder, p: &str) -> Builder {
    let names = ["logits", "left_out", "right_out"];
    names.iter().fold(builder, |builder, name| {
        builder.output(&format!("{p}{name}"))
    })
}

/// Caches that are longer by a Concat.
pub(super) fn plain() -> Model {
    let builder = weights(caches(tokens(17), &["left", "right"]));
    outputs(layer(builder, "", true), "").model()
}

/// The same as the branch of an If, whose other one knows no cache.
pub(super) fn merged() -> Model {
    let branch = |p: &str, cached| outputs(layer(Builder::new(17), p, cached), p);
    let builder = weights(caches(tokens(17), &["left", "right"]));
    let builder = builder
        .input_of("again", Bool, &[1.into()])
        .node("If", "again -> logits left_out right_out", &[])
        .body("then_branch", branch("", true))
        .body("else_branch", branch("no.", false));
    outputs(builder, "").model()
}

/// What is said of what an attention made beside the embedding.
fn said(builder: Builder) -> Builder {
    builder
        .node("Add", "e a3 -> s", &[])
        .node("MatMul", "s w1 -> h", &[])
        .node("Relu", "h -> r", &[])
        .node("MatMul", "r w2 -> m", &[])
        .node("Add", "s m -> t", &[])
        .node("MatMul", "t head -> logits", &[])
        .output("logits")
}

/// One cache of keys and values inside of an operator.
fn packed() -> Model {
    let shape: [Size; 5] = [2.into(), "n".into(), 2.into(), "before".into(), 8.into()];
    let built = weights(tokens(17).input_of("both", Float, &shape))
        .weight("qkv", &[16, 48])
        .weight("bias", &[48])
        .node("Gather", "embed tokens -> e", &[])
        .contrib(
            "Attention",
            "e qkv bias - both -> a both_out",
            &[("num_heads", 2.into()), ("unidirectional", 1.into())],
        )
        .node("MatMul", "a wo -> a3", &[]);
    said(built).output("both_out").model()
}

/// Four heads of queries on two of keys and values, caches that the operator itself adds to.
fn grouped() -> Model {
    let span = |start: i64| [("start", start.into()), ("end", (start + 1).into())];
    let built = weights(caches(tokens(17), &["left", "right"]))
        .weight("wide", &[16, 32])
        .weight("narrow", &[32, 16])
        .scalar("one", 1)
        .node("Gather", "embed tokens -> e", &[])
        .node("MatMul", "e wide -> q", &[])
        .node("MatMul", "e wk -> k", &[])
        .node("MatMul", "e wv -> v", &[])
        .node("Shape", "left -> before", &span(2))
        .node("Shape", "tokens -> new", &span(1))
        .node("Add", "before new -> whole", &[])
        .node("Sub", "whole one -> last", &[])
        .node("Shape", "tokens -> samples", &span(0))
        .node("Expand", "last samples -> lasts", &[])
        .node("Cast", "whole -> whole32", &[("to", 6.into())])
        .node("Cast", "lasts -> lasts32", &[("to", 6.into())])
        .contrib(
            "GroupQueryAttention",
            "q k v left right lasts32 whole32 -> a left_out right_out",
            &[("num_heads", 4.into()), ("kv_num_heads", 2.into())],
        )
        .node("MatMul", "a narrow -> a3", &[]);
    said(built).output("left_out").output("right_out").model()
}

pub(super) fn analysed(model: &Model, signature: &[&str]) -> Analysis {
    let graph = Graph::new(model).expect("a graph");
    let sizes = InputSizes::for_graph(&graph, &[]).expect("no sizes are given");
    let cuts = CutRules {
        signature: signature.iter().map(|&glob| glob.to_owned()).collect(),
        ..CutRules::default()
    };
    let premises = Premises {
        cuts,
        ..Premises::default()
    };
    Analysis::with(graph, sizes, premises)
}

/// The words that a model says after the first one, each the likeliest but the one before, with caches that start empty and are fed
/// back.
fn words(model: &Model, runtime: &Runtime) -> Vec<usize> {
    let mut session = runtime.session(model, "a decoder").expect("a session");
    let is_cache = |name: &str| !["tokens", "again"].contains(&name);
    let mut held: Vec<(String, Tensor)> = Vec::new();
    for input in session
        .inputs()
        .iter()
        .filter(|input| is_cache(&input.name))
    {
        let size = |(axis, size): (usize, &i64)| match usize::try_from(*size) {
            Ok(size) => size,
            // Samples come before what has been seen.
            Err(_) => usize::from(axis < 2),
        };
        let shape: Vec<usize> = input.shape.iter().enumerate().map(size).collect();
        let tensor = Tensor::from_f64(Float, &shape, &[]).expect("an empty tensor");
        held.push((input.name.clone(), tensor));
    }
    let (mut said, mut word) = (Vec::new(), 3);
    for step in 0..STEPS {
        let mut inputs = held.clone();
        let number = |element, shape: &[usize], number: f64| {
            Tensor::from_f64(element, shape, &[number]).expect("a number")
        };
        inputs.push(("tokens".to_owned(), number(Int64, &[1, 1], word as f64)));
        if session.takes("again") {
            let again = f64::from(u8::from(step > 0));
            inputs.push(("again".to_owned(), number(Bool, &[1], again)));
        }
        let mut outputs = session.run(&inputs).expect("a step");
        let logits = outputs.remove(0).1.to_f64();
        let others = (0..logits.len()).filter(|&other| other != word);
        let best = others.max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
        word = best.expect("a word");
        said.push(word);
        for ((_, cache), (_, grown)) in held.iter_mut().zip(outputs) {
            *cache = grown;
        }
    }
    assert_eq!(held[0].1.shape()[held[0].1.shape().len() - 2], STEPS);
    said
}

#[test]
fn sixteen_words_are_those_of_the_twin() {
    let runtime = runtime();
    for (what, model) in [
        ("plain", plain()),
        ("merged", merged()),
        ("packed", packed()),
        ("grouped", grouped()),
    ] {
        let mut sizes = Vec::new();
        for signature in [&[][..], &["*"]] {
            let analysis = analysed(&model, signature);
            let settings = Settings {
                round_to: RoundTo::Multiple(1),
                change_signature: signature.iter().map(|&glob| glob.to_owned()).collect(),
                ..Settings::default()
            };
            let plan = planned(&analysis, &settings);
            let pruned = prune(&analysis, &plan).expect("a pruned model").settled();
            let proof = verify(&analysis, &plan, &pruned, &runtime).expect("a proof");
            assert_eq!(proof.caches, ["filled", "empty", "step"], "{what}");
            assert!(proof.outputs.iter().all(|output| output.informative));
            let twin = twin(&analysis, &plan, Masks::Initializers).expect("a twin");
            let said = words(&pruned, &runtime);
            assert_eq!(said, words(&twin, &runtime), "{what} {signature:?}");
            let mut distinct = said.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert!(distinct.len() > 1, "{what} says {said:?}");
            sizes.push(plan.dimensions.len());
        }
        assert!(sizes[0] < sizes[1], "{what}: {sizes:?}");
    }
}

/// Data in memory, of real numbers where no words.
fn array(name: &str, shape: &[usize]) -> NamedArray {
    let count: usize = shape.iter().product();
    let order = ArrayOrder::RowMajor;
    match name {
        "tokens" => NamedArray::new(name, "<i8", shape, order, vec![0_u8; 8 * count].into()),
        _ => NamedArray::new(name, "<f4", shape, order, vec![0_u8; 4 * count].into()),
    }
}

#[test]
fn caches_that_data_lacks_are_empty() {
    let model = plain();
    let analysis = analysed(&model, &[]);
    let inputs = declared_inputs(&analysis);
    let open = |arrays| DataSet::open(&DataSource::Arrays(arrays), &inputs, &analysis, 2);
    let data = open(vec![array("tokens", &[3, 5])]).expect("data without caches");
    assert!(data.describe().ends_with("with empty caches"));
    for (number, samples) in [(0, 2), (1, 1)] {
        let batch = data.batch(number).expect("a batch");
        let shapes: Vec<&[usize]> = batch.inputs.iter().map(|(_, t)| t.shape()).collect();
        let cache: &[usize] = &[samples, 2, 0, 8];
        assert_eq!(shapes, [&[samples, 5][..], cache, cache]);
    }
    // One of two is a mistake, and so is no cache at all.
    let some = vec![array("tokens", &[3, 5]), array("left", &[3, 2, 4, 8])];
    let fault = open(some).expect_err("a cache is missing").to_string();
    assert!(fault.contains("no array 'right'"), "{fault}");
    let fault = open(vec![
        array("left", &[3, 2, 4, 8]),
        array("right", &[3, 2, 4, 8]),
    ]);
    let fault = fault.expect_err("words are missing").to_string();
    assert!(fault.contains("no array 'tokens'"), "{fault}");
}

#[test]
fn random_batches_have_caches_of_every_kind() {
    let model = merged();
    let analysis = analysed(&model, &[]);
    let random = DataSource::Random {
        samples: 6,
        seed: 0,
    };
    let inputs = declared_inputs(&analysis);
    let data = DataSet::open(&random, &inputs, &analysis, 2).expect("data");
    let mut session = runtime().session(&model, "a decoder").expect("a session");
    let data = data.with_caches(&mut session).expect("data with caches");
    let sizes = |number| {
        let batch = data.batch(number).expect("a batch");
        let size = |name: &str, axis: usize| {
            let found = batch.inputs.iter().find(|(other, _)| other == name);
            found.expect("an input").1.shape()[axis]
        };
        [size("tokens", 1), size("left", 2)]
    };
    assert_eq!([0, 1, 2].map(sizes), [[16, 16], [16, 0], [1, 16]]);
}

/// Other inputs than caches are no caches: their sizes are not given back longer.
#[test]
fn what_is_not_given_back_is_no_cache() {
    let model = plain();
    let analysis = analysed(&model, &[]);
    let names: Vec<&str> = analysis
        .caches()
        .iter()
        .map(|cache| &cache.input[..])
        .collect();
    assert_eq!(names, ["left", "right"]);
    let joined = Builder::new(17)
        .input_of("seen", Float, &["n".into(), "s".into(), 8.into()])
        .input_of("heard", Float, &["n".into(), "t".into(), 8.into()])
        .weight("w", &[8, 4])
        .node("Concat", "seen heard -> all", &[("axis", 1.into())])
        .node("MatMul", "all w -> y", &[])
        .output("y")
        .model();
    assert!(analysed(&joined, &[]).caches().is_empty());
}
