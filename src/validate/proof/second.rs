//! The second look at outputs that are beyond the plain bound or that hide what enters them.

use super::inputs::DrawnInputs;
use super::moved::{is_small, nudged, unit, widened};
use super::noise::{Noise, noise_of};
use super::pair::{Draw, Pair, Tensors, moved, side_by_side, tensor, worse};
use super::{ALLOWED, ALLOWED_DOUBLE, FACTOR, STEPS, UNITS};
use crate::dimensions::Filling;
use crate::error::{Error, ProofFault, Result};
use crate::graph::tapped;
use crate::metrics::{Gap, OutputDeviation, spread};
use crate::onnx::{ElementType, Model};
use crate::runtime::{Optimisation, Session, SessionOptions, Tensor};

/// Scales of the inputs that are drawn beside those of the first look.
const SCALES: [f64; 4] = [1.0 / 64.0, 0.125, 8.0, 64.0];
/// Further times that weights are moved where numbers become codes.
const TURNS: u64 = 4;
/// Numbers in a model that may be held once more in a wider element type.
const MOST_WIDENED: usize = 64 << 20;
/// A value that varies by less than this many times what it may be wrong by says little.
const TELLING: f64 = 10.0;

/// All that is run for a second look.
pub(super) struct Second<'a> {
    pair: &'a Pair<'a>,
    reference: Session,
    candidate: Session,
    /// The reference in other orders of computation.
    orders: Vec<Session>,
    /// Both in a wider element type.
    wide: Option<(ElementType, [Session; 2])>,
    noise: Noise,
}

/// What the first look made of a draw, where it did; the draw, and the scale of its inputs.
type Turn<'a> = (Option<&'a Draw>, DrawnInputs, f64);

/// What one draw shows, by name.
struct Seen {
    drawn: DrawnInputs,
    /// The scale of its inputs.
    scale: f64,
    expected: Tensors,
    computed: Tensors,
    orders: Vec<Tensors>,
    wide: Option<(ElementType, [Tensors; 2])>,
}

/// A value on one draw.
struct Reading {
    /// Distance of the candidate from the reference.
    gap: Gap,
    /// What it may be, absolutely.
    allowed: f64,
    informative: bool,
}

impl Reading {
    fn ratio(&self) -> f64 {
        match self.allowed > 0.0 {
            true => self.gap.error / self.allowed,
            false if self.gap.error == 0.0 => 0.0,
            false => f64::INFINITY,
        }
    }
}

impl<'a> Second<'a> {
    /// The outputs at these places once more.
    ///
    /// # Errors
    /// [`Error::Verification`] for an output or a value before it that rounding does not explain.
    pub(super) fn look(
        pair: &'a Pair<'a>,
        first: &[Draw],
        places: &[usize],
    ) -> Result<Vec<(usize, OutputDeviation)>> {
        let names = first.first().map(|draw| &draw.expected);
        let names: Vec<(usize, String)> = places
            .iter()
            .filter_map(|&place| Some((place, names?.get(place)?.0.clone())))
            .collect();
        let mut values: Vec<String> = Vec::new();
        for (_, name) in &names {
            values.extend(pair.entries.of_output(name).values);
        }
        let mut second = Second::open(pair, &values)?;
        let mut outputs: Vec<(usize, OutputDeviation)> = Vec::new();
        let again = first.iter().map(|draw| (Some(draw), draw.drawn, 1.0));
        let filling = first
            .first()
            .map_or(Filling::Filled, |draw| draw.drawn.filling);
        let seeds = (first.len() as u64..).map(|seed| DrawnInputs { seed, filling });
        let scaled = seeds.zip(SCALES).map(|(drawn, scale)| (None, drawn, scale));
        let turns: Vec<Turn> = again.chain(scaled).collect();
        // A step of a code is rare: what one draw does not show another may. Draws are run again below, not kept: all outputs in
        // all orders may be more than memory holds.
        if pair.analysis.state.rounds {
            for &turn in &turns {
                if let Some(seen) = second.draw(turn)? {
                    second.noise.hear(&seen.expected, &seen.orders, turn.2);
                }
            }
        }
        let mut before: Vec<(DrawnInputs, Tensors)> = Vec::new();
        for turn in turns {
            let Some(seen) = second.draw(turn)? else {
                continue;
            };
            let (draw, drawn, _) = turn;
            for (place, name) in &names {
                let mut found = second.output(name, &seen, draw)?;
                found.informative |= second.moves(name, &seen, &before);
                match outputs.iter_mut().find(|(known, _)| known == place) {
                    Some((_, known)) => merge(known, found),
                    None => outputs.push((*place, found)),
                }
            }
            if !before
                .iter()
                .any(|(other, _)| pair.are_alike(*other, drawn))
            {
                before.push((drawn, seen.expected));
            }
        }
        Ok(outputs)
    }

