//! Codes whose scales, zero points and blocks do not fit them: left alone with the reason, never a wrong model.

use super::builder::{Builder, Value, analyse, floats, halves, planned};
use super::cases::all;
use super::families::bytes;
use super::rules::runtime;
use crate::onnx::{ElementType, Model, from_raw};
use crate::rewrite::prune;
use crate::validate::verify;

/// A product of numbers, then one whose weight `[8, 12]` a node makes of codes by this wiring.
fn decoded(
    scales: &[usize],
    zeros: (ElementType, &[usize]),
    attributes: &[(&'static str, i64)],
) -> Model {
    let count = |dims: &[usize]| dims.iter().product::<usize>();
    let attributes: Vec<(&str, Value)> = attributes
        .iter()
        .map(|&(name, value)| (name, Value::Int(value)))
        .collect();
    let size = count(zeros.1) * zeros.0.bits() as usize / 8;
    Builder::new(21)
        .input("x", &[2, 6])
        .weight("w1", &[6, 8])
        .tensor(from_raw("c", ElementType::Int8, &[8, 12], bytes("c", 96)))
        .tensor(floats("s", scales, &vec![0.1; count(scales)]))
        .tensor(from_raw("z", zeros.0, zeros.1, vec![0; size]))
        .weight("w3", &[12, 4])
        .node("MatMul", "x w1 -> h", &[])
        .node("DequantizeLinear", "c s z -> w", &attributes)
        .node("MatMul", "h w -> a", &[])
        .node("MatMul", "a w3 -> y", &[])
        .output("y")
        .model()
}

/// A product of packed codes `[10, 4, 8]` with these numbers of scales and of bytes of zero points.
fn packed(scales: usize, zeros: usize, sizes: [i64; 3]) -> Model {
    let product = packed_product(scales, zeros, sizes);
    let product = product.node("MatMul", "a w3 -> y", &[]);
    product.output("y").model()
}

/// As [`packed`], up to what the product makes.
fn packed_product(scales: usize, zeros: usize, [k, bits, block]: [i64; 3]) -> Builder {
    Builder::new(17)
        .input("x", &[2, 6])
        .weight("w1", &[6, 64])
        .tensor(from_raw(
            "c",
            ElementType::Uint8,
            &[10, 4, 8],
            bytes("c", 320),
        ))
        .tensor(floats("s", &[scales], &vec![0.1; scales]))
        .tensor(from_raw("z", ElementType::Uint8, &[zeros], vec![8; zeros]))
        .weight("w3", &[10, 4])
        .node("MatMul", "x w1 -> h", &[])
        .node(
            "com.microsoft.MatMulNBits",
            "h c s z -> a",
            &[
                ("K", Value::Int(k)),
                ("N", Value::Int(10)),
                ("bits", Value::Int(bits)),
                ("block_size", Value::Int(block)),
            ],
        )
}

/// Sizes of what can be pruned, ascending, where what can be is pruned; and all reasons why the rest is not.
fn outcome(model: &Model) -> (Vec<usize>, String) {
    let analysis = analyse(model);
    let mut sizes: Vec<usize> = analysis.dimensions().iter().map(|of| of.size).collect();
    sizes.sort_unstable();
    if !sizes.is_empty() {
        prune(&analysis, &planned(&analysis, &halves())).expect("a sound model");
    }
    let held = analysis.blocked();
    let held = held.iter().map(|blocked| format!("{blocked:?}"));
    let unruled = format!("{:?}", analysis.unsupported());
    (sizes, held.chain([unruled]).collect())
}

#[test]
fn what_does_not_fit_codes_holds_them_with_the_reason() {
    use ElementType::{Int8, Uint8};
    const AS_MANY: &str = "its scales are not as many as the channels";
    const UNEVEN: &str = "does not divide into the blocks of a weight's codes";
    let by_column = |scales: &[usize], zeros| decoded(scales, zeros, &[("axis", 1)]);
    let in_blocks = |scales: &[usize], zeros: &[usize], size| {
        decoded(scales, (Int8, zeros), &[("axis", 0), ("block_size", size)])
    };
    let cases: [(&str, Model, &[usize], &str); 14] = [
        ("all", by_column(&[12], (Int8, &[12])), &[8, 12], ""),
        (
            "scales too many",
            by_column(&[13], (Int8, &[12])),
            &[],
            AS_MANY,
        ),
        (
            "scales too few",
            by_column(&[11], (Int8, &[12])),
            &[],
            AS_MANY,
        ),
        (
            "zeros too few",
            by_column(&[12], (Int8, &[11])),
            &[],
            "its zero points are not as many as the channels",
        ),
        (
            "zeros of two axes",
            by_column(&[12], (Int8, &[2, 12])),
            &[],
            "along several axes",
        ),
        (
            "no such axis",
            decoded(&[12], (Int8, &[12]), &[("axis", 2)]),
            &[],
            "outside the tensor",
        ),
        // Whole blocks of 4, of 8 positions.
        ("blocks", in_blocks(&[2, 12], &[2, 12], 4), &[2, 12], ""),
        (
            "uneven blocks",
            in_blocks(&[3, 12], &[3, 12], 3),
            &[12],
            UNEVEN,
        ),
        (
            "scales of other blocks",
            in_blocks(&[3, 12], &[3, 12], 4),
            &[],
            "do not divide it",
        ),
        (
            "zeros of other blocks",
            in_blocks(&[2, 12], &[1, 12], 4),
            &[],
            "do not divide it",
        ),
        ("packed", packed(40, 20, [64, 4, 16]), &[4, 10], ""),
        (
            "packed of another width",
            packed(40, 20, [48, 4, 16]),
            &[],
            "an unusual size",
        ),
        (
            "packed of 3 bits",
            packed(40, 20, [64, 3, 16]),
            &[],
            "unusual number of bits",
        ),
        (
            "packed without a block",
            packed(40, 20, [64, 4, 0]),
            &[],
            "is not positive",
        ),
    ];
    for (name, model, sizes, why) in cases {
        let (found, reasons) = outcome(&model);
        assert_eq!(found, sizes, "{name}: {reasons}");
        assert!(reasons.contains(why), "{name}: {reasons}");
    }
    // Of another type than the codes they are refused by onnxruntime, and go with them until then.
    let (sizes, _) = outcome(&by_column(&[12], (Uint8, &[12])));
    assert_eq!(sizes, [8, 12]);
}

#[test]
fn zero_points_in_bytes_that_a_body_reads_as_well_keep_their_blocks() {
    let product = |made: &str| {
        let sizes = [("K", 64), ("N", 10), ("bits", 4), ("block_size", 16)];
        let sizes = sizes.map(|(name, size)| (name, Value::Int(size)));
        let wiring = format!("x v1 -> {made}.h");
        let body = Builder::new(17).node("MatMul", &wiring, &[]);
        let wiring = format!("{made}.h d s z -> {made}");
        let body = body.node("com.microsoft.MatMulNBits", &wiring, &sizes);
        body.output(made)
    };
    let model = packed_product(40, 20, [64, 4, 16])
        .input_of("flag", ElementType::Bool, &[])
        .weight("v1", &[6, 64])
        .tensor(from_raw(
            "d",
            ElementType::Uint8,
            &[10, 4, 8],
            bytes("d", 320),
        ))
        .node("If", "flag -> b", &[])
        .body("then_branch", product("yes"))
        .body("else_branch", product("no"))
        .node("Add", "a b -> both", &[])
        .node("MatMul", "both w3 -> y", &[])
        .output("y")
        .model();
    // Each product would cut the bytes for blocks of its own.
    let (found, reasons) = outcome(&model);
    assert!(!found.contains(&4), "{found:?}: {reasons}");
}

#[test]
fn what_breaks_the_standard_is_named_where_the_model_does_not_run() {
    use ElementType::{Float, Int8, Uint8};
    let by_column = |scales: &[usize], zeros| decoded(scales, zeros, &[("axis", 1)]);
    let cases = [
        (
            by_column(&[12], (Uint8, &[12])),
            "input 2 'z' of DequantizeLinear 'DequantizeLinear1' is uint8 [12] and has to be int8",
        ),
        (
            by_column(&[12], (Float, &[12])),
            "input 2 'z' of DequantizeLinear 'DequantizeLinear1' is float32 [12] and has to be int8",
        ),
        (
            by_column(&[1], (Int8, &[12])),
            "is int8 [12] and has to be as many numbers as its scales, 1",
        ),
        (
            by_column(&[1, 12], (Int8, &[12])),
            "is float32 [1, 12] and has to be a list or a single number",
        ),
        (
            packed(39, 20, [64, 4, 16]),
            "input 2 's' of MatMulNBits 'MatMulNBits1' is float32 [39] and has to be [40] or [10, 4]",
        ),
        (
            packed(40, 19, [64, 4, 16]),
            "input 3 'z' of MatMulNBits 'MatMulNBits1' is uint8 [19] and has to be [20] or [10, 2]",
        ),
        (
            packed(40, 20, [64, 4, 12]),
            "attribute block_size of MatMulNBits 'MatMulNBits1' is 12 and has to be a power of two, 16 at least",
        ),
    ];
    let runtime = runtime();
    for (model, said) in cases {
        let analysis = analyse(&model);
        let plan = planned(&analysis, &halves());
        let nothing = plan.only(&analysis, &[]);
        let fault = verify(&analysis, &nothing, &model, &runtime).expect_err(said);
        let text = fault.to_string();
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn models_by_the_standard_are_found_to_be() {
    for case in all() {
        let analysis = analyse(&case.model);
        let faults = &analysis.state.unfit;
        assert!(faults.is_empty(), "{}: {faults:?}", case.name);
    }
}

#[test]
fn sizes_that_no_memory_has_hold_what_they_are_of() {
    for sizes in [[1 << 62, 4, 16], [64, 4, 1 << 62], [i64::MAX, 8, i64::MAX]] {
        let (_, why) = outcome(&packed(40, 20, sizes));
        assert!(why.contains("has an unusual size"), "{why}");
    }
}
