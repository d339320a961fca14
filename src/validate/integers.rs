//! The proof of a quantised model: part by part on the same integers.
//!
//! Two correct runs of one quantised model differ by a step wherever a value lies on the edge between two codes, and
//! such a step spreads: no bound on the whole tells right from wrong. So the written model is cut at every value that is
//! rounded, and behind every product of codes that makes real numbers. Each part gets the same codes as the same part of
//! the model as it was planned: with the original operators on real numbers, unoptimised, and weights that are what
//! the plan's codes stand for. What both make has to agree, value by value; a kernel that overflows is found as well.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rand::RngExt;
use serde::Serialize;

use crate::data::Batch;
use crate::error::{Error, ProofFault, Result};
use crate::graph::{Graph, Producer, declaration, tapped};
use crate::onnx::{ElementType, Model};
use crate::ops::{Form, find};
use crate::random::generator;
use crate::rewrite::{CodePlace, RoundedModel};
use crate::runtime::{IntegerSums, Optimisation, Runtime, Session, SessionOptions, Tensor};

/// What the reference is called.
const PLANNED: &str = "the planned model on the same integers";
/// How far from the edge between two codes a value may fall on the other side, in steps.
const EDGE: f64 = 1e-3;
/// Share of values that may do so by more.
const FLIPPED: f64 = 1e-4;
/// What a product that makes real numbers may be wrong by, as a share of its largest number.
const REAL: f64 = 1e-5;
/// The same where other operators on real numbers follow.
const BEHIND: f64 = 1e-4;

/// How a quantised model compares with what was planned.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct IntegerProof {
    /// Parts that were compared.
    pub parts: usize,
    /// Codes that were compared.
    pub codes: u64,
    /// Codes that differ by one step.
    pub steps: u64,
    /// The largest difference of real numbers, as a share of the largest number there.
    pub real: f64,
}

/// Whose kernels a model is placed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlacedFor {
    /// Onnxruntime's: they compute what was planned.
    Onnxruntime,
    /// Another runtime's: onnxruntime's may overflow, and round biases that were left real by themselves.
    Others,
}

/// Proves that `written` computes on `batch`, and on codes that are all the least or the largest, what was planned; `products`
/// are the values that products of codes make as real numbers, and `kernels` whose the model is placed for.
///
/// # Errors
/// [`Error::Verification`] with the value that differs, or onnxruntime's refusal of the planned model.
pub(crate) fn verify_integers(
    planned: &RoundedModel,
    written: &Model,
    products: &[String],
    batch: &Batch,
    runtime: &Runtime,
    kernels: PlacedFor,
) -> Result<IntegerProof> {
    let cuts = Cuts::of(planned, products)?;
    let given = cuts.given(planned, batch, runtime)?;
    let open = |model: &Model, what: &str, optimisation| {
        let options = SessionOptions {
            optimisation,
            sums: match kernels {
                PlacedFor::Onnxruntime => IntegerSums::Fast,
                PlacedFor::Others => IntegerSums::Exact,
            },
            ..SessionOptions::default()
        };
        runtime.session_with(model, what, &options)
    };
    let reals = planned.places.iter().map(|place| place.real.as_str());
    let reals: BTreeSet<&str> = reals.collect();
    let reference = cuts.cut(&tapped(&planned.model, reals))?;
    let mut reference = open(&reference, "the planned model in parts", Optimisation::Off)?;
    let parts = cuts.cut(written).map_err(refused)?;
    let mut proof = IntegerProof {
        parts: cuts.codes.len() + cuts.products.len(),
        ..IntegerProof::default()
    };
    // As the kernels compute it, and as it stands: other runtimes have other kernels.
    for optimisation in [Optimisation::Full, Optimisation::Off] {
        let candidate = open(&parts, "the quantised model in parts", optimisation);
        let mut candidate = candidate.map_err(refused)?;
        for extreme in [false, true] {
            let inputs = cuts.inputs(&reference, batch, &given, extreme)?;
            let expected = reference.run(&inputs)?;
            let made = candidate.run(&inputs).map_err(refused)?;
            let by_themselves = optimisation == Optimisation::Full && kernels == PlacedFor::Others;
            cuts.compare(&expected, &made, by_themselves, &mut proof)?;
        }
    }
    Ok(proof)
}

