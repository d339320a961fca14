//! Activations: the slope at the input, or by the output where that says the same (so that what comes
//! before the node need not be kept), times the gradient.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use super::Backward;
use crate::graph::{Array, Graph};
use crate::onnx::to_f32;
use crate::ops::readers::bounds;
use crate::ops::typing::{Ruling, Unsupported};

/// sqrt(2 / pi), of the tanh form of Gelu.
const TANH_SCALE: f64 = 0.797_884_560_802_865_4;
/// The cubic term of the tanh form of Gelu.
const TANH_CUBE: f64 = 0.044_715;

/// The scale and slope of Selu where the node says none.
const SELU: [f32; 2] = [1.050_701, 1.673_263_2];

impl Backward<'_> {
    /// `d` where the output is above 0, else what `below` makes of it.
    fn by_sign_of_input(&mut self, d: &Array, below: f64) -> Ruling<Array> {
        let x = self.input(0)?;
        let positive = self.emit.above(&x, 0.0);
        let other = self.emit.scale(d, below);
        Ok(self.emit.choose(&positive, d, &other))
    }

    /// `d` times a function of the output.
    pub(super) fn times(&mut self, d: &Array, factor: &Array) -> Array {
        self.emit.mul(d, factor)
    }

    /// `d` where the condition holds, else 0.
    pub(super) fn kept(&mut self, condition: &Array, d: &Array) -> Array {
        match self.emit.on_processor() && !has_steep(self.settled.graph) {
            true => self.emit.gated(condition, d),
            false => self.emit.keep_where(condition, d),
        }
    }
}

/// Operators whose slope has no bound: gradients of the nodes before them may be infinite where these stand still.
const STEEP: [&str; 15] = [
    "Acos",
    "Acosh",
    "Asin",
    "Atanh",
    "GlobalLpPool",
    "Log",
    "LpNormalization",
    "LpPool",
    "Reciprocal",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceProd",
    "ScatterElements",
    "ScatterND",
    "Sqrt",
];

/// True if a gradient of the graph may be infinite while all values are finite.
fn has_steep(graph: &Graph) -> bool {
    graph.order().iter().any(|&node| {
        let second = graph.node(node).input(1);
        let second = second.and_then(|value| graph.constant(value));
        match graph.node_proto(node).op_type() {
            "Div" => second.is_none(),
            "Pow" => {
                let powers = second.and_then(|tensor| to_f32(tensor).ok());
                !powers.is_some_and(|powers| powers.iter().all(|&power| power >= 1.0))
            }
            operator => STEEP.contains(&operator),
        }
    })
}

pub(in crate::ops) fn relu(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let y = b.output(0)?;
    let positive = b.emit.above(&y, 0.0);
    Ok(b.kept(&positive, d))
}

pub(in crate::ops) fn leaky_relu(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let alpha = b.float("alpha", 0.01);
    b.by_sign_of_input(d, alpha)
}

pub(in crate::ops) fn thresholded_relu(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (x, alpha) = (b.input(0)?, b.float("alpha", 1.0));
    let above = b.emit.above(&x, alpha);
    Ok(b.emit.keep_where(&above, d))
}

/// Slope `alpha exp(x)` below 0.
fn exponential(b: &mut Backward, d: &Array, alpha: f64, scale: f64, width: f64) -> Ruling<Array> {
    let x = b.input(0)?;
    let positive = b.emit.above(&x, 0.0);
    let zero = b.emit.number(0.0, x.element);
    // Large numbers would be infinite, also where they are not taken.
    let below = b.emit.choose(&positive, &zero, &x);
    let below = b.emit.scale(&below, 1.0 / width);
    let power = b.emit.map("Exp", &below);
    let power = b.emit.scale(&power, alpha);
    let one = b.emit.number(1.0, x.element);
    let slope = b.emit.choose(&positive, &one, &power);
    let slope = b.emit.scale(&slope, scale);
    Ok(b.times(d, &slope))
}

pub(in crate::ops) fn elu(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let alpha = b.float("alpha", 1.0);
    exponential(b, d, alpha, 1.0, 1.0)
}

