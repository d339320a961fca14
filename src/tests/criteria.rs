//! Criteria from weights and files, against plain statements of the same things.

use std::path::{Path, PathBuf};

use super::builder::{Builder, analyse, floats};
use crate::criteria::{Criterion, scores};
use crate::dimensions::Analysis;
use crate::onnx::{ElementType, Model, from_raw, to_f32};
use crate::plan::{Cost, CostBudget, Decision, RoundTo, Settings};
use crate::search::select;

fn fixture(name: &str) -> Model {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Model::load(root.join("fixtures/trained").join(name)).expect("a fixture")
}

fn found(analysis: &Analysis, criterion: Criterion) -> Vec<Vec<f64>> {
    scores(analysis, criterion, 0).expect("scores")
}

fn place(analysis: &Analysis, name: &str) -> usize {
    let mut dimensions = analysis.dimensions().iter();
    let place = dimensions.position(|dimension| dimension.name == name);
    place.unwrap_or_else(|| panic!("there is no dimension {name}"))
}

/// The numbers of a weight.
fn numbers(analysis: &Analysis, name: &str) -> Vec<f64> {
    let graph = analysis.graph();
    let mut ids = graph.value_ids();
    let id = ids.find(|&id| graph.value(id).name == name);
    let tensor = id.and_then(|id| graph.constant(id)).expect("a weight");
    let numbers = to_f32(tensor).expect("numbers").into_iter();
    numbers.map(f64::from).collect()
}

/// Two grouped layers, whose channels stand in a block view of the second one's weight, and a concatenation.
fn grouped() -> Model {
    Builder::new(17)
        .input("x", &[2, 3, 6, 6])
        .weight("w1", &[8, 3, 3, 3])
        .node("Conv", "x w1 -> a", &[])
        .weight("w2", &[8, 4, 1, 1])
        .node("Conv", "a w2 -> b", &[("group", 2.into())])
        .node("Concat", "a b -> c", &[("axis", 1.into())])
        .weight("w3", &[5, 16, 1, 1])
        .node("Conv", "c w3 -> y", &[])
        .output("y")
        .model()
}

fn models() -> Vec<Model> {
    let names = [
        "vit_fashion.onnx",
        "gru_fashion.onnx",
        "resnet8_fashion.bn.onnx",
    ];
    let mut models: Vec<Model> = names.map(fixture).into();
    models.push(grouped());
    models
}

#[test]
fn powers_of_one_and_two_are_the_norms_of_these_names() {
    for model in models() {
        let analysis = analyse(&model);
        for (power, same) in [(1.0, Criterion::L1), (2.0, Criterion::L2)] {
            let (powers, same) = (
                found(&analysis, Criterion::Lp(power)),
                found(&analysis, same),
            );
            for (power, same) in powers.iter().flatten().zip(same.iter().flatten()) {
                assert!((power - same).abs() < 1e-4 * same.abs(), "{power} {same}");
            }
        }
    }
}

#[test]
fn high_powers_come_to_the_largest_number() {
    for model in models() {
        let analysis = analyse(&model);
        let largest = found(&analysis, Criterion::Linf);
        let powers = found(&analysis, Criterion::Lp(2000.0));
        for (power, largest) in powers.iter().flatten().zip(largest.iter().flatten()) {
            assert!(
                (power - largest).abs() < 0.01 * largest,
                "{power} {largest}"
            );
        }
    }
}

#[test]
fn the_largest_number_of_a_channel_is_found_wherever_it_stands() {
    let analysis = analyse(&fixture("lenet_mnist.onnx"));
    let largest = |numbers: &[f64], of: &dyn Fn(usize) -> usize| -> Vec<f64> {
        let mut out = vec![0.0_f64; 32];
        for (at, number) in numbers.iter().enumerate() {
            out[of(at)] = out[of(at)].max(number.abs());
        }
        let mean = out.iter().sum::<f64>() / 32.0;
        out.iter().map(|largest| largest / mean).collect()
    };
    let (first, second) = (
        numbers(&analysis, "conv1.weight"),
        numbers(&analysis, "conv2.weight"),
    );
    let (filter, window) = (first.len() / 32, second.len() / 64 / 32);
    let parts = [
        largest(&first, &|at| at / filter),
        largest(&numbers(&analysis, "conv1.bias"), &|at| at),
        largest(&second, &|at| at / window % 32),
    ];
    let scores = found(&analysis, Criterion::Linf);
    let scores = &scores[place(&analysis, "conv1.weight")];
    for (channel, score) in scores.iter().enumerate() {
        let sum: f64 = parts.iter().map(|part| part[channel]).sum();
        assert!((score - sum).abs() < 1e-6, "{channel}: {score} {sum}");
    }
}

