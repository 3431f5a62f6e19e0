//! Format strings for records, such as `'%k %v\n'`.

use super::consume::Record;

/// Help for the format string.
pub(super) const HELP: &str = "Format strings: %t topic, %p partition, %o offset, %k key, %v value, %T timestamp in ms, \
    %d date, %h headers, %K and %V lengths, %% a percent sign; \\n \\t \\r \\0 \\\\.";

/// A parsed format string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Topic,
    Partition,
    Offset,
    Key,
    Value,
    Timestamp,
    Date,
    Headers,
    KeyLength,
    ValueLength,
}

impl Template {
    /// Reads a format string.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => plain.push(escape(chars.next())?),
                '%' => match directive(chars.next())? {
                    None => plain.push('%'),
                    Some(part) => {
                        if !plain.is_empty() {
                            parts.push(Part::Text(std::mem::take(&mut plain)));
                        }
                        parts.push(part);
                    }
                },
                c => plain.push(c),
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// Appends the record's text; keys and values byte by byte as they are, null as nothing.
    pub(super) fn render(&self, record: &Record, out: &mut Vec<u8>) {
        let length =
            |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or_else(|| "-1".to_owned(), |b| b.len().to_string());
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Topic => out.extend_from_slice(record.topic.as_bytes()),
                Part::Partition => out.extend_from_slice(record.partition.to_string().as_bytes()),
                Part::Offset => out.extend_from_slice(record.offset.to_string().as_bytes()),
                Part::Key => out.extend_from_slice(record.key.as_deref().unwrap_or_default()),
                Part::Value => out.extend_from_slice(record.value.as_deref().unwrap_or_default()),
                Part::Timestamp => out.extend_from_slice(record.timestamp.to_string().as_bytes()),
                Part::Date => out.extend_from_slice(date(record.timestamp).as_bytes()),
                Part::Headers => out.extend_from_slice(record.headers.as_bytes()),
                Part::KeyLength => out.extend_from_slice(length(&record.key).as_bytes()),
                Part::ValueLength => out.extend_from_slice(length(&record.value).as_bytes()),
            }
        }
    }
}

fn escape(c: Option<char>) -> Result<char, String> {
    match c {
        Some('n') => Ok('\n'),
        Some('t') => Ok('\t'),
        Some('r') => Ok('\r'),
        Some('0') => Ok('\0'),
        Some('\\') => Ok('\\'),
        Some(c) => Err(format!("`\\{c}` means nothing here; {HELP}")),
        None => Err(format!("a lone `\\` at the end; {HELP}")),
    }
}

/// `None`: a literal percent sign.
fn directive(c: Option<char>) -> Result<Option<Part>, String> {
    Ok(Some(match c {
        Some('%') => return Ok(None),
        Some('t') => Part::Topic,
        Some('p') => Part::Partition,
        Some('o') => Part::Offset,
        Some('k') => Part::Key,
        Some('v' | 's') => Part::Value,
        Some('T') => Part::Timestamp,
        Some('d') => Part::Date,
        Some('h') => Part::Headers,
        Some('K') => Part::KeyLength,
        Some('V' | 'S') => Part::ValueLength,
        Some(c) => return Err(format!("`%{c}` means nothing here; {HELP}")),
        None => return Err(format!("a lone `%` at the end; {HELP}")),
    }))
}

/// RFC 3339 with milliseconds; the number itself outside the years that have a calendar.
pub(super) fn date(timestamp_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(timestamp_ms)
        .map_or_else(|_| timestamp_ms.to_string(), |t| format!("{t:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            topic: "clicks".into(),
            partition: 3,
            offset: 17,
            timestamp: 1_795_346_400_000,
            key: Some(b"u1".to_vec()),
            value: None,
            headers: "source=web".into(),
        }
    }

    fn render(text: &str) -> Result<String, String> {
        let mut out = Vec::new();
        Template::parse(text)?.render(&record(), &mut out);
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_directive_is_rendered() {
        assert_eq!(
            render("%t/%p/%o %k=%v%% %K %V\\t%h\\n"),
            Ok("clicks/3/17 u1=% 2 -1\tsource=web\n".into())
        );
        assert_eq!(render("%T %d"), Ok("1795346400000 2026-11-22T11:20:00.000Z".into()));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for bad in ["%x", "%", "\\q", "\\"] {
            assert!(render(bad).is_err(), "{bad}");
        }
    }
}
