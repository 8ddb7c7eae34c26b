//! What holds for every expression: it ends, and an answer is the one that the `cel` crate's own interpreter gives.

use kube_cel::cel;
use proptest::prelude::*;

use super::*;

/// Expressions whose types fit, and some whose do not.
fn expressions() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        (-3_i64..10).prop_map(|number| number.to_string()),
        Just("size(names)".to_owned()),
        Just("9223372036854775807".to_owned()),
        Just("9007199254740992".to_owned()),
    ];
    let number = number.prop_recursive(2, 6, 2, |inner| {
        (
            inner.clone(),
            prop::sample::select(&["+", "-", "*", "/", "%"][..]),
            inner,
        )
            .prop_map(|(a, op, b)| format!("({a} {op} {b})"))
    });
    let fraction = prop_oneof![Just("-2.5"), Just("1.0"), Just("2.5")].prop_map(str::to_owned);
    let text = prop_oneof![Just("'a'"), Just("'bb'"), Just("names[1]"), Just("names[7]")].prop_map(str::to_owned);
    let leaf = prop_oneof![
        any::<bool>().prop_map(|value| value.to_string()),
        (
            number.clone(),
            prop::sample::select(&["<", "<=", ">", ">=", "==", "!="][..]),
            number.clone()
        )
            .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        // The crate has no equal numbers of two kinds.
        (number, prop::sample::select(&["<", "<=", ">", ">="][..]), fraction)
            .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (text.clone(), prop::sample::select(&["==", "!=", "<"][..]), text.clone())
            .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (text.clone(), text.clone()).prop_map(|(a, b)| format!("{a}.contains({b})")),
        text.prop_map(|a| format!("{a} in names")),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            (
                prop::sample::select(&["all", "exists", "exists_one"][..]),
                inner.clone()
            )
                .prop_map(|(how, a)| format!("names.{how}(x, x != 'q' && {a})")),
            inner.prop_map(|a| format!("names.filter(x, {a}).map(x, x + 'b').size() > 1")),
        ]
    })
}

/// The same lists under the names that both know.
const NAMES: [&str; 3] = ["a", "b", "bb"];

fn by_the_crate(expression: &str) -> Result<cel::Value, String> {
    let program = cel::Program::compile(expression).map_err(|error| error.to_string())?;
    let mut context = cel::Context::default();
    let names: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    context.add_variable_from_value("names", names);
    program.execute(&context).map_err(|error| error.to_string())
}

fn by_us(expression: &str) -> Result<bool, String> {
    let list = "packages.map(p, p.name)";
    let rule = compile(&expression.replace("names", list)).map_err(|error| error.to_string())?;
    let report = Report {
        packages: NAMES.iter().map(|name| package(name, &[])).collect(),
        ..Report::default()
    };
    let (sbom, build) = (Sbom::default(), build());
    rule.holds(&Inventory::of(evidence(&report, &sbom, &build)).facts())
        .map_err(|error| error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn an_answer_is_the_one_that_the_crates_interpreter_gives(expression in expressions()) {
        prop_assume!(expression.len() < 300);
        // Where the crate makes up for an error, there is no answer here; an answer here is the same there.
        if let Ok(answer) = by_us(&expression) {
            prop_assert_eq!(by_the_crate(&expression), Ok(cel::Value::Bool(answer)), "{}", expression);
        }
    }

    #[test]
    fn whatever_is_written_ends_in_an_answer_or_an_error(text in r#"[-a-z0-9 .,:?!&|<>=+*/%()\[\]{}'"\\\n]{0,120}"#) {
        if let Ok(rule) = compile(&text) {
            let (report, sbom, build) = (report(), sbom(), build());
            let _ = rule.holds_within(&Inventory::of(evidence(&report, &sbom, &build)).facts(), 10_000);
        }
    }

    #[test]
    fn no_budget_changes_an_answer_and_too_small_a_one_gives_none(expression in expressions(), steps in 0_u64..200) {
        prop_assume!(expression.len() < 300);
        let (report, sbom, build) = (report(), sbom(), build());
        let inventory = Inventory::of(evidence(&report, &sbom, &build));
        if let Ok(rule) = compile(&expression.replace("names", "packages.map(p, p.name)")) {
            match rule.holds_within(&inventory.facts(), steps) {
                Err(EvalError::Overrun(_)) => {}
                answer => prop_assert_eq!(answer, rule.holds(&inventory.facts())),
            }
        }
    }

    #[test]
    fn hostile_words_of_an_image_are_words_and_nothing_else(word in "\\PC{0,40}|[\"'\\\\)(\n\0|&!]{0,20}") {
        let mut report = report();
        report.findings[0].id.clone_from(&word);
        report.packages[0].name.clone_from(&word);
        let (sbom, build) = (sbom(), build());
        let inventory = Inventory::of(evidence(&report, &sbom, &build));
        let ask = |expression: &str| compile(expression).unwrap().holds(&inventory.facts());
        prop_assert_eq!(ask("findings.size() == 3"), Ok(true));
        prop_assert_eq!(ask("findings.exists(f, f.id == 'CVE-2020-2')"), Ok(true));
        prop_assert_eq!(ask("findings.all(f, f.id.size() >= 0 && (f.id.matches('x') || true))"), Ok(true));
    }
}
