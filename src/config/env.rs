//! The names of all environment variables, and the one place that reads them. Parsing takes a [`Vars`], so that tests
//! need no environment.

use std::collections::BTreeMap;

/// Settings of the server: this prefix, then the key in capitals with `__` for each dot (`MILLSTREAM_HTTP__ADDR`).
pub const PREFIX: &str = "MILLSTREAM_";
/// Path of the config file, like `--config`.
pub const CONFIG: &str = "MILLSTREAM_CONFIG";
/// Address of the server for the client commands, like `--url`.
pub const URL: &str = "MILLSTREAM_URL";
/// Where programs keep what they can make again (the XDG base directory specification).
pub const XDG_CACHE_HOME: &str = "XDG_CACHE_HOME";
/// The user's folder; its `.cache` stands in for [`XDG_CACHE_HOME`].
pub const HOME: &str = "HOME";
/// Any value: no colours (<https://no-color.org>).
pub const NO_COLOR: &str = "NO_COLOR";

/// Kubernetes sets variables with these beginnings in every pod beside a service called `millstream`; no settings.
const FOREIGN: [&str; 2] = ["MILLSTREAM_SERVICE_", "MILLSTREAM_PORT"];

/// Variables by name.
#[derive(Debug, Clone, Default)]
pub struct Vars(BTreeMap<String, String>);

impl Vars {
    /// Those of this process; values that are no UTF-8 are left out.
    pub fn of_process() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
        )
    }

    /// For tests.
    pub fn of<const N: usize>(vars: [(&str, &str); N]) -> Self {
        Self(vars.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
    }

    /// The value, unless it is missing or empty.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// Variable name, setting and value of everything that carries our prefix and is a setting.
    pub fn settings(&self) -> impl Iterator<Item = (&str, String, &str)> {
        self.0
            .iter()
            .filter(|(name, _)| *name != CONFIG && *name != URL)
            .filter(|(name, _)| !FOREIGN.iter().any(|f| name.starts_with(f)))
            .filter_map(|(name, value)| {
                let key = name.strip_prefix(PREFIX)?.to_ascii_lowercase().replace("__", ".");
                Some((name.as_str(), key, value.as_str()))
            })
    }
}
