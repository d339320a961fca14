//! A model with a smaller vocabulary: who picks from tables that lost rows does so by new ids, which count the rows that stay.
//!
//! Where callers give the old ids, they are renumbered in front of each table, and outputs get back a place for each of them.
//! Where callers give the new ones, they go to the tables as they are where nothing but moves lies between; all else that reads
//! them reads the old ones, so that no comparison with an id changes.

mod judged;
mod maps;
mod ways;

use std::collections::{BTreeSet, HashMap};

use super::cleanup::without_newly_dead;
use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::graph::{BodyId, Graph, NodeId, Patch, Producer, ValueId};
use crate::onnx::{ElementType, Model, integers};
use crate::ops::Picked;
use crate::plan::{Remap, VocabularySettings};
use maps::{IdMap, mapped, old_ids, restored};
use ways::way_in;

pub(crate) use judged::{folded, judged};

/// A place where ids pick from a table that lost rows.
struct Pick {
    node: NodeId,
    slot: usize,
    index: ValueId,
    /// What the ids are, where anything says it.
    element: Option<ElementType>,
}

/// The sliced model with ids renumbered as the settings say.
///
/// # Errors
/// The result is no valid graph, or an output cannot say that a piece is gone.
pub(super) fn renumbered(
    analysis: &Analysis,
    kept: &Kept,
    settings: &VocabularySettings,
    sliced: Model,
) -> Result<Model> {
    let Some(map) = IdMap::of(analysis, kept) else {
        return Ok(sliced);
    };
    let after = Graph::verified(sliced, "the sliced model")?;
    let mut work = Renumbering {
        patch: Patch::of(&after),
        picks: picks(analysis, kept, &after),
        graph: &after,
        map: &map,
        made: HashMap::new(),
    };
    match settings.remap {
        Remap::Inside => {
            let gone = settings.unknown.and_then(|id| map.place(id));
            (0..work.picks.len()).for_each(|place| work.renumber(place, gone));
            restored(analysis, kept, &after, &mut work.patch)?;
        }
        Remap::Outside => work.give_new_ids(inputs(analysis, kept)),
    }
    let mut proto = after.model().proto.clone();
    let graph = proto.graph.get_or_insert_default();
    work.patch.apply(graph);
    if settings.remap == Remap::Inside {
        graph.output.clone_from(&analysis.graph().proto().output);
    }
    let lazy = after.model().lazy.clone();
    let made = Graph::verified(after.model().with(proto, lazy), "the renumbered model")?;
    Ok(without_newly_dead(&after, made))
}

/// The inputs of the graph of which the ids pick from tables that lose rows.
pub(crate) fn inputs(analysis: &Analysis, kept: &Kept) -> BTreeSet<String> {
    let graph = analysis.graph();
    let sources = cut_picks(analysis, kept).flat_map(|of| &of.sources);
    let inputs = sources.filter(|&&id| graph.constant(id).is_none());
    inputs.map(|&id| graph.value(id).name.clone()).collect()
}

/// Ids of a vocabulary before and after; none where it loses none.
pub(crate) fn sizes(analysis: &Analysis, kept: &Kept) -> Option<[usize; 2]> {
    Some(IdMap::of(analysis, kept)?.sizes())
}

fn cut_picks<'a>(analysis: &'a Analysis, kept: &'a Kept) -> impl Iterator<Item = &'a Picked> {
    let picked = analysis.state.picked().iter();
    picked.filter(|of| analysis.state.types.is_pruned(&of.table, kept))
}

/// The places in the sliced model.
fn picks(analysis: &Analysis, kept: &Kept, after: &Graph) -> Vec<Pick> {
    let graph = analysis.graph();
    let find = |of: &Picked| {
        let made = graph.node(of.node).outputs.iter().flatten().next()?;
        let made = graph.find_in(after, *made)?;
        let Producer::Node(node, _) = after.value(made).producer else {
            return None;
        };
        let index = after.node(node).input(of.slot)?;
        let declared = || after.element(index);
        Some(Pick {
            node,
            slot: of.slot,
            index,
            element: analysis.state.elements[of.index.index()].or_else(declared),
        })
    };
    cut_picks(analysis, kept).filter_map(find).collect()
}

struct Renumbering<'a> {
    graph: &'a Graph,
    patch: Patch,
    picks: Vec<Pick>,
    map: &'a IdMap,
    /// By body and name: the same ids as places.
    made: HashMap<(Option<BodyId>, String), String>,
}

impl Renumbering<'_> {
    /// Lets a node pick by places instead of old ids; an id that is gone has this place, or one that is none.
    fn renumber(&mut self, place: usize, gone: Option<u32>) {
        let Pick {
            node,
            slot,
            index,
            element,
        } = self.picks[place];
        let name = self.graph.value(index).name.clone();
        let key = (self.graph.body_of(node), name.clone());
        if let Some(made) = self.made.get(&key) {
            self.patch.advance(made, node);
            self.patch.connect(node, slot, made);
            return;
        }
        self.patch.before(node);
        let element = element.unwrap_or(ElementType::Int64);
        let table = self.map.places(gone);
        let made = mapped(&mut self.patch, &name, element, &table);
        self.patch.connect(node, slot, &made);
        self.made.insert(key, made);
    }

    /// Lets inputs hold new ids; all that knows old ids alone reads those.
    fn give_new_ids(&mut self, inputs: BTreeSet<String>) {
        let mut ways = Vec::new();
        for place in 0..self.picks.len() {
            let Pick {
                node, slot, index, ..
            } = self.picks[place];
            match way_in(self.graph, (node, slot), index) {
                Some(way) => ways.push(way),
                None => self.renumber(place, None),
            }
        }
        for way in &ways {
            let name = &self.graph.value(way.input).name;
            self.patch.connect(way.node, way.slot, name);
        }
        let entered: BTreeSet<(NodeId, usize)> =
            ways.iter().map(|way| (way.node, way.slot)).collect();
        for name in inputs {
            let Some(input) = self.graph.find(&name) else {
                continue;
            };
            let readers = &self.graph.value(input).consumers;
            let all_enter = readers.iter().all(|reader| entered.contains(reader));
            if all_enter && !self.graph.is_captured(input) {
                continue;
            }
            self.patch.at_start();
            let element = self.graph.element(input).unwrap_or(ElementType::Int64);
            let whole = old_ids(&mut self.patch, &name, element, self.map);
            self.patch.read_as(&name, &whole);
        }
    }
}

/// That a plan keeps all ids that the model itself puts among those that it is given, and the one that stands for those that
/// are gone.
///
/// # Errors
/// It does not.
pub(crate) fn check_own_ids(
    analysis: &Analysis,
    kept: &Kept,
    settings: &VocabularySettings,
) -> Result<()> {
    let Some(map) = IdMap::of(analysis, kept) else {
        return Ok(());
    };
    if let Some(id) = settings.unknown.filter(|&id| map.place(id).is_none()) {
        return Err(Error::plan(format!(
            "id {id} stands for those that are gone (`unknown`), and is gone itself: keep it"
        )));
    }
    let graph = analysis.graph();
    for picked in cut_picks(analysis, kept) {
        for &source in &picked.sources {
            let Some(tensor) = graph.constant(source) else {
                continue;
            };
            let known = integers(tensor)?.unwrap_or_default();
            if let Some(id) = known.into_iter().find(|&id| !map.keeps(id)) {
                return Err(Error::plan(format!(
                    "the model itself puts id {id} (constant '{}') among those that pick from {}: keep it",
                    graph.value(source).name,
                    graph.describe(picked.node)
                )));
            }
        }
    }
    Ok(())
}
