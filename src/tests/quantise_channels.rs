//! Channels brought to one size: which values have factors together, that a model stays what it is, and what it gains.

use std::collections::{BTreeMap, BTreeSet};

use super::builder::{Builder, Value, analyse, floats, noise};
use super::quantise::{data, every, quantised, wanted};
use super::rules::runtime;
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::events::Silent;
use crate::metrics::Gap;
use crate::onnx::{Model, to_f32};
use crate::patterns::Patterns;
use crate::quantise::{
    CodeSites, Equalised, PlannedValue, QuantisePlan, Quantised, Subject, quantise, ranges, streams,
};
use crate::runtime::Provider;
use crate::search::held_out_divergences;

/// By channel a power of two.
fn factor(channel: usize) -> f32 {
    (channel % 7) as f32
}

/// Weights of a layer whose rows are so much smaller, and whose columns so much larger.
fn uneven(
    builder: Builder,
    name: &str,
    dims: [usize; 4],
    (rows, columns): (bool, bool),
) -> Builder {
    let noise = to_f32(&noise(name, &dims)).expect("noise");
    let numbers = noise.iter().enumerate().map(|(at, x)| {
        let (row, column) = (
            at / dims[1..].iter().product::<usize>(),
            at / dims[2] / dims[3] % dims[1],
        );
        let column = if dims[1] == 1 { row } else { column };
        let down = if rows { factor(row) } else { 0.0 };
        let up = if columns { factor(column) } else { 0.0 };
        x * (up - down).exp2()
    });
    builder.tensor(floats(name, &dims, &numbers.collect::<Vec<f32>>()))
}

fn small_bias(builder: Builder, name: &str, channels: usize) -> Builder {
    let noise = to_f32(&noise(name, &[channels])).expect("noise");
    let numbers = noise.iter().enumerate();
    let numbers = numbers.map(|(at, x)| x * (-factor(at)).exp2());
    builder.tensor(floats(name, &[channels], &numbers.collect::<Vec<f32>>()))
}

/// A block of an image net: a product of each pixel, one of each channel, another of each pixel, and a sum. Channels of
/// all values between are uneven, and the layers behind make up for it.
pub(super) fn depthwise_model() -> Model {
    let mut builder = Builder::new(17)
        .input("x", &[8, 3, 8, 8])
        .tensor(floats("low", &[], &[0.0]))
        .tensor(floats("high", &[], &[6.0]))
        .weight("b5", &[10]);
    builder = uneven(builder, "w1", [14, 3, 1, 1], (true, false));
    builder = uneven(builder, "w2", [21, 14, 1, 1], (true, true));
    builder = uneven(builder, "w3", [21, 1, 3, 3], (true, true));
    builder = uneven(builder, "w4", [14, 21, 1, 1], (true, true));
    builder = uneven(builder, "w5", [10, 14, 1, 1], (false, true));
    for (name, channels) in [("b1", 14), ("b2", 21), ("b3", 21), ("b4", 14)] {
        builder = small_bias(builder, name, channels);
    }
    let each = [
        ("group", Value::from(21)),
        ("pads", Value::from([1, 1, 1, 1])),
    ];
    let builder = builder
        .ints("two", &[10, 14])
        .node("Reshape", "w5 two -> v5", &[])
        .node("Conv", "x w1 b1 -> c1", &[])
        .node("Conv", "c1 w2 b2 -> c2", &[])
        .node("Clip", "c2 low high -> k2", &[])
        .node("Conv", "k2 w3 b3 -> c3", &each)
        .node("Clip", "c3 low high -> k3", &[])
        .node("Conv", "k3 w4 b4 -> c4", &[])
        .node("Add", "c4 c1 -> s", &[])
        .node("GlobalAveragePool", "s -> p", &[])
        .node("Flatten", "p -> f", &[])
        .node("Gemm", "f v5 b5 -> y", &[("transB", Value::from(1))])
        .output("y");
    builder.model()
}

