//! Which records a read wants: `key=`, `header.NAME=`, `contains=`. All that are given have to hold.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem::Finder;
use utoipa::IntoParams;

use crate::http::codes::Code;
use crate::http::error::Problem;
use crate::model::Record;

/// What the names of the parameters begin with that are about headers.
pub(in crate::http) const HEADER_PREFIX: &str = "header.";
/// Headers that one read may ask for: each is looked for in every record.
const HEADERS_MAX: usize = 16;

/// A header that a record has to have.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters for the OpenAPI document; `Filter::new` reads them")]
pub(in crate::http) struct HeaderQuery {
    /// only records with this header, as in `header.source=web`; may be given for several names
    #[param(rename = "header.NAME")]
    header: Option<String>,
}

/// What the fixed parameters say.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) key: Option<String>,
    pub(super) key_base64: Option<String>,
    pub(super) contains: Option<String>,
}

/// What a record has to be.
#[derive(Debug, Default)]
pub(super) struct Filter {
    key: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
    contains: Option<Finder<'static>>,
}

impl Filter {
    /// Reads the parameters; `named` are those whose names begin with [`HEADER_PREFIX`].
    ///
    /// # Errors
    /// `InvalidQuery`.
    pub(super) fn new(wanted: Wanted, named: &[(String, String)]) -> Result<Self, Problem> {
        let invalid = |detail: String| Problem::new(Code::InvalidQuery, detail);
        let key = match (wanted.key, wanted.key_base64) {
            (Some(_), Some(_)) => {
                return Err(invalid("query parameters `key` and `key_base64` exclude each other".into()));
            }
            (Some(key), None) => Some(key.into_bytes()),
            (None, Some(text)) => {
                let key = STANDARD.decode(&text);
                Some(key.map_err(|e| invalid(format!("query parameter `key_base64` is no base64: {e}")))?)
            }
            (None, None) => None,
        };
        let named = named.iter().filter_map(|(name, value)| Some((name.strip_prefix(HEADER_PREFIX)?, value)));
        let headers: Vec<_> =
            named.map(|(name, value)| (name.to_owned(), value.clone().into_bytes())).collect();
        if headers.len() > HEADERS_MAX {
            return Err(invalid(format!("more than {HEADERS_MAX} query parameters `header.…`")));
        }
        if headers.iter().any(|(name, _)| name.is_empty()) {
            return Err(invalid("query parameter `header.`: the name of a header is missing".into()));
        }
        let contains = match wanted.contains {
            Some(text) if text.is_empty() => {
                return Err(invalid("query parameter `contains` is empty".into()));
            }
            text => text.map(|text| Finder::new(text.as_bytes()).into_owned()),
        };
        Ok(Self { key, headers, contains })
    }

    /// Does it let every record through?
    pub(super) fn is_open(&self) -> bool {
        self.key.is_none() && self.headers.is_empty() && self.contains.is_none()
    }

    /// Is this a record that is wanted?
    pub(super) fn takes(&self, record: &Record) -> bool {
        let has = |(name, value): &(String, Vec<u8>)| {
            record.headers.iter().any(|h| *h.name == **name && h.value.as_deref() == Some(value.as_slice()))
        };
        self.key.as_ref().is_none_or(|key| record.key.as_deref() == Some(key.as_slice()))
            && self.headers.iter().all(has)
            && self
                .contains
                .as_ref()
                .is_none_or(|text| record.value.as_deref().is_some_and(|value| text.find(value).is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Header;
    use bytes::Bytes;

    fn record(key: &'static str, value: Option<&'static str>, source: &'static str) -> Record {
        let header = Header { name: "source".into(), value: Some(Bytes::from_static(source.as_bytes())) };
        Record {
            key: Some(Bytes::from_static(key.as_bytes())),
            value: value.map(|value| Bytes::from_static(value.as_bytes())),
            headers: vec![header],
            ..Record::default()
        }
    }

    fn takes(wanted: Wanted, named: &[(&str, &str)]) -> Vec<bool> {
        let named: Vec<_> = named.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let filter = Filter::new(wanted, &named).unwrap();
        let records = [
            record("a", Some("needle in hay"), "web"),
            record("b", Some("hay"), "web"),
            record("a", None, "app"),
        ];
        records.iter().map(|record| filter.takes(record)).collect()
    }

    #[test]
    fn everything_that_is_asked_for_has_to_hold() {
        let key = |key: &str| Wanted { key: Some(key.into()), ..Wanted::default() };
        let contains = |text: &str| Wanted { contains: Some(text.into()), ..Wanted::default() };
        assert_eq!(takes(key("a"), &[]), [true, false, true]);
        assert_eq!(
            takes(Wanted { key_base64: Some("Yg==".into()), ..Wanted::default() }, &[]),
            [false, true, false]
        );
        assert_eq!(takes(contains("hay"), &[]), [true, true, false]);
        assert_eq!(
            takes(contains("hay"), &[("header.source", "web"), ("param.x", "1")]),
            [true, true, false]
        );
        assert_eq!(takes(key("a"), &[("header.source", "app")]), [false, false, true]);
        assert_eq!(takes(key("a"), &[("header.other", "app")]), [false; 3]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let refused =
            |wanted, named: &[(String, String)]| Filter::new(wanted, named).unwrap_err().detail().to_owned();
        let both = Wanted { key: Some("a".into()), key_base64: Some("Yg==".into()), ..Wanted::default() };
        assert!(refused(both, &[]).contains("exclude each other"));
        let empty = Wanted { contains: Some(String::new()), ..Wanted::default() };
        assert!(refused(empty, &[]).contains("is empty"));
        let many: Vec<_> = (0..17).map(|n| (format!("header.h{n}"), String::new())).collect();
        assert!(refused(Wanted::default(), &many).contains("more than 16"));
    }
}