pub(in crate::ops) fn selu(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (gamma, alpha) = (b.float("gamma", SELU[0]), b.float("alpha", SELU[1]));
    exponential(b, d, alpha, gamma, 1.0)
}

pub(in crate::ops) fn celu(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let alpha = b.float("alpha", 1.0);
    exponential(b, d, 1.0, 1.0, alpha)
}

pub(in crate::ops) fn gelu(b: &mut Backward, d: &Array) -> Ruling<Array> {
    match b.string("approximate", "none").as_str() {
        "none" => gelu_exact(b, d),
        "tanh" => gelu_tanh(b, d),
        _ => Err(Unsupported(
            "its approximation is none that the operator has",
        )),
    }
}

/// `Phi(x) + x phi(x)`.
pub(in crate::ops) fn gelu_exact(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    let slope = slope_of_gelu(b, &x);
    Ok(b.times(d, &slope))
}

pub(in crate::ops) fn slope_of_gelu(b: &mut Backward, x: &Array) -> Array {
    let scaled = b.emit.scale(x, FRAC_1_SQRT_2);
    let erf = b.emit.map("Erf", &scaled);
    let above = b.emit.shift(&erf, 1.0);
    let share = b.emit.scale(&above, 0.5);
    let square = b.emit.square(x);
    let half = b.emit.scale(&square, -0.5);
    let bell = b.emit.map("Exp", &half);
    let bell = b.emit.scale(&bell, 1.0 / (2.0 * PI).sqrt());
    let moved = b.emit.mul(x, &bell);
    b.emit.add(&share, &moved)
}

/// With `t = tanh(u)`: `(1 + t)/2 + x (1 - t^2) u'/2`.
pub(in crate::ops) fn gelu_tanh(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    let slope = slope_of_gelu_tanh(b, &x);
    Ok(b.times(d, &slope))
}

pub(in crate::ops) fn slope_of_gelu_tanh(b: &mut Backward, x: &Array) -> Array {
    let square = b.emit.square(x);
    let cubic = b.emit.scale(&square, TANH_SCALE * TANH_CUBE);
    let factor = b.emit.shift(&cubic, TANH_SCALE);
    let inner = b.emit.mul(x, &factor);
    let t = b.emit.map("Tanh", &inner);
    let above = b.emit.shift(&t, 1.0);
    let share = b.emit.scale(&above, 0.5);
    let steep = b.emit.scale(&square, 3.0 * TANH_SCALE * TANH_CUBE);
    let steep = b.emit.shift(&steep, TANH_SCALE);
    let t2 = b.emit.square(&t);
    let rest = b.emit.number_less(1.0, &t2);
    let moved = b.emit.mul(x, &rest);
    let moved = b.emit.mul(&moved, &steep);
    let moved = b.emit.scale(&moved, 0.5);
    b.emit.add(&share, &moved)
}

/// Of `x sigmoid(a x)`: `s + a x s (1 - s)`.
pub(in crate::ops) fn swish(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let alpha = b.float("alpha", 1.0);
    sigmoid_gated(b, d, alpha)
}

/// As [`swish`], with the default of onnxruntime's own operator.
pub(in crate::ops) fn quick_gelu(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let alpha = b.float("alpha", 1.702);
    sigmoid_gated(b, d, alpha)
}

fn sigmoid_gated(b: &mut Backward, d: &Array, alpha: f64) -> Ruling<Array> {
    let x = b.input(0)?;
    let scaled = b.emit.scale(&x, alpha);
    let s = b.emit.map("Sigmoid", &scaled);
    let rest = b.emit.number_less(1.0, &s);
    let inner = b.emit.mul(&scaled, &rest);
    let inner = b.emit.shift(&inner, 1.0);
    let slope = b.emit.mul(&s, &inner);
    Ok(b.times(d, &slope))
}