/// The same with its last weight as a constant.
fn depthwise() -> Analysis {
    let analysis = analyse(&depthwise_model());
    let folded = crate::quantise::folded(&analysis, &runtime()).expect("folded");
    analyse(&folded.expect("a weight to fold").settled())
}

fn sites(analysis: &Analysis) -> CodeSites {
    let none = Patterns::new(std::iter::empty()).expect("patterns");
    CodeSites::of(analysis, &wanted(&none))
}

/// The names of the values of each stream, and how many layers write and read it.
fn streamed(analysis: &Analysis) -> Vec<(String, usize, usize)> {
    let found = streams(analysis, &sites(analysis).layers);
    let name = |value| analysis.graph().value(value).name.clone();
    let rows = found.iter().map(|of| {
        let names: BTreeSet<String> = of.values.keys().map(|&value| name(value)).collect();
        let names: Vec<String> = names.into_iter().collect();
        (names.join(" "), of.writers.len(), of.readers.len())
    });
    rows.collect()
}

/// Runs what `each` asks on the random samples of a model.
fn on_data<T>(analysis: &Analysis, each: impl FnOnce(Pass) -> T) -> T {
    let data = data(analysis);
    each(Pass {
        runtime: &runtime(),
        provider: &Provider::Cpu,
        data: &data,
    })
}

/// Equalises all streams of a model, which there are to be; its outputs have to stay.
fn stays_the_same(analysis: &Analysis) {
    let placement = sites(analysis);
    let found = streams(analysis, &placement.layers);
    assert!(!found.is_empty());
    on_data(analysis, |pass| {
        let all: Vec<_> = found.iter().collect();
        let equalised = Equalised::of(analysis, &placement, &all, pass).expect("factors");
        assert!(!equalised.is_empty());
        let factors = equalised.values.values().flat_map(|of| &of.by_channel);
        let factors: Vec<f32> = factors.copied().collect();
        assert!(factors.iter().all(|factor| (1.0..=64.0).contains(factor)));
        assert!(factors.iter().any(|&factor| factor > 1.01));
        let model = equalised.applied(analysis).expect("a model");
        let mut plain = pass
            .session(analysis.graph().model(), "before")
            .expect("one");
        let mut other = pass.session(&model, "after").expect("one");
        for number in 0..pass.data.batches() {
            let batch = pass.data.batch(number).expect("a batch");
            let before = batch.run(&mut plain).expect("outputs");
            let after = batch.run(&mut other).expect("outputs");
            for ((name, before), (_, after)) in before.iter().zip(&after) {
                let gap = Gap::between(before, after);
                assert!(gap.error <= 1e-4 * gap.scale, "{name}: {}", gap.error);
            }
        }
    });
}

/// What the model is with the plain ranges of its values.
fn without_factors(analysis: &Analysis) -> Quantised {
    let placement = sites(analysis);
    let graph = analysis.graph();
    on_data(analysis, |pass| {
        let ranges = ranges(graph, &placement, &BTreeMap::new(), pass, &mut Silent);
        let ranges = ranges.expect("ranges");
        let values = placement.rounded.iter().map(|(&value, &class)| {
            let range = ranges[class];
            let zero = range.zero.code() as i32;
            let scale = range.scale;
            (
                graph.value(value).name.clone(),
                PlannedValue { scale, zero },
            )
        });
        let plan = QuantisePlan {
            secateur_quantise_plan: 1,
            version: String::new(),
            model_hash: String::new(),
            settings: every(),
            values: values.collect(),
            factors: BTreeMap::new(),
            real: BTreeMap::new(),
            weights: BTreeMap::new(),
        };
        let subject = Subject::alone(analysis).by(Some(&plan));
        quantise(&subject, &every(), pass, &mut Silent).expect("a model")
    })
}

