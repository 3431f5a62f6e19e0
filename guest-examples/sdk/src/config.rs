//! What the deployment says to its code: `params`, input and output names. All of it is fixed while an instance lives,
//! so read it in `open`.

use std::fmt::Display;
use std::str::FromStr;

#[cfg(target_arch = "wasm32")]
use crate::bindings::list::millstream::functions::config as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host::config as host;

/// A parameter of the deployment (`params` in its spec).
pub fn get(name: &str) -> Option<String> {
    host::get(name)
}

/// A parameter that must be given.
///
/// # Errors
/// A sentence that names it, fit to be returned from `open`.
pub fn require(name: &str) -> Result<String, String> {
    get(name).ok_or_else(|| format!("parameter `{name}` is missing"))
}

/// A typed parameter: `config::parse::<u32>("keep")?.unwrap_or(200)`.
///
/// # Errors
/// A sentence that names parameter, text and reason, fit to be returned from `open`.
pub fn parse<T: FromStr<Err: Display>>(name: &str) -> Result<Option<T>, String> {
    let Some(text) = get(name) else { return Ok(None) };
    text.trim().parse().map(Some).map_err(|why| format!("parameter `{name}`: `{text}` is not valid: {why}"))
}

/// A typed parameter with a default.
///
/// # Errors
/// As [`parse`].
pub fn parse_or<T: FromStr<Err: Display>>(name: &str, default: T) -> Result<T, String> {
    parse(name).map(|found| found.unwrap_or(default))
}

/// A parameter that is a list with commas: trimmed, without empty parts. None when it is not given.
pub fn list(name: &str) -> Option<Vec<String>> {
    let text = get(name)?;
    Some(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
}

/// Names of the input topics; the `topic` of an input is an index into them.
pub fn inputs() -> Vec<String> {
    host::inputs()
}

/// Names of the outputs that a record can be routed to with [`Output::topic`](crate::Output::topic).
pub fn outputs() -> Vec<String> {
    host::outputs()
}
