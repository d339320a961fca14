//! What typing goes by beside the graph.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::graph::{DeclaredSize, Graph, ValueId};
use crate::onnx::ElementType;

/// What of a grouped convolution may go. Depthwise convolutions lose channels, which are their groups, in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum GroupCut {
    /// Channels inside the groups, as many of each; all groups stay.
    #[default]
    Inside,
    /// Whole groups, of which two stay at least; those that stay keep all their channels.
    Whole,
}

impl GroupCut {
    /// True where nothing is asked.
    pub(crate) fn is_default(&self) -> bool {
        *self == GroupCut::default()
    }
}

impl fmt::Display for GroupCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GroupCut::Inside => "inside",
            GroupCut::Whole => "whole",
        })
    }
}

impl FromStr for GroupCut {
    type Err = Error;

    fn from_str(text: &str) -> Result<GroupCut> {
        match text {
            "inside" => Ok(GroupCut::Inside),
            "whole" => Ok(GroupCut::Whole),
            _ => Err(Error::Usage(format!(
                "groups of convolutions are not cut '{text}'; choose one of inside, whole"
            ))),
        }
    }
}

/// What runs of a model showed of a value.
#[derive(Clone, Debug)]
pub(crate) struct ObservedValue {
    /// A number where all runs agree, a name where all runs follow the dynamic size of an input.
    pub(crate) sizes: Vec<DeclaredSize>,
    pub(crate) element: Option<ElementType>,
}

/// What runs of a model showed, by the name of a value: what typing falls back to where no rule and no
/// declaration says a shape.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed(HashMap<String, ObservedValue>);

impl Observed {
    pub(crate) fn insert(&mut self, name: String, value: ObservedValue) {
        self.0.insert(name, value);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn of(&self, graph: &Graph, id: ValueId) -> Option<&ObservedValue> {
        self.0.get(&graph.value(id).name)
    }
}

/// What a model is typed by beside its graph; an edit of it is typed by the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Premises {
    /// What runs of the model showed of values whose shape no rule says.
    pub(crate) observed: Observed,
    pub(crate) cuts: CutRules,
}

/// What may go of a model beside what always may.
#[derive(Clone, Debug, Default)]
pub(crate) struct CutRules {
    /// What of grouped convolutions.
    pub(crate) groups: GroupCut,
    /// Globs of the inputs and outputs of which declared sizes may change.
    pub(crate) signature: Vec<String>,
    /// Rows of tables that inputs of the graph pick by number.
    pub(crate) vocabulary: bool,
}
