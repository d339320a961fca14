//! Real exported graphs, filled with seeded noise: what is found in each, and that pruning it is proven.
//!
//! `SECATEUR_BLESS=1` writes what is found to `fixtures/zoo/expected.json` instead of comparing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::builder::analyse;
use super::rules::runtime;
use crate::criteria::{Criterion, scores};
use crate::onnx::proto::{GraphProto, ModelProto, TensorProto};
use crate::onnx::{ElementType, Model, byte_length, element_count};
use crate::plan::{Plan, RoundTo, Settings};
use crate::rewrite::prune;
use crate::search::select;
use crate::validate::verify;

/// Inputs that must stay positive: (operator, slot).
const POSITIVE: [(&str, usize); 6] = [
    ("BatchNormalization", 1),
    ("BatchNormalization", 4),
    ("LayerNormalization", 1),
    ("InstanceNormalization", 1),
    ("GroupNormalization", 1),
    ("RMSNormalization", 1),
];

pub(super) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/zoo")
}

/// Gives a tensor without data seeded noise at a sane scale.
fn fill(tensor: &mut TensorProto, positive: bool) {
    let count = element_count(tensor).expect("sane dims");
    let typed = tensor.float_data.len() + tensor.int64_data.len() + tensor.int32_data.len();
    if count == 0 || tensor.raw_data.is_some() || typed > 0 || tensor.dims.is_empty() {
        return;
    }
    let element = ElementType::of(tensor.data_type()).expect("a known type");
    assert_eq!(element, ElementType::Float, "{}", tensor.name());
    let seed = *blake3::hash(tensor.name().as_bytes()).as_bytes();
    let mut generator = ChaCha8Rng::from_seed(seed);
    let fan_in = (count / tensor.dims[0].max(1) as usize).max(1);
    let (low, high) = match (positive, tensor.dims.len()) {
        (true, _) => (0.5, 1.5),
        (false, 1) => (-0.17, 0.17),
        // A uniform distribution of variance 1.5 / fan_in.
        (false, _) => {
            let bound = (4.5 / fan_in as f32).sqrt();
            (-bound, bound)
        }
    };
    let mut bytes = Vec::with_capacity(byte_length(count, 32).expect("a size"));
    for _ in 0..count {
        bytes.extend(generator.random_range(low..high).to_le_bytes());
    }
    tensor.raw_data = Some(bytes.into());
}

fn fill_graph(graph: &mut GraphProto) {
    let positive: Vec<String> = graph
        .node
        .iter()
        .flat_map(|node| {
            let slots = POSITIVE
                .iter()
                .filter(|(operator, _)| *operator == node.op_type());
            slots.filter_map(|&(_, slot)| node.input.get(slot).cloned())
        })
        .collect();
    for tensor in &mut graph.initializer {
        let positive = positive.iter().any(|name| name == tensor.name());
        fill(tensor, positive);
    }
    for node in &mut graph.node {
        let output = node.output.first().cloned();
        for tensor in node.attribute.iter_mut().filter_map(|a| a.t.as_mut()) {
            let name = tensor.name.take().filter(|name| !name.is_empty());
            tensor.name = name.or(output.clone());
            fill(tensor, false);
        }
    }
}

pub(super) fn load(name: &str) -> Model {
    let bytes = std::fs::read(folder().join(format!("{name}.onnx"))).expect("a fixture");
    let mut proto = ModelProto::decode(bytes.as_slice()).expect("a model");
    fill_graph(proto.graph.as_mut().expect("a graph"));
    Model::from_bytes(proto.encode_to_vec()).expect("a filled model")
}

/// What is found in a model.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Found {
    /// Sizes of exact dimensions, ascending; for those of grouped convolutions with the number of groups.
    exact: Vec<String>,
    /// Sizes of mixing dimensions, ascending.
    mixing: Vec<String>,
    /// Share of the parameters left at a ratio of one half.
    left: f64,
    /// The same with exact dimensions only.
    left_exact: f64,
    /// Operators that hold what they touch.
    unsupported: Vec<String>,
}

