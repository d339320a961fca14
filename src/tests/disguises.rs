//! The same model in disguises (no node names, weights in Constant nodes, no declared shapes, initializers among
//! the inputs, the lowest operator set) has the same dimensions, the same plan, the same recovery and masks.

mod lowered;

use std::collections::BTreeMap;
use std::path::Path;

use super::builder::analyse;
use super::rules::runtime;
use crate::data::DataSource;
use crate::events::Silent;
use crate::graph::declaration_of;
use crate::job::{self, MaskOptions, MaskSource, Overwrite, Proof, PruneFileOptions, PruneOptions};
use crate::masks::{MaskSettings, WeightCriterion};
use crate::onnx::proto::attribute_proto::AttributeType;
use crate::onnx::proto::{AttributeProto, GraphProto, NodeProto, ValueInfoProto};
use crate::onnx::{Model, to_f32};
use crate::plan::{Cost, Plan, Scope, Settings};

/// Samples of random data.
const SAMPLES: usize = 40;
/// Difference of recovered weights, in parts of the largest of a tensor, that another form of the same nodes makes.
const ROUNDING: f32 = 2e-3;

fn edited(model: &Model, edit: impl FnOnce(&mut GraphProto)) -> Model {
    let mut proto = model.proto.clone();
    edit(proto.graph.get_or_insert_default());
    model.with(proto, BTreeMap::new())
}

fn without_node_names(model: &Model) -> Model {
    edited(model, |graph| {
        graph.node.iter_mut().for_each(|node| node.name = None)
    })
}

fn without_declared_shapes(model: &Model) -> Model {
    edited(model, |graph| graph.value_info.clear())
}

fn with_constant_nodes(model: &Model) -> Model {
    edited(model, |graph| {
        let constant = |tensor: crate::onnx::proto::TensorProto| NodeProto {
            op_type: Some("Constant".to_owned()),
            output: vec![tensor.name().to_owned()],
            attribute: vec![AttributeProto {
                name: Some("value".to_owned()),
                r#type: Some(AttributeType::Tensor as i32),
                t: Some(tensor),
                ..AttributeProto::default()
            }],
            ..NodeProto::default()
        };
        let constants = std::mem::take(&mut graph.initializer)
            .into_iter()
            .map(constant);
        graph.node = constants.chain(std::mem::take(&mut graph.node)).collect();
    })
}

fn with_initializers_among_inputs(model: &Model) -> Model {
    edited(model, |graph| {
        let inputs: Vec<ValueInfoProto> = graph.initializer.iter().map(declaration_of).collect();
        graph.input.extend(inputs);
    })
}

fn disguises(model: &Model) -> Vec<(&'static str, Model)> {
    vec![
        ("no node names", without_node_names(model)),
        ("Constant nodes", with_constant_nodes(model)),
        ("no declared shapes", without_declared_shapes(model)),
        (
            "initializers among the inputs",
            with_initializers_among_inputs(model),
        ),
        (
            "the lowest operator set",
            lowered::lowest(model, &runtime()),
        ),
    ]
}

/// Sizes, groups and places of all dimensions.
fn dimensions(model: &Model) -> Vec<String> {
    let analysis = analyse(model);
    let dimensions = analysis.dimensions().iter().map(|dimension| {
        let site = |site: &crate::dimensions::Site| {
            format!("{}:{}", analysis.graph().value(site.value).name, site.axis)
        };
        let mut sites: Vec<String> = dimension.sites.iter().map(site).collect();
        sites.sort();
        let mixing = dimension.mixing.is_some();
        format!(
            "{} {} {mixing} {}",
            dimension.size,
            dimension.blocks,
            sites.join(" ")
        )
    });
    dimensions.collect()
}

/// All real-valued constants of a file by name.
fn weights(path: &Path) -> BTreeMap<String, Vec<f32>> {
    let analysis = analyse(&Model::load(path).expect("a written model"));
    let graph = analysis.graph();
    let weights = analysis.weights().map(|(value, _)| {
        let tensor = graph.constant(value).expect("a constant");
        (
            graph.value(value).name.clone(),
            to_f32(tensor).expect("numbers"),
        )
    });
    weights.collect()
}

