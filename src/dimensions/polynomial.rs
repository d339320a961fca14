//! Costs as polynomials in the numbers of channels that stay, made once and evaluated often.

use std::collections::HashMap;

use super::Analysis;
use crate::axes::{Type, VarId};
use crate::onnx::ElementType;

/// A polynomial.
enum Expression {
    Number(f64),
    /// The channels that stay of a dimension.
    Channels(usize),
    Product(Vec<Expression>),
    Sum(Vec<Expression>),
}

impl Expression {
    fn value(&self, channels: &[usize]) -> f64 {
        match self {
            Expression::Number(number) => *number,
            Expression::Channels(dimension) => channels[*dimension] as f64,
            Expression::Product(factors) => factors.iter().map(|f| f.value(channels)).product(),
            Expression::Sum(parts) => parts.iter().map(|part| part.value(channels)).sum(),
        }
    }
}

/// What is counted of a tensor or node.
struct Term {
    expression: Expression,
    /// Bits per element of a tensor, and whether its elements are parameters; none for a node.
    tensor: Option<(u32, bool)>,
}

/// The costs of a model by the channels that stay of each dimension.
pub(crate) struct CostPolynomial(Vec<Term>);

/// Params, multiply-accumulate operations and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counted {
    pub(crate) params: f64,
    pub(crate) macs: f64,
    pub(crate) bytes: f64,
}

impl CostPolynomial {
    pub(crate) fn new(analysis: &Analysis) -> CostPolynomial {
        let dimensions = analysis.dimensions().iter().enumerate();
        let places: HashMap<VarId, usize> = dimensions.map(|(at, d)| (d.var, at)).collect();
        let product = |types: &mut dyn Iterator<Item = &Type>| {
            Expression::Product(types.map(|ty| expression(analysis, &places, ty)).collect())
        };
        let mut terms = Vec::new();
        for id in analysis.graph().value_ids() {
            let Some(tensor) = analysis.graph().constant(id) else {
                continue;
            };
            let element = ElementType::of(tensor.data_type());
            let expression = match analysis.state.axes(id) {
                Some(axes) => product(&mut axes.iter()),
                None => {
                    let count = crate::onnx::element_count(tensor).unwrap_or(0);
                    Expression::Number(count as f64)
                }
            };
            let bits = element.map_or(0, ElementType::bits);
            let tensor = Some((bits, element.is_some_and(|e| !e.is_index())));
            terms.push(Term { expression, tensor });
        }
        for cost in analysis.state.costs() {
            terms.push(Term {
                expression: product(&mut cost.produced.iter().chain(&cost.contracted)),
                tensor: None,
            });
        }
        CostPolynomial(terms)
    }

    /// The costs when these numbers of channels stay, by dimension.
    pub(crate) fn at(&self, channels: &[usize]) -> Counted {
        let mut counted = Counted::default();
        for term in &self.0 {
            let count = term.expression.value(channels);
            match term.tensor {
                None => counted.macs += count,
                Some((bits, parameters)) => {
                    counted.bytes += (count * f64::from(bits) / 8.0).ceil();
                    counted.params += if parameters { count } else { 0.0 };
                }
            }
        }
        counted
    }
}

fn expression(analysis: &Analysis, places: &HashMap<VarId, usize>, ty: &Type) -> Expression {
    let types = &analysis.state.types;
    let of = |ty: &Type| expression(analysis, places, ty);
    match types.normal(ty) {
        Type::Var(var) => match places.get(&var) {
            Some(&place) => Expression::Channels(place),
            None => Expression::Number(analysis.number(&types.extent(&Type::Var(var))) as f64),
        },
        Type::Product(factors) => Expression::Product(factors.iter().map(of).collect()),
        Type::Sum(parts) => Expression::Sum(parts.iter().map(of).collect()),
        Type::Block { of: inner, blocks } => {
            let share = Expression::Number(1.0 / blocks.max(1) as f64);
            Expression::Product(vec![of(&inner), share])
        }
    }
}
