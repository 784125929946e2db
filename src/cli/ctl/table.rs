//! Plain-text tables: aligned columns, two spaces apart, without rules; text that fits no column stands below its row.
//!
//! Owns colour: only on a terminal, never with NO_COLOR, and never the only sign of a state. Tested below.

use std::io::{self, IsTerminal as _};

use super::words::plain;

/// Whether the output may have colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    pub colours: bool,
}

impl Style {
    /// For standard output, by the environment's wish (no-color.org).
    pub(super) fn of_stdout() -> Style {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let is_dumb = set("TERM").is_none_or(|term| term == "dumb");
        Style { colours: io::stdout().is_terminal() && set("NO_COLOR").is_none() && !is_dumb }
    }

    pub(super) fn paint(self, text: &str, tone: Tone) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Careful => "33",
            Tone::Grey => "90",
            Tone::Heading => "1",
        };
        match self.colours {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

/// The meaning of a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Bad,
    Careful,
    /// Unknown.
    Grey,
    Heading,
}

impl Tone {
    /// For an event, by the API's word.
    pub(super) fn of_event(word: &str) -> Tone {
        match word {
            "good" => Tone::Good,
            "warn" => Tone::Careful,
            "bad" => Tone::Bad,
            _ => Tone::Plain,
        }
    }

    /// For a target's health, by the API's word.
    pub(super) fn of_health(word: &str) -> Tone {
        match word {
            "healthy" => Tone::Good,
            "unhealthy" | "ejected" => Tone::Bad,
            "initial" | "draining" => Tone::Careful,
            "unchecked" => Tone::Grey,
            _ => Tone::Plain,
        }
    }
}

/// One field of a table.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(super) fn toned(text: impl AsRef<str>, tone: Tone) -> Cell {
        Cell { text: plain(text.as_ref()), tone }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::toned(text, Tone::Plain)
    }
}

/// The width of a screen that needs no widening.
const COLUMNS_MAX: usize = 99;

/// Rows under headings; headings that begin with ">" stand over numbers, aligned to the right.
#[derive(Debug)]
pub(super) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    cells: Vec<Cell>,
    /// The texts below the row, on lines of their own.
    below: Vec<Cell>,
}

impl Table {
    pub(super) fn new(headings: &[&'static str]) -> Table {
        Table { headings: headings.to_vec(), rows: Vec::new() }
    }

    pub(super) fn row<const COLUMNS: usize>(&mut self, cells: [Cell; COLUMNS]) {
        debug_assert_eq!(COLUMNS, self.headings.len());
        self.rows.push(Row { cells: cells.into(), below: Vec::new() });
    }

    /// Puts a text below the last row, on as many lines as it needs.
    pub(super) fn below(&mut self, text: &str, tone: Tone) {
        let lines = wrapped(&plain(text), COLUMNS_MAX - INDENT.len());
        let lines = lines.into_iter().map(|line| Cell::toned(format!("{INDENT}{line}"), tone));
        self.rows.last_mut().into_iter().for_each(|row| row.below.extend(lines.clone()));
    }

    /// Whether the rows fit on a screen of 100 columns.
    pub(super) fn is_narrow(&self) -> bool {
        let gaps = self.headings.len().saturating_sub(1) * 2;
        self.widths().iter().sum::<usize>() + gaps <= COLUMNS_MAX
    }

    fn widths(&self) -> Vec<usize> {
        let widest = |(column, heading): (usize, &&str)| {
            let of = |row: &Row| row.cells.get(column).map_or(0, Cell::width);
            let heading = heading.trim_start_matches('>').chars().count();
            self.rows.iter().map(of).max().unwrap_or(0).max(heading)
        };
        self.headings.iter().enumerate().map(widest).collect()
    }

    /// The table, or `nothing` as a line when it has no rows.
    pub(super) fn show(&self, style: Style, nothing: &str) -> String {
        if self.rows.is_empty() {
            return format!("{nothing}\n");
        }
        let heading = |text: &&str| Cell::toned(text.trim_start_matches('>'), Tone::Heading);
        let headings: Vec<Cell> = self.headings.iter().map(heading).collect();
        let widths = self.widths();
        let mut out = String::new();
        self.line(&headings, &widths, style, &mut out);
        for row in &self.rows {
            self.line(&row.cells, &widths, style, &mut out);
            for cell in &row.below {
                out.push_str(&style.paint(&cell.text, cell.tone));
                out.push('\n');
            }
        }
        out
    }

    fn line(&self, cells: &[Cell], widths: &[usize], style: Style, out: &mut String) {
        let mut gap = 0;
        for ((cell, width), heading) in cells.iter().zip(widths).zip(&self.headings) {
            let padding = width.saturating_sub(cell.width());
            let is_number = heading.starts_with('>');
            let before = gap + if is_number { padding } else { 0 };
            // Spaces are written before the next text, so that no line ends with them.
            if !cell.text.is_empty() {
                out.extend(std::iter::repeat_n(' ', before));
                out.push_str(&style.paint(&cell.text, cell.tone));
                gap = if is_number { 2 } else { padding + 2 };
            } else {
                gap += width + 2;
            }
        }
        out.push('\n');
    }
}

/// Stands before a text below a row.
const INDENT: &str = "  ";

/// Lines of whole words; a word that is longer has a line of its own.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Lines of "label  value", labels as wide as the longest.
pub(super) fn labelled(lines: &[(&str, String)]) -> String {
    let width = lines.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    lines.iter().map(|(label, text)| format!("{label:width$}  {}\n", plain(text))).collect()
}

#[cfg(test)]
mod tests {
    use crate::cli::ctl::table::*;

