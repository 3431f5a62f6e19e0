//! The sections of a binary that we know: custom ones, `producers` and our own, wherever they are nested, and a component's
//! imports. Only section headers are read; anything that does not fit is passed over, for this is information, not validation.
//!
//! Source: the core specification's "Binary Format" and tool-conventions' "ProducersSection".

use std::ops::Range;

/// How deep components nest modules: wit-component's two levels, with room.
const DEPTH_MAX: usize = 8;
/// Tools that are listed, and bytes of a name or version; a longer one is none.
const PRODUCERS_MAX: usize = 32;
const WORD_BYTES_MAX: usize = 128;

const CUSTOM: u8 = 0;
const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;
/// of a component; in a core module this is the code
const IMPORTS: u8 = 10;

/// `name version` of every tool named, each once, in order.
pub(super) fn producers(binary: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    walk(binary, DEPTH_MAX, &mut found);
    found
}

fn walk(binary: &[u8], depth: usize, found: &mut Vec<String>) {
    let is_component = binary.get(4) == Some(&0x0d);
    let mut rest = Reader(binary.get(8..).unwrap_or_default());
    while let Some((id, body)) = rest.section() {
        match id {
            CUSTOM => custom(body, found),
            CORE_MODULE | COMPONENT if is_component && depth > 0 => walk(body, depth - 1, found),
            _ => {}
        }
    }
}

/// The last section, if it ends behind the binary: the bytes that it announces, and those that are there.
pub(super) fn cut_short(binary: &[u8]) -> Option<(usize, usize)> {
    let mut rest = Reader(binary.get(8..)?);
    loop {
        let mut header = Reader(rest.0);
        header.take(1)?;
        let announced = header.number()?;
        if announced > header.0.len() {
            return Some((announced, header.0.len()));
        }
        rest.section()?;
    }
}

/// Where a component's own imports are: their names, and types by number.
pub fn import_sections(component: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut rest = Reader(component.get(8..).unwrap_or_default());
    while let Some((id, body)) = rest.section() {
        let end = component.len() - rest.0.len();
        if id == IMPORTS {
            found.push(end - body.len()..end);
        }
    }
    found
}

/// The contents of the custom sections with a name: those of the binary itself, and those of what is nested in it.
pub(super) fn named<'a>(binary: &'a [u8], name: &str) -> (Vec<&'a [u8]>, Vec<&'a [u8]>) {
    let mut found = Vec::new();
    collect(binary, name, 0, &mut found);
    let (own, inner): (Vec<_>, Vec<_>) = found.into_iter().partition(|(depth, _)| *depth == 0);
    let contents = |found: Vec<(usize, &'a [u8])>| found.into_iter().map(|(_, content)| content).collect();
    (contents(own), contents(inner))
}

fn collect<'a>(binary: &'a [u8], name: &str, depth: usize, found: &mut Vec<(usize, &'a [u8])>) {
    let is_component = binary.get(4) == Some(&0x0d);
    let mut rest = Reader(binary.get(8..).unwrap_or_default());
    while let Some((id, body)) = rest.section() {
        let mut reader = Reader(body);
        match id {
            CUSTOM if reader.name() == Some(name) => found.push((depth, reader.0)),
            CORE_MODULE | COMPONENT if is_component && depth < DEPTH_MAX => {
                collect(body, name, depth + 1, found);
            }
            _ => {}
        }
    }
}

/// The binary with one custom section of this name, at its end, instead of those that it has itself.
pub(in crate::wasm) fn with_section(binary: &[u8], name: &str, content: &[u8]) -> Vec<u8> {
    let (header, body) = binary.split_at(binary.len().min(8));
    let mut out = header.to_vec();
    let mut rest = Reader(body);
    loop {
        let before = rest.0;
        let Some((id, section)) = rest.section() else {
            // What is no section stays as it is.
            out.extend_from_slice(before);
            break;
        };
        if id != CUSTOM || Reader(section).name() != Some(name) {
            out.extend_from_slice(&before[..before.len() - rest.0.len()]);
        }
    }
    let mut section = leb(name.len());
    section.extend_from_slice(name.as_bytes());
    section.extend_from_slice(content);
    out.push(CUSTOM);
    out.extend(leb(section.len()));
    out.extend(section);
    out
}

/// LEB128, unsigned.
fn leb(mut number: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

fn custom(body: &[u8], found: &mut Vec<String>) {
    let mut reader = Reader(body);
    if reader.name() == Some("producers") {
        let _ = fields(&mut reader, found);
    }
}

/// A list of fields (`language`, `processed-by`, `sdk`), each a list of name and version.
fn fields(reader: &mut Reader<'_>, found: &mut Vec<String>) -> Option<()> {
    for _ in 0..reader.number()? {
        reader.name()?;
        for _ in 0..reader.number()? {
            let (name, version) = (reader.name()?, reader.name()?);
            if found.len() >= PRODUCERS_MAX || name.len().max(version.len()) > WORD_BYTES_MAX {
                continue;
            }
            let tool = format!("{name} {version}").trim_end().to_owned();
            if !found.contains(&tool) {
                found.push(tool);
            }
        }
    }
    Some(())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    /// LEB128, 32 bits.
    fn number(&mut self) -> Option<usize> {
        let mut value = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(value).ok();
            }
        }
        None
    }

    fn name(&mut self) -> Option<&'a str> {
        let len = self.number()?;
        std::str::from_utf8(self.take(len)?).ok()
    }

    fn section(&mut self) -> Option<(u8, &'a [u8])> {
        let id = self.take(1)?[0];
        let len = self.number()?;
        Some((id, self.take(len)?))
    }
}
