//! Masks along axes whose size is known only when the model runs: the mask of the channels is spread over them.

use super::TwinBuilder;
use crate::axes::{OpenAxis, Type};
use crate::error::Result;
use crate::graph::{Patch, ValueId, int};
use crate::onnx::ElementType;

impl TwinBuilder<'_> {
    /// The mask along an open axis of a value, made where new nodes stand now.
    pub(super) fn open_mask(
        &mut self,
        value: ValueId,
        axis: usize,
        element: ElementType,
        open: &OpenAxis,
    ) -> Result<String> {
        let key = (self.body, value, axis, element);
        if let Some(name) = self.open.get(&key) {
            return Ok(name.clone());
        }
        let graph = self.analysis.graph();
        let types = &self.analysis.state.types;
        let channels = open.channels.clone();
        let count = i64::from(types.size(&channels));
        let rank = self.analysis.state.axes(value).map_or(0, <[_]>::len);
        let choice = (self.analysis, self.kept);
        let one = Type::Product(Vec::new());
        let column = [channels, one];
        let mask = self
            .masks
            .positions(choice, &mut self.patch, (&column, 0), element)?;
        let patch = &mut self.patch;
        let number = |size: Option<usize>| size.map_or(1, |size| size as i64);
        let known = number(open.before) * count * number(open.behind);
        let sizes = patch.node(
            "secateur.sizes",
            "Shape",
            &[&graph.value(value).name],
            Vec::new(),
        );
        let place = patch.integers("secateur.axis", &[axis as i64]);
        let known = patch.integers("secateur.known", &[known]);
        let whole = patch.node("secateur.whole", "Gather", &[&sizes, &place], Vec::new());
        let rest = patch.node("secateur.rest", "Div", &[&whole, &known], Vec::new());
        let part = |patch: &mut Patch, size: Option<usize>| match size {
            Some(size) => patch.integers("secateur.part", &[size as i64]),
            None => rest.clone(),
        };
        let before = part(patch, open.before);
        let behind = part(patch, open.behind);
        let count = patch.integers("secateur.count", &[count]);
        let spread = patch.node(
            "secateur.spread",
            "Concat",
            &[&before, &count, &behind],
            vec![int("axis", 0)],
        );
        let mut flat = vec![-1];
        flat.resize(rank - axis, 1);
        let flat = patch.integers("secateur.flat", &flat);
        let mask = patch.node("secateur.mask", "Expand", &[&mask, &spread], Vec::new());
        let mask = patch.node("secateur.mask", "Reshape", &[&mask, &flat], Vec::new());
        self.open.insert(key, mask.clone());
        Ok(mask)
    }
}
