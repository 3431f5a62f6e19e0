//! Secrets of the server's config: known by name, never shown. Nothing here is stored, serialized or printed.

use std::collections::BTreeMap;
use std::fmt;

use super::deployment::Destination;
use super::names;

/// Characters of a secret's name.
pub const SECRET_NAME_MAX: usize = 64;
/// Bytes of a secret (a guess: the longest tokens in use have some kilobytes).
pub const SECRET_BYTES_MAX: usize = 16 << 10;

/// A secret's value, and where it may go. Its `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    value: String,
    /// none: wherever a deployment is granted to send it
    places: Option<Vec<Destination>>,
}

impl Secret {
    /// Checks what becomes part of a header: visible characters and spaces, not empty.
    ///
    /// # Errors
    /// What is wrong, without the value.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        if text.len() > SECRET_BYTES_MAX {
            return Err(format!("{} bytes, at most {SECRET_BYTES_MAX} are allowed", text.len()));
        }
        if !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
            return Err("it has characters that a header cannot carry".to_owned());
        }
        Ok(Self { value: text.to_owned(), places: None })
    }

    /// The same for these places alone.
    #[must_use]
    pub fn only_for(self, places: Vec<Destination>) -> Self {
        Self { places: Some(places), ..self }
    }

    /// May it go wherever this grant reaches?
    pub fn may_go_to(&self, granted: &Destination) -> bool {
        self.places.as_ref().is_none_or(|places| places.iter().any(|place| granted.is_within(place)))
    }

    /// The value, for the request that it goes out with and for nothing else.
    pub fn expose(&self) -> &str {
        &self.value
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Secrets by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Secrets(BTreeMap<String, Secret>);

impl Secrets {
    /// Takes one up.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub fn insert(&mut self, name: &str, secret: Secret) -> Result<(), String> {
        names::check("secret", name, SECRET_NAME_MAX).map_err(|e| e.to_string())?;
        self.0.insert(name.to_owned(), secret);
        Ok(())
    }

    /// The secret of this name.
    pub fn find(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_in_its_debug_output() {
        let mut secrets = Secrets::default();
        secrets.insert("hook", Secret::parse("hunter2 and more").unwrap()).unwrap();
        assert_eq!(format!("{secrets:?}"), "Secrets({\"hook\": (secret)})");
        assert_eq!(secrets.find("hook").unwrap().expose(), "hunter2 and more");
    }

    #[test]
    fn a_secret_for_some_hosts_goes_nowhere_else() {
        let grant = |text: &str| Destination::parse(text).unwrap();
        let anywhere = Secret::parse("x").unwrap();
        assert!(anywhere.may_go_to(&grant("http://a.example.com")));
        let places = ["hooks.example.com", "*.example.org", "http://10.0.0.1:9000", "https://a.test:8443"];
        let only = anywhere.only_for(places.map(|text| Destination::parse_or_https(text).unwrap()).into());
        for inside in [
            "https://hooks.example.com",
            "https://a.example.org",
            "https://*.a.example.org",
            "https://*.example.org",
            "http://10.0.0.1:9000",
            "https://a.test:8443",
        ] {
            assert!(only.may_go_to(&grant(inside)), "{inside}");
        }
        for outside in [
            "https://example.org",
            "https://*.example.com",
            "https://a.hooks.example.com",
            "https://badexample.org",
            "http://hooks.example.com",
            "https://hooks.example.com:444",
            "https://10.0.0.1:9000",
            "http://10.0.0.1",
            "https://a.test",
        ] {
            assert!(!only.may_go_to(&grant(outside)), "{outside}");
        }
    }

    #[test]
    fn what_no_header_can_carry_is_refused_without_being_told() {
        assert_eq!(Secret::parse("").unwrap_err(), "it is empty");
        let refused = Secret::parse("hunter2\nX-Other: 1").unwrap_err();
        assert_eq!(refused, "it has characters that a header cannot carry");
    }
}
