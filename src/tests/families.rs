//! Cases by operator family.

use super::builder::{Builder, Size, Value, floats, noise};
use super::cases::{Case, between, dense, image, read_dense, read_image};
use crate::onnx::{ElementType, from_raw};

const FLOAT: i64 = 1;
const INT32: i64 = 6;
const UINT32: i64 = 12;

pub(super) fn elementwise() -> Vec<Case> {
    let mut cases = Vec::new();
    for operator in [
        "Identity", "Dropout", "Neg", "Relu", "LeakyRelu", "Elu", "Selu",
        "Celu", "Mish", "HardSwish", "HardSigmoid", "Sigmoid", "Softplus", "Softsign", "Shrink",
        "Clip", "Erf", "Abs", "Sqrt", "Reciprocal", "Exp", "Log", "Sin", "Cos", "Tan", "Asin",
        "Acos", "Atan", "Sinh", "Cosh", "Tanh", "Asinh", "Atanh",
    ] {
        let builder = between(operator, 18, &["Sigmoid"], &[]);
        cases.push(Case::new(operator, builder, &[8]));
    }
    for operator in ["Sign", "Floor", "Ceil", "Round", "ThresholdedRelu"] {
        cases.push(Case::new(operator, between(operator, 18, &[], &[]), &[8]));
    }
    cases.push(Case::new("Acosh", between("Acosh", 18, &["Sigmoid", "Reciprocal"], &[]), &[8]));
    cases.push(Case::new("Gelu", between("Gelu", 20, &[], &[]), &[8]));
    cases.push(Case::new("Swish", between("Swish", 24, &[], &[]), &[8]));
    cases.push(Case::new("Cast", between("Cast", 18, &[], &[("to", FLOAT.into())]), &[8]));
    let like = dense(18).weight("s", &[1]).node("CastLike", "h s -> a", &[]);
    cases.push(Case::new("CastLike", read_dense(like, "a"), &[8]));
    for operator in ["IsNaN", "IsInf"] {
        // Neither is ever true here, so the flag is turned round and scales the data.
        let builder = dense(20)
            .node(operator, "h -> flag", &[])
            .node("Not", "flag -> is", &[])
            .node("Cast", "is -> one", &[("to", FLOAT.into())])
            .node("Mul", "h one -> a", &[]);
        cases.push(Case::new(operator, read_dense(builder, "a"), &[8]));
    }
    cases.extend(binary());
    cases.extend(logical());
    cases.push(broadcasting());
    cases
}

fn binary() -> Vec<Case> {
    let mut cases = Vec::new();
    for operator in ["Add", "Sub", "Sum", "Mean", "Mul", "Div", "Pow", "Min", "Max", "PRelu"] {
        let builder = dense(18)
            .weight("c", &[8])
            .node("Sigmoid", "h -> p", &[])
            .node(operator, "p c -> a", &[]);
        cases.push(Case::new(operator, read_dense(builder, "a"), &[8]));
    }
    let modulo = dense(18).weight("c", &[8]).node("Mod", "h c -> a", &[("fmod", 1.into())]);
    cases.push(Case::new("Mod", read_dense(modulo, "a"), &[8]));
    for operator in ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"] {
        let builder = dense(18)
            .weight("c", &[8])
            .weight("d", &[8])
            .node("Floor", "h -> p", &[])
            .node("Floor", "c -> q", &[])
            .node(operator, "p q -> flag", &[])
            .node("Where", "flag h d -> a", &[]);
        cases.push(Case::new(operator, read_dense(builder, "a"), &[8]));
    }
    cases
}

