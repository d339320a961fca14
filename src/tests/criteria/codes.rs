//! Weights that are codes.

use super::{distances, found, numbers, proportional};
use crate::criteria::Criterion;
use crate::onnx::{ElementType, Model, from_raw};
use crate::tests::builder::{Builder, analyse, floats};

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
    // What reads the channels has blocks of 16, which go as wholes; its zero points go one by one, two to a byte or not.
    let units = codes.dimensions()[0].size;
    assert_eq!(units, 8);
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
