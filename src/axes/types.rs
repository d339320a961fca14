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
    /// It meets something other than contractions, reshapes, additions and uniform scalings.
    pub(crate) nonlinear: Option<Reason>,
    /// Each of this many equal blocks must keep the same number of positions.
    pub(crate) blocks: usize,
}

#[derive(Clone, Debug)]
struct Slot {
    /// As it was when it was bound, where it is.
    var: Var,
    /// What it stands for; none while it is free.
    bound: Option<Type>,
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

/// What a size counts as that overflows.
pub(super) const TOO_LARGE: Extent = Extent::Known(i64::MAX);

/// All type variables of one analysis.
#[derive(Clone, Debug, Default)]
pub(crate) struct Types {
    id: TableId,
    slots: Vec<Slot>,
}

impl Types {
    pub(crate) fn id(&self) -> TableId {
        self.id
    }

    fn add(&mut self, var: Var) -> Type {
        self.slots.push(Slot { var, bound: None });
        Type::Var(VarId(self.slots.len() as u32 - 1))
    }

    /// A new variable over `extent` positions.
    pub(crate) fn fresh(&mut self, extent: Extent) -> Type {
        self.add(Var {
            extent,
            pin: None,
            mixing: None,
            nonlinear: None,
            blocks: 1,
        })
    }

    /// A new variable that keeps all its positions.
    pub(crate) fn fixed(&mut self, extent: Extent, reason: Reason) -> Type {
        self.add(Var {
            extent,
            pin: Some(reason),
            mixing: None,
            nonlinear: None,
            blocks: 1,
        })
    }

    /// A free variable's properties; of a bound one those that it had.
    pub(crate) fn var(&self, id: VarId) -> &Var {
        &self.slots[id.0 as usize].var
    }

    fn var_mut(&mut self, id: VarId) -> &mut Var {
        &mut self.slots[id.0 as usize].var
    }

    /// What a variable stands for; none while it is free.
    fn bound(&self, id: VarId) -> Option<&Type> {
        self.slots[id.0 as usize].bound.as_ref()
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

    /// Whether the normal form of a type has fewer than `most` variables, the same one counted wherever it stands.
    pub(crate) fn has_fewer_parts(&self, ty: &Type, most: usize) -> bool {
        let mut count = 0;
        let mut open = vec![ty];
        while let Some(ty) = open.pop() {
            match ty {
                Type::Var(id) => match self.bound(*id) {
                    Some(term) => open.push(term),
                    None => count += 1,
                },
                Type::Product(inner) | Type::Sum(inner) => open.extend(inner),
                Type::Block { of, .. } => open.push(of),
            }
            if count + open.len() >= most {
                return false;
            }
        }
        true
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

    /// Keeps all positions of `ty`. The first reason stays.
    pub(crate) fn pin(&mut self, ty: &Type, reason: Reason) {
        for id in self.vars(ty) {
            self.var_mut(id).pin.get_or_insert(reason);
        }
    }

    /// Marks the channels of `ty` as influencing each other.
    pub(crate) fn mixing(&mut self, ty: &Type, reason: Reason) {
        for id in self.vars(ty) {
            self.var_mut(id).mixing.get_or_insert(reason);
        }
    }

    /// Marks `ty` as meeting something that no change of basis survives.
    pub(crate) fn nonlinear(&mut self, ty: &Type, reason: Reason) {
        for id in self.vars(ty) {
            self.var_mut(id).nonlinear.get_or_insert(reason);
        }
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

    /// The younger variable is bound to the older one, so that chains of bound variables stay short.
    fn merge(&mut self, a: VarId, b: VarId, reason: Reason) {
        let (from, into) = (a.max(b), a.min(b));
        let old = self.var(from).clone();
        let var = self.var_mut(into);
        var.pin = var.pin.or(old.pin);
        var.mixing = var.mixing.or(old.mixing);
        var.nonlinear = var.nonlinear.or(old.nonlinear);
        self.slots[from.0 as usize].bound = Some(Type::Var(into));
        self.balance_var(into, old.blocks, reason);
    }

    /// Binds a free variable to a term of the same size that is in normal form.
    pub(super) fn bind(&mut self, id: VarId, term: &Type, reason: Reason) {
        if self.vars(term).contains(&id) {
            let why = "would make an axis a part of itself";
            return self.pin(term, Reason { why, ..reason });
        }
        let var = self.var(id).clone();
        self.slots[id.0 as usize].bound = Some(term.clone());
        if let Some(pin) = var.pin {
            self.pin(term, pin);
        }
        if let Some(mixing) = var.mixing {
            self.mixing(term, mixing);
        }
        if let Some(nonlinear) = var.nonlinear {
            self.nonlinear(term, nonlinear);
        }
        if var.blocks > 1 {
            self.balance(term, var.blocks, reason);
        }
    }

    fn unify_sum(&mut self, parts: &[Type], other: &Type, reason: Reason) {
        let sizes: Vec<Extent> = parts.iter().map(|part| self.extent(part)).collect();
        let others = self.split(other, &sizes, reason);
        for (part, other) in parts.iter().zip(&others) {
            self.unify(part, other, reason);
        }
    }

    /// Requires that each of `blocks` equal blocks of `ty` keeps the same number of positions.
    pub(crate) fn balance(&mut self, ty: &Type, blocks: usize, reason: Reason) {
        let why = "has one channel per group";
        let ty = self.normal(ty);
        let total = self.extent(&ty);
        let Some(size) = total.div_exact(&Extent::from(blocks)) else {
            return self.pin(&ty, reason);
        };
        if size.is_one() {
            return self.pin(&ty, Reason { why, ..reason });
        }
        match &ty {
            Type::Var(id) => self.balance_var(*id, blocks, reason),
            Type::Product(factors) => {
                let Some((outer, inner)) = factors.split_first() else {
                    return;
                };
                let inner = Type::Product(inner.to_vec());
                let outer_size = self.extent(outer);
                if outer_size.div_exact(&Extent::from(blocks)).is_some() {
                    return self.balance(outer, blocks, reason);
                }
                self.pin(outer, reason);
                let rest = Extent::from(blocks).div_exact(&outer_size);
                match rest.and_then(|rest| rest.size()) {
                    Some(rest) => self.balance(&inner, rest, reason),
                    None => self.pin(&ty, reason),
                }
            }
            Type::Sum(_) => {
                let factors = self.factor(&ty, &[Extent::from(blocks), size], reason);
                self.pin(&factors[0], reason);
            }
            Type::Block { .. } => self.pin(&ty, reason),
        }
    }

    fn balance_var(&mut self, id: VarId, blocks: usize, reason: Reason) {
        let var = self.var_mut(id);
        let (small, large) = (var.blocks.min(blocks), var.blocks.max(blocks));
        var.blocks = large;
        if large % small != 0 {
            let why = "needs groups that cut across other groups";
            var.pin.get_or_insert(Reason { why, ..reason });
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
