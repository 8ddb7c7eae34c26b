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
}

impl Contender {
    /// As in the JSON lines; also its name in the audit log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Null => "null",
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

/// Figures, in the order in which they were first taken.
#[derive(Default)]
pub struct Figures {
    order: Vec<(String, &'static str)>,
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

    /// Every figure with the values of all blocks, and the ratio of their means; those that stand by themselves below.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = if self.order.is_empty() {
            String::new()
        } else {
            self.compared()
        };
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

    fn compared(&self) -> String {
        let mut table = "| figure | unit | operator | null | operator / null |\n|---|---|---|---|---|\n".to_owned();
        for (figure, unit) in &self.order {
            let of = |contender| self.values.get(&(figure.clone(), contender));
            let (ours, null) = (of(Contender::Operator), of(Contender::Null));
            let ratio = match (ours, null) {
                (Some(ours), Some(null)) if mean(null) > 0.0 => format!("{:.2}", mean(ours) / mean(null)),
                _ => String::new(),
            };
            table.push_str(&format!(
                "| {figure} | {unit} | {} | {} | {ratio} |\n",
                list(ours),
                list(null)
            ));
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
