//! Training inside the file: a pruned model learns to answer as the dense one does, on data without labels.

// The loop that steps through these is what uses them.
#[allow(dead_code)]
mod augment;
#[allow(dead_code)]
mod checkpoint;
#[allow(dead_code)]
mod order;
#[allow(dead_code)]
mod schedule;
#[allow(dead_code)]
mod trained_on;

#[allow(unused_imports)]
pub(crate) use augment::{AugmentKind, AugmentSettings, Augmentation};
#[allow(unused_imports)]
pub(crate) use checkpoint::{Checkpoint, Judgement};
#[allow(unused_imports)]
pub(crate) use order::SampleOrder;
#[allow(unused_imports)]
pub(crate) use schedule::Schedule;
#[allow(unused_imports)]
pub(crate) use trained_on::TrainedOn;
