//! Nodes that reduce a layer's data to statistics of its columns.

use std::collections::HashMap;

use faer::Mat;

use super::segment::info;
use crate::graph::{Graph, NodeId};
use crate::onnx::proto::attribute_proto::AttributeType;
use crate::onnx::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};
use crate::onnx::{ElementType, from_raw};
use crate::ops::Window;

use super::columns::{Columns, Rows};

/// Version of the operator set from which reductions take their axes as an input; ReduceSum was the first.
const AXES_AS_INPUT: i64 = 18;
const SUM_AXES_AS_INPUT: i64 = 13;

/// Appends nodes to a graph; equal requests share them.
pub(crate) struct Taps<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) proto: &'a mut GraphProto,
    pub(crate) opset: i64,
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
    pub(crate) fn new(graph: &'a Graph, proto: &'a mut GraphProto) -> Taps<'a> {
        Taps {
            opset: graph.model().opset(),
            graph,
            proto,
            made: HashMap::new(),
            count: 0,
        }
    }

    /// Names of the columns of `data`, `[batches, rows, columns]` in 32 bits, and of their shape.
    pub(crate) fn columns(&mut self, data: &str, columns: &Columns) -> (String, String) {
        let key = format!("{data} {columns:?}");
        let matrix = self.shared(&key, |taps| taps.matrix(data, columns));
        let shape = self.shared(&format!("{matrix} shape"), |taps| {
            taps.node("Shape", &[&matrix], Vec::new())
        });
        (matrix, shape)
    }

    /// `a^T b`, batch by batch: sums over rows.
    pub(crate) fn products(&mut self, a: &str, b: &str) -> String {
        let turned = self.transpose(a, &[0, 2, 1]);
        self.node("MatMul", &[&turned, b], Vec::new())
    }

    pub(crate) fn as_floats(&mut self, data: &str) -> String {
        let mut to = attribute("to", AttributeType::Int);
        to.i = Some(ElementType::Float.number().into());
        self.node("Cast", &[data], vec![to])
    }

    pub(crate) fn shared(&mut self, key: &str, make: impl FnOnce(&mut Self) -> String) -> String {
        if let Some(name) = self.made.get(key) {
            return name.clone();
        }
        let name = make(self);
        self.made.insert(key.to_owned(), name.clone());
        name
    }

    /// The data as `[batches, rows, columns]` in 32 bits.
    fn matrix(&mut self, data: &str, columns: &Columns) -> String {
        let mut x = self.as_floats(data);
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
        let slides = Window::of(proto, sizes.len()).is_none_or(|window| !window.is_everywhere());
        if window == 1 && !slides {
            return x.to_owned();
        }
        let mut filters = vec![0_f32; window * window];
        (0..window).for_each(|place| filters[place * window + place] = 1.0);
        let bytes: Vec<u8> = filters.iter().flat_map(|f| f.to_le_bytes()).collect();
        let mut dims = vec![window, 1];
        dims.extend(sizes);
        let filters = self.constant(ElementType::Float, &dims, bytes);
        let attributes = Window::attributes(proto);
        let mut single = vec![-1, 1];
        single.resize(2 + sizes.len(), 0);
        let x = self.reshape(x, &single);
        let x = self.node("Conv", &[&x, &filters], attributes);
        let x = self.reshape(&x, &[0, 0, -1]);
        self.reshape(&x, &[-1, (channels * window) as i64, 0])
    }

    /// `[batches, rows, columns]` of several layers side by side.
    pub(crate) fn joined(&mut self, matrices: &[String]) -> String {
        if let [only] = matrices {
            return only.clone();
        }
        let mut axis = attribute("axis", AttributeType::Int);
        axis.i = Some(2);
        let matrices: Vec<&str> = matrices.iter().map(String::as_str).collect();
        self.node("Concat", &matrices, vec![axis])
    }

    /// The positions `kept` of an axis.
    pub(crate) fn kept(&mut self, data: &str, axis: usize, kept: &[u32]) -> String {
        let places = kept.iter().flat_map(|&at| i64::from(at).to_le_bytes());
        let places = self.constant(ElementType::Int64, &[kept.len()], places.collect());
        let mut along = attribute("axis", AttributeType::Int);
        along.i = Some(axis as i64);
        self.node("Gather", &[data, &places], vec![along])
    }

    /// A value that layers make as `[groups, rows, rows of the weight]` in 32 bits; its other axes are in the
    /// order of the layers' columns.
    pub(crate) fn rows(&mut self, value: &str, layout: &Rows) -> String {
        let x = self.as_floats(value);
        let rest = (0..layout.rank).filter(|&axis| axis != layout.axis);
        let order: Vec<usize> = rest.chain([layout.axis]).collect();
        let x = self.transpose(&x, &order);
        let mut axis = attribute("axis", AttributeType::Int);
        axis.i = Some(layout.rank as i64 - 1);
        let x = self.node("Flatten", &[&x], vec![axis]);
        let x = self.reshape(&x, &[0, layout.groups as i64, -1]);
        self.transpose(&x, &[1, 0, 2])
    }

    /// Columns times the transposed weights, by batch.
    pub(crate) fn product(&mut self, columns: &str, weights: &[Mat<f64>]) -> String {
        let (rows, width) = weights.first().map_or((0, 0), |w| (w.nrows(), w.ncols()));
        let numbers = weights.iter().flat_map(|matrix| {
            (0..width).flat_map(move |j| (0..rows).map(move |i| matrix[(i, j)] as f32))
        });
        let bytes: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
        let weights = self.constant(ElementType::Float, &[weights.len(), width, rows], bytes);
        self.node("MatMul", &[columns, &weights], Vec::new())
    }

    /// A node of two inputs.
    pub(crate) fn pair(&mut self, operator: &str, a: &str, b: &str) -> String {
        self.node(operator, &[a, b], Vec::new())
    }

    pub(crate) fn shape(&mut self, matrix: &str) -> String {
        self.node("Shape", &[matrix], Vec::new())
    }

    /// For rows `made` that are to be `target` before an activation between `bounds`, with `others` added to
    /// both: the targets that the activation allows nearest to what was made, and the error behind it.
    pub(crate) fn behind(
        &mut self,
        made: &str,
        target: &str,
        others: Option<&str>,
        bounds: [f32; 2],
    ) -> (String, String) {
        let whole = |taps: &mut Self, rows: &str| match others {
            Some(others) => taps.pair("Add", rows, others),
            None => rows.to_owned(),
        };
        let (made, wanted) = (whole(self, made), whole(self, target));
        let (mut moved, mut error) = (wanted.clone(), [made.clone(), wanted.clone()]);
        // Which operator leaves what is outside a bound, which what is inside, and which tells them apart.
        let sides = [("Min", "Max", "Less"), ("Max", "Min", "Greater")];
        for (bound, (outwards, inwards, compares)) in bounds.into_iter().zip(sides) {
            if bound.is_infinite() {
                continue;
            }
            let bound = self.constant(ElementType::Float, &[], bound.to_le_bytes().to_vec());
            let free = self.pair(outwards, &made, &bound);
            let inside = self.pair(compares, &bound, &wanted);
            moved = self.node("Where", &[&inside, &moved, &free], Vec::new());
            error = error.map(|rows| self.pair(inwards, &rows, &bound));
        }
        let error = self.pair("Sub", &error[0], &error[1]);
        let moved = match others {
            Some(others) => self.pair("Sub", &moved, others),
            None => moved,
        };
        (moved, error)
    }

    /// A new graph input of 32-bit numbers.
    pub(crate) fn input(&mut self, what: &str, rank: usize) -> String {
        let name = format!("{}.{what}", self.fresh());
        let declared = info(&name, Some(ElementType::Float), Some(rank));
        self.proto.input.push(declared);
        name
    }

    /// Makes a value an output.
    pub(crate) fn output(&mut self, name: &str, element: ElementType) {
        if self.proto.output.iter().all(|output| output.name() != name) {
            self.proto.output.push(info(name, Some(element), None));
        }
    }

    /// Reduces the rows of `[batches, rows, columns]`.
    pub(crate) fn reduce(&mut self, operator: &str, matrix: &str) -> String {
        let mut keep = attribute("keepdims", AttributeType::Int);
        keep.i = Some(0);
        let since = if operator == "ReduceSum" {
            SUM_AXES_AS_INPUT
        } else {
            AXES_AS_INPUT
        };
        if self.opset >= since {
            let axes = self.constant(ElementType::Int64, &[1], 1_i64.to_le_bytes().to_vec());
            return self.node(operator, &[matrix, &axes], vec![keep]);
        }
        let mut axes = attribute("axes", AttributeType::Ints);
        axes.ints = vec![1];
        self.node(operator, &[matrix], vec![keep, axes])
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

    pub(crate) fn constant(
        &mut self,
        element: ElementType,
        dims: &[usize],
        bytes: Vec<u8>,
    ) -> String {
        let name = self.fresh();
        let tensor: TensorProto = from_raw(&name, element, dims, bytes);
        self.proto.initializer.push(tensor);
        name
    }

    pub(crate) fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
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