fn refused(fault: Error) -> Error {
    match fault {
        Error::Runtime { reason, .. } => wrong(ProofFault::Refused { reason }),
        other => other,
    }
}

fn wrong(fault: ProofFault) -> Error {
    Error::Verification {
        reference: PLANNED,
        fault,
    }
}

type Tensors = Vec<(String, Tensor)>;

/// Where models are cut.
struct Cuts<'a> {
    codes: HashMap<&'a str, &'a CodePlace>,
    products: HashSet<&'a str>,
    /// Codes of values that an operator on codes makes with a kernel of its own, which may round otherwise.
    rescaled: HashSet<&'a str>,
    /// By cut value the input that takes its place.
    names: BTreeMap<&'a str, String>,
}

impl<'a> Cuts<'a> {
    fn of(planned: &'a RoundedModel, products: &'a [String]) -> Result<Cuts<'a>> {
        let graph = Graph::new(&planned.model)?;
        let codes = planned
            .places
            .iter()
            .map(|place| (place.code.as_str(), place));
        let codes: HashMap<&str, &CodePlace> = codes.collect();
        let rescaled = planned
            .places
            .iter()
            .filter(|place| is_rescaled(&graph, &place.real));
        let rescaled = rescaled.map(|place| place.code.as_str()).collect();
        let products: HashSet<&str> = products.iter().map(String::as_str).collect();
        let cut = codes.keys().chain(&products).copied();
        let names = cut.map(|name| (name, format!("secateur.given.{name}")));
        Ok(Cuts {
            names: names.collect(),
            codes,
            products,
            rescaled,
        })
    }

    /// The model with every cut value as an output, and as an input where it is read.
    fn cut(&self, model: &Model) -> Result<Model> {
        let mut proto = model.proto.clone();
        let graph = proto.graph.get_or_insert_default();
        for node in &mut graph.node {
            for name in &mut node.input {
                if let Some(given) = self.names.get(name.as_str()) {
                    name.clone_from(given);
                }
            }
        }
        graph.value_info.clear();
        for (name, given) in &self.names {
            let element = match self.codes.get(name) {
                Some(place) => place.zero.element(),
                None => ElementType::Float,
            };
            graph.input.push(declaration(given, Some(element), None));
            if graph.output.iter().all(|output| output.name() != *name) {
                graph.output.push(declaration(name, Some(element), None));
            }
        }
        let model = model.with(proto, model.lazy.clone());
        Ok(Graph::verified(model, "the model in parts")?.into_model())
    }

    /// The cut values when the planned model runs as a whole.
    fn given(&self, planned: &RoundedModel, batch: &Batch, runtime: &Runtime) -> Result<Tensors> {
        let model = tapped(&planned.model, self.names.keys().copied());
        let options = SessionOptions::default();
        let mut session = runtime.session_with(&model, "the planned model", &options)?;
        let outputs = batch.run(&mut session)?.into_iter();
        Ok(outputs
            .filter(|(name, _)| self.names.contains_key(name.as_str()))
            .collect())
    }

    /// What the parts get: the batch, real numbers and codes as they are in a run, or the least and the largest codes alone.
    fn inputs(
        &self,
        session: &Session,
        batch: &Batch,
        given: &Tensors,
        extreme: bool,
    ) -> Result<Tensors> {
        let declared = session.inputs();
        let wanted = |name: &str| declared.iter().any(|input| input.name == name);
        let mut inputs: Tensors = batch.inputs.clone();
        for (name, tensor) in given {
            let tensor = match tensor {
                Tensor::Uint8(codes) if extreme => {
                    let mut random = generator(name, 0);
                    let codes = codes.map(|_| 255 * u8::from(random.random::<bool>()));
                    Tensor::Uint8(codes)
                }
                Tensor::Int8(codes) if extreme => {
                    let mut random = generator(name, 0);
                    let codes = codes.map(|_| if random.random() { i8::MAX } else { i8::MIN });
                    Tensor::Int8(codes)
                }
                other => other.clone(),
            };
            inputs.push((self.names[name.as_str()].clone(), tensor));
        }
        inputs.retain(|(name, _)| wanted(name));
        Ok(inputs)
    }

    /// Compares what parts made; where kernels round `by_themselves` codes may be a step off.
    fn compare(
        &self,
        expected: &Tensors,
        made: &Tensors,
        by_themselves: bool,
        proof: &mut IntegerProof,
    ) -> Result<()> {
        let expected: HashMap<&str, &Tensor> = expected
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
            .collect();
        for (name, made) in made {
            match self.codes.get(name.as_str()) {
                Some(place) => {
                    let real = expected.get(place.real.as_str());
                    // A graph input is rounded itself.
                    if let Some(real) = real {
                        let by_themselves = by_themselves || self.rescaled.contains(name.as_str());
                        compare_codes(place, real, made, by_themselves, proof)?;
                    }
                }
                None => {
                    let Some(expected) = expected.get(name.as_str()) else {
                        continue;
                    };
                    let allowed = match self.products.contains(name.as_str()) {
                        true => REAL,
                        false => BEHIND,
                    };
                    compare_numbers(name, expected, made, allowed, proof)?;
                }
            }
        }
        Ok(())
    }
}