/// What a run gave: kept positions by dimension, and the weights that it wrote.
#[derive(PartialEq)]
struct Result {
    kept: Vec<Vec<u32>>,
    weights: BTreeMap<String, Vec<f32>>,
}

fn data() -> DataSource {
    DataSource::Random {
        samples: SAMPLES,
        seed: 7,
    }
}

fn pruned(model: &Path, calibrated: bool) -> Result {
    let (output, plan) = (model.with_extension("pruned"), model.with_extension("plan"));
    let options = PruneFileOptions {
        prune: PruneOptions {
            settings: Settings {
                scope: (!calibrated).then_some(Scope::Global),
                ..Settings::keeping(Cost::Params, 0.6)
            },
            calibration: calibrated.then(|| data().into()),
            ..PruneOptions::default()
        },
        output: Some(output.clone()),
        plan_out: Some(plan.clone()),
        overwrite: Overwrite::Allowed,
        ..PruneFileOptions::default()
    };
    job::prune_file(model, &options, &mut Silent).expect("it is pruned");
    let plan = Plan::load(&plan).expect("a plan");
    Result {
        kept: plan
            .dimensions
            .into_iter()
            .map(|planned| planned.kept)
            .collect(),
        weights: weights(&output),
    }
}

fn masked(model: &Path) -> Result {
    let output = model.with_extension("masked");
    let options = MaskOptions {
        source: MaskSource::Settings(MaskSettings {
            criterion: WeightCriterion::Wanda,
            ..MaskSettings::default()
        }),
        calibration: Some(data().into()),
        output: Some(output.clone()),
        proof: Proof::Skipped,
        overwrite: Overwrite::Allowed,
        ..MaskOptions::default()
    };
    job::mask(model, &options, &mut Silent).expect("it is masked");
    Result {
        kept: Vec::new(),
        weights: weights(&output),
    }
}

/// What differs between two runs, if anything does.
fn difference(expected: &Result, found: &Result) -> Option<String> {
    if expected.kept != found.kept {
        return Some("another plan".to_owned());
    }
    for (name, before) in &expected.weights {
        let Some(now) = found.weights.get(name) else {
            return Some(format!("no '{name}'"));
        };
        let largest = before
            .iter()
            .fold(0.0_f32, |most, weight| most.max(weight.abs()));
        let pairs = before.iter().zip(now);
        let most = pairs.fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
        if before.len() != now.len() || most > ROUNDING * largest {
            return Some(format!("'{name}' is off by {most:e} of {largest:e}"));
        }
    }
    None
}

fn check(model: &Model) {
    let folder = tempfile::tempdir().expect("a folder");
    let save = |name: &str, model: &Model| {
        let path = folder.path().join(format!("{name}.onnx").replace(' ', "_"));
        model.save(&path).expect("it is written");
        path
    };
    let plain = save("plain", model);
    let runs = |path: &Path| [pruned(path, false), pruned(path, true), masked(path)];
    let (known, expected) = (dimensions(model), runs(&plain));
    let mut faults = Vec::new();
    for (name, disguised) in disguises(model) {
        if dimensions(&disguised) != known {
            faults.push(format!("{name}: other dimensions"));
            continue;
        }
        let found = runs(&save(name, &disguised));
        for (what, (expected, found)) in ["plain", "calibrated", "masked"]
            .iter()
            .zip(expected.iter().zip(&found))
        {
            let difference = difference(expected, found);
            faults.extend(difference.map(|fault| format!("{name}, {what}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

macro_rules! trained {
    ($($name:ident $file:literal)*) => {
        $(
            #[test]
            fn $name() {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/trained");
                let model = Model::load(path.join($file)).expect("a fixture");
                check(&model);
            }
        )*
    };
}

macro_rules! zoo {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(&super::zoo::load(stringify!($name)));
            }
        )*
    };
}

trained! {
    trained_lenet "lenet_mnist.onnx"
    trained_resnet8 "resnet8_fashion.bn.onnx"
    trained_vit "vit_fashion.onnx"
    trained_gru "gru_fashion.onnx"
    trained_bert "bert_spam.onnx"
    trained_lstm "lstm_spam.onnx"
}

zoo! {
    concat3_split
    glu_chunk
    group_shuffle
    gru1_cls
    lenet
    mlp2
    prelu_net
    se_block
    shared_weight_conv
    tcn1d
}
