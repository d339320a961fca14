//! Sizes of axes: numbers where they are known, polynomials over symbols where they are dynamic.
//!
//! Two sizes are the same only if their polynomials are.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A symbol of a table of symbols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Symbol(pub(super) u32);

/// Terms that a size can have; longer ones are not computable.
const MAX_TERMS: usize = 128;
/// Symbols that can be multiplied with each other.
const MAX_DEGREE: usize = 32;

/// Product of symbols, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Monomial(pub(super) Vec<Symbol>);

/// By degree, then by symbols: an order that multiplication keeps.
impl Ord for Monomial {
    fn cmp(&self, other: &Monomial) -> Ordering {
        let degrees = self.0.len().cmp(&other.0.len());
        degrees.then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Monomial {
    fn partial_cmp(&self, other: &Monomial) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Monomial {
    fn times(&self, other: &Monomial) -> Monomial {
        let mut symbols = [&self.0[..], &other.0].concat();
        symbols.sort_unstable();
        Monomial(symbols)
    }

    /// What is left without the symbols of `by`, if it has them all.
    fn over(&self, by: &Monomial) -> Option<Monomial> {
        let mut rest = self.0.clone();
        for symbol in &by.0 {
            let place = rest.iter().position(|s| s == symbol)?;
            rest.remove(place);
        }
        Some(Monomial(rest))
    }
}

/// Greatest common divisor of two numbers of which the second is not 0, with the sign of the second.
pub(super) fn gcd(a: i64, b: i64) -> i64 {
    let (mut x, mut y) = (a.unsigned_abs(), b.unsigned_abs());
    while y != 0 {
        (x, y) = (y, x % y);
    }
    let common = i64::try_from(x).unwrap_or(1);
    if b < 0 { -common } else { common }
}

/// A size or an integer of shape arithmetic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Extent {
    /// A number.
    Known(i64),
    /// A polynomial that holds at least one symbol; coefficients are never zero.
    Symbolic(BTreeMap<Monomial, i64>),
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

    pub(super) fn terms(&self) -> BTreeMap<Monomial, i64> {
        match self {
            Extent::Known(0) => BTreeMap::new(),
            Extent::Known(value) => BTreeMap::from([(Monomial::default(), *value)]),
            Extent::Symbolic(terms) => terms.clone(),
        }
    }

    /// None where there are more terms, or terms of a higher degree, than any real size has.
    pub(super) fn from_terms(mut terms: BTreeMap<Monomial, i64>) -> Option<Extent> {
        terms.retain(|_, coefficient| *coefficient != 0);
        let highest = terms.last_key_value();
        let constant = highest.is_none_or(|(monomial, _)| monomial.0.is_empty());
        if constant {
            let value = highest.map_or(0, |(_, &value)| value);
            return Some(Extent::Known(value));
        }
        let degree = highest.map_or(0, |(monomial, _)| monomial.0.len());
        (terms.len() <= MAX_TERMS && degree <= MAX_DEGREE).then_some(Extent::Symbolic(terms))
    }

    /// Sum; `None` where it overflows or is too long, as in all arithmetic here.
    pub(crate) fn add(&self, other: &Extent) -> Option<Extent> {
        if let (Extent::Known(a), Extent::Known(b)) = (self, other) {
            return a.checked_add(*b).map(Extent::Known);
        }
        let mut terms = self.terms();
        for (monomial, coefficient) in other.terms() {
            let entry = terms.entry(monomial).or_insert(0);
            *entry = entry.checked_add(coefficient)?;
        }
        Extent::from_terms(terms)
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
                let entry = terms.entry(left.times(&right)).or_insert(0);
                *entry = entry.checked_add(a.checked_mul(b)?)?;
            }
        }
        Extent::from_terms(terms)
    }

    /// The quotient where `other` divides exactly whatever the symbols are: long division by the highest term.
    pub(crate) fn div_exact(&self, other: &Extent) -> Option<Extent> {
        if self == other && *self != Extent::Known(0) {
            return Some(Extent::ONE);
        }
        if let (Extent::Known(a), Extent::Known(b)) = (self, other) {
            let exact = *b != 0 && a.checked_rem(*b)? == 0;
            return exact.then(|| Extent::Known(a / b));
        }
        let divisor = other.terms();
        let (by, b) = divisor.last_key_value()?;
        let (mut rest, mut quotient) = (self.terms(), BTreeMap::new());
        while let Some((highest, &a)) = rest.last_key_value() {
            if a.checked_rem(*b)? != 0 || quotient.len() > MAX_TERMS {
                return None;
            }
            let (monomial, factor) = (highest.over(by)?, a / b);
            for (term, coefficient) in &divisor {
                let entry = rest.entry(term.times(&monomial)).or_insert(0);
                *entry = entry.checked_sub(coefficient.checked_mul(factor)?)?;
            }
            rest.retain(|_, coefficient| *coefficient != 0);
            quotient.insert(monomial, factor);
        }
        Extent::from_terms(quotient)
    }

    /// True if it is this symbol and nothing else.
    pub(crate) fn is_symbol(&self, symbol: Symbol) -> bool {
        matches!(&self.monomials()[..], [(symbols, 1)] if symbols[..] == [symbol])
    }

    /// The polynomial without its constant, and the constant.
    pub(crate) fn parts(&self) -> (Extent, i64) {
        match self {
            Extent::Known(value) => (Extent::Known(0), *value),
            Extent::Symbolic(terms) => {
                let mut terms = terms.clone();
                let constant = terms.remove(&Monomial::default()).unwrap_or(0);
                (Extent::Symbolic(terms), constant)
            }
        }
    }

    /// The terms: for each its symbols, with repetitions, and its coefficient.
    pub(crate) fn monomials(&self) -> Vec<(Vec<Symbol>, i64)> {
        let terms = self.terms().into_iter();
        terms.map(|(monomial, c)| (monomial.0, c)).collect()
    }

    /// For `self = p + c` and `other = q + d` with constants c and d: numbers a and b with `q * a = p * b`,
    /// where p is a rational multiple of q.
    pub(crate) fn ratio_to(&self, other: &Extent) -> Option<(i64, i64)> {
        let (p, q) = (self.parts().0.terms(), other.parts().0.terms());
        let (a, b) = (*p.values().next()?, *q.values().next()?);
        let same = p.len() == q.len()
            && p.iter().zip(&q).all(|((m, x), (n, y))| {
                m == n && i128::from(*x) * i128::from(b) == i128::from(*y) * i128::from(a)
            });
        let common = gcd(a, b);
        same.then_some((a.checked_div(common)?, b.checked_div(common)?))
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