    const PLAIN: Style = Style { colours: false };

    fn example() -> Table {
        let mut table = Table::new(&["TARGET", ">WEIGHT", "HEALTH", "NOTE"]);
        table.row(["a".into(), "1".into(), Cell::toned("healthy", Tone::Good), "".into()]);
        table.row(["bücher".into(), "100".into(), "".into(), "x\x1by".into()]);
        table
    }

    #[test]
    fn columns_are_aligned_and_no_line_ends_in_spaces() {
        let expected = "\
TARGET  WEIGHT  HEALTH   NOTE
a            1  healthy
bücher     100           x y
";
        assert_eq!(example().show(PLAIN, ""), expected);
    }

    #[test]
    fn what_stands_below_a_row_is_folded_at_the_edge_of_a_screen() {
        let mut table = Table::new(&["TARGET", ">WEIGHT"]);
        table.row(["a".into(), "1".into()]);
        table.below(&"word ".repeat(40), Tone::Bad);
        table.row(["b".into(), "1".into()]);
        let shown = table.show(PLAIN, "");
        assert!(shown.lines().all(|line| line.len() < 100), "{shown}");
        assert_eq!(shown.lines().nth(5).map(str::trim), Some("b            1"), "{shown}");
        assert!(shown.lines().nth(2).is_some_and(|line| line.starts_with("  word word")));
        assert!(table.is_narrow());
        table.row(["c".repeat(92).into(), "1".into()]);
        assert!(!table.is_narrow());
    }

    #[test]
    fn colours_change_no_width() {
        let coloured = example().show(Style { colours: true }, "");
        assert!(coloured.contains("\x1b[32mhealthy\x1b[0m"));
        let mut stripped = coloured.clone();
        for code in ["\x1b[32m", "\x1b[1m", "\x1b[0m"] {
            stripped = stripped.replace(code, "");
        }
        assert_eq!(stripped, example().show(PLAIN, ""));
    }

    #[test]
    fn a_table_without_rows_says_so() {
        assert_eq!(Table::new(&["A"]).show(PLAIN, "no targets"), "no targets\n");
    }

    #[test]
    fn labels_stand_in_one_column() {
        let lines = [("engine", "io_uring".to_owned()), ("up", "3 s\x07".to_owned())];
        assert_eq!(labelled(&lines), "engine  io_uring\nup      3 s \n");
    }
}
