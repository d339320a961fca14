//! Weights masked or rounded, one layer at a time.

use bytes::Bytes;

use super::wanted::WantedParts;
use super::{SHARES, SensitivityTrial};
use crate::error::Result;
use crate::events::Events;
use crate::graph::ValueId;
use crate::masks::{Amount, MaskScope, MaskSettings, choose};
use crate::quantise::nearest_codes;
use crate::report::SensitivityRow;
use crate::search::{Replaceable, Tally};

/// Other numbers of a weight: the share that went, what is left, and the numbers, packed.
type Form = ((f64, usize), Bytes);

impl SensitivityTrial<'_> {
    /// Weights masked, those of the smallest magnitude first.
    pub(super) fn weights(
        &self,
        wanted: &WantedParts,
        events: &mut dyn Events,
    ) -> Result<Vec<SensitivityRow>> {
        let masked = |share: f64| MaskSettings {
            amount: Amount::Sparsity(share),
            scope: Some(MaskScope::Layer),
            ..MaskSettings::default()
        };
        let chosen = choose(self.runs.analysis, &masked(SHARES[0]))?;
        let masks = SHARES.map(|share| chosen.masks(&masked(share), &[]));
        let masks: Vec<_> = masks.into_iter().collect::<Result<_>>()?;
        let mut rows = Vec::new();
        for place in 0..chosen.len() {
            let (layer, weights) = (chosen.layer(place), chosen.weights(place));
            if !wanted.wants(&layer.name) {
                continue;
            }
            let form = |(share, masks): (f64, &Vec<_>)| -> Form {
                let left = ((1.0 - share) * weights.len() as f64).round() as usize;
                ((share, left), weights.masked(&masks[place]).into())
            };
            let forms: Vec<Form> = SHARES.into_iter().zip(&masks).map(form).collect();
            events.progress("try", place, chosen.len());
            let of = (layer.name.clone(), weights.len(), layer.value);
            rows.push(self.row(of, &forms)?);
        }
        Ok(rows)
    }

    /// Weights rounded to the nearest codes.
    pub(super) fn bits(
        &self,
        wanted: &WantedParts,
        events: &mut dyn Events,
    ) -> Result<Vec<SensitivityRow>> {
        let mut all = nearest_codes(self.runs.analysis)?;
        all.retain(|codes| wanted.wants(&codes.name));
        let mut rows = Vec::new();
        for (done, codes) in all.iter().enumerate() {
            events.progress("try", done, all.len());
            let forms = codes.forms.iter().map(|(bits, numbers)| -> Form {
                let bits = bits.number();
                let share = 1.0 - f64::from(bits) / 32.0;
                ((share, bits as usize), numbers.clone())
            });
            let forms: Vec<Form> = forms.collect();
            let of = (codes.name.clone(), codes.count, codes.weight);
            rows.push(self.row(of, &forms)?);
        }
        Ok(rows)
    }

    fn row(
        &self,
        (name, size, weight): (String, usize, ValueId),
        forms: &[Form],
    ) -> Result<SensitivityRow> {
        let mut row = SensitivityRow {
            name,
            size,
            left: None,
            points: Vec::new(),
        };
        let samples = self.runs.data.samples();
        let Some(mut model) = Replaceable::new(self.runs, weight, samples)? else {
            row.left = Some("the model cannot be run with it as an input".to_owned());
            return Ok(row);
        };
        for (strength, numbers) in forms {
            let mut tally = Tally::default();
            model.run(numbers, &mut |batch, _, outputs| {
                self.add(&mut tally, batch, &outputs)
            })?;
            row.points.push(self.point(*strength, &tally.points()));
        }
        Ok(row)
    }
}