fn compare_codes(
    place: &CodePlace,
    real: &Tensor,
    made: &Tensor,
    own_kernel: bool,
    proof: &mut IntegerProof,
) -> Result<()> {
    let (real, made) = (real.to_f64(), made.to_f64());
    let [least, most] = place.zero.ends();
    let (mut steps, mut furthest) = (0_u64, 0.0_f64);
    for (&real, &made) in real.iter().zip(&made) {
        let exact = real / f64::from(place.scale) + place.zero.code();
        let distance = (made - exact.clamp(least, most)).abs();
        furthest = furthest.max(distance);
        steps += u64::from(distance > 0.5 + EDGE);
    }
    proof.codes += made.len() as u64;
    proof.steps += steps;
    let many = steps as f64 > (FLIPPED * made.len() as f64).max(1.0) && !own_kernel;
    if many || furthest > 1.5 + EDGE || real.len() != made.len() || furthest.is_nan() {
        return Err(wrong(ProofFault::Codes {
            value: place.value.clone(),
            steps: furthest - 0.5,
            share: steps as f64 / made.len().max(1) as f64,
        }));
    }
    Ok(())
}

/// True if an operator that makes codes of codes makes this value, perhaps with a cut behind it.
fn is_rescaled(graph: &Graph, real: &str) -> bool {
    let mut value = graph.find(real);
    while let Some(id) = value {
        let Producer::Node(node, _) = graph.value(id).producer else {
            return false;
        };
        match find(graph, node).map_or(Form::Real, |row| row.form) {
            Form::Cut => value = graph.node(node).input(0),
            form => return form == Form::Rescaled,
        }
    }
    false
}

fn compare_numbers(
    name: &str,
    expected: &Tensor,
    made: &Tensor,
    allowed: f64,
    proof: &mut IntegerProof,
) -> Result<()> {
    let (expected, made) = (expected.to_f64(), made.to_f64());
    let finite = |of: &&f64| of.is_finite();
    let most = expected
        .iter()
        .filter(finite)
        .fold(0.0, |most: f64, x| most.max(x.abs()));
    let pairs = expected.iter().zip(&made);
    let furthest = pairs.fold(0.0, |furthest: f64, (a, b)| {
        let distance = if a == b { 0.0 } else { (a - b).abs() };
        if distance.is_nan() {
            f64::INFINITY
        } else {
            furthest.max(distance)
        }
    });
    let share = furthest / most.max(f64::from(f32::MIN_POSITIVE));
    if share > allowed || expected.len() != made.len() {
        return Err(wrong(ProofFault::Numbers {
            value: name.to_owned(),
            share,
            allowed,
        }));
    }
    proof.real = proof.real.max(share);
    Ok(())
}
