//! Finding the dead channels of a model.

use std::collections::BTreeSet;

use fixedbitset::FixedBitSet;

use super::independent::Independent;
use super::ranges::Seen;
use super::readers::{Reader, readers, rows_of};
use crate::data::random_inputs;
use crate::dimensions::{Analysis, Dimension, DimensionId, Site};
use crate::error::Result;
use crate::graph::{ValueId, tapped};
use crate::layers::Addition;
use crate::ops::{Linear, Operand, Role, Window, names_activations};
use crate::runtime::Runtime;

/// The dead channels of a model.
#[derive(Clone, Debug, Default)]
pub struct Dead {
    /// Dimensions that have any.
    pub dimensions: Vec<DeadDimension>,
    /// What their readers have to be given instead.
    pub(crate) constants: Vec<Addition>,
    /// Channels that do not depend on data and stay, with the reason.
    pub kept: Vec<(String, usize, &'static str)>,
}

/// A dimension with dead channels.
#[derive(Clone, Debug)]
pub struct DeadDimension {
    /// The dimension.
    pub id: DimensionId,
    /// The channels that stay, ascending.
    pub kept: Vec<u32>,
}

const INSIDE: &str = "is made or read in the body of a node, where no run looks";

/// Numbers by position of a summed axis.
type ConstantsByPlace = Vec<(usize, f32)>;

/// How a reader takes a channel.
enum Reading {
    /// It adds nothing.
    Nothing,
    /// It adds these constants, by position of the summed axis.
    Constants(ConstantsByPlace),
    /// It needs it, for this reason where that is worth saying.
    Needs(Option<&'static str>),
}

/// Finds the dead channels of all dimensions whose channels do not influence each other. Each dimension
/// keeps at least one channel, and as many in every group of a grouped convolution.
///
/// # Errors
/// Weights that cannot be read, or a model that onnxruntime cannot run on random inputs.
pub fn dead_channels(analysis: &Analysis, runtime: &Runtime) -> Result<Dead> {
    let fixed = analysis.graph().fixed_nodes();
    let mut seen = Seen::new(analysis);
    let mut candidates = Vec::new();
    let mut dead = Dead::default();
    for (place, dimension) in analysis.dimensions().iter().enumerate() {
        if dimension.mixing.is_some() {
            continue;
        }
        let zeros = zeros(analysis, dimension, &mut seen)?;
        if is_in_body(analysis, dimension) {
            let kept = |channel| (dimension.name.clone(), channel, INSIDE);
            dead.kept.extend(zeros.into_iter().map(kept));
        } else if !zeros.is_empty() {
            candidates.push((DimensionId(place), dimension));
        }
    }
    if candidates.is_empty() {
        return Ok(dead);
    }
    let readers: Vec<Vec<Reader>> = candidates
        .iter()
        .map(|(_, dimension)| readers(analysis, dimension, &fixed))
        .collect();
    observe(analysis, runtime, &readers, &mut seen)?;
    for ((id, dimension), readers) in candidates.into_iter().zip(readers) {
        let independent = Independent::of(analysis, dimension, &fixed, &mut seen)?;
        let finder = Finder {
            analysis,
            dimension,
            independent: &independent,
            fixed: &fixed,
        };
        finder.collect(id, &readers, &mut seen, &mut dead)?;
    }
    Ok(dead)
}

/// The channels of which some weight has zeros only.
fn zeros(analysis: &Analysis, dimension: &Dimension, seen: &mut Seen) -> Result<BTreeSet<usize>> {
    let mut found = BTreeSet::new();
    for site in &dimension.sites {
        let axes = analysis.state.axes(site.value).unwrap_or_default();
        if axes.len() > 1 && !begins_with_zeros(analysis, site, seen)? {
            let ranges = seen.ranges(site.value, site.axis)?.iter().enumerate();
            found.extend(
                ranges
                    .filter(|(_, range)| range.is_zero())
                    .map(|(at, _)| at),
            );
        }
    }
    Ok(found)
}

/// Whether a constant is zeros that a loop begins with, which say nothing of what it carries later.
fn begins_with_zeros(analysis: &Analysis, site: &Site, seen: &mut Seen) -> Result<bool> {
    let graph = analysis.graph();
    let mut readers = graph.value(site.value).consumers.iter();
    let begins = readers.len() > 0
        && !graph.is_captured(site.value)
        && readers.all(|&(node, _)| graph.bodies_of(node).next().is_some());
    let ranges = seen.ranges(site.value, site.axis)?;
    Ok(begins && ranges.iter().all(|range| range.is_zero()))
}

/// Whether a node in a body makes or reads a dimension: no run shows what that does.
fn is_in_body(analysis: &Analysis, dimension: &Dimension) -> bool {
    let graph = analysis.graph();
    let mut nodes = dimension.producers.iter().chain(&dimension.consumers);
    let mut sites = dimension.sites.iter();
    nodes.any(|&node| graph.body_of(node).is_some())
        || sites.any(|site| graph.value(site.value).body.is_some())
}

/// Runs the model once and looks at what is read.
fn observe(
    analysis: &Analysis,
    runtime: &Runtime,
    readers: &[Vec<Reader>],
    seen: &mut Seen,
) -> Result<()> {
    let graph = analysis.graph();
    let read = readers.iter().flatten();
    let read =
        read.flat_map(|reader| [Some(reader.value), reader.partner.map(|(_, weight)| weight)]);
    let wanted: BTreeSet<ValueId> = read
        .flatten()
        .filter(|&value| graph.constant(value).is_none())
        .collect();
    let names = wanted.iter().map(|&value| graph.value(value).name.as_str());
    let model = tapped(graph.model(), names);
    let own = |fault| analysis.blamed(fault);
    let session = runtime.session(&model, "the model with its inner values as outputs");
    let mut session = session.map_err(own)?;
    let inputs = random_inputs(analysis, &session.inputs(), 0)?;
    for (name, tensor) in session.run(&inputs).map_err(own)? {
        if let Some(value) = graph.find(&name).filter(|value| wanted.contains(value)) {
            seen.observe(value, &tensor);
        }
    }
    Ok(())
}

struct Finder<'a> {
    analysis: &'a Analysis,
    dimension: &'a Dimension,
    independent: &'a Independent<'a>,
    fixed: &'a [bool],
}

impl Finder<'_> {
    fn collect(
        &self,
        id: DimensionId,
        readers: &[Reader],
        seen: &mut Seen,
        dead: &mut Dead,
    ) -> Result<()> {
        let size = self.dimension.size;
        let mut removable = FixedBitSet::with_capacity(size);
        let mut added: Vec<Vec<(u32, ConstantsByPlace)>> = vec![Vec::new(); readers.len()];
        for channel in 0..size as u32 {
            let mut taken = Vec::with_capacity(readers.len());
            for reader in readers {
                taken.push(self.taken(reader, readers, channel, seen)?);
            }
            let needs = taken.iter().find_map(|taken| match taken {
                Reading::Needs(why) => Some(*why),
                Reading::Nothing | Reading::Constants(_) => None,
            });
            if let Some(why) = needs {
                if let Some(why) = why {
                    dead.kept
                        .push((self.dimension.name.clone(), channel as usize, why));
                }
                continue;
            }
            removable.insert(channel as usize);
            for (constants, taken) in added.iter_mut().zip(taken) {
                if let Reading::Constants(own) = taken {
                    constants.push((channel, own));
                }
            }
        }
        self.balance(&mut removable);
        if removable.is_clear() {
            return Ok(());
        }
        for (reader, constants) in readers.iter().zip(added) {
            let own = constants
                .into_iter()
                .filter(|(channel, _)| removable.contains(*channel as usize));
            let own: ConstantsByPlace = own.flat_map(|(_, constants)| constants).collect();
            if let (Some((linear, weight)), false) = (reader.partner, own.is_empty()) {
                let added = rows_of(linear, weight, &own, seen)?;
                dead.constants.push(Addition {
                    linear: linear.clone(),
                    added,
                });
            }
        }
        let kept = (0..size as u32).filter(|&channel| !removable.contains(channel as usize));
        dead.dimensions.push(DeadDimension {
            id,
            kept: kept.collect(),
        });
        Ok(())
    }

