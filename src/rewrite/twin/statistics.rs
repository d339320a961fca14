//! Where channels meet: what a twin does so that those that stay make of each other what they make in the pruned model.
//!
//! A channel that is removed is given the number that does not count: 0 in a sum, 1 in a product, the lowest where the
//! largest is sought. A mean is over fewer numbers than are summed up, and is multiplied with how many there were for
//! each that stays. A normalisation is left as it is: removed channels get the mean of the others, so that they add
//! nothing to the variance, and all are stretched such that the variance over all is that over those that stay; what
//! this stretches the result by is taken off its scale.

use super::TwinBuilder;
use crate::axes::Type;
use crate::error::Result;
use crate::graph::{NodeId, ValueId, int, ints};
use crate::onnx::{ElementType, packed};
use crate::ops::{Mix, MixFact};

/// From this version of the operator set on Where chooses.
const CHOICE: i64 = 9;
/// From this one on ReduceMean reads its axes.
const AXES_ARE_READ: i64 = 18;

/// A number that replaces removed channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Neutral {
    Zero,
    One,
    Lowest,
    Highest,
    /// Minus infinity, the power of which is 0.
    Nothing,
}

impl Neutral {
    /// The packed number.
    fn bytes(self, element: ElementType) -> Vec<u8> {
        match (self, element) {
            (_, of) if of.is_float() => packed(&[self.real(of)], of),
            (_, ElementType::Int8) => (self.whole(i8::MIN.into(), i8::MAX.into()) as i8)
                .to_le_bytes()
                .into(),
            (_, ElementType::Uint8) => vec![self.whole(0, u8::MAX.into()) as u8],
            (_, ElementType::Bool) => vec![self.whole(0, 1) as u8],
            (_, ElementType::Int32) => (self.whole(i32::MIN.into(), i32::MAX.into()) as i32)
                .to_le_bytes()
                .into(),
            _ => self.whole(i64::MIN, i64::MAX).to_le_bytes().into(),
        }
    }

    /// A number that is masked further on has to be finite: no product of an infinite one is 0.
    fn real(self, element: ElementType) -> f32 {
        match self {
            Neutral::Zero => 0.0,
            Neutral::One => 1.0,
            Neutral::Lowest => element.low(),
            Neutral::Highest => -element.low(),
            Neutral::Nothing => f32::NEG_INFINITY,
        }
    }

    fn whole(self, lowest: i64, highest: i64) -> i64 {
        match self {
            Neutral::Zero => 0,
            Neutral::One => 1,
            Neutral::Lowest | Neutral::Nothing => lowest,
            Neutral::Highest => highest,
        }
    }
}

/// An axis of a value along which channels are removed, and the type of what meets along it.
type Pruned<'a> = (usize, &'a Type);

