//! A sliced model of codes is the model of the sliced codes, bit for bit: every code, scale and zero point is that of the
//! original at the positions that stay.

use std::collections::BTreeMap;

use super::builder::{Builder, Value, analyse, floats, halves, planned};
use super::cases::{Case, all};
use super::families::bytes;
use super::rules::runtime;
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, Model, from_raw, packed_bytes};
use crate::rewrite::prune;
use crate::runtime::Runtime;
use crate::validate::verify;

/// An axis of a tensor follows the dimension of so many positions, this many times in turn.
type Follows = (usize, usize, usize);
/// What the tensors of a case follow; an axis that a tensor does not have is none of its.
type Followed = (&'static str, &'static [Follows]);

/// By case whether its numbers are sums of integers, which are exact.
const CASES: &[(&str, bool, &[Followed])] = &[
    (
        "QLinearMatMul",
        true,
        &[
            ("w1", &[(1, 8, 1)]),
            ("w1.scale", &[(0, 8, 1)]),
            ("w1.zero", &[(0, 8, 1)]),
        ],
    ),
    (
        "QLinearConv",
        true,
        &[
            ("w1", &[(0, 8, 1)]),
            ("w1.scale", &[(0, 8, 1)]),
            ("w1.zero", &[(0, 8, 1)]),
            ("b1", &[(0, 8, 1)]),
            ("w3", &[(0, 5, 1), (1, 8, 1)]),
            ("w3.scale", &[(0, 5, 1)]),
            ("w3.zero", &[(0, 5, 1)]),
        ],
    ),
    (
        "QGemm",
        true,
        &[
            ("w3", &[(0, 5, 1), (1, 8, 1)]),
            ("w3.scale", &[(0, 5, 1)]),
            ("w3.zero", &[(0, 5, 1)]),
            ("b3", &[(0, 5, 1)]),
        ],
    ),
    ("ConvInteger", true, &[("w3", &[(0, 5, 1), (1, 8, 1)])]),
    (
        "MatMulInteger",
        false,
        &[("w3", &[(0, 8, 1), (1, 5, 1)]), ("w3.zero", &[(0, 5, 1)])],
    ),
    (
        "DynamicQuantizeLinear",
        false,
        &[
            ("w3", &[(0, 8, 1), (1, 5, 1)]),
            ("w3.zero", &[(0, 5, 1)]),
            ("w4", &[(0, 5, 1)]),
        ],
    ),
    (
        "MatMulIntegerToFloat",
        true,
        &[("w3", &[(0, 8, 1), (1, 5, 1)]), ("b3", &[(0, 5, 1)])],
    ),
    (
        "DynamicQuantizeLSTM",
        false,
        &[
            ("w", &[(1, 8, 1), (2, 6, 4)]),
            ("r", &[(1, 6, 1), (2, 6, 4)]),
        ],
    ),
    (
        "DynamicQuantizeLSTM by column",
        false,
        &[
            ("w", &[(1, 8, 1), (2, 6, 4)]),
            ("w.scale", &[(1, 6, 4)]),
            ("w.zero", &[(1, 6, 4)]),
            ("r", &[(1, 6, 1), (2, 6, 4)]),
            ("r.scale", &[(1, 6, 4)]),
            ("r.zero", &[(1, 6, 4)]),
        ],
    ),
    (
        "QAttention",
        false,
        &[
            ("w3", &[(0, 10, 1), (1, 2, 3)]),
            ("w3.scale", &[(0, 2, 3)]),
            ("w3.zero", &[(0, 2, 3)]),
            ("b3", &[(0, 2, 3)]),
        ],
    ),
    (
        "MatMulNBits 4 bits, zeros in halves of bytes",
        false,
        &[
            ("h.codes", &[(0, 4, 1)]),
            ("h.scales", &[(0, 4, 1)]),
            ("h.zeros", &[(0, 4, 1)]),
            ("y.codes", &[(1, 4, 1)]),
            ("y.scales", &[(1, 4, 1)]),
            ("y.zeros", &[(1, 4, 1)]),
        ],
    ),
    (
        "MatMulNBits 4 bits, an odd number of blocks",
        false,
        &[
            ("h.codes", &[(0, 5, 1)]),
            ("h.scales", &[(0, 5, 1)]),
            ("h.zeros", &[(0, 5, 1)]),
            ("y.codes", &[(1, 5, 1)]),
            ("y.scales", &[(1, 5, 1)]),
            ("y.zeros", &[(1, 5, 1)]),
        ],
    ),
    (
        "MatMulNBits 4 bits",
        false,
        &[
            ("h.codes", &[(0, 4, 1)]),
            ("h.scales", &[(0, 4, 1)]),
            ("y.codes", &[(1, 4, 1)]),
            ("y.scales", &[(1, 4, 1)]),
        ],
    ),
    (
        "MatMulNBits 8 bits",
        false,
        &[
            ("h.codes", &[(0, 4, 1)]),
            ("y.codes", &[(1, 4, 1)]),
            ("y.scales", &[(1, 4, 1)]),
            ("y.zeros", &[(1, 4, 1)]),
        ],
    ),
    (
        "GatherBlockQuantized of bytes",
        false,
        &[
            ("t", &[(1, 4, 1)]),
            ("z", &[(1, 4, 1)]),
            ("s", &[(1, 4, 1)]),
        ],
    ),
    (
        "GatherBlockQuantized of 8 bits",
        false,
        &[("t", &[(1, 4, 1)]), ("s", &[(1, 4, 1)])],
    ),
    (
        "GatherBlockQuantized of signed codes",
        false,
        &[("t", &[(1, 4, 1)]), ("s", &[(1, 4, 1)])],
    ),
    (
        "DequantizeLinear in blocks",
        false,
        &[
            ("c", &[(0, 4, 1), (1, 6, 1)]),
            ("s", &[(0, 4, 1), (1, 6, 1)]),
            ("z", &[(0, 4, 1), (1, 6, 1)]),
        ],
    ),
    (
        "DequantizeLinear in blocks of columns",
        false,
        &[
            ("c", &[(0, 8, 1), (1, 3, 1)]),
            ("s", &[(0, 8, 1), (1, 3, 1)]),
            ("z", &[(0, 8, 1), (1, 3, 1)]),
        ],
    ),
];

