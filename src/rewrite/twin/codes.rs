//! Codes where channels are removed: those that stand for 0.

use super::TwinBuilder;
use crate::error::Result;
use crate::graph::{NodeId, ValueId};
use crate::onnx::ElementType;

impl TwinBuilder<'_> {
    /// Lets a node read codes with those that stand for 0, which are another of its inputs, in the place of what is removed
    /// along an axis. Without such codes nothing is done.
    pub(super) fn fill_codes(
        &mut self,
        (node, slot): (NodeId, usize),
        value: ValueId,
        axis: usize,
        zero: usize,
    ) -> Result<()> {
        let source = self.analysis.graph();
        let read = [slot, zero].map(|slot| self.patch.reads(source, node, slot));
        let [Some(input), Some(name)] = read else {
            return Ok(());
        };
        self.patch.before(node);
        let mask = self.mask_of(value, axis)?;
        let flags = self.flags(&mask);
        let zero = source.node(node).input(zero);
        let name = match zero.and_then(|zero| self.sizes_beside(value, zero)) {
            Some(sizes) => {
                let sizes = self.patch.integers("secateur.beside", &sizes);
                let read = [name.as_str(), &sizes];
                self.patch
                    .node("secateur.zero", "Reshape", &read, Vec::new())
            }
            None => name,
        };
        // Few kernels choose among codes.
        let [wide, zero] =
            [&input, &name].map(|name| self.patch.cast("secateur.wide", name, ElementType::Int32));
        let read = [flags.as_str(), &wide, &zero];
        let chosen = self
            .patch
            .node("secateur.chosen", "Where", &read, Vec::new());
        let element = self.element(value);
        let base = format!("{input}.masked");
        let masked = self.patch.cast(&base, &chosen, element);
        self.patch.connect(node, slot, &masked);
        Ok(())
    }

    /// The sizes that let what there is for each position of some axes of a value stand beside these axes, which have the same
    /// types; none where it is a single one.
    fn sizes_beside(&self, value: ValueId, of: ValueId) -> Option<Vec<i64>> {
        let types = &self.analysis.state.types;
        let [axes, own] = [value, of].map(|value| self.analysis.state.axes(value));
        let (axes, own) = (axes?, own?);
        let mut own = own
            .iter()
            .filter(|ty| !types.extent(ty).is_one())
            .peekable();
        own.peek()?;
        let sizes = axes.iter().map(|axis| {
            let beside = own.next_if(|own| types.normal(own) == types.normal(axis));
            beside.map_or(1, |own| i64::from(types.size(own)))
        });
        Some(sizes.collect())
    }
}
