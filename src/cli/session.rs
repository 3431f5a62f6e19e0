//! What every client command has at hand: the server, the output, and the question before a deletion.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use super::args::{Color, Global};
use super::client::Client;
use super::failure::Failure;
use super::output::Output;
use crate::config::env::{self, Vars};

/// Where the server is unless somebody says otherwise.
const URL_DEFAULT: &str = "http://127.0.0.1:8080";

/// One run of a client command.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) out: Output,
    pub(super) timeout: Duration,
    pub(super) verbose: bool,
    /// for what can be made again
    pub(super) cache: PathBuf,
    yes: bool,
}

impl Session {
    pub(super) fn open(global: &Global, vars: &Vars) -> Result<Self, Failure> {
        let url = global.url.as_deref().or_else(|| vars.value(env::URL)).unwrap_or(URL_DEFAULT);
        Ok(Self {
            client: Client::new(url, global.timeout)?,
            out: Output::new(global.output.clone(), global.quiet),
            timeout: global.timeout,
            verbose: global.verbose > 0,
            cache: cache(vars),
            yes: global.yes,
        })
    }

    /// Shows what will go and asks. Without a terminal only `--yes` is an answer.
    pub(super) fn confirm(&self, what: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::Usage(format!("nobody is there to be asked; say --yes to {what}")));
        }
        eprint!("{what}? [y/N] ");
        let _ = std::io::stderr().flush();
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map_err(|e| Failure::local("cannot read the answer", e))?;
        if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(Failure::Declined) }
    }
}

/// The user's cache directory; without one, a folder of the system's that only this user can have made.
fn cache(vars: &Vars) -> PathBuf {
    let home = || vars.value(env::HOME).map(|home| PathBuf::from(home).join(".cache"));
    let cache = vars.value(env::XDG_CACHE_HOME).map(PathBuf::from).or_else(home);
    cache.unwrap_or_else(std::env::temp_dir).join("millstream")
}

/// `None`: the terminal decides.
pub(super) fn color(choice: Color, vars: &Vars) -> Option<bool> {
    match choice {
        Color::Always => Some(true),
        Color::Never => Some(false),
        Color::Auto => vars.value(env::NO_COLOR).map(|_| false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_lies_where_the_user_says() {
        let vars = Vars::of([("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]);
        assert_eq!(cache(&vars), PathBuf::from("/c/millstream"));
        assert_eq!(cache(&Vars::of([("HOME", "/h")])), PathBuf::from("/h/.cache/millstream"));
    }

    #[test]
    fn no_color_is_respected_unless_colour_is_asked_for() {
        let vars = Vars::of([("NO_COLOR", "1")]);
        assert_eq!(color(Color::Auto, &vars), Some(false));
        assert_eq!(color(Color::Always, &vars), Some(true));
        assert_eq!(color(Color::Auto, &Vars::default()), None);
    }
}