impl TwinBuilder<'_> {
    /// Puts right what a node makes of channels that meet in it.
    pub(super) fn correct(&mut self, fact: &MixFact) -> Result<()> {
        let types = &self.analysis.state.types;
        let pruned = fact.axes.iter();
        let pruned = pruned.filter(|(_, ty)| types.is_pruned(ty, self.kept));
        let pruned: Vec<Pruned> = pruned.map(|(axis, ty)| (*axis, ty)).collect();
        let value = self.analysis.graph().node(fact.node).input(fact.slot);
        let Some(value) = value.filter(|_| !pruned.is_empty()) else {
            return Ok(());
        };
        match &fact.mix {
            Mix::Sum => self.replace(fact, value, &pruned, Neutral::Zero),
            Mix::Product => self.replace(fact, value, &pruned, Neutral::One),
            Mix::Largest => self.replace(fact, value, &pruned, Neutral::Lowest),
            // What does not choose multiplies, and no product of minus infinity is 0.
            Mix::Powers if !self.chooses() => self.replace(fact, value, &pruned, Neutral::Lowest),
            Mix::Powers => {
                self.infinite = true;
                self.replace(fact, value, &pruned, Neutral::Nothing)
            }
            Mix::Smallest => self.replace(fact, value, &pruned, Neutral::Highest),
            Mix::Mean => {
                self.replace(fact, value, &pruned, Neutral::Zero)?;
                let factor = self.ratio(&pruned, 1.0, self.element(value))?;
                self.scale_output(fact.node, 0, &factor);
                Ok(())
            }
            Mix::Normalised {
                centred,
                scale,
                groups,
            } => {
                let groups = groups.as_ref();
                self.stretch(fact, value, &pruned, (*centred, groups))?;
                self.take_off(fact.node, value, &pruned, *scale)?;
                // The mean, where it is an output, is that of what was stretched.
                let mean = self.analysis.graph().node(fact.node).output(1);
                if let Some(mean) = mean.filter(|_| *centred) {
                    let factor = self.ratio(&pruned, -0.5, self.element(mean))?;
                    self.scale_output(fact.node, 1, &factor);
                }
                Ok(())
            }
        }
    }

    /// Lets the node read the value with another number in the place of removed channels.
    fn replace(
        &mut self,
        fact: &MixFact,
        value: ValueId,
        pruned: &[Pruned],
        with: Neutral,
    ) -> Result<()> {
        for &(axis, _) in pruned {
            self.fill_at((fact.node, fact.slot), value, axis, with)?;
        }
        Ok(())
    }

    /// Lets a node read `value` with a number in the place of what is removed along an axis.
    pub(super) fn fill_at(
        &mut self,
        (node, slot): (NodeId, usize),
        value: ValueId,
        axis: usize,
        with: Neutral,
    ) -> Result<()> {
        let Some(input) = self.patch.reads(self.analysis.graph(), node, slot) else {
            return Ok(());
        };
        self.patch.before(node);
        let mask = self.mask_of(value, axis)?;
        let key = (self.body, input, format!("{mask}:{axis}:{with:?}"));
        if self.reuse((node, slot), &key) {
            return Ok(());
        }
        let element = self.element(value);
        let number = self
            .patch
            .constant("secateur.filling", element, &[1], with.bytes(element));
        let name = self.chosen(value, axis, (&key.1, &number))?;
        self.patch.connect(node, slot, &name);
        // Only what one node makes can be moved to stand before another reader as well.
        if self.chooses() {
            self.masked.insert(key, name);
        }
        Ok(())
    }

    /// The name of `input` where channels along an axis of `value` stay, and of `other` where they are removed.
    fn chosen(
        &mut self,
        value: ValueId,
        axis: usize,
        (input, other): (&str, &str),
    ) -> Result<String> {
        let mask = self.mask_of(value, axis)?;
        let base = format!("{input}.filled");
        if self.chooses() {
            let flags = self.flags(&mask);
            let read = [flags.as_str(), input, other];
            return Ok(self.patch.node(&base, "Where", &read, Vec::new()));
        }
        let element = self.element(value);
        let one = self
            .patch
            .constant("secateur.one", element, &[1], packed(&[1.0], element));
        let gone = self
            .patch
            .node("secateur.gone", "Sub", &[&one, &mask], Vec::new());
        let filling = self
            .patch
            .node("secateur.filling", "Mul", &[other, &gone], Vec::new());
        let stays = self
            .patch
            .node("secateur.stays", "Mul", &[input, &mask], Vec::new());
        Ok(self
            .patch
            .node(&base, "Add", &[&stays, &filling], Vec::new()))
    }

    /// A mask as flags, made before all nodes where the mask is there.
    pub(super) fn flags(&mut self, mask: &str) -> String {
        if let Some(name) = self.flags.get(mask) {
            return name.clone();
        }
        let open = self.open.values().any(|made| made == mask);
        let place = (!open).then(|| self.patch.at_start());
        let name = self
            .patch
            .cast(&format!("{mask}.flags"), mask, ElementType::Bool);
        place
            .into_iter()
            .for_each(|place| self.patch.back_to(place));
        self.flags.insert(mask.to_owned(), name.clone());
        name
    }

    fn chooses(&self) -> bool {
        self.analysis.graph().model().opset() >= CHOICE
    }

    /// The mask along an axis of a value, in its element type if that is real.
    pub(super) fn mask_of(&mut self, value: ValueId, axis: usize) -> Result<String> {
        let axes = self.analysis.state.axes(value).unwrap_or_default();
        let element = Some(self.element(value)).filter(|element| element.is_float());
        let element = element.unwrap_or(ElementType::Float);
        if let Some(open) = self.analysis.state.types.open_axis(&axes[axis]) {
            return self.open_mask(value, axis, element, &open);
        }
        let choice = (self.analysis, self.kept);
        self.masks
            .positions(choice, &mut self.patch, (axes, axis), element)
    }

    fn ratio(&mut self, pruned: &[Pruned], power: f64, element: ElementType) -> Result<String> {
        let of: Vec<&Type> = pruned.iter().map(|&(_, ty)| ty).collect();
        let choice = (self.analysis, self.kept);
        self.masks
            .ratio(choice, &mut self.patch, &of, (power, element))
    }

    /// Multiplies an output of a node for whoever reads it.
    fn scale_output(&mut self, node: NodeId, slot: usize, factor: &str) {
        let outputs = &self.analysis.graph().node_proto(node).output;
        let Some(output) = outputs.get(slot).filter(|name| !name.is_empty()).cloned() else {
            return;
        };
        let raw = self.patch.fresh(&format!("{output}.uncorrected"));
        self.patch.rename_output(node, slot, &raw);
        self.patch.behind(node);
        self.patch
            .node_as(&output, "Mul", &[&raw, factor], Vec::new());
    }

    /// Gives removed channels the mean of those that stay, or 0, and stretches all such that the variance over all is
    /// that over those that stay.
    fn stretch(
        &mut self,
        fact: &MixFact,
        value: ValueId,
        pruned: &[Pruned],
        (centred, groups): (bool, Option<&Type>),
    ) -> Result<()> {
        let at = (fact.node, fact.slot);
        let source = self.analysis.graph();
        let Some(input) = self.patch.reads(source, at.0, at.1) else {
            return Ok(());
        };
        self.replace(fact, value, pruned, Neutral::Zero)?;
        let Some(mut filled) = self.patch.reads(source, at.0, at.1) else {
            return Ok(());
        };
        self.patch.before(fact.node);
        let element = self.element(value);
        if centred {
            let factor = self.ratio(pruned, 1.0, element)?;
            let mean = match groups {
                Some(groups) => self.group_means(value, &filled, &factor, groups),
                None => {
                    let axes: Vec<i64> = fact.axes.iter().map(|&(axis, _)| axis as i64).collect();
                    let mean = self.mean(&filled, &axes);
                    self.patch
                        .node("secateur.mean", "Mul", &[&mean, &factor], Vec::new())
                }
            };
            filled = input;
            for &(axis, _) in pruned {
                filled = self.chosen(value, axis, (&filled, &mean))?;
            }
        }
        let stretch = self.ratio(pruned, 0.5, element)?;
        let base = format!("{filled}.stretched");
        let stretched = self
            .patch
            .node(&base, "Mul", &[&filled, &stretch], Vec::new());
        self.patch.connect(at.0, at.1, &stretched);
        Ok(())
    }

    /// What the stretching multiplied the result with is taken off its scale.
    fn take_off(
        &mut self,
        node: NodeId,
        value: ValueId,
        pruned: &[Pruned],
        scale: Option<usize>,
    ) -> Result<()> {
        let source = self.analysis.graph();
        let read = scale.and_then(|slot| Some((slot, self.patch.reads(source, node, slot)?)));
        let Some((slot, scale)) = read else {
            let factor = self.ratio(pruned, -0.5, self.element(value))?;
            self.scale_output(node, 0, &factor);
            return Ok(());
        };
        let of = source.node(node).input(slot).unwrap_or(value);
        let factor = self.ratio(pruned, -0.5, self.element(of))?;
        self.patch.before(node);
        let base = format!("{scale}.corrected");
        let corrected = self
            .patch
            .node(&base, "Mul", &[&scale, &factor], Vec::new());
        self.patch.connect(node, slot, &corrected);
        Ok(())
    }

    fn mean(&mut self, x: &str, axes: &[i64]) -> String {
        if self.analysis.graph().model().opset() >= AXES_ARE_READ {
            let axes = self.patch.integers("secateur.axes", axes);
            return self
                .patch
                .node("secateur.mean", "ReduceMean", &[x, &axes], Vec::new());
        }
        let axes = vec![ints("axes", axes), int("keepdims", 1)];
        self.patch.node("secateur.mean", "ReduceMean", &[x], axes)
    }

    /// The means of groups of channels, by channel: `[N, C, 1, ..]`.
    fn group_means(&mut self, value: ValueId, x: &str, factor: &str, groups: &Type) -> String {
        let types = &self.analysis.state.types;
        let axes = self.analysis.state.axes(value).unwrap_or_default();
        let groups = i64::from(types.size(groups));
        let channels = axes.get(1).map_or(0, |axis| i64::from(types.size(axis)));
        let mut by_channel = vec![0, channels];
        by_channel.resize(axes.len(), 1);
        let patch = &mut self.patch;
        let grouped = patch.integers("secateur.groups", &[0, groups, -1]);
        let each = patch.integers("secateur.each", &[1, 1, channels / groups.max(1)]);
        let by_channel = patch.integers("secateur.channels", &by_channel);
        let x = patch.node("secateur.grouped", "Reshape", &[x, &grouped], Vec::new());
        let mean = self.mean(&x, &[2]);
        let patch = &mut self.patch;
        let mean = patch.node("secateur.mean", "Mul", &[&mean, factor], Vec::new());
        let mean = patch.node("secateur.mean", "Expand", &[&mean, &each], Vec::new());
        patch.node(
            "secateur.mean",
            "Reshape",
            &[&mean, &by_channel],
            Vec::new(),
        )
    }
}