fn logical() -> Vec<Case> {
    let mut cases = Vec::new();
    for operator in ["And", "Or", "Xor"] {
        let builder = dense(18)
            .weight("c", &[8])
            .node("Greater", "h c -> left", &[])
            .node("Less", "h c -> right", &[])
            .node("Not", "right -> other", &[])
            .node(operator, "left other -> flag", &[])
            .node("Where", "flag h c -> a", &[]);
        cases.push(Case::new(operator, read_dense(builder, "a"), &[8]));
    }
    for operator in ["BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift"] {
        let shift = [("direction", Value::from("LEFT"))];
        let attributes = if operator == "BitShift" { &shift[..] } else { &[] };
        let to = if operator == "BitShift" { UINT32 } else { INT32 };
        let builder = dense(18)
            .node("Abs", "h -> p", &[])
            .node("Cast", "p -> bits", &[("to", to.into())])
            .node(operator, "bits bits -> b", attributes)
            .node("Cast", "b -> c", &[("to", FLOAT.into())])
            .node("Add", "c h -> a", &[]);
        cases.push(Case::new(operator, read_dense(builder, "a"), &[8]));
    }
    let not = dense(18)
        .node("Cast", "h -> bits", &[("to", INT32.into())])
        .node("BitwiseNot", "bits -> b", &[])
        .node("Cast", "b -> a", &[("to", FLOAT.into())]);
    cases.push(Case::new("BitwiseNot", read_dense(not, "a"), &[8]));
    cases
}

/// A residual stream, a size-1 axis that stretches and a scalar: one dimension in all.
fn broadcasting() -> Case {
    let builder = dense(13)
        .weight("column", &[2, 1])
        .weight("one", &[])
        .weight("w3", &[8, 8])
        .node("MatMul", "h w3 -> g", &[])
        .node("Add", "g h -> r", &[])
        .node("Mul", "r column -> s", &[])
        .node("Add", "one s -> a", &[]);
    Case::new("broadcasting", read_dense(builder, "a"), &[8])
}

pub(super) fn contractions() -> Vec<Case> {
    let mut cases = Vec::new();
    for (rank, name) in [(1, "Conv 1-D"), (2, "Conv 2-D"), (3, "Conv 3-D")] {
        let spatial = vec![5_i64; rank];
        let kernel = vec![3_usize; rank];
        let builder = Builder::new(17)
            .input("x", &[&[2, 3][..], &spatial].concat())
            .weight("w1", &[&[8, 3][..], &kernel].concat())
            .weight("b1", &[8])
            .weight("w2", &[&[4, 8][..], &vec![1; rank]].concat())
            .node("Conv", "x w1 b1 -> h", &[])
            .node("Relu", "h -> r", &[])
            .node("Conv", "r w2 -> y", &[])
            .output("y");
        cases.push(Case::new(name, builder, &[8]));
    }
    let grouped = image(17)
        .weight("wg", &[12, 4, 3, 3])
        .weight("bg", &[12])
        .node("Conv", "h wg bg -> g", &[("group", 2.into())])
        .weight("w2", &[4, 12, 1, 1])
        .node("Conv", "g w2 -> y", &[])
        .output("y");
    cases.push(Case::new("Conv grouped", grouped, &[8, 12]));
    let depthwise = image(17)
        .weight("wd", &[8, 1, 3, 3])
        .node("Conv", "h wd -> a", &[("group", 8.into())]);
    cases.push(Case::new("Conv depthwise", read_image(depthwise, "a"), &[8]));
    let multiplier = image(17)
        .weight("wd", &[16, 1, 3, 3])
        .weight("bd", &[16])
        .node("Conv", "h wd bd -> g", &[("group", 8.into())])
        .weight("w2", &[4, 16, 1, 1])
        .node("Conv", "g w2 -> y", &[])
        .output("y");
    cases.push(Case::new("Conv multiplier", multiplier, &[2, 8]));
    cases.extend(transposed());
    let gemm = Builder::new(13)
        .input("x", &[2, 6])
        .weight("w1", &[8, 6])
        .weight("b1", &[8])
        .weight("w2", &[8, 4])
        .weight("b2", &[2, 4])
        .node("Gemm", "x w1 b1 -> h", &[("transB", 1.into())])
        .node("Gemm", "h w2 b2 -> y", &[("alpha", 0.5_f32.into())])
        .output("y");
    cases.push(Case::new("Gemm", gemm, &[8]));
    let columns = Builder::new(13)
        .input("x", &[6, 2])
        .weight("w1", &[8, 6])
        .weight("w2", &[8, 4])
        .node("MatMul", "w1 x -> h", &[])
        .node("Gemm", "h w2 -> y", &[("transA", 1.into())])
        .output("y");
    cases.push(Case::new("Gemm transA", columns, &[8]));
    cases.extend(einsums());
    cases
}

