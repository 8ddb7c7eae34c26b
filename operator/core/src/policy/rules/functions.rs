//! Operators and functions: which arguments they take, and what they give.

use kube_cel::cel::common::ast::operators;
use regex_lite::RegexBuilder;

use super::check::Checked;
use super::error::RuleError;
use super::node::{Convert, Node, Order, Sum, Test};
use super::schema::Type;

/// How large a regular expression may become when it is made ready.
const MAX_PATTERN: usize = 32 << 10;

type Typed = (Node, Type);
/// None for a name that is not known with so many arguments.
type Applied = Result<Option<Typed>, RuleError>;

/// An operator or function with its arguments; what a method is called on comes first.
pub(super) fn apply(name: &str, arguments: Vec<Typed>) -> Checked {
    let mut arguments = arguments.into_iter();
    let applied = match (arguments.next(), arguments.next(), arguments.next(), arguments.next()) {
        (Some(one), None, None, None) => unary(name, one)?,
        (Some(one), Some(other), None, None) => binary(name, one, other)?,
        (Some(when), Some(then), Some(otherwise), None) if name == operators::CONDITIONAL => {
            Some(choose(when, then, otherwise)?)
        }
        _ => None,
    };
    applied.ok_or_else(|| RuleError::UnknownFunction(name.chars().filter(|c| !c.is_control()).take(40).collect()))
}

fn choose(when: Typed, then: Typed, otherwise: Typed) -> Checked {
    expect("?:", when.1, &Type::Bool)?;
    let of = common("?:", then.1, otherwise.1)?;
    let node = Node::Choose(Box::new(when.0), Box::new(then.0), Box::new(otherwise.0));
    Ok((node, of))
}

fn unary(name: &str, (node, of): Typed) -> Applied {
    let node = Box::new(node);
    let simple = |place: &str, made: Type| match of {
        Type::Int | Type::Double | Type::String => Ok(made),
        ref other => Err(mismatch(place, other, "number or string")),
    };
    Ok(Some(match name {
        operators::LOGICAL_NOT => (Node::Not(node), expect("!", of, &Type::Bool)?),
        operators::NEGATE if of.is_number() => (Node::Negate(node), of),
        operators::NEGATE => return Err(mismatch("-", &of, "number")),
        "size" if matches!(of, Type::List(_) | Type::String) => (Node::Size(node), Type::Int),
        "size" => return Err(mismatch("size()", &of, "list or string")),
        "int" => (Node::Convert(Convert::Int, node), simple("int()", Type::Int)?),
        "double" => (Node::Convert(Convert::Double, node), simple("double()", Type::Double)?),
        "string" => (Node::Convert(Convert::Text, node), simple("string()", Type::String)?),
        "lowerAscii" => (
            Node::Convert(Convert::LowerAscii, node),
            expect("lowerAscii()", of, &Type::String)?,
        ),
        _ => return Ok(None),
    }))
}

fn binary(name: &str, one: Typed, other: Typed) -> Applied {
    let made = match name {
        operators::LOGICAL_AND => logical("&&", one, other, Node::And)?,
        operators::LOGICAL_OR => logical("||", one, other, Node::Or)?,
        operators::EQUALS => equal("==", one, other)?,
        operators::NOT_EQUALS => (Node::Not(Box::new(equal("!=", one, other)?.0)), Type::Bool),
        operators::LESS => ordered("<", Order::Less, one, other)?,
        operators::LESS_EQUALS => ordered("<=", Order::LessOrEqual, one, other)?,
        operators::GREATER => ordered(">", Order::Greater, one, other)?,
        operators::GREATER_EQUALS => ordered(">=", Order::GreaterOrEqual, one, other)?,
        operators::ADD => calculated("+", Sum::Add, one, other)?,
        operators::SUBSTRACT => calculated("-", Sum::Subtract, one, other)?,
        operators::MULTIPLY => calculated("*", Sum::Multiply, one, other)?,
        operators::DIVIDE => calculated("/", Sum::Divide, one, other)?,
        operators::MODULO => calculated("%", Sum::Remainder, one, other)?,
        operators::INDEX => index(one, other)?,
        operators::IN => among(one, other)?,
        "contains" => tested("contains()", Test::Contains, one, other)?,
        "startsWith" => tested("startsWith()", Test::StartsWith, one, other)?,
        "endsWith" => tested("endsWith()", Test::EndsWith, one, other)?,
        "matches" => matched(one, other)?,
        _ => return Ok(None),
    };
    Ok(Some(made))
}

