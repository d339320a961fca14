//! Rows: what is said about one operator of one domain, in the versions that the row is for.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::adjoints::{Adjoint, Gives, Slope};
use super::families::TABLE;
use super::fitting::Fits;
use super::form::Form;
pub(super) use super::kinds::{BOOL, FLOAT, GPU_ALONE, INT64};
use super::kinds::{Carried, Elements, KernelFamily, Pointwise, Viewing};
use super::shapes::{Evaluation, Integers};
use super::typing::{Ruling, Typing};
use crate::graph::{Graph, NodeId};
use crate::onnx::proto::NodeProto;
use crate::onnx::{ElementType, domain_of};

/// Types the axes around one node.
type Rule = fn(&mut Typing) -> Ruling;
/// Computes a node's integer outputs; empty where they cannot be known.
type Evaluate = fn(&mut Evaluation) -> Option<Vec<Integers>>;

/// The operators of onnxruntime beside the standard.
pub(crate) const CONTRIB: &str = "com.microsoft";
/// Classical machine learning.
pub(crate) const ML: &str = "ai.onnx.ml";
/// The newest version of the default domain's operator set that every row was compared with: what later ones change is
/// not known.
pub(crate) const NEWEST_OPSET: i64 = 28;
/// The same by domain.
const NEWEST: [(&str, i64); 3] = [("", NEWEST_OPSET), (CONTRIB, 1), (ML, 5)];
/// Outputs whose element type a row can say one by one.
const MAX_YIELDS: usize = 3;

/// What is known about one operator of a domain in some of its versions.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) operator: &'static str,
    /// Empty for the default domain.
    pub(crate) domain: &'static str,
    /// The first and the last version of the domain's operator set that it is for.
    pub(crate) versions: (i64, i64),
    pub(super) rule: Rule,
    pub(super) evaluate: Option<Evaluate>,
    /// What the bodies have to be that it runs.
    pub(super) fits: Option<Fits>,
    /// Sources of the element type of all outputs; the first that there is counts.
    pub(super) elements: &'static [Elements],
    /// Outputs with an element type of their own.
    pub(super) yields: [Option<(usize, ElementType)>; MAX_YIELDS],
    /// Set where the output shows the elements of the first input.
    pub(crate) viewing: Option<Viewing>,
    /// Set where the output's elements are elements of inputs.
    carried: Option<Carried>,
    /// Input slots that have the same rank, where the first may be of any.
    pub(super) ranked: Option<[usize; 2]>,
    /// Set where most of the time goes into products.
    pub(crate) kernels: Option<KernelFamily>,
    /// How it computes on codes of 8 bits.
    pub(crate) form: Form,
    /// True where a positive factor of a channel goes through as it is.
    homogeneous: bool,
    /// True where GPUs have kernels for weights of which at most two of every four are not zero.
    pub(crate) sparse_kernels: bool,
    /// Set where the output is piecewise linear in the elements of an input.
    pub(crate) pointwise: Option<Pointwise>,
    /// True where a list that the operator makes is its inputs, one after the other.
    pub(crate) joins: bool,
    /// True where the output is the sum of the inputs and of nothing else.
    pub(crate) adds: bool,
    /// True where every number that the operator makes of sizes is one of its first input's.
    pub(crate) picks: bool,
    /// True where it draws numbers by chance, from an attribute `seed` where it has one.
    pub(crate) draws: bool,
    /// How a gradient goes through.
    pub(crate) adjoint: Adjoint,
    /// Inputs that are measured on data, and not trained.
    pub(crate) measured: &'static [usize],
    /// Inputs of which a list of integers is codes, and no sizes.
    pub(super) lists: &'static [usize],
}

/// A row of the default domain.
pub(super) const fn row(operator: &'static str, rule: Rule) -> Row {
    Row {
        operator,
        domain: "",
        versions: (1, NEWEST_OPSET),
        rule,
        evaluate: None,
        fits: None,
        elements: &[Elements::Input(0)],
        yields: [None; MAX_YIELDS],
        viewing: None,
        carried: None,
        ranked: None,
        kernels: None,
        form: Form::Real,
        homogeneous: false,
        sparse_kernels: false,
        pointwise: None,
        joins: false,
        picks: false,
        adds: false,
        draws: false,
        adjoint: Adjoint::Unstated,
        measured: &[],
        lists: &[],
    }
}