/// What a weight and its scales and zero points by column follow in [`stored`].
const STORED: &[Followed] = &[
    ("c", &[(0, 6, 1), (1, 10, 1)]),
    ("s", &[(0, 10, 1)]),
    ("z", &[(0, 10, 1)]),
];

/// A weight of codes of a type between two products, with one scale or one for each column.
fn stored(element: ElementType, by_column: bool, cast: bool) -> Case {
    let listed: &[usize] = if by_column { &[10] } else { &[] };
    let count: usize = listed.iter().product();
    let size = |count: usize| (count * element.bits() as usize).div_ceil(8);
    let numbers: Vec<f32> = (0..count).map(|at| 0.1 + 0.01 * at as f32).collect();
    // The largest codes of real numbers are no numbers, and their zero point is 0.
    let real = element.to_string().starts_with("float");
    let (all, lowest) = if real { (0xbf, 1) } else { (0xff, 0) };
    let coded = bytes("codes", size(60)).into_iter();
    let coded: Vec<u8> = coded.map(|code| code & all | lowest).collect();
    let zeros = match real {
        true => vec![0; size(count)],
        false => bytes("zeros", size(count)),
    };
    let codes = from_raw("c", element, &[6, 10], coded);
    let builder = Builder::new(25)
        .input("x", &[2, 4])
        .weight("w1", &[4, 6])
        .tensor(codes)
        .tensor(floats("s", listed, &numbers))
        .weight("w3", &[10, 4])
        .node("MatMul", "x w1 -> h", &[]);
    let builder = match cast {
        true => builder
            .node("Cast", "c -> n", &[("to", 1.into())])
            .node("Mul", "n s -> w", &[]),
        false => builder.tensor(from_raw("z", element, listed, zeros)).node(
            "DequantizeLinear",
            "c s z -> w",
            &[("axis", Value::Int(1))],
        ),
    };
    let builder = builder
        .node("MatMul", "h w -> a", &[])
        .node("MatMul", "a w3 -> y", &[])
        .output("y");
    let mut case = Case::new(
        &format!("{element}, {by_column}, {cast}"),
        builder,
        &[6, 10],
    );
    case.model.proto.ir_version = Some(13);
    case
}

/// The elements of a tensor, each in its bytes or, where it has fewer bits, in one.
fn elements(tensor: &TensorProto) -> (Vec<Vec<u8>>, Vec<usize>) {
    let bytes = packed_bytes(tensor).expect("bytes");
    let bits = ElementType::of(tensor.data_type()).expect("a type").bits() as usize;
    let dims: Vec<usize> = tensor.dims.iter().map(|&dim| dim as usize).collect();
    let count: usize = dims.iter().product();
    let element = |at: usize| match bits {
        8.. => bytes[at * bits / 8..(at + 1) * bits / 8].to_vec(),
        _ => vec![bytes[at * bits / 8] >> (at * bits % 8) & ((1 << bits) - 1)],
    };
    ((0..count).map(element).collect(), dims)
}

/// What stays of elements along an axis where positions of a dimension stay.
fn taken(
    (elements, mut dims): (Vec<Vec<u8>>, Vec<usize>),
    (axis, size, times): Follows,
    kept: &[u32],
) -> (Vec<Vec<u8>>, Vec<usize>) {
    let inner = dims[axis] / (size * times);
    let run: usize = dims[axis + 1..].iter().product();
    let stays = |at: &usize| kept.contains(&((at / run % dims[axis] / inner % size) as u32));
    let elements = (0..elements.len())
        .filter(stays)
        .map(|at| elements[at].clone())
        .collect();
    dims[axis] = times * kept.len() * inner;
    (elements, dims)
}