fn examine(name: &str) -> Found {
    let analysis = analyse(&load(name));
    let runtime = runtime();
    let before = analysis.model_totals().params as f64;
    let share = |exact| {
        let settings = Settings {
            exact,
            round_to: RoundTo::Multiple(1),
            ..Settings::default()
        };
        let scores = scores(&analysis, Criterion::L2, 0).expect("scores");
        let selection = select(&analysis, &scores, &settings).expect("a selection");
        let plan = Plan::new(&analysis, &selection, &scores, &settings);
        let pruned = prune(&analysis, &plan).expect("a pruned model");
        let proof = verify(&analysis, &plan, &pruned, &runtime).expect("equal to the twin");
        assert!(
            proof.outputs.iter().all(|o| o.informative),
            "{:?}",
            proof.outputs
        );
        let after = analyse(&pruned).model_totals().params as f64;
        (after / before * 1e3).round() / 1e3
    };
    let mut dimensions: Vec<_> = analysis.dimensions().iter().collect();
    dimensions.sort_by_key(|d| (d.size, d.blocks));
    let sizes = |mixing: bool| {
        let chosen = dimensions.iter().filter(|d| d.mixing.is_some() == mixing);
        chosen
            .map(|d| match d.blocks {
                1 => d.size.to_string(),
                blocks => format!("{} in {blocks}", d.size),
            })
            .collect()
    };
    Found {
        exact: sizes(false),
        mixing: sizes(true),
        left: share(false),
        left_exact: share(true),
        unsupported: analysis
            .unsupported()
            .into_keys()
            .map(|(operator, _)| operator)
            .collect(),
    }
}

fn check(name: &str) {
    let path = folder().join("expected.json");
    let found = examine(name);
    let read = || {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|_| "{}".to_owned());
        serde_json::from_str::<BTreeMap<String, Found>>(&text).expect("expected.json is valid")
    };
    if std::env::var_os("SECATEUR_BLESS").is_some() {
        let lock = std::fs::File::open(folder()).expect("the folder");
        lock.lock().expect("a lock");
        let mut all = read();
        all.insert(name.to_owned(), found);
        let text = serde_json::to_string_pretty(&all).expect("JSON") + "\n";
        std::fs::write(&path, text).expect("expected.json is written");
        return;
    }
    assert_eq!(Some(&found), read().get(name));
}

macro_rules! zoo {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*

        #[test]
        fn every_fixture_has_a_test() {
            let tested = [$(stringify!($name)),*];
            for entry in std::fs::read_dir(folder()).expect("the folder").flatten() {
                let path = entry.path();
                let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or("");
                let is_model = path.extension().is_some_and(|e| e == "onnx");
                assert!(!is_model || tested.contains(&name), "{name} has no test");
            }
        }
    };
}

#[allow(non_snake_case, reason = "the names of the files")]
mod models {
    use super::*;

    zoo! {
        bert_ort
        bert_small
        bert_small__dynamo
        bert_small__nofold
        cnn_groupnorm21
        concat3_split
        concat3_split__dynamo
        convT_autoencoder
        convnext_tiny__dynamo
        deeplabv3_mobilenet_v3_large
        deformable_attention
        densenet121
        distilbert_small
        efficientnet_b0
        fastvit_t8
        glu_chunk
        gnn_scatter
        googlenet
        gpt2_ort_past
        gpt2_small__dynamo
        group_shuffle
        gru1_cls
        hf_clip
        hf_convnextv2
        hf_deberta_v2
        hf_mobilebert
        hf_wavlm
        hifigan
        hrnet_w18_small
        lenet
        lenet__dynamo
        lenet__nofold
        llama_genai
        llama_genai_int4
        llama_gqa__dynamo
        llama_opset23_3d
        llama_past_gqa
        lstm1_cls
        maskrcnn_roialign
        mixer_s16
        mlp2
        mlp2__dynamo
        mobilenet_v2
        moe_decomposed
        multihead_featout
        norms_gn_in_ln
        norms_gn_in_ln__dynamo24
        optimizer_bert
        pixelshuffle_sr
        prelu_net
        regnet_y_400mf
        resnet18
        resnet18__bn
        resnet18__dynamo
        resnet18__nofold
        resnet_fusedconv
        resnext50_32x4d
        sam_mask_decoder
        sd_unet
        se_block
        session_bert
        shared_weight_conv
        shufflenet_v2_x1_0
        squeezenet1_1
        t5_encoder
        t5_encoder_ort
        tcn1d
        tv_swin_small
        unet_tconv
        unet_tconv__bn
        vit_opset23
        vit_tiny_patch16_224
        vit_tiny_patch16_224__dynamo24
        whisper_encoder
        yolov8n
        yolov8n__dynamo
    }
}