fn logical(place: &str, one: Typed, other: Typed, make: fn(Box<Node>, Box<Node>) -> Node) -> Checked {
    expect(place, one.1, &Type::Bool)?;
    expect(place, other.1, &Type::Bool)?;
    Ok((make(Box::new(one.0), Box::new(other.0)), Type::Bool))
}

fn equal(place: &str, one: Typed, other: Typed) -> Checked {
    if !(one.1.is_number() && other.1.is_number()) {
        let of = common(place, one.1, other.1)?;
        if !of.has_equality() {
            return Err(mismatch(place, &of, "something that can be compared"));
        }
    }
    Ok((Node::Equal(Box::new(one.0), Box::new(other.0)), Type::Bool))
}

fn ordered(place: &str, order: Order, one: Typed, other: Typed) -> Checked {
    match (&one.1, &other.1) {
        (Type::String, Type::String) => {}
        (found, with) if found.is_number() && with.is_number() => {}
        (found, with) if found.is_number() || *found == Type::String => {
            return Err(mismatch(place, with, &found.to_string()));
        }
        (found, _) => return Err(mismatch(place, found, "number or string")),
    }
    Ok((Node::Order(order, Box::new(one.0), Box::new(other.0)), Type::Bool))
}

/// Numbers of one kind; `+` joins texts and lists too.
fn calculated(place: &str, sum: Sum, one: Typed, other: Typed) -> Checked {
    let of = common(place, one.1, other.1)?;
    let fits = match of {
        Type::Int => true,
        Type::Double => sum != Sum::Remainder,
        Type::String | Type::List(_) => sum == Sum::Add,
        Type::Bool | Type::Object(_) | Type::Any => false,
    };
    if !fits {
        return Err(mismatch(place, &of, "number"));
    }
    Ok((Node::Calculate(sum, Box::new(one.0), Box::new(other.0)), of))
}

fn index(list: Typed, place: Typed) -> Checked {
    let Type::List(entry) = list.1 else {
        return Err(mismatch("[]", &list.1, "list"));
    };
    expect("[]", place.1, &Type::Int)?;
    Ok((Node::Index(Box::new(list.0), Box::new(place.0)), *entry))
}

fn among(one: Typed, list: Typed) -> Checked {
    let Type::List(entry) = list.1 else {
        return Err(mismatch("in", &list.1, "list"));
    };
    let of = common("in", one.1, *entry)?;
    if !of.has_equality() {
        return Err(mismatch("in", &of, "something that can be compared"));
    }
    Ok((Node::In(Box::new(one.0), Box::new(list.0)), Type::Bool))
}

fn tested(place: &str, test: Test, one: Typed, other: Typed) -> Checked {
    expect(place, one.1, &Type::String)?;
    expect(place, other.1, &Type::String)?;
    Ok((Node::Test(test, Box::new(one.0), Box::new(other.0)), Type::Bool))
}

/// The pattern stands in the rule, so that it is made ready once and what is wrong with it is known before.
fn matched(one: Typed, pattern: Typed) -> Checked {
    expect("matches()", one.1, &Type::String)?;
    let Node::Text(pattern) = pattern.0 else {
        return Err(RuleError::Unsupported(
            "matches() takes its pattern as a text in quotes",
        ));
    };
    let regex = RegexBuilder::new(&pattern).size_limit(MAX_PATTERN).build();
    let regex = regex.map_err(|error| RuleError::Pattern(error.to_string().chars().take(100).collect()))?;
    Ok((Node::Matches(Box::new(one.0), Box::new(regex)), Type::Bool))
}

pub(super) fn expect(place: &str, found: Type, wanted: &Type) -> Result<Type, RuleError> {
    if found == *wanted {
        Ok(found)
    } else {
        Err(mismatch(place, &found, &wanted.to_string()))
    }
}

pub(super) fn common(place: &str, one: Type, other: Type) -> Result<Type, RuleError> {
    let told = (one.to_string(), other.to_string());
    one.common(other).ok_or_else(|| RuleError::Type {
        place: place.to_owned(),
        found: told.1,
        wanted: told.0,
    })
}

pub(super) fn mismatch(place: &str, found: &Type, wanted: &str) -> RuleError {
    RuleError::Type {
        place: place.to_owned(),
        found: found.to_string(),
        wanted: wanted.to_owned(),
    }
}
