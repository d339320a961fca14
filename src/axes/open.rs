//! Axes whose size is known only when the model runs, and the channels in them.

use super::extent::Extent;
use super::types::{Type, Types};

/// A product in which channels of known number stand between factors that keep all their positions, of which one has
/// a size that is not known.
#[derive(Clone, Debug)]
pub(crate) struct OpenAxis {
    /// The size of the factors before the channels, where it is known; else that of those behind is.
    pub(crate) before: Option<usize>,
    pub(crate) channels: Type,
    pub(crate) behind: Option<usize>,
}

impl Types {
    /// An axis of unknown size by its parts; none if its size is known, or does not fall into such parts.
    pub(crate) fn open_axis(&self, ty: &Type) -> Option<OpenAxis> {
        let Type::Product(factors) = self.normal(ty) else {
            return None;
        };
        let prunable = |factor: &Type| {
            let mut vars = self.vars(factor).into_iter();
            vars.any(|var| self.var(var).pin.is_none())
        };
        let first = factors.iter().position(prunable)?;
        let last = factors.iter().rposition(prunable)?;
        let size = |factors: &[Type]| {
            let mut sizes = factors.iter().map(|factor| self.extent(factor));
            let size = sizes.try_fold(Extent::ONE, |all, own| all.mul(&own));
            size.and_then(|size| size.size())
        };
        let channels = &factors[first..=last];
        size(channels)?;
        let (before, behind) = (size(&factors[..first]), size(&factors[last + 1..]));
        let is_open = before.is_some() != behind.is_some();
        is_open.then(|| OpenAxis {
            before,
            channels: self.normal(&Type::Product(channels.to_vec())),
            behind,
        })
    }
}
