//! The tokenizer of the pieces that stay.

use super::KeptIds;
use super::document::{Document, Said, other_ids};
use super::json::OrderedJson;

/// Pieces that a message names, at most.
const NAMED: usize = 5;

impl Document {
    /// The file of the pieces that stay, in which ids are their places in `kept`.
    ///
    /// # Errors
    /// A piece does not stay that has to.
    pub(super) fn smaller(&self, kept: &KeptIds) -> Said<Vec<u8>> {
        self.check_closed(kept)?;
        let place = |id: u32| {
            let place = kept.place(u64::from(id));
            let place = place.and_then(|place| u32::try_from(place).ok());
            place.ok_or_else(|| format!("the id {id} has to stay and does not"))
        };
        let stays = |id: u32| kept.place(u64::from(id)).is_some();
        let mut json = self.json.clone();
        other_ids(&mut json, &mut |id| place(id))?;
        let model = json.get_mut("model");
        let model = model.ok_or("it has no `model`")?;
        let mut ids = self.pieces.iter().map(|(_, id)| *id);
        match model.get_mut("vocab") {
            Some(OrderedJson::Object(members)) => {
                members.retain(|_| ids.next().is_some_and(stays));
                let ids = self
                    .pieces
                    .iter()
                    .map(|(_, id)| *id)
                    .filter(|id| stays(*id));
                for ((_, number), id) in members.iter_mut().zip(ids) {
                    *number = OrderedJson::Number(place(id)?.into());
                }
            }
            Some(OrderedJson::List(items)) => items.retain(|_| ids.next().is_some_and(stays)),
            _ => {}
        }
        let mut merges = self.merges.iter();
        if let Some(OrderedJson::List(items)) = model.get_mut("merges") {
            items.retain(|_| match merges.next() {
                Some(Some(merge)) => [merge.left, merge.right, merge.made].into_iter().all(stays),
                _ => true,
            });
        }
        let written = match self.has_lines {
            true => serde_json::to_vec_pretty(&json),
            false => serde_json::to_vec(&json),
        };
        written.map_err(|fault| format!("it cannot be written: {fault}"))
    }

    /// # Errors
    /// What has to stay and does not.
    fn check_closed(&self, kept: &KeptIds) -> Said<()> {
        let closed = self.closed(kept.ids());
        let gone = closed.ids().iter().filter(|id| kept.place(**id).is_none());
        let gone: Vec<String> = gone.map(|id| self.name(*id)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{} of its pieces have to stay beside the ids that are kept, such as {}; keep these as well",
            gone.len(),
            gone[..gone.len().min(NAMED)].join(", ")
        ))
    }

    /// A piece as a message names it.
    pub(super) fn name(&self, id: u64) -> String {
        let mut pieces = self.pieces.iter().chain(&self.added);
        match pieces.find(|(_, known)| u64::from(*known) == id) {
            Some((piece, _)) => format!("'{piece}' ({id})"),
            None => format!("{id}"),
        }
    }
}
