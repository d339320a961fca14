//! Training inside the file: a pruned model learns to answer as the dense one does, on data without labels.
//!
//! A step is a model itself (`step`): the student's own nodes, the loss, the gradients that the rows of its operators
//! give (the room `grad`), and AdamW. The loop runs it on augmented batches, beside the teacher, and judges what comes
//! out on samples that are held out.

mod answers;
mod augment;
mod best;
mod checkpoint;
mod classroom;
mod judge;
mod lesson;
mod loss;
mod memory;
mod options;
mod order;
mod parameters;
mod parts;
mod pool;
mod reach;
mod record;
mod run;
mod schedule;
mod settings;
mod step;
mod trained_on;
mod update;

pub(crate) use answers::answer_rows;
pub(crate) use classroom::Classroom;
pub(crate) use judge::Judge;
pub(crate) use loss::Comparison;
pub(crate) use options::TrainOptions;
pub(crate) use pool::Pool;
pub(crate) use reach::check_reach;
pub use record::{FrozenRow, Judgement, LossPoint, PartsFor, Stopped, TrainingRecord};
pub(crate) use run::{Trained, train, train_with_judge};
pub use settings::{Augment, Tuning};
#[cfg(test)]
pub(crate) use {
    memory::of_run,
    parameters::Trainable,
    step::{StepModel, StepNames, StepOptions, step},
};
