//! What symbols stand for.
//!
//! What is not polynomial (rounded divisions, minima) becomes a symbol of its own that remembers its
//! definition, so that equal computations give equal sizes and every size can be evaluated once the inputs'
//! sizes are chosen.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::expression;
use super::extent::{Extent, Monomial, Symbol, gcd};

/// How a symbol gets its value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Definition {
    /// A dynamic size that the model names or that has no source we can see.
    Free(String),
    FloorDiv(Extent, Extent),
    Min(Extent, Extent),
    Max(Extent, Extent),
    /// Not rounded, and no integer: a step of arithmetic on sizes in floating point, never a size itself.
    Quotient(Extent, i64),
}

impl Definition {
    /// The sizes that it speaks of.
    fn parts(&self) -> impl Iterator<Item = &Extent> {
        let (a, b) = match self {
            Definition::Free(_) => (None, None),
            Definition::FloorDiv(a, b) | Definition::Min(a, b) | Definition::Max(a, b) => {
                (Some(a), Some(b))
            }
            Definition::Quotient(a, _) => (Some(a), None),
        };
        a.into_iter().chain(b)
    }
}

/// Steps that the evaluation of a symbol may take; one of more becomes a size of its own.
const MOST_STEPS: u32 = 1024;

/// All symbols of one analysis.
#[derive(Clone, Debug, Default)]
pub(crate) struct Symbols {
    definitions: Vec<Definition>,
    /// By symbol the symbols that its evaluation visits, each as often as it does.
    steps: Vec<u32>,
    known: HashMap<Definition, Symbol>,
}

impl Symbols {
    /// `None` where the evaluation would take too long.
    fn intern(&mut self, definition: Definition) -> Option<Extent> {
        let steps = self.steps_of(&definition);
        (steps <= MOST_STEPS).then(|| self.symbol(definition, steps))
    }

    fn steps_of(&self, definition: &Definition) -> u32 {
        let monomials = definition.parts().flat_map(Extent::monomials);
        let symbols = monomials.flat_map(|(symbols, _)| symbols);
        let steps = symbols.map(|symbol| self.steps[symbol.0 as usize]);
        steps.fold(1, u32::saturating_add)
    }

    fn symbol(&mut self, definition: Definition, steps: u32) -> Extent {
        let next = Symbol(self.definitions.len() as u32);
        let symbol = *self.known.entry(definition.clone()).or_insert(next);
        if symbol == next {
            self.definitions.push(definition);
            self.steps.push(steps);
        }
        Extent::Symbolic(BTreeMap::from([(Monomial(vec![symbol]), 1)]))
    }

    /// The dynamic size that the model calls `name`.
    pub(crate) fn named(&mut self, name: &str) -> Extent {
        self.symbol(Definition::Free(name.to_owned()), 1)
    }

    /// The dynamic size that the model declares as `text`: a name, or an expression of names and numbers.
    pub(crate) fn declared(&mut self, text: &str) -> Extent {
        let Some(terms) = expression::terms(text) else {
            return self.named(text);
        };
        let mut sum = Some(Extent::Known(0));
        for (number, names) in terms {
            let mut factors = names.iter().map(|name| self.named(name));
            let product = factors.try_fold(Extent::Known(number), |product, factor| {
                product.mul(&factor)
            });
            sum = sum
                .zip(product)
                .and_then(|(sum, product)| sum.add(&product));
        }
        sum.unwrap_or_else(|| self.named(text))
    }

    /// The name of a dynamic size that is one by itself.
    pub(crate) fn name_of(&self, extent: &Extent) -> Option<&str> {
        let Extent::Symbolic(terms) = extent else {
            return None;
        };
        let (monomial, coefficient) = terms.first_key_value()?;
        let ([symbol], 1, 1) = (&monomial.0[..], coefficient, terms.len()) else {
            return None;
        };
        match &self.definitions[symbol.0 as usize] {
            Definition::Free(name) => Some(name),
            _ => None,
        }
    }

    /// The names of all dynamic sizes that `extent` depends on.
    pub(crate) fn names(&self, extent: &Extent) -> BTreeSet<&str> {
        let (mut names, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let mut queue = vec![extent];
        while let Some(extent) = queue.pop() {
            let Extent::Symbolic(terms) = extent else {
                continue;
            };
            for symbol in terms
                .keys()
                .flat_map(|monomial| &monomial.0)
                .filter(|symbol| seen.insert(**symbol))
            {
                let definition = &self.definitions[symbol.0 as usize];
                if let Definition::Free(name) = definition {
                    names.insert(name.as_str());
                }
                queue.extend(definition.parts());
            }
        }
        names
    }

    /// True if the model has a dynamic size of this name.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.known.contains_key(&Definition::Free(name.to_owned()))
    }

