//! Mixtures of experts: a router scores them, a node chooses the best and runs their two layers.
//!
//! A removed expert scores less than all others, and a removed hidden channel is 0 behind its activation: that of 0.

use super::packed::{codes_in_a_byte, middle};
use super::units::{IN_A_BLOCK, Units};
use crate::axes::{Extent, Type};
use crate::onnx::ElementType;
use crate::ops::facts::{BlockCodes, Operand, Role, ZeroCodes};
use crate::ops::mix::Mix;
use crate::ops::typing::{Ruling, Typing, Unsupported};
use crate::ops::{Row, contrib};

const CHOICE: &str = "its choice of experts has no gradient";

pub(in crate::ops) const ROWS: &[Row] = &[
    contrib("MoE", |op| held_unless(op, experts)).stops(CHOICE),
    contrib("QMoE", |op| held_unless(op, packed_experts)).stops(CHOICE),
];

/// How the rows of the first layer are those of hidden channels.
#[derive(Clone, Copy, PartialEq)]
enum Gate {
    /// One for each.
    None,
    /// Two for each, one after the other.
    Interleaved,
    /// All gates, then all values.
    Joined,
}

impl Gate {
    fn of(op: &Typing) -> Ruling<Gate> {
        let activation = op.string("activation_type", "relu");
        match (activation.as_str(), op.int("swiglu_fusion", 0)) {
            ("swiglu" | "geglu", 1) => Ok(Gate::Interleaved),
            ("swiglu" | "geglu", 2) => Ok(Gate::Joined),
            ("swiglu", 0) | ("relu" | "relu2" | "gelu" | "silu" | "identity", _) => Ok(Gate::None),
            _ => Err(Unsupported("its activation or gate is unusual")),
        }
    }

    fn parts(self) -> usize {
        match self {
            Gate::None => 1,
            Gate::Interleaved | Gate::Joined => 2,
        }
    }

    /// Joins an axis with one position, or several to a byte, for each row of the first layer to the hidden channels.
    fn join(self, op: &mut Typing, axis: &Type, hidden: &Units) {
        let half = match self {
            Gate::Joined => op.extent(axis).div_exact(&Extent::Known(2)),
            Gate::None | Gate::Interleaved => return hidden.join(op, axis),
        };
        let Some(half) = half else {
            return op.pin(axis, IN_A_BLOCK);
        };
        let parts = op.factor(axis, &[Extent::Known(2), half]);
        op.pin(&parts[0], "is a gate or what it is multiplied with");
        hidden.join(op, &parts[1]);
    }
}

/// What all layers of all experts have in common.
struct Mixture {
    experts: Type,
    /// Axes of the tokens.
    tokens: Vec<Type>,
    width: Type,
    gate: Gate,
    /// Experts, what a token has, and hidden channels of an expert.
    sizes: [usize; 3],
}

impl Mixture {
    /// Of tokens and scores of experts, which have this many hidden channels.
    fn of(op: &mut Typing, hidden: usize) -> Ruling<Mixture> {
        let (mut tokens, scores) = (op.input(0)?, op.input(1)?);
        let (Some(width), [rows, experts]) = (tokens.pop(), &scores[..]) else {
            return Err(Unsupported("an input has an unusual rank"));
        };
        op.pin(rows, "is an axis of tokens");
        op.pin_all(&tokens, "is an axis of tokens");
        let chosen = usize::try_from(op.int("k", 1)).unwrap_or(0);
        let sizes = [op.size(experts)?, op.size(&width)?, hidden];
        if chosen == 0 || chosen > sizes[0] {
            return Err(Unsupported("it chooses none, or more than there are"));
        }
        let gate = Gate::of(op)?;
        op.keep_least(experts, chosen, "chooses several of its positions");
        op.mixes(1, &scores, &[1], Mix::Largest, "chooses the best of them");
        if op.int("use_sparse_mixer", 0) != 0 {
            op.pin(experts, "is chosen by what the others are");
        }
        op.contract(0, tokens.len());
        Ok(Mixture {
            experts: experts.clone(),
            tokens,
            width,
            gate,
            sizes,
        })
    }

    /// States the operations of a layer of those that are chosen.
    fn cost(&self, op: &mut Typing, rows: &Type, columns: &Type) {
        let chosen = op.int("k", 1).max(1);
        let chosen = op.fixed(Extent::Known(chosen), "is an axis of what is chosen");
        let mut made = self.tokens.clone();
        made.extend([chosen, rows.clone()]);
        op.cost(made, vec![columns.clone()]);
    }

    /// An input of this shape for each expert, if it is there.
    fn part(&self, op: &mut Typing, slot: usize, shape: &[usize]) -> Ruling<Option<Vec<Type>>> {
        let Some(axes) = op.optional(slot)? else {
            return Ok(None);
        };
        let sizes: Vec<usize> = axes
            .iter()
            .map(|axis| op.size(axis))
            .collect::<Ruling<_>>()?;
        let wanted = std::iter::once(&self.sizes[0]).chain(shape);
        if !wanted.eq(&sizes) {
            return Err(Unsupported("an input has an unusual shape"));
        }
        op.unify(&axes[0], &self.experts);
        Ok(Some(axes))
    }
}

