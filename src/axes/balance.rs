//! Axes of which equal blocks keep the same numbers of positions, or some number at least, and how many parts an axis has.

use std::collections::BTreeMap;

use super::extent::Extent;
use super::types::{Reason, Type, Types, VarId};

impl Types {
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

    /// Requires that `ty` keeps at least this many positions. Every variable keeps one: a product has enough where its
    /// outermost factor of that size does, a sum where it has as many parts; all others keep all.
    pub(crate) fn keep_least(&mut self, ty: &Type, least: usize, reason: Reason) {
        match self.normal(ty) {
            _ if least <= 1 => {}
            Type::Var(id) => {
                let var = self.var_mut(id);
                var.least = var.least.max(least);
                if var.extent.size().is_some_and(|size| size <= least) {
                    var.pin.get_or_insert(reason);
                }
            }
            Type::Sum(parts) if parts.len() >= least => {}
            ty => match self.wide_factor(&ty, least) {
                Some(factor) => self.keep_least(&factor, least, reason),
                None => self.pin(&ty, reason),
            },
        }
    }

    /// The outermost factor of a product that has at least this many positions.
    fn wide_factor(&self, ty: &Type, least: usize) -> Option<Type> {
        let Type::Product(factors) = ty else {
            return None;
        };
        let size = |factor: &Type| self.extent(factor).size();
        let mut factors = factors.iter();
        let found = factors.find(|factor| size(factor).is_some_and(|size| size >= least));
        found.cloned()
    }

    pub(super) fn balance_var(&mut self, id: VarId, blocks: usize, reason: Reason) {
        let var = self.var_mut(id);
        let (small, large) = (var.blocks.min(blocks), var.blocks.max(blocks));
        var.blocks = large;
        if large % small != 0 {
            let why = "needs groups that cut across other groups";
            var.pin.get_or_insert(Reason { why, ..reason });
        }
    }

    /// By variable of what its size has to be a multiple so that the size of `ty` is one of `of`: enough, and what is pinned
    /// taken for granted.
    pub(crate) fn multiples(&self, ty: &Type, of: usize, out: &mut BTreeMap<VarId, usize>) {
        match self.normal(ty) {
            _ if of <= 1 => {}
            Type::Var(id) if self.var(id).pin.is_some() => {}
            Type::Var(id) => {
                let known = out.entry(id).or_insert(1);
                *known = *known / common(*known, of) * of;
            }
            Type::Sum(parts) => {
                for part in &parts {
                    let same = parts.iter().filter(|other| *other == part).count();
                    self.multiples(part, of / common(of, same), out);
                }
            }
            Type::Product(factors) => {
                let free = |factor: &&Type| {
                    let mut vars = self.vars(factor).into_iter();
                    vars.any(|id| self.var(id).pin.is_none())
                };
                let held = factors.iter().filter(|factor| !free(factor));
                let held = held.fold(1, |size, factor| size * self.size(factor) as usize);
                if let Some(last) = factors.iter().rfind(free) {
                    self.multiples(last, of / common(of, held), out);
                }
            }
            Type::Block { of: whole, blocks } => self.multiples(&whole, of * blocks, out),
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
}

/// The greatest common divisor.
fn common(a: usize, b: usize) -> usize {
    match b {
        0 => a.max(1),
        b => common(b, a % b),
    }
}
