//! Stored weights in places that are not the common ones, and as numbers of 16 bits.

use half::{bf16, f16};

use super::builder::{Builder, Value, analyse, floats, noise};
use super::quantise::net;
use super::quantise_stored::{bytes_of, forms, numbers_of, written};
use super::rules::runtime;
use crate::dimensions::Analysis;
use crate::events::Silent;
use crate::graph::Graph;
use crate::onnx::{ElementType, Model, to_f32};
use crate::quantise::{HalfType, QuantiseSettings, StoredBits, StoredModel, store};
use crate::rewrite::StoredForm;
use crate::validate::verify_equal;

const ALL_BITS: [StoredBits; 4] = [
    StoredBits::Eight,
    StoredBits::Four,
    StoredBits::Three,
    StoredBits::Two,
];

/// The model stored in this width; the file is to do what was planned.
fn stored_in(analysis: &Analysis, bits: StoredBits) -> StoredModel {
    let settings = QuantiseSettings {
        weight_only: true,
        bits,
        ..QuantiseSettings::default()
    };
    let found = store(analysis, &settings, None, &mut Silent).expect("a stored model");
    let bytes = found.model.to_bytes().expect("bytes");
    let written = Model::from_bytes(bytes).expect("a model");
    let outputs = verify_equal(
        analysis,
        &found.planned,
        &written,
        "the planned numbers",
        found.allowed(),
        &runtime(),
    );
    let outputs = outputs.unwrap_or_else(|fault| panic!("{bits} bits: {fault}"));
    assert!(outputs.iter().all(|output| output.informative), "{bits}");
    found
}

