//! Seeing a type as a sum with given boundaries or as a product with given factors.

use super::extent::Extent;
use super::types::{Reason, Type, Types};

impl Types {
    fn all_fixed(&mut self, sizes: &[Extent], reason: Reason) -> Vec<Type> {
        sizes
            .iter()
            .map(|size| self.fixed(size.clone(), reason))
            .collect()
    }

    /// Pins `ty` and answers with pinned types of these sizes.
    fn give_up(&mut self, ty: &Type, sizes: &[Extent], reason: Reason) -> Vec<Type> {
        self.pin(ty, reason);
        self.all_fixed(sizes, reason)
    }

    /// Sees `ty` as a concatenation of parts with these sizes, which must add up to its own.
    pub(crate) fn split(&mut self, ty: &Type, sizes: &[Extent], reason: Reason) -> Vec<Type> {
        let ty = self.normal(ty);
        if sizes.len() == 1 {
            return vec![ty];
        }
        match &ty {
            Type::Var(id) => {
                if let Some(pin) = self.var(*id).pin {
                    return self.all_fixed(sizes, pin);
                }
                let single = Reason {
                    why: "cuts off a single channel",
                    ..reason
                };
                let parts: Vec<Type> = sizes
                    .iter()
                    .map(|size| match size {
                        Extent::Known(0 | 1) => self.fixed(size.clone(), single),
                        _ => self.fresh(size.clone()),
                    })
                    .collect();
                self.bind(*id, &Type::Sum(parts.clone()), reason);
                parts
            }
            Type::Sum(parts) => self.split_sum(&ty, parts, sizes, reason),
            Type::Product(factors) => {
                let Some((first, inner)) = factors.split_first() else {
                    return self.all_fixed(sizes, reason);
                };
                let inner = Type::Product(inner.to_vec());
                let inner_size = self.extent(&inner);
                let outer: Option<Vec<Extent>> =
                    sizes.iter().map(|n| n.div_exact(&inner_size)).collect();
                let why = "splits a product across its factors";
                let Some(outer) = outer else {
                    return self.give_up(&ty, sizes, Reason { why, ..reason });
                };
                let parts = self.split(first, &outer, reason);
                parts
                    .into_iter()
                    .map(|part| self.normal(&Type::Product(vec![part, inner.clone()])))
                    .collect()
            }
            Type::Block { .. } => self.give_up(&ty, sizes, reason),
        }
    }

    fn split_sum(
        &mut self,
        ty: &Type,
        parts: &[Type],
        sizes: &[Extent],
        reason: Reason,
    ) -> Vec<Type> {
        let why = "splits a concatenation at a dynamic position";
        let dynamic = Reason { why, ..reason };
        let mut queue: Vec<Type> = parts.iter().rev().cloned().collect();
        let mut out = Vec::with_capacity(sizes.len());
        for size in sizes {
            let mut wanted = size.clone();
            let mut current = Vec::new();
            while wanted != Extent::Known(0) {
                let Some(part) = queue.pop() else {
                    return self.give_up(ty, sizes, dynamic);
                };
                let available = self.extent(&part);
                if available == wanted {
                    wanted = Extent::Known(0);
                    current.push(part);
                    continue;
                }
                match (available.known(), wanted.known()) {
                    (Some(a), Some(w)) if a < w => {
                        wanted = Extent::Known(w - a);
                        current.push(part);
                    }
                    (Some(a), Some(w)) => {
                        let halves = [Extent::Known(w), Extent::Known(a - w)];
                        let mut halves = self.split(&part, &halves, reason);
                        queue.extend(halves.pop());
                        current.extend(halves.pop());
                        wanted = Extent::Known(0);
                    }
                    _ => return self.give_up(ty, sizes, dynamic),
                }
            }
            out.push(match current.is_empty() {
                true => self.fixed(Extent::Known(0), reason),
                false => self.normal(&Type::Sum(current)),
            });
        }
        out
    }

