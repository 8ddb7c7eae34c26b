//! Evaluation within a budget. Strict from left to right: an error that is met is the end, and no other operand can
//! make up for it.

use std::rc::Rc;

use super::error::EvalError;
use super::facts::Facts;
use super::node::{Convert, Each, How, Node, Order, Sum, Test};
use super::numbers::{fraction, whole, whole_of};
use super::value::{Value, compare, equal, number};

type Evaluated<'a> = Result<Value<'a>, EvalError>;

/// One rule asked of one image.
pub(super) struct Run<'a> {
    facts: &'a Facts<'a>,
    locals: Vec<Value<'a>>,
    steps: u64,
    left: u64,
}

impl<'a> Run<'a> {
    pub(super) fn new(facts: &'a Facts<'a>, steps: u64) -> Self {
        Self {
            facts,
            locals: Vec::new(),
            steps,
            left: steps,
        }
    }

    pub(super) fn condition(&mut self, node: &'a Node) -> Result<bool, EvalError> {
        match self.value(node)? {
            Value::Bool(value) => Ok(value),
            _ => Err(EvalError::Defect),
        }
    }

    fn spend(&mut self, steps: usize) -> Result<(), EvalError> {
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(steps).ok_or(EvalError::Overrun(self.steps))?;
        Ok(())
    }

    /// Pays for looking at all of a value, while it is looked at: lists share their entries, so that one can be
    /// larger than what it takes to make it.
    fn weigh(&mut self, value: &Value<'_>) -> Result<(), EvalError> {
        match value {
            Value::List(entries) => {
                self.spend(1)?;
                entries.iter().try_for_each(|entry| self.weigh(entry))
            }
            other => self.spend(1 + other.text().map_or(0, |text| text.len() / 16)),
        }
    }

