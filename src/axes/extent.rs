//! Sizes of axes: numbers where they are known, polynomials over symbols where they are dynamic.
//!
//! Two sizes are the same only if their polynomials are; what is not polynomial (rounded divisions, minima)
//! becomes a symbol of its own that remembers its definition, so that equal computations give equal sizes
//! and every size can be evaluated once the inputs' sizes are chosen.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::expression;

/// A symbol of a [`Symbols`] table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Symbol(u32);

/// Product of symbols, sorted.
type Monomial = Vec<Symbol>;

/// A size or an integer of shape arithmetic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Extent {
    /// A number.
    Known(i64),
    /// A polynomial that holds at least one symbol; coefficients are never zero.
    Symbolic(BTreeMap<Monomial, i64>),
}

/// How a symbol gets its value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Definition {
    /// A dynamic size that the model names or that has no source we can see.
    Free(String),
    FloorDiv(Extent, Extent),
    Min(Extent, Extent),
    Max(Extent, Extent),
}

/// All symbols of one analysis.
#[derive(Clone, Debug, Default)]
pub(crate) struct Symbols {
    definitions: Vec<Definition>,
    known: HashMap<Definition, Symbol>,
}

impl Extent {
    pub(crate) const ONE: Extent = Extent::Known(1);

    /// The number, where it is one.
    pub(crate) fn known(&self) -> Option<i64> {
        match self {
            Extent::Known(value) => Some(*value),
            Extent::Symbolic(_) => None,
        }
    }

    /// The number as a size.
    pub(crate) fn size(&self) -> Option<usize> {
        self.known().and_then(|value| usize::try_from(value).ok())
    }

    pub(crate) fn is_one(&self) -> bool {
        *self == Extent::ONE
    }

    fn terms(&self) -> BTreeMap<Monomial, i64> {
        match self {
            Extent::Known(0) => BTreeMap::new(),
            Extent::Known(value) => BTreeMap::from([(Monomial::new(), *value)]),
            Extent::Symbolic(terms) => terms.clone(),
        }
    }

    fn from_terms(mut terms: BTreeMap<Monomial, i64>) -> Extent {
        terms.retain(|_, coefficient| *coefficient != 0);
        match terms.len() {
            0 => Extent::Known(0),
            1 if terms.contains_key(&Monomial::new()) => Extent::Known(terms[&Monomial::new()]),
            _ => Extent::Symbolic(terms),
        }
    }

    /// Sum; `None` on overflow, as in all arithmetic here.
    pub(crate) fn add(&self, other: &Extent) -> Option<Extent> {
        if let (Extent::Known(a), Extent::Known(b)) = (self, other) {
            return a.checked_add(*b).map(Extent::Known);
        }
        let mut terms = self.terms();
        for (monomial, coefficient) in other.terms() {
            let entry = terms.entry(monomial).or_insert(0);
            *entry = entry.checked_add(coefficient)?;
        }
        Some(Extent::from_terms(terms))
    }

    pub(crate) fn sub(&self, other: &Extent) -> Option<Extent> {
        self.add(&other.mul(&Extent::Known(-1))?)
    }

    pub(crate) fn mul(&self, other: &Extent) -> Option<Extent> {
        if let (Extent::Known(a), Extent::Known(b)) = (self, other) {
            return a.checked_mul(*b).map(Extent::Known);
        }
        let mut terms: BTreeMap<Monomial, i64> = BTreeMap::new();
        for (left, a) in self.terms() {
            for (right, b) in other.terms() {
                let mut monomial: Monomial = left.iter().chain(&right).copied().collect();
                monomial.sort_unstable();
                let entry = terms.entry(monomial).or_insert(0);
                *entry = entry.checked_add(a.checked_mul(b)?)?;
            }
        }
        Some(Extent::from_terms(terms))
    }