/// Rows of so many codes, two to a byte; what a last byte has beside is 0.
fn rows(tensor: &TensorProto, count: usize) -> Vec<Vec<u8>> {
    let bytes = packed_bytes(tensor).expect("bytes");
    let width = *tensor.dims.last().expect("an axis") as usize;
    assert_eq!(width, count.div_ceil(2), "bytes of a row");
    let row = |bytes: &[u8]| {
        let codes: Vec<u8> = bytes
            .iter()
            .flat_map(|byte| [byte & 15, byte >> 4])
            .collect();
        codes[..count].to_vec()
    };
    bytes.chunks(width).map(row).collect()
}

fn tensors(model: &Model) -> BTreeMap<String, TensorProto> {
    let graph = model.proto.graph.clone().expect("a graph");
    let named = graph.initializer.into_iter();
    named
        .map(|tensor| (tensor.name().to_owned(), tensor))
        .collect()
}

/// What is not as it should be of a case.
fn judge(case: &Case, exact: bool, followed: &[Followed], runtime: &Runtime) -> Vec<String> {
    let analysis = analyse(&case.model);
    let plan = planned(&analysis, &halves());
    let kept: BTreeMap<usize, Vec<u32>> = plan
        .dimensions
        .iter()
        .map(|of| (of.size, of.kept.clone()))
        .collect();
    let pruned = prune(&analysis, &plan).expect("a model").settled();
    let (before, after) = (tensors(&case.model), tensors(&pruned));
    let mut wrong = Vec::new();
    for &(name, follows) in followed {
        let Some(tensor) = before.get(name) else {
            continue;
        };
        if let &[(axis, size, _)] = follows
            && tensor
                .dims
                .get(axis)
                .is_some_and(|&dim| (dim as usize) < size)
        {
            let stays = |codes: Vec<u8>| kept[&size].iter().map(|&at| codes[at as usize]).collect();
            let wanted: Vec<Vec<u8>> = rows(tensor, size).into_iter().map(stays).collect();
            if rows(&after[name], kept[&size].len()) != wanted {
                wrong.push(format!("{}: {name} is not what stays in bytes", case.name));
            }
            continue;
        }
        let mut wanted = elements(tensor);
        for &(axis, size, times) in follows.iter().filter(|of| of.0 < tensor.dims.len()) {
            match kept.get(&size) {
                Some(kept) => wanted = taken(wanted, (axis, size, times), kept),
                None => wrong.push(format!("{}: {size} positions all stay", case.name)),
            }
        }
        if elements(&after[name]) != wanted {
            wrong.push(format!("{}: {name} is not what stays", case.name));
        }
    }
    match verify(&analysis, &plan, &pruned, runtime) {
        Ok(proof) if exact && proof.worst() > 0.0 => {
            wrong.push(format!("{}: differs by {}", case.name, proof.worst()));
        }
        Ok(_) => {}
        Err(fault) => wrong.push(format!("{}: {fault}", case.name)),
    }
    wrong
}

#[test]
fn what_stays_of_codes_are_the_codes_of_what_stays() {
    let runtime = runtime();
    let cases = all();
    let mut wrong = Vec::new();
    for (name, exact, followed) in CASES {
        let named: Vec<&Case> = cases.iter().filter(|case| case.name == *name).collect();
        let [case] = named[..] else {
            panic!("{} cases are called {name}", named.len());
        };
        wrong.extend(judge(case, *exact, followed, &runtime));
    }
    use ElementType::{
        Float8E4m3fn, Float8E4m3fnuz, Float8E5m2, Float8E5m2fnuz, Int2, Int4, Int8, Int16, Uint2,
        Uint4, Uint8, Uint16,
    };
    let integers = [Int2, Int4, Int8, Int16, Uint2, Uint4, Uint8, Uint16];
    let floats = [Float8E4m3fn, Float8E4m3fnuz, Float8E5m2, Float8E5m2fnuz];
    for element in integers.into_iter().chain(floats) {
        for by_column in [false, true] {
            let case = stored(element, by_column, false);
            wrong.extend(judge(&case, false, STORED, &runtime));
        }
    }
    let cast = stored(Int8, true, true);
    wrong.extend(judge(&cast, false, STORED, &runtime));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn dimensions_are_called_after_codes_not_after_their_scales() {
    for element in [ElementType::Int8, ElementType::Int4, ElementType::Uint2] {
        let analysis = analyse(&stored(element, true, false).model);
        let names = analysis.dimensions().iter().map(|of| of.name.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["w1", "c"], "{element}");
    }
}
