//! From text to a rule, in a thread of its own: the parser recurses deep enough to use up the stack of an ordinary
//! one, and panics at some of what is not CEL. Neither may end the process.

use imagefactory_crds::image_policy::RuleExpression;
use kube_cel::cel::parser::{ParseErrors, Parser};

use super::check::Checker;
use super::error::{EvalError, RuleError};
use super::eval::Run;
use super::facts::Facts;
use super::node::Node;
use super::schema::Type;

/// Stack of the thread. An expression of the greatest length that is nothing but brackets takes a quarter of it where
/// nothing is optimised.
const STACK: usize = 128 << 20;

/// A condition that was checked: what it names is there, and its types fit.
#[derive(Debug)]
pub struct Rule {
    node: Node,
}

impl Rule {
    /// Whether the condition holds.
    ///
    /// # Errors
    /// It gives no answer. That is never a pass.
    pub fn holds(&self, facts: &Facts<'_>) -> Result<bool, EvalError> {
        self.holds_within(facts, super::STEPS)
    }

    /// [`Self::holds`] with a budget of `steps`.
    ///
    /// # Errors
    /// As there.
    pub fn holds_within(&self, facts: &Facts<'_>, steps: u64) -> Result<bool, EvalError> {
        Run::new(facts, steps).condition(&self.node)
    }
}

/// Reads and checks an expression.
///
/// # Errors
/// What keeps it from being a rule.
pub fn compile(expression: &str) -> Result<Rule, RuleError> {
    if expression.len() > usize::try_from(RuleExpression::MAX_LENGTH).unwrap_or_default() {
        return Err(RuleError::TooLong(RuleExpression::MAX_LENGTH));
    }
    let text = expression.to_owned();
    let thread = std::thread::Builder::new()
        .name("rule".to_owned())
        .stack_size(STACK)
        .spawn(move || read(&text));
    let read = thread.map_err(|_| RuleError::Unreadable)?;
    // A panic of the parser ends here.
    read.join()
        .map_err(|_| RuleError::Unreadable)?
        .map(|node| Rule { node })
}

/// The tree that the parser makes lives and ends in this thread: it can be as deep as the expression is long.
fn read(text: &str) -> Result<Node, RuleError> {
    let tree = Parser::new().parse(text).map_err(|errors| syntax(&errors))?;
    let (node, of) = Checker::default().check(&tree)?;
    match of {
        Type::Bool => Ok(node),
        other => Err(RuleError::Type {
            place: "the expression".to_owned(),
            found: other.to_string(),
            wanted: Type::Bool.to_string(),
        }),
    }
}

fn syntax(errors: &ParseErrors) -> RuleError {
    let Some(first) = errors.errors.first() else {
        return RuleError::Unreadable;
    };
    let place = |number: isize| u32::try_from(number).unwrap_or(0);
    let (line, column) = first.pos;
    let message = first.msg.strip_prefix("Syntax error: ").unwrap_or(&first.msg);
    RuleError::Syntax {
        line: place(line).max(1),
        column: place(column).max(1),
        message: message.chars().filter(|c| !c.is_control()).take(100).collect(),
    }
}