    /// A draw, with what the reference made of it at the first look; none where it does not run.
    fn draw(&mut self, (first, drawn, scale): Turn) -> Result<Option<Seen>> {
        let mut seen = self.run(drawn, scale)?;
        if let (Some(seen), Some(draw)) = (&mut seen, first) {
            seen.orders.push(draw.expected.clone());
        }
        Ok(seen)
    }

    fn open(pair: &'a Pair<'a>, values: &[String]) -> Result<Second<'a>> {
        let plain = side_by_side();
        let still = SessionOptions {
            optimisation: Optimisation::Off,
            ..side_by_side()
        };
        let reference = tapped(pair.reference, values.iter().map(String::as_str));
        let candidate = tapped(pair.candidate, values.iter().map(String::as_str));
        let moved = nudged(&reference, 0)?;
        let order = |model: &Model, options| pair.runtime.session_with(model, pair.what, options);
        // An order of computation that onnxruntime does not run is not there.
        let orders = [
            order(&reference, &still),
            order(&moved, &plain),
            order(&moved, &still),
        ];
        let turns = if pair.analysis.state.rounds { TURNS } else { 0 };
        let turns = (1..=turns).map(|turn| order(&nudged(&reference, turn)?, &plain));
        let orders = orders.into_iter().chain(turns).flatten().collect();
        let graph = pair.reference.proto.graph.as_ref();
        let small = graph.is_some_and(|graph| is_small(graph, MOST_WIDENED));
        let half = pair.analysis.has_halves();
        let types: &[ElementType] = match (small, half) {
            (false, _) => &[],
            (true, false) => &[ElementType::Double],
            (true, true) => &[ElementType::Double, ElementType::Float],
        };
        let wide = types.iter().find_map(|&to| {
            let open = |model: &Model| order(&widened(model, to)?, &plain).ok();
            Some((to, [open(&reference)?, open(&candidate)?]))
        });
        Ok(Second {
            pair,
            reference: pair.runtime.session_with(&reference, pair.what, &plain)?,
            candidate: pair.open(&candidate, &plain)?,
            orders,
            wide,
            noise: Noise::default(),
        })
    }

    /// One draw; none where the reference does not run at this scale of the inputs.
    fn run(&mut self, drawn: DrawnInputs, scale: f64) -> Result<Option<Seen>> {
        let inputs = self.pair.inputs(&self.reference.inputs(), drawn, scale)?;
        let Some(inputs) = inputs else {
            return Ok(None);
        };
        let expected = match self.reference.run(&inputs) {
            Ok(expected) => expected,
            Err(_) if scale != 1.0 => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let computed = self.candidate.run(&inputs).map_err(|fault| match fault {
            Error::Runtime { reason, .. } => self.pair.fault(ProofFault::Refused { reason }),
            other => other,
        })?;
        let orders = self.orders.iter_mut();
        let orders = orders.filter_map(|session| session.run(&inputs).ok());
        let orders = orders.collect();
        let wide = match &mut self.wide {
            None => None,
            Some((to, [reference, candidate])) => {
                let inputs = widened_inputs(&inputs, *to)?;
                let both = (reference.run(&inputs).ok(), candidate.run(&inputs).ok());
                both.0.zip(both.1).map(|(a, b)| (*to, [a, b]))
            }
        };
        Ok(Some(Seen {
            drawn,
            scale,
            expected,
            computed,
            orders,
            wide,
        }))
    }

    /// An output and what enters it on one draw.
    fn output(&self, name: &str, seen: &Seen, first: Option<&Draw>) -> Result<OutputDeviation> {
        let entering = self.pair.entries.of_output(name);
        let (mut largest, mut informative) = (0.0_f64, false);
        for value in &entering.values {
            let Some(reading) = self.reading(value, seen, 0.0) else {
                continue;
            };
            let within = self.beyond(&reading).map(|(error, allowed)| {
                let (output, value) = (name.to_owned(), value.clone());
                self.pair.fault(ProofFault::BeyondWithin {
                    output,
                    value,
                    error,
                    allowed,
                })
            });
            within.map_or(Ok(()), Err)?;
            largest = largest.max(reading.gap.scale);
            informative |= reading.informative;
        }
        let Some(mut reading) = self.reading(name, seen, largest) else {
            let output = name.to_owned();
            return Err(self.pair.fault(ProofFault::NotFinite { output }));
        };
        if let Some(draw) = first {
            let pair = tensor(&draw.expected, name).zip(tensor(&draw.computed, name));
            let gap = pair.map(|(a, b)| Gap::between(a, b));
            reading.gap.error = worse(reading.gap.error, gap.map_or(0.0, |gap| gap.error));
        }
        if let Some((error, allowed)) = self.beyond(&reading) {
            let output = name.to_owned();
            return Err(self.pair.fault(match error.is_finite() {
                true => ProofFault::Beyond {
                    output,
                    error,
                    allowed,
                },
                false => ProofFault::NotFinite { output },
            }));
        }
        Ok(OutputDeviation {
            name: name.to_owned(),
            relative: reading.gap.relative(reading.gap.error),
            allowed: reading.gap.relative(reading.allowed),
            informative: informative || reading.informative,
        })
    }

    /// Whether an output, or what enters it, is another than on a draw before of the same bodies.
    fn moves(&self, name: &str, seen: &Seen, before: &[(DrawnInputs, Tensors)]) -> bool {
        let alike = before
            .iter()
            .find(|(other, _)| self.pair.are_alike(*other, seen.drawn));
        let Some((_, before)) = alike else {
            return false;
        };
        let entering = self.pair.entries.of_output(name);
        let mut names = std::iter::once(name).chain(entering.values.iter().map(String::as_str));
        names.any(|name| {
            let pair = tensor(before, name).zip(tensor(&seen.expected, name));
            let reading = self.reading(name, seen, 0.0);
            pair.zip(reading)
                .is_some_and(|((a, b), reading)| moved(a, b) > TELLING * reading.allowed)
        })
    }

    /// Relative error and bound of a value that is beyond its bound.
    fn beyond(&self, reading: &Reading) -> Option<(f64, f64)> {
        let relative = |number: f64| reading.gap.relative(number);
        let ratio = reading.ratio();
        let beyond = ratio.is_nan() || ratio > 1.0;
        beyond.then(|| (relative(reading.gap.error), relative(reading.allowed)))
    }

    /// A value on one draw, that values up to `entered` are computed to; none where it is not there.
    fn reading(&self, name: &str, seen: &Seen, entered: f64) -> Option<Reading> {
        let expected = tensor(&seen.expected, name)?;
        let computed = tensor(&seen.computed, name)?;
        if expected.shape() != computed.shape() {
            return None;
        }
        let gap = Gap::between(expected, computed);
        let steps = STEPS * self.noise.of(name, seen.scale);
        let noise = FACTOR * noise_of(name, expected, &seen.orders);
        let float = expected.element().is_float();
        let plain = self.pair.allowance(expected) * gap.scale;
        let units = match float {
            true => UNITS * unit(expected.element()) * entered,
            false => 0.0,
        };
        let mut reading = Reading {
            gap,
            allowed: plain.max(noise).max(steps * gap.scale).max(units),
            informative: false,
        };
        if float {
            in_wider_type(name, seen, &mut reading, (entered, steps));
        }
        reading.informative = spread(expected).is_some_and(|spread| match float {
            true => spread > TELLING * reading.allowed,
            false => spread > 0.0,
        });
        Some(reading)
    }
}

