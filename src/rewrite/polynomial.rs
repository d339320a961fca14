//! Sizes written as arithmetic: a polynomial over symbols becomes nodes over the sizes of values that have them.

use super::shapes::ShapeRewriter;
use crate::axes::{Definition, Extent, Symbol};
use crate::graph::{NodeId, Producer, ValueId, int};
use crate::onnx::ElementType::{self, Int64};

/// Version of the operator set from which Min and Max take integers.
const INTEGER_BOUNDS: i64 = 12;

/// Writes numbers before one node.
pub(super) struct SizeWriter<'a, 'b> {
    rewriter: &'a mut ShapeRewriter<'b>,
    node: NodeId,
    base: &'a str,
}

impl<'a, 'b> SizeWriter<'a, 'b> {
    pub(super) fn new(
        rewriter: &'a mut ShapeRewriter<'b>,
        node: NodeId,
        base: &'a str,
    ) -> SizeWriter<'a, 'b> {
        SizeWriter {
            rewriter,
            node,
            base,
        }
    }

    /// A tensor with these numbers, element by element; `None` elements stay as `value` has them. None where a
    /// symbol has no source before the node.
    pub(super) fn list(
        &mut self,
        value: ValueId,
        (element, dims): (ElementType, &[usize]),
        wanted: &[Option<Extent>],
    ) -> Option<String> {
        // Elements as they are computed pass through integers.
        if element.is_float() && wanted.contains(&None) {
            return None;
        }
        let mut parts = Vec::with_capacity(wanted.len());
        for (place, wanted) in wanted.iter().enumerate() {
            parts.push(match wanted {
                Some(wanted) if element.is_float() => self.real(wanted, element)?,
                Some(wanted) => self.number(wanted)?,
                None => self.computed(value, place),
            });
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let mut name = self.along_first("Concat", &parts);
        if dims.len() != 1 {
            let numbers: Vec<i64> = dims.iter().map(|&dim| dim as i64).collect();
            let shape = self.constant(&numbers);
            name = self.step("Reshape", &[&name, &shape]);
        }
        if element != Int64 && !element.is_float() {
            name = self.cast(&name, element);
        }
        Some(name)
    }

    fn step(&mut self, operator: &str, inputs: &[&str]) -> String {
        let patch = &mut self.rewriter.patch;
        patch.node(self.base, operator, inputs, Vec::new())
    }

    fn constant(&mut self, numbers: &[i64]) -> String {
        let base = format!("{}.number", self.base);
        self.rewriter
            .constant(&base, Int64, &[numbers.len()], numbers)
    }

    fn along_first(&mut self, operator: &str, inputs: &[&str]) -> String {
        let patch = &mut self.rewriter.patch;
        patch.node(self.base, operator, inputs, vec![int("axis", 0)])
    }

    fn cast(&mut self, name: &str, to: ElementType) -> String {
        self.rewriter.patch.cast(self.base, name, to)
    }

    /// An element of a value as it is computed, as a list of one 64-bit integer.
    fn computed(&mut self, value: ValueId, place: usize) -> String {
        let name = self.rewriter.analysis.graph().value(value).name.clone();
        let (flat, at) = (self.constant(&[-1]), self.constant(&[place as i64]));
        let list = self.step("Reshape", &[&name, &flat]);
        let one = self.along_first("Gather", &[&list, &at]);
        self.cast(&one, Int64)
    }

    /// A list of one real number.
    fn real(&mut self, wanted: &Extent, element: ElementType) -> Option<String> {
        let (over, by) = self.rewriter.symbols.fraction(wanted)?;
        let number = self.number(&over)?;
        let number = self.cast(&number, element);
        if by == 1 {
            return Some(number);
        }
        let base = format!("{}.number", self.base);
        let by = self.rewriter.constant(&base, element, &[1], &[by]);
        Some(self.step("Div", &[&number, &by]))
    }

    /// A list of one number.
    fn number(&mut self, wanted: &Extent) -> Option<String> {
        let mut sum: Option<String> = None;
        for (symbols, coefficient) in wanted.monomials() {
            let mut product: Option<String> = None;
            for symbol in symbols {
                let size = self.symbol(symbol)?;
                product = Some(match product {
                    Some(product) => self.step("Mul", &[&product, &size]),
                    None => size,
                });
            }
            let term = match product {
                None => self.constant(&[coefficient]),
                Some(product) if coefficient == 1 => product,
                Some(product) => {
                    let factor = self.constant(&[coefficient]);
                    self.step("Mul", &[&product, &factor])
                }
            };
            sum = Some(match sum {
                Some(sum) => self.step("Add", &[&sum, &term]),
                None => term,
            });
        }
        Some(sum.unwrap_or_else(|| self.constant(&[0])))
    }

    fn symbol(&mut self, symbol: Symbol) -> Option<String> {
        let (operator, a, b) = match self.rewriter.symbols.definition(symbol).clone() {
            Definition::Free(_) => {
                let (value, axis) = self.source(symbol)?;
                let name = self.rewriter.analysis.graph().value(value).name.clone();
                let shape = self.step("Shape", &[&name]);
                let at = self.constant(&[axis as i64]);
                return Some(self.along_first("Gather", &[&shape, &at]));
            }
            Definition::FloorDiv(a, b) => ("Div", a, b),
            Definition::Quotient(..) => return None,
            Definition::Min(a, b) => ("Min", a, b),
            Definition::Max(a, b) => ("Max", a, b),
        };
        let opset = self.rewriter.analysis.graph().model().opset();
        if operator != "Div" && opset < INTEGER_BOUNDS {
            return None;
        }
        let (a, b) = (self.number(&a)?, self.number(&b)?);
        Some(self.step(operator, &[&a, &b]))
    }

    /// A value that is there before the node, and its axis that has this size: an input where there is one.
    fn source(&self, symbol: Symbol) -> Option<(ValueId, usize)> {
        let analysis = self.rewriter.analysis;
        let graph = analysis.graph();
        // What stands around a body is there inside.
        let outermost = graph.outermost(self.node);
        let before = graph.order().iter().take_while(|&&node| node != outermost);
        let made = before.flat_map(|&node| graph.node(node).outputs.iter().flatten().copied());
        let inputs = graph
            .value_ids()
            .filter(|&id| matches!(graph.value(id).producer, Producer::Input(_)));
        let has = |value: ValueId| {
            let axes = analysis.state.axes(value)?.iter();
            let mut extents = axes.map(|ty| analysis.state.types.extent(ty));
            let axis = extents.position(|extent| extent.is_symbol(symbol))?;
            Some((value, axis))
        };
        inputs.chain(made).find_map(has)
    }
}
