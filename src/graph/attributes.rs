//! Typed access to a node's attributes.

use crate::onnx::proto::{AttributeProto, GraphProto, NodeProto, attribute_proto::AttributeType};

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
    /// The graphs in all attributes: bodies of If, Loop and Scan.
    fn bodies(&self) -> impl Iterator<Item = &GraphProto>;
    /// As [`Attributes::bodies`], to be changed.
    fn bodies_mut(&mut self) -> impl Iterator<Item = &mut GraphProto>;
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

    fn bodies(&self) -> impl Iterator<Item = &GraphProto> {
        let held = self.attribute.iter();
        held.flat_map(|held| held.g.iter().chain(&held.graphs))
    }

    fn bodies_mut(&mut self) -> impl Iterator<Item = &mut GraphProto> {
        let held = self.attribute.iter_mut();
        held.flat_map(|held| held.g.iter_mut().chain(&mut held.graphs))
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

/// An integer attribute.
pub(crate) fn int(name: &str, number: i64) -> AttributeProto {
    AttributeProto {
        i: Some(number),
        ..attribute(name, AttributeType::Int)
    }
}

/// An attribute that is a list of integers.
pub(crate) fn ints(name: &str, numbers: &[i64]) -> AttributeProto {
    AttributeProto {
        ints: numbers.to_vec(),
        ..attribute(name, AttributeType::Ints)
    }
}

/// A real attribute.
pub(crate) fn float(name: &str, number: f32) -> AttributeProto {
    AttributeProto {
        f: Some(number),
        ..attribute(name, AttributeType::Float)
    }
}

/// A string attribute.
pub(crate) fn text(name: &str, text: &str) -> AttributeProto {
    AttributeProto {
        s: Some(text.to_owned().into()),
        ..attribute(name, AttributeType::String)
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(kind as i32),
        ..AttributeProto::default()
    }
}
