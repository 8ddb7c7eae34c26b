//! What is printed: a JSON line for each figure as soon as it is there, and one table at the end.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::{Result, Trying};

/// Who was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contender {
    /// The operator.
    Operator,
    /// The one that decides nothing.
    Null,
    /// The same, but a build is over when its first pod is.
    NullOnePod,
    /// Tekton's controller.
    Tekton,
    /// Shipwright's controller, with Tekton's for what it makes.
    Shipwright,
}

impl Contender {
    /// As in the JSON lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Null => "null",
            Self::NullOnePod => "null-one-pod",
            Self::Tekton => "tekton",
            Self::Shipwright => "shipwright",
        }
    }

    /// Its processes' names in the audit log.
    #[must_use]
    pub fn users(self) -> &'static [&'static str] {
        match self {
            Self::Operator => &["operator"],
            Self::Null | Self::NullOnePod => &["null"],
            Self::Tekton => &["tekton"],
            Self::Shipwright => &["shipwright", "tekton"],
        }
    }
}

/// A figure that no contender is beside, as it is printed.
#[derive(Debug, Serialize, Deserialize)]
struct Alone {
    figure: String,
    unit: String,
    value: f64,
    goal: String,
}

/// A figure's name and unit.
type Row = (String, &'static str);

/// Figures, in the order in which they were first taken.
#[derive(Default)]
pub struct Figures {
    order: Vec<Row>,
    values: BTreeMap<(String, Contender), Vec<f64>>,
    /// Figures that stand by themselves, with their goals.
    alone: Vec<Alone>,
}

impl Figures {
    /// Takes in a figure and prints its line.
    ///
    /// # Errors
    /// When nothing can be printed.
    pub fn add(&mut self, figure: &str, unit: &'static str, contender: Contender, value: f64) -> Result<()> {
        let key = (figure.to_owned(), contender);
        let values = self.values.entry(key).or_default();
        values.push(value);
        let block = values.len();
        if !self.order.iter().any(|(known, _)| known == figure) {
            self.order.push((figure.to_owned(), unit));
        }
        let line = json!({
            "figure": figure, "unit": unit, "contender": contender.as_str(), "block": block, "value": rounded(value),
        });
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").trying("could not print")?;
        out.flush().trying("could not print")
    }

    /// Takes in a figure that no contender is beside, and prints its line. `goal` is empty where there is none.
    ///
    /// # Errors
    /// When nothing can be printed.
    pub fn add_alone(&mut self, figure: &str, unit: &'static str, value: f64, goal: &'static str) -> Result<()> {
        self.print(Alone {
            figure: figure.to_owned(),
            unit: unit.to_owned(),
            value: rounded(value),
            goal: goal.to_owned(),
        })
    }

    /// Takes in the lines of a bench of its own (`webhook/benches`); others of what it said are left alone.
    ///
    /// # Errors
    /// When nothing can be printed.
    pub fn take_in(&mut self, text: &str) -> Result<()> {
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Alone>(line).ok());
        lines.into_iter().try_for_each(|line| self.print(line))
    }

    fn print(&mut self, alone: Alone) -> Result<()> {
        let line = serde_json::to_string(&alone).trying("a figure")?;
        self.alone.push(alone);
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").trying("could not print")?;
        out.flush().trying("could not print")
    }

    /// Every figure with the values of all blocks, and ratios of their means; those that others' controllers have too, and those
    /// that stand by themselves, below.
    #[must_use]
    pub fn table(&self) -> String {
        use Contender::{Null, NullOnePod, Operator, Shipwright, Tekton};
        let (with_peers, ours): (Vec<_>, Vec<_>) = self
            .order
            .iter()
            .partition(|(figure, _)| [Tekton, Shipwright].iter().any(|peer| self.of(figure, *peer).is_some()));
        let tables = [
            self.compared(&ours, &[Operator, Null], &[(Operator, Null)]),
            self.compared(
                &with_peers,
                &[Operator, Null, NullOnePod, Tekton, Shipwright],
                &[
                    (Operator, Null),
                    (Tekton, NullOnePod),
                    (Shipwright, NullOnePod),
                    (Operator, Tekton),
                    (Operator, Shipwright),
                ],
            ),
        ];
        let mut table = tables
            .into_iter()
            .filter(|table| !table.is_empty())
            .collect::<Vec<_>>()
            .join("\n");
        if !self.alone.is_empty() {
            table.push_str("\n| figure | unit | measured | goal |\n|---|---|---|---|\n");
        }
        for Alone {
            figure,
            unit,
            value,
            goal,
        } in &self.alone
        {
            table.push_str(&format!("| {figure} | {unit} | {value} | {goal} |\n"));
        }
        table
    }

    fn of(&self, figure: &str, contender: Contender) -> Option<&Vec<f64>> {
        self.values.get(&(figure.to_owned(), contender))
    }

    /// The mean of one by that of another. Empty where there is none.
    fn ratio(&self, figure: &str, (one, other): (Contender, Contender)) -> String {
        match (self.of(figure, one), self.of(figure, other)) {
            (Some(one), Some(other)) if mean(other) > 0.0 => format!("{:.2}", mean(one) / mean(other)),
            _ => String::new(),
        }
    }

    /// A table of figures with the values of some, and the ratios of some to others. Empty where there are no figures.
    fn compared(&self, rows: &[&Row], of: &[Contender], ratios: &[(Contender, Contender)]) -> String {
        if rows.is_empty() {
            return String::new();
        }
        let names = of.iter().map(|contender| contender.as_str().to_owned());
        let names = names.chain(
            ratios
                .iter()
                .map(|(one, other)| format!("{} / {}", one.as_str(), other.as_str())),
        );
        let names: String = names.map(|name| format!(" {name} |")).collect();
        let mut table = format!("| figure | unit |{names}\n");
        table.push_str(&format!("|---|---|{}\n", "---|".repeat(of.len() + ratios.len())));
        for (figure, unit) in rows {
            let cells = of.iter().map(|contender| list(self.of(figure, *contender)));
            let cells = cells.chain(ratios.iter().map(|ratio| self.ratio(figure, *ratio)));
            let cells: String = cells.map(|cell| format!(" {cell} |")).collect();
            table.push_str(&format!("| {figure} | {unit} |{cells}\n"));
        }
        table
    }
}