fn transposed() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, group, weight, out) in [
        ("ConvTranspose", 1_i64, [8, 6, 3, 3], 6_usize),
        ("ConvTranspose grouped", 2, [8, 3, 3, 3], 6),
        ("ConvTranspose depthwise", 8, [8, 1, 3, 3], 8),
        ("ConvTranspose multiplier", 8, [8, 2, 3, 3], 16),
    ] {
        let attributes = [
            ("group", Value::from(group)),
            ("strides", [2, 2].into()),
            ("output_padding", [1, 1].into()),
        ];
        let builder = image(17)
            .weight("wt", &weight)
            .weight("bt", &[out])
            .node("ConvTranspose", "h wt bt -> g", &attributes)
            .weight("w2", &[4, out, 1, 1])
            .node("Conv", "g w2 -> y", &[])
            .output("y");
        let dimensions: &[usize] = match name {
            "ConvTranspose depthwise" => &[8],
            "ConvTranspose multiplier" => &[2, 8],
            _ => &[6, 8],
        };
        cases.push(Case::new(name, builder, dimensions));
    }
    cases
}

fn einsums() -> Vec<Case> {
    let mut cases = Vec::new();
    let attention = Builder::new(13)
        .input("x", &[2, 5, 6])
        .weight("wq", &[6, 3, 4])
        .weight("wk", &[6, 3, 4])
        .weight("wo", &[3, 4, 7])
        .node("Einsum", "x wq -> q", &[("equation", "bsd,dhk->bhsk".into())])
        .node("Einsum", "x wk -> k", &[("equation", "bsd, dhk -> bhsk".into())])
        .node("Einsum", "q k -> s", &[("equation", "bhsk,bhtk->bhst".into())])
        .node("Softmax", "s -> p", &[("axis", Value::Int(-1))])
        .node("Einsum", "p k -> v", &[("equation", "bhst,bhtk->bhsk".into())])
        .node("Einsum", "v wo -> y", &[("equation", "bhsk,hkd->bsd".into())])
        .output("y");
    cases.push(Case::new("Einsum attention", attention, &[3, 4]));
    let ellipsis = Builder::new(13)
        .input("x", &[2, 5, 6])
        .weight("w1", &[6, 8])
        .weight("w2", &[8, 4])
        .node("Einsum", "x w1 -> h", &[("equation", "...d,dk->...k".into())])
        .node("Einsum", "h w2 -> y", &[("equation", "abc,cd".into())])
        .output("y");
    cases.push(Case::new("Einsum ellipsis", ellipsis, &[8]));
    cases
}

pub(super) fn normalizations() -> Vec<Case> {
    let mut cases = Vec::new();
    let positive = |name: &str| floats(name, &[8], &[0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2]);
    let batch = image(17)
        .tensor(positive("scale"))
        .weight("shift", &[8])
        .weight("mean", &[8])
        .tensor(positive("variance"))
        .node("BatchNormalization", "h scale shift mean variance -> n", &[])
        .node("Relu", "n -> a", &[]);
    cases.push(Case::new("BatchNormalization", read_image(batch, "a"), &[8]));
    let instance = image(17)
        .tensor(positive("scale"))
        .weight("shift", &[8])
        .node("InstanceNormalization", "h scale shift -> a", &[]);
    cases.push(Case::new("InstanceNormalization", read_image(instance, "a"), &[8]));
    let layer = dense(17)
        .tensor(positive("scale"))
        .weight("shift", &[8])
        .node("LayerNormalization", "h scale shift -> a", &[]);
    cases.push(Case::new("LayerNormalization", read_dense(layer, "a"), &[8]).mixing(1));
    let rms = dense(23)
        .tensor(positive("scale"))
        .node("RMSNormalization", "h scale -> a", &[]);
    cases.push(Case::new("RMSNormalization", read_dense(rms, "a"), &[8]).mixing(1));
    let norm = between("LpNormalization", 17, &[], &[("axis", Value::Int(-1))]);
    cases.push(Case::new("LpNormalization", norm, &[8]).mixing(1));
    for (opset, parameters) in [(18, 4), (21, 8)] {
        let group = image(opset)
            .tensor(noise("scale", &[parameters]))
            .tensor(noise("shift", &[parameters]))
            .node("GroupNormalization", "h scale shift -> a", &[("num_groups", 4.into())]);
        let name = format!("GroupNormalization {opset}");
        cases.push(Case::new(&name, read_image(group, "a"), &[2, 4]).mixing(1));
    }
    let spatial = image(17).node("MeanVarianceNormalization", "h -> a", &[("axes", [2, 3].into())]);
    cases.push(Case::new("MeanVarianceNormalization", read_image(spatial, "a"), &[8]));
    let response = image(17).node("LRN", "h -> a", &[("size", 3.into())]);
    cases.push(Case::new("LRN", read_image(response, "a"), &[]));
    cases
}

