//! Golden files: records as lines of JSON, what goes in and what has to come out. A line of input is a record as produce
//! takes it, and may name its place; a line of output is what would be stored, a rejection, or an error. Values stand as
//! JSON where they are JSON, else as `value_text`, else as `value_base64`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use crate::http::json_text::compact;
use crate::http::samples::{Line, members, string};
use crate::model::Offset;
use crate::pipelines::dry_run::{Entry, Sample};

/// One test: `NAME.in.ndjson` and `NAME.out.ndjson`, and what code that goes out is answered in `NAME.answers.ndjson`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Golden {
    pub(super) name: String,
    pub(super) input: PathBuf,
    /// is not there where nothing needs to be said
    pub(super) answers: PathBuf,
    pub(super) output: PathBuf,
}

/// The tests in a folder, by name.
pub(super) fn find(folder: &Path) -> std::io::Result<Vec<Golden>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let input = entry?.path();
        let file = input.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(name) = file.strip_suffix(".in.ndjson") {
            let output = folder.join(format!("{name}.out.ndjson"));
            let answers = folder.join(format!("{name}.answers.ndjson"));
            found.push(Golden { name: name.to_owned(), input, answers, output });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The records of an input file, each with its line number. `topics` are the deployment's inputs.
///
/// # Errors
/// The first wrong line, and what is wrong.
pub(super) fn samples(text: &str, topics: &[String]) -> Result<Vec<(usize, Sample)>, String> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let parsed = lines.enumerate().map(|(index, (number, line))| {
        let sample = sample(line, index as Offset, topics).map_err(|why| format!("line {number}: {why}"))?;
        Ok((number, sample))
    });
    parsed.collect()
}

fn sample(line: &str, index: Offset, topics: &[String]) -> Result<Sample, String> {
    let mut line: Line = serde_json::from_str(line).map_err(|e| e.to_string())?;
    let record = line.record()?;
    let topic = match line.topic {
        None => 0,
        Some(topic) => topics
            .iter()
            .position(|t| *t == topic)
            .ok_or_else(|| format!("`{topic}` is no input of deploy.yaml; it has {}", topics.join(", ")))?,
    };
    Ok(Sample {
        topic: u32::try_from(topic).unwrap_or_default(),
        partition: line.partition.unwrap_or_default(),
        offset: line.offset.unwrap_or(index),
        record,
    })
}

/// A line of output, without the line feed.
pub(super) fn line(entry: &Entry) -> String {
    match entry {
        Entry::Rejected(reason) => format!("{{\"reject\":{}}}", string(reason)),
        Entry::Failed(reason) => format!("{{\"error\":{}}}", string(reason)),
        Entry::Stored { route, record, timestamp, .. } => {
            let topic = route.as_ref().map(|route| format!("\"topic\":{},", string(route)));
            format!("{{{}{}}}", topic.unwrap_or_default(), members(record, *timestamp))
        }
    }
}

/// The lines of a file as this module writes them: without blank lines and space between tokens.
pub(super) fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| match serde_json::from_str::<&RawValue>(line) {
            Ok(json) => compact(json.get()).into_owned(),
            Err(_) => line.to_owned(),
        })
        .collect()
}

/// What differs, as `diff -u` marks it; `None`: nothing. A long run of equal lines is counted.
pub(super) fn diff(expected: &[String], found: &[String]) -> Option<String> {
    if expected == found {
        return None;
    }
    /// Equal lines shown beside a difference.
    const CONTEXT: usize = 2;
    let marked = marked(expected, found);
    let near = |at: usize| {
        let around = at.saturating_sub(CONTEXT)..(at + CONTEXT + 1).min(marked.len());
        marked[around].iter().any(|(mark, _)| *mark != ' ')
    };
    let mut out = String::new();
    let mut hidden = 0;
    for (at, (mark, line)) in marked.iter().enumerate() {
        if !near(at) {
            hidden += 1;
            continue;
        }
        if hidden > 0 {
            let _ = writeln!(out, "    … {hidden} equal");
            hidden = 0;
        }
        let _ = writeln!(out, "  {mark} {line}");
    }
    if hidden > 0 {
        let _ = writeln!(out, "    … {hidden} equal");
    }
    Some(out)
}

/// `-`: only expected, `+`: only found. The longest common subsequence stays, if the files are not too long for it.
fn marked<'a>(expected: &'a [String], found: &'a [String]) -> Vec<(char, &'a str)> {
    /// Steps of the comparison: 4 MiB of table.
    const STEPS_MAX: usize = 1 << 20;
    let begin = expected.iter().zip(found).take_while(|(a, b)| a == b).count();
    let (a, b) = (&expected[begin..], &found[begin..]);
    let end = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b, tail) = (&a[..a.len() - end], &b[..b.len() - end], &a[a.len() - end..]);

    let mut out: Vec<_> = expected[..begin].iter().map(|line| (' ', line.as_str())).collect();
    let (mut i, mut j) = (0, 0);
    if a.len() * b.len() <= STEPS_MAX {
        // length[i][j]: of the longest common subsequence of a[i..] and b[j..]
        let mut length = vec![vec![0u32; b.len() + 1]; a.len() + 1];
        for i in (0..a.len()).rev() {
            for j in (0..b.len()).rev() {
                length[i][j] = if a[i] == b[j] {
                    length[i + 1][j + 1] + 1
                } else {
                    length[i + 1][j].max(length[i][j + 1])
                };
            }
        }
        while i < a.len() && j < b.len() {
            if a[i] == b[j] {
                out.push((' ', &a[i]));
                (i, j) = (i + 1, j + 1);
            } else if length[i + 1][j] >= length[i][j + 1] {
                out.push(('-', &a[i]));
                i += 1;
            } else {
                out.push(('+', &b[j]));
                j += 1;
            }
        }
    }
    out.extend(a[i..].iter().map(|line| ('-', line.as_str())));
    out.extend(b[j..].iter().map(|line| ('+', line.as_str())));
    out.extend(tail.iter().map(|line| (' ', line.as_str())));
    out
}

#[cfg(test)]
#[path = "golden/tests.rs"]
mod tests;
