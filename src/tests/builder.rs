//! Small models, written down as a list of nodes.

use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::criteria::scores;
use crate::dimensions::{Analysis, InputSizes};
use crate::graph::Graph;
use crate::onnx::proto::attribute_proto::AttributeType;
use crate::onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto, type_proto,
};
use crate::onnx::{ElementType, Model, from_raw};
use crate::ops::{CONTRIB, CutRules, GroupCut, Premises};
use crate::plan::{Plan, RoundTo, Settings};
use crate::search::select;

/// Value of an attribute.
#[derive(Clone)]
pub(in crate::tests) enum Value {
    Int(i64),
    Ints(Vec<i64>),
    Float(f32),
    Floats(Vec<f32>),
    Text(&'static str),
    Tensor(Box<TensorProto>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(value)
    }
}

impl From<f32> for Value {
    fn from(value: f32) -> Value {
        Value::Float(value)
    }
}

impl From<&'static str> for Value {
    fn from(value: &'static str) -> Value {
        Value::Text(value)
    }
}

impl<const N: usize> From<[i64; N]> for Value {
    fn from(value: [i64; N]) -> Value {
        Value::Ints(value.into())
    }
}

impl<const N: usize> From<[f32; N]> for Value {
    fn from(value: [f32; N]) -> Value {
        Value::Floats(value.into())
    }
}

