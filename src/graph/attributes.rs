//! Typed access to a node's attributes.

use crate::onnx::proto::{AttributeProto, NodeProto, attribute_proto::AttributeType};

/// Reading attributes by name.
pub(crate) trait Attributes {
    /// The attribute called `name`.
    fn attribute(&self, name: &str) -> Option<&AttributeProto>;
    /// An integer attribute.
    fn int(&self, name: &str) -> Option<i64>;
    /// A list of integers.
    fn ints(&self, name: &str) -> Option<&[i64]>;
    /// A string attribute; `None` also where it is not UTF-8.
    fn string(&self, name: &str) -> Option<&str>;
    /// Sets an integer attribute.
    fn set_int(&mut self, name: &str, value: i64);
    /// Sets a list of integers.
    fn set_ints(&mut self, name: &str, values: Vec<i64>);
    /// Sets a real attribute.
    fn set_float(&mut self, name: &str, value: f32);
}

impl Attributes for NodeProto {
    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|a| a.name() == name)
    }

    fn int(&self, name: &str) -> Option<i64> {
        self.attribute(name).and_then(|a| a.i)
    }

    fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|a| a.ints.as_slice())
    }

    fn string(&self, name: &str) -> Option<&str> {
        let bytes = self.attribute(name)?.s.as_ref()?;
        std::str::from_utf8(bytes).ok()
    }

    fn set_int(&mut self, name: &str, value: i64) {
        replace(
            self,
            AttributeProto {
                name: Some(name.to_owned()),
                r#type: Some(AttributeType::Int as i32),
                i: Some(value),
                ..AttributeProto::default()
            },
        );
    }

    fn set_ints(&mut self, name: &str, values: Vec<i64>) {
        replace(
            self,
            AttributeProto {
                name: Some(name.to_owned()),
                r#type: Some(AttributeType::Ints as i32),
                ints: values,
                ..AttributeProto::default()
            },
        );
    }

    fn set_float(&mut self, name: &str, value: f32) {
        replace(
            self,
            AttributeProto {
                name: Some(name.to_owned()),
                r#type: Some(AttributeType::Float as i32),
                f: Some(value),
                ..AttributeProto::default()
            },
        );
    }
}

fn replace(node: &mut NodeProto, attribute: AttributeProto) {
    let place = node.attribute.iter().position(|a| a.name == attribute.name);
    match place {
        Some(place) => node.attribute[place] = attribute,
        None => node.attribute.push(attribute),
    }
}
