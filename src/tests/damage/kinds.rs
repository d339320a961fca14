//! The ways in which a rewrite could be wrong, each applied wherever the rewrite did something.

use std::collections::BTreeMap;

use super::tensors::{Blocks, integers, with_integers, with_number};
use crate::onnx::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use crate::onnx::to_f32;
use crate::plan::{AxisKept, Plan};

pub(super) const MASKS: &str = "a mask's element";
pub(super) const PLANS: &str = "a kept position";
/// Of a kind, so many are made of one model at most.
const MOST: usize = 4;

/// A model with one damage.
pub(super) struct Damage {
    pub(super) what: String,
    pub(super) model: ModelProto,
}

/// Other tensors in the place of a sliced one, by the tensor before and after and what its plan keeps along an axis.
type OfSlices = fn(&Blocks, &Blocks, &[usize]) -> Vec<TensorProto>;

/// Another integer, by the old one and the right one.
type MakeInteger = fn(i64, i64) -> i64;

enum How {
    /// Of tensors that lost positions along an axis.
    Slices(OfSlices),
    /// Of integers that the rewrite set, in tensors and attributes: other numbers for one, told the old one.
    Integers(MakeInteger),
    /// Of attributes that say an axis, changed or not.
    Axes,
}

pub(super) struct Kind {
    pub(super) name: &'static str,
    how: How,
}

pub(super) const KINDS: [Kind; 10] = [
    Kind {
        name: "positions in another order",
        how: How::Slices(|_, after, kept| {
            let size = kept.len();
            let rolled: Vec<usize> = (0..size).map(|place| (place + 1) % size).collect();
            match size {
                1 => Vec::new(),
                _ => vec![after.taken(after, &rolled)],
            }
        }),
    },
    Kind {
        name: "a removed position in the place of a kept one",
        how: How::Slices(|before, after, kept| {
            let removed = (0..=kept.len()).find(|place| !kept.contains(place));
            let wrong: Vec<usize> = removed
                .into_iter()
                .chain(kept[1..].iter().copied())
                .collect();
            vec![after.taken(before, &wrong)]
        }),
    },
    Kind {
        name: "the first positions in the place of those kept",
        how: How::Slices(|before, after, kept| {
            let first: Vec<usize> = (0..kept.len()).collect();
            match first == kept {
                true => Vec::new(),
                false => vec![after.taken(before, &first)],
            }
        }),
    },
    Kind {
        name: "a position too few",
        how: How::Slices(|_, after, kept| {
            let fewer: Vec<usize> = (0..kept.len() - 1).collect();
            vec![after.taken(after, &fewer)]
        }),
    },
    Kind {
        name: "a position twice",
        how: How::Slices(|_, after, kept| {
            let more: Vec<usize> = (0..kept.len()).chain([0]).collect();
            vec![after.taken(after, &more)]
        }),
    },
    Kind {
        name: "not sliced",
        how: How::Slices(|before, after, _| {
            let all: Vec<usize> = (0..before.size()).collect();
            vec![after.taken(before, &all)]
        }),
    },
    Kind {
        name: "other numbers at one position",
        how: How::Slices(|_, after, kept| after.changed(kept.len() / 2).into_iter().collect()),
    },
    Kind {
        name: "an integer off by one",
        how: How::Integers(|_, new| new + if new < 0 { -1 } else { 1 }),
    },
    Kind {
        name: "a stale integer",
        how: How::Integers(|old, _| old),
    },
    Kind {
        name: "another axis",
        how: How::Axes,
    },
];

impl Kind {
    /// What it makes of the right result `after` of a rewrite of `before` by `plan`.
    pub(super) fn of(&self, before: &ModelProto, after: &ModelProto, plan: &Plan) -> Vec<Damage> {
        let (Some(old), Some(new)) = (&before.graph, &after.graph) else {
            return Vec::new();
        };
        let graphs = match &self.how {
            How::Slices(make) => slices(old, new, plan, *make),
            How::Integers(make) => in_integers(old, new, *make),
            How::Axes => axes(new),
        };
        let graphs = graphs.into_iter().take(MOST);
        let damage = graphs.map(|(what, graph)| Damage {
            what,
            model: ModelProto {
                graph: Some(graph),
                ..after.clone()
            },
        });
        damage.collect()
    }
}