    /// Sees `ty` as a row-major product of factors with these sizes. Where it has another size, all of them are held.
    pub(crate) fn factor(&mut self, ty: &Type, sizes: &[Extent], reason: Reason) -> Vec<Type> {
        let ty = self.normal(ty);
        let product = Extent::product(sizes).and_then(|product| product.known());
        if product
            .zip(self.extent(&ty).known())
            .is_some_and(|(a, b)| a != b)
        {
            let why = "has another size than its operator needs";
            self.pin(&ty, Reason { why, ..reason });
            let factor = |size: &Extent| self.fixed(size.clone(), Reason { why, ..reason });
            return sizes.iter().map(factor).collect();
        }
        let wide: Vec<Extent> = sizes.iter().filter(|n| !n.is_one()).cloned().collect();
        let mut wide_types = match wide.len() {
            0 => Vec::new(),
            1 => vec![ty],
            _ => self.factor_wide(&ty, &wide, reason),
        }
        .into_iter();
        let why = "has size 1";
        sizes
            .iter()
            .map(|size| match size.is_one() {
                true => self.fixed(Extent::ONE, Reason { why, ..reason }),
                // There is a type for every size above 1.
                false => match wide_types.next() {
                    Some(ty) => ty,
                    None => self.fixed(size.clone(), reason),
                },
            })
            .collect()
    }

    /// [`Types::factor`] for two or more sizes, none of which is 1.
    fn factor_wide(&mut self, ty: &Type, sizes: &[Extent], reason: Reason) -> Vec<Type> {
        match ty {
            Type::Var(id) => {
                if let Some(pin) = self.var(*id).pin {
                    return self.all_fixed(sizes, pin);
                }
                let factors: Vec<Type> = sizes.iter().map(|n| self.fresh(n.clone())).collect();
                self.bind(*id, &Type::Product(factors.clone()), reason);
                factors
            }
            Type::Product(factors) => self.factor_product(ty, factors, sizes, reason),
            Type::Sum(parts) => self.factor_sum(ty, parts, sizes, reason),
            Type::Block { .. } => self.give_up(ty, sizes, reason),
        }
    }

    fn factor_product(
        &mut self,
        ty: &Type,
        factors: &[Type],
        sizes: &[Extent],
        reason: Reason,
    ) -> Vec<Type> {
        let why = "regroups a product at other boundaries";
        let mut queue: Vec<Type> = factors.iter().rev().cloned().collect();
        let mut out = Vec::with_capacity(sizes.len());
        for size in sizes {
            let mut wanted = size.clone();
            let mut current = Vec::new();
            while !wanted.is_one() {
                let Some(factor) = queue.pop() else {
                    return self.give_up(ty, sizes, Reason { why, ..reason });
                };
                let available = self.extent(&factor);
                if let Some(rest) = wanted.div_exact(&available) {
                    wanted = rest;
                    current.push(factor);
                } else if let Some(rest) = available.div_exact(&wanted) {
                    let mut halves = self.factor(&factor, &[wanted, rest], reason);
                    queue.extend(halves.pop());
                    current.extend(halves.pop());
                    wanted = Extent::ONE;
                } else {
                    return self.give_up(ty, sizes, Reason { why, ..reason });
                }
            }
            out.push(self.normal(&Type::Product(current)));
        }
        out
    }

    /// A sum whose parts are all multiples of the inner sizes becomes a product with a sum as outer factor.
    fn factor_sum(
        &mut self,
        ty: &Type,
        parts: &[Type],
        sizes: &[Extent],
        reason: Reason,
    ) -> Vec<Type> {
        let inner = Extent::product(&sizes[1..]);
        let outers: Option<Vec<Extent>> = inner.and_then(|inner| {
            parts
                .iter()
                .map(|part| self.extent(part).div_exact(&inner))
                .collect()
        });
        let why = "regroups a concatenation across its parts";
        let Some(outers) = outers else {
            return self.give_up(ty, sizes, Reason { why, ..reason });
        };
        let mut outer_types = Vec::with_capacity(parts.len());
        let mut inner_types: Option<Vec<Type>> = None;
        for (part, outer) in parts.iter().zip(outers) {
            let mut wanted = vec![outer];
            wanted.extend_from_slice(&sizes[1..]);
            let mut types = self.factor(part, &wanted, reason);
            outer_types.push(types.remove(0));
            match &inner_types {
                None => inner_types = Some(types),
                Some(first) => {
                    for (a, b) in first.clone().iter().zip(&types) {
                        self.unify(a, b, reason);
                    }
                }
            }
        }
        let mut out = vec![Type::Sum(outer_types)];
        out.extend(inner_types.unwrap_or_default());
        out.iter().map(|ty| self.normal(ty)).collect()
    }

