//! What the deployment says to its code: `params`, input and output names. All of it is fixed while an instance lives,
//! so read it in `open`.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

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

/// A parameter that is a duration, such as `500ms`, `10s`, `5m`, `2h` or `7d`; a bare number counts milliseconds.
///
/// # Errors
/// As [`parse`].
pub fn duration(name: &str) -> Result<Option<Duration>, String> {
    const UNITS: &[(&str, u64)] = &[
        ("ms", 1),
        ("", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("min", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    Ok(scaled(name, UNITS, "a duration such as 10s")?.map(Duration::from_millis))
}

/// A parameter that is a size, such as `1000`, `64KiB` or `1MB`.
///
/// # Errors
/// As [`parse`].
pub fn size(name: &str) -> Result<Option<u64>, String> {
    const UNITS: &[(&str, u64)] = &[
        ("", 1),
        ("b", 1),
        ("k", 1 << 10),
        ("kib", 1 << 10),
        ("kb", 1_000),
        ("m", 1 << 20),
        ("mib", 1 << 20),
        ("mb", 1_000_000),
        ("g", 1 << 30),
        ("gib", 1 << 30),
        ("gb", 1_000_000_000),
    ];
    scaled(name, UNITS, "a size such as 64KiB")
}

/// A number and a unit, as the server reads them.
fn scaled(name: &str, units: &[(&str, u64)], expected: &str) -> Result<Option<u64>, String> {
    let Some(text) = get(name) else { return Ok(None) };
    let wrong = || format!("parameter `{name}`: `{text}` is not valid: expected {expected}");
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = unit.trim().to_ascii_lowercase();
    let (_, factor) = units.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let scaled = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
    scaled.map(Some).ok_or_else(wrong)
}

/// Names of the input topics; the `topic` of an input is an index into them.
pub fn inputs() -> Vec<String> {
    host::inputs()
}

/// Names of the outputs that a record can be routed to with [`Output::topic`](crate::Output::topic).
pub fn outputs() -> Vec<String> {
    host::outputs()
}