/// What a layer of all experts makes or reads.
#[derive(Clone, Copy)]
enum Side<'a> {
    Width(&'a Units),
    Hidden(&'a Units),
    /// Hidden channels and, where they have one, their gates.
    Gated(&'a Units, Gate),
}

impl Side<'_> {
    fn join(self, op: &mut Typing, axis: &Type) {
        match self {
            Side::Width(units) | Side::Hidden(units) => units.join(op, axis),
            Side::Gated(units, gate) => gate.join(op, axis, units),
        }
    }

    fn size(self, of: &Mixture) -> usize {
        match self {
            Side::Width(_) => of.sizes[1],
            Side::Hidden(_) => of.sizes[2],
            Side::Gated(_, gate) => of.sizes[2].saturating_mul(gate.parts()),
        }
    }
}

const MISSING: Unsupported = Unsupported("a required input is missing");

/// The outcome of a rule; where it does not apply all is held, and the output is as the data nevertheless.
fn held_unless(op: &mut Typing, rule: fn(&mut Typing) -> Ruling) -> Ruling {
    let x = op.input(0)?;
    if let Err(Unsupported(why)) = rule(op) {
        op.hold_inputs(why);
    }
    op.output(0, x);
    Ok(())
}

/// Data, scores, weight and bias of the first layer, of the second, and of what the first is multiplied with.
fn experts(op: &mut Typing) -> Ruling {
    let second = op.input(4)?;
    let [_, _, hidden] = &second[..] else {
        return Err(Unsupported("an input has an unusual rank"));
    };
    let count = op.size(hidden)?;
    let mixture = Mixture::of(op, count)?;
    let units = [Units::each(&mixture.width), Units::each(hidden)];
    let [width, hidden] = &units;
    let first = Side::Gated(hidden, mixture.gate);
    let layers = [
        (2, first, Side::Width(width)),
        (4, Side::Width(width), Side::Hidden(hidden)),
        (6, Side::Hidden(hidden), Side::Width(width)),
    ];
    for (slot, rows, columns) in layers {
        let shape = [rows, columns].map(|side| side.size(&mixture));
        let Some(weight) = mixture.part(op, slot, &shape)? else {
            match slot {
                6 => continue,
                _ => return Err(MISSING),
            }
        };
        rows.join(op, &weight[1]);
        columns.join(op, &weight[2]);
        if let Some(bias) = mixture.part(op, slot + 1, &shape[..1])? {
            rows.join(op, &bias[1]);
        }
        mixture.cost(op, &weight[1], &weight[2]);
        // What the second layer reads is inside.
        let (data, axis) = match columns {
            Side::Width(_) => (Some(Operand::Input(0)), mixture.tokens.len()),
            Side::Hidden(_) | Side::Gated(..) => (None, 2),
        };
        let roles = vec![Role::Batch(None), Role::Row(None), Role::Reduction(axis)];
        op.linear(slot, data, roles);
    }
    op.contract(4, 2);
    op.nonlinear(&second[2], "applies a function to each element");
    Ok(())
}

/// Slots of one layer's codes, scales, bias and zero points.
type LayerSlots = [usize; 4];
const PACKED_LAYERS: [LayerSlots; 3] = [[2, 3, 4, 11], [5, 6, 7, 12], [8, 9, 10, 13]];
const ROUTER_WEIGHTS: usize = 14;

/// As [`experts`], with weights as codes, several of which stand in a byte along what is summed over.
fn packed_experts(op: &mut Typing) -> Ruling {
    let names = [
        "fc1_expert_weight_bits",
        "fc2_expert_weight_bits",
        "fc3_expert_weight_bits",
    ];
    let bits = names.map(|name| op.int(name, op.int("expert_weight_bits", 4)));
    let [first, second, third] = bits.map(codes_in_a_byte);
    let packs = [first?, second?, third?];
    let others = (ROUTER_WEIGHTS + 1..op.input_count()).any(|slot| op.value(slot).is_some());
    if op.string("quant_type", "int") != "int" || others {
        return Err(Unsupported("its codes are no integers"));
    }
    let codes = op.input(PACKED_LAYERS[1][0])?;
    let packed = codes.last().ok_or(MISSING)?;
    let count = op.size(packed)?.checked_mul(packs[1]).ok_or(MISSING)?;
    let mixture = Mixture::of(op, count)?;
    if let Some(weights) = op.optional(ROUTER_WEIGHTS)? {
        let [tokens, experts] = &weights[..] else {
            return Err(Unsupported("an input has an unusual rank"));
        };
        op.pin(tokens, "is an axis of tokens");
        op.unify(experts, &mixture.experts);
    }
    // Kernels for real numbers of 32 bits have one layout only.
    let raw = op.int("weights_prepacked", -1) == 0 || op.element(0) == Some(ElementType::Float);
    match raw {
        true => coded_layers(op, &mixture, packs),
        false => whole_experts(op, &mixture),
    }
}

/// Positions of the tokens and of hidden channels that go together: along what is summed over whole blocks, and whole
/// bytes of their zero points; where rows have a scale, whole bytes of codes and of zero points by row.
fn units(op: &Typing, block: usize, packs: [usize; 3]) -> Ruling<[usize; 2]> {
    let own = |layer: usize| match op.value(PACKED_LAYERS[layer][3]) {
        Some(_) => packs[layer],
        None => 1,
    };
    let wide = |pack: usize| block.checked_mul(pack).ok_or(MISSING);
    match block {
        0 => Ok([
            packs[0].max(packs[2]).max(own(1)),
            packs[1].max(own(0)).max(own(2)),
        ]),
        _ => Ok([wide(own(0).max(own(2)))?, wide(own(1))?]),
    }
}

/// The layers of codes, each along the last axis of its weight.
fn coded_layers(op: &mut Typing, mixture: &Mixture, packs: [usize; 3]) -> Ruling {
    let block = usize::try_from(op.int("block_size", 0)).unwrap_or(0);
    let [width, hidden] = units(op, block, packs)?;
    let inner = op.fresh(Extent::from(mixture.sizes[2]));
    op.nonlinear(&inner, "applies a function to each element");
    let width = Units::of(op, &mixture.width, width)?;
    let hidden = Units::of(op, &inner, hidden)?;
    let (gated, outer) = (Side::Gated(&hidden, mixture.gate), Side::Width(&width));
    let sides = [
        (gated, outer, &mixture.width),
        (outer, Side::Hidden(&hidden), &inner),
        (Side::Hidden(&hidden), outer, &mixture.width),
    ];
    for (layer, (rows, columns, read)) in sides.into_iter().enumerate() {
        let slots = PACKED_LAYERS[layer];
        let pack = packs[layer];
        if layer < 2 || op.value(slots[0]).is_some() {
            let coded = CodedLayer { slots, pack, block };
            coded.join(op, mixture, [rows, columns], read)?;
        }
    }
    Ok(())
}

/// Layers in a layout that is not known lose whole experts.
fn whole_experts(op: &mut Typing, mixture: &Mixture) -> Ruling {
    let why = "is an axis of codes that may be laid out for one kind of GPU";
    op.pin(&mixture.width, why);
    for slot in PACKED_LAYERS.into_iter().flatten() {
        let Some(axes) = op.optional(slot)? else {
            continue;
        };
        let (experts, rest) = axes.split_first().ok_or(MISSING)?;
        op.unify(experts, &mixture.experts);
        op.pin_all(rest, why);
    }
    Ok(())
}

/// One layer of all experts as codes.
struct CodedLayer {
    slots: LayerSlots,
    /// Codes to a byte.
    pack: usize,
    /// Numbers with a scale of their own, or 0 where a row has one.
    block: usize,
}

impl CodedLayer {
    fn join(
        &self,
        op: &mut Typing,
        mixture: &Mixture,
        [rows, columns]: [Side; 2],
        read: &Type,
    ) -> Ruling {
        let [codes, scales, bias, zeros] = self.slots;
        let [made, summed] = [rows, columns].map(|side| side.size(mixture));
        let blocks = summed.checked_div(self.block);
        let weight = mixture.part(op, codes, &[made, summed / self.pack])?;
        let weight = weight.ok_or(MISSING)?;
        let fine = |rows: usize| -> Vec<usize> {
            match blocks {
                Some(blocks) => vec![rows, blocks],
                None => vec![rows],
            }
        };
        let scaled = mixture.part(op, scales, &fine(made))?.ok_or(MISSING)?;
        let bytes = |count: usize| count.div_ceil(self.pack);
        let zeroed = match blocks {
            Some(blocks) => mixture.part(op, zeros, &[made, bytes(blocks)])?,
            None => mixture.part(op, zeros, &[bytes(made)])?,
        };
        let biased = mixture.part(op, bias, &[made])?;
        let is_zeroed = zeroed.is_some();
        for axes in [Some(weight.clone()), Some(scaled), zeroed, biased]
            .into_iter()
            .flatten()
        {
            rows.join(op, &axes[1]);
            if let Some(axis) = axes.get(2) {
                columns.join(op, axis);
            }
        }
        // Where a row has neither scale nor bias its hidden channel is that of nothing.
        if let Side::Gated(..) = rows {
            op.contract(scales, 1);
            if op.value(bias).is_some() {
                op.contract(bias, 1);
            }
        }
        mixture.cost(op, &weight[1], read);
        op.in_blocks(BlockCodes {
            node: op.node,
            codes: (codes, Some(8 / self.pack)),
            scales,
            zeros: match is_zeroed {
                true => ZeroCodes::Packed(zeros, blocks.unwrap_or(made)),
                false => middle(self.pack),
            },
            axes: vec![mixture.experts.clone(), weight[1].clone(), read.clone()],
            block: (2, if self.block == 0 { summed } else { self.block }),
            summed: true,
        });
        Ok(())
    }
}