/// A row of onnxruntime's own operators.
pub(super) const fn contrib(operator: &'static str, rule: Rule) -> Row {
    Row {
        domain: NEWEST[1].0,
        versions: (1, NEWEST[1].1),
        ..row(operator, rule)
    }
}

/// A row of the operators of classical machine learning.
pub(super) const fn ml(operator: &'static str, rule: Rule) -> Row {
    Row {
        domain: NEWEST[2].0,
        versions: (1, NEWEST[2].1),
        ..row(operator, rule)
    }
}

impl Row {
    /// For this version of the domain's operator set and later ones.
    pub(super) const fn since(self, version: i64) -> Row {
        Row {
            versions: (version, self.versions.1),
            ..self
        }
    }

    /// For versions of the domain's operator set up to this one.
    pub(super) const fn until(self, version: i64) -> Row {
        Row {
            versions: (self.versions.0, version),
            ..self
        }
    }

    pub(super) const fn evaluated(self, evaluate: Evaluate) -> Row {
        Row {
            evaluate: Some(evaluate),
            ..self
        }
    }

    /// It runs bodies, which have to be so.
    pub(super) const fn runs(self, fits: Fits) -> Row {
        Row {
            fits: Some(fits),
            ..self
        }
    }

    pub(super) const fn viewed(self, viewing: Viewing) -> Row {
        Row {
            viewing: Some(viewing),
            ..self
        }
    }

    pub(super) const fn pointwise(self, pointwise: Pointwise) -> Row {
        Row {
            pointwise: Some(pointwise),
            ..self
        }
    }

    pub(super) const fn carries(self, carried: Carried) -> Row {
        Row {
            carried: Some(carried),
            ..self
        }
    }

    /// States that an input has the rank of another, in the usual case that this one is a weight.
    pub(super) const fn ranked_as(self, slot: usize, weight: usize) -> Row {
        Row {
            ranked: Some([slot, weight]),
            ..self
        }
    }

    /// True if all elements of the first output are elements of the first input.
    pub(super) fn hands_on(&self) -> bool {
        self.viewing.is_some() || self.carried == Some(Carried::First)
    }

    /// True if elements of the input at `slot` are elements of the outputs.
    pub(crate) fn carries_elements_of(&self, slot: usize) -> bool {
        match self.carried {
            Some(Carried::First | Carried::Among) => slot == 0,
            Some(Carried::From(first)) => slot >= first,
            None => self.viewing.is_some() && slot == 0,
        }
    }

    /// True if the operator puts no numbers of its own among those that it carries.
    pub(super) fn carries_alone(&self) -> bool {
        self.carried != Some(Carried::Among)
    }

    pub(super) const fn kernels(self, kernels: KernelFamily) -> Row {
        Row {
            kernels: Some(kernels),
            ..self
        }
    }

    pub(super) const fn form(self, form: Form) -> Row {
        Row { form, ..self }
    }

    /// A positive factor of a channel that it reads is one of what it makes.
    pub(super) const fn homogeneous(self) -> Row {
        Row {
            homogeneous: true,
            ..self
        }
    }

    /// True if positive factors of channels go through: those of all inputs of a sum, else those of the first. Bounds
    /// that are not zero are those of the channels times their factors then.
    pub(crate) fn keeps_factors(&self) -> bool {
        let bent = matches!(
            self.pointwise,
            Some(Pointwise::Sum | Pointwise::Positive | Pointwise::Bounded)
        );
        self.homogeneous || bent || self.form == Form::Through || self.viewing.is_some()
    }

    pub(super) const fn sparse_kernels(self) -> Row {
        Row {
            sparse_kernels: true,
            ..self
        }
    }

    pub(super) const fn joins(self) -> Row {
        Row {
            joins: true,
            carried: Some(Carried::From(0)),
            ..self
        }
    }

    pub(super) const fn picks(self) -> Row {
        Row {
            picks: true,
            carried: Some(Carried::First),
            ..self
        }
    }

    /// The output is the sum of the inputs.
    pub(super) const fn adds(self) -> Row {
        Row { adds: true, ..self }
    }

    /// It draws numbers by chance.
    pub(super) const fn draws(self) -> Row {
        Row {
            draws: true,
            ..self
        }
    }

    /// How a gradient goes through.
    pub(super) const fn adjoint(self, adjoint: Adjoint) -> Row {
        Row { adjoint, ..self }
    }