pub(super) fn arrangements() -> Vec<Case> {
    let mut cases = Vec::new();
    let concat = dense(17)
        .weight("w3", &[6, 5])
        .node("MatMul", "x w3 -> g", &[])
        .node("Concat", "h g -> c", &[("axis", Value::Int(-1))])
        .weight("w2", &[13, 4])
        .node("MatMul", "c w2 -> y", &[])
        .output("y");
    cases.push(Case::new("Concat", concat, &[5, 8]));
    let gated = |name: &str, opset: i64, wiring: &str, attributes: &[(&'static str, Value)]| {
        let builder = Builder::new(opset)
            .input("x", &[2, 6])
            .weight("w1", &[6, 16])
            .ints("sizes", &[8, 8])
            .node("MatMul", "x w1 -> h", &[])
            .node("Split", wiring, attributes)
            .node("Sigmoid", "g -> s", &[])
            .node("Mul", "v s -> a", &[]);
        Case::new(name, read_dense(builder, "a"), &[8])
    };
    let axis = ("axis", Value::Int(-1));
    cases.push(gated("Split by input", 13, "h sizes -> v g", std::slice::from_ref(&axis)));
    let by_attribute = [axis.clone(), ("split", [8, 8].into())];
    cases.push(gated("Split by attribute", 11, "h -> v g", &by_attribute));
    cases.push(gated("Split in halves", 11, "h -> v g", std::slice::from_ref(&axis)));
    let by_number = [axis.clone(), ("num_outputs", 2.into())];
    cases.push(gated("Split by number", 18, "h -> v g", &by_number));
    for (name, opset, number) in [("Split uneven", 18, Some(2)), ("Split uneven 13", 13, None)] {
        // The halves have readers of their own, so they end up with different sizes.
        let mut attributes = vec![("axis", Value::Int(1))];
        attributes.extend(number.map(|n: i64| ("num_outputs", n.into())));
        let builder = Builder::new(opset)
            .input("x", &[2, 6])
            .weight("w1", &[6, 7])
            .weight("w5", &[6, 5])
            .node("MatMul", "x w1 -> h", &[])
            .node("MatMul", "x w5 -> k", &[])
            .node("Concat", "h k -> c", &[("axis", 1.into())])
            .node("Split", "c -> v g", &attributes)
            .weight("w2", &[6, 4])
            .weight("w3", &[6, 4])
            .node("MatMul", "v w2 -> p", &[])
            .node("MatMul", "g w3 -> q", &[])
            .node("Add", "p q -> y", &[])
            .output("y");
        cases.push(Case::new(name, builder, &[5, 6]));
    }
    cases.extend(slices());
    cases.extend(reshapes());
    cases
}

fn slices() -> Vec<Case> {
    let mut cases = Vec::new();
    let read = |builder: Builder| {
        builder
            .weight("w2", &[5, 4])
            .weight("w3", &[8, 4])
            .node("MatMul", "a w2 -> p", &[])
            .node("MatMul", "h w3 -> q", &[])
            .node("Add", "p q -> y", &[])
            .output("y")
    };
    let by_input = dense(13)
        .ints("starts", &[-5])
        .ints("ends", &[i64::MAX])
        .ints("axes", &[1])
        .node("Slice", "h starts ends axes -> a", &[]);
    cases.push(Case::new("Slice by input", read(by_input), &[3, 5]));
    let attributes = [
        ("starts", Value::from([1])),
        ("ends", [6].into()),
        ("axes", [1].into()),
    ];
    let by_attribute = dense(9).node("Slice", "h -> a", &attributes);
    cases.push(Case::new("Slice by attribute", read(by_attribute), &[2, 5]));
    let padded = image(13)
        .ints("pads", &[0, 1, 1, 0, 0, 2, 1, 0])
        .node("Pad", "h pads -> a", &[])
        .weight("w2", &[4, 11, 1, 1])
        .node("Conv", "a w2 -> y", &[])
        .output("y");
    cases.push(Case::new("Pad", padded, &[8]));
    let pads = [("pads", Value::from([0, 0, 1, 1, 0, 0, 1, 1])), ("mode", "reflect".into())];
    let reflected = image(7).node("Pad", "h -> a", &pads);
    cases.push(Case::new("Pad by reflection", read_image(reflected, "a"), &[8]));
    cases
}

fn reshapes() -> Vec<Case> {
    let mut cases = Vec::new();
    let flat = image(13)
        .node("Flatten", "h -> a", &[])
        .weight("w2", &[288, 4])
        .node("MatMul", "a w2 -> y", &[])
        .output("y");
    cases.push(Case::new("Flatten", flat, &[8]));
    for (name, target) in [
        ("Reshape", vec![2, 288]),
        ("Reshape with -1", vec![2, -1]),
        ("Reshape with 0", vec![0, 288]),
    ] {
        let builder = image(13)
            .ints("target", &target)
            .node("Reshape", "h target -> a", &[])
            .weight("w2", &[288, 4])
            .node("MatMul", "a w2 -> y", &[])
            .output("y");
        cases.push(Case::new(name, builder, &[8]));
    }
    // 0 copies an axis that moves to another place: it has to be written out once that axis is pruned.
    let moved = Builder::new(13)
        .input("x", &[4, 6])
        .weight("w1", &[6, 6])
        .ints("target", &[2, 0, 2])
        .node("MatMul", "x w1 -> h", &[])
        .node("Reshape", "h target -> a", &[])
        .weight("w2", &[2, 6, 3])
        .node("MatMul", "a w2 -> y", &[])
        .output("y");
    cases.push(Case::new("Reshape with a moved 0", moved, &[]));
    let squeezed = image(13)
        .ints("two", &[2, 3])
        .ints("last", &[-1])
        .node("GlobalAveragePool", "h -> g", &[])
        .node("Squeeze", "g two -> s", &[])
        .node("Unsqueeze", "s last -> u", &[])
        .node("Transpose", "u -> t", &[])
        .node("Transpose", "t -> v", &[("perm", [2, 0, 1].into())])
        .node("Squeeze", "v -> w", &[])
        .weight("w2", &[8, 4])
        .node("MatMul", "w w2 -> y", &[])
        .output("y");
    // [2, 8, 1] reversed is [1, 8, 2]; permuted [2, 1, 8]; squeezed [2, 8].
    cases.push(Case::new("Squeeze, Unsqueeze, Transpose", squeezed, &[8]));
    for mode in ["DCR", "CRD"] {
        let attributes = [("blocksize", Value::from(2)), ("mode", mode.into())];
        let shuffled = image(13)
            .node("DepthToSpace", "h -> d", &attributes)
            .weight("w2", &[4, 2, 1, 1])
            .node("Conv", "d w2 -> y", &[])
            .output("y");
        cases.push(Case::new(&format!("DepthToSpace {mode}"), shuffled, &[2]));
    }
    let folded = image(13)
        .node("SpaceToDepth", "h -> d", &[("blocksize", 2.into())])
        .weight("w2", &[4, 32, 1, 1])
        .node("Conv", "d w2 -> y", &[])
        .output("y");
    cases.push(Case::new("SpaceToDepth", folded, &[8]));
    cases
}

pub(super) fn spatial() -> Vec<Case> {
    let mut cases = Vec::new();
    let kernel = ("kernel_shape", Value::from([2, 2]));
    for operator in ["AveragePool", "MaxPool", "LpPool"] {
        let attributes = [kernel.clone(), ("strides", [2, 2].into())];
        let builder = image(13).node(operator, "h -> a", &attributes);
        cases.push(Case::new(operator, read_image(builder, "a"), &[8]));
    }
    for operator in ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"] {
        let builder = image(13).node(operator, "h -> a", &[]);
        cases.push(Case::new(operator, read_image(builder, "a"), &[8]));
    }
    let indices = image(13)
        .node("MaxPool", "h -> a i", std::slice::from_ref(&kernel))
        .output_of("i", ElementType::Int64);
    cases.push(Case::new("MaxPool with indices", read_image(indices, "a"), &[]));
    let scaled = image(13)
        .tensor(floats("roi", &[0], &[]))
        .tensor(floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0]))
        .node("Resize", "h roi scales -> a", &[("mode", "nearest".into())]);
    cases.push(Case::new("Resize by scales", read_image(scaled, "a"), &[8]));
    let sized = image(13)
        .ints("sizes", &[2, 8, 12, 12])
        .node("Resize", "h - - sizes -> a", &[("mode", "linear".into())]);
    cases.push(Case::new("Resize by sizes", read_image(sized, "a"), &[8]));
    let upsampled = image(9)
        .tensor(floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0]))
        .node("Upsample", "h scales -> a", &[]);
    cases.push(Case::new("Upsample 9", read_image(upsampled, "a"), &[8]));
    let old = image(7).node("Upsample", "h -> a", &[("scales", [1.0, 1.0, 2.0, 2.0].into())]);
    cases.push(Case::new("Upsample 7", read_image(old, "a"), &[8]));
    cases
}

