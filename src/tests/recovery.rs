//! Recovery, layer kind by layer kind: where every removed channel has a twin that stays, nothing is lost, so the
//! recovered model must compute what the dense one does, in onnxruntime.

mod normalised;

use super::builder::{Builder, Size, analyse, floats, noise};
use super::rules::runtime;
use crate::data::{DataSet, DataSource, declared_inputs};
use crate::dimensions::Analysis;
use crate::events::Silent;
use crate::layers::{Layer, Layers};
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, Model, to_f32};
use crate::plan::{Decision, Left, Plan, Selection, Settings};
use crate::recover::{Context, Method, Recovered, Recovery, recover};
use crate::rewrite::prune;
use crate::runtime::Provider;
use crate::statistics::{Stats, Walk};

const SAMPLES: usize = 80;

/// A weight whose odd positions along an axis repeat the even ones before them.
fn pairs(name: &str, dims: &[usize], axis: usize) -> TensorProto {
    let mut numbers = to_f32(&noise(name, dims)).expect("floats");
    let inner: usize = dims[axis + 1..].iter().product();
    for (at, block) in (0..numbers.len() / inner).map(|b| (b % dims[axis], b)) {
        if at % 2 == 1 {
            let (before, own) = numbers.split_at_mut(block * inner);
            own[..inner].copy_from_slice(&before[(block - 1) * inner..]);
        }
    }
    floats(name, dims, &numbers)
}

/// Positive numbers, for variances.
fn positive(name: &str, size: usize) -> TensorProto {
    let tensor = pairs(name, &[size], 0);
    let numbers = to_f32(&tensor).expect("floats");
    let numbers: Vec<f32> = numbers.iter().map(|x| 0.5 + x.abs()).collect();
    floats(name, &[size], &numbers)
}

/// Outputs of a model on the data, one after the other.
fn outputs(model: &Model, data: &DataSet) -> Vec<f64> {
    let mut session = runtime().session(model, "the model").expect("a session");
    let mut out = Vec::new();
    for number in 0..data.batches() {
        let inputs = data.batch(number).expect("a batch").inputs;
        let found = session.run(&inputs).expect("a run");
        out.extend(found.into_iter().flat_map(|(_, tensor)| tensor.to_f64()));
    }
    out
}

fn relative(a: &[f64], b: &[f64]) -> f64 {
    let error: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    let energy: f64 = a.iter().map(|a| a * a).sum();
    (error / energy).sqrt()
}

/// A plan that keeps the even channels of the dimensions called `names`.
fn halved(analysis: &Analysis, names: &[&str]) -> Plan {
    let decisions = analysis.dimensions().iter().map(|dimension| {
        match names.contains(&dimension.name.as_str()) {
            true => Decision::Prune((0..dimension.size as u32).step_by(2).collect()),
            false => Decision::Leave(Left::forced("not asked for")),
        }
    });
    let selection = Selection {
        decisions: decisions.collect(),
    };
    let scores: Vec<Vec<f64>> = analysis
        .dimensions()
        .iter()
        .map(|d| vec![0.0; d.size])
        .collect();
    let plan = Plan::new(analysis, &selection, &scores, &Settings::default());
    assert_eq!(
        plan.dimensions.len(),
        names.len(),
        "dimensions are {:?}",
        analysis
            .dimensions()
            .iter()
            .map(|d| &d.name)
            .collect::<Vec<_>>()
    );
    plan
}

/// Relative errors of the outputs after plain slicing and after recovery, and what recovery did.
fn errors(model: &Model, names: &[&str], recovery: Recovery) -> (f64, f64, Recovered) {
    errors_as(model, names, recovery, &analyse)
}

/// As [`errors`], of a model and what is left of it as they are typed.
pub(super) fn errors_as(
    model: &Model,
    names: &[&str],
    recovery: Recovery,
    typed: &dyn Fn(&Model) -> Analysis,
) -> (f64, f64, Recovered) {
    let analysis = typed(model);
    let source = DataSource::Random {
        samples: SAMPLES,
        seed: 3,
    };
    let data =
        DataSet::open(&source, &declared_inputs(&analysis), &analysis, 8).expect("random data");
    let runtime = runtime();
    let layers = Layers::of(&analysis).layers;
    let layers: Vec<&Layer> = layers.iter().collect();
    let walk = Walk {
        analysis: &analysis,
        runtime: &runtime,
        provider: Provider::Cpu,
        data: &data,
        in_order: false,
    };
    let stats = Stats::measure(&walk, &layers, &mut Silent).expect("statistics");
    let plan = halved(&analysis, names);
    let sliced = prune(&analysis, &plan).expect("a pruned model");
    let context = Context {
        recovery,
        stats: &stats,
        runtime: &runtime,
        provider: Provider::Cpu,
        data: &data,
    };
    let pruned = typed(&sliced.clone().settled());
    let recovered = recover(&analysis, &plan, &pruned, &context, &mut Silent).expect("recovery");
    let edited = recovered.applied(&analysis).expect("an edited model");
    let repaired = prune(&edited, &plan).expect("a recovered model");
    let dense = outputs(model, &data);
    (
        relative(&dense, &outputs(&sliced, &data)),
        relative(&dense, &outputs(&repaired, &data)),
        recovered,
    )
}