    /// Leaves equally many channels in every block, and at least one.
    fn balance(&self, removable: &mut FixedBitSet) {
        let blocks = self.dimension.blocks.max(1);
        let size = self.dimension.size / blocks;
        let count = |block: usize| removable.count_ones(block * size..(block + 1) * size);
        let most = (0..blocks)
            .map(count)
            .min()
            .unwrap_or(0)
            .min(size.saturating_sub(1));
        for block in 0..blocks {
            let own: Vec<usize> = (block * size..(block + 1) * size)
                .filter(|&c| removable.contains(c))
                .collect();
            own[most..]
                .iter()
                .for_each(|&channel| removable.set(channel, false));
        }
    }

    fn taken(
        &self,
        reader: &Reader,
        all: &[Reader],
        channel: u32,
        seen: &mut Seen,
    ) -> Result<Reading> {
        if self.analysis.graph().is_fixed(reader.value, self.fixed) {
            let zero = self.is_zero(reader.value, reader.site.axis, channel, seen)?;
            return Ok(
                match zero || self.reads_own_zero(reader, all, channel, seen)? {
                    true => Reading::Nothing,
                    false => Reading::Needs(None),
                },
            );
        }
        if self.partner_is_zero(reader, channel, seen)? {
            return Ok(Reading::Nothing);
        }
        let independent = self.independent.channels.get(&reader.value);
        if !independent.is_some_and(|channels| channels.contains(channel as usize)) {
            return Ok(Reading::Needs(None));
        }
        if self.is_zero(reader.value, reader.site.axis, channel, seen)? {
            return Ok(Reading::Nothing);
        }
        let places = self.places(reader.value, reader.site.axis, channel);
        let ranges = seen.ranges(reader.value, reader.site.axis)?;
        let constants = places
            .iter()
            .map(|&place| Some((place, ranges.get(place)?.constant()?)));
        let Some(constants) = constants.collect::<Option<Vec<_>>>() else {
            return Ok(Reading::Needs(Some(
                "its constant is not the same everywhere (padding before it)",
            )));
        };
        Ok(match reader.partner {
            Some((linear, _)) if self.is_uniform(linear) => Reading::Constants(constants),
            Some(_) => Reading::Needs(Some(
                "its reader pads it, so what it adds differs at the borders",
            )),
            None => Reading::Needs(Some("it is constant, but multiplied with data")),
        })
    }

