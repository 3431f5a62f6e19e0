//! `[secrets]` of the config file: names, and where their values are. The values go into [`Secrets`] and nowhere else:
//! they are no settings, and an error names the secret and its source alone.

use super::ConfigError;
use super::env::Vars;
use crate::model::deployment::Destination;
use crate::model::secret::{Secret, Secrets};

/// The table of the file.
pub(super) const TABLE: &str = "secrets";
/// The member of a secret that says where it may go.
const HOSTS: &str = "hosts";

/// Reads the values. `{ env = "NAME" }` is a variable of the environment, `{ file = "/path" }` a file, whose last line
/// break does not count; `hosts` beside it are those that the secret may go to.
///
/// # Errors
/// `Value` with the secret's name.
pub(super) fn read(table: &toml::Value, vars: &Vars, origin: &str) -> Result<Secrets, ConfigError> {
    let wrong = |name: &str, detail: String| {
        let key = if name.is_empty() { TABLE.to_owned() } else { format!("{TABLE}.{name}") };
        ConfigError::Value { key, origin: origin.to_owned(), detail }
    };
    let table = table.as_table().ok_or_else(|| wrong("", "expected a table".to_owned()))?;
    let mut secrets = Secrets::default();
    for (name, source) in table {
        let text = value(source, vars).map_err(|detail| wrong(name, detail))?;
        let mut secret = Secret::parse(&text).map_err(|detail| wrong(name, detail))?;
        if let Some(own) = source.get(HOSTS) {
            secret = secret.only_for(hosts(own).map_err(|detail| wrong(name, detail))?);
        }
        secrets.insert(name, secret).map_err(|detail| wrong(name, detail))?;
    }
    Ok(secrets)
}

fn value(source: &toml::Value, vars: &Vars) -> Result<String, String> {
    // What stands there instead may be the secret itself: it is not repeated.
    let expected =
        || "expected { env = \"NAME\" } or { file = \"/path\" }; a value does not stand here".to_owned();
    let is_known = |table: &&toml::Table| table.keys().all(|key| ["env", "file", HOSTS].contains(&&**key));
    let table = source.as_table().filter(is_known).ok_or_else(expected)?;
    let member = |name: &str| table.get(name).and_then(toml::Value::as_str);
    match (member("env"), member("file")) {
        (Some(name), None) => vars
            .value(name)
            .map(str::to_owned)
            .ok_or_else(|| format!("the environment has no `{name}`, or it is empty")),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|e| format!("cannot read {path}: {e}"))?;
            let text = text.strip_suffix('\n').unwrap_or(&text);
            Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
        }
        _ => Err(expected()),
    }
}

fn hosts(given: &toml::Value) -> Result<Vec<Destination>, String> {
    let expected = || "hosts: expected names such as [\"hooks.example.com\", \"*.example.org\"]".to_owned();
    let given = given.as_array().filter(|hosts| !hosts.is_empty()).ok_or_else(expected)?;
    let host = |host: &toml::Value| {
        let text = host.as_str().ok_or_else(expected)?;
        Destination::parse_or_https(text).map_err(|why| format!("hosts: `{text}`: {why}"))
    };
    given.iter().map(host).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::config::{Layers, load};

    fn config(text: &str) -> Result<crate::config::Config, ConfigError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let vars = Vars::of([("HOOK_TOKEN", "hunter2")]);
        load(&Layers { file: Some(file.path().to_owned()), vars, ..Layers::default() })
    }

    #[test]
    fn secrets_come_from_the_environment_and_from_files_and_are_not_shown() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"swordfish\n").unwrap();
        let text = format!(
            "[secrets]\nhook = {{ env = \"HOOK_TOKEN\" }}\nother = {{ file = \"{}\" }}\n[log]\nlevel = \"warn\"\n",
            file.path().display()
        );
        let config = config(&text).unwrap();
        assert_eq!(config.secrets.find("hook").unwrap().expose(), "hunter2");
        assert_eq!(config.secrets.find("other").unwrap().expose(), "swordfish");
        assert_eq!(config.log.level, "warn");
        let shown = format!("{config:?} {}", config.summary());
        assert!(!shown.contains("hunter2") && !shown.contains("swordfish"), "{shown}");
    }

    #[test]
    fn an_error_names_the_secret_and_not_its_value() {
        let said = |text: &str| {
            let error = config(text).unwrap_err();
            match error {
                ConfigError::Value { key, detail, .. } => format!("{key}: {detail}"),
                other => other.to_string(),
            }
        };
        let expected = "expected { env = \"NAME\" } or { file = \"/path\" }; a value does not stand here";
        assert_eq!(said("[secrets]\nhook = \"hunter2\"\n"), format!("secrets.hook: {expected}"));
        assert_eq!(
            said("[secrets]\nhook = { env = \"A\", value = \"b\" }\n"),
            format!("secrets.hook: {expected}")
        );
        let with_hosts =
            |hosts: &str| said(&format!("[secrets]\nhook = {{ env = \"HOOK_TOKEN\", hosts = {hosts} }}\n"));
        let hosts = "secrets.hook: hosts: expected names such as [\"hooks.example.com\", \"*.example.org\"]";
        assert_eq!(with_hosts("[]"), hosts);
        assert_eq!(with_hosts("\"a.b\""), hosts);
        for (host, why) in
            [("a b", "the host is no name and no address"), ("https://a.b/c", "`https://a.b/c`: a grant is")]
        {
            let said = with_hosts(&format!("[\"{host}\"]"));
            assert!(said.starts_with(&format!("secrets.hook: hosts: `{host}`: {why}")), "{said}");
        }
        let open = "[secrets]\nhook = { env = \"HOOK_TOKEN\", hosts = [\"http://a.b:81\", \"c.d\"] }\n";
        assert!(config(open).is_ok());
        assert_eq!(
            said("[secrets]\nhook = { env = \"NOT_THERE\" }\n"),
            "secrets.hook: the environment has no `NOT_THERE`, or it is empty"
        );
        assert!(said("[secrets]\n\"a b\" = { env = \"HOOK_TOKEN\" }\n").starts_with("secrets.a b: "));
    }
}