    /// The quotient where `other` divides exactly whatever the symbols are.
    pub(crate) fn div_exact(&self, other: &Extent) -> Option<Extent> {
        if self == other && *self != Extent::Known(0) {
            return Some(Extent::ONE);
        }
        if let (Extent::Known(a), Extent::Known(b)) = (self, other) {
            let exact = *b != 0 && a.checked_rem(*b)? == 0;
            return exact.then(|| Extent::Known(a / b));
        }
        let divisor = other.terms();
        if divisor.len() != 1 {
            return None;
        }
        let (by, b) = divisor.first_key_value()?;
        let mut quotient = BTreeMap::new();
        for (monomial, a) in self.terms() {
            let mut rest = monomial;
            for symbol in by {
                let place = rest.iter().position(|s| s == symbol)?;
                rest.remove(place);
            }
            if a.checked_rem(*b)? != 0 {
                return None;
            }
            quotient.insert(rest, a / b);
        }
        Some(Extent::from_terms(quotient))
    }

    /// Product of many.
    pub(crate) fn product<'a>(extents: impl IntoIterator<Item = &'a Extent>) -> Option<Extent> {
        extents
            .into_iter()
            .try_fold(Extent::ONE, |product, extent| product.mul(extent))
    }
}

impl From<usize> for Extent {
    fn from(size: usize) -> Extent {
        Extent::Known(i64::try_from(size).unwrap_or(i64::MAX))
    }
}

impl Symbols {
    fn intern(&mut self, definition: Definition) -> Extent {
        let next = Symbol(self.definitions.len() as u32);
        let symbol = *self.known.entry(definition.clone()).or_insert(next);
        if symbol == next {
            self.definitions.push(definition);
        }
        Extent::Symbolic(BTreeMap::from([(vec![symbol], 1)]))
    }

    /// The dynamic size that the model calls `name`.
    pub(crate) fn named(&mut self, name: &str) -> Extent {
        self.intern(Definition::Free(name.to_owned()))
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
        let ([symbol], 1, 1) = (&monomial[..], coefficient, terms.len()) else {
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
                .flatten()
                .filter(|symbol| seen.insert(**symbol))
            {
                match &self.definitions[symbol.0 as usize] {
                    Definition::Free(name) => {
                        names.insert(name.as_str());
                    }
                    Definition::FloorDiv(a, b) | Definition::Min(a, b) | Definition::Max(a, b) => {
                        queue.extend([a, b]);
                    }
                }
            }
        }
        names
    }

    /// Division rounded down.
    pub(crate) fn floor_div(&mut self, a: &Extent, b: &Extent) -> Option<Extent> {
        if let (Extent::Known(a), Extent::Known(b)) = (a, b) {
            return a
                .checked_div_euclid(*b)
                .filter(|_| *b > 0)
                .map(Extent::Known);
        }
        if *b == Extent::Known(0) {
            return None;
        }
        a.div_exact(b)
            .or_else(|| Some(self.intern(Definition::FloorDiv(a.clone(), b.clone()))))
    }

    /// Remainder of [`Symbols::floor_div`].
    pub(crate) fn modulo(&mut self, a: &Extent, b: &Extent) -> Option<Extent> {
        let quotient = self.floor_div(a, b)?;
        a.sub(&quotient.mul(b)?)
    }

    pub(crate) fn min(&mut self, a: &Extent, b: &Extent) -> Extent {
        match (a, b) {
            (Extent::Known(a), Extent::Known(b)) => Extent::Known(*a.min(b)),
            _ if a == b => a.clone(),
            _ => self.intern(Definition::Min(a.clone(), b.clone())),
        }
    }

    pub(crate) fn max(&mut self, a: &Extent, b: &Extent) -> Extent {
        match (a, b) {
            (Extent::Known(a), Extent::Known(b)) => Extent::Known(*a.max(b)),
            _ if a == b => a.clone(),
            _ => self.intern(Definition::Max(a.clone(), b.clone())),
        }
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
            for symbol in monomial {
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
    fn overflow_is_no_size() {
        let big = Extent::Known(i64::MAX);
        assert_eq!(big.mul(&big), None);
        assert_eq!(big.add(&Extent::ONE), None);
    }
}