fn list(values: Option<&Vec<f64>>) -> String {
    let texts = values.into_iter().flatten().map(|value| rounded(*value).to_string());
    texts.collect::<Vec<_>>().join(", ")
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The value below which that share of all values lies, in milliseconds.
#[must_use]
pub fn percentile(mut values: Vec<Duration>, share: f64) -> f64 {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    let index = (share * last as f64).ceil() as usize;
    values
        .get(index.min(last))
        .map_or(f64::NAN, |value| value.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_block_and_the_ratio_of_the_means() {
        let mut figures = Figures::default();
        for (contender, value) in [
            (Contender::Operator, 3.0),
            (Contender::Null, 4.0),
            (Contender::Operator, 5.0),
        ] {
            figures.add("drain", "builds/s", contender, value).unwrap();
        }
        assert!(
            figures.table().ends_with("| drain | builds/s | 3, 5 | 4 | 1.00 |\n"),
            "{}",
            figures.table()
        );
    }

    #[test]
    fn figures_that_others_have_too_stand_in_a_table_with_a_ratio_to_each() {
        use Contender::{Null, NullOnePod, Operator, Shipwright, Tekton};
        let mut figures = Figures::default();
        figures.add("drain", "builds/s", Operator, 3.0).unwrap();
        let values = [
            (Operator, 6.0),
            (Null, 8.0),
            (NullOnePod, 30.0),
            (Tekton, 12.0),
            (Shipwright, 3.0),
        ];
        for (contender, value) in values {
            figures.add("units", "1/s", contender, value).unwrap();
        }
        let table = figures.table();
        let (ours, beside) = table.split_once("\n\n").unwrap();
        assert!(
            ours.ends_with("|---|---|---|---|---|\n| drain | builds/s | 3 |  |  |"),
            "{table}"
        );
        let names = "| figure | unit | operator | null | null-one-pod | tekton | shipwright | operator / null \
                     | tekton / null-one-pod | shipwright / null-one-pod | operator / tekton | operator / shipwright |\n";
        assert!(beside.starts_with(names), "{table}");
        let row = "| units | 1/s | 6 | 8 | 30 | 12 | 3 | 0.75 | 0.40 | 0.10 | 0.50 | 2.00 |\n";
        assert!(beside.ends_with(row), "{table}");
    }

    #[test]
    fn a_figure_without_a_contender_stands_beside_its_goal() {
        let mut figures = Figures::default();
        let line = r#"{"figure":"decision","unit":"µs","value":7.5,"goal":"50"}"#;
        figures.take_in(&format!("Benchmarking\n{line}\n")).unwrap();
        figures.add_alone("events", "1/s", 3100.456, "3,000").unwrap();
        let table = figures.table();
        assert!(
            table.ends_with("|---|---|---|---|\n| decision | µs | 7.5 | 50 |\n| events | 1/s | 3100.46 | 3,000 |\n"),
            "{table}"
        );
    }

    #[test]
    fn a_percentile_is_a_value_that_was_seen() {
        let values: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert!((percentile(values.clone(), 0.99) - 100.0).abs() < 0.001);
        assert!((percentile(values, 0.5) - 51.0).abs() < 0.001);
        assert!(percentile(Vec::new(), 0.5).is_nan());
    }
}