pub(super) fn reductions() -> Vec<Case> {
    let mut cases = Vec::new();
    for operator in [
        "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
        "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp",
    ] {
        // Spatial axes go, the channels stay.
        let builder = image(18)
            .ints("axes", &[2, 3])
            .node("Sigmoid", "h -> s", &[])
            .node(operator, "s axes -> a", &[]);
        cases.push(Case::new(operator, read_image(builder, "a"), &[8]));
    }
    let channel = image(13)
        .node("ReduceMean", "h -> m", &[("axes", [1].into())])
        .node("Sub", "h m -> a", &[]);
    cases.push(Case::new("ReduceMean of channels", read_image(channel, "a"), &[8]).mixing(1));
    for operator in ["Softmax", "LogSoftmax", "Hardmax"] {
        let builder = image(13).node(operator, "h -> a", &[("axis", 3.into())]);
        cases.push(Case::new(operator, read_image(builder, "a"), &[8]));
        let flat = image(11).node(operator, "h -> a", &[]);
        let name = format!("{operator} over all channels");
        cases.push(Case::new(&name, read_image(flat, "a"), &[]));
    }
    for operator in ["ArgMax", "ArgMin"] {
        let builder = image(13)
            .node(operator, "h -> i", &[("axis", 2.into())])
            .node("Cast", "i -> a", &[("to", FLOAT.into())]);
        cases.push(Case::new(operator, read_image(builder, "a"), &[8]));
    }
    let ranked = image(13).ints("k", &[3]).node("TopK", "h k -> a i", &[("axis", 2.into())]);
    cases.push(Case::new("TopK", read_image(ranked, "a"), &[8]));
    let summed = image(13).scalar("axis", 2).node("CumSum", "h axis -> a", &[]);
    cases.push(Case::new("CumSum", read_image(summed, "a"), &[8]));
    let cut = image(14).scalar("k", 0).node("Trilu", "h k -> a", &[]);
    cases.push(Case::new("Trilu", read_image(cut, "a"), &[8]));
    cases
}