    /// Division rounded down.
    pub(crate) fn floor_div(&mut self, a: &Extent, b: &Extent) -> Option<Extent> {
        match (a, b) {
            (_, Extent::Known(..=0)) => None,
            (Extent::Known(a), Extent::Known(b)) => Some(Extent::Known(a.div_euclid(*b))),
            (a, Extent::Known(b)) => self.floor_div_by(a, *b),
            (a, b) => {
                let defined = |symbols: &mut Symbols| {
                    symbols.intern(Definition::FloorDiv(a.clone(), b.clone()))
                };
                a.div_exact(b).or_else(|| defined(self))
            }
        }
    }

    /// In one form for equal divisions: whole multiples of the divisor are taken out, so that
    /// `(n - 1) / 2 + 1` is `(n + 1) / 2`, and a quotient divided again is divided once.
    fn floor_div_by(&mut self, a: &Extent, by: i64) -> Option<Extent> {
        let (mut whole, mut rest) = (BTreeMap::new(), BTreeMap::new());
        for (monomial, coefficient) in a.terms() {
            whole.insert(monomial.clone(), coefficient.div_euclid(by));
            rest.insert(monomial, coefficient.rem_euclid(by));
        }
        let (whole, rest) = (Extent::from_terms(whole)?, Extent::from_terms(rest)?);
        if let Extent::Known(rest) = rest {
            return whole.add(&Extent::Known(rest.div_euclid(by)));
        }
        let again = self.inner_division(&rest).and_then(|(inner, own, more)| {
            let shifted = inner.add(&Extent::Known(own.checked_mul(more)?))?;
            Some((shifted, own.checked_mul(by)?))
        });
        let quotient = match again {
            Some((inner, by)) => self.floor_div_by(&inner, by)?,
            None => self.intern(Definition::FloorDiv(rest, Extent::Known(by)))?,
        };
        whole.add(&quotient)
    }

    /// For `x / n + c`, rounded down: x, n and c.
    fn inner_division(&self, a: &Extent) -> Option<(Extent, i64, i64)> {
        let (rest, constant) = a.parts();
        let [(symbols, 1)] = &rest.monomials()[..] else {
            return None;
        };
        let [symbol] = symbols[..] else { return None };
        match &self.definitions[symbol.0 as usize] {
            Definition::FloorDiv(inner, Extent::Known(own)) => {
                Some((inner.clone(), *own, constant))
            }
            _ => None,
        }
    }

    /// Remainder of [`Symbols::floor_div`].
    pub(crate) fn modulo(&mut self, a: &Extent, b: &Extent) -> Option<Extent> {
        let quotient = self.floor_div(a, b)?;
        a.sub(&quotient.mul(b)?)
    }

    /// Division that is not rounded.
    pub(crate) fn quotient(&mut self, a: &Extent, by: i64) -> Option<Extent> {
        let (mut a, mut by) = (a.clone(), by);
        if by < 0 {
            (a, by) = (a.mul(&Extent::Known(-1))?, by.checked_neg()?);
        }
        let common = a.terms().values().fold(by, |common, &c| gcd(c, common));
        if common > 1 {
            (a, by) = (a.div_exact(&Extent::Known(common))?, by / common);
        }
        match by {
            0 => None,
            1 => Some(a),
            _ => self.intern(Definition::Quotient(a, by)),
        }
    }

    /// Numerator and denominator of a number that [`Symbols::quotient`] made, or of an integer.
    pub(crate) fn fraction(&self, extent: &Extent) -> Option<(Extent, i64)> {
        let monomials = extent.monomials();
        if let [(symbols, 1)] = &monomials[..]
            && let [symbol] = symbols[..]
            && let Definition::Quotient(a, by) = self.definition(symbol)
        {
            return Some((a.clone(), *by));
        }
        let mut symbols = monomials.iter().flat_map(|(symbols, _)| symbols);
        let real =
            symbols.any(|&symbol| matches!(self.definition(symbol), Definition::Quotient(..)));
        (!real).then(|| (extent.clone(), 1))
    }

    pub(crate) fn min(&mut self, a: &Extent, b: &Extent) -> Option<Extent> {
        match (a, b) {
            (Extent::Known(a), Extent::Known(b)) => Some(Extent::Known(*a.min(b))),
            _ if a == b => Some(a.clone()),
            _ => self.intern(Definition::Min(a.clone(), b.clone())),
        }
    }

    pub(crate) fn max(&mut self, a: &Extent, b: &Extent) -> Option<Extent> {
        match (a, b) {
            (Extent::Known(a), Extent::Known(b)) => Some(Extent::Known(*a.max(b))),
            _ if a == b => Some(a.clone()),
            _ => self.intern(Definition::Max(a.clone(), b.clone())),
        }
    }

    /// How a symbol gets its value.
    pub(crate) fn definition(&self, symbol: Symbol) -> &Definition {
        &self.definitions[symbol.0 as usize]
    }

