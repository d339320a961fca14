//! Inspecting a model.

use std::path::Path;

use super::{Shapes, analyse, little};
use crate::dimensions::{Analysis, Block, Dimension};
use crate::error::{Fault, Result};
use crate::graph::NodeId;
use crate::layers::Layer;
use crate::onnx::{Model, to_f32};
use crate::ops::{CutRules, GroupCut};
use crate::report::{BlockRow, BlockedRow, DimensionRow, Inspection, IntegerRow, UnsupportedRow};

/// Version of the JSON document.
const SCHEMA: &str = "secateur.inspection/1";

/// Says what can be pruned of the model at `path`, and what holds the rest. Costs are counted with dynamic
/// axes at their sizes in `shapes`; `groups` says what of grouped convolutions counts as what can go.
///
/// # Errors
/// The file is no valid model or has a tensor that cannot be read, or `shapes` names an axis that is not there.
pub fn inspect(path: &Path, shapes: &Shapes, groups: GroupCut) -> Result<Inspection> {
    let model = Model::load(path)?;
    let cuts = CutRules {
        groups,
        ..CutRules::default()
    };
    let analysis = analyse(&model, shapes, cuts)?;
    let dimensions = analysis.dimensions().iter();
    let blocked = analysis.blocked().iter().map(|blocked| BlockedRow {
        initializer: blocked.initializer.clone(),
        axis: blocked.axis,
        size: blocked.size,
        reason: blocked.reason.clone(),
    });
    let unsupported = analysis.unsupported().into_iter();
    let unsupported = unsupported.map(|((operator, reason), nodes)| UnsupportedRow {
        operator,
        reason: reason.to_owned(),
        nodes,
    });
    let block = |block: &Block| BlockRow {
        name: block.name.clone(),
        sum: analysis.graph().describe(block.sum),
        nodes: block.nodes.len(),
        params: block.costs.params,
        macs: block.costs.macs,
        bytes: block.costs.bytes,
    };
    let declarations = analysis.declarations();
    let faults = declarations.faults.iter().map(Fault::to_string);
    Ok(Inspection {
        schema: SCHEMA,
        model: path.display().to_string(),
        file_bytes: model.source_bytes(),
        opset: model.opset(),
        ir_version: model.ir_version(),
        totals: analysis.model_totals(),
        dimensions: dimensions.map(|d| row(&analysis, d)).collect(),
        blocks: analysis.blocks().iter().map(block).collect(),
        blocked: blocked.collect(),
        unsupported: unsupported.collect(),
        held: little::rows(
            &analysis,
            analysis.holders(&analysis.state.types.everything(), &|_| None),
        ),
        integers: integers(&analysis)?,
        warnings: faults.chain(declarations.wrong).collect(),
    })
}

/// Weights that are codes in products of codes.
fn integers(analysis: &Analysis) -> Result<Vec<IntegerRow>> {
    let mut rows = Vec::new();
    for layer in Layer::coded(analysis) {
        let Some(tensor) = analysis.graph().constant(layer.value) else {
            continue;
        };
        let codes = to_f32(tensor)?.into_iter().map(|code| code as i32);
        let codes = layer.gather(&codes.collect::<Vec<i32>>());
        rows.push(IntegerRow {
            saturable: layer.saturable(&codes),
            rows: layer.batches() * layer.rows(),
            weight: layer.name,
            operator: layer.operator,
        });
    }
    Ok(rows)
}

fn row(analysis: &Analysis, dimension: &Dimension) -> DimensionRow {
    let names = |nodes: &[NodeId]| {
        let name = |&node: &NodeId| analysis.graph().describe(node);
        nodes.iter().map(name).collect()
    };
    DimensionRow {
        name: dimension.name.clone(),
        size: dimension.size,
        producers: names(&dimension.producers),
        consumers: names(&dimension.consumers),
        mixing: dimension.mixing.clone(),
        alternatives: dimension.alternatives.clone(),
        linear: dimension.linear,
        blocks: dimension.blocks,
        params: dimension.params,
        macs: dimension.macs,
    }
}
