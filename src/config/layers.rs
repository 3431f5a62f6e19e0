//! The layers of settings and their merge. Every layer is a list of names and texts; a name that does not exist is an
//! error in each of them, with the nearest name that does.

use std::path::PathBuf;

use super::env::{self, Vars};
use super::{Config, ConfigError, Given, KNOBS, secrets};

/// What was given from outside.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// `--config`; else `MILLSTREAM_CONFIG`; else no file
    pub file: Option<PathBuf>,
    /// setting and text, from the command line
    pub flags: Vec<(&'static str, String)>,
    /// the environment
    pub vars: Vars,
}

/// Merges the layers over the defaults. Reads the config file; blocks for that.
///
/// # Errors
/// The first problem found, in the order file, environment, flags, then what only the whole shows.
pub fn load(layers: &Layers) -> Result<Config, ConfigError> {
    let mut config = Config::defaults();

    let path = layers.file.clone().or_else(|| layers.vars.value(env::CONFIG).map(PathBuf::from));
    if let Some(path) = path {
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        let mut table = text
            .parse::<toml::Table>()
            .map_err(|source| ConfigError::Syntax { path: path.clone(), source: Box::new(source) })?;
        let origin = path.display().to_string();
        if let Some(own) = table.remove(secrets::TABLE) {
            config.secrets = secrets::read(&own, &layers.vars, &origin)?;
        }
        for (key, text) in flatten(&table) {
            set(&mut config, &key, &key, &text, &origin)?;
        }
    }
    for (name, key, text) in layers.vars.settings() {
        set(&mut config, &key, name, text, "the environment")?;
    }
    for (key, text) in &layers.flags {
        set(&mut config, key, key, text, "the command line")?;
    }
    config.check()
}

/// `shown` is the name in its own layer's spelling.
fn set(config: &mut Config, key: &str, shown: &str, text: &str, origin: &str) -> Result<(), ConfigError> {
    let origin = origin.to_owned();
    let Some(knob) = KNOBS.iter().find(|k| k.name == key) else {
        let nearest = crate::model::suggest(key, KNOBS.iter().map(|k| k.name));
        let in_variables = key != shown;
        let suggestion = nearest.map(|name| if in_variables { variable(&name) } else { name });
        return Err(ConfigError::Unknown { key: shown.to_owned(), origin, suggestion });
    };
    if let Err(detail) = (knob.set)(config, text) {
        return Err(ConfigError::Value { key: shown.to_owned(), origin, detail });
    }
    config.given.retain(|given| given.name != knob.name);
    config.given.push(Given { name: knob.name, text: text.to_owned(), origin });
    Ok(())
}

/// The variable of a setting.
fn variable(name: &str) -> String {
    format!("{}{}", env::PREFIX, name.replace('.', "__").to_ascii_uppercase())
}

/// Dotted names and texts of a table's leaves; a list becomes its items with commas between.
fn flatten(table: &toml::Table) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (name, value) in table {
        match value {
            toml::Value::Table(inner) => {
                out.extend(flatten(inner).into_iter().map(|(rest, text)| (format!("{name}.{rest}"), text)));
            }
            toml::Value::Array(items) => {
                let items: Vec<_> = items.iter().map(text_of).collect();
                out.push((name.clone(), items.join(",")));
            }
            value => out.push((name.clone(), text_of(value))),
        }
    }
    out
}

fn text_of(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn flags_win_over_the_environment_over_the_file_over_defaults() {
        let file =
            file("memory = \"100MiB\"\nguest_threads = 3\ndrain = 1000\n[http]\naddr = \"127.0.0.1:1\"\n");
        let config = load(&Layers {
            file: Some(file.path().to_owned()),
            flags: vec![("http.addr", "127.0.0.1:3".to_owned())],
            vars: Vars::of([("MILLSTREAM_HTTP__ADDR", "127.0.0.1:2"), ("MILLSTREAM_GUEST_THREADS", "5")]),
        })
        .unwrap();
        assert_eq!(config.http.addr.port(), 3);
        let origin = |name| config.given.iter().find(|given| given.name == name).map(|g| g.origin.as_str());
        assert_eq!(origin("http.addr"), Some("the command line"));
        assert_eq!(origin("guest_threads"), Some("the environment"));
        assert_eq!(origin("memory"), Some(file.path().to_str().unwrap()));
        assert_eq!(origin("log.level"), None);
        assert_eq!(config.guest_threads, 5);
        assert_eq!(config.memory, 100 << 20);
        assert_eq!(config.drain, std::time::Duration::from_secs(1));
        assert_eq!(config.log.level, "info");
    }

    #[test]
    fn the_file_may_be_named_by_the_environment() {
        let file = file("[http]\nallowed_hosts = [\"A.example\", \"b.example\"]\n");
        let path = file.path().to_str().unwrap();
        let config =
            load(&Layers { vars: Vars::of([("MILLSTREAM_CONFIG", path)]), ..Layers::default() }).unwrap();
        assert_eq!(config.http.allowed_hosts, ["a.example", "b.example"]);
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_the_nearest() {
        let file = file("[htpp]\naddr = \"127.0.0.1:1\"\n");
        let path = file.path().display().to_string();
        let error = load(&Layers { file: Some(file.path().to_owned()), ..Layers::default() }).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("unknown setting `htpp.addr` in {path}; did you mean `http.addr`?")
        );

        let vars = Vars::of([("MILLSTREAM_MEMROY", "1GiB")]);
        let error = load(&Layers { vars, ..Layers::default() }).unwrap_err();
        let expected =
            "unknown setting `MILLSTREAM_MEMROY` in the environment; did you mean `MILLSTREAM_MEMORY`?";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn variables_that_kubernetes_sets_for_a_service_are_no_settings() {
        let vars = Vars::of([
            ("MILLSTREAM_SERVICE_HOST", "10.0.0.1"),
            ("MILLSTREAM_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("MILLSTREAM_URL", "http://x"),
        ]);
        assert!(load(&Layers { vars, ..Layers::default() }).is_ok());
    }

    #[test]
    fn a_wrong_value_says_where_it_stands() {
        let vars = Vars::of([("MILLSTREAM_HTTP__ADDR", "here")]);
        let error = load(&Layers { vars, ..Layers::default() }).unwrap_err();
        let expected = "`MILLSTREAM_HTTP__ADDR` in the environment: `here`, expected an address and a port such as \
                        127.0.0.1:8080";
        assert_eq!(error.to_string(), expected);
    }
}