/// Removed twins must cost next to nothing after recovery, and something before.
fn check(name: &str, builder: Builder, names: &[&str]) {
    let (sliced, repaired, recovered) = errors(&builder.model(), names, Recovery::Solve);
    let did: Vec<_> = recovered
        .layers
        .iter()
        .map(|l| (&l.layer, l.method, l.before, l.after, &l.left))
        .collect();
    assert!(
        repaired < 0.02 && repaired < 0.1 * sliced,
        "{name}: error {repaired} after recovery, {sliced} before; {did:?}"
    );
}

fn images() -> Builder {
    let sizes: [Size; 4] = ["n".into(), 3.into(), 8.into(), 7.into()];
    Builder::new(17).input_of("x", ElementType::Float, &sizes)
}

fn vectors(sizes: &[i64]) -> Builder {
    let mut all: Vec<Size> = vec!["n".into()];
    all.extend(sizes.iter().map(|&size| Size::from(size)));
    Builder::new(17).input_of("x", ElementType::Float, &all)
}

#[test]
fn convolutions_are_recovered() {
    let stem = || {
        images()
            .tensor(pairs("w1", &[8, 3, 3, 3], 0))
            .tensor(pairs("b1", &[8], 0))
            .node("Conv", "x w1 b1 -> a", &[("pads", [1, 1, 1, 1].into())])
            .node("Relu", "a -> h", &[])
    };
    let padded = [("pads", [1, 1, 1, 1].into()), ("strides", [2, 2].into())];
    check(
        "padded, strided, without bias",
        stem()
            .weight("w2", &[5, 8, 3, 3])
            .node("Conv", "h w2 -> y", &padded)
            .output("y"),
        &["w1"],
    );
    check(
        "grouped",
        stem()
            .weight("w2", &[6, 4, 3, 3])
            .node("Conv", "h w2 -> y", &[("group", 2.into())])
            .output("y"),
        &["w1"],
    );
    check(
        "depthwise, then pointwise",
        stem()
            .tensor(pairs("w2", &[8, 1, 3, 3], 0))
            .node("Conv", "h w2 -> d", &[("group", 8.into())])
            .weight("w3", &[5, 8, 1, 1])
            .node("Conv", "d w3 -> y", &[])
            .output("y"),
        &["w1"],
    );
    check(
        "transposed",
        stem()
            .weight("w2", &[8, 4, 3, 3])
            .node("ConvTranspose", "h w2 -> y", &[("strides", [2, 2].into())])
            .output("y"),
        &["w1"],
    );
    check(
        "before a sum, solved together, and an activation",
        stem()
            .weight("w2", &[5, 8, 3, 3])
            .weight("w3", &[5, 8, 1, 1])
            .node("Conv", "h w2 -> p", &[("pads", [1, 1, 1, 1].into())])
            .node("Conv", "h w3 -> q", &[])
            .node("Add", "p q -> s", &[])
            .node("Relu", "s -> r", &[])
            .weight("w4", &[4, 5, 1, 1])
            .node("Conv", "r w4 -> y", &[])
            .output("y"),
        &["w1"],
    );
}

#[test]
fn matrices_are_recovered() {
    check(
        "MatMul and Add",
        vectors(&[4, 12])
            .tensor(pairs("w1", &[12, 8], 1))
            .tensor(pairs("b1", &[8], 0))
            .node("MatMul", "x w1 -> m", &[])
            .node("Add", "m b1 -> a", &[])
            .node("Tanh", "a -> h", &[])
            .weight("w2", &[8, 12])
            .node("MatMul", "h w2 -> p", &[])
            .node("Add", "x p -> y", &[])
            .output("y"),
        &["w1"],
    );
    check(
        "Gemm with factors",
        vectors(&[12])
            .tensor(pairs("w1", &[8, 12], 0))
            .tensor(pairs("b1", &[8], 0))
            .node("Gemm", "x w1 b1 -> a", &[("transB", 1.into())])
            .node("Relu", "a -> h", &[])
            .weight("w2", &[5, 8])
            .weight("b2", &[5])
            .node(
                "Gemm",
                "h w2 b2 -> y",
                &[
                    ("transB", 1.into()),
                    ("alpha", 0.5.into()),
                    ("beta", 2.0.into()),
                ],
            )
            .output("y"),
        &["w1"],
    );
    check(
        "Einsum",
        vectors(&[4, 12])
            .tensor(pairs("w1", &[12, 8], 1))
            .node("MatMul", "x w1 -> a", &[])
            .node("Sigmoid", "a -> h", &[])
            .weight("w2", &[8, 2, 3])
            .node(
                "Einsum",
                "h w2 -> y",
                &[("equation", "btd,dhk->bhtk".into())],
            )
            .output("y"),
        &["w1"],
    );
}

