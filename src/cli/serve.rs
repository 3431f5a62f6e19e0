//! `millstream serve`: settings from flags, environment and file; then the server, which tells its address when it
//! listens.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::args::Global;
use super::failure::Failure;
use super::session::color;
use crate::config::env::Vars;
use crate::config::{self, ConfigError, Layers, LogFormat};
use crate::server::Addresses;
use crate::telemetry::{chain, logs};

/// Run the server
#[derive(Args)]
#[command(after_long_help = settings_help())]
pub(super) struct Serve {
    /// A TOML file with settings [env: MILLSTREAM_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of everything that is kept [default: millstream-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address of the HTTP interface [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    http_addr: Option<String>,
    /// A host name to answer beside localhost and the address; may be repeated
    #[arg(long, value_name = "HOST")]
    allowed_host: Vec<String>,
    /// Address for Kafka clients, or off [default: 127.0.0.1:9092]
    #[arg(long, value_name = "ADDR")]
    kafka_addr: Option<String>,
    /// Host and port that Kafka clients are told, where the server cannot see its own
    #[arg(long, value_name = "HOST:PORT")]
    kafka_advertised: Option<String>,
    /// Memory of storage and requests, such as 512MiB
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Threads that run the users' code
    #[arg(long, value_name = "N")]
    guest_threads: Option<String>,
    /// How long a stop waits for what is under way, such as 25s
    #[arg(long, value_name = "DURATION")]
    drain: Option<String>,
    /// error, warn, info, debug, trace or directives
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// text, json or auto
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Allow an address that other machines reach; there is no authentication
    #[arg(long)]
    insecure: bool,
    /// Write the addresses here, HTTP first, once the server listens; for scripts that start it on port 0
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

/// The file's settings, below `serve --help`.
fn settings_help() -> String {
    let mut text = "Settings, for the file (http.addr stands in [http]) and as MILLSTREAM_HTTP__ADDR in the \
                    environment. Flags win over the environment, which wins over the file.\n"
        .to_owned();
    for knob in &config::KNOBS {
        text.push_str(&format!("\n  {} [default: {}]\n      {}\n", knob.name, knob.default, knob.doc));
    }
    text.push_str(
        "\nSecrets that deployments may be granted (docs/SINKS.md), in the file alone; their values stand elsewhere:\n\n  \
         [secrets]\n  hook_token = { env = \"HOOK_TOKEN\" }\n  partner = { file = \"/run/secrets/partner\" }\n",
    );
    text
}

// === impl Serve ===

impl Serve {
    fn layers(self, vars: Vars) -> Layers {
        let mut flags = Vec::new();
        let mut flag = |name, text: Option<String>| flags.extend(text.map(|text| (name, text)));
        flag("data_dir", self.data_dir.map(|p| p.to_string_lossy().into_owned()));
        flag("http.addr", self.http_addr);
        flag("http.allowed_hosts", (!self.allowed_host.is_empty()).then(|| self.allowed_host.join(",")));
        flag("kafka.addr", self.kafka_addr);
        flag("kafka.advertised", self.kafka_advertised);
        flag("memory", self.memory);
        flag("guest_threads", self.guest_threads);
        flag("drain", self.drain);
        flag("log.level", self.log_level);
        flag("log.format", self.log_format);
        flag("insecure", self.insecure.then(|| "true".to_owned()));
        Layers { file: self.config, flags, vars }
    }
}

/// Runs until a signal or a failure of the storage.
pub(super) fn run(args: Serve, vars: Vars, global: &Global) -> Result<ExitCode, Failure> {
    let color = color(global.color, &vars);
    let ready_file = args.ready_file.clone();
    let config = config::load(&args.layers(vars)).map_err(|e| refused(&e))?;
    let json = match config.log.format {
        LogFormat::Auto => None,
        LogFormat::Text => Some(false),
        LogFormat::Json => Some(true),
    };
    logs::start(&config.log.level, json, color.unwrap_or(true)).map_err(Failure::Usage)?;

    let quiet = global.quiet;
    let data_dir = config.data_dir.display().to_string();
    let listening = move |addresses: &Addresses| -> std::io::Result<()> {
        if !quiet {
            eprint!("{}", banner(addresses, &data_dir));
        }
        // Written whole or not at all, so that whoever waits for the file may read it at once.
        ready_file.map_or(Ok(()), |path| {
            let part = path.with_extension("part");
            let lines = [Some(addresses.http), addresses.kafka].into_iter().flatten();
            let text: String = lines.map(|address| format!("{address}\n")).collect();
            std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, &path))
        })
    };
    crate::server::run(config, listening).map_err(|e| Failure::Local(chain(e.as_ref())))
}

fn refused(error: &ConfigError) -> Failure {
    Failure::Usage(chain(error))
}

/// What to try first, to copy and paste.
fn banner(addresses: &Addresses, data_dir: &str) -> String {
    let url = format!("http://{}", addresses.http);
    let kafka = addresses.advertised.as_ref().map_or_else(String::new, |advertised| {
        format!(
            "\nKafka clients connect to {advertised}:\n\n  kcat -b {advertised} -t clicks -C -o beginning\n"
        )
    });
    format!(
        "\nmillstream {} listens on {url}, data in {data_dir}\n\n  \
         curl -X PUT {url}/v1/topics/clicks -d '{{\"partitions\": 1}}'\n  \
         curl '{url}/v1/topics/clicks/events?key=user-42' -d '{{\"item\": 7}}'\n  \
         curl {url}/v1/topics/clicks/records\n{kafka}\nCtrl-C stops it; more commands: {url}/\n\n",
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn the_banner_has_lines_to_copy() {
        let http = SocketAddr::from(([127, 0, 0, 1], 8080));
        let text = banner(&Addresses { http, kafka: None, advertised: None }, "d");
        assert_eq!((text.matches("  curl ").count(), text.matches("kcat").count()), (3, 0));
        assert!(text.contains("http://127.0.0.1:8080/v1/topics/clicks/events?key=user-42"));

        let advertised = Some("127.0.0.1:9092".to_owned());
        let text = banner(&Addresses { http, kafka: None, advertised }, "d");
        assert!(text.contains("  kcat -b 127.0.0.1:9092 -t clicks -C -o beginning\n"), "{text}");
    }

    #[test]
    fn the_long_help_documents_every_setting() {
        let help = settings_help();
        assert!(config::KNOBS.iter().all(|k| help.contains(k.name) && help.contains(k.doc)));
        assert!(help.contains("[secrets]"), "{help}");
    }
}