pub(super) fn recurrent() -> Vec<Case> {
    let mut cases = Vec::new();
    for (operator, gates) in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
        for directions in [1_usize, 2] {
            let direction = if directions == 1 { "forward" } else { "bidirectional" };
            let attributes = [("hidden_size", Value::from(6)), ("direction", direction.into())];
            let builder = Builder::new(14)
                .input("x", &[5, 2, 3])
                .weight("w", &[directions, gates * 6, 3])
                .weight("r", &[directions, gates * 6, 6])
                .weight("b", &[directions, 2 * gates * 6])
                .node(operator, "x w r b -> h last", &attributes)
                .ints("batch", &[5, 2, -1])
                .node("Transpose", "h -> t", &[("perm", [0, 2, 1, 3].into())])
                .node("Reshape", "t batch -> f", &[])
                .weight("w2", &[directions * 6, 4])
                .node("MatMul", "f w2 -> y", &[])
                .output("y");
            let name = format!("{operator} {direction}");
            cases.push(Case::new(&name, builder, &[6]));
        }
    }
    // States, peepholes and an activation that is not 0 at 0.
    let attributes = [("hidden_size", Value::from(6))];
    let states = Builder::new(14)
        .input("x", &[5, 2, 3])
        .weight("w", &[1, 24, 3])
        .weight("r", &[1, 24, 6])
        .weight("b", &[1, 48])
        .weight("h0", &[1, 2, 6])
        .weight("c0", &[1, 2, 6])
        .weight("p", &[1, 18])
        .node("LSTM", "x w r b - h0 c0 p -> h", &attributes)
        .weight("w2", &[6, 4])
        .node("MatMul", "h w2 -> y", &[])
        .output("y");
    cases.push(Case::new("LSTM with states and peepholes", states, &[6]));
    cases
}