#[test]
fn layers_that_see_channels_as_rows_are_recovered() {
    // Between its two matrices over channels another one mixes positions, one row per channel.
    let builder = vectors(&[4, 12])
        .tensor(pairs("w1", &[12, 8], 1))
        .node("MatMul", "x w1 -> a", &[])
        .node("Relu", "a -> h", &[])
        .node("Transpose", "h -> t", &[("perm", [0, 2, 1].into())])
        .weight("m", &[4, 5])
        .node("MatMul", "t m -> u", &[])
        .node("Relu", "u -> v", &[])
        .weight("e", &[5, 3, 2])
        .node(
            "Einsum",
            "v e -> k",
            &[("equation", "bct,thk->bchk".into())],
        )
        .node("Relu", "k -> l", &[])
        .weight("w2", &[8, 12])
        .node(
            "Einsum",
            "l w2 -> y",
            &[("equation", "bchk,co->bhko".into())],
        )
        .output("y");
    check("channels as rows", builder, &["w1"]);
}

#[test]
fn recurrent_layers_are_recovered() {
    let sequence = || {
        let sizes: [Size; 3] = ["n".into(), 9.into(), 5.into()];
        Builder::new(17)
            .input_of("x", ElementType::Float, &sizes)
            .node("Transpose", "x -> s", &[("perm", [1, 0, 2].into())])
    };
    for (operator, gates) in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
        // Units come in pairs in every gate, as there is an even number of them.
        let rows = gates * 6;
        let builder = sequence()
            .tensor(pairs("w", &[1, rows, 5], 1))
            .tensor(pairs("r", &[1, rows, 6], 1))
            .tensor(pairs("b", &[1, 2 * rows], 1))
            .node(operator, "s w r b -> o", &[("hidden_size", 6.into())])
            .ints("one", &[1])
            .node("Squeeze", "o one -> q", &[])
            .weight("v", &[6, 4])
            .node("MatMul", "q v -> y", &[])
            .output("y");
        let model = builder.model();
        let name = analyse(&model).dimensions()[0].name.clone();
        let (sliced, repaired, recovered) = errors(&model, &[&name], Recovery::Solve);
        let did: Vec<_> = recovered
            .layers
            .iter()
            .map(|l| (&l.layer, l.method, l.after))
            .collect();
        assert!(
            repaired < 0.02 && repaired < 0.1 * sliced,
            "{operator}: error {repaired} after recovery, {sliced} before; {did:?}"
        );
    }
}

#[test]
fn every_step_of_recovery_is_better_than_the_one_before() {
    let model = || {
        images()
            .weight("w1", &[8, 3, 3, 3])
            .node("Conv", "x w1 -> a", &[])
            .node("Relu", "a -> h", &[])
            .weight("w2", &[5, 8, 3, 3])
            .node("Conv", "h w2 -> y", &[])
            .output("y")
            .model()
    };
    let error = |recovery| errors(&model(), &["w1"], recovery).1;
    let sliced = errors(&model(), &["w1"], Recovery::Bias).0;
    let (bias, fold, solve) = (
        error(Recovery::Bias),
        error(Recovery::Fold),
        error(Recovery::Solve),
    );
    assert!(
        bias < sliced && fold < bias && solve < 1.05 * fold,
        "{sliced} {bias} {fold} {solve}"
    );
}

#[test]
fn nothing_is_touched_where_nothing_is_lost() {
    let model = images()
        .weight("w1", &[8, 3, 3, 3])
        .node("Conv", "x w1 -> y", &[])
        .output("y")
        .weight("v1", &[8, 3, 1, 1])
        .node("Conv", "x v1 -> a", &[])
        .node("Relu", "a -> h", &[])
        .weight("v2", &[5, 8, 1, 1])
        .node("Conv", "h v2 -> z", &[])
        .output("z")
        .model();
    let (_, _, recovered) = errors(&model, &["v1"], Recovery::Solve);
    let untouched = |name: &str| {
        let layer = recovered.layers.iter().find(|layer| layer.layer == name);
        layer.is_some_and(|layer| layer.method == Method::None && layer.before < 1e-6)
    };
    assert!(untouched("w1") && untouched("v1") && !untouched("v2"));
    assert_eq!(recovered.edits.len(), 1);
}
