//! What is wrong with a graph, or with what was made of one.

/// What a proof found wrong, and where. The messages say what the fields are.
#[allow(missing_docs)]
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofFault {
    /// Names, types or shapes of inputs or outputs are others.
    #[error("{what} went from {before} to {after}")]
    Signature {
        what: String,
        before: String,
        after: String,
    },
    /// onnxruntime does not load or run the model, though it runs the reference.
    #[error("the model does not run: {reason}")]
    Refused { reason: String },
    /// An output is not finite where the reference's is, or the other way round.
    #[error("output '{output}' is not finite where the reference is, or the other way round")]
    NotFinite { output: String },
    /// An output is further from the reference than rounding explains.
    #[error(
        "output '{output}' differs by a relative error of {error:.3e}, where rounding allows {allowed:.1e}"
    )]
    Beyond {
        output: String,
        error: f64,
        allowed: f64,
    },
    /// The graph is not the planned one.
    #[error("another: {what}")]
    Structure { what: String },
    /// Codes of a value differ by more than a value on the edge between two codes explains.
    #[error(
        "codes of '{value}' are off by up to {steps:.1} steps, {:.2} % of them by more than rounding allows", 100.0 * share
    )]
    Codes {
        value: String,
        steps: f64,
        share: f64,
    },
    /// Numbers that a part of the model makes are further from the reference than rounding explains.
    #[error(
        "'{value}' differs by {share:.3e} of its largest number, where rounding allows {allowed:.0e}"
    )]
    Numbers {
        value: String,
        share: f64,
        allowed: f64,
    },
    /// A value from which an output is computed is further from the reference than rounding explains.
    #[error(
        "'{value}', from which output '{output}' is computed, differs by a relative error of {error:.3e}, where rounding allows {allowed:.1e}"
    )]
    BeyondWithin {
        output: String,
        value: String,
        error: f64,
        allowed: f64,
    },
}

/// One broken invariant of a graph. The messages say what the fields are.
#[allow(missing_docs)]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A node or a graph output reads a value that nothing produces.
    #[error("{reader} reads '{value}', which no input, initializer or node produces")]
    MissingProducer { value: String, reader: String },
    /// Two producers claim one name.
    #[error("'{value}' is produced twice: by {first} and by {second}")]
    DuplicateName {
        value: String,
        first: String,
        second: String,
    },
    /// Nodes depend on each other in a circle.
    #[error("the nodes {} depend on each other in a cycle", in_short(nodes))]
    Cycle { nodes: Vec<String> },
    /// Two declarations of one value disagree about its rank.
    #[error("'{value}' has rank {first} in {first_place} but rank {second} in {second_place}")]
    RankClash {
        value: String,
        first: usize,
        first_place: &'static str,
        second: usize,
        second_place: &'static str,
    },
    /// A node cannot run a body that it has.
    #[error("{node} cannot run: {what}; export the model again")]
    Body { node: String, what: String },
    /// A body reads what it makes only later.
    #[error("{reader} stands before what it reads in its body, where nodes have to stand in order")]
    Unordered { reader: String },
    /// An input or output has other sizes than its declaration says.
    #[error(
        "{what} is declared with the sizes [{declared}], but {made}; correct the declaration, or export the model again"
    )]
    Misdeclared {
        what: String,
        declared: String,
        made: String,
    },
    /// A value, node output or graph output without a name.
    #[error("{0} has no name")]
    Unnamed(String),
    /// An input or attribute of a node is not what its operator takes.
    #[error("{what} is {is} and has to be {wanted}")]
    Unfit {
        what: String,
        is: String,
        wanted: String,
    },
}

/// Names in a sentence; of a long list the first ones.
fn in_short(names: &[String]) -> String {
    const NAMED: usize = 8;
    let first = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
