//! One dimension at many sizes in one session: masks, and the weights and constants of the layers that read it,
//! are graph inputs; what they cannot change is run once.
//!
//! It computes what the pruned models would, as the masked twin does. Dimensions that mix need the pruned model.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::outputs::{MOST_OUTPUTS, Outputs, Tensors};
use crate::axes::Kept;
use crate::data::Batch;
use crate::dimensions::{Analysis, Dimension};
use crate::engine::{Split, Waiting};
use crate::error::Result;
use crate::graph::{Graph, ValueId};
use crate::layers::Addition;
use crate::onnx::{ElementType, to_f32};
use crate::ops::Bias;
use crate::recover::Recovered;
use crate::rewrite::{Edit, MaskInput, add_to_rows, instrument, lifted};
use crate::runtime::{Session, Tensor};

/// Numbers of inputs and of what the first part makes that are held: a gigabyte.
const MOST_HELD: usize = 256 << 20;

/// A model in which the size of one dimension is a setting.
pub(super) struct Adjustable {
    /// The model with a place for the constants of every reader.
    explicit: Analysis,
    dimension: Dimension,
    masks: Vec<MaskInput>,
    constants: Vec<Constant>,
    after: Session,
    /// What the first part makes, by batch.
    border: Vec<Tensors>,
    inputs: Vec<Batch>,
}

/// Where the constants of a reader go.
struct Constant {
    name: String,
    element: ElementType,
    shape: Vec<usize>,
    /// Before anything is added.
    numbers: Vec<f32>,
    of: Bias,
}

impl Adjustable {
    /// `folded` is what the readers become at one of the sizes; none if the model cannot be run so.
    ///
    /// # Errors
    /// Data that cannot be read, or a provider that refuses the model.
    pub(super) fn new(
        runs: &Outputs,
        dimension: &Dimension,
        folded: &Recovered,
        samples: usize,
    ) -> Result<Option<Adjustable>> {
        let nothing = |constant: &Addition| Addition {
            linear: constant.linear.clone(),
            added: vec![0.0; constant.added.len()],
        };
        let additions: Vec<Addition> = folded.constants.iter().map(nothing).collect();
        let (model, names) = add_to_rows(runs.analysis, &additions)?;
        let graph = Graph::new(&model.settled())?;
        let Some(constants) = constants(&graph, &additions, &names)? else {
            return Ok(None);
        };
        let explicit = Analysis::of_edit(graph, runs.analysis);
        let mut own = explicit.dimensions().iter();
        let Some(own) = own.find(|own| own.name == dimension.name) else {
            return Ok(None);
        };
        let (model, masks) = instrument(&explicit, own)?;
        let graph = Graph::new(&model)?;
        let weights = folded.edits.keys();
        let weights = weights.map(|&value| runs.analysis.graph().value(value).name.as_str());
        let varying: HashSet<&str> = weights.chain(names.iter().map(String::as_str)).collect();
        let ids: Vec<ValueId> = varying.iter().filter_map(|name| graph.find(name)).collect();
        let graph = lifted(&graph, &ids)?;
        let given = runs.analysis.graph();
        let given = |name: &String| given.find(name).is_none() || varying.contains(name.as_str());
        let inputs = graph
            .proto()
            .input
            .iter()
            .map(|input| input.name().to_owned());
        let split_at: HashSet<String> = inputs.filter(given).collect();
        let split = Split::of(&graph, &split_at);
        let (inputs, border) = before(runs, &split, samples)?;
        let Some(waiting) = waiting(&split, border.first()) else {
            return Ok(None);
        };
        Ok(Some(Adjustable {
            after: runs.session(&split.after(&waiting, &explicit))?,
            explicit,
            dimension: dimension.clone(),
            masks,
            constants,
            border,
            inputs,
        }))
    }

    /// Runs the model where the channels in `kept` stay and the readers are as `folded` says; `each` gets a
    /// batch's number, its number of samples, and the outputs.
    ///
    /// # Errors
    /// A failure inside onnxruntime.
    pub(super) fn run(
        &mut self,
        analysis: &Analysis,
        kept: &[u32],
        folded: &Recovered,
        each: &mut dyn FnMut(usize, usize, Tensors),
    ) -> Result<()> {
        let mut positions = analysis.everything();
        positions.insert(self.dimension.var, Arc::from(kept));
        let positions = self.explicit.carried(analysis, &positions);
        let setting = self.setting(analysis, &positions, folded)?;
        let names: HashSet<String> = self.after.inputs().into_iter().map(|i| i.name).collect();
        for (number, batch) in self.inputs.iter().enumerate() {
            let all = setting
                .iter()
                .chain(&self.border[number])
                .chain(&batch.inputs);
            let inputs = all.filter(|(name, _)| names.contains(name)).cloned();
            let inputs: Vec<_> = inputs.collect();
            let mut outputs = self.after.run(&inputs)?;
            outputs.extend(self.border[number].iter().cloned());
            each(number, batch.samples, outputs);
        }
        Ok(())
    }