#[test]
fn uneven_channels_are_quantised_as_well_as_even_ones() {
    let analysis = depthwise();
    let found = quantised(&analysis, &every());
    assert!(found.equalised() > 0 && found.plan.factors.len() == found.equalised());
    assert!(found.plan.real.is_empty(), "{:?}", found.plan.real);
    let factors = found.plan.factors.values().flatten();
    assert!(factors.clone().all(|factor| (1.0..=64.0).contains(factor)));
    assert!(factors.clone().any(|&factor| factor > 8.0));
    let plain = without_factors(&analysis);
    assert_eq!(plain.equalised(), 0);
    let models = [&found.model, &plain.model];
    let [even, uneven] = on_data(&analysis, |pass| {
        let before = analysis.graph().model();
        held_out_divergences(pass, before, models).expect("divergences")
    });
    assert!(8.0 * even < uneven, "{even}, without factors {uneven}");
}

#[test]
fn sums_pools_and_cuts_keep_factors() {
    let analysis = depthwise();
    let found = streamed(&analysis);
    let expected = [("c1 c4 f p s", 2, 2), ("c2 k2", 1, 1), ("c3 k3", 1, 1)];
    let expected = expected.map(|(names, writers, readers)| (names.to_owned(), writers, readers));
    assert_eq!(found, expected);
    let bounds = streams(&analysis, &sites(&analysis).layers);
    let bounds: Vec<f64> = bounds.iter().map(|of| of.bound).collect();
    assert_eq!(bounds, [f64::INFINITY, 6.0, 6.0]);
    stays_the_same(&analysis);
}

/// What lies between two convolutions: from `c` to `m`.
type Middle = fn(Builder) -> Builder;

/// A convolution, what lies behind it, and another convolution of so many channels that reads `m`.
fn between(middle: impl Fn(Builder) -> Builder, channels: usize) -> Analysis {
    let builder = Builder::new(17)
        .input("x", &[8, 3, 6, 6])
        .weight("w2", &[6, channels, 1, 1]);
    let builder = uneven(builder, "w1", [8, 3, 3, 3], (true, false));
    let builder = small_bias(builder, "b1", 8).node("Conv", "x w1 b1 -> c", &[]);
    let builder = middle(builder)
        .node("Conv", "m w2 -> d", &[])
        .node("Relu", "d -> r", &[])
        .node("GlobalAveragePool", "r -> y", &[])
        .output("y");
    analyse(&builder.model())
}

#[test]
fn streams_end_where_factors_would_be_seen() {
    let cases: [(&str, Middle); 11] = [
        ("an output", |b| b.node("Relu", "c -> m", &[]).output("m")),
        ("an output before", |b| {
            b.node("Relu", "c -> m", &[]).output("c")
        }),
        ("an output behind a pool", |b| {
            b.node(
                "AveragePool",
                "c -> m",
                &[("kernel_shape", Value::from([2, 2]))],
            )
            .output("m")
        }),
        ("bent", |b| b.node("Sigmoid", "c -> m", &[])),
        ("scaled by itself", |b| b.node("Mul", "c c -> m", &[])),
        ("read by another", |b| {
            b.node("Relu", "c -> m", &[])
                .node("Exp", "m -> e", &[])
                .output("e")
        }),
        ("added to an input", |b| {
            b.input("z", &[8, 8, 4, 4]).node("Add", "c z -> m", &[])
        }),
        ("added to a constant", |b| {
            b.weight("k", &[8, 1, 1]).node("Add", "c k -> m", &[])
        }),
        ("channels in another order", |b| {
            b.ints("order", &[3, 1, 0, 2, 7, 6, 5, 4]).node(
                "Gather",
                "c order -> m",
                &[("axis", Value::from(1))],
            )
        }),
        ("a mean of all channels", |b| {
            b.node("ReduceMean", "c -> t", &[("axes", Value::from([1]))])
                .node("Add", "t c -> m", &[])
        }),
        ("positions for channels", |b| {
            b.node(
                "Transpose",
                "c -> t",
                &[("perm", Value::from([0, 2, 1, 3]))],
            )
            .ints("sizes", &[8, 8, 4, 4])
            .node("Reshape", "t sizes -> m", &[])
        }),
    ];
    for (what, middle) in cases {
        let analysis = between(middle, 8);
        assert_eq!(streamed(&analysis), [], "{what}");
    }
    let concat = |b: Builder| {
        b.weight("w3", &[4, 3, 3, 3])
            .node("Conv", "x w3 -> e", &[])
            .node("Concat", "c e -> m", &[("axis", Value::from(1))])
    };
    assert_eq!(streamed(&between(concat, 12)), []);
}

