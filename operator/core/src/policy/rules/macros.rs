//! The parser writes macros out as loops. They are known again by their form, and what has another form is refused.

use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};

use super::node::How;

/// A macro as it was written: `over.how(variable, keep, body)`.
pub(super) struct Macro<'a> {
    pub(super) how: How,
    pub(super) over: &'a IdedExpr,
    pub(super) variable: &'a str,
    pub(super) keep: Option<&'a IdedExpr>,
    pub(super) body: &'a IdedExpr,
}

/// Which macro the loop was.
pub(super) fn recognise(looped: &ComprehensionExpr) -> Option<Macro<'_>> {
    if looped.iter_var2.is_some() || looped.iter_var == looped.accu_var {
        return None;
    }
    let result = looped.accu_var.as_str();
    let Expr::Call(step) = &looped.loop_step.expr else {
        return None;
    };
    let (how, keep, body) = match (&looped.accu_init.expr, step.func_name.as_str(), step.args.as_slice()) {
        (Expr::Literal(LiteralValue::Boolean(start)), operators::LOGICAL_AND, [known, body])
            if *start.inner() && is_variable(known, result) =>
        {
            (How::All, None, body)
        }
        (Expr::Literal(LiteralValue::Boolean(start)), operators::LOGICAL_OR, [known, body])
            if !*start.inner() && is_variable(known, result) =>
        {
            (How::Exists, None, body)
        }
        (Expr::Literal(LiteralValue::Int(_)), operators::CONDITIONAL, [body, _, otherwise])
            if is_variable(otherwise, result) =>
        {
            (How::ExistsOne, None, body)
        }
        (Expr::List(start), operators::ADD, _) if start.elements.is_empty() => (How::Map, None, added(step, result)?),
        (Expr::List(start), operators::CONDITIONAL, [keep, then, otherwise])
            if start.elements.is_empty() && is_variable(otherwise, result) =>
        {
            let Expr::Call(then) = &then.expr else { return None };
            (How::Map, Some(keep), added(then, result)?)
        }
        _ => return None,
    };
    Some(Macro {
        how,
        over: &looped.iter_range,
        variable: &looped.iter_var,
        keep,
        body,
    })
}

/// The entry that `result + [entry]` adds.
fn added<'a>(call: &'a CallExpr, result: &str) -> Option<&'a IdedExpr> {
    let [known, entry] = call.args.as_slice() else {
        return None;
    };
    match &entry.expr {
        Expr::List(list) if call.func_name == operators::ADD && is_variable(known, result) => {
            list.elements.first().filter(|_| list.elements.len() == 1)
        }
        _ => None,
    }
}

fn is_variable(expression: &IdedExpr, name: &str) -> bool {
    matches!(&expression.expr, Expr::Ident(known) if known == name)
}
