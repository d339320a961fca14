//! Declarations of values: what a model says of its inputs and outputs.

use crate::axes::Extent;
use crate::onnx::proto::{
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto, type_proto,
};
use crate::onnx::{ElementType, Model};

/// One dimension of a declared shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeclaredSize {
    Known(i64),
    Named(String),
    Unknown,
}

impl DeclaredSize {
    pub(crate) fn of(dim: &tensor_shape_proto::Dimension) -> DeclaredSize {
        match &dim.value {
            Some(tensor_shape_proto::dimension::Value::DimValue(size)) => {
                DeclaredSize::Known(*size)
            }
            Some(tensor_shape_proto::dimension::Value::DimParam(name)) => {
                DeclaredSize::Named(name.clone())
            }
            None => DeclaredSize::Unknown,
        }
    }

    /// False where a size that is made is another for certain. Exporters write 0 for what they do not know.
    pub(crate) fn allows(&self, made: &Extent) -> bool {
        match (self, made.known()) {
            (DeclaredSize::Known(size), Some(made)) => *size <= 0 || *size == made,
            _ => true,
        }
    }
}

/// The declaration of a value. `shape` has a size where it is known.
pub(crate) fn declaration(
    name: &str,
    element: Option<ElementType>,
    shape: Option<&[Option<i64>]>,
) -> ValueInfoProto {
    typed(name, element.map(ElementType::number), shape)
}

/// The declaration of a value that is like a tensor.
pub(crate) fn declaration_of(tensor: &TensorProto) -> ValueInfoProto {
    let shape: Vec<Option<i64>> = tensor.dims.iter().map(|&size| Some(size)).collect();
    typed(tensor.name(), tensor.data_type, Some(&shape))
}

/// The model with more values as outputs.
pub(crate) fn tapped<'a>(model: &Model, values: impl IntoIterator<Item = &'a str>) -> Model {
    let mut proto = model.proto.clone();
    let graph = proto.graph.get_or_insert_default();
    for value in values {
        if graph.output.iter().all(|output| output.name() != value) {
            graph.output.push(declaration(value, None, None));
        }
    }
    model.with(proto, model.lazy.clone())
}

fn typed(name: &str, element: Option<i32>, shape: Option<&[Option<i64>]>) -> ValueInfoProto {
    let shape = shape.map(|sizes| TensorShapeProto {
        dim: sizes.iter().map(|&size| dimension(size)).collect(),
    });
    let tensor = element.map(|element| type_proto::Tensor {
        elem_type: Some(element),
        shape,
    });
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: tensor.map(|tensor| TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

fn dimension(size: Option<i64>) -> tensor_shape_proto::Dimension {
    tensor_shape_proto::Dimension {
        value: size.map(tensor_shape_proto::dimension::Value::DimValue),
        ..tensor_shape_proto::Dimension::default()
    }
}
