//! Steps that take from others, by name.

use super::commands::{SettingRole, role, setting_name};
use super::pipeline::{ModelOf, SettingPart};
use super::read::{ReadRecipe, no_step};
use super::settle::{FROM, SaidStep};
use super::tree::{RecipeNode, Spot};
use crate::error::Result;

/// What is called the recipe's own model.
const ORIGINAL: &str = "model";

impl ReadRecipe {
    /// `{ step = "NAME" }`, its model, or `{ step = "NAME", file = "plan-out" }`.
    pub(super) fn of_step(
        &self,
        name: &str,
        rows: &[(String, RecipeNode)],
        spot: Spot,
        (place, all): (usize, &[SaidStep<'_>]),
    ) -> Result<SettingPart> {
        let fault = |reason: String| self.sources.fault(spot, reason);
        let text = |key: &str| {
            let row = rows.iter().find(|(known, _)| known == key);
            row.and_then(|(_, node)| node.text())
        };
        let others = rows.iter().any(|(key, _)| key != "step" && key != "file");
        let (Some(step), false) = (text("step"), others) else {
            let reason = format!(
                "`{name}` is a path, {{ step = \"NAME\" }} for the model of a step, or {{ step = \"NAME\", file = \"plan-out\" }} for a file that it makes"
            );
            return Err(fault(reason));
        };
        let node = RecipeNode::plain(step, spot);
        let Some(file) = text("file") else {
            return Ok(SettingPart::Model(self.model_of(place, &node, all)?));
        };
        let found = self.earlier(place, step, spot, all)?;
        let makes = all[found].command.setting(file);
        match makes.filter(|arg| role(arg) == SettingRole::Made) {
            Some(arg) => Ok(SettingPart::FileOf(found, setting_name(arg))),
            None => Err(fault(format!(
                "step '{step}' makes no file by `{file}`: {} has no such setting",
                all[found].command.name()
            ))),
        }
    }

    /// The model that is called so.
    pub(super) fn model_of(
        &self,
        place: usize,
        node: &RecipeNode,
        all: &[SaidStep<'_>],
    ) -> Result<ModelOf> {
        let fault = |reason: String| self.sources.fault(node.spot, reason);
        let name = node
            .text()
            .ok_or_else(|| fault("`from` is the name of a step".to_owned()))?;
        if name == ORIGINAL {
            return Ok(ModelOf::Original);
        }
        let found = self.earlier(place, name, node.spot, all)?;
        match all[found].command.makes_model() {
            true => Ok(ModelOf::Step(found)),
            false => Err(fault(format!(
                "step '{name}' makes no model: {} only looks at models",
                all[found].command.name()
            ))),
        }
    }

    /// The step of this name, which comes before.
    fn earlier(&self, place: usize, name: &str, spot: Spot, all: &[SaidStep<'_>]) -> Result<usize> {
        let fault = |reason: String| self.sources.fault(spot, reason);
        let names: Vec<&str> = all.iter().map(|step| step.name).collect();
        let Some(found) = names.iter().position(|known| *known == name) else {
            return Err(no_step(name, &names, fault));
        };
        if found < place {
            return Ok(found);
        }
        let mut chain = vec![place];
        let mut next = Some(found);
        while let Some(at) = next.filter(|_| chain.len() <= all.len()) {
            chain.push(at);
            if at == place {
                let chain: Vec<&str> = chain.iter().map(|&at| names[at]).collect();
                let reason = format!("the steps take from each other: {}", chain.join(" from "));
                return Err(fault(reason));
            }
            let from = all[at].said(FROM).and_then(RecipeNode::text);
            next = from.and_then(|from| names.iter().position(|known| *known == from));
        }
        let reason = format!(
            "step '{}' takes from '{name}', which comes after it",
            names[place]
        );
        Err(fault(reason))
    }
}
