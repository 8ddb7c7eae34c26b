//! What can be wrong with a rule, and with asking it.

/// Why an expression can't be a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// It is not CEL.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// Line, from 1.
        line: u32,
        /// Column, from 1.
        column: u32,
        /// What the parser says.
        message: String,
    },
    /// The parser broke off.
    #[error("the parser can't read it: write it in a simpler way")]
    Unreadable,
    /// It is longer than the schema admits.
    #[error("it is longer than {0} characters")]
    TooLong(u32),
    /// One operation lies in too many others.
    #[error("operations lie in each other more than {0} deep")]
    TooDeep(usize),
    /// A name that nothing has.
    #[error("unknown variable {name}; there are: {known}")]
    UnknownVariable {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A field that there is not.
    #[error("{of} has no field {name}; it has: {known}")]
    UnknownField {
        /// What was asked for it.
        of: String,
        /// The field.
        name: String,
        /// Those that it has.
        known: String,
    },
    /// A function that there is not.
    #[error("unknown function {0}, or not with these arguments")]
    UnknownFunction(String),
    /// Part of the language that rules do without.
    #[error("{0}")]
    Unsupported(&'static str),
    /// A value of another type than is needed.
    #[error("{place}: {found} where {wanted} is needed")]
    Type {
        /// Operator or function.
        place: String,
        /// Type that is there.
        found: String,
        /// Type that must be there.
        wanted: String,
    },
    /// A regular expression that is none.
    #[error("the regular expression can't be used: {0}")]
    Pattern(String),
}

/// Why a rule gives no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// It takes more steps than a rule may.
    #[error("it takes more than {0} steps for this image")]
    Overrun(u64),
    /// Something that it asks for is not known.
    #[error("{0}")]
    NotKnown(String),
    /// A number is too large.
    #[error("a number is too large")]
    Overflow,
    /// A division by zero.
    #[error("a number is divided by zero")]
    DivisionByZero,
    /// An entry that a list has not.
    #[error("a list of {length} entries has none at {index}")]
    OutOfRange {
        /// What was asked for.
        index: i64,
        /// Entries that there are.
        length: usize,
    },
    /// A text that is not a number.
    #[error("a text is not a number")]
    NotANumber,
    /// The checker let something pass that it should not have.
    #[error("it could not be evaluated; report this as a defect of Image Factory")]
    Defect,
}
