//! Nodes that reduce a layer's data to statistics of its columns.

use std::collections::HashMap;

use crate::graph::{Attributes, Graph, NodeId};
use crate::layers::Layer;
use crate::onnx::proto::attribute_proto::AttributeType;
use crate::onnx::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};
use crate::onnx::{ElementType, from_raw};
use crate::ops::{Linear, Role};

use super::walk::Wanted;

/// Attributes that say how a window slides.
const WINDOW: [&str; 4] = ["strides", "pads", "dilations", "auto_pad"];
/// Version of the operator set from which reductions take their axes as an input.
const AXES_AS_INPUT: i64 = 18;

/// How a layer's columns are made of its data.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Columns {
    /// Data axes whose positions have statistics of their own.
    pub(super) batches: Vec<usize>,
    /// Data axes that are columns, in the order of the weight's axes.
    pub(super) columns: Vec<usize>,
    /// Blocks of axis 1 with statistics of their own.
    pub(super) groups: usize,
    /// Sizes of a window that slides over the axes from 2 on, with the node that says how.
    pub(super) window: Option<(Vec<usize>, NodeId)>,
    /// Number of columns of each block.
    pub(super) width: usize,
    /// Rank of the data.
    pub(super) rank: usize,
    /// Channels of the data, where a window slides.
    pub(super) channels: usize,
}

impl Columns {
    /// How the columns of `layer` are made at one of its uses, where the data has this rank.
    pub(super) fn of(layer: &Layer, linear: &Linear, rank: usize) -> Columns {
        let mut out = Columns {
            batches: Vec::new(),
            columns: Vec::new(),
            groups: linear.groups,
            window: None,
            width: layer.columns(),
            rank,
            channels: layer.reduction() * linear.groups,
        };
        for role in &linear.roles {
            match role {
                Role::Batch(Some(axis)) => out.batches.push(*axis),
                Role::Reduction(axis) => out.columns.push(*axis),
                Role::Kernel | Role::Batch(None) | Role::Row(_) => {}
            }
        }
        if linear.roles.contains(&Role::Kernel) {
            let sizes = layer.columns.iter().enumerate();
            let window = sizes.filter(|(place, _)| Some(*place) != layer.reduction);
            let window = window.map(|(_, axis)| axis.size).collect();
            out.window = Some((window, linear.node));
        }
        out
    }

    /// True if the data is laid out as samples, channels, places.
    fn is_spatial(&self) -> bool {
        self.window.is_some() || self.groups > 1
    }
}

/// Appends nodes to a graph; equal requests share them.
pub(super) struct Taps<'a> {
    pub(super) graph: &'a Graph,
    pub(super) proto: &'a mut GraphProto,
    pub(super) opset: i64,
    made: HashMap<String, String>,
    count: usize,
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(kind as i32),
        ..AttributeProto::default()
    }
}