    fn places(&self, value: ValueId, axis: usize, channel: u32) -> Vec<usize> {
        let axes = self.analysis.state.axes(value).unwrap_or_default();
        let places = self
            .analysis
            .state
            .types
            .places(&axes[axis], self.dimension.var, channel);
        places.into_iter().map(|place| place as usize).collect()
    }

    fn is_zero(&self, value: ValueId, axis: usize, channel: u32, seen: &mut Seen) -> Result<bool> {
        let places = self.places(value, axis, channel);
        let ranges = seen.ranges(value, axis)?;
        Ok(places
            .iter()
            .all(|&place| ranges.get(place).is_some_and(|range| range.is_zero())))
    }

    /// A node that multiplies a weight with its own states does not need the columns of a state that is zero
    /// because everything that makes it is.
    fn reads_own_zero(
        &self,
        reader: &Reader,
        all: &[Reader],
        channel: u32,
        seen: &mut Seen,
    ) -> Result<bool> {
        let mut linears = self.analysis.state.linears_of(reader.site.node);
        let own = linears.find(|linear| {
            let reduced = matches!(linear.roles.get(reader.site.axis), Some(Role::Reduction(_)));
            linear.slot == reader.site.slot
                && reduced
                && matches!(linear.data, Some(Operand::Output(_)))
        });
        let proto = self.analysis.graph().node_proto(reader.site.node);
        if own.is_none() || names_activations(proto) {
            return Ok(false);
        }
        for other in all
            .iter()
            .filter(|other| other.site.node == reader.site.node && other.site != reader.site)
        {
            let fixed = self.analysis.graph().is_fixed(other.value, self.fixed);
            if !fixed || !self.is_zero(other.value, other.site.axis, channel, seen)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// True if the weight that the value is multiplied with is zero wherever it reads the channel.
    fn partner_is_zero(&self, reader: &Reader, channel: u32, seen: &mut Seen) -> Result<bool> {
        let Some((linear, weight)) = reader.partner else {
            return Ok(false);
        };
        let axis = linear
            .roles
            .iter()
            .position(|role| *role == Role::Reduction(reader.site.axis));
        match axis {
            // In a grouped transposed convolution and others the axes need not be of the same type.
            Some(axis) if !self.places(weight, axis, channel).is_empty() => {
                self.is_zero(weight, axis, channel, seen)
            }
            _ => Ok(false),
        }
    }

    /// True if a constant input adds the same to every place of the output.
    fn is_uniform(&self, linear: &Linear) -> bool {
        let proto = self.analysis.graph().node_proto(linear.node);
        let rows = linear
            .roles
            .iter()
            .filter(|role| matches!(role, Role::Row(_)));
        let one_row = rows.clone().count() == 1
            && rows.clone().all(|role| matches!(role, Role::Row(Some(_))));
        let batched = linear
            .roles
            .iter()
            .any(|role| matches!(role, Role::Batch(_)));
        let axes = linear.roles.iter();
        let kernel = axes.filter(|role| matches!(role, Role::Kernel)).count();
        let padded =
            kernel > 0 && Window::of(proto, kernel).is_none_or(|window| window.is_padded());
        one_row && !batched && linear.groups == 1 && !padded
    }
}
