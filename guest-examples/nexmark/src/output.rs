//! Rows of results, in the form of the events.

use millstream_sdk::Output;

use crate::{binary, json};

/// The form of events and results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Binary,
}

/// A field of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Field<'a> {
    Number(u64),
    /// a number with three decimals, in thousandths
    Milli(u64),
    Text(&'a [u8]),
    Null,
}

pub(crate) use Field::{Milli, Null, Number, Text};

/// The results of a call.
#[derive(Debug)]
pub(crate) struct Out {
    format: Format,
    pub(crate) rows: Vec<Output>,
}

// === impl Out ===

impl Out {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, rows: Vec::new() }
    }

    /// A row that comes from one event, with its key.
    pub(crate) fn append(&mut self, index: usize, fields: &[(&str, Field<'_>)]) {
        let value = self.format.row(fields);
        self.rows.push(Output::new().source(index).value(value));
    }

    /// A row of a window's final result: it has the last moment of the window as its time.
    pub(crate) fn result(&mut self, end: i64, fields: &[(&str, Field<'_>)]) {
        let value = self.format.row(fields);
        self.rows.push(Output::new().value(value).timestamp(end - 1));
    }

    /// A row that takes the place of an earlier one with this key.
    pub(crate) fn update(&mut self, key: &[Field<'_>], fields: &[(&str, Field<'_>)]) {
        let (key, value) = (self.format.key(key), self.format.row(fields));
        self.rows.push(Output::new().key(key).value(value));
    }
}

// === impl Format ===

impl Format {
    fn row(self, fields: &[(&str, Field<'_>)]) -> Vec<u8> {
        let text = |field: &Field<'_>| if let Text(text) = field { text.len() } else { 0 };
        // A number has at most 20 digits, a name about as many letters.
        let size = fields.iter().map(|(_, field)| text(field) + 40).sum();
        let mut row = Vec::with_capacity(size);
        match self {
            Self::Binary => fields.iter().for_each(|(_, field)| field.put_binary(&mut row)),
            Self::Json => {
                for (n, (name, field)) in fields.iter().enumerate() {
                    row.extend_from_slice(if n == 0 { b"{\"" } else { b",\"" });
                    row.extend_from_slice(name.as_bytes());
                    row.extend_from_slice(b"\":");
                    field.put_json(&mut row);
                }
                row.push(b'}');
            }
        }
        row
    }

    /// The fields of a key: with colons between, or one after the other.
    fn key(self, fields: &[Field<'_>]) -> Vec<u8> {
        let mut key = Vec::with_capacity(fields.len() * 16);
        for (n, field) in fields.iter().enumerate() {
            match (self, field) {
                (Self::Binary, _) => field.put_binary(&mut key),
                (Self::Json, field) => {
                    if n > 0 {
                        key.push(b':');
                    }
                    match field {
                        Text(text) => key.extend_from_slice(text),
                        _ => field.put_json(&mut key),
                    }
                }
            }
        }
        key
    }
}

// === impl Field ===

impl Field<'_> {
    fn put_binary(self, to: &mut Vec<u8>) {
        match self {
            Number(number) | Milli(number) => binary::number(number, to),
            Text(text) => binary::text(text, to),
            Null => to.extend_from_slice(&binary::NULL.to_le_bytes()),
        }
    }

    fn put_json(self, to: &mut Vec<u8>) {
        match self {
            Number(number) => put_decimal(number, to),
            Milli(thousandths) => {
                put_decimal(thousandths / 1000, to);
                let rest = (thousandths % 1000) as u16;
                let digit = |n: u16| b'0' + n as u8;
                to.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10 % 10), digit(rest % 10)]);
            }
            Text(text) => json::put_text(text, to),
            Null => to.extend_from_slice(b"null"),
        }
    }
}

fn put_decimal(mut number: u64, to: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    to.extend_from_slice(&digits[at..]);
}
