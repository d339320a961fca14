//! The types and their unification.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use super::extent::Extent;

/// A union-find variable of a [`Types`] table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct VarId(pub(crate) u32);

/// What the positions of an axis are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// Positions without structure.
    Var(VarId),
    /// Row-major product.
    Product(Vec<Type>),
    /// Concatenation.
    Sum(Vec<Type>),
    /// In the i-th of `blocks` equal blocks of the value's first axis, this axis is the i-th of `blocks`
    /// equal blocks of `of`: the second axis of a grouped convolution's weight.
    Block { of: Box<Type>, blocks: usize },
}

/// Who stated something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// The node with this index.
    Node(u32),
    /// The value with this index.
    Value(u32),
}

/// Why a variable is pinned, mixing or not linear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Reason {
    pub(crate) origin: Origin,
    pub(crate) why: &'static str,
}

/// A free variable's properties.
#[derive(Clone, Debug)]
pub(crate) struct Var {
    pub(crate) extent: Extent,
    /// It keeps all its positions.
    pub(crate) pin: Option<Reason>,
    /// Its channels influence each other through a normalisation or reduction.
    pub(crate) mixing: Option<Reason>,
    /// They do so in a way that a masked twin cannot put right.
    pub(crate) unproven: Option<Reason>,
    /// Its positions are alternatives: shares of a distribution, ranks, steps.
    pub(crate) alternatives: Option<Reason>,
    /// It meets something other than contractions, reshapes, additions and uniform scalings.
    pub(crate) nonlinear: Option<Reason>,
    /// Each of this many equal blocks must keep the same number of positions.
    pub(crate) blocks: usize,
    /// No fewer positions than this may stay.
    pub(crate) least: usize,
}

#[derive(Clone, Debug)]
struct Slot {
    /// As it was when it was bound, where it is.
    var: Var,
    class: usize,
    /// How deep the terms are nested that it is bound in.
    depth: u32,
}

/// Variables that are the same.
#[derive(Clone, Debug)]
struct Class {
    /// What they stand for: the oldest of them, while that is free.
    term: Type,
    members: Vec<VarId>,
}

/// Which table of types something belongs to; a table and its copies have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableId(u64);

