//! The `producers` custom sections of a binary, wherever they are nested. Only section headers are read; anything that
//! does not fit is passed over, for this is information, not validation.
//!
//! Source: the core specification's "Binary Format" and tool-conventions' "ProducersSection".

/// How deep components nest modules: wit-component's two levels, with room.
const DEPTH_MAX: usize = 8;
/// Tools that are listed, and bytes of a name or version; a longer one is none.
const PRODUCERS_MAX: usize = 32;
const WORD_BYTES_MAX: usize = 128;

const CUSTOM: u8 = 0;
const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;

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