/// The names of the weights that are read as blocks.
fn blocked(found: &StoredModel) -> Vec<&str> {
    let weights = found.weights.iter();
    let blocked = weights.filter(|of| matches!(of.form, StoredForm::Blocks { .. }));
    let mut names: Vec<&str> = blocked.map(|of| of.name.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn products_of_other_shapes_are_no_products_of_blocks() {
    let transposed = [("transA", Value::from(1))];
    let scaled = [("alpha", Value::from(0.5)), ("beta", Value::from(2.0))];
    let builder = Builder::new(17)
        .input("x", &[20, 12])
        .weight("first", &[11, 20])
        .weight("turned", &[11, 13])
        .weight("bias", &[13])
        .weight("scaled", &[13, 14])
        .weight("shared", &[14, 14])
        .weight("plain", &[14, 10])
        .weight("column", &[12, 1])
        .node("MatMul", "first x -> m1", &[])
        .node("Gemm", "m1 turned bias -> g1", &transposed)
        .node("Gemm", "g1 scaled -> g2", &scaled)
        .node("MatMul", "g2 shared -> s1", &[])
        .node("Relu", "s1 -> r1", &[])
        .node("MatMul", "r1 shared -> s2", &[])
        .node("Gemm", "s2 plain column -> y", &[])
        .output("y");
    let analysis = analyse(&builder.model());
    for bits in ALL_BITS {
        let found = stored_in(&analysis, bits);
        let names: Vec<&str> = found.weights.iter().map(|of| of.name.as_str()).collect();
        assert!(names.contains(&"first") && names.contains(&"shared"));
        let expected: &[&str] = match bits {
            StoredBits::Four => &["plain"],
            _ => &[],
        };
        assert_eq!(blocked(&found), expected);
    }
}

#[test]
fn a_vector_times_a_matrix_stays_one() {
    let builder = Builder::new(17)
        .input("x", &[40])
        .weight("w", &[40, 30])
        .node("MatMul", "x w -> y", &[])
        .output("y");
    let analysis = analyse(&builder.model());
    for bits in ALL_BITS {
        assert_eq!(stored_in(&analysis, bits).weights.len(), 1);
    }
}

#[test]
fn rows_of_zeros_stay_zero() {
    let mut numbers = to_f32(&noise("w", &[6, 35])).expect("noise");
    numbers[35..70].fill(0.0);
    numbers[70..105].fill(1e-42);
    let builder = Builder::new(17)
        .input("x", &[4, 35])
        .tensor(floats("w", &[6, 35], &numbers))
        .node("Gemm", "x w -> y", &[("transB", Value::from(1))])
        .output("y");
    let analysis = analyse(&builder.model());
    for bits in ALL_BITS {
        let found = stored_in(&analysis, bits);
        let graph = Graph::new(&found.planned).expect("a graph");
        let value = graph.find("w").expect("a value");
        let planned = to_f32(graph.constant(value).expect("a constant")).expect("numbers");
        assert!(planned[35..70].iter().all(|&x| x == 0.0), "{bits}");
        assert!(planned.iter().all(|x| x.is_finite()), "{bits}");
        assert!(found.weights[0].steps.iter().all(|&step| step > 0.0));
    }
}

/// A table of 64 rows of 24 numbers, looked up by ids, then `rest`.
fn lookup(rest: impl Fn(Builder) -> Builder) -> Analysis {
    let builder = Builder::new(17)
        .input_of("ids", ElementType::Int64, &[3.into(), 2.into()])
        .weight("table", &[64, 24]);
    analyse(&rest(builder).model())
}

#[test]
fn tables_are_looked_up_as_codes_only_where_all_look_them_up() {
    let twice = lookup(|builder| {
        builder
            .scalar("third", 2)
            .node("Gather", "table ids -> e", &[])
            .node("Gather", "table third -> v", &[("axis", Value::from(0))])
            .node("Add", "e v -> y", &[])
            .output("y")
    });
    let tied = lookup(|builder| {
        builder
            .node("Gather", "table ids -> e", &[])
            .node("Transpose", "table -> t", &[("perm", Value::from([1, 0]))])
            .node("MatMul", "e t -> y", &[])
            .output("y")
    });
    let columns = lookup(|builder| {
        builder
            .ints("three", &[1, 5, 7])
            .node("Gather", "table ids -> e", &[])
            .node("Gather", "table three -> c", &[("axis", Value::from(1))])
            .node("MatMul", "e2 c -> y", &[])
            .weight("e2", &[3, 64])
            .output("y")
            .output("e")
    });
    for (analysis, is_table) in [(twice, true), (tied, false), (columns, false)] {
        for bits in ALL_BITS {
            let found = stored_in(&analysis, bits);
            let table = found.weights.iter().find(|of| of.name == "table");
            let table = table.expect("the table is stored");
            assert_eq!(matches!(table.form, StoredForm::Table), is_table, "{bits}");
        }
    }
}

#[test]
fn what_is_looked_up_may_be_an_output() {
    let analysis = lookup(|builder| {
        builder
            .weight("w", &[24, 30])
            .node("Gather", "table ids -> e", &[])
            .node("MatMul", "e w -> y", &[])
            .output("e")
            .output("y")
    });
    for bits in ALL_BITS {
        stored_in(&analysis, bits);
    }
}

#[test]
fn small_tables_and_masks_stay_real() {
    let mask: Vec<f32> = (0..1024)
        .map(|at| if at % 3 == 0 { -1e9 } else { 0.0 })
        .collect();
    let builder = Builder::new(17)
        .input("x", &[32, 32])
        .weight("w", &[32, 32])
        .weight("small", &[32, 31])
        .tensor(floats("mask", &[32, 32], &mask))
        .node("MatMul", "x w -> m", &[])
        .node("Add", "m mask -> a", &[])
        .node("Softmax", "a -> s", &[])
        .node("Concat", "s small -> y", &[("axis", Value::from(1))])
        .output("y");
    let analysis = analyse(&builder.model());
    let found = stored_in(&analysis, StoredBits::Eight);
    let names: Vec<&str> = found.weights.iter().map(|of| of.name.as_str()).collect();
    assert_eq!(names, ["w"]);
    let why = |name: &str| {
        let of = found.real.iter().find(|(real, _)| real == name);
        of.map(|(_, why)| why.as_str())
    };
    assert_eq!(why("mask"), Some("has numbers that are no weights"));
    // Too small to speak of.
    assert_eq!(why("small"), None);
}

type Rounding = fn(f32) -> f32;

#[test]
fn halves_are_what_numbers_are_rounded_to() {
    let analysis = net();
    let rounded: [(HalfType, Rounding); 2] = [
        (HalfType::Float16, |x| f16::from_f32(x).to_f32()),
        (HalfType::Bfloat16, |x| bf16::from_f32(x).to_f32()),
    ];
    for (half, rounded) in rounded {
        let settings = QuantiseSettings {
            store: Some(half),
            ..QuantiseSettings::default()
        };
        let found = store(&analysis, &settings, None, &mut Silent).expect("a model");
        assert_eq!(forms(&found), "hhh");
        for weight in &found.weights {
            let (_, before) = numbers_of(analysis.graph().model(), &weight.name);
            let (_, planned) = numbers_of(&found.planned, &weight.name);
            assert!(before.iter().map(|&x| rounded(x)).eq(planned));
            let graph = written(&found);
            assert_eq!(bytes_of(&graph, &weight.name).len(), 2 * before.len());
        }
        let what = "the rounded numbers";
        verify_equal(
            &analysis,
            &found.planned,
            &found.model,
            what,
            1e-6,
            &runtime(),
        )
        .expect("equal");
    }
}

#[test]
fn what_halves_do_not_hold_stays_real() {
    let scaled = |name: &str, factor: f32| {
        let noise = to_f32(&noise(name, &[8, 8])).expect("noise");
        let numbers: Vec<f32> = noise.iter().map(|x| x * factor).collect();
        floats(name, &[8, 8], &numbers)
    };
    let builder = Builder::new(17)
        .input("x", &[4, 8])
        .weight("plain", &[8, 8])
        .tensor(scaled("large", 1e6))
        .tensor(scaled("tiny", 1e-9))
        .node("MatMul", "x plain -> m1", &[])
        .node("MatMul", "m1 large -> m2", &[])
        .node("MatMul", "m2 tiny -> y", &[])
        .output("y");
    let analysis = analyse(&builder.model());
    let with = |half| {
        let settings = QuantiseSettings {
            store: Some(half),
            ..QuantiseSettings::default()
        };
        store(&analysis, &settings, None, &mut Silent).expect("a model")
    };
    let found = with(HalfType::Float16);
    let real: Vec<&str> = found.real.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(real, ["large", "tiny"]);
    assert!(
        found
            .real
            .iter()
            .all(|(_, why)| why.contains("16 bits do not hold"))
    );
    assert_eq!(forms(&found), "h");
    for name in real {
        assert_eq!(
            numbers_of(&found.model, name),
            numbers_of(analysis.graph().model(), name)
        );
    }
    // Bfloat16 has the range of float32.
    assert_eq!(forms(&with(HalfType::Bfloat16)), "hhh");
}
