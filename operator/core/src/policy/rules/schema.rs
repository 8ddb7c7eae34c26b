//! The variables that a rule may name: one table for the checker, for those who look values up, and for the guide.

use std::fmt;

/// Type of a field, as it can stand in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// true or false.
    Bool,
    /// A whole number.
    Int,
    /// A number with a fraction.
    Double,
    /// A text.
    String,
    /// A list of texts.
    Strings,
    /// An object.
    One(Kind),
    /// A list of objects.
    Many(Kind),
}

/// Kinds of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The image that is judged.
    Image,
    /// Findings by severity.
    Counts,
    /// One finding.
    Finding,
    /// One package.
    Package,
    /// How the image was made.
    Build,
    /// An image that the build used.
    Base,
    /// What the verdict rests on.
    Evidence,
}

/// A variable, or a field of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Name.
    pub name: &'static str,
    /// Type.
    pub of: FieldType,
}

const fn v(name: &'static str, of: FieldType) -> Variable {
    Variable { name, of }
}

/// What a rule may name.
pub const VARIABLES: &[Variable] = &[
    v("image", FieldType::One(Kind::Image)),
    v("counts", FieldType::One(Kind::Counts)),
    v("findings", FieldType::Many(Kind::Finding)),
    v("packages", FieldType::Many(Kind::Package)),
    v("build", FieldType::One(Kind::Build)),
    v("evidence", FieldType::One(Kind::Evidence)),
];

const IMAGE: &[Variable] = &[
    v("digest", FieldType::String),
    v("platform", FieldType::String),
    v("osFamily", FieldType::String),
    v("osVersion", FieldType::String),
    v("osEndOfLife", FieldType::Bool),
];

const COUNTS: &[Variable] = &[
    v("critical", FieldType::Int),
    v("high", FieldType::Int),
    v("medium", FieldType::Int),
    v("low", FieldType::Int),
    v("unknown", FieldType::Int),
    v("fixable", FieldType::Int),
    v("total", FieldType::Int),
];

const FINDING: &[Variable] = &[
    v("id", FieldType::String),
    v("severity", FieldType::String),
    v("cvss", FieldType::Double),
    v("scored", FieldType::Bool),
    v("fixable", FieldType::Bool),
    v("package", FieldType::String),
    v("version", FieldType::String),
    v("fixedVersion", FieldType::String),
    v("purl", FieldType::String),
    v("type", FieldType::String),
];

const PACKAGE: &[Variable] = &[
    v("name", FieldType::String),
    v("version", FieldType::String),
    v("purl", FieldType::String),
    v("type", FieldType::String),
    v("licences", FieldType::Strings),
];

const BUILD: &[Variable] = &[
    v("tenant", FieldType::String),
    v("project", FieldType::String),
    v("name", FieldType::String),
    v("method", FieldType::String),
    v("source", FieldType::String),
    v("gitUrl", FieldType::String),
    v("commit", FieldType::String),
    v("bases", FieldType::Many(Kind::Base)),
];

const BASE: &[Variable] = &[
    v("reference", FieldType::String),
    v("repository", FieldType::String),
    v("digest", FieldType::String),
];

const EVIDENCE: &[Variable] = &[
    v("scanner", FieldType::String),
    v("ageHours", FieldType::Int),
    v("databaseAgeHours", FieldType::Int),
];

impl Kind {
    /// Its fields.
    #[must_use]
    pub fn fields(self) -> &'static [Variable] {
        match self {
            Self::Image => IMAGE,
            Self::Counts => COUNTS,
            Self::Finding => FINDING,
            Self::Package => PACKAGE,
            Self::Build => BUILD,
            Self::Base => BASE,
            Self::Evidence => EVIDENCE,
        }
    }
}

/// Type of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Int,
    Double,
    String,
    List(Box<Type>),
    Object(Kind),
    /// Of an entry of a list that is written empty.
    Any,
}

impl From<FieldType> for Type {
    fn from(of: FieldType) -> Self {
        match of {
            FieldType::Bool => Self::Bool,
            FieldType::Int => Self::Int,
            FieldType::Double => Self::Double,
            FieldType::String => Self::String,
            FieldType::Strings => Self::List(Box::new(Self::String)),
            FieldType::One(kind) => Self::Object(kind),
            FieldType::Many(kind) => Self::List(Box::new(Self::Object(kind))),
        }
    }
}

impl Type {
    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Double)
    }

    /// Whether values of it can be compared for equality: an object has no such thing.
    pub(super) fn has_equality(&self) -> bool {
        match self {
            Self::Bool | Self::Int | Self::Double | Self::String | Self::Any => true,
            Self::List(entry) => entry.has_equality(),
            Self::Object(_) => false,
        }
    }

    /// The type of both, where one has none of its own yet.
    pub(super) fn common(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Any, one) | (one, Self::Any) => Some(one),
            (Self::List(one), Self::List(other)) => Some(Self::List(Box::new(one.common(*other)?))),
            (one, other) => (one == other).then_some(one),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Image => "the image",
            Self::Counts => "counts",
            Self::Finding => "a finding",
            Self::Package => "a package",
            Self::Build => "the build",
            Self::Base => "a base",
            Self::Evidence => "the evidence",
        })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::List(entry) => write!(f, "list({entry})"),
            Self::Object(kind) => write!(f, "{kind}"),
            Self::Any => f.write_str("any"),
        }
    }
}
