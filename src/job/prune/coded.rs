//! Quantising what a plan left, in the same run: rounded for what the original makes, so that errors of rounding and of
//! pruning are repaired together.

use super::proven::Proven;
use super::voice::Voice;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::job::options::Opened;
use crate::job::quantised::{LARGE, prepared, quantised};
use crate::onnx::Model;
use crate::plan::Plan;
use crate::quantise::{QuantiseSettings, Subject};
use crate::report::Quantisation;
use crate::rewrite;
use crate::runtime::Runtime;
use crate::search::held_out_divergences;
use crate::validate::{is_of_the_plan, verify_equal};

/// What the prepared model may differ by from the one that was proven.
const SAME: f64 = 1e-6;

/// A model with products of codes.
pub(in crate::job) struct Coded {
    pub(in crate::job) model: Model,
    pub(super) quantisation: Quantisation,
    pub(super) warnings: Vec<String>,
}

/// What is quantised.
pub(in crate::job) struct Pruning<'a> {
    /// The original.
    pub(in crate::job) dense: &'a Analysis,
    /// What is left of it.
    pub(in crate::job) proven: &'a Proven,
    /// What it is rounded and judged on.
    pub(in crate::job) opened: &'a Opened<'a>,
}

/// Models in which all weights are constants that are read as they are.
struct Prepared {
    /// The original, and the model that the plan is applied to; none where what is left is rounded for what it makes itself.
    whole: Option<[Analysis; 2]>,
    part: Analysis,
    warnings: Vec<String>,
}

impl Pruning<'_> {
    /// The model with products of codes, as `settings` say.
    ///
    /// # Errors
    /// Data that cannot be read, nothing to quantise, or a result that is not proven.
    pub(in crate::job) fn coded(
        &self,
        settings: &QuantiseSettings,
        voice: &mut Voice,
    ) -> Result<Coded> {
        let opened = self.opened;
        let Voice { watch, events } = voice;
        let prepare = || self.prepared(&opened.runtime);
        let prepared = watch.stage("fold", prepare)?;
        let plan = &self.proven.plan;
        let subject = prepared.subject(plan);
        let found = quantised(&subject, settings, opened, watch, *events)?;
        let models = [&self.proven.model, found.judged()];
        let judge = || held_out_divergences(opened.pass(), self.dense.graph().model(), models);
        let [before, after] = watch.stage("judge", judge)?;
        let mut quantisation = found.quantisation;
        quantisation.divergence = Some(after);
        quantisation.for_original = prepared.whole.is_some();
        let mut warnings = prepared.warnings;
        warnings.extend(quantisation.notes());
        if after - before > LARGE {
            warnings.push(format!(
                "rounding took the divergence of the outputs from {before:.4} to {after:.4} on held-out samples: give more samples"
            ));
        }
        Ok(Coded {
            model: found.model,
            quantisation,
            warnings,
        })
    }

    fn prepared(&self, runtime: &Runtime) -> Result<Prepared> {
        // Layers that learnt do not make what the original's do, and repairing them for that would undo it.
        if self.proven.learnt {
            return self.alone(runtime, Vec::new());
        }
        let fault = match self.by_plan(runtime) {
            Ok(prepared) => return Ok(prepared),
            Err(fault) => fault,
        };
        if !is_of_the_plan(&fault) && !matches!(fault, Error::Plan { .. }) {
            return Err(fault);
        }
        let warning = format!(
            "what is left was rounded for what it makes itself: it has no known places in the original once its weights are constants that are read as they are ({fault})"
        );
        self.alone(runtime, vec![warning])
    }

    fn alone(&self, runtime: &Runtime, warnings: Vec<String>) -> Result<Prepared> {
        let part = Graph::new(&self.proven.model.clone().settled())?;
        let part = Analysis::of_edit(part, self.dense);
        Ok(Prepared {
            whole: None,
            part: prepared(&part, runtime)?,
            warnings,
        })
    }

    /// The prepared original with what the plan leaves of it, which is what was proven.
    fn by_plan(&self, runtime: &Runtime) -> Result<Prepared> {
        let proven = self.proven;
        let teacher = prepared(self.dense, runtime)?;
        let whole = prepared(proven.whole.as_ref().unwrap_or(self.dense), runtime)?;
        let part = rewrite::prune(&whole, &proven.plan)?;
        let part = Analysis::of_edit(Graph::new(&part.settled())?, &whole);
        let what = "the pruned model with weights that nodes rearrange";
        let written = part.graph().model();
        verify_equal(&part, &proven.model, written, what, SAME, runtime)?;
        Ok(Prepared {
            whole: Some([teacher, whole]),
            part,
            warnings: Vec::new(),
        })
    }
}