/// Mean distances of rows, pair by pair.
fn distances(rows: &[&[f64]], block: usize) -> Vec<f64> {
    let distance = |a: &[f64], b: &[f64]| {
        let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
        squares.sum::<f64>().sqrt()
    };
    let mean = rows.iter().enumerate().map(|(channel, row)| {
        let from = channel / block * block;
        let others = rows[from..from + block].iter();
        others.map(|other| distance(row, other)).sum::<f64>() / (block - 1) as f64
    });
    mean.collect()
}

fn proportional(found: &[f64], plain: &[f64], what: &str) {
    let scale = found[0] / plain[0];
    for (found, plain) in found.iter().zip(plain) {
        assert!(
            (found - scale * plain).abs() < 1e-6 * found.abs().max(1e-3),
            "{what}: {found} {plain}"
        );
    }
}

#[test]
fn distances_are_those_of_the_filters() {
    let analysis = analyse(&fixture("lenet_mnist.onnx"));
    let found = found(&analysis, Criterion::Fpgm);
    for (name, size) in [
        ("conv1.weight", 32),
        ("conv2.weight", 64),
        ("fc1.weight", 100),
    ] {
        let numbers = numbers(&analysis, name);
        let rows: Vec<&[f64]> = numbers.chunks(numbers.len() / size).collect();
        let scores = &found[place(&analysis, name)];
        proportional(scores, &distances(&rows, size), name);
    }
}

#[test]
fn distances_in_groups_are_to_channels_of_the_same_group() {
    let analysis = analyse(&grouped());
    let found = found(&analysis, Criterion::Fpgm);
    let numbers = numbers(&analysis, "w1");
    let rows: Vec<&[f64]> = numbers.chunks(27).collect();
    let place = place(&analysis, "w1");
    let block = 8 / analysis.dimensions()[place].blocks;
    proportional(&found[place], &distances(&rows, block), "w1");
}

#[test]
fn what_is_like_another_is_nearest_to_all() {
    let mut rows: Vec<f32> = (0..6 * 7).map(|n| ((n * 31) % 17) as f32 - 8.0).collect();
    // The last channel is the mean of the others.
    for column in 0..7 {
        let mean = (0..5).map(|row| rows[row * 7 + column]).sum::<f32>() / 5.0;
        rows[5 * 7 + column] = mean;
    }
    let model = Builder::new(17)
        .input("x", &[3, 7])
        .tensor(floats("w1", &[6, 7], &rows))
        .node("Gemm", "x w1 -> a", &[("transB", 1.into())])
        .weight("w2", &[6, 5])
        .node("MatMul", "a w2 -> y", &[])
        .output("y")
        .model();
    let analysis = analyse(&model);
    let found = found(&analysis, Criterion::Fpgm).remove(0);
    assert!((0..5).all(|other| found[5] < found[other]), "{found:?}");
}

#[test]
fn scales_are_those_of_the_normalisations() {
    let analysis = analyse(&fixture("resnet8_fashion.bn.onnx"));
    let found = found(&analysis, Criterion::BnScale);
    assert!(found.iter().all(|scores| !scores.is_empty()));
    let mut compared = 0;
    for (dimension, scores) in analysis.dimensions().iter().zip(&found) {
        let graph = analysis.graph();
        let gammas = dimension.sites.iter().filter_map(|site| {
            let name = &graph.value(site.value).name;
            let read = graph.value(site.value).consumers.first()?;
            let normalises = graph.node_proto(read.0).op_type() == "BatchNormalization";
            (normalises && read.1 == 1).then(|| numbers(&analysis, name))
        });
        let gammas: Vec<Vec<f64>> = gammas.collect();
        assert!(!gammas.is_empty());
        let sum = |channel: usize| {
            let own = gammas.iter().map(|gamma| {
                let mean = gamma.iter().map(|g| g.abs()).sum::<f64>() / gamma.len() as f64;
                gamma[channel].abs() / mean
            });
            own.sum::<f64>()
        };
        for (channel, score) in scores.iter().enumerate() {
            assert!((score - sum(channel)).abs() < 1e-9, "{}", dimension.name);
            compared += 1;
        }
    }
    assert!(compared > 0);
}

