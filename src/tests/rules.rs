//! Every row of the operator table has a case, and every case is pruned and proven in onnxruntime.

use std::collections::BTreeSet;

use super::builder::analyse;
use super::cases::{Case, all};
use crate::criteria::{Criterion, scores};
use crate::events::Silent;
use crate::ops::TABLE;
use crate::plan::{Plan, RoundTo, Settings};
use crate::rewrite::prune;
use crate::runtime::{Library, Runtime};
use crate::search::select;
use crate::validate::verify;

pub(super) fn runtime() -> Runtime {
    let library = Library::find_or_install(None, &[], false, &mut Silent).expect("onnxruntime");
    Runtime::load(&library).expect("onnxruntime loads")
}

/// What is wrong with a case, if anything is.
fn judge(case: &Case, runtime: &Runtime) -> Result<(), String> {
    let analysis = analyse(&case.model);
    let mut sizes: Vec<usize> = analysis.dimensions().iter().map(|d| d.size).collect();
    sizes.sort_unstable();
    if sizes != case.dimensions {
        return Err(format!(
            "dimensions {sizes:?}, expected {:?}\n{}blocked: {:#?}\nunsupported: {:?}",
            case.dimensions,
            analysis.graph(),
            analysis.blocked(),
            analysis.unsupported(),
        ));
    }
    let mixing = analysis
        .dimensions()
        .iter()
        .filter(|d| d.mixing.is_some())
        .count();
    if mixing != case.mixing {
        return Err(format!(
            "{mixing} mixing dimensions, expected {}",
            case.mixing
        ));
    }
    if case.dimensions.is_empty() {
        return Ok(());
    }
    let settings = Settings {
        round_to: RoundTo::Multiple(1),
        ..Settings::default()
    };
    let scores = scores(&analysis, Criterion::L2, 0).map_err(|e| e.to_string())?;
    let selection = select(&analysis, &scores, &settings).map_err(|e| e.to_string())?;
    let plan = Plan::new(&analysis, &selection, &scores, &settings);
    if plan.dimensions.is_empty() {
        return Err("nothing was pruned".to_owned());
    }
    let pruned = prune(&analysis, &plan).map_err(|e| e.to_string())?;
    let proof = verify(&analysis, &plan, &pruned, runtime).map_err(|e| e.to_string())?;
    match proof.outputs.iter().all(|output| output.informative) {
        true => Ok(()),
        false => Err("the outputs say nothing".to_owned()),
    }
}

#[test]
fn every_case_has_its_dimensions_and_is_proven() {
    let runtime = runtime();
    let failures: Vec<String> = all()
        .iter()
        .filter_map(|case| {
            let fault = judge(case, &runtime).err()?;
            Some(format!("{}: {fault}", case.name))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Operators that hold all axes and state shapes alone: typing of what stands behind them is proven with the model, but
/// no case compares their shapes yet.
const HELD_WITHOUT_A_CASE: [&str; 98] = [
    "AffineGrid",
    "Attention",
    "BitCast",
    "BlackmanWindow",
    "CenterCropPad",
    "Col2Im",
    "Compress",
    "ConvInteger",
    "CumProd",
    "DFT",
    "DeformConv",
    "DequantizeLinear",
    "Det",
    "DynamicQuantizeLinear",
    "GridSample",
    "HammingWindow",
    "HannWindow",
    "ImageDecoder",
    "LinearAttention",
    "MatMulInteger",
    "MaxRoiPool",
    "MaxUnpool",
    "MelWeightMatrix",
    "Multinomial",
    "NegativeLogLikelihoodLoss",
    "NonMaxSuppression",
    "OptionalHasElement",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
    "RandomNormal",
    "RandomUniform",
    "RegexFullMatch",
    "STFT",
    "SequenceLength",
    "SimplifiedLayerNormalization",
    "SoftmaxCrossEntropyLoss",
    "StringConcat",
    "StringNormalizer",
    "StringSplit",
    "TfIdfVectorizer",
    "Unique",
    "ai.onnx.ml.ArrayFeatureExtractor",
    "ai.onnx.ml.Binarizer",
    "ai.onnx.ml.CategoryMapper",
    "ai.onnx.ml.FeatureVectorizer",
    "ai.onnx.ml.Imputer",
    "ai.onnx.ml.LabelEncoder",
    "ai.onnx.ml.LinearClassifier",
    "ai.onnx.ml.LinearRegressor",
    "ai.onnx.ml.Normalizer",
    "ai.onnx.ml.OneHotEncoder",
    "ai.onnx.ml.SVMClassifier",
    "ai.onnx.ml.SVMRegressor",
    "ai.onnx.ml.Scaler",
    "ai.onnx.ml.TreeEnsemble",
    "ai.onnx.ml.TreeEnsembleClassifier",
    "ai.onnx.ml.TreeEnsembleRegressor",
    "com.microsoft.Attention",
    "com.microsoft.BiasAdd",
    "com.microsoft.BiasDropout",
    "com.microsoft.BiasGelu",
    "com.microsoft.BiasSoftmax",
    "com.microsoft.BiasSplitGelu",
    "com.microsoft.DequantizeLinear",
    "com.microsoft.DynamicQuantizeMatMul",
    "com.microsoft.EmbedLayerNormalization",
    "com.microsoft.FastGelu",
    "com.microsoft.FusedConv",
    "com.microsoft.FusedGemm",
    "com.microsoft.FusedMatMul",
    "com.microsoft.GatherBlockQuantized",
    "com.microsoft.Gelu",
    "com.microsoft.GemmFastGelu",
    "com.microsoft.GridSample",
    "com.microsoft.GroupNorm",
    "com.microsoft.GroupQueryAttention",
    "com.microsoft.Inverse",
    "com.microsoft.MatMulIntegerToFloat",
    "com.microsoft.MatMulNBits",
    "com.microsoft.MultiHeadAttention",
    "com.microsoft.QGemm",
    "com.microsoft.QLinearAdd",
    "com.microsoft.QLinearAveragePool",
    "com.microsoft.QLinearConcat",
    "com.microsoft.QLinearGlobalAveragePool",
    "com.microsoft.QLinearLeakyRelu",
    "com.microsoft.QLinearMul",
    "com.microsoft.QLinearSigmoid",
    "com.microsoft.QLinearSoftmax",
    "com.microsoft.QuantizeLinear",
    "com.microsoft.QuickGelu",
    "com.microsoft.RotaryEmbedding",
    "com.microsoft.SimplifiedLayerNormalization",
    "com.microsoft.SkipGroupNorm",
    "com.microsoft.SkipLayerNormalization",
    "com.microsoft.SkipSimplifiedLayerNormalization",
    "com.microsoft.TransposeMatMul",
];

#[test]
fn every_operator_of_the_table_has_a_case() {
    let full = |domain: &str, operator: &str| match domain {
        "" => operator.to_owned(),
        domain => format!("{domain}.{operator}"),
    };
    let mut tested = BTreeSet::new();
    for case in all() {
        let graph = case.model.proto.graph.unwrap_or_default();
        let nodes = graph.node.iter();
        tested.extend(nodes.map(|node| full(node.domain(), node.op_type())));
    }
    let rows = TABLE.iter().flat_map(|family| family.iter());
    let rows: BTreeSet<String> = rows.map(|row| full(row.domain, row.operator)).collect();
    let untested: Vec<&str> = rows.difference(&tested).map(String::as_str).collect();
    assert_eq!(
        untested, HELD_WITHOUT_A_CASE,
        "operators without a case, and those that are known to have none"
    );
}
