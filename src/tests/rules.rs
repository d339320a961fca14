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
const HELD_WITHOUT_A_CASE: [&str; 91] = [
    "AffineGrid",
    "ArrayFeatureExtractor",
    "Attention",
    "BiasAdd",
    "BiasDropout",
    "BiasGelu",
    "BiasSoftmax",
    "BiasSplitGelu",
    "Binarizer",
    "BitCast",
    "BlackmanWindow",
    "CategoryMapper",
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
    "DynamicQuantizeMatMul",
    "EmbedLayerNormalization",
    "FastGelu",
    "FeatureVectorizer",
    "FusedConv",
    "FusedGemm",
    "FusedMatMul",
    "GatherBlockQuantized",
    "GemmFastGelu",
    "GridSample",
    "GroupNorm",
    "GroupQueryAttention",
    "HammingWindow",
    "HannWindow",
    "ImageDecoder",
    "Imputer",
    "Inverse",
    "LabelEncoder",
    "LinearAttention",
    "LinearClassifier",
    "LinearRegressor",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "MatMulNBits",
    "MaxRoiPool",
    "MaxUnpool",
    "MelWeightMatrix",
    "MultiHeadAttention",
    "Multinomial",
    "NegativeLogLikelihoodLoss",
    "NonMaxSuppression",
    "Normalizer",
    "OneHotEncoder",
    "OptionalHasElement",
    "QGemm",
    "QLinearAdd",
    "QLinearAveragePool",
    "QLinearConcat",
    "QLinearConv",
    "QLinearGlobalAveragePool",
    "QLinearLeakyRelu",
    "QLinearMatMul",
    "QLinearMul",
    "QLinearSigmoid",
    "QLinearSoftmax",
    "QuantizeLinear",
    "QuickGelu",
    "RandomNormal",
    "RandomUniform",
    "RegexFullMatch",
    "STFT",
    "SVMClassifier",
    "SVMRegressor",
    "Scaler",
    "SequenceLength",
    "SimplifiedLayerNormalization",
    "SkipGroupNorm",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
    "SoftmaxCrossEntropyLoss",
    "StringConcat",
    "StringNormalizer",
    "StringSplit",
    "TfIdfVectorizer",
    "TransposeMatMul",
    "TreeEnsemble",
    "TreeEnsembleClassifier",
    "TreeEnsembleRegressor",
    "Unique",
];

#[test]
fn every_operator_of_the_table_has_a_case() {
    let mut tested = BTreeSet::new();
    for case in all() {
        let graph = case.model.proto.graph.unwrap_or_default();
        tested.extend(graph.node.into_iter().filter_map(|node| node.op_type));
    }
    let rows = TABLE.iter().flat_map(|family| family.iter());
    let untested: Vec<&str> = rows
        .map(|row| row.operator)
        .filter(|operator| !tested.contains(*operator) && !HELD_WITHOUT_A_CASE.contains(operator))
        .collect();
    assert!(
        untested.is_empty(),
        "operators without a case: {untested:?}"
    );
}