    /// Masks, weights and constants for a size.
    fn setting(&self, analysis: &Analysis, kept: &Kept, folded: &Recovered) -> Result<Tensors> {
        let masks = self.masks.iter();
        let mut out = masks
            .map(|mask| mask.tensor(&self.explicit, kept))
            .collect::<Result<Tensors>>()?;
        for (&value, edit) in &folded.edits {
            let graph = analysis.graph();
            if let (Edit::Bytes(bytes), Some(tensor)) = (edit, graph.constant(value)) {
                let shape: Vec<usize> = tensor.dims.iter().map(|&size| size as usize).collect();
                let element = graph.element(value).unwrap_or(ElementType::Float);
                let tensor = Tensor::from_packed(element, &shape, bytes)?;
                out.push((graph.value(value).name.clone(), tensor));
            }
        }
        // Several readers may add to one constant.
        let mut numbers: BTreeMap<&str, (Vec<f32>, &Constant)> = BTreeMap::new();
        for (constant, addition) in self.constants.iter().zip(&folded.constants) {
            let start = || (constant.numbers.clone(), constant);
            let (numbers, _) = numbers.entry(&constant.name).or_insert_with(start);
            constant.add(numbers, &addition.added);
        }
        for (name, (numbers, constant)) in numbers {
            let numbers = numbers.iter().map(|&number| f64::from(number));
            let tensor = Tensor::from_numbers(constant.element, &constant.shape, numbers)?;
            out.push((name.to_owned(), tensor));
        }
        Ok(out)
    }
}

impl Constant {
    fn add(&self, numbers: &mut [f32], added: &[f32]) {
        let batches = match self.of.parts {
            1 => 1,
            parts => numbers.len() / parts / self.rows(added).max(1),
        };
        let rows = added.len() / batches.max(1);
        for (batch, added) in added.chunks_exact(rows.max(1)).enumerate() {
            for (row, added) in added.iter().enumerate() {
                numbers[self.of.place(batch, row, rows)] += added;
            }
        }
    }

    /// Rows of a batch where the constant has several parts.
    fn rows(&self, added: &[f32]) -> usize {
        let last = self.shape.last().copied().unwrap_or(1);
        (last / self.of.parts).min(added.len())
    }
}

/// The constants as they stand in the model; none if one cannot be set.
fn constants(
    graph: &Graph,
    additions: &[Addition],
    names: &[String],
) -> Result<Option<Vec<Constant>>> {
    let mut out = Vec::new();
    for (addition, name) in additions.iter().zip(names) {
        let tensor = graph.find(name).and_then(|value| graph.constant(value));
        let element = tensor.and_then(|tensor| ElementType::of(tensor.data_type()));
        let (Some(tensor), Some(element)) = (tensor, element) else {
            return Ok(None);
        };
        let own = addition.linear.bias.filter(|bias| bias.parts > 1);
        out.push(Constant {
            name: name.clone(),
            element,
            shape: tensor.dims.iter().map(|&size| size as usize).collect(),
            numbers: to_f32(tensor)?,
            of: own.unwrap_or(Bias::whole(0)),
        });
    }
    Ok(Some(out))
}

/// The first batches, and what the first part makes of each.
pub(super) fn before(
    runs: &Outputs,
    split: &Split,
    samples: usize,
) -> Result<(Vec<Batch>, Vec<Tensors>)> {
    let (mut inputs, mut border) = (Vec::new(), Vec::new());
    let mut session = match split.border.is_empty() {
        true => None,
        false => Some(runs.session(&split.before())?),
    };
    let mut held = 0;
    runs.batches(samples, &mut |batch| {
        let made = match &mut session {
            Some(session) => batch.run(session)?,
            None => Vec::new(),
        };
        held += numbers(&made) + numbers(&batch.inputs);
        border.push(made);
        inputs.push(batch);
        // Enough is held.
        Ok(if held > MOST_HELD { MOST_OUTPUTS } else { 0 })
    })?;
    Ok((inputs, border))
}

fn numbers(tensors: &Tensors) -> usize {
    let sizes = tensors.iter().map(|(_, tensor)| tensor.shape().iter());
    sizes.map(|sizes| sizes.product::<usize>()).sum()
}

/// The border as it is declared; none if a part of it is no tensor of numbers, or nothing behind it is an output.
pub(super) fn waiting(split: &Split, first: Option<&Tensors>) -> Option<Vec<Waiting>> {
    if !split.changes_outputs() {
        return None;
    }
    let known: HashMap<&str, &Tensor> = first?.iter().map(|(name, t)| (name.as_str(), t)).collect();
    let all = split.border.iter().map(|name| {
        let tensor = known.get(name.as_str())?;
        Some((name.clone(), tensor.element(), tensor.shape().len()))
    });
    all.collect()
}
