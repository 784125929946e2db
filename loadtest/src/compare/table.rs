//! Tables, for the terminal and for RESULTS.md.
//!
//! Owns: what stands in which column. Never: a figure of its own. Tested here with made-up results.

use super::results::{Cell, PointResult, ScenarioResult};
use super::scenario::Kind;
use super::statistics::Spread;

/// Longest remark; more would tear the table apart.
const REMARK_CHARS_MAX: usize = 120;

/// Heads and rows of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Column heads.
    pub head: Vec<String>,
    /// Rows, each as long as the head.
    pub rows: Vec<Vec<String>>,
}

/// The table of one point.
pub fn table(scenario: &ScenarioResult, point: &PointResult) -> Table {
    let reference = point.cells.first().map_or("", |cell| cell.candidate.as_str());
    let mut head =
        vec!["candidate".to_owned(), scenario.cost_unit().to_owned(), format!("{reference} ÷ it")];
    let columns: &[&str] = match scenario.kind {
        Kind::Idle => &["MiB without clients", "MiB with all"],
        _ => &["req/s", "p50 µs", "p99 µs", "p99.9 µs", "RSS MiB"],
    };
    head.extend(columns.iter().chain(&["failed", "remarks"]).map(ToString::to_string));
    let rows = point.cells.iter().map(|cell| row(scenario, cell)).collect();
    Table { head, rows }
}

fn row(scenario: &ScenarioResult, cell: &Cell) -> Vec<String> {
    let summary = &cell.summary;
    let mut row = vec![
        cell.candidate.clone(),
        summary.cost.map_or_else(none, |cost| with_spread(cost, precision(cost.median))),
        summary.reference_ratio.map_or_else(none, |ratio| with_spread(ratio, 2)),
    ];
    let mebibytes = |bytes: Option<Spread>| {
        bytes.map_or_else(none, |bytes| format!("{:.0}", bytes.median / 1024.0 / 1024.0))
    };
    if scenario.kind == Kind::Idle {
        row.push(mebibytes(summary.proportional_before_bytes));
        row.push(mebibytes(summary.proportional_bytes));
    } else {
        let figures =
            [summary.requests_per_second, summary.p50_us, summary.p99_us, summary.p999_us];
        row.extend(figures.map(|figure| figure.map_or_else(none, |figure| whole(figure.median))));
        row.push(mebibytes(summary.resident_bytes));
    }
    row.push(match cell.cannot {
        Some(_) => none(),
        None => summary.failed.to_string(),
    });
    row.push(remarks(cell));
    row
}

fn remarks(cell: &Cell) -> String {
    let mut remarks = Vec::new();
    if let Some(why) = &cell.cannot {
        remarks.push(format!("took no part: {why}"));
    }
    if let Some(why) = cell.fault() {
        let (invalid, all) = (cell.summary.invalid_count, cell.samples.len());
        remarks.push(format!("INVALID {invalid} of {all}: {why}"));
    }
    if cell.summary.wrong_target > 0 {
        remarks.push(format!("{} responses from another target", cell.summary.wrong_target));
    }
    if cell.summary.unsent > 0 {
        remarks.push(format!(
            "SATURATED: {} requests were due and could not be sent",
            cell.summary.unsent
        ));
    }
    if cell.summary.moves > 0 {
        remarks.push(format!("{} sessions moved", cell.summary.moves));
    }
    let text = remarks.join("; ").replace(['\n', '|'], " ");
    // All of it is in results.json.
    match text.char_indices().nth(REMARK_CHARS_MAX) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text,
    }
}

/// One sentence that puts the reference beside the best peer and the floor.
pub fn sentence(point: &PointResult) -> Option<String> {
    let reference = &point.cells.first()?.candidate;
    let mut parts = Vec::new();
    for (cell, what) in [(point.best_peer(), "the best peer"), (point.cell("floor"), "the floor")] {
        if let Some(cell) = cell
            && let Some(ratio) = cell.summary.reference_ratio
        {
            let name =
                if what == "the floor" { String::new() } else { format!(", {}", cell.candidate) };
            parts.push(format!("{} of {what}{name}", with_spread(ratio, 2)));
        }
    }
    (!parts.is_empty()).then(|| format!("{reference} costs {}.", parts.join("; ")))
}