pub(super) fn sizes() -> Vec<Case> {
    let mut cases = Vec::new();
    // An attention scale computed from a size: it must not follow the pruned size.
    let scaled = dense(13)
        .node("Shape", "h -> shape", &[])
        .scalar("one", 1)
        .node("Gather", "shape one -> width", &[])
        .node("Cast", "width -> number", &[("to", FLOAT.into())])
        .node("Sqrt", "number -> root", &[])
        .node("Div", "h root -> a", &[]);
    cases.push(Case::new("Shape reaches data", read_dense(scaled, "a"), &[8]));
    // The total size, used as a number.
    let sized = dense(13)
        .node("Size", "h -> count", &[])
        .node("Cast", "count -> number", &[("to", FLOAT.into())])
        .node("Div", "h number -> a", &[]);
    cases.push(Case::new("Size reaches data", read_dense(sized, "a"), &[8]));
    // A target shape put together from a dynamic batch and numbers.
    let heads = Builder::new(13)
        .input_of("x", ElementType::Float, &[Size::from("batch"), 6.into()])
        .weight("w1", &[6, 8])
        .node("MatMul", "x w1 -> h", &[])
        .node("Shape", "x -> shape", &[])
        .ints("zero", &[0])
        .ints("tail", &[4, 2])
        .node("Gather", "shape zero -> batch", &[])
        .node("Concat", "batch tail -> target", &[("axis", 0.into())])
        .node("Reshape", "h target -> a", &[])
        .node("Transpose", "a -> t", &[("perm", [0, 2, 1].into())])
        .weight("w2", &[4, 5])
        .node("MatMul", "t w2 -> m", &[])
        .ints("flat", &[0, -1])
        .node("Reshape", "m flat -> y", &[])
        .output("y");
    cases.push(Case::new("Reshape from a dynamic batch", heads, &[4]));
    let constant = Value::Tensor(noise("", &[6, 8]));
    let constants = Builder::new(13)
        .input("x", &[2, 6])
        .node("Constant", "-> w1", &[("value", constant)])
        .node("MatMul", "x w1 -> a", &[]);
    cases.push(Case::new("Constant", read_dense(constants, "a"), &[8]));
    let zeros = Value::Tensor(floats("", &[1], &[0.25]));
    let blown = dense(13)
        .ints("like", &[2, 8])
        .node("ConstantOfShape", "like -> c", &[("value", zeros)])
        .node("Add", "h c -> a", &[]);
    cases.push(Case::new("ConstantOfShape", read_dense(blown, "a"), &[8]));
    let expanded = dense(13)
        .weight("c", &[2, 1])
        .ints("like", &[2, 8])
        .node("Expand", "c like -> e", &[])
        .node("Mul", "h e -> a", &[]);
    cases.push(Case::new("Expand", read_dense(expanded, "a"), &[8]));
    let tiled = dense(13)
        .weight("c", &[2, 1])
        .ints("times", &[1, 8])
        .node("Tile", "c times -> e", &[])
        .node("Mul", "h e -> a", &[]);
    cases.push(Case::new("Tile from size 1", read_dense(tiled, "a"), &[8]));
    let repeated = dense(13)
        .ints("times", &[1, 2])
        .node("Tile", "h times -> t", &[])
        .weight("w2", &[16, 4])
        .node("MatMul", "t w2 -> y", &[])
        .output("y");
    cases.push(Case::new("Tile", repeated, &[8]));
    let positions = Builder::new(13)
        .input_of("x", ElementType::Int64, &[2.into(), 5.into()])
        .weight("words", &[20, 8])
        .weight("places", &[5, 8])
        .node("Gather", "words x -> e", &[])
        .scalar("start", 0)
        .scalar("limit", 5)
        .scalar("step", 1)
        .node("Range", "start limit step -> r", &[])
        .node("Gather", "places r -> p", &[])
        .node("Add", "e p -> a", &[]);
    cases.push(Case::new("Range and Gather", read_dense(positions, "a"), &[8]));
    cases
}

