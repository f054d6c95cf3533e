//! What a command prints: tables for people, JSON for programs, messages beside both.
//!
//! Its own file, because "data on stdout, messages on stderr" holds only where nobody prints by himself.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::exit::Failure;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Table,
    Json,
}

pub struct Output {
    format: Format,
    /// Asked for by name: then failures are JSON, too.
    asked_for_json: bool,
    colours: bool,
    pub is_terminal: bool,
}

/// A colour that carries a meaning.
#[derive(Clone, Copy)]
pub enum Paint {
    Good,
    Bad,
    Faint,
}

impl Output {
    pub fn new(format: Option<Format>, no_color: bool) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let no_color =
            no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            format: format.unwrap_or(if is_terminal {
                Format::Table
            } else {
                Format::Json
            }),
            asked_for_json: format == Some(Format::Json),
            colours: is_terminal && !no_color,
            is_terminal,
        }
    }

    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Prints the data as JSON, or what `table` makes of it.
    pub fn data<T: Serialize>(
        &self,
        data: &T,
        table: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        let text = match self.format {
            Format::Json => serde_json::to_string_pretty(data).map_err(anyhow::Error::from)? + "\n",
            Format::Table => table(data),
        };
        self.raw(text.as_bytes())
    }

    /// A reader that has gone away, such as `head`, is no failure.
    pub fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(fault) if fault.kind() != io::ErrorKind::BrokenPipe => {
                Err(anyhow::Error::from(fault).into())
            }
            _ => Ok(()),
        }
    }

    /// One line to the person, beside the data.
    pub fn say(&self, message: &str) {
        let _ = writeln!(io::stderr(), "{}", printable(message));
    }

    pub fn failure(&self, failure: &Failure) {
        if self.asked_for_json {
            let _ = writeln!(io::stderr(), "{}", failure.problem());
            return;
        }
        match failure {
            Failure::Usage(what) => {
                self.say(&format!("error: {what}"));
                self.say("For more information, try '--help'.");
            }
            Failure::Refused(problem) => {
                self.say(&format!("error: {}", problem.detail));
                for fault in problem
                    .more
                    .get("errors")
                    .and_then(|list| list.as_array())
                    .into_iter()
                    .flatten()
                {
                    self.say(&format!(
                        "  row {}: {}",
                        fault["row"],
                        fault["fault"].as_str().unwrap_or_default()
                    ));
                }
                for fault in problem
                    .more
                    .get("faults")
                    .and_then(|list| list.as_array())
                    .into_iter()
                    .flatten()
                {
                    let text = |name: &str| fault[name].as_str().unwrap_or_default().to_owned();
                    self.say(&format!("  wave {}: {}", text("wave"), text("fault")));
                }
                if let Some(hint) = &problem.hint {
                    self.say(&format!("next: {hint}"));
                }
            }
            Failure::Unreachable { what, hint } => {
                self.say(&format!("error: {what}"));
                self.say(&format!("next: {hint}"));
            }
            Failure::Other(error) => self.say(&format!("error: {error:#}")),
        }
    }

    pub fn paint(&self, paint: Paint, text: &str) -> String {
        let code = match paint {
            _ if !self.colours => return text.to_owned(),
            Paint::Good => 32,
            Paint::Bad => 31,
            Paint::Faint => 2,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Columns under their titles, as wide as their widest cell.
    pub fn table(&self, titles: &[&str], rows: &[Vec<String>]) -> String {
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| row.iter().map(|cell| printable(cell)).collect())
            .collect();
        let width = |column: usize| {
            let cells = rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count());
            cells.chain([titles[column].len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..titles.len()).map(width).collect();
        let line = |cells: &[String]| {
            let padded = cells
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:width$}"));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let titles: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
        let mut text = self.paint(Paint::Faint, &line(&titles)) + "\n";
        for row in &rows {
            text += &line(row);
            text.push('\n');
        }
        text
    }
}

/// Without control characters: a tenant's name must not move the cursor of a terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// A text that may be missing.
pub fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Milliseconds as a person reads them.
pub fn duration(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms if ms < 120_000.0 => format!("{:.1} s", ms / 1000.0),
        ms if ms < 7_200_000.0 => format!("{:.0} min", ms / 60_000.0),
        ms if ms < 172_800_000.0 => format!("{:.0} h", ms / 3_600_000.0),
        ms => format!("{:.0} d", ms / 86_400_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Output {
        Output {
            format: Format::Table,
            asked_for_json: false,
            colours: false,
            is_terminal: false,
        }
    }

    #[test]
    fn columns_line_up_and_lines_end_without_spaces() {
        let rows = [
            vec!["1".into(), "acme".into()],
            vec!["1000".into(), String::new()],
        ];
        assert_eq!(
            plain().table(&["ID", "SLUG"], &rows),
            "ID    SLUG\n1     acme\n1000\n"
        );
    }

    #[test]
    fn a_name_cannot_send_escape_codes_to_a_terminal() {
        let rows = [vec!["\x1b[2Jx".into()]];
        assert!(!plain().table(&["NAME"], &rows).contains('\x1b'));
    }

    #[test]
    fn without_colours_paint_leaves_the_text_as_it_is() {
        assert_eq!(plain().paint(Paint::Bad, "dead"), "dead");
        assert_eq!(
            Output {
                colours: true,
                ..plain()
            }
            .paint(Paint::Bad, "dead"),
            "\x1b[31mdead\x1b[0m"
        );
    }

    #[test]
    fn times_are_read_at_a_glance() {
        assert_eq!(duration(1.23), "1.2 ms");
        assert_eq!(duration(14.0), "14 ms");
        assert_eq!(duration(35_200.0), "35.2 s");
        assert_eq!(duration(7_300_000.0), "2 h");
    }
}