impl<'a> Taps<'a> {
    pub(super) fn new(graph: &'a Graph, proto: &'a mut GraphProto) -> Taps<'a> {
        Taps {
            opset: graph.model().opset(),
            graph,
            proto,
            made: HashMap::new(),
            count: 0,
        }
    }

    /// Names of the statistics of `data` and of the shape `[batches, rows, columns]` that they are made of.
    pub(super) fn tap(
        &mut self,
        data: &str,
        columns: &Columns,
        wanted: Wanted,
    ) -> (String, String) {
        let key = format!("{data} {columns:?}");
        let matrix = match self.made.get(&key) {
            Some(name) => name.clone(),
            None => {
                let name = self.matrix(data, columns);
                self.made.insert(key.clone(), name.clone());
                name
            }
        };
        let statistic = self.shared(&format!("{key} {wanted:?}"), |taps| match wanted {
            Wanted::Norms => taps.squares(&matrix),
            Wanted::Grams => {
                let turned = taps.transpose(&matrix, &[0, 2, 1]);
                taps.node("MatMul", &[&turned, &matrix], Vec::new())
            }
        });
        let shape = self.shared(&format!("{key} shape"), |taps| {
            taps.node("Shape", &[&matrix], Vec::new())
        });
        (statistic, shape)
    }

    fn shared(&mut self, key: &str, make: impl FnOnce(&mut Self) -> String) -> String {
        if let Some(name) = self.made.get(key) {
            return name.clone();
        }
        let name = make(self);
        self.made.insert(key.to_owned(), name.clone());
        name
    }

    /// The data as `[batches, rows, columns]` in 32 bits.
    fn matrix(&mut self, data: &str, columns: &Columns) -> String {
        let mut to = attribute("to", AttributeType::Int);
        to.i = Some(ElementType::Float.number().into());
        let mut x = self.node("Cast", &[data], vec![to]);
        if !columns.is_spatial() {
            let rest = (0..columns.rank)
                .filter(|axis| !columns.batches.contains(axis) && !columns.columns.contains(axis));
            let order = columns
                .batches
                .iter()
                .copied()
                .chain(rest)
                .chain(columns.columns.iter().copied());
            let order: Vec<usize> = order.collect();
            // Batches come first, so their number is known from the sizes that follow.
            x = self.transpose(&x, &order);
            return match columns.batches.len() {
                0 => self.reshape(&x, &[1, -1, columns.width as i64]),
                1 => self.reshape(&x, &[0, -1, columns.width as i64]),
                _ => self.flattened(&x, columns),
            };
        }
        if let Some((sizes, node)) = &columns.window {
            x = self.unfolded(&x, sizes, *node, columns.channels);
        }
        let (groups, width) = (columns.groups as i64, columns.width as i64);
        x = self.reshape(&x, &[0, groups, width, -1]);
        x = self.transpose(&x, &[1, 0, 3, 2]);
        self.reshape(&x, &[groups, -1, width])
    }

    /// Joins several batch axes at the front, whose sizes are known at run time only.
    fn flattened(&mut self, x: &str, columns: &Columns) -> String {
        let mut axis = attribute("axis", AttributeType::Int);
        axis.i = Some(columns.batches.len() as i64);
        // [b1, b2, rows.., columns..] -> [b1 * b2, rest] -> [b1 * b2, rows, columns]
        let flat = self.node("Flatten", &[x], vec![axis]);
        self.reshape(&flat, &[0, -1, columns.width as i64])
    }

    /// Windows as channels, channel by channel: a convolution with one filter per place of the window. The
    /// channels are taken as samples, since not every provider is right about grouped convolutions that
    /// multiply channels (seen: WebGPU).
    fn unfolded(&mut self, x: &str, sizes: &[usize], node: NodeId, channels: usize) -> String {
        let window: usize = sizes.iter().product();
        let proto = self.graph.node_proto(node);
        let slides = |name: &str, still: i64| {
            proto
                .ints(name)
                .is_some_and(|list| list.iter().any(|&n| n != still))
        };
        if window == 1 && !slides("strides", 1) && !slides("pads", 0) {
            return x.to_owned();
        }
        let mut filters = vec![0_f32; window * window];
        (0..window).for_each(|place| filters[place * window + place] = 1.0);
        let bytes: Vec<u8> = filters.iter().flat_map(|f| f.to_le_bytes()).collect();
        let mut dims = vec![window, 1];
        dims.extend(sizes);
        let filters = self.constant(ElementType::Float, &dims, bytes);
        let attributes: Vec<AttributeProto> = WINDOW
            .iter()
            .filter_map(|name| proto.attribute(name).cloned())
            .collect();
        let mut single = vec![-1, 1];
        single.resize(2 + sizes.len(), 0);
        let x = self.reshape(x, &single);
        let x = self.node("Conv", &[&x, &filters], attributes);
        let x = self.reshape(&x, &[0, 0, -1]);
        self.reshape(&x, &[-1, (channels * window) as i64, 0])
    }

    /// Sums of squares over the rows.
    fn squares(&mut self, matrix: &str) -> String {
        let mut keep = attribute("keepdims", AttributeType::Int);
        keep.i = Some(0);
        if self.opset >= AXES_AS_INPUT {
            let axes = self.constant(ElementType::Int64, &[1], 1_i64.to_le_bytes().to_vec());
            return self.node("ReduceSumSquare", &[matrix, &axes], vec![keep]);
        }
        let mut axes = attribute("axes", AttributeType::Ints);
        axes.ints = vec![1];
        self.node("ReduceSumSquare", &[matrix], vec![keep, axes])
    }

    fn reshape(&mut self, x: &str, shape: &[i64]) -> String {
        let bytes: Vec<u8> = shape.iter().flat_map(|n| n.to_le_bytes()).collect();
        let shape = self.constant(ElementType::Int64, &[shape.len()], bytes);
        self.node("Reshape", &[x, &shape], Vec::new())
    }

    fn transpose(&mut self, x: &str, order: &[usize]) -> String {
        if order.iter().enumerate().all(|(place, &axis)| place == axis) {
            return x.to_owned();
        }
        let mut perm = attribute("perm", AttributeType::Ints);
        perm.ints = order.iter().map(|&axis| axis as i64).collect();
        self.node("Transpose", &[x], vec![perm])
    }

    fn constant(&mut self, element: ElementType, dims: &[usize], bytes: Vec<u8>) -> String {
        let name = self.fresh();
        let tensor: TensorProto = from_raw(&name, element, dims, bytes);
        self.proto.initializer.push(tensor);
        name
    }

    fn node(&mut self, operator: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let output = self.fresh();
        self.proto.node.push(NodeProto {
            op_type: Some(operator.to_owned()),
            name: Some(output.clone()),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.clone()],
            attribute: attributes,
            ..NodeProto::default()
        });
        output
    }

    fn fresh(&mut self) -> String {
        loop {
            self.count += 1;
            let name = format!("secateur.tap.{}", self.count);
            if self.graph.find(&name).is_none() {
                return name;
            }
        }
    }
}
