//! Who is taught what, by whom, and where.

use super::answers::Answers;
use super::loss::Comparison;
use super::memory;
use super::options::TrainOptions;
use super::pool::Pool;
use super::step::{StepModel, StepOptions, step};
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::grad::BoundGraph;
use crate::graph::Graph;
use crate::onnx::Model;
use crate::runtime::{MemoryUse, Provider, Runtime, Session, SessionOptions, Spinning};

/// With what a model is trained.
pub(crate) struct Classroom<'a> {
    pub(crate) student: &'a Graph,
    pub(crate) teacher: Option<&'a Model>,
    pub(crate) pool: &'a Pool<'a>,
    pub(crate) runtime: &'a Runtime,
    pub(crate) provider: &'a Provider,
}

impl Classroom<'_> {
    pub(super) fn session_options(&self) -> SessionOptions {
        SessionOptions {
            provider: self.provider.clone(),
            memory: MemoryUse::Least,
            // Student and teacher alternate, and much of a step runs on one thread: the others would only wait.
            spinning: Spinning::Never,
            ..SessionOptions::default()
        }
    }

    pub(super) fn session(&self, model: &Model, what: &str) -> Result<Session> {
        self.runtime
            .session_with(model, what, &self.session_options())
    }

    /// A session of the teacher, which has to read what the model reads.
    pub(super) fn teacher_for(&self, batch: &Batch) -> Result<Option<Session>> {
        let Some(model) = self.teacher else {
            return Ok(None);
        };
        let session = self.session(model, "the teacher")?;
        let differences = session.inputs().into_iter().filter_map(|input| {
            let given = batch.inputs.iter().find(|(name, _)| *name == input.name);
            let Some((name, tensor)) = given else {
                return Some(format!(
                    "the teacher reads '{}', which the model does not",
                    input.name
                ));
            };
            let mut sizes = tensor.shape().iter().zip(&input.shape);
            let fits = tensor.shape().len() == input.shape.len()
                && sizes.all(|(&own, &wanted)| wanted < 0 || own as i64 == wanted);
            (!fits).then(|| format!("the teacher takes {input}, the model another '{name}'"))
        });
        let differences: Vec<String> = differences.collect();
        match differences.is_empty() {
            true => Ok(Some(session)),
            false => Err(Error::Signatures { differences }),
        }
    }

    /// The outputs that are compared: real ones that the student makes too.
    pub(super) fn comparisons(
        &self,
        teacher: Option<&mut Session>,
        batch: &Batch,
    ) -> Result<Vec<(String, Comparison)>> {
        let outputs = match teacher {
            Some(teacher) => batch.run(teacher)?,
            None => batch.run(&mut self.session(self.student.model(), "the model")?)?,
        };
        let student = self.student.proto().output.iter();
        let own: Vec<&str> = student.map(|output| output.name()).collect();
        let missing: Vec<String> = outputs
            .iter()
            .filter(|(name, _)| !own.contains(&name.as_str()))
            .map(|(name, _)| format!("the model has no output '{name}' as its teacher has"))
            .collect();
        if !missing.is_empty() {
            return Err(Error::Signatures {
                differences: missing,
            });
        }
        let real = outputs.iter();
        let real = real.filter(|(_, tensor)| tensor.element().is_float());
        let compared: Vec<_> = real
            .map(|(name, tensor)| (name.clone(), Comparison::of(tensor)))
            .collect();
        match compared.is_empty() {
            true => Err(Error::Usage(
                "the model cannot be trained: it has no output of real numbers".to_owned(),
            )),
            false => Ok(compared),
        }
    }

    /// The step for a batch that is one of so many equal parts, and the bytes of memory that it, the teacher and the
    /// judged model take.
    pub(super) fn step(
        &self,
        batch: &Batch,
        parts: usize,
        taught: &Taught,
        options: &TrainOptions,
    ) -> Result<(StepModel, u64)> {
        let sizes = batch.inputs.iter();
        let sizes: Vec<_> = sizes
            .map(|(name, tensor)| (name.clone(), tensor.shape().to_vec()))
            .collect();
        let bound = BoundGraph::of(self.student, &sizes, Some(self.runtime))?;
        let wanted = StepOptions {
            comparisons: &taught.comparisons,
            labelled: taught
                .answers
                .as_ref()
                .map(|answers| answers.output.as_str()),
            taught: self.teacher.is_some(),
            choice: &options.choice,
            decays: options.decay > 0.0,
            parts,
            on_processor: *self.provider == Provider::Cpu,
        };
        let made = step(&bound, &wanted)?;
        let run = |bound: &BoundGraph| memory::of_run(bound.graph(), &|name| bound.bytes_of(name));
        let judged = run(&bound);
        let teacher = self.teacher.map_or(Ok(0), |teacher| {
            let teacher = Graph::new(teacher)?;
            // Where its inputs are others, its session says so.
            let bound = BoundGraph::of(&teacher, &sizes, None);
            Ok(bound.map_or(judged, |bound| run(&bound)))
        })?;
        let nodes = made.model.proto.graph.iter();
        let nodes = nodes.map(|graph| graph.node.len()).sum();
        let bytes = memory::expected(made.bytes + judged + teacher, nodes);
        Ok((made, bytes))
    }
}

/// What an output is compared with, and how.
pub(super) struct Taught {
    /// Outputs that the teacher has too, or all.
    pub(super) comparisons: Vec<(String, Comparison)>,
    /// The output with right answers, if they count.
    pub(super) answers: Option<Answers>,
}

/// The first output that is compared is the one with right answers.
pub(super) fn of_labels(comparisons: &[(String, Comparison)]) -> Option<Answers> {
    let (output, comparison) = comparisons.first()?;
    Some(Answers {
        output: output.clone(),
        comparison: *comparison,
    })
}

pub(super) fn no_labels() -> Error {
    Error::Data {
        what: "the data".to_owned(),
        misfits: vec![
            "it has no labels: give an array `label`, or a teacher to learn from".to_owned(),
        ],
    }
}