pub(in crate::tests) type Attributes<'a> = &'a [(&'static str, Value)];

/// A size of an input: known, or a name.
#[derive(Clone)]
pub(in crate::tests) enum Size {
    Known(i64),
    Named(&'static str),
}

impl From<i64> for Size {
    fn from(size: i64) -> Size {
        Size::Known(size)
    }
}

impl From<&'static str> for Size {
    fn from(name: &'static str) -> Size {
        Size::Named(name)
    }
}

#[derive(Clone)]
pub(in crate::tests) struct Builder {
    pub(in crate::tests) opset: i64,
    graph: GraphProto,
}

pub(in crate::tests) fn info(name: &str, element: ElementType, shape: &[Size]) -> ValueInfoProto {
    use tensor_shape_proto::dimension::Value;
    let dim = |size: &Size| tensor_shape_proto::Dimension {
        value: Some(match size {
            Size::Known(size) => Value::DimValue(*size),
            Size::Named(name) => Value::DimParam((*name).to_owned()),
        }),
        ..Default::default()
    };
    let tensor = type_proto::Tensor {
        elem_type: Some(element.number()),
        shape: Some(TensorShapeProto {
            dim: shape.iter().map(dim).collect(),
        }),
    };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

pub(in crate::tests) fn floats(name: &str, dims: &[usize], numbers: &[f32]) -> TensorProto {
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    from_raw(name, ElementType::Float, dims, bytes)
}

/// Random numbers that depend on the name alone.
pub(in crate::tests) fn noise(name: &str, dims: &[usize]) -> TensorProto {
    let seed = *blake3::hash(name.as_bytes()).as_bytes();
    let mut generator = ChaCha8Rng::from_seed(seed);
    let count: usize = dims.iter().product();
    let numbers: Vec<f32> = (0..count)
        .map(|_| generator.random_range(-1.0..1.0))
        .collect();
    floats(name, dims, &numbers)
}

impl Builder {
    pub(in crate::tests) fn new(opset: i64) -> Builder {
        Builder {
            opset,
            graph: GraphProto {
                name: Some("test".to_owned()),
                ..GraphProto::default()
            },
        }
    }

    pub(in crate::tests) fn input(self, name: &str, shape: &[i64]) -> Builder {
        let shape: Vec<Size> = shape.iter().map(|&size| size.into()).collect();
        self.input_of(name, ElementType::Float, &shape)
    }

    pub(in crate::tests) fn input_of(
        mut self,
        name: &str,
        element: ElementType,
        shape: &[Size],
    ) -> Builder {
        self.graph.input.push(info(name, element, shape));
        self
    }

    pub(in crate::tests) fn weight(self, name: &str, dims: &[usize]) -> Builder {
        let tensor = noise(name, dims);
        self.tensor(tensor)
    }

    pub(in crate::tests) fn tensor(mut self, tensor: TensorProto) -> Builder {
        self.graph.initializer.push(tensor);
        self
    }

    pub(in crate::tests) fn ints(self, name: &str, numbers: &[i64]) -> Builder {
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.tensor(from_raw(name, ElementType::Int64, &[numbers.len()], bytes))
    }

    pub(in crate::tests) fn scalar(self, name: &str, number: i64) -> Builder {
        self.tensor(from_raw(
            name,
            ElementType::Int64,
            &[],
            number.to_le_bytes().to_vec(),
        ))
    }

    /// `inputs -> outputs`, separated by blanks; `-` leaves one out. The operator of a domain stands behind it and a dot.
    pub(in crate::tests) fn node(
        mut self,
        operator: &str,
        wiring: &str,
        attributes: Attributes,
    ) -> Builder {
        let (inputs, outputs) = wiring.split_once("->").expect("inputs -> outputs");
        let names = |list: &str| -> Vec<String> {
            list.split_whitespace()
                .map(|n| n.replace('-', ""))
                .collect()
        };
        let attribute = |(name, value): &(&'static str, Value)| {
            let mut proto = AttributeProto {
                name: Some((*name).to_owned()),
                ..AttributeProto::default()
            };
            let kind = match value.clone() {
                Value::Int(value) => {
                    proto.i = Some(value);
                    AttributeType::Int
                }
                Value::Ints(values) => {
                    proto.ints = values;
                    AttributeType::Ints
                }
                Value::Float(value) => {
                    proto.f = Some(value);
                    AttributeType::Float
                }
                Value::Floats(values) => {
                    proto.floats = values;
                    AttributeType::Floats
                }
                Value::Text(text) => {
                    proto.s = Some(text.into());
                    AttributeType::String
                }
                Value::Tensor(tensor) => {
                    proto.t = Some(*tensor);
                    AttributeType::Tensor
                }
            };
            proto.r#type = Some(kind as i32);
            proto
        };
        let number = self.graph.node.len();
        let (domain, operator) = operator.rsplit_once('.').unwrap_or(("", operator));
        self.graph.node.push(NodeProto {
            op_type: Some(operator.to_owned()),
            domain: (!domain.is_empty()).then(|| domain.to_owned()),
            name: Some(format!("{operator}{number}")),
            input: names(inputs),
            output: names(outputs),
            attribute: attributes.iter().map(attribute).collect(),
            ..NodeProto::default()
        });
        self
    }

    /// Gives the last node a body.
    pub(in crate::tests) fn body(mut self, attribute: &str, body: Builder) -> Builder {
        let node = self.graph.node.last_mut().expect("a node");
        node.attribute.push(AttributeProto {
            name: Some(attribute.to_owned()),
            g: Some(body.graph),
            r#type: Some(AttributeType::Graph as i32),
            ..AttributeProto::default()
        });
        self
    }

    /// As [`Builder::node`], of onnxruntime's own operators.
    pub(in crate::tests) fn contrib(
        self,
        operator: &str,
        wiring: &str,
        attributes: Attributes,
    ) -> Builder {
        let mut builder = self.node(operator, wiring, attributes);
        let made = builder.graph.node.last_mut().expect("a node");
        made.domain = Some(CONTRIB.to_owned());
        builder
    }

    pub(in crate::tests) fn output(self, name: &str) -> Builder {
        self.output_of(name, ElementType::Float)
    }

    /// As [`Builder::output`], of these sizes.
    pub(in crate::tests) fn declared(mut self, name: &str, shape: &[Size]) -> Builder {
        let declared = info(name, ElementType::Float, shape);
        self.graph.output.push(declared);
        self
    }

    pub(in crate::tests) fn output_of(mut self, name: &str, element: ElementType) -> Builder {
        let mut declared = info(name, element, &[]);
        if let Some(type_proto::Value::TensorType(tensor)) =
            declared.r#type.as_mut().and_then(|t| t.value.as_mut())
        {
            tensor.shape = None;
        }
        self.graph.output.push(declared);
        self
    }

    pub(in crate::tests) fn graph_proto(&mut self) -> &mut GraphProto {
        &mut self.graph
    }

    pub(in crate::tests) fn proto(self) -> ModelProto {
        let import = |domain: &str, version: i64| OperatorSetIdProto {
            domain: Some(domain.to_owned()),
            version: Some(version),
        };
        let domains = self
            .graph
            .node
            .iter()
            .filter_map(|node| node.domain.clone());
        let domains: BTreeSet<String> = domains.collect();
        let own = std::iter::once(import("", self.opset));
        ModelProto {
            ir_version: Some(8),
            opset_import: own
                .chain(domains.iter().map(|domain| import(domain, 1)))
                .collect(),
            graph: Some(self.graph),
            ..ModelProto::default()
        }
    }

    pub(in crate::tests) fn model(self) -> Model {
        use prost::Message;
        Model::from_bytes(self.proto().encode_to_vec()).expect("the test model is valid")
    }
}

pub(in crate::tests) fn analyse(model: &Model) -> Analysis {
    analyse_cutting(model, GroupCut::default())
}

/// As [`analyse`], with this of grouped convolutions as what may go.
pub(in crate::tests) fn analyse_cutting(model: &Model, groups: GroupCut) -> Analysis {
    let graph = Graph::new(model).expect("the test model is a graph");
    let sizes = InputSizes::for_graph(&graph, &[]).expect("no sizes are given");
    let premises = Premises {
        cuts: CutRules {
            groups,
            ..CutRules::default()
        },
        ..Premises::default()
    };
    Analysis::with(graph, sizes, premises)
}

/// What these settings leave of a model.
pub(in crate::tests) fn planned(analysis: &Analysis, settings: &Settings) -> Plan {
    let scores = scores(analysis, settings.criterion(), settings.seed).expect("scores");
    let selection = select(analysis, &scores, settings).expect("a selection");
    Plan::new(analysis, &selection, &scores, settings)
}

/// Half of every dimension, whatever kernels like.
pub(in crate::tests) fn halves() -> Settings {
    Settings {
        round_to: RoundTo::Multiple(1),
        ..Settings::default()
    }
}
