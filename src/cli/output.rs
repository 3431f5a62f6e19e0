//! How answers are shown: a table on a terminal, JSON for programs, YAML when asked. Lists become one object a line when
//! nobody says otherwise and no terminal is there.

use std::borrow::Cow;
use std::io::{IsTerminal as _, Write as _};

use comfy_table::{ContentArrangement, Table};
use serde_json::Value;

use super::failure::Failure;
use super::template::Template;

/// What `-o` asks for.
#[derive(Debug, Clone)]
pub(super) enum Format {
    /// for people
    Table,
    /// one indented document; a list is an array
    Json,
    /// one document
    Yaml,
    /// one object a line
    Ndjson,
    /// consume: values as they are, a line feed after each
    Raw,
    /// consume: a format string
    Template(Template),
}

impl Format {
    /// Reads a name or a format string.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "table" | "wide" => Self::Table,
            "json" => Self::Json,
            "yaml" => Self::Yaml,
            "ndjson" | "jsonl" => Self::Ndjson,
            "raw" => Self::Raw,
            text if text.contains(['%', '\\']) => Self::Template(Template::parse(text)?),
            _ => {
                return Err(
                    "expected table, json, yaml, ndjson, raw or a format string such as '%k %v\\n'".into()
                );
            }
        })
    }
}

/// A column of a table: its title, and the text of one row's cell.
pub(super) type Column = (&'static str, fn(&Value) -> String);

/// Where things are shown.
pub(super) struct Output {
    pub(super) format: Option<Format>,
    pub(super) stdout_is_terminal: bool,
    pub(super) stderr_is_terminal: bool,
    pub(super) quiet: bool,
}

// === impl Output ===

impl Output {
    pub(super) fn new(format: Option<Format>, quiet: bool) -> Self {
        let stdout_is_terminal = std::io::stdout().is_terminal();
        let stderr_is_terminal = std::io::stderr().is_terminal();
        Self { format, stdout_is_terminal, stderr_is_terminal, quiet }
    }

    /// Something that the user should know, beside the data.
    pub(super) fn hint(&self, text: impl AsRef<str>) {
        if !self.quiet {
            let text = text.as_ref();
            eprintln!("{}", if self.stderr_is_terminal { harmless(text) } else { text.into() });
        }
    }

    /// May progress be drawn?
    pub(super) fn draws_progress(&self) -> bool {
        self.stderr_is_terminal && !self.quiet
    }

    /// Shows a list.
    pub(super) fn list(&self, items: &[Value], columns: &[Column]) -> Result<(), Failure> {
        match self.format_or(if self.stdout_is_terminal { Format::Table } else { Format::Ndjson })? {
            Format::Table if items.is_empty() => {
                self.hint("nothing there");
                Ok(())
            }
            Format::Table => self.text(&render_table(items, columns)),
            Format::Json => self.text(&format!("{:#}\n", Value::Array(items.to_vec()))),
            Format::Yaml => self.text(&yaml(&Value::Array(items.to_vec()))?),
            _ => items.iter().try_for_each(|item| self.text(&format!("{item}\n"))),
        }
    }

    /// Shows one thing. `human` makes what a terminal shows.
    pub(super) fn one(&self, value: &Value, human: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        match self.format_or(if self.stdout_is_terminal { Format::Table } else { Format::Json })? {
            Format::Table => self.text(&human(value)),
            Format::Yaml => self.text(&yaml(value)?),
            Format::Ndjson => self.text(&format!("{value}\n")),
            _ => self.text(&format!("{value:#}\n")),
        }
    }

    /// After a change: the new state for programs, a line for people.
    pub(super) fn done(&self, value: &Value, line: &str) -> Result<(), Failure> {
        if self.format.is_none() {
            self.hint(line);
            return Ok(());
        }
        self.one(value, |_| format!("{line}\n"))
    }

    fn format_or(&self, default: Format) -> Result<Format, Failure> {
        match self.format.clone().unwrap_or(default) {
            Format::Raw | Format::Template(_) => Err(Failure::Usage(
                "raw and format strings are for records; use table, json, yaml or ndjson".into(),
            )),
            format => Ok(format),
        }
    }

    /// Writes text to stdout.
    pub(super) fn text(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Writes bytes to stdout at once; on a terminal without what it would obey, unless `-o raw` asks for it.
    pub(super) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        if self.stdout_is_terminal && !matches!(self.format, Some(Format::Raw)) {
            return Self::write(harmless(&String::from_utf8_lossy(bytes)).as_bytes());
        }
        Self::write(bytes)
    }

    fn write(bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|e| Failure::write(&e))
    }
}