#[test]
fn models_stay_the_same_with_other_channels() {
    let pool = [("kernel_shape", Value::from([2, 2]))];
    let cases: [&dyn Fn(Builder) -> Builder; 7] = [
        &|b| b.node("Relu", "c -> m", &[]),
        &|b| b.node("LeakyRelu", "c -> m", &[]),
        &|b| b.node("MaxPool", "c -> m", &pool),
        &|b| {
            b.node("Relu", "c -> r1", &[])
                .node("AveragePool", "r1 -> m", &pool)
        },
        &|b| {
            b.tensor(floats("low", &[], &[-0.5]))
                .tensor(floats("high", &[], &[0.7]))
                .node("Clip", "c low high -> m", &[])
        },
        &|b| {
            b.tensor(floats("low", &[], &[-0.6]))
                .tensor(floats("high", &[], &[0.7]))
                .node("Clip", "c low high -> k", &[])
                .node("LeakyRelu", "c -> l", &[])
                .node("Add", "k l -> m", &[])
        },
        &|b| {
            b.weight("w3", &[8, 3, 3, 3])
                .node("Conv", "x w3 -> e", &[])
                .node("Add", "c e -> s", &[])
                .node("Relu", "s -> m", &[])
        },
    ];
    for (number, middle) in cases.into_iter().enumerate() {
        let analysis = between(middle, 8);
        let found = streamed(&analysis);
        assert_eq!(found.len(), 1, "{number}: {found:?}");
        let writers = if number == 6 { 2 } else { 1 };
        assert_eq!((found[0].1, found[0].2), (writers, 1), "{number}");
        stays_the_same(&analysis);
    }
}

#[test]
fn groups_have_factors_of_their_own_channels() {
    let builder = Builder::new(17)
        .input("x", &[8, 4, 6, 6])
        .weight("w1", &[12, 2, 3, 3])
        .weight("w2", &[9, 4, 1, 1])
        .weight("w3", &[5, 9, 1, 1])
        .node("Conv", "x w1 -> c1", &[("group", Value::from(2))])
        .node("Relu", "c1 -> r1", &[])
        .node("Conv", "r1 w2 -> c2", &[("group", Value::from(3))])
        .node("Relu", "c2 -> r2", &[])
        .node("Conv", "r2 w3 -> c3", &[])
        .node("Relu", "c3 -> r3", &[])
        .node("ReduceMean", "r3 -> y", &[("axes", Value::from([2, 3]))])
        .output("y");
    let analysis = analyse(&builder.model());
    assert_eq!(streamed(&analysis).len(), 2);
    stays_the_same(&analysis);
}

#[test]
fn products_need_a_place_for_a_bias_to_write_a_stream() {
    let mlp = |first: &str| {
        let builder = Builder::new(17)
            .input("x", &[8, 6])
            .weight("w1", &[6, 12])
            .weight("w2", &[12, 5])
            .node(first, "x w1 -> m", &[])
            .node("Relu", "m -> r", &[])
            .node("MatMul", "r w2 -> y", &[])
            .output("y");
        analyse(&builder.model())
    };
    assert_eq!(streamed(&mlp("MatMul")), []);
    let analysis = mlp("Gemm");
    assert_eq!(streamed(&analysis), [("m r".to_owned(), 1, 1)]);
    stays_the_same(&analysis);
}