/// Operators that hold what they touch: the dimension behind them is still found.
pub(super) fn held() -> Vec<Case> {
    let index = |dims: &[usize], count: usize| {
        let bytes = vec![0_u8; count * 8];
        from_raw("index", ElementType::Int64, dims, bytes)
    };
    let behind = |name: &str, builder: Builder, width: usize| {
        let builder = builder
            .weight("w3", &[width, 8])
            .node("MatMul", "a w3 -> b", &[]);
        Case::new(name, read_dense(builder, "b"), &[8])
    };
    let mut cases = Vec::new();
    let gathered = dense(13)
        .tensor(index(&[2, 3], 6))
        .node("GatherElements", "h index -> a", &[("axis", 1.into())]);
    cases.push(behind("GatherElements", gathered, 3));
    let nd = dense(13).tensor(index(&[2, 1], 2)).node("GatherND", "h index -> a", &[]);
    cases.push(behind("GatherND", nd, 8));
    for operator in ["ScatterElements", "Scatter"] {
        let opset = if operator == "Scatter" { 9 } else { 13 };
        let scattered = dense(opset)
            .tensor(index(&[1, 1], 1))
            .weight("new", &[1, 1])
            .node(operator, "h index new -> a", &[]);
        cases.push(behind(operator, scattered, 8));
    }
    let scattered = dense(13)
        .tensor(index(&[1, 1], 1))
        .weight("new", &[1, 8])
        .node("ScatterND", "h index new -> a", &[]);
    cases.push(behind("ScatterND", scattered, 8));
    let lengths: Vec<u8> = [2_i64; 8].iter().flat_map(|n| n.to_le_bytes()).collect();
    let reversed = dense(13)
        .tensor(from_raw("lengths", ElementType::Int64, &[8], lengths))
        .node("ReverseSequence", "h lengths -> a", &[("batch_axis", 1.into()), ("time_axis", 0.into())]);
    cases.push(behind("ReverseSequence", reversed, 8));
    let eye = dense(13).node("EyeLike", "h -> e", &[]).node("Add", "h e -> a", &[]);
    cases.push(behind("EyeLike", eye, 8));
    let hot = dense(13)
        .node("ArgMax", "h -> i", &[("axis", 1.into()), ("keepdims", 0.into())])
        .scalar("depth", 8)
        .tensor(floats("values", &[2], &[0.0, 1.0]))
        .node("OneHot", "i depth values -> o", &[])
        .node("Add", "h o -> a", &[]);
    cases.push(behind("OneHot", hot, 8));
    let non_zero = dense(13)
        .node("NonZero", "h -> n", &[])
        .node("Cast", "n -> f", &[("to", FLOAT.into())])
        .node("ReduceMean", "f -> m", &[("keepdims", 0.into())])
        .node("Add", "h m -> a", &[]);
    cases.push(behind("NonZero", non_zero, 8));
    cases.extend(held_unproven());
    cases
}

/// Held operators whose result is random or that onnxruntime has no CPU kernel for in every form: only their
/// dimensions are looked at.
fn held_unproven() -> Vec<Case> {
    let mut cases = Vec::new();
    for operator in ["RandomNormalLike", "RandomUniformLike", "Bernoulli"] {
        let builder = dense(15).node(operator, "h -> a", &[]).output("a");
        cases.push(Case::new(operator, builder, &[]));
    }
    let rotary = Builder::new(23)
        .input("x", &[2, 3, 4, 8])
        .weight("cos", &[5, 4])
        .weight("sin", &[5, 4])
        .tensor(from_raw("places", ElementType::Int64, &[2, 4], vec![0_u8; 64]))
        .node("RotaryEmbedding", "x cos sin places -> a", &[])
        .output("a");
    cases.push(Case::new("RotaryEmbedding", rotary, &[]));
    let cache = Builder::new(24)
        .input("x", &[2, 3, 4, 8])
        .weight("new", &[2, 3, 1, 8])
        .node("TensorScatter", "x new -> a", &[])
        .output("a");
    cases.push(Case::new("TensorScatter", cache, &[]));
    cases
}