impl Default for TableId {
    fn default() -> TableId {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        TableId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Terms in terms: deeper ones would outgrow the stack.
const DEEPEST: u32 = 256;

/// What a size counts as that overflows.
pub(super) const TOO_LARGE: Extent = Extent::Known(i64::MAX);

/// All type variables of one analysis.
#[derive(Clone, Debug, Default)]
pub(crate) struct Types {
    id: TableId,
    slots: Vec<Slot>,
    classes: Vec<Class>,
}

impl Types {
    pub(crate) fn id(&self) -> TableId {
        self.id
    }

    fn add(&mut self, var: Var) -> Type {
        let id = VarId(self.slots.len() as u32);
        let class = self.classes.len();
        self.slots.push(Slot {
            var,
            class,
            depth: 0,
        });
        self.classes.push(Class {
            term: Type::Var(id),
            members: vec![id],
        });
        Type::Var(id)
    }

    /// A new variable over `extent` positions.
    pub(crate) fn fresh(&mut self, extent: Extent) -> Type {
        self.add(Var {
            extent,
            pin: None,
            mixing: None,
            unproven: None,
            alternatives: None,
            nonlinear: None,
            blocks: 1,
            least: 1,
        })
    }

    /// A new variable that keeps all its positions.
    pub(crate) fn fixed(&mut self, extent: Extent, reason: Reason) -> Type {
        self.add(Var {
            extent,
            pin: Some(reason),
            mixing: None,
            unproven: None,
            alternatives: None,
            nonlinear: None,
            blocks: 1,
            least: 1,
        })
    }

    /// A free variable's properties; of a bound one those that it had.
    pub(crate) fn var(&self, id: VarId) -> &Var {
        &self.slots[id.0 as usize].var
    }

    pub(super) fn var_mut(&mut self, id: VarId) -> &mut Var {
        &mut self.slots[id.0 as usize].var
    }

    /// What a variable stands for; none while it is free.
    pub(super) fn bound(&self, id: VarId) -> Option<&Type> {
        let term = &self.classes[self.class(id)].term;
        (*term != Type::Var(id)).then_some(term)
    }

    fn class(&self, id: VarId) -> usize {
        self.slots[id.0 as usize].class
    }

    /// The normal form: bound variables replaced, nested sums and products flattened, factors of size 1 and
    /// empty parts dropped.
    pub(crate) fn normal(&self, ty: &Type) -> Type {
        self.normal_with_size(ty).0
    }

    /// The normal form and its number of positions, in one pass.
    fn normal_with_size(&self, ty: &Type) -> (Type, Extent) {
        match ty {
            Type::Var(id) => match self.bound(*id) {
                None => (ty.clone(), self.var(*id).extent.clone()),
                Some(term) => self.normal_with_size(term),
            },
            Type::Product(factors) => {
                let mut flat = Vec::with_capacity(factors.len());
                let (mut unit, mut size) = (None, Some(Extent::ONE));
                for factor in factors {
                    let (inner, own) = self.normal_with_size(factor);
                    size = size.and_then(|size| size.mul(&own));
                    match inner {
                        Type::Product(inner) => flat.extend(inner),
                        inner if own.is_one() => unit = Some(inner),
                        inner => flat.push(inner),
                    }
                }
                let product = single_or(flat, unit, Type::Product);
                (product, size.unwrap_or(TOO_LARGE))
            }
            Type::Sum(parts) => {
                let mut flat = Vec::with_capacity(parts.len());
                let (mut empty, mut size) = (None, Some(Extent::Known(0)));
                for part in parts {
                    let (inner, own) = self.normal_with_size(part);
                    size = size.and_then(|size| size.add(&own));
                    match inner {
                        Type::Sum(inner) => flat.extend(inner),
                        inner if own == Extent::Known(0) => empty = Some(inner),
                        inner => flat.push(inner),
                    }
                }
                let sum = single_or(flat, empty, Type::Sum);
                (sum, size.unwrap_or(TOO_LARGE))
            }
            Type::Block { of, blocks } => {
                let (of, size) = self.normal_with_size(of);
                let size = size.div_exact(&Extent::from(*blocks));
                let of = Box::new(of);
                let blocks = *blocks;
                (Type::Block { of, blocks }, size.unwrap_or(TOO_LARGE))
            }
        }
    }

    /// Number of positions. A size that overflows counts as the largest number there is.
    pub(crate) fn extent(&self, ty: &Type) -> Extent {
        match ty {
            Type::Var(id) => match self.bound(*id) {
                None => self.var(*id).extent.clone(),
                Some(term) => self.extent(term),
            },
            Type::Product(factors) => factors
                .iter()
                .try_fold(Extent::ONE, |n, factor| n.mul(&self.extent(factor)))
                .unwrap_or(TOO_LARGE),
            Type::Sum(parts) => parts
                .iter()
                .try_fold(Extent::Known(0), |n, part| n.add(&self.extent(part)))
                .unwrap_or(TOO_LARGE),
            Type::Block { of, blocks } => self
                .extent(of)
                .div_exact(&Extent::from(*blocks))
                .unwrap_or(TOO_LARGE),
        }
    }

    /// The free variables of a type, each once.
    pub(crate) fn vars(&self, ty: &Type) -> Vec<VarId> {
        fn collect(types: &Types, ty: &Type, seen: &mut HashSet<VarId>, out: &mut Vec<VarId>) {
            match ty {
                Type::Var(id) => match types.bound(*id) {
                    Some(term) => collect(types, term, seen, out),
                    None if !seen.insert(*id) => {}
                    None => out.push(*id),
                },
                Type::Product(inner) | Type::Sum(inner) => {
                    inner.iter().for_each(|ty| collect(types, ty, seen, out));
                }
                Type::Block { of, .. } => collect(types, of, seen, out),
            }
        }
        let mut out = Vec::new();
        collect(self, ty, &mut HashSet::new(), &mut out);
        out
    }

    /// States that two axes are the same.
    pub(crate) fn unify(&mut self, a: &Type, b: &Type, reason: Reason) {
        let (a, b) = (self.normal(a), self.normal(b));
        if a == b {
            return;
        }
        if self.extent(&a) != self.extent(&b) {
            return self.pin_both(&a, &b, reason, "joins axes of different sizes");
        }
        match (&a, &b) {
            (Type::Var(x), Type::Var(y)) => self.merge(*x, *y, reason),
            (Type::Var(x), term) | (term, Type::Var(x)) => self.bind(*x, term, reason),
            (Type::Sum(parts), other) | (other, Type::Sum(parts)) => {
                self.unify_sum(parts, other, reason);
            }
            (Type::Product(x), Type::Product(y)) => self.unify_products(x, y, reason),
            (Type::Block { of: x, blocks: m }, Type::Block { of: y, blocks: n }) if m == n => {
                self.unify(x, y, reason)
            }
            (Type::Block { .. }, _) | (_, Type::Block { .. }) => {
                self.pin_both(
                    &a,
                    &b,
                    reason,
                    "uses the weight of a grouped convolution otherwise",
                );
            }
        }
    }

    fn pin_both(&mut self, a: &Type, b: &Type, reason: Reason, why: &'static str) {
        let reason = Reason { why, ..reason };
        self.pin(a, reason);
        self.pin(b, reason);
    }

    /// The younger variable is bound to the older one. Of their classes the smaller one joins the larger, so that
    /// no variable changes its class often.
    fn merge(&mut self, a: VarId, b: VarId, reason: Reason) {
        let (from, into) = (a.max(b), a.min(b));
        let mut old = self.var(from).clone();
        let var = self.var_mut(into);
        var.take_marks(&mut old);
        var.least = var.least.max(old.least);
        let (mut small, mut large) = (self.class(from), self.class(into));
        if self.classes[small].members.len() > self.classes[large].members.len() {
            std::mem::swap(&mut small, &mut large);
        }
        let joined = std::mem::take(&mut self.classes[small].members);
        for id in &joined {
            self.slots[id.0 as usize].class = large;
        }
        self.classes[large].members.extend(joined);
        self.classes[large].term = Type::Var(into);
        let depth = self.slots[from.0 as usize].depth;
        self.deepen(into, depth);
        self.balance_var(into, old.blocks, reason);
    }

    /// Binds a free variable to a term of the same size that is in normal form.
    pub(super) fn bind(&mut self, id: VarId, term: &Type, reason: Reason) {
        let inner = self.vars(term);
        if inner.contains(&id) {
            let why = "would make an axis a part of itself";
            return self.pin(term, Reason { why, ..reason });
        }
        let depth = self.slots[id.0 as usize].depth + 1;
        if depth > DEEPEST {
            let why = "is cut into parts of parts too often";
            return self.pin_both(&Type::Var(id), term, reason, why);
        }
        inner.iter().for_each(|&inner| self.deepen(inner, depth));
        let mut var = self.var(id).clone();
        let class = self.class(id);
        self.classes[class].term = term.clone();
        self.pass_marks(&mut var, term);
        if var.blocks > 1 {
            self.balance(term, var.blocks, reason);
        }
        let why = "has parts, and a number of positions that have to stay";
        self.keep_least(term, var.least, Reason { why, ..reason });
    }

    fn deepen(&mut self, id: VarId, depth: u32) {
        let own = &mut self.slots[id.0 as usize].depth;
        *own = depth.max(*own);
    }

    fn unify_sum(&mut self, parts: &[Type], other: &Type, reason: Reason) {
        let sizes: Vec<Extent> = parts.iter().map(|part| self.extent(part)).collect();
        let others = self.split(other, &sizes, reason);
        for (part, other) in parts.iter().zip(&others) {
            self.unify(part, other, reason);
        }
    }
}

fn single_or(mut flat: Vec<Type>, unit: Option<Type>, make: fn(Vec<Type>) -> Type) -> Type {
    match (flat.len(), unit) {
        (0, Some(unit)) => unit,
        (1, _) => flat.swap_remove(0),
        _ => make(flat),
    }
}
