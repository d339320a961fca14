//! The functions of the gates.

use super::super::Backward;
use crate::graph::{Array, Attributes};
use crate::ops::typing::{Ruling, Unsupported};

/// A function by its name, with its parameters.
#[derive(Clone, Debug)]
pub(super) struct Function {
    name: &'static str,
    alpha: f64,
    beta: f64,
}

/// What is known: name, whether it takes each parameter, and what these are where none is given.
const KNOWN: &[(&str, [Option<f64>; 2])] = &[
    ("Sigmoid", [None, None]),
    ("Tanh", [None, None]),
    ("Relu", [None, None]),
    ("Softsign", [None, None]),
    ("Softplus", [None, None]),
    ("LeakyRelu", [Some(0.01), None]),
    ("ThresholdedRelu", [Some(1.0), None]),
    ("Elu", [Some(1.0), None]),
    ("HardSigmoid", [Some(0.2), Some(0.5)]),
    ("ScaledTanh", [Some(1.0), Some(1.0)]),
    ("Affine", [Some(1.0), Some(0.0)]),
];

/// The functions of all directions, `defaults` for each where the node names none.
pub(super) fn functions(
    b: &Backward,
    directions: usize,
    defaults: &[&'static str],
) -> Ruling<Vec<Function>> {
    let listed = b.proto().attribute("activations");
    let names: Vec<String> = match listed.filter(|a| !a.strings.is_empty()) {
        Some(a) => {
            let names = a.strings.iter();
            let names = names.map(|name| String::from_utf8_lossy(name).into_owned());
            names.collect()
        }
        None => {
            let names = (0..directions).flat_map(|_| defaults);
            names.map(|&name| name.to_owned()).collect()
        }
    };
    if names.len() != directions * defaults.len() {
        return Err(Unsupported("it has an unusual number of activations"));
    }
    let mut given = ["activation_alpha", "activation_beta"].map(|name| {
        let found = b.proto().attribute(name);
        found
            .map(|a| a.floats.clone())
            .unwrap_or_default()
            .into_iter()
    });
    let function = |name: &String| {
        let mut known = KNOWN
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let &(name, defaults) = known
            .next()
            .ok_or(Unsupported("an activation is none that is known"))?;
        // Parameters are listed for those alone that take them.
        let [alpha, beta] = [0, 1].map(|which| match defaults[which] {
            Some(default) => given[which].next().map_or(default, f64::from),
            None => 0.0,
        });
        Ok(Function { name, alpha, beta })
    };
    names.iter().map(function).collect()
}

impl Function {
    /// The function and its slope, of what is cut off at `clip` before.
    pub(super) fn of(&self, b: &mut Backward, a: &Array, clip: Option<f64>) -> [Array; 2] {
        let Some(clip) = clip else {
            let y = self.value(b, a);
            let slope = self.slope(b, a, &y);
            return [y, slope];
        };
        let bounded = b.emit.bounded(a, clip);
        let y = self.value(b, &bounded);
        let slope = self.slope(b, &bounded, &y);
        let size = b.emit.map("Abs", a);
        let inside = b.emit.below(&size, clip);
        let slope = b.emit.keep_where(&inside, &slope);
        [y, slope]
    }

    /// The function alone.
    pub(super) fn value_of(&self, b: &mut Backward, a: &Array, clip: Option<f64>) -> Array {
        match clip {
            Some(clip) => {
                let bounded = b.emit.bounded(a, clip);
                self.value(b, &bounded)
            }
            None => self.value(b, a),
        }
    }

    fn value(&self, b: &mut Backward, a: &Array) -> Array {
        let (alpha, beta) = (self.alpha, self.beta);
        match self.name {
            "LeakyRelu" => {
                let negative = b.emit.below(a, 0.0);
                let other = b.emit.scale(a, alpha);
                b.emit.choose(&negative, &other, a)
            }
            "ThresholdedRelu" => {
                let above = b.emit.above(a, alpha);
                b.emit.keep_where(&above, a)
            }
            "Elu" => {
                let negative = b.emit.below(a, 0.0);
                let below = b.emit.keep_where(&negative, a);
                let power = b.emit.map("Exp", &below);
                let less = b.emit.shift(&power, -1.0);
                let other = b.emit.scale(&less, alpha);
                b.emit.choose(&negative, &other, a)
            }
            "HardSigmoid" => {
                let line = self.line(b, a);
                let zero = b.emit.number(0.0, a.element);
                let one = b.emit.number(1.0, a.element);
                let (low, high) = (b.emit.above(&line, 0.0), b.emit.below(&line, 1.0));
                let cut = b.emit.choose(&high, &line, &one);
                b.emit.choose(&low, &cut, &zero)
            }
            "ScaledTanh" => {
                let scaled = b.emit.scale(a, beta);
                let t = b.emit.map("Tanh", &scaled);
                b.emit.scale(&t, alpha)
            }
            "Affine" => self.line(b, a),
            name => b.emit.map(name, a),
        }
    }

    fn line(&self, b: &mut Backward, a: &Array) -> Array {
        let scaled = b.emit.scale(a, self.alpha);
        b.emit.shift(&scaled, self.beta)
    }

    fn slope(&self, b: &mut Backward, a: &Array, y: &Array) -> Array {
        let (alpha, beta) = (self.alpha, self.beta);
        let one = b.emit.number(1.0, a.element);
        match self.name {
            "Sigmoid" => {
                let rest = b.emit.number_less(1.0, y);
                b.emit.mul(y, &rest)
            }
            "Tanh" => {
                let square = b.emit.square(y);
                b.emit.number_less(1.0, &square)
            }
            "Softsign" => {
                let size = b.emit.map("Abs", y);
                let rest = b.emit.number_less(1.0, &size);
                b.emit.square(&rest)
            }
            "Softplus" => b.emit.map("Sigmoid", a),
            "LeakyRelu" => {
                let negative = b.emit.below(a, 0.0);
                let other = b.emit.number(alpha, a.element);
                b.emit.choose(&negative, &other, &one)
            }
            "Elu" => {
                let negative = b.emit.below(a, 0.0);
                let other = b.emit.shift(y, alpha);
                b.emit.choose(&negative, &other, &one)
            }
            "HardSigmoid" => {
                let (low, high) = (b.emit.above(y, 0.0), b.emit.below(y, 1.0));
                let between = b.emit.and(&low, &high);
                let steep = b.emit.number(alpha, a.element);
                b.emit.keep_where(&between, &steep)
            }
            "ScaledTanh" => {
                let scaled = b.emit.scale(a, beta);
                let t = b.emit.map("Tanh", &scaled);
                let square = b.emit.square(&t);
                let rest = b.emit.number_less(1.0, &square);
                b.emit.scale(&rest, alpha * beta)
            }
            "Affine" => b.emit.full(alpha, &a.sizes, a.element),
            // Relu and ThresholdedRelu.
            _ => {
                let above = b.emit.above(a, alpha);
                b.emit.keep_where(&above, &one)
            }
        }
    }
}
