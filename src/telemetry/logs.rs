//! The server's own log, on stderr: text for people at a terminal, one JSON object a line for everything else.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Checks a level or a list of directives without installing it.
///
/// # Errors
/// What is expected instead.
pub fn check_level(text: &str) -> Result<(), String> {
    let known = |level: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&level);
    // A lone word that is no level would be taken for the name of a module, and silence everything else.
    let is_word = !text.contains(['=', ',', ':']);
    if is_word && !known(&text.to_ascii_lowercase()) {
        return Err(format!("`{text}`, expected error, warn, info, debug, trace or directives"));
    }
    EnvFilter::try_new(text).map(drop).map_err(|e| format!("`{text}`: {e}"))
}

/// Starts logging for the whole process; later calls change nothing. `json`: `None` decides by the terminal.
///
/// # Errors
/// The level is none, in words.
pub fn start(level: &str, json: Option<bool>, color: bool) -> Result<(), String> {
    let filter = EnvFilter::try_new(level).map_err(|e| e.to_string())?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if json.unwrap_or(!terminal) {
        builder.json().flatten_event(true).with_current_span(false).try_init()
    } else {
        builder.with_ansi(color && terminal).with_target(true).try_init()
    };
    // Only a second start in one process (tests) fails here.
    drop(started);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_told_from_typing_errors() {
        for fine in ["info", "WARN", "info,millstream::storage=debug", "millstream=trace"] {
            assert_eq!(check_level(fine), Ok(()), "{fine}");
        }
        assert!(check_level("inof").unwrap_err().starts_with("`inof`, expected error, warn"));
        assert!(check_level("info,x=loud").is_err());
    }
}