#[test]
fn other_scales_by_channel_count_and_what_has_none_is_left_alone() {
    let model = Builder::new(17)
        .input("x", &[3, 7])
        .weight("w1", &[7, 6])
        .node("MatMul", "x w1 -> a", &[])
        .tensor(floats("scale", &[6], &[1.0, -4.0, 2.0, 3.0, 0.5, 6.0]))
        .node("Mul", "a scale -> b", &[])
        .node("Relu", "b -> c", &[])
        .weight("w2", &[6, 5])
        .node("MatMul", "c w2 -> d", &[])
        .node("Relu", "d -> e", &[])
        .weight("w3", &[5, 4])
        .node("MatMul", "e w3 -> y", &[])
        .output("y")
        .model();
    let analysis = analyse(&model);
    let found = found(&analysis, Criterion::BnScale);
    proportional(&found[0], &[1.0, 4.0, 2.0, 3.0, 0.5, 6.0], "scale");
    assert!(found[1].is_empty());
    let settings = Settings {
        criterion: Some(Criterion::BnScale),
        round_to: RoundTo::Multiple(1),
        ..Settings::default()
    };
    let selection = select(&analysis, &found, &settings).expect("a selection");
    assert_eq!(selection.decisions[0], Decision::Prune(vec![1, 3, 5]));
    match &selection.decisions[1] {
        Decision::Leave(left) => assert!(left.why.contains("no score for it"), "{}", left.why),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_model_without_scales_says_that_they_may_be_folded() {
    let analysis = analyse(&fixture("lenet_mnist.onnx"));
    let fault = scores(&analysis, Criterion::BnScale, 0).expect_err("no scales");
    assert_eq!(fault.class().exit_code(), 3);
    assert!(
        fault.to_string().contains("folded into its convolution"),
        "{fault}"
    );
}

/// Channels that stay of the first dimension of a model, with a threshold and other settings.
fn above(norms: &[f32], settings: Settings) -> Decision {
    let count = norms.len();
    let rows: Vec<f32> = norms
        .iter()
        .flat_map(|norm| [0.6 * norm, -0.8 * norm])
        .collect();
    let model = Builder::new(17)
        .input("x", &[3, 2])
        .tensor(floats("w1", &[count, 2], &rows))
        .node("Gemm", "x w1 -> a", &[("transB", 1.into())])
        .weight("w2", &[count, 5])
        .node("MatMul", "a w2 -> y", &[])
        .output("y")
        .model();
    let analysis = analyse(&model);
    let scores = scores(&analysis, settings.criterion(), 0).expect("scores");
    for (norm, score) in norms.iter().zip(&scores[0]) {
        assert!(
            (f64::from(*norm) - score).abs() < 1e-6 * score,
            "{norm} {score}"
        );
    }
    let mut selection = select(&analysis, &scores, &settings).expect("a selection");
    selection.decisions.remove(0)
}

fn threshold(least: f64, round_to: RoundTo) -> Settings {
    Settings {
        criterion: Some(Criterion::Threshold(least)),
        round_to,
        ..Settings::default()
    }
}

#[test]
fn a_threshold_removes_what_is_under_it_and_nothing_else() {
    let norms = [3.0, 0.5, 2.0, 0.1, 0.9, 4.0, 1.0, 0.2];
    let every = RoundTo::Multiple(1);
    let kept = |settings| above(&norms, settings);
    assert_eq!(
        kept(threshold(0.95, every)),
        Decision::Prune(vec![0, 2, 5, 6])
    );
    // Up to a multiple: what is above stays, and the best of the others.
    let three = threshold(0.95, RoundTo::Multiple(3));
    assert_eq!(kept(three), Decision::Prune(vec![0, 1, 2, 4, 5, 6]));
    let limited = Settings {
        max_ratio: Some(0.25),
        ..threshold(0.95, every)
    };
    assert_eq!(kept(limited), Decision::Prune(vec![0, 1, 2, 4, 5, 6]));
    let all = threshold(100.0, every);
    assert_eq!(kept(all.clone()), Decision::Prune(vec![5]));
    let least = Settings {
        min_channels: 2,
        ..all
    };
    assert_eq!(kept(least), Decision::Prune(vec![0, 5]));
    match kept(threshold(0.05, every)) {
        Decision::Leave(left) => {
            assert_eq!(
                left.why,
                "none of its 8 channels has a norm under 0.05, the smallest has 0.1000"
            );
        }
        other => panic!("{other:?}"),
    }
    // A budget takes less of what is under the threshold, never more.
    let budget = |share| Settings {
        budget: Some(CostBudget {
            cost: Cost::Macs,
            share,
        }),
        ..threshold(0.95, every)
    };
    assert_eq!(kept(budget(0.8)), Decision::Prune(vec![0, 1, 2, 4, 5, 6]));
}

#[test]
fn a_threshold_is_rounded_up_to_good_widths() {
    let norms: Vec<f32> = (0..64).map(|n| n as f32 + 1.0).collect();
    for (least, kept) in [(4.5, 60), (20.5, 48), (60.5, 16)] {
        let settings = threshold(least, "auto".parse().expect("auto"));
        match above(&norms, settings) {
            Decision::Prune(found) => {
                let above = norms
                    .iter()
                    .filter(|norm| f64::from(**norm) >= least)
                    .count();
                assert!(
                    found.len() >= above && found.len() < 64,
                    "{least}: {found:?}"
                );
                assert_eq!(found.len(), kept, "{least}");
            }
            other => panic!("{least}: {other:?}"),
        }
    }
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("scores.json");
    std::fs::write(&path, text).expect("space");
    (folder, path)
}

fn lists(entries: &[(&str, usize)]) -> String {
    let lists = entries.iter().map(|(name, count)| {
        let numbers: Vec<String> = (0..*count).map(|n| (n % 7).to_string()).collect();
        format!("\"{name}\": [{}]", numbers.join(", "))
    });
    format!("{{{}}}", lists.collect::<Vec<_>>().join(", "))
}

#[test]
fn files_score_what_they_name() {
    let analysis = analyse(&fixture("lenet_mnist.onnx"));
    let (_folder, path) = file(&lists(&[("conv?.*", 64), ("conv1.weight", 32)]));
    let found = found(&analysis, Criterion::Scores(path));
    assert_eq!(found[0].len(), 32);
    assert_eq!(found[1][..9], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0, 1.0]);
    assert!(found[2].is_empty());
    let settings = Settings {
        criterion: Some(Criterion::Scores(PathBuf::new())),
        ..Settings::default()
    };
    let selection = select(&analysis, &found, &settings).expect("a selection");
    match &selection.decisions[..] {
        [
            Decision::Prune(_),
            Decision::Prune(_),
            Decision::Leave(left),
        ] => {
            assert!(left.why.contains("does not name it"), "{}", left.why);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_that_is_wrong_with_a_file_is_said() {
    let analysis = analyse(&fixture("lenet_mnist.onnx"));
    let fault = |text: &str| {
        let (_folder, path) = file(text);
        let fault = scores(&analysis, Criterion::Scores(path), 0).expect_err(text);
        assert_eq!(fault.class().exit_code(), 3, "{fault}");
        fault.to_string()
    };
    let text = r#"{"conv1.weight": [1, 2], "cnov2.weight": [1], "fc9*": [1], "fc1.weight": [1, null],
        "conv2.weight": "many", "conv2.weight": [[1]]}"#;
    let all = fault(text);
    for part in [
        "'conv1.weight' has 2 scores for 32 channels",
        "no dimension 'cnov2.weight' (the nearest: 'conv2.weight'",
        "no dimension 'fc9*' (the nearest: 'fc1.weight'",
        "'fc1.weight' holds at position 1 what is no number",
        "'conv2.weight' is no list of numbers",
        "'conv2.weight' is there twice",
        "`secateur inspect` lists",
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
    for (text, part) in [
        ("{}", "it names no dimension"),
        ("[1, 2]", "no JSON object of lists"),
        ("{\"conv1.weight\": [NaN]}", "no JSON object of lists"),
        ("", "no JSON object of lists"),
        (
            &lists(&[("conv*", 32)]),
            "'conv*' has 32 scores for 64 channels of 'conv2.weight'",
        ),
        (
            &lists(&[("conv1*", 32), ("*1.weight", 32)]),
            "'conv1*' and '*1.weight' both name 'conv1.weight'",
        ),
    ] {
        let fault = fault(text);
        assert!(fault.contains(part), "{part}: {fault}");
    }
    let missing = Criterion::Scores("no such file.npz".into());
    let fault = scores(&analysis, missing, 0).expect_err("no file");
    assert_eq!(fault.class().exit_code(), 3);
}

/// Two products, whose weights are numbers, or codes of 4 bits with a scale and a zero point for each of their blocks.
fn coded(are_codes: bool) -> Model {
    let (middle, block) = (128, 16);
    let mut builder = Builder::new(17).input("x", &[2, 32]);
    for (from, to, [n, k]) in [("x", "h", [middle, 32]), ("r", "y", [6, middle])] {
        let name = |part: &str| format!("{to}.{part}");
        let blocks = k / block;
        let code = |at: usize| (at * at * 7 + at * 3 + at / 11) % 16;
        let zero = |at: usize| (at * 5 + 3) % 16;
        // Rows of very different scales, so that what is read of the codes alone ranks them otherwise.
        let scale = |at: usize| 0.01 + ((at * 37) % 29) as f32;
        let number = |at: usize| {
            let own = at / k * blocks + at % k / block;
            (code(at) as f32 - zero(own) as f32) * scale(own)
        };
        let pairs = |of: &dyn Fn(usize) -> usize, count: usize| -> Vec<u8> {
            let pairs = (0..count / 2).map(|at| of(2 * at) | of(2 * at + 1) << 4);
            pairs.map(|pair| pair as u8).collect()
        };
        let bytes = |part: &str, dims: &[usize], bytes| {
            from_raw(&name(part), ElementType::Uint8, dims, bytes)
        };
        builder = match are_codes {
            true => {
                let scales: Vec<f32> = (0..n * blocks).map(scale).collect();
                let wiring = format!("{from} {to}.codes {to}.scales {to}.zeros -> {to}");
                let attributes = [
                    ("N", (n as i64).into()),
                    ("K", (k as i64).into()),
                    ("bits", 4.into()),
                    ("block_size", (block as i64).into()),
                ];
                builder
                    .tensor(bytes("codes", &[n, blocks, block / 2], pairs(&code, n * k)))
                    .tensor(floats(&name("scales"), &[n, blocks], &scales))
                    .tensor(bytes("zeros", &[n, blocks / 2], pairs(&zero, n * blocks)))
                    .node("com.microsoft.MatMulNBits", &wiring, &attributes)
            }
            false => {
                let numbers: Vec<f32> = (0..n * k).map(number).collect();
                let wiring = format!("{from} {to}.weight -> {to}");
                builder
                    .tensor(floats(&name("weight"), &[n, k], &numbers))
                    .node("Gemm", &wiring, &[("transB", 1.into())])
            }
        };
        if to == "h" {
            builder = builder.node("Relu", "h -> r", &[]);
        }
    }
    builder.output("y").model()
}

#[test]
fn codes_are_scored_as_the_numbers_that_they_stand_for() {
    let (plain, codes) = (analyse(&coded(false)), analyse(&coded(true)));
    // What reads the channels has blocks of 16 and two zero points to a byte, so that 32 go together.
    let units = codes.dimensions()[0].size;
    assert_eq!(units, 4);
    let numbers = numbers(&plain, "h.weight");
    let rows: Vec<&[f64]> = numbers.chunks(numbers.len() / units).collect();
    let scored = &found(&codes, Criterion::Fpgm)[0];
    proportional(scored, &distances(&rows, units), "distances");
    let norm = |row: &&[f64]| row.iter().map(|n| n * n).sum::<f64>().sqrt();
    let scored = &found(&codes, Criterion::Threshold(1.0))[0];
    let norms: Vec<f64> = rows.iter().map(norm).collect();
    for (scored, norm) in scored.iter().zip(norms) {
        assert!((scored - norm).abs() < 1e-6 * norm, "{scored} {norm}");
    }
}

#[test]
fn what_sums_over_codes_does_not_make_their_channels() {
    let scale: Vec<f32> = (0..24).map(|at| 0.5 + at as f32).collect();
    let codes = |name: &str, dims: &[usize]| {
        let bytes = (0..dims.iter().product()).map(|at: usize| (at * at * 7 % 200) as u8);
        from_raw(name, ElementType::Int8, dims, bytes.collect::<Vec<u8>>())
    };
    let blocks = |axis: i64| [("axis", axis.into()), ("block_size", 2.into())];
    let model = Builder::new(21)
        .input("x", &[2, 6])
        .tensor(codes("c1", &[6, 8]))
        .tensor(floats("s1", &[3, 8], &scale))
        .node("DequantizeLinear", "c1 s1 -> w1", &blocks(0))
        .node("MatMul", "x w1 -> h", &[])
        .tensor(codes("c2", &[8, 4]))
        .tensor(floats("s2", &[8, 2], &scale[..16]))
        .node("DequantizeLinear", "c2 s2 -> w2", &blocks(1))
        .node("MatMul", "h w2 -> y", &[])
        .output("y")
        .model();
    let analysis = analyse(&model);
    assert_eq!(analysis.dimensions()[0].size, 8);
    let codes = numbers(&analysis, "c1");
    let norm = |channel: usize| {
        let of = |row: usize| codes[row * 8 + channel] * f64::from(scale[row / 2 * 8 + channel]);
        (0..6).map(|row| of(row) * of(row)).sum::<f64>().sqrt()
    };
    let scored = &found(&analysis, Criterion::Threshold(1.0))[0];
    for (channel, scored) in scored.iter().enumerate() {
        let norm = norm(channel);
        assert!((scored - norm).abs() < 1e-6 * norm, "{scored} {norm}");
    }
}