type Graphs = Vec<(String, GraphProto)>;

fn tensors(graph: &GraphProto) -> BTreeMap<&str, &TensorProto> {
    let tensors = graph.initializer.iter();
    tensors.map(|tensor| (tensor.name(), tensor)).collect()
}

fn with_tensor(graph: &GraphProto, place: usize, tensor: TensorProto) -> GraphProto {
    let mut graph = graph.clone();
    graph.initializer[place] = tensor;
    graph
}

/// What an axis keeps; nothing where groups keep different positions.
fn positions(axis: &AxisKept) -> Option<Vec<usize>> {
    let [kept] = axis.kept.as_slice() else {
        return None;
    };
    Some(kept.iter().map(|&place| place as usize).collect())
}

fn slices(old: &GraphProto, new: &GraphProto, plan: &Plan, make: OfSlices) -> Graphs {
    let before = tensors(old);
    let mut out = Vec::new();
    for (place, tensor) in new.initializer.iter().enumerate() {
        let planned = plan.initializers.iter().find(|of| of.name == tensor.name());
        let (Some(planned), Some(whole)) = (planned, before.get(tensor.name())) else {
            continue;
        };
        for axis in &planned.axes {
            let mut others = planned.axes.iter().filter(|other| other.axis != axis.axis);
            let whole = others.try_fold((*whole).clone(), |whole, other| {
                let whole = Blocks::new(&whole, other.axis)?;
                Some(whole.taken(&whole, &positions(other)?))
            });
            let (Some(whole), Some(kept)) = (whole, positions(axis)) else {
                continue;
            };
            let (Some(whole), Some(blocks)) = (
                Blocks::new(&whole, axis.axis),
                Blocks::new(tensor, axis.axis),
            ) else {
                continue;
            };
            for damaged in make(&whole, &blocks, &kept) {
                // Where all positions are alike there is nothing to see.
                if damaged == *tensor {
                    continue;
                }
                let what = format!("{} along axis {}", tensor.name(), axis.axis);
                out.push((what, with_tensor(new, place, damaged)));
            }
        }
    }
    out
}

fn in_integers(old: &GraphProto, new: &GraphProto, make: MakeInteger) -> Graphs {
    let before = tensors(old);
    let mut out = Vec::new();
    for (place, tensor) in new.initializer.iter().enumerate() {
        let Some(numbers) = integers(tensor) else {
            continue;
        };
        let name = tensor.name().trim_end_matches(".pruned");
        let was = before.get(name).and_then(|tensor| integers(tensor));
        let was = was.filter(|was| was.len() == numbers.len());
        for (index, wrong) in wrong_integers(was.as_deref(), &numbers, make) {
            let damaged = with_integers(tensor, &wrong);
            let what = format!("{}[{index}]", tensor.name());
            out.push((what, with_tensor(new, place, damaged)));
        }
    }
    out.extend(in_attributes(old, new, make));
    out
}

fn in_attributes(old: &GraphProto, new: &GraphProto, make: MakeInteger) -> Graphs {
    let nodes = old.node.iter();
    let nodes: BTreeMap<&[String], &NodeProto> =
        nodes.map(|node| (node.output.as_slice(), node)).collect();
    let mut out = Vec::new();
    for (place, node) in new.node.iter().enumerate() {
        let Some(was) = nodes.get(node.output.as_slice()) else {
            continue;
        };
        for (number, attribute) in node.attribute.iter().enumerate() {
            let same = |other: &&AttributeProto| other.name() == attribute.name();
            let Some(was) = was.attribute.iter().find(same) else {
                continue;
            };
            for wrong in wrong_attributes(was, attribute, make) {
                let what = format!("{} of '{}'", attribute.name(), node.name());
                out.push((what, with_attribute(new, [place, number], wrong)));
            }
        }
    }
    out
}

fn with_attribute(graph: &GraphProto, at: [usize; 2], wrong: AttributeProto) -> GraphProto {
    let mut graph = graph.clone();
    graph.node[at[0]].attribute[at[1]] = wrong;
    graph
}