    /// Unifies two products of the same size by their common refinement.
    pub(super) fn unify_products(&mut self, a: &[Type], b: &[Type], reason: Reason) {
        let (left, right) = (Type::Product(a.to_vec()), Type::Product(b.to_vec()));
        let sizes = |types: &Types, list: &[Type]| -> Vec<Extent> {
            list.iter().map(|ty| types.extent(ty)).collect()
        };
        let Some(common) = refinement(sizes(self, a), sizes(self, b)) else {
            let why = "joins products with different boundaries";
            let reason = Reason { why, ..reason };
            self.pin(&left, reason);
            self.pin(&right, reason);
            return;
        };
        let lefts = self.factor(&left, &common, reason);
        let rights = self.factor(&right, &common, reason);
        for (x, y) in lefts.iter().zip(&rights) {
            self.unify(x, y, reason);
        }
    }
}

/// The coarsest factors that both lists group into.
fn refinement(a: Vec<Extent>, b: Vec<Extent>) -> Option<Vec<Extent>> {
    let (mut a, mut b) = (a.into_iter(), b.into_iter());
    let (mut left, mut right) = (a.next(), b.next());
    let mut common = Vec::new();
    while let (Some(x), Some(y)) = (&left, &right) {
        if x == y {
            common.push(x.clone());
            (left, right) = (a.next(), b.next());
        } else if let Some(rest) = x.div_exact(y) {
            common.push(y.clone());
            (left, right) = (Some(rest), b.next());
        } else if let Some(rest) = y.div_exact(x) {
            common.push(x.clone());
            (left, right) = (a.next(), Some(rest));
        } else {
            return None;
        }
    }
    (left.is_none() && right.is_none()).then_some(common)
}

#[cfg(test)]
mod tests {
    use super::super::types::Origin;
    use super::*;

    const HERE: Reason = Reason {
        origin: Origin::Node(0),
        why: "test",
    };

    fn sizes(sizes: &[usize]) -> Vec<Extent> {
        sizes.iter().map(|&n| Extent::from(n)).collect()
    }

    #[test]
    fn rotary_halves_become_one_variable() {
        let mut types = Types::default();
        let axis = types.fresh(Extent::from(16));
        let halves = types.split(&axis, &sizes(&[8, 8]), HERE);
        let swapped = Type::Sum(vec![halves[1].clone(), halves[0].clone()]);
        types.unify(&axis, &swapped, HERE);
        let [a, b] = [types.normal(&halves[0]), types.normal(&halves[1])];
        assert_eq!(a, b);
        assert!(types.var(types.vars(&a)[0]).pin.is_none());
    }

    #[test]
    fn grouped_query_heads_share_their_factors() {
        let mut types = Types::default();
        let query = types.fresh(Extent::from(64));
        let key = types.fresh(Extent::from(32));
        let q = types.factor(&query, &sizes(&[2, 2, 16]), HERE);
        let k = types.factor(&key, &sizes(&[2, 16]), HERE);
        types.unify(&q[0], &k[0], HERE);
        types.unify(&q[2], &k[1], HERE);
        assert_eq!(types.vars(&query).len(), 3);
        assert_eq!(types.vars(&key).len(), 2);
    }

    #[test]
    fn equal_parts_against_a_product_pin_the_outer_factor() {
        let mut types = Types::default();
        let (a, b) = (types.fresh(Extent::from(8)), types.fresh(Extent::from(8)));
        let joined = Type::Sum(vec![a.clone(), b.clone()]);
        let factors = types.factor(&joined, &sizes(&[2, 8]), HERE);
        assert_eq!(types.normal(&a), types.normal(&b));
        let outer = types.vars(&factors[0]);
        assert!(outer.iter().all(|&id| types.var(id).pin.is_some()));
    }

    #[test]
    fn what_cannot_be_expressed_is_pinned() {
        let mut types = Types::default();
        let axis = types.fresh(Extent::from(12));
        types.factor(&axis, &sizes(&[3, 4]), HERE);
        let again = types.factor(&axis, &sizes(&[2, 6]), HERE);
        assert_eq!(again.len(), 2);
        assert!(
            types
                .vars(&axis)
                .iter()
                .all(|&id| types.var(id).pin.is_some())
        );
    }
}
