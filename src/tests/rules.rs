//! Every row of the operator table has a case, and every case is pruned and proven in onnxruntime.

use std::collections::BTreeSet;

use super::builder::{analyse, analyse_cutting};
use super::cases::{Case, all};
use super::families::whole_groups;
use super::held::{self, full_name};
use crate::criteria::{Criterion, scores};
use crate::dimensions::Analysis;
use crate::events::Silent;
use crate::onnx::NEWEST_IR;
use crate::ops::{GroupCut, NEWEST_OPSET, TABLE};
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
    judge_typed(case, &analyse(&case.model), runtime)
}

/// As [`judge`], of a case as it is typed.
fn judge_typed(case: &Case, analysis: &Analysis, runtime: &Runtime) -> Result<(), String> {
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
        only: vec!["*".to_owned()],
        ..Settings::default()
    };
    let scores = scores(analysis, Criterion::L2, 0).map_err(|e| e.to_string())?;
    let selection = select(analysis, &scores, &settings).map_err(|e| e.to_string())?;
    let plan = Plan::new(analysis, &selection, &scores, &settings);
    if plan.dimensions.is_empty() {
        return Err("nothing was pruned".to_owned());
    }
    let pruned = prune(analysis, &plan).map_err(|e| e.to_string())?;
    let proof = verify(analysis, &plan, &pruned, runtime).map_err(|e| e.to_string())?;
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

#[test]
fn whole_groups_go_and_are_proven() {
    let runtime = runtime();
    for case in whole_groups() {
        let analysis = analyse_cutting(&case.model, GroupCut::Whole);
        if let Err(fault) = judge_typed(&case, &analysis, &runtime) {
            panic!("{}: {fault}", case.name);
        }
    }
}

/// Operators that onnxruntime has no kernel for at the newest operator set.
const NOT_AT_THE_NEWEST: &[&str] = &[
    "Bernoulli",
    "ConvInteger",
    "DequantizeLinear",
    "GlobalLpPool",
    "MatMulIntegerToFloat",
    "MaxRoiPool",
    "NhwcMaxPool",
    "QAttention",
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
    "QLinearWhere",
    "QuantizeLinear",
    "RandomNormalLike",
    "RandomUniformLike",
    "RoiAlign",
    "Swish",
];

/// The last version at which operators meant something else.
const OLD_MEANINGS: i64 = 12;

/// Rows say that they are for all versions up to the newest.
#[test]
fn cases_hold_at_the_newest_operator_set() {
    let runtime = runtime();
    let (mut taken, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for mut case in all() {
        if case.model.opset() <= OLD_MEANINGS {
            continue;
        }
        let proto = &mut case.model.proto;
        proto.ir_version = Some(NEWEST_IR);
        let imports = proto.opset_import.iter_mut();
        for import in imports.filter(|import| import.domain().is_empty()) {
            import.version = Some(NEWEST_OPSET);
        }
        let graph = proto.graph.clone().unwrap_or_default();
        let operators = graph.node.into_iter().map(|node| node.op_type().to_owned());
        if runtime.session(&case.model, "the case").is_err() {
            refused.extend(operators);
            continue;
        }
        if let Err(fault) = judge(&case, &runtime) {
            panic!("{}: {fault}", case.name);
        }
        taken.extend(operators);
    }
    let refused: Vec<&str> = refused.difference(&taken).map(String::as_str).collect();
    assert_eq!(refused, NOT_AT_THE_NEWEST);
}

/// Operators without a case and why: what their rows say of the outputs is compared with nothing.
const HELD_WITHOUT_A_CASE: &[(&str, &str)] = &[
    ("ImageDecoder", NO_KERNEL),
    ("com.microsoft.BiasAdd", NO_KERNEL),
    ("com.microsoft.BiasDropout", NO_KERNEL),
    ("com.microsoft.BiasSoftmax", NO_KERNEL),
    ("com.microsoft.BiasSplitGelu", NO_KERNEL),
    ("com.microsoft.GemmFastGelu", NO_KERNEL),
    ("com.microsoft.GroupNorm", NO_KERNEL),
    ("com.microsoft.MulInteger", NO_KERNEL),
    ("com.microsoft.NhwcConv", NO_KERNEL),
    ("com.microsoft.PackedAttention", NO_KERNEL),
    ("com.microsoft.PackedMultiHeadAttention", NO_KERNEL),
    ("com.microsoft.QLinearReduceMean", NO_KERNEL),
    ("com.microsoft.SkipGroupNorm", NO_KERNEL),
];

const NO_KERNEL: &str = "onnxruntime has no kernel for processors";

#[test]
fn every_operator_of_the_table_has_a_case() {
    let mut tested = held::compared();
    for case in all() {
        let graph = case.model.proto.graph.clone().unwrap_or_default();
        let nodes = graph.node.iter();
        tested.extend(nodes.map(|node| full_name(node.domain(), node.op_type())));
    }
    let rows = TABLE.iter().flat_map(|family| family.iter());
    let rows: BTreeSet<String> = rows
        .map(|row| full_name(row.domain, row.operator))
        .collect();
    let untested: Vec<&str> = rows.difference(&tested).map(String::as_str).collect();
    assert_eq!(
        untested,
        HELD_WITHOUT_A_CASE
            .iter()
            .map(|(operator, _)| *operator)
            .collect::<Vec<_>>(),
        "operators without a case, and those that are known to have none"
    );
}