/// Of `x tanh(softplus(x))`, with `t` the tanh: `t + x (1 - t^2) sigmoid(x)`.
pub(in crate::ops) fn mish(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    let soft = b.emit.map("Softplus", &x);
    let t = b.emit.map("Tanh", &soft);
    let t2 = b.emit.square(&t);
    let rest = b.emit.number_less(1.0, &t2);
    let s = b.emit.map("Sigmoid", &x);
    let moved = b.emit.mul(&x, &rest);
    let moved = b.emit.mul(&moved, &s);
    let slope = b.emit.add(&t, &moved);
    Ok(b.times(d, &slope))
}

/// Of `x clip(x/6 + 1/2, 0, 1)`: 0 below -3, 1 above 3, `x/3 + 1/2` between.
pub(in crate::ops) fn hard_swish(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    let third = b.emit.scale(&x, 1.0 / 3.0);
    let between = b.emit.shift(&third, 0.5);
    let one = b.emit.number(1.0, x.element);
    let high = b.emit.below(&x, 3.0);
    let slope = b.emit.choose(&high, &between, &one);
    let low = b.emit.above(&x, -3.0);
    let slope = b.emit.keep_where(&low, &slope);
    Ok(b.times(d, &slope))
}

pub(in crate::ops) fn hard_sigmoid(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let alpha = b.float("alpha", 0.2);
    let y = b.output(0)?;
    let (low, high) = (b.emit.above(&y, 0.0), b.emit.below(&y, 1.0));
    let between = b.emit.and(&low, &high);
    let scaled = b.emit.scale(d, alpha);
    Ok(b.emit.keep_where(&between, &scaled))
}

pub(in crate::ops) fn sigmoid(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let y = b.output(0)?;
    let rest = b.emit.number_less(1.0, &y);
    let slope = b.emit.mul(&y, &rest);
    Ok(b.times(d, &slope))
}

pub(in crate::ops) fn tanh(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let y = b.output(0)?;
    let square = b.emit.square(&y);
    let slope = b.emit.number_less(1.0, &square);
    Ok(b.times(d, &slope))
}

pub(in crate::ops) fn softplus(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    let slope = b.emit.map("Sigmoid", &x);
    Ok(b.times(d, &slope))
}

/// Of `x / (1 + |x|)`: the square of `1 - |y|`.
pub(in crate::ops) fn softsign(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let y = b.output(0)?;
    let size = b.emit.map("Abs", &y);
    let rest = b.emit.number_less(1.0, &size);
    let slope = b.emit.square(&rest);
    Ok(b.times(d, &slope))
}

/// Zero between `-lambd` and `lambd`.
pub(in crate::ops) fn shrink(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (x, lambd) = (b.input(0)?, b.float("lambd", 0.5));
    let size = b.emit.map("Abs", &x);
    let outside = b.emit.above(&size, lambd);
    Ok(b.emit.keep_where(&outside, d))
}

/// To the data where it was taken, else to the bound that was. The upper bound wins where both are crossed.
pub(in crate::ops) fn clip(b: &mut Backward) -> Ruling {
    let d = b.cotangent()?;
    let (y, mut rest) = (b.output(0)?, d.clone());
    let zero = b.emit.number(0.0, d.element);
    let bounds = bounds(b.proto());
    for (place, (slot, open)) in bounds.into_iter().enumerate().rev() {
        let bound = match b.has(slot) {
            true => b.input(slot)?,
            false if open.is_infinite() => continue,
            false => b.emit.number(f64::from(open), y.element),
        };
        let inside = match place {
            0 => b.emit.greater(&y, &bound),
            _ => b.emit.less(&y, &bound),
        };
        if b.needs(slot) {
            let taken = b.emit.choose(&inside, &zero, &rest);
            b.give(slot, &taken)?;
        }
        rest = b.emit.choose(&inside, &rest, &zero);
    }
    b.give(0, &rest)
}

/// Only where nothing is dropped: in training mode it drops at random.
pub(in crate::ops) fn dropout(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let opset = b.emit.opset();
    let trains = match b.has(2) {
        true => b.flag(2) != Some(false),
        false => opset < 7 && b.int("is_test", 0) == 0,
    };
    match trains {
        true => Err(Unsupported("it may drop at random")),
        false => Ok(d.clone()),
    }
}