/// Where both models run in a wider type, that decides: what is equal there is rounding, what is not is an error, unless it is
/// as small as the steps of codes that rounding may take.
fn in_wider_type(name: &str, seen: &Seen, reading: &mut Reading, (entered, steps): (f64, f64)) {
    let Some((element, [expected, computed])) = &seen.wide else {
        return;
    };
    let pair = tensor(expected, name).zip(tensor(computed, name));
    let Some((a, b)) = pair.filter(|(a, b)| a.shape() == b.shape()) else {
        return;
    };
    if a.element() != *element || spread(a).is_none() {
        return;
    }
    let gap = Gap::between(a, b);
    let relative = match element {
        ElementType::Double => ALLOWED_DOUBLE,
        _ => ALLOWED,
    };
    let allowed = (relative.max(steps) * gap.scale).max(UNITS * unit(*element) * entered);
    if gap.error > allowed {
        (reading.gap, reading.allowed) = (gap, allowed);
    } else if reading.gap.error.is_finite() {
        reading.allowed = reading.allowed.max(reading.gap.error);
    }
}

fn widened_inputs(inputs: &Tensors, to: ElementType) -> Result<Tensors> {
    let wide = inputs.iter().map(|(name, tensor)| {
        let tensor = match tensor.element().is_float() {
            false => tensor.clone(),
            true => Tensor::from_f64(to, tensor.shape(), &tensor.to_f64())?,
        };
        Ok((name.clone(), tensor))
    });
    wide.collect()
}

/// Keeps of two draws the one that came nearer to its bound.
fn merge(known: &mut OutputDeviation, found: OutputDeviation) {
    let informative = known.informative || found.informative;
    let nearness = |output: &OutputDeviation| match output.allowed > 0.0 {
        true => output.relative / output.allowed,
        false => output.relative,
    };
    if nearness(&found) > nearness(known) {
        *known = found;
    }
    known.informative = informative;
}
