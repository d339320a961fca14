//! What `run` gives back: the reports of all steps as one.

use super::pipeline::Pipeline;
use crate::cli::Reported;
use crate::cli::answer::{Reproducible, json};
use crate::cli::worded::shown;
use crate::error::Result;
use crate::pages::{Page, PipelineStep, Reproduction};
use crate::report::{Outcome, RunReport, StepState};

/// A run, with what there is to look at of each step.
pub(super) struct RanRecipe {
    report: RunReport,
    pages: Vec<PipelineStep>,
}

impl RanRecipe {
    pub(super) fn new(
        report: RunReport,
        pages: Vec<(String, Page)>,
        pipeline: &Pipeline,
    ) -> RanRecipe {
        let way = pipeline.way();
        let pages = pages.into_iter().map(|(name, page)| {
            let is_aside = !way.contains(&name.as_str());
            PipelineStep {
                name,
                page,
                is_aside,
            }
        });
        RanRecipe {
            report,
            pages: pages.collect(),
        }
    }

    fn summary(&self) -> String {
        let steps = &self.report.steps;
        let count = |state| steps.iter().filter(|step| step.state == state).count();
        let failed = steps.iter().find(|step| step.state == StepState::Failed);
        let many = match steps.len() {
            1 => "1 step".to_owned(),
            many => format!("{many} steps"),
        };
        match (failed, &self.report.outcome) {
            (Some(step), _) => format!("Step {} failed: nothing was written.", step.step),
            (None, Outcome::DryRun) => format!(
                "{} of {} steps are kept from before.",
                count(StepState::Kept),
                steps.len()
            ),
            (None, Outcome::Written(path)) => format!("{many}, written to {path}."),
            (None, _) => format!("{many}."),
        }
    }
}

impl Reported for RanRecipe {
    fn text(&self) -> String {
        shown(&self.report.to_string())
    }

    fn json(&self) -> Result<String> {
        json(&self.report)
    }

    fn json_with(&self, reproduce: &Reproduction) -> Result<String> {
        json(&Reproducible {
            report: &self.report,
            reproduce,
        })
    }

    fn page(&self) -> Page {
        let title = format!("Recipe {}", self.report.recipe);
        let mut page = Page::joined(title, self.summary(), self.pages.clone());
        let failed = self
            .report
            .steps
            .iter()
            .filter(|step| step.state == StepState::Failed);
        page.warnings.extend(failed.filter_map(|step| {
            let fault = step.fault.as_ref()?;
            let fault = shown(fault);
            let lines: Vec<&str> = fault.lines().map(str::trim).collect();
            Some(format!("{}: {}", step.step, lines.join(" ")))
        }));
        page
    }
}

/// A text that is printed as it is.
pub(super) struct PrintedText {
    pub(super) text: String,
    pub(super) document: serde_json::Value,
}

impl Reported for PrintedText {
    fn text(&self) -> String {
        self.text.clone()
    }

    fn json(&self) -> Result<String> {
        json(&self.document)
    }

    fn json_with(&self, _: &Reproduction) -> Result<String> {
        self.json()
    }

    fn page(&self) -> Page {
        Page::default()
    }
}
