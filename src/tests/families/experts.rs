//! Mixtures of experts behind a router.

use super::packed::bytes;
use crate::onnx::{ElementType, from_raw};
use crate::tests::builder::{Builder, Value};
use crate::tests::cases::Case;

const EXPERTS: usize = 5;

/// Tokens of this many channels, what an expert does and how many are chosen.
struct Mixture {
    width: usize,
    hidden: usize,
    activation: &'static str,
    chosen: i64,
    normalised: i64,
}

impl Mixture {
    /// Rows of the first layer.
    fn rows(&self) -> usize {
        match self.activation {
            "swiglu" => 2 * self.hidden,
            _ => self.hidden,
        }
    }

    /// Tokens, their scores, and the attributes that all mixtures have.
    fn routed(&self) -> (Builder, Vec<(&'static str, Value)>) {
        let attributes = vec![
            ("k", self.chosen.into()),
            ("activation_type", self.activation.into()),
            ("normalize_routing_weights", self.normalised.into()),
            (
                "swiglu_fusion",
                Value::from(i64::from(self.activation == "swiglu")),
            ),
        ];
        let builder = Builder::new(17)
            .input("x", &[9, 6])
            .weight("w0", &[6, self.width])
            .node("MatMul", "x w0 -> h", &[])
            .weight("wr", &[EXPERTS, self.width])
            .weight("br", &[EXPERTS])
            .node("Gemm", "h wr br -> r", &[("transB", 1.into())]);
        (builder, attributes)
    }

    fn read(&self, builder: Builder, name: &str, units: [usize; 2]) -> Case {
        let builder = builder
            .node("Add", "h m -> s", &[])
            .weight("w9", &[self.width, 4])
            .node("MatMul", "s w9 -> y", &[])
            .output("y");
        let mut dimensions = vec![EXPERTS, units[0], units[1]];
        dimensions.sort_unstable();
        Case::new(name, builder, &dimensions).mixing(1)
    }

    fn real(&self, name: &str) -> Case {
        let (builder, attributes) = self.routed();
        let builder = builder
            .weight("w1", &[EXPERTS, self.rows(), self.width])
            .weight("b1", &[EXPERTS, self.rows()])
            .weight("w2", &[EXPERTS, self.width, self.hidden])
            .weight("b2", &[EXPERTS, self.width])
            .node("com.microsoft.MoE", "h r w1 b1 w2 b2 -> m", &attributes);
        self.read(builder, name, [self.width, self.hidden])
    }

    fn coded(&self, name: &str, bits: usize, block: usize, zeros: bool, units: [usize; 2]) -> Case {
        let (mut builder, mut attributes) = self.routed();
        attributes.push(("expert_weight_bits", Value::from(bits as i64)));
        attributes.push(("weights_prepacked", 0.into()));
        if block > 0 {
            attributes.push(("block_size", Value::from(block as i64)));
        }
        let layers = [(1, self.rows(), self.width), (2, self.width, self.hidden)];
        for (layer, rows, columns) in layers {
            let blocks = columns.checked_div(block);
            let codes = |name: String, dims: Vec<usize>| {
                let count = dims.iter().product();
                from_raw(&name, ElementType::Uint8, &dims, bytes(&name, count))
            };
            let weight = vec![EXPERTS, rows, columns * bits / 8];
            let (scale, zero) = match blocks {
                Some(blocks) => (
                    vec![EXPERTS, rows, blocks],
                    vec![EXPERTS, rows, (blocks * bits).div_ceil(8)],
                ),
                None => (
                    vec![EXPERTS, rows],
                    vec![EXPERTS, (rows * bits).div_ceil(8)],
                ),
            };
            builder = builder
                .tensor(codes(format!("w{layer}"), weight))
                .weight(&format!("s{layer}"), &scale)
                .weight(&format!("b{layer}"), &[EXPERTS, rows]);
            if zeros {
                builder = builder.tensor(codes(format!("z{layer}"), zero));
            }
        }
        let zeros = if zeros { "- - - z1 z2" } else { "" };
        let wiring = format!("h r w1 s1 b1 w2 s2 b2 {zeros} -> m");
        let builder = builder.node("com.microsoft.QMoE", &wiring, &attributes);
        self.read(builder, name, units)
    }
}

pub(in crate::tests) fn experts() -> Vec<Case> {
    let mixture = |activation, chosen, normalised| Mixture {
        width: 8,
        hidden: 12,
        activation,
        chosen,
        normalised,
    };
    let wide = |activation, chosen| Mixture {
        width: 64,
        hidden: 96,
        ..mixture(activation, chosen, 1)
    };
    vec![
        mixture("relu", 1, 0).real("MoE"),
        mixture("gelu", 2, 1).real("MoE of two experts"),
        mixture("swiglu", 2, 0).real("MoE with gates"),
        mixture("silu", 4, 1).real("MoE of nearly all experts"),
        wide("silu", 1).coded("QMoE of 8 bits", 8, 0, false, [64, 96]),
        wide("swiglu", 2).coded("QMoE of 4 bits", 4, 0, false, [32, 48]),
        wide("gelu", 2).coded("QMoE with zero points by row", 4, 0, true, [32, 48]),
        wide("gelu", 2).coded("QMoE in blocks", 4, 16, false, [4, 6]),
        wide("swiglu", 3).coded("QMoE in blocks with zero points", 4, 16, true, [2, 3]),
    ]
}
