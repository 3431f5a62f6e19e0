//! Where the lines of a bundle come from. esbuild writes a source map; engines know nothing of such maps, so their stacks name
//! places that nobody has written. What is needed of the map goes into the bundle, where the SDK translates stacks.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::json;

/// Lines of a bundle and of the sources. Columns are left out: what is one line in the source is seldom more in the bundle.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Positions {
    files: Vec<String>,
    runs: Vec<Run>,
}

/// Consecutive lines of the bundle that are consecutive lines of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    /// in the bundle, from 1
    first: i64,
    file: i64,
    /// in the file, from 1
    line: i64,
}

/// Version 3, which is all there is.
#[derive(Deserialize)]
struct SourceMap {
    sources: Vec<String>,
    mappings: String,
}

impl Positions {
    /// # Errors
    /// A sentence when it is no source map.
    pub(super) fn of_source_map(text: &str, bundle: &str) -> Result<Self, String> {
        let map: SourceMap = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let (mut file, mut line) = (0, 0);
        let mut runs: Vec<Run> = Vec::new();
        let mut lines = bundle.lines();
        for (number, segments) in (1..).zip(map.mappings.split(';')) {
            let indent = lines.next().map_or(0, |line| line.len() - line.trim_start().len());
            let (mut begins, mut column) = (None, 0);
            for segment in segments.split(',').filter(|segment| !segment.is_empty()) {
                // column, file, line and column of it, name: each but the first as a difference to the segment before
                let fields = numbers(segment).ok_or("its mappings are no base64 VLQ")?;
                column += fields.first().copied().unwrap_or_default();
                if let [_, f, l, ..] = fields[..] {
                    (file, line) = (file + f, line + l);
                    // The space before the first word still belongs to what ended the line before.
                    if begins.is_none() || usize::try_from(column).is_ok_and(|column| column <= indent) {
                        begins = Some((file, line + 1));
                    }
                }
            }
            let Some((file, line)) = begins else { continue };
            let goes_on = runs.last().is_some_and(|run| run.file == file && run.line_at(number) == line);
            if !goes_on {
                runs.push(Run { first: number, file, line });
            }
        }
        Ok(Self { files: map.sources.iter().map(|source| beside(source)).collect(), runs })
    }

    /// A statement that leaves the table where the SDK looks for it.
    pub(super) fn script(&self) -> String {
        let lines: Vec<_> = self.runs.iter().map(|run| (run.first, run.file, run.line)).collect();
        format!("globalThis.millstreamPositions = {};\n", json!({ "files": self.files, "lines": lines }))
    }

    /// Text of an engine's tool, with the places in the bundle as places in the sources.
    pub(super) fn in_sources(&self, text: &str, bundle: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(found) = rest.find(bundle) {
            let (before, after) = (&rest[..found], &rest[found + bundle.len()..]);
            let place = after.strip_prefix(':').and_then(|after| {
                let (line, tail) = digits(after)?;
                let tail = tail.strip_prefix(':').and_then(digits).map_or(tail, |(_, tail)| tail);
                Some((self.source(line)?, tail))
            });
            match place {
                Some(((file, line), tail)) => {
                    // With the folder that stands before the name.
                    let word = before.rfind(|c: char| c.is_whitespace() || "(@'\"`".contains(c));
                    out.push_str(word.map_or("", |at| &before[..=at]));
                    let _ = write!(out, "{file}:{line}");
                    rest = tail;
                }
                None => {
                    out.push_str(&rest[..found + bundle.len()]);
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        out
    }

    fn source(&self, number: i64) -> Option<(&str, i64)> {
        let run = self.runs.iter().rfind(|run| run.first <= number)?;
        let file = self.files.get(usize::try_from(run.file).ok()?)?;
        Some((file, run.line_at(number)))
    }
}

impl Run {
    /// The line of the file at a line of the bundle.
    fn line_at(&self, number: i64) -> i64 {
        number - self.first + self.line
    }
}

/// A source as it is seen from the project's folder: the map names it as seen from `build/`.
fn beside(source: &str) -> String {
    source.strip_prefix("../").unwrap_or(source).to_owned()
}

fn digits(text: &str) -> Option<(i64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// Base64 VLQ: six bits a character, of which one says that more follow; the lowest bit of a number is its sign.
fn numbers(segment: &str) -> Option<Vec<i64>> {
    let mut numbers = Vec::new();
    let (mut value, mut shift) = (0i64, 0);
    for byte in segment.bytes() {
        let six = i64::from(match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        });
        value |= (six & 31).checked_shl(shift)?;
        shift += 5;
        if six & 32 == 0 {
            numbers.push(if value & 1 == 1 { -(value >> 1) } else { value >> 1 });
            (value, shift) = (0, 0);
        }
    }
    (shift == 0).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of esbuild: a comment, three lines of an SDK, a comment, then two lines of the code whose type stood between them.
    const MAP: &str = r#"{"version": 3, "sources": ["../sdk/millstream.js", "../src/index.ts"],
        "mappings": ";AAQA,SAAS;AACT;AACA;;ACAA,IAAI;AAAI,EAGR"}"#;
    const BUNDLE: &str =
        "// sdk/millstream.js\nfunction f() {\n  g();\n}\n// src/index.ts\nvar a = {\n  b: f\n";

    #[test]
    fn numbers_are_read_as_the_format_has_them() {
        assert_eq!(numbers("AAgBC"), Some(vec![0, 0, 16, 1]));
        assert_eq!(numbers("D+/////D"), Some(vec![-1, 2_147_483_647]));
        assert_eq!((numbers("g"), numbers("?")), (None, None));
    }

    #[test]
    fn lines_of_a_bundle_are_found_in_their_files() {
        let positions = Positions::of_source_map(MAP, BUNDLE).unwrap();
        assert_eq!(positions.source(1), None);
        assert_eq!(positions.source(2), Some(("sdk/millstream.js", 9)));
        assert_eq!(positions.source(4), Some(("sdk/millstream.js", 11)));
        assert_eq!(positions.source(6), Some(("src/index.ts", 11)));
        assert_eq!(positions.source(7), Some(("src/index.ts", 14)));
        assert!(positions.script().contains(r#""lines":[[2,0,9],[6,1,11],[7,1,14]]"#));
        assert!(Positions::of_source_map(r#"{"sources": [], "mappings": "%"}"#, "").is_err());
    }

    #[test]
    fn places_in_a_tools_text_are_those_of_the_sources() {
        let positions = Positions::of_source_map(MAP, BUNDLE).unwrap();
        let text =
            "Error: at load\n    at <anonymous> (/build/a.js:6:11)\n    at f (native)\nsee a.js, a.js:1:1";
        let told =
            "Error: at load\n    at <anonymous> (src/index.ts:11)\n    at f (native)\nsee a.js, a.js:1:1";
        assert_eq!(positions.in_sources(text, "a.js"), told);
    }
}
