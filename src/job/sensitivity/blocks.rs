//! Residual branches dropped, one at a time.

use std::collections::BTreeSet;

use super::SensitivityTrial;
use super::wanted::WantedParts;
use crate::error::Result;
use crate::events::Events;
use crate::report::SensitivityRow;
use crate::rewrite::with_block_switches;
use crate::search::Tally;

impl SensitivityTrial<'_> {
    /// Branches off, through one session with a switch for each.
    pub(super) fn blocks(
        &self,
        wanted: &WantedParts,
        events: &mut dyn Events,
    ) -> Result<Vec<SensitivityRow>> {
        let blocks = self.runs.analysis.blocks();
        if blocks.is_empty() {
            return Ok(Vec::new());
        }
        let switched = with_block_switches(self.runs.analysis)?;
        let mut session = self.runs.session(&switched.model)?;
        let mut rows = Vec::new();
        for (place, block) in blocks.iter().enumerate() {
            if !wanted.wants(&block.name) {
                continue;
            }
            let switches = switched.inputs(&BTreeSet::from([place]))?;
            let mut tally = Tally::default();
            for number in 0..self.runs.data.batches() {
                let mut batch = self.runs.data.batch(number)?;
                batch.inputs.extend(switches.iter().cloned());
                let outputs = batch.run(&mut session)?;
                self.add(&mut tally, number, &outputs)?;
            }
            rows.push(SensitivityRow {
                name: block.name.clone(),
                size: block.costs.params as usize,
                left: None,
                points: vec![self.point((1.0, 0), &tally.points())],
            });
            events.progress("try", place + 1, blocks.len());
        }
        Ok(rows)
    }
}
