//! Lists that say for each id which it is.

use std::sync::Arc;

use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::graph::{Graph, Patch, int};
use crate::onnx::{ElementType, packed};
use crate::rewrite::twin::{gathered, narrow_axes};

/// The ids that stay, of how many.
pub(super) struct IdMap {
    pub(super) stay: Arc<[u32]>,
    size: usize,
}

impl IdMap {
    /// Those of the tables that lose rows, which lose the same; none where no table does.
    pub(super) fn of(analysis: &Analysis, kept: &Kept) -> Option<IdMap> {
        let types = &analysis.state.types;
        let mut picked = analysis.state.picked().iter();
        let cut = picked.find(|of| types.is_pruned(&of.table, kept))?;
        Some(IdMap {
            stay: types.kept_positions(&cut.table, kept).into(),
            size: types.size(&cut.table) as usize,
        })
    }

    /// How many ids there are, and how many stay.
    pub(super) fn sizes(&self) -> [usize; 2] {
        [self.size, self.stay.len()]
    }

    /// The place of an id, if it stays.
    pub(super) fn place(&self, id: u32) -> Option<u32> {
        let place = self.stay.binary_search(&id).ok()?;
        u32::try_from(place).ok()
    }

    /// Whether an id stays; a negative one counts from the last.
    pub(super) fn keeps(&self, id: i64) -> bool {
        let whole = if id < 0 { id + self.size as i64 } else { id };
        u32::try_from(whole).is_ok_and(|id| self.place(id).is_some())
    }

    /// By id its place; of ids that are gone this one, or one that is none.
    pub(super) fn places(&self, gone: Option<u32>) -> Vec<i64> {
        let none = u32::try_from(self.stay.len()).unwrap_or(u32::MAX);
        let place = |id| i64::from(self.place(id).or(gone).unwrap_or(none));
        (0..).take(self.size).map(place).collect()
    }

    /// By id itself where it stays, else one that does; as ids, or as places.
    pub(super) fn folded(&self, as_places: bool) -> Vec<i64> {
        let others = (0..)
            .zip(self.stay.iter().copied())
            .collect::<Vec<(u32, u32)>>();
        let others = others.into_iter().cycle();
        let fold = |(id, other): (u32, (u32, u32))| {
            let (place, old) = self.place(id).map_or(other, |place| (place, id));
            i64::from(if as_places { place } else { old })
        };
        (0..).take(self.size).zip(others).map(fold).collect()
    }
}

/// Negative numbers that mean something else than an id where a model compares them: they stay what they are.
const SENTINELS: i64 = 128;

/// Old ids instead of places; negative numbers as they are. A `Gather` counts those from the end of its list.
pub(super) fn old_ids(patch: &mut Patch, ids: &str, element: ElementType, map: &IdMap) -> String {
    let old = map.stay.iter().map(|&id| i64::from(id));
    let list: Vec<i64> = old.chain(-SENTINELS..0).collect();
    mapped(patch, ids, element, &list)
}

/// Other numbers of the same type instead of ids.
pub(super) fn mapped(patch: &mut Patch, ids: &str, element: ElementType, list: &[i64]) -> String {
    let base = format!("{ids}.renumbered");
    let short: Option<Vec<i32>> = list.iter().map(|&id| i32::try_from(id).ok()).collect();
    let (bytes, picked) = match (element, short) {
        (ElementType::Int32, Some(list)) => (
            list.iter().flat_map(|id| id.to_le_bytes()).collect(),
            element,
        ),
        _ => (
            list.iter().flat_map(|id| id.to_le_bytes()).collect(),
            ElementType::Int64,
        ),
    };
    let table = patch.constant("secateur.ids", picked, &[list.len()], bytes);
    let pick = |patch: &mut Patch, ids: &str| {
        patch.node(&base, "Gather", &[&table, ids], vec![int("axis", 0)])
    };
    if picked == element {
        return pick(patch, ids);
    }
    // Other numbers may be ids where they are cast on the way, and pick from nothing as they are.
    let whole = patch.cast(&base, ids, picked);
    let made = pick(patch, &whole);
    patch.cast(&base, &made, element)
}

/// Gives outputs that lost places back one for each id, where no piece of that id can be: `-inf`.
///
/// # Errors
/// An output of integers.
pub(super) fn restored(
    analysis: &Analysis,
    kept: &Kept,
    after: &Graph,
    patch: &mut Patch,
) -> Result<()> {
    patch.at_end();
    let graph = analysis.graph();
    let outputs = graph.value_ids().filter(|&id| graph.value(id).is_output);
    for value in outputs.filter(|&id| analysis.is_pruned(id, kept)) {
        let known = &graph.value(value).name;
        let element = analysis.state.elements[value.index()].filter(|element| element.is_float());
        let element = element.ok_or_else(|| {
            Error::plan(format!(
                "output '{known}' has no number that says that a piece is gone: let callers renumber ids with `remap` outside"
            ))
        })?;
        let rank = analysis.state.axes(value).unwrap_or_default().len();
        let mut name = known.clone();
        for (axis, stay, size) in narrow_axes(analysis, kept, value) {
            let (mut places, mut gone) = (vec![0_i64; size], vec![f32::NEG_INFINITY; size]);
            for (place, &position) in stay.iter().enumerate() {
                (places[position as usize], gone[position as usize]) = (place as i64, 0.0);
            }
            name = gathered(patch, &name, axis, &places);
            let mut dims = vec![1; rank - axis];
            dims[0] = size;
            let gone = patch.constant("secateur.gone", element, &dims, packed(&gone, element));
            name = patch.node(
                &format!("{known}.restored"),
                "Add",
                &[&name, &gone],
                Vec::new(),
            );
        }
        if after.find(known).is_some() {
            patch.replace_output(known, &name);
        }
    }
    Ok(())
}
