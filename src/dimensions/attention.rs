//! What variables are in attentions: heads, or the width of a head.

use std::collections::{HashMap, HashSet};

use super::Analysis;
use crate::axes::{Type, VarId};
use crate::ops::AttentionPart;

/// By variable its part in an attention: as a rule says, or a factor of an axis that has both, where a node multiplies data
/// with data.
pub(super) fn attending(analysis: &Analysis) -> HashMap<VarId, AttentionPart> {
    let graph = analysis.graph();
    let types = &analysis.state.types;
    let fixed = graph.fixed_nodes();
    let mut certain = HashMap::new();
    let (mut heads, mut widths) = (HashSet::new(), HashSet::new());
    for fact in analysis.state.attending() {
        let vars = types.vars(&fact.axis);
        if fact.certain {
            let known = |var| (var, fact.part);
            certain.extend(vars.into_iter().map(known));
            continue;
        }
        let mut operands = graph.node(fact.node).inputs.iter().flatten();
        if !operands.any(|&value| graph.is_fixed(value, &fixed)) {
            match fact.part {
                AttentionPart::Heads => heads.extend(vars),
                AttentionPart::HeadWidth => widths.extend(vars),
            }
        }
    }
    let mut out = HashMap::new();
    for (_, axes) in analysis.weights() {
        let axes = axes.iter().map(|ty| types.normal(ty));
        axes.for_each(|ty| note_factors(analysis, &ty, (&heads, &widths), &mut out));
    }
    out.extend(certain);
    out
}

/// Notes the heads and widths among the factors of an axis.
fn note_factors(
    analysis: &Analysis,
    ty: &Type,
    (heads, widths): (&HashSet<VarId>, &HashSet<VarId>),
    out: &mut HashMap<VarId, AttentionPart>,
) {
    match ty {
        Type::Var(_) => {}
        Type::Block { of, .. } => note_factors(analysis, of, (heads, widths), out),
        Type::Sum(parts) => {
            let parts = parts.iter();
            parts.for_each(|part| note_factors(analysis, part, (heads, widths), out));
        }
        Type::Product(factors) => {
            let vars = |factor: &Type| analysis.state.types.vars(factor);
            let is_of = |factor: &Type, set: &HashSet<VarId>| {
                let vars = vars(factor);
                vars.iter().any(|var| set.contains(var))
            };
            let of_heads = |factor: &&Type| is_of(factor, heads);
            let of_width = |factor: &&Type| is_of(factor, widths) && !is_of(factor, heads);
            if factors.iter().any(|factor| of_heads(&factor))
                && factors.iter().any(|factor| of_width(&factor))
            {
                for factor in factors.iter().filter(of_heads) {
                    let own = vars(factor).into_iter();
                    out.extend(own.map(|var| (var, AttentionPart::Heads)));
                }
                for factor in factors.iter().filter(of_width) {
                    let own = vars(factor).into_iter();
                    out.extend(own.map(|var| (var, AttentionPart::HeadWidth)));
                }
            }
            let inner = factors.iter();
            inner.for_each(|factor| note_factors(analysis, factor, (heads, widths), out));
        }
    }
}