/// By index of an integer that the rewrite set, the list with another one there.
fn wrong_integers(was: Option<&[i64]>, now: &[i64], make: MakeInteger) -> Vec<(usize, Vec<i64>)> {
    let old = |index: usize| was.map_or(now[index], |was| was[index]);
    let set = |index: &usize| was.is_none() || old(*index) != now[*index];
    let changed = (0..now.len()).filter(set).filter_map(|index| {
        let mut wrong = now.to_vec();
        wrong[index] = make(old(index), now[index]);
        (wrong != now).then_some((index, wrong))
    });
    changed.collect()
}

fn wrong_attributes(
    was: &AttributeProto,
    now: &AttributeProto,
    make: MakeInteger,
) -> Vec<AttributeProto> {
    let mut out = Vec::new();
    if let (Some(old), Some(new)) = (was.i, now.i)
        && old != new
    {
        let i = Some(make(old, new));
        out.push(AttributeProto { i, ..now.clone() });
    }
    if was.ints.len() == now.ints.len() {
        for (_, ints) in wrong_integers(Some(&was.ints), &now.ints, make) {
            out.push(AttributeProto {
                ints,
                ..now.clone()
            });
        }
    }
    out
}

/// Nodes along another axis, or with another order of axes.
fn axes(graph: &GraphProto) -> Graphs {
    let mut out = Vec::new();
    for (place, node) in graph.node.iter().enumerate() {
        for (number, attribute) in node.attribute.iter().enumerate() {
            let mut wrong = attribute.clone();
            match (attribute.name(), attribute.i, wrong.ints.as_mut_slice()) {
                ("axis", Some(axis), _) => wrong.i = Some(if axis == 0 { 1 } else { axis - 1 }),
                ("perm", _, [.., one, other]) => std::mem::swap(one, other),
                _ => continue,
            }
            let what = format!("{} of '{}'", attribute.name(), node.name());
            out.push((what, with_attribute(graph, [place, number], wrong)));
        }
    }
    out
}

/// Twins of which a mask keeps a removed position, or removes a kept one.
pub(super) fn masks(twin: &ModelProto) -> Vec<Damage> {
    let mut out = Vec::new();
    let Some(graph) = &twin.graph else {
        return out;
    };
    for (place, tensor) in graph.initializer.iter().enumerate() {
        let mask = tensor.name().starts_with("secateur.mask.");
        let Some(numbers) = to_f32(tensor).ok().filter(|_| mask) else {
            continue;
        };
        if let &[ratio] = &numbers[..] {
            out.extend(
                with_number(tensor, &numbers, 0, ratio * 1.25).map(|damaged| Damage {
                    what: format!("{} was {ratio}", tensor.name()),
                    model: ModelProto {
                        graph: Some(with_tensor(graph, place, damaged)),
                        ..twin.clone()
                    },
                }),
            );
            continue;
        }
        for was in [0.0, 1.0] {
            let Some(index) = numbers.iter().position(|&number| number == was) else {
                continue;
            };
            let Some(damaged) = with_number(tensor, &numbers, index, 1.0 - was) else {
                continue;
            };
            out.push(Damage {
                what: format!("{}[{index}] was {was}", tensor.name()),
                model: ModelProto {
                    graph: Some(with_tensor(graph, place, damaged)),
                    ..twin.clone()
                },
            });
        }
    }
    out.truncate(MOST);
    out
}

/// Plans that keep another position of one dimension.
pub(super) fn plans(plan: &Plan) -> Vec<(String, Plan)> {
    let dimensions = plan.dimensions.iter().enumerate();
    let wrong = dimensions.filter_map(|(place, of)| {
        let size = u32::try_from(of.size).ok()?;
        let removed = (0..size).find(|position| !of.kept.contains(position))?;
        let mut wrong = plan.clone();
        let kept = &mut wrong.dimensions[place].kept;
        *kept.last_mut()? = removed;
        kept.sort_unstable();
        Some((of.name.clone(), wrong))
    });
    wrong.take(MOST).collect()
}
