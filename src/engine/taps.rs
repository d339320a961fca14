//! Nodes that reduce a layer's data to statistics of its columns.

use std::collections::HashMap;

use faer::Mat;

use crate::graph::{Graph, NodeId, Patch, declaration, int, ints, text};
use crate::onnx::ElementType;
use crate::onnx::proto::{AttributeProto, GraphProto};
use crate::ops::Window;

use super::columns::{Columns, Rows};
use super::matrices::{Tapped, Unfolding};
use super::sampling::{Positions, Sampling};

/// Start of the names of nodes that are appended.
const TAP: &str = "secateur.tap";

/// Appends nodes to a part of a graph; equal requests share them.
pub(crate) struct Taps<'a> {
    graph: &'a Graph,
    patch: Patch,
    made: HashMap<String, String>,
    positions: Vec<Positions>,
}

impl<'a> Taps<'a> {
    pub(crate) fn new(graph: &'a Graph) -> Taps<'a> {
        Taps {
            patch: Patch::of(graph),
            graph,
            made: HashMap::new(),
            positions: Vec::new(),
        }
    }

    /// Appends what was made; returns the inputs that say which places are looked at.
    pub(crate) fn apply(self, proto: &mut GraphProto) -> Vec<Positions> {
        self.patch.apply(proto);
        self.positions
    }

    /// The columns of `data` as rows to look at.
    pub(crate) fn looked_at(&mut self, data: &str, columns: &Columns) -> Tapped {
        match self.unfolding(columns) {
            Some(unfolding) => Tapped {
                name: self.shared(&format!("{data} floats"), |taps| taps.as_floats(data)),
                unfolding: Some(unfolding),
            },
            None => Tapped {
                name: self.columns(data, columns),
                unfolding: None,
            },
        }
    }

    /// How windows at places that are known are laid out; none for other data.
    fn unfolding(&self, columns: &Columns) -> Option<Unfolding> {
        let ((sizes, node), sampling) = columns.window.as_ref().zip(columns.sampling.as_ref())?;
        let window = Window::of(self.graph.node_proto(*node), sizes.len())?;
        let (strides, dilations) = window.steps();
        let pads = window.listed_pads().unwrap_or_default();
        let pads = pads.iter().copied().chain(std::iter::repeat(0));
        Some(Unfolding {
            groups: columns.groups,
            window: sizes.clone(),
            strides: strides.to_vec(),
            dilations: dilations.to_vec(),
            pads: pads.take(sizes.len()).collect(),
            sampling: sampling.clone(),
        })
    }

    /// Name of the columns of `data`, `[batches, rows, columns]` in 32 bits.
    pub(crate) fn columns(&mut self, data: &str, columns: &Columns) -> String {
        let key = format!("{data} {columns:?}");
        self.shared(&key, |taps| taps.matrix(data, columns))
    }

    /// Several values as one, by the equation of an Einsum.
    pub(crate) fn joint(&mut self, values: &[&str], equation: &str) -> String {
        let key = format!("{values:?} {equation}");
        self.shared(&key, |taps| {
            taps.node("Einsum", values, vec![text("equation", equation)])
        })
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
            x = self.unfolded(&x, sizes, *node, columns);
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
    fn unfolded(&mut self, x: &str, sizes: &[usize], node: NodeId, columns: &Columns) -> String {
        let window: usize = sizes.iter().product();
        let proto = self.graph.node_proto(node);
        let slides = Window::of(proto, sizes.len());
        if window == 1 && slides.as_ref().is_some_and(Window::is_everywhere) {
            return self.places(x, columns.sampling.as_ref());
        }
        let mut filters = vec![0_f32; window * window];
        (0..window).for_each(|place| filters[place * window + place] = 1.0);
        let bytes: Vec<u8> = filters.iter().flat_map(|f| f.to_le_bytes()).collect();
        let mut dims = vec![window, 1];
        dims.extend(sizes);
        let filters = self.constant(ElementType::Float, &dims, bytes);
        let mut single = vec![-1, 1];
        single.resize(2 + sizes.len(), 0);
        let mut x = self.reshape(x, &single);
        let attributes = match slides.zip(columns.sampling.as_ref()) {
            Some((slides, sampling)) => {
                x = self.windows(&x, &slides, sizes, sampling);
                let strides: Vec<i64> = sizes.iter().map(|&size| size as i64).collect();
                vec![ints("strides", &strides)]
            }
            None => Window::attributes(proto),
        };
        let x = self.node("Conv", &[&x, &filters], attributes);
        let x = self.reshape(&x, &[0, 0, -1]);
        self.reshape(&x, &[-1, (columns.channels * window) as i64, 0])
    }

    /// The windows at the places that are looked at, side by side.
    fn windows(&mut self, x: &str, slides: &Window, sizes: &[usize], of: &Sampling) -> String {
        let (strides, dilations) = slides.steps();
        let mut x = x.to_owned();
        if let Some(pads) = slides.listed_pads() {
            // A convolution that only pads: Pad is another operator in every few versions.
            let one = 1.0_f32.to_le_bytes().to_vec();
            let one = self.constant(ElementType::Float, &vec![1; 2 + sizes.len()], one);
            x = self.node("Conv", &[&x, &one], vec![ints("pads", pads)]);
        }
        for (axis, &size) in sizes.iter().enumerate() {
            let steps = [strides[axis], dilations[axis]].map(|step| step as usize);
            x = self.positions(&x, axis, of, (steps[0], size, steps[1]));
        }
        x
    }

    /// The places of a value that are looked at.
    fn places(&mut self, x: &str, of: Option<&Sampling>) -> String {
        let axes = 0..of.map_or(0, |of| of.places.len());
        axes.fold(x.to_owned(), |x, axis| match of {
            Some(of) if of.skips(axis) => self.positions(&x, axis, of, (1, 1, 1)),
            _ => x,
        })
    }

    /// Positions along the axis `2 + axis`, given stride, window and dilation.
    fn positions(
        &mut self,
        x: &str,
        axis: usize,
        of: &Sampling,
        (stride, window, dilation): (usize, usize, usize),
    ) -> String {
        let key = format!("{of:?} {axis} {stride} {window} {dilation}");
        let name = self.shared(&key, |taps| {
            let name = taps.patch.fresh(&format!("{TAP}.positions"));
            let declared = declaration(&name, Some(ElementType::Int64), Some(&[None]));
            taps.patch.input(declared);
            taps.positions.push(Positions {
                name: name.clone(),
                sampling: of.clone(),
                axis,
                stride,
                window,
                dilation,
            });
            name
        });
        self.node("Gather", &[x, &name], vec![int("axis", 2 + axis as i64)])
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
        let x = self.places(&x, layout.sampling.as_ref());
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

    /// Makes a value an output.
    pub(crate) fn output(&mut self, name: &str, element: ElementType) {
        self.patch.output(declaration(name, Some(element), None));
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