impl Prepared {
    fn subject<'a>(&'a self, plan: &'a Plan) -> Subject<'a> {
        match &self.whole {
            Some([teacher, whole]) => Subject::of_plan(teacher, whole, plan, &self.part),
            None => Subject::alone(&self.part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criteria::{Criterion, scores};
    use crate::data::DataSource;
    use crate::dimensions::InputSizes;
    use crate::events::Silent;
    use crate::job::options::{Calibration, RuntimeOptions};
    use crate::job::quantised::BATCHES;
    use crate::job::watch::Watch;
    use crate::layers::Layers;
    use crate::plan::Settings;
    use crate::search::select;

    fn lenet() -> Analysis {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures/trained/lenet_mnist.onnx");
        let graph = Graph::new(&Model::load(&path).expect("a model")).expect("a graph");
        let sizes = InputSizes::for_graph(&graph, &[]).expect("sizes");
        Analysis::new(graph, sizes)
    }

    fn proven(analysis: &Analysis) -> Proven {
        let settings = Settings::default();
        let scores = scores(analysis, Criterion::L2, 0).expect("scores");
        let selection = select(analysis, &scores, &settings).expect("a selection");
        let plan = Plan::new(analysis, &selection, &scores, &settings);
        Proven {
            model: rewrite::prune(analysis, &plan).expect("a model"),
            plan,
            whole: None,
            learnt: false,
            recovery: None,
            training: None,
            verification: None,
            onnxruntime: None,
            faulty: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn coded(dense: &Analysis, proven: &Proven) -> Coded {
        let data = Calibration::new(DataSource::Random {
            samples: 40,
            seed: 1,
        });
        let layers = Layers::of(dense).layers;
        let runtime = RuntimeOptions::default();
        let opened = data.open(dense, &layers, (BATCHES, false), &runtime, &mut Silent);
        let pruning = Pruning {
            dense,
            proven,
            opened: &opened.expect("data"),
        };
        let mut voice = Voice {
            watch: &mut Watch::default(),
            events: &mut Silent,
        };
        let settings = QuantiseSettings {
            every_layer: true,
            ..QuantiseSettings::default()
        };
        pruning.coded(&settings, &mut voice).expect("a model")
    }

    /// That small layers are slow is no matter here.
    fn is_warned(coded: &Coded) -> bool {
        let mut warnings = coded.warnings.iter();
        warnings.any(|warning| warning.contains("no known places"))
    }

    /// The plan says where weights come from: one that keeps other channels than the proven model is not believed.
    #[test]
    fn a_plan_that_is_not_of_the_proven_model_is_found() {
        let dense = lenet();
        let mut proven = proven(&dense);
        let right = coded(&dense, &proven);
        assert!(right.quantisation.for_original && !is_warned(&right));
        for planned in &mut proven.plan.dimensions {
            let all = 0..planned.size as u32;
            let others = all.filter(|channel| !planned.kept.contains(channel));
            planned.kept = others.take(planned.kept.len()).collect();
        }
        let wrong = coded(&dense, &proven);
        assert!(!wrong.quantisation.for_original);
        assert!(wrong.warnings[0].contains("no known places"));
        assert_eq!(wrong.quantisation.layers.len(), 4);
    }

    #[test]
    fn what_learnt_is_rounded_for_what_it_makes_itself() {
        let dense = lenet();
        let learnt = Proven {
            learnt: true,
            ..proven(&dense)
        };
        let found = coded(&dense, &learnt);
        assert!(!found.quantisation.for_original && !is_warned(&found));
    }
}
