//! Nodes that reduce a layer's data to statistics of its columns.

use std::collections::HashMap;

use faer::Mat;

use crate::graph::{Graph, NodeId, Patch, declaration, int, ints, text};
use crate::onnx::ElementType;
use crate::onnx::proto::{AttributeProto, GraphProto};
use crate::ops::Window;

use super::columns::{Columns, Rows};

/// Start of the names of nodes that are appended.
const TAP: &str = "secateur.tap";

/// Appends nodes to a part of a graph; equal requests share them.
pub(crate) struct Taps<'a> {
    graph: &'a Graph,
    patch: Patch,
    made: HashMap<String, String>,
}

impl<'a> Taps<'a> {
    pub(crate) fn new(graph: &'a Graph) -> Taps<'a> {
        Taps {
            patch: Patch::of(graph),
            graph,
            made: HashMap::new(),
        }
    }

    /// Appends what was made.
    pub(crate) fn apply(self, proto: &mut GraphProto) {
        self.patch.apply(proto);
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

    /// Several values as one, by the equation of an Einsum.
    pub(crate) fn joint(&mut self, values: &[&str], equation: &str) -> String {
        let key = format!("{values:?} {equation}");
        self.shared(&key, |taps| {
            taps.node("Einsum", values, vec![text("equation", equation)])
        })
    }

    /// 1 where a number is zero, else 0.
    pub(crate) fn zeros(&mut self, matrix: &str) -> String {
        self.patch.zeros(TAP, matrix)
    }

    /// A node once more with outputs of its own; their names.
    pub(crate) fn copied(&mut self, node: NodeId) -> Vec<String> {
        self.patch
            .copy("secateur.copy", self.graph.node_proto(node))
    }

    fn as_floats(&mut self, data: &str) -> String {
        self.patch.cast(TAP, data, ElementType::Float)
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
        let axis = int("axis", columns.batches.len() as i64);
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
        let axis = int("axis", 2);
        let matrices: Vec<&str> = matrices.iter().map(String::as_str).collect();
        self.node("Concat", &matrices, vec![axis])
    }

    /// The positions `kept` of an axis.
    pub(crate) fn kept(&mut self, data: &str, axis: usize, kept: &[u32]) -> String {
        let places: Vec<i64> = kept.iter().map(|&at| i64::from(at)).collect();
        let places = self.patch.integers(TAP, &places);
        self.node("Gather", &[data, &places], vec![int("axis", axis as i64)])
    }

    /// A value that layers make as `[groups, rows, rows of the weight]` in 32 bits; its other axes are in the
    /// order of the layers' columns.
    pub(crate) fn rows(&mut self, value: &str, layout: &Rows) -> String {
        let x = self.as_floats(value);
        let rest = (0..layout.rank).filter(|&axis| axis != layout.axis);
        let order: Vec<usize> = rest.chain([layout.axis]).collect();
        let x = self.transpose(&x, &order);
        let axis = int("axis", layout.rank as i64 - 1);
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
        // Below the minimum and above the maximum what was made is free to follow.
        for (side, compares) in [(0, "Less"), (1, "Greater")] {
            let bound = bounds[side];
            if bound.is_infinite() {
                continue;
            }
            let limits = [None, Some(bound)];
            let (outwards, inwards) = match side {
                0 => (limits, [limits[1], limits[0]]),
                _ => ([limits[1], limits[0]], limits),
            };
            let bytes = bound.to_le_bytes().to_vec();
            let limit = self.constant(ElementType::Float, &[], bytes);
            let free = self.patch.clip(TAP, &made, outwards[0], outwards[1]);
            let inside = self.pair(compares, &limit, &wanted);
            moved = self.patch.choose(TAP, &inside, &moved, &free);
            error = error.map(|rows| self.patch.clip(TAP, &rows, inwards[0], inwards[1]));
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
        let name = self.patch.fresh(&format!("{TAP}.{what}"));
        self.patch.input(declaration(
            &name,
            Some(ElementType::Float),
            Some(&vec![None; rank]),
        ));
        name
    }

    /// Makes a value an output.
    pub(crate) fn output(&mut self, name: &str, element: ElementType) {
        self.patch.output(declaration(name, Some(element), None));
    }

    /// Reduces the rows of `[batches, rows, columns]`.
    pub(crate) fn reduce(&mut self, operator: &str, matrix: &str) -> String {
        self.patch.reduce(TAP, operator, matrix, &[1], false)
    }

    fn reshape(&mut self, x: &str, shape: &[i64]) -> String {
        let shape = self.patch.integers(TAP, shape);
        self.node("Reshape", &[x, &shape], Vec::new())
    }

    fn transpose(&mut self, x: &str, order: &[usize]) -> String {
        if order.iter().enumerate().all(|(place, &axis)| place == axis) {
            return x.to_owned();
        }
        let order: Vec<i64> = order.iter().map(|&axis| axis as i64).collect();
        self.node("Transpose", &[x], vec![ints("perm", &order)])
    }

    fn constant(&mut self, element: ElementType, dims: &[usize], bytes: Vec<u8>) -> String {
        self.patch.constant(TAP, element, dims, bytes)
    }

    pub(crate) fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        self.patch.node(TAP, operator, inputs, attributes)
    }
}