impl Table {
    /// For a terminal: columns as wide as they need to be.
    pub fn plain(&self) -> String {
        let width = |column: usize| {
            self.lines().map(|line| line[column].chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let mut text = String::new();
        for line in self.lines() {
            let mut out = String::new();
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                let fill = " ".repeat(width - cell.chars().count());
                // Names and remarks stand left, figures right.
                match column == 0 || column + 1 == widths.len() {
                    true => out.extend([cell, fill.as_str(), "  "]),
                    false => out.extend([fill.as_str(), cell, "  "]),
                }
            }
            text.push_str(out.trim_end());
            text.push('\n');
        }
        text
    }

    /// For Markdown.
    pub fn markdown(&self) -> String {
        let rule: Vec<&str> = (0..self.head.len())
            .map(|column| if column == 0 || column + 1 == self.head.len() { "---" } else { "---:" })
            .collect();
        let mut text = format!("| {} |\n|{}|\n", self.head.join(" | "), rule.join("|"));
        for row in &self.rows {
            text.push_str(&format!("| {} |\n", row.join(" | ")));
        }
        text
    }

    fn lines(&self) -> impl Iterator<Item = &Vec<String>> {
        [&self.head].into_iter().chain(&self.rows)
    }
}

fn none() -> String {
    "–".to_owned()
}

fn precision(figure: f64) -> usize {
    match figure {
        ..1.0 => 3,
        ..100.0 => 2,
        _ => 0,
    }
}

/// A median, and behind it the least and the greatest.
pub fn with_spread(figure: Spread, digits: usize) -> String {
    let Spread { median, least, greatest, .. } = figure;
    format!("{median:.digits$} [{least:.digits$} to {greatest:.digits$}]")
}

/// A whole number with its thousands apart.
fn whole(figure: f64) -> String {
    let digits = format!("{:.0}", figure.max(0.0));
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::point;
    use super::super::scenario::choose;
    use super::*;

    fn results() -> (ScenarioResult, PointResult) {
        let scenario = ScenarioResult::new(&choose(&["small".to_owned()], false).unwrap()[0]);
        let point = point(&[
            ("limpet", &[Some(10.0), Some(11.0)]),
            ("haproxy", &[Some(20.0), Some(20.0)]),
            ("nginx", &[None, Some(100.0)]),
            ("floor", &[Some(10.0), Some(10.0)]),
        ]);
        (scenario, point)
    }

    #[test]
    fn medians_ratios_and_faults_stand_in_the_table() {
        let (scenario, point) = results();
        let table = table(&scenario, &point);
        assert_eq!(table.head[..3], ["candidate", "CPU µs/request", "limpet ÷ it"]);
        assert_eq!(table.rows[0][1], "10.50 [10.00 to 11.00]");
        assert_eq!(table.rows[1][2], "0.53 [0.50 to 0.55]");
        assert_eq!(table.rows[2].last().unwrap(), "INVALID 1 of 2: 3 closed");
    }

    #[test]
    fn of_idle_clients_the_whole_stands_beside_what_each_added() {
        let scenario = ScenarioResult::new(&choose(&["idle".to_owned()], false).unwrap()[0]);
        let (_, mut point) = results();
        let spread =
            |mebibytes: f64| super::super::statistics::spread(&[mebibytes * 1024.0 * 1024.0]);
        point.cells[0].summary.proportional_before_bytes = spread(9.0);
        point.cells[0].summary.proportional_bytes = spread(40.0);
        let table = table(&scenario, &point);
        assert_eq!(table.head[1], "growth KiB/connection");
        assert_eq!(table.head[3..5], ["MiB without clients", "MiB with all"]);
        assert_eq!(table.rows[0][3..5], ["9", "40"]);
        assert_eq!(table.rows[1][3], "–");
    }

    #[test]
    fn who_is_saturated_is_said_to_be() {
        let (scenario, mut point) = results();
        point.cells[1].summary.unsent = 12;
        let table = table(&scenario, &point);
        assert!(table.rows[1].last().unwrap().starts_with("SATURATED: 12 requests"));
        assert_eq!(table.rows[0].last().unwrap(), "");
    }

    #[test]
    fn lines_on_the_terminal_are_aligned() {
        let (scenario, point) = results();
        let plain = table(&scenario, &point).plain();
        let lines: Vec<&str> = plain.lines().collect();
        assert_eq!(lines.len(), 5);
        let column = |line: &str, text: &str| {
            line[..line.find(text).unwrap()].chars().count() + text.chars().count()
        };
        assert_eq!(column(lines[0], "limpet ÷ it"), column(lines[2], "0.53 [0.50 to 0.55]"));
    }

    #[test]
    fn markdown_has_as_many_cells_in_every_line() {
        let (scenario, point) = results();
        let markdown = table(&scenario, &point).markdown();
        let counts: Vec<usize> = markdown.lines().map(|line| line.matches('|').count()).collect();
        assert!(counts.windows(2).all(|pair| pair[0] == pair[1]), "{markdown}");
    }

    #[test]
    fn a_sentence_names_the_best_peer_and_the_floor() {
        let (_, point) = results();
        assert_eq!(
            sentence(&point).unwrap(),
            "limpet costs 0.53 [0.50 to 0.55] of the best peer, haproxy; 1.05 [1.00 to 1.10] of the floor."
        );
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!(whole(1_234_567.4), "1 234 567");
        assert_eq!(whole(999.0), "999");
        assert_eq!(whole(0.0), "0");
    }
}