/// Without control characters that would make the reader's terminal do things: `\u{1b}` is shown as these six letters.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(obeyed) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if obeyed(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown.into()
}

fn yaml(value: &Value) -> Result<String, Failure> {
    serde_norway::to_string(value).map_err(|e| Failure::local("cannot write YAML", e))
}

/// A table without lines, as wide as its content.
pub(super) fn render_table(items: &[Value], columns: &[Column]) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|c| c.0));
    for item in items {
        table.add_row(columns.iter().map(|c| first_line((c.1)(item))));
    }
    // Every cell has a blank on its left.
    let lines =
        table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned() + "\n");
    lines.collect()
}

/// What a cell shows of a text with several lines.
fn first_line(text: String) -> String {
    match text.split_once('\n') {
        Some((first, _)) => format!("{} …", first.trim_end()),
        None => text,
    }
}

/// `name  value` lines with the values in one column, those with several lines too; empty values are left out.
pub(super) fn render_fields(fields: &[(&str, String)]) -> String {
    let shown = || fields.iter().filter(|f| !f.1.is_empty());
    let width = shown().map(|f| f.0.len()).max().unwrap_or(0);
    let indented = |value: &str| value.trim_end().replace('\n', &format!("\n{:width$}  ", ""));
    shown().map(|(name, value)| format!("{name:width$}  {}\n", indented(value))).collect()
}

/// The value at a JSON pointer as text for people; empty when it is missing or null.
pub(super) fn at(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).map_or_else(String::new, plain)
}

/// The first of these that is there.
pub(super) fn first(value: &Value, pointers: &[&str]) -> String {
    pointers.iter().map(|p| at(value, p)).find(|text| !text.is_empty()).unwrap_or_default()
}

/// Text without quotes, lists with commas.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// `1,234,567`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 record`, `2,000 records`.
pub(super) fn record_count(number: u64) -> String {
    format!("{} record{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// A number at a pointer, with commas; empty when there is none.
pub(super) fn count(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_u64).map(thousands).unwrap_or_default()
}

/// A byte count at a pointer with one decimal: `12.3 MiB`.
pub(super) fn size(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_u64).map(human_bytes).unwrap_or_default()
}

/// `12.3 MiB`.
pub(super) fn human_bytes(bytes: u64) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|u| bytes >= u.1) {
        Some((unit, factor)) => format!("{:.1} {unit}", bytes as f64 / factor as f64),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn formats_are_told_from_typing_errors() {
        assert!(matches!(Format::parse("ndjson"), Ok(Format::Ndjson)));
        assert!(matches!(Format::parse("%k %v\\n"), Ok(Format::Template(_))));
        assert!(Format::parse("jsn").unwrap_err().starts_with("expected table, json"));
    }

    #[test]
    fn tables_have_no_lines_and_no_trailing_blanks() {
        let columns: [Column; 2] = [("NAME", |v| at(v, "/name")), ("BYTES", |v| size(v, "/bytes"))];
        let items = [json!({"name": "clicks", "bytes": 1536}), json!({"name": "x"})];
        assert_eq!(render_table(&items, &columns), "NAME    BYTES\nclicks  1.5 KiB\nx\n");
    }

    #[test]
    fn a_row_whose_first_cell_is_empty_stays_in_its_columns_and_is_one_line() {
        let columns: [Column; 2] = [("NAME", |v| at(v, "/name")), ("LAST ERROR", |v| at(v, "/error"))];
        let items = [json!({"name": "clicks"}), json!({"error": "panicked at a.rs:1:\nno price\n"})];
        let expected = "NAME    LAST ERROR\nclicks\n        panicked at a.rs:1: …\n";
        assert_eq!(render_table(&items, &columns), expected);
    }

    #[test]
    fn a_field_with_several_lines_keeps_to_its_column() {
        let fields = [("name", "m".to_owned()), ("params", "a: string\nb: enum\n".to_owned())];
        assert_eq!(render_fields(&fields), "name    m\nparams  a: string\n        b: enum\n");
    }

    #[test]
    fn fields_line_up_and_empty_ones_are_left_out() {
        let fields = [("name", "a".to_owned()), ("kind", String::new()), ("partitions", "4".to_owned())];
        assert_eq!(render_fields(&fields), "name        a\npartitions  4\n");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([record_count(1), record_count(2000)], ["1 record", "2,000 records"]);
        assert_eq!(human_bytes(3 << 30), "3.0 GiB");
    }
}
