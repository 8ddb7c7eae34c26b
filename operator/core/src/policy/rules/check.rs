//! Names and types of an expression, looked at before it is ever asked.

use kube_cel::cel::common::ast::{CallExpr, Expr, IdedExpr, ListExpr, LiteralValue, SelectExpr};

use super::error::RuleError;
use super::functions::{apply, common, expect, mismatch};
use super::macros::{Macro, recognise};
use super::node::{Each, How, Node};
use super::schema::{Kind, Type, VARIABLES, Variable};

/// How deep operations may lie in each other.
const MAX_DEPTH: usize = 64;

pub(super) type Checked = Result<(Node, Type), RuleError>;

/// Checks one expression.
#[derive(Default)]
pub(super) struct Checker {
    /// What the macros around go over.
    locals: Vec<(String, Type)>,
    depth: usize,
}

impl Checker {
    pub(super) fn check(&mut self, expression: &IdedExpr) -> Checked {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(RuleError::TooDeep(MAX_DEPTH));
        }
        let checked = match &expression.expr {
            Expr::Literal(literal) => constant(literal),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => self.field(select),
            Expr::List(list) => self.list(list),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(looped) => {
                let found = recognise(looped).ok_or(RuleError::Unsupported("rules do without this macro"))?;
                self.each(&found)
            }
            Expr::Map(_) | Expr::Struct(_) => {
                Err(RuleError::Unsupported("rules do without maps and objects of their own"))
            }
            Expr::Unspecified => Err(RuleError::Unreadable),
        };
        self.depth -= 1;
        checked
    }

    fn variable(&self, name: &str) -> Checked {
        if let Some((place, (_, of))) = self.locals.iter().enumerate().rfind(|(_, (known, _))| known == name) {
            return Ok((Node::Local(place), of.clone()));
        }
        let found = VARIABLES.iter().enumerate().find(|(_, known)| known.name == name);
        let (place, known) = found.ok_or_else(|| RuleError::UnknownVariable {
            name: name.to_owned(),
            known: names(VARIABLES),
        })?;
        Ok((Node::Variable(place), known.of.into()))
    }

    fn field(&mut self, select: &SelectExpr) -> Checked {
        if select.test {
            return Err(RuleError::Unsupported(
                "rules do without has(): every field is always there, and empty where there is nothing to say",
            ));
        }
        let (node, of) = self.check(&select.operand)?;
        let unknown = |of: String, fields: &[Variable]| RuleError::UnknownField {
            of,
            name: select.field.clone(),
            known: names(fields),
        };
        let Type::Object(kind) = of else {
            return Err(unknown(of.to_string(), &[]));
        };
        let field = kind.fields().iter().find(|field| field.name == select.field);
        let field = field.ok_or_else(|| unknown(Kind::to_string(&kind), kind.fields()))?;
        Ok((Node::Field(Box::new(node), field.name), field.of.into()))
    }

    fn list(&mut self, list: &ListExpr) -> Checked {
        let mut of = Type::Any;
        let mut nodes = Vec::new();
        for element in &list.elements {
            let (node, found) = self.check(element)?;
            of = common("a list", of, found)?;
            nodes.push(node);
        }
        Ok((Node::List(nodes), Type::List(Box::new(of))))
    }

    fn call(&mut self, call: &CallExpr) -> Checked {
        let mut arguments = Vec::new();
        for argument in call.target.as_deref().into_iter().chain(&call.args) {
            arguments.push(self.check(argument)?);
        }
        apply(&call.func_name, arguments)
    }

    fn each(&mut self, found: &Macro<'_>) -> Checked {
        let (over, of) = self.check(found.over)?;
        let Type::List(entry) = of else {
            return Err(mismatch("a macro", &of, "list"));
        };
        self.locals.push((found.variable.to_owned(), *entry));
        let keep = found.keep.map(|keep| self.condition("filter()", keep)).transpose()?;
        let (body, made) = self.check(found.body)?;
        self.locals.pop();
        let of = match found.how {
            How::Map => Type::List(Box::new(made)),
            How::All | How::Exists | How::ExistsOne => expect("all(), exists() and exists_one()", made, &Type::Bool)?,
        };
        let how = found.how;
        Ok((Node::Each(Box::new(Each { how, over, keep, body })), of))
    }

    fn condition(&mut self, place: &str, expression: &IdedExpr) -> Result<Node, RuleError> {
        let (node, of) = self.check(expression)?;
        expect(place, of, &Type::Bool)?;
        Ok(node)
    }
}

fn constant(literal: &LiteralValue) -> Checked {
    Ok(match literal {
        LiteralValue::Boolean(value) => (Node::Bool(*value.inner()), Type::Bool),
        LiteralValue::Int(value) => (Node::Int(*value.inner()), Type::Int),
        LiteralValue::Double(value) if value.inner().is_finite() => (Node::Double(*value.inner()), Type::Double),
        LiteralValue::String(value) => (Node::Text(value.inner().to_owned()), Type::String),
        LiteralValue::Bytes(_) | LiteralValue::Double(_) | LiteralValue::Null | LiteralValue::UInt(_) => {
            return Err(RuleError::Unsupported(
                "rules do without null, bytes, unsigned and infinite numbers",
            ));
        }
    })
}

fn names(known: &[Variable]) -> String {
    match known {
        [] => "none".to_owned(),
        known => known.iter().map(|one| one.name).collect::<Vec<_>>().join(", "),
    }
}
