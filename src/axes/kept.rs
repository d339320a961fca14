//! Kept positions: what a choice for every variable means for an axis.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::extent::Extent;
use super::types::{TOO_LARGE, TableId, Type, Types, VarId};

/// For pruned variables of one table of types the positions that stay, ascending; all others keep everything. And which
/// parts of the graph go whole, by numbers that whoever made the choice knows. It is of no meaning for any other table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    of: TableId,
    positions: BTreeMap<VarId, Arc<[u32]>>,
    dropped: BTreeSet<usize>,
}

impl Kept {
    pub(crate) fn insert(&mut self, var: VarId, positions: Arc<[u32]>) {
        self.positions.insert(var, positions);
    }
}

impl Kept {
    pub(crate) fn remove(&mut self, var: VarId) {
        self.positions.remove(&var);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.positions.is_empty() && self.dropped.is_empty()
    }

    /// Lets a part of the graph go whole.
    pub(crate) fn drop_part(&mut self, part: usize) {
        self.dropped.insert(part);
    }

    /// The parts that go whole.
    pub(crate) fn dropped(&self) -> &BTreeSet<usize> {
        &self.dropped
    }

    /// The variables that lose positions.
    pub(crate) fn vars(&self) -> impl Iterator<Item = VarId> + '_ {
        self.positions.keys().copied()
    }
}

impl Types {
    /// A choice that keeps everything.
    pub(crate) fn everything(&self) -> Kept {
        Kept {
            of: self.id(),
            positions: BTreeMap::new(),
            dropped: BTreeSet::new(),
        }
    }

    /// The positions of a variable that stay, if it loses any.
    pub(crate) fn positions<'a>(&self, kept: &'a Kept, var: VarId) -> Option<&'a Arc<[u32]>> {
        assert_eq!(
            kept.of,
            self.id(),
            "a choice for one model was used on another"
        );
        kept.positions.get(&var)
    }
}

impl Types {
    /// Number of positions of `ty` that stay.
    pub(crate) fn kept_extent(&self, ty: &Type, kept: &Kept) -> Extent {
        match self.normal(ty) {
            Type::Var(id) => match self.positions(kept, id) {
                Some(positions) => Extent::from(positions.len()),
                None => self.var(id).extent.clone(),
            },
            Type::Product(factors) => factors
                .iter()
                .try_fold(Extent::ONE, |n, factor| {
                    n.mul(&self.kept_extent(factor, kept))
                })
                .unwrap_or(TOO_LARGE),
            Type::Sum(parts) => parts
                .iter()
                .try_fold(Extent::Known(0), |n, part| {
                    n.add(&self.kept_extent(part, kept))
                })
                .unwrap_or(TOO_LARGE),
            Type::Block { of, blocks } => self
                .kept_extent(&of, kept)
                .div_exact(&Extent::from(blocks))
                .unwrap_or(TOO_LARGE),
        }
    }

    /// True if a variable of `ty` loses positions.
    pub(crate) fn is_pruned(&self, ty: &Type, kept: &Kept) -> bool {
        self.vars(ty)
            .iter()
            .any(|&id| self.positions(kept, id).is_some())
    }

    /// The positions of `ty` that belong to one channel of a variable, ascending; for a block axis those of
    /// any block.
    pub(crate) fn places(&self, ty: &Type, var: VarId, channel: u32) -> Vec<u32> {
        match self.normal(ty) {
            Type::Var(id) if id == var => vec![channel],
            Type::Var(_) => Vec::new(),
            Type::Product(factors) => {
                let mut outer = vec![0];
                let mut found = false;
                for factor in &factors {
                    let size = self.size(factor);
                    let own = self.vars(factor).contains(&var);
                    let inner = match own {
                        true => self.places(factor, var, channel),
                        false => (0..size).collect(),
                    };
                    found |= own;
                    let spread = |&at: &u32| inner.iter().map(move |&i| at * size + i);
                    outer = outer.iter().flat_map(spread).collect();
                }
                if found { outer } else { Vec::new() }
            }
            Type::Sum(parts) => {
                let mut out = Vec::new();
                let mut offset = 0;
                for part in &parts {
                    let own = self.places(part, var, channel).into_iter();
                    out.extend(own.map(|place| place + offset));
                    offset += self.size(part);
                }
                out
            }
            Type::Block { of, blocks } => {
                let size = self.size(&of) / (blocks as u32).max(1);
                let mut out = self.places(&of, var, channel);
                out.iter_mut().for_each(|place| *place %= size.max(1));
                out
            }
        }
    }

    /// The positions of `ty` that stay, ascending; of a [`Type::Block`] those in its first block. Only for known
    /// sizes.
    pub(crate) fn kept_positions(&self, ty: &Type, kept: &Kept) -> Vec<u32> {
        match self.normal(ty) {
            Type::Var(id) => match self.positions(kept, id) {
                Some(positions) => positions.to_vec(),
                None => (0..self.size(ty)).collect(),
            },
            Type::Product(factors) => factors.iter().fold(vec![0], |outer, factor| {
                let size = self.size(factor);
                let inner = self.kept_positions(factor, kept);
                let spread = |&at: &u32| inner.iter().map(move |&i| at * size + i);
                outer.iter().flat_map(spread).collect()
            }),
            Type::Sum(parts) => {
                let mut positions = Vec::new();
                let mut offset = 0;
                for part in parts {
                    let kept = self.kept_positions(&part, kept);
                    positions.extend(kept.into_iter().map(|p| p + offset));
                    offset += self.size(&part);
                }
                positions
            }
            Type::Block { of, blocks } => {
                let mut blocks = self.kept_per_block(&of, blocks, kept).into_iter();
                blocks.next().unwrap_or_default()
            }
        }
    }

    /// For a [`Type::Block`]: the kept positions inside each block.
    pub(crate) fn kept_per_block(&self, of: &Type, blocks: usize, kept: &Kept) -> Vec<Vec<u32>> {
        let total = self.size(of) as usize;
        let size = (total / blocks.max(1)).max(1) as u32;
        let mut out = vec![Vec::new(); blocks.min(total)];
        for position in self.kept_positions(of, kept) {
            if let Some(block) = out.get_mut((position / size) as usize) {
                block.push(position % size);
            }
        }
        out
    }

    /// The known size of a type; 0 where it is dynamic.
    pub(crate) fn size(&self, ty: &Type) -> u32 {
        let size = self.extent(ty).known();
        size.and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
    }
}