    /// Inputs that are measured on data, and not trained.
    pub(super) const fn measured(self, measured: &'static [usize]) -> Row {
        Row { measured, ..self }
    }

    /// Inputs of which a list of integers is codes, and no sizes.
    pub(super) const fn lists(self, lists: &'static [usize]) -> Row {
        Row { lists, ..self }
    }

    /// The gradient of the first input, from that of the output.
    pub(super) const fn slope(self, slope: Slope) -> Row {
        self.adjoint(Adjoint::Slope(slope))
    }

    /// The gradients of all inputs that need one.
    pub(super) const fn gives(self, rule: Gives) -> Row {
        self.adjoint(Adjoint::Rule(rule))
    }

    /// The gradients of all inputs that need one, codes taken for the real numbers that they were rounded from.
    pub(super) const fn straight(self, rule: Gives) -> Row {
        self.adjoint(Adjoint::Straight(rule))
    }

    /// Why no gradient goes through.
    pub(super) const fn stops(self, why: &'static str) -> Row {
        self.adjoint(Adjoint::None(why))
    }

    /// Where the element type of all outputs comes from: the first source that there is.
    pub(super) const fn of_elements(self, elements: &'static [Elements]) -> Row {
        Row { elements, ..self }
    }

    /// The element type of one output, where it is not that of the others.
    pub(super) const fn yields(self, slot: usize, element: ElementType) -> Row {
        let mut yields = self.yields;
        let mut free = 0;
        while yields[free].is_some() {
            free += 1;
        }
        yields[free] = Some((slot, element));
        Row { yields, ..self }
    }

    /// True where numbers are only moved, so that one that is not known says nothing of the others.
    pub(crate) fn moves(&self) -> bool {
        self.joins || self.picks || self.viewing.is_some()
    }

    /// The element type that one output always has.
    pub(super) fn yielded(&self, slot: usize) -> Option<ElementType> {
        let own = self.yields.iter().flatten().find(|own| own.0 == slot);
        own.map(|&(_, element)| element)
    }
}

/// All rows by operator name.
static BY_NAME: LazyLock<HashMap<&str, Vec<&Row>>> = LazyLock::new(|| {
    let mut by_name: HashMap<&str, Vec<&Row>> = HashMap::new();
    for row in TABLE.iter().flat_map(|family| family.iter()) {
        by_name.entry(row.operator).or_default().push(row);
    }
    by_name
});

/// The version of a domain's operator set that the model imports.
pub(super) fn imported(graph: &Graph, domain: &str) -> i64 {
    let imports = graph.model().proto.opset_import.iter();
    let mut versions = imports.filter(|import| domain_of(import.domain()) == domain);
    versions.next().map_or(1, |import| import.version())
}

/// The row of a node's operator in its domain, at the version that the model imports.
pub(crate) fn find(graph: &Graph, node: NodeId) -> Option<&'static Row> {
    let proto = graph.node_proto(node);
    let rows = BY_NAME.get(proto.op_type())?;
    let domain = domain_of(proto.domain());
    let version = imported(graph, domain);
    let mut rows = rows.iter().copied();
    rows.find(|row| row.domain == domain && (row.versions.0..=row.versions.1).contains(&version))
}

/// True where a node draws numbers by chance.
pub(crate) fn draws(node: &NodeProto) -> bool {
    of_any_version(node).any(|row| row.draws)
}

/// The inputs of a node that are measured on data.
pub(crate) fn measured(node: &NodeProto) -> &'static [usize] {
    of_any_version(node).next().map_or(&[], |row| row.measured)
}

fn of_any_version(node: &NodeProto) -> impl Iterator<Item = &'static Row> {
    let rows = BY_NAME.get(node.op_type()).into_iter().flatten();
    rows.filter(|row| row.domain == domain_of(node.domain()))
        .copied()
}

/// Why a node has no row.
pub(super) fn without_row(graph: &Graph, node: NodeId) -> &'static str {
    let domain = domain_of(graph.node_proto(node).domain());
    let newest = NEWEST.iter().find(|newest| newest.0 == domain);
    match newest.is_some_and(|newest| imported(graph, domain) > newest.1) {
        true => "the rules were not compared with an operator set as new as this one",
        false => "the operator has no rule yet",
    }
}
