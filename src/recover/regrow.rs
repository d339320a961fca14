//! Recovery of what is left of a model, in terms of the whole model.

use std::collections::BTreeMap;

use super::places::places;
use super::{Recovered, all_layers};
use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::layers::{Addition, Layer};
use crate::rewrite::{Edit, regrown};

impl Recovered {
    /// The same for `whole`, of which `kept` leaves `part`, the model that this was found for: applied there and
    /// then cut, it gives the same. What has no known place in the whole model is left out.
    ///
    /// # Errors
    /// A tensor that cannot be read.
    pub(crate) fn regrown(
        self,
        part: &Analysis,
        whole: &Analysis,
        kept: &Kept,
    ) -> Result<Recovered> {
        let (own, layers) = (all_layers(part), all_layers(whole));
        let mut constants = Vec::new();
        for constant in &self.constants {
            let mut of = own.iter();
            let of = of.find(|layer| layer.uses.first() == Some(&constant.linear));
            let whole_layer = of.and_then(|of| layers.iter().find(|layer| layer.name == of.name));
            if let (Some(of), Some(layer)) = (of, whole_layer) {
                constants.extend(grown(constant, of, (whole, layer), kept)?);
            }
        }
        let edits: BTreeMap<_, Edit> = regrown(whole, kept, part.graph(), &self.edits)?;
        Ok(Recovered {
            edits,
            constants,
            layers: self.layers,
        })
    }
}

/// Constants for the rows of a layer of which those of `of` are left.
fn grown(
    constant: &Addition,
    of: &Layer,
    (whole, layer): (&Analysis, &Layer),
    kept: &Kept,
) -> Result<Option<Addition>> {
    let ([linear], Some((matrices, _))) = (&layer.uses[..], places(whole, kept, layer, of)?) else {
        return Ok(None);
    };
    let mut added = vec![0.0; layer.rows() * layer.batches()];
    let each = constant.added.chunks_exact(of.rows().max(1));
    for (matrix, numbers) in matrices.iter().zip(each) {
        for (row, number) in matrix.rows.iter().zip(numbers) {
            added[matrix.batch * layer.rows() + row] = *number;
        }
    }
    Ok(Some(Addition {
        linear: linear.clone(),
        added,
    }))
}