    /// The number that `extent` is when every free symbol has the value that `assign` gives it.
    pub(crate) fn evaluate(&self, extent: &Extent, assign: &dyn Fn(&str) -> i64) -> Option<i64> {
        let terms = match extent {
            Extent::Known(value) => return Some(*value),
            Extent::Symbolic(terms) => terms,
        };
        let mut total = 0_i64;
        for (monomial, coefficient) in terms {
            let mut term = *coefficient;
            for symbol in &monomial.0 {
                term = term.checked_mul(self.value(*symbol, assign)?)?;
            }
            total = total.checked_add(term)?;
        }
        Some(total)
    }

    fn value(&self, symbol: Symbol, assign: &dyn Fn(&str) -> i64) -> Option<i64> {
        // A definition speaks only of older symbols, so this ends.
        match &self.definitions[symbol.0 as usize] {
            Definition::Free(name) => Some(assign(name)),
            Definition::FloorDiv(a, b) => {
                let divisor = self.evaluate(b, assign).filter(|&b| b > 0)?;
                self.evaluate(a, assign)?.checked_div_euclid(divisor)
            }
            Definition::Quotient(a, by) => {
                let a = self.evaluate(a, assign)?;
                (a.checked_rem(*by)? == 0).then(|| a / by)
            }
            Definition::Min(a, b) => Some(self.evaluate(a, assign)?.min(self.evaluate(b, assign)?)),
            Definition::Max(a, b) => Some(self.evaluate(a, assign)?.max(self.evaluate(b, assign)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_are_equal_however_they_were_computed() {
        let mut symbols = Symbols::default();
        let (b, s) = (symbols.named("batch"), symbols.named("sequence"));
        let left = b.mul(&s).unwrap().mul(&Extent::Known(4)).unwrap();
        let right = s.mul(&Extent::Known(4)).unwrap().mul(&b).unwrap();
        assert_eq!(left, right);
        assert_eq!(left.div_exact(&s), b.mul(&Extent::Known(4)));
        assert_eq!(left.div_exact(&Extent::Known(3)), None);
        assert_eq!(b.add(&s).unwrap().sub(&s), Some(b));
    }

    #[test]
    fn rounded_divisions_remember_what_they_are() {
        let mut symbols = Symbols::default();
        let height = symbols.named("height");
        let half = symbols.floor_div(&height, &Extent::Known(2)).unwrap();
        assert_eq!(
            Some(half.clone()),
            symbols.floor_div(&height, &Extent::Known(2))
        );
        assert_eq!(symbols.evaluate(&half, &|_| 7), Some(3));
        let rest = symbols.modulo(&height, &Extent::Known(2)).unwrap();
        assert_eq!(symbols.evaluate(&rest, &|_| 7), Some(1));
    }

    #[test]
    fn sums_are_divided_by_sums() {
        let mut symbols = Symbols::default();
        let (n, t) = (symbols.named("n"), symbols.named("t"));
        let length = t.add(&Extent::ONE).unwrap();
        let both = n.mul(&length).unwrap();
        let whole = both.mul(&Extent::Known(16)).unwrap();
        assert_eq!(whole.div_exact(&both), Some(Extent::Known(16)));
        assert_eq!(whole.div_exact(&length), n.mul(&Extent::Known(16)));
        assert_eq!(whole.div_exact(&t), None);
        let square = length.mul(&length).unwrap();
        assert_eq!(square.div_exact(&length), Some(length));
    }

    #[test]
    fn equal_divisions_have_one_form() {
        let mut symbols = Symbols::default();
        let n = symbols.named("n");
        let plus = |extent: &Extent, c: i64| extent.add(&Extent::Known(c)).unwrap();
        let half =
            |symbols: &mut Symbols, of: &Extent| symbols.floor_div(of, &Extent::Known(2)).unwrap();
        let strided = half(&mut symbols, &plus(&n, -1));
        assert_eq!(plus(&strided, 1), half(&mut symbols, &plus(&n, 1)));
        let once = half(&mut symbols, &n);
        let twice = half(&mut symbols, &plus(&once, 1));
        let direct = symbols.floor_div(&plus(&n, 2), &Extent::Known(4));
        assert_eq!(Some(twice.clone()), direct);
        assert_eq!(symbols.evaluate(&twice, &|_| 9), Some(2));
    }

    #[test]
    fn multiples_are_told_without_their_constants() {
        let n = Symbols::default().named("n");
        let of = |a: i64, c: i64| {
            let product = n.mul(&Extent::Known(a)).unwrap();
            product.add(&Extent::Known(c)).unwrap()
        };
        assert_eq!(of(4, 1).ratio_to(&of(6, 5)), Some((2, 3)));
        assert_eq!(of(4, 1).ratio_to(&Extent::Known(3)), None);
    }

    #[test]
    fn powers_end() {
        let mut size = Symbols::default().named("n");
        let squares = (0..60).map_while(|_| {
            size = size.mul(&size)?;
            Some(())
        });
        assert_eq!(squares.count(), 5);
    }

    #[test]
    fn overflow_is_no_size() {
        let big = Extent::Known(i64::MAX);
        assert_eq!(big.mul(&big), None);
        assert_eq!(big.add(&Extent::ONE), None);
    }
}
