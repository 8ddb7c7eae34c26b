//! A checked expression.

use regex_lite::Regex;

use super::value::Value;

/// One operation. Types fit: the checker makes nothing else.
#[derive(Debug)]
pub(super) enum Node {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    /// A variable, by its place in the table.
    Variable(usize),
    /// What a macro goes over, by its depth.
    Local(usize),
    /// A field of an object, by its name in the table.
    Field(Box<Node>, &'static str),
    Index(Box<Node>, Box<Node>),
    List(Vec<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Choose(Box<Node>, Box<Node>, Box<Node>),
    Order(Order, Box<Node>, Box<Node>),
    Equal(Box<Node>, Box<Node>),
    In(Box<Node>, Box<Node>),
    Calculate(Sum, Box<Node>, Box<Node>),
    Size(Box<Node>),
    Test(Test, Box<Node>, Box<Node>),
    Matches(Box<Node>, Box<Regex>),
    Convert(Convert, Box<Node>),
    Each(Box<Each>),
}

/// A macro.
#[derive(Debug)]
pub(super) struct Each {
    pub(super) how: How,
    pub(super) over: Node,
    /// Which entries count; none for all.
    pub(super) keep: Option<Node>,
    pub(super) body: Node,
}

/// What a macro makes of its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    All,
    Exists,
    ExistsOne,
    Map,
}

/// `<` and its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// `+` and its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sum {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// A question to a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Contains,
    StartsWith,
    EndsWith,
}

/// Another form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Convert {
    Int,
    Double,
    Text,
    LowerAscii,
}

impl Node {
    pub(super) fn constant(&self) -> Option<Value<'_>> {
        match self {
            Self::Bool(value) => Some(Value::Bool(*value)),
            Self::Int(value) => Some(Value::Int(*value)),
            Self::Double(value) => Some(Value::Double(*value)),
            Self::Text(text) => Some(Value::Text(text)),
            _ => None,
        }
    }
}