    fn value(&mut self, node: &'a Node) -> Evaluated<'a> {
        self.spend(1)?;
        if let Some(constant) = node.constant() {
            return Ok(constant);
        }
        match node {
            Node::Bool(_) | Node::Int(_) | Node::Double(_) | Node::Text(_) => Err(EvalError::Defect),
            Node::Variable(place) => self.facts.variable(*place),
            Node::Local(place) => self.locals.get(*place).cloned().ok_or(EvalError::Defect),
            Node::Field(of, name) => match self.value(of)? {
                Value::Object(object) => object.field(name),
                _ => Err(EvalError::Defect),
            },
            Node::Index(list, place) => self.entry(list, place),
            Node::List(nodes) => {
                let entries: Result<Vec<_>, _> = nodes.iter().map(|node| self.value(node)).collect();
                Ok(Value::List(Rc::new(entries?)))
            }
            Node::Not(of) => Ok(Value::Bool(!self.condition(of)?)),
            Node::And(one, other) => Ok(Value::Bool(self.condition(one)? && self.condition(other)?)),
            Node::Or(one, other) => Ok(Value::Bool(self.condition(one)? || self.condition(other)?)),
            Node::Choose(when, then, otherwise) => {
                let chosen = if self.condition(when)? { then } else { otherwise };
                self.value(chosen)
            }
            Node::Equal(one, other) => {
                let (one, other) = self.both(one, other)?;
                self.same(&one, &other).map(Value::Bool)
            }
            Node::Order(order, one, other) => self.order(*order, one, other),
            Node::In(one, list) => self.among(one, list),
            Node::Negate(of) => self.negate(of),
            Node::Calculate(sum, one, other) => self.calculate(*sum, one, other),
            Node::Size(of) => self.size(of),
            Node::Test(test, one, other) => self.test(*test, one, other),
            Node::Matches(of, regex) => {
                let value = self.value(of)?;
                let text = value.text().ok_or(EvalError::Defect)?;
                // Each character may stand in many places of the pattern.
                self.spend(text.len().saturating_mul(4))?;
                Ok(Value::Bool(regex.is_match(text)))
            }
            Node::Convert(convert, of) => self.convert(*convert, of),
            Node::Each(each) => self.each(each),
        }
    }

    fn both(&mut self, one: &'a Node, other: &'a Node) -> Result<(Value<'a>, Value<'a>), EvalError> {
        Ok((self.value(one)?, self.value(other)?))
    }

    fn entries(&mut self, node: &'a Node) -> Result<Rc<Vec<Value<'a>>>, EvalError> {
        match self.value(node)? {
            Value::List(entries) => Ok(entries),
            _ => Err(EvalError::Defect),
        }
    }

    fn same(&mut self, one: &Value<'_>, other: &Value<'_>) -> Result<bool, EvalError> {
        self.weigh(one)?;
        equal(one, other).ok_or(EvalError::Defect)
    }

    fn entry(&mut self, list: &'a Node, place: &'a Node) -> Evaluated<'a> {
        let entries = self.entries(list)?;
        let Value::Int(index) = self.value(place)? else {
            return Err(EvalError::Defect);
        };
        let entry = usize::try_from(index).ok().and_then(|place| entries.get(place));
        entry.cloned().ok_or(EvalError::OutOfRange {
            index,
            length: entries.len(),
        })
    }

    fn among(&mut self, one: &'a Node, list: &'a Node) -> Evaluated<'a> {
        let one = self.value(one)?;
        let entries = self.entries(list)?;
        for entry in entries.iter() {
            if self.same(entry, &one)? {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }

    fn order(&mut self, order: Order, one: &'a Node, other: &'a Node) -> Evaluated<'a> {
        let (one, other) = self.both(one, other)?;
        self.weigh(&one)?;
        let ordering = compare(&one, &other).ok_or(EvalError::Defect)?;
        Ok(Value::Bool(match order {
            Order::Less => ordering.is_lt(),
            Order::LessOrEqual => ordering.is_le(),
            Order::Greater => ordering.is_gt(),
            Order::GreaterOrEqual => ordering.is_ge(),
        }))
    }

    fn negate(&mut self, of: &'a Node) -> Evaluated<'a> {
        match self.value(of)? {
            Value::Int(value) => value.checked_neg().map(Value::Int).ok_or(EvalError::Overflow),
            Value::Double(value) => Ok(Value::Double(-value)),
            _ => Err(EvalError::Defect),
        }
    }

    fn calculate(&mut self, sum: Sum, one: &'a Node, other: &'a Node) -> Evaluated<'a> {
        match self.both(one, other)? {
            (Value::Int(one), Value::Int(other)) => whole(sum, one, other).map(Value::Int),
            (Value::Double(one), Value::Double(other)) => fraction(sum, one, other).map(Value::Double),
            (Value::List(one), Value::List(other)) => {
                self.spend(one.len().saturating_add(other.len()))?;
                Ok(Value::List(Rc::new(one.iter().chain(other.iter()).cloned().collect())))
            }
            (one, other) => {
                let (one, other) = one.text().zip(other.text()).ok_or(EvalError::Defect)?;
                self.spend(one.len().saturating_add(other.len()))?;
                Ok(Value::Made([one, other].concat().into()))
            }
        }
    }

    /// Of a text its characters, as CEL has it.
    fn size(&mut self, of: &'a Node) -> Evaluated<'a> {
        let size = match self.value(of)? {
            Value::List(entries) => entries.len(),
            other => {
                let text = other.text().ok_or(EvalError::Defect)?;
                self.spend(text.len() / 16)?;
                text.chars().count()
            }
        };
        i64::try_from(size).map(Value::Int).map_err(|_| EvalError::Overflow)
    }

    fn test(&mut self, test: Test, one: &'a Node, other: &'a Node) -> Evaluated<'a> {
        let (one, other) = self.both(one, other)?;
        let (text, part) = one.text().zip(other.text()).ok_or(EvalError::Defect)?;
        self.spend(text.len().saturating_add(part.len()) / 16)?;
        Ok(Value::Bool(match test {
            Test::Contains => text.contains(part),
            Test::StartsWith => text.starts_with(part),
            Test::EndsWith => text.ends_with(part),
        }))
    }

    fn convert(&mut self, convert: Convert, of: &'a Node) -> Evaluated<'a> {
        let value = self.value(of)?;
        self.spend(value.text().map_or(0, str::len))?;
        match convert {
            Convert::LowerAscii => {
                let text = value.text().ok_or(EvalError::Defect)?;
                Ok(Value::Made(text.to_ascii_lowercase().into()))
            }
            Convert::Text => Ok(match value {
                Value::Int(value) => Value::Made(value.to_string().into()),
                Value::Double(value) => Value::Made(value.to_string().into()),
                other => other,
            }),
            Convert::Double => {
                let read = |text: &str| text.parse::<f64>().ok().filter(|value| value.is_finite());
                let known = value.text().map_or_else(|| number(&value), read);
                known.map(Value::Double).ok_or(EvalError::NotANumber)
            }
            Convert::Int => whole_of(&value).map(Value::Int),
        }
    }

    fn each(&mut self, each: &'a Each) -> Evaluated<'a> {
        let entries = self.entries(&each.over)?;
        let (mut made, mut held) = (Vec::new(), 0_usize);
        for entry in entries.iter() {
            self.locals.push(entry.clone());
            let answer = self.one(each);
            self.locals.pop();
            match (each.how, answer?) {
                (_, None) => {}
                (How::All, Some(Value::Bool(false))) => return Ok(Value::Bool(false)),
                (How::Exists, Some(Value::Bool(true))) => return Ok(Value::Bool(true)),
                (How::ExistsOne, Some(Value::Bool(true))) => held += 1,
                (How::All | How::Exists | How::ExistsOne, Some(_)) => {}
                (How::Map, Some(value)) => {
                    self.spend(1)?;
                    made.push(value);
                }
            }
        }
        Ok(match each.how {
            How::All => Value::Bool(true),
            How::Exists => Value::Bool(false),
            How::ExistsOne => Value::Bool(held == 1),
            How::Map => Value::List(Rc::new(made)),
        })
    }

    /// What a macro makes of the entry that was put on top; none for one that does not count.
    fn one(&mut self, each: &'a Each) -> Result<Option<Value<'a>>, EvalError> {
        self.spend(1)?;
        match &each.keep {
            Some(keep) if !self.condition(keep)? => Ok(None),
            Some(_) | None => self.value(&each.body).map(Some),
        }
    }
}
