//! One row per setting: name, default, documentation, and how its text becomes a value. A documentation says the unit,
//! what the setting costs, and what breaks at both ends.

use std::path::PathBuf;
use std::time::Duration;

use super::{Config, DISK_RESERVE_MIN, LogFormat, MEMORY_MIN};
use crate::kafka::Advertised;
use crate::model::duration::{format_bytes, parse_bytes, parse_duration};
use crate::model::limits::{GROUP_MEMBERS_MOST, KAFKA_CONNECTIONS_MAX, PARTITIONS_MAX};

/// A setting.
pub struct Knob {
    /// dotted, as in the file: `http.addr`
    pub name: &'static str,
    /// in words where it depends on the machine
    pub default: &'static str,
    /// unit, cost, both ends
    pub doc: &'static str,
    /// checks the text and stores the value; the error says what is expected
    pub set: fn(&mut Config, &str) -> Result<(), String>,
}

/// Every setting, in alphabetical order.
pub const KNOBS: [Knob; 34] = [
    Knob {
        name: "data_dir",
        default: "millstream-data, in the working directory",
        doc: "Folder of everything that is kept; made when missing. Needs a local disk: acknowledgements wait for its \
              fdatasync. One server at a time may open it.",
        set: |c, text| {
            c.data_dir = PathBuf::from(text);
            if text.is_empty() { Err("the path is empty".into()) } else { Ok(()) }
        },
    },
    Knob {
        name: "disk.reserve",
        default: "the larger of 1GiB and a twentieth of the disk",
        doc: "Free bytes (MiB, GiB) of the data directory's disk below which writes are refused (503 `disk_full`), while \
              reads, deletes, retention and groups go on. Too little and RocksDB's own housekeeping finds no room, which \
              ends the server; too much lies idle.",
        set: |c, text| {
            let bytes = parse_bytes(text)?;
            c.disk_reserve = Some(bytes);
            in_range(bytes >= DISK_RESERVE_MIN, || {
                format!("{text}, expected at least {}", format_bytes(DISK_RESERVE_MIN))
            })
        },
    },
    Knob {
        name: "drain",
        default: "25s",
        doc: "How long a stop waits for requests and batches under way (ms, s, m). 0 cuts them off, and clients do not \
              know what was stored; longer than the supervisor's patience (Kubernetes: 30 s) ends in a kill, which is \
              safe but makes the next start replay the log.",
        set: |c, text| {
            c.drain = parse_duration(text)?;
            in_range(c.drain <= Duration::from_secs(3600), || format!("{text}, expected at most 1h"))
        },
    },
    Knob {
        name: "groups.initial_rebalance_delay",
        default: "3s",
        doc: "How long the first rebalance of an empty group waits for more members (ms, s, m), again with each that \
              comes (Kafka's group.initial.rebalance.delay.ms). 0 lets a single consumer begin at once and makes a group \
              that starts together rebalance once per member; long ones delay every first read.",
        set: |c, text| {
            c.groups.initial_rebalance_delay = parse_duration(text)?;
            in_range(c.groups.initial_rebalance_delay <= Duration::from_secs(300), || {
                format!("{text}, expected at most 5m")
            })
        },
    },
    Knob {
        name: "groups.max_size",
        default: "2000",
        doc: "Members of one group (Kafka's group.max.size, which has no limit by default). Too few and new members are \
              refused; a rebalance costs the square of their number in metadata.",
        set: |c, text| {
            let wrong = || format!("`{text}`, expected 1 to {GROUP_MEMBERS_MOST}");
            c.groups.max_size = text.parse().map_err(|_| wrong())?;
            in_range((1..=GROUP_MEMBERS_MOST).contains(&c.groups.max_size), wrong)
        },
    },
    Knob {
        name: "groups.offsets_retention",
        default: "7d",
        doc: "How long committed offsets are kept that nobody uses (m, h, d), counted from when their group became empty \
              (Kafka's offsets.retention.minutes). Short ones make a consumer that pauses begin anew; long ones keep the \
              offsets of forgotten groups in memory.",
        set: |c, text| {
            c.groups.offsets_retention = parse_duration(text)?;
            let range = Duration::from_secs(60)..=Duration::from_secs(3650 * 86_400);
            in_range(range.contains(&c.groups.offsets_retention), || format!("{text}, expected 1m to 3650d"))
        },
    },
    Knob {
        name: "guest_threads",
        default: "the machine's cores",
        doc: "Threads that run the users' code, apart from those of the network and the writer. 1 makes deployments \
              take turns of 2 ms; many more than cores only adds switching.",
        set: |c, text| {
            c.guest_threads = text.parse().map_err(|_| format!("`{text}`, expected a number of threads"))?;
            in_range((1..=512).contains(&c.guest_threads), || format!("{text}, expected 1 to 512"))
        },
    },
    Knob {
        name: "http.addr",
        default: "127.0.0.1:8080",
        doc: "Address and port of the HTTP interface; port 0 takes a free one. An address beyond loopback is refused \
              unless `insecure` is set.",
        set: |c, text| {
            let wrong = || format!("`{text}`, expected an address and a port such as 127.0.0.1:8080");
            c.http.addr = text.parse().map_err(|_| wrong())?;
            Ok(())
        },
    },
    Knob {
        name: "http.allowed_hosts",
        default: "none",
        doc: "Host names (comma-separated, without port) that are answered beside localhost and the bound address. The \
              check keeps web pages from reaching the server through a name of their own (DNS rebinding). Too few and \
              requests through a proxy get 403; `*` turns the check off.",
        set: |c, text| {
            let hosts = text.split(',').map(str::trim).filter(|h| !h.is_empty());
            c.http.allowed_hosts = hosts.map(str::to_ascii_lowercase).collect();
            let bad = c.http.allowed_hosts.iter().find(|h| h.contains('/') || h.contains(' '));
            in_range(bad.is_none(), || format!("`{text}`, expected host names such as streams.example.org"))
        },
    },
    Knob {
        name: "insecure",
        default: "false",
        doc: "Allows an address beyond loopback. There are no users and no TLS: whoever reaches the port may do \
              everything, so the network in front of it has to keep strangers out.",
        set: |c, text| {
            c.insecure = flag(text)?;
            Ok(())
        },
    },
    Knob {
        name: "kafka.accept_replication_factor",
        default: "false",
        doc: "There is one node, so a topic has one replica and Kafka clients that ask for more are refused, as one \
              Kafka node does. true records the number they ask for and changes nothing else: no record has a second \
              copy.",
        set: |c, text| {
            c.kafka.accept_replication_factor = flag(text)?;
            Ok(())
        },
    },
    Knob {
        name: "kafka.addr",
        default: "127.0.0.1:9092",
        doc: "Address and port for Kafka clients; port 0 takes a free one, `off` listens nowhere. An address beyond \
              loopback is refused unless `insecure` is set.",
        set: |c, text| {
            let wrong = || format!("`{text}`, expected off, or an address and a port such as 127.0.0.1:9092");
            c.kafka.addr = if text == "off" { None } else { Some(text.parse().map_err(|_| wrong())?) };
            Ok(())
        },
    },
    Knob {
        name: "kafka.advertised",
        default: "the address through which each client came",
        doc: "Host and port that Kafka clients are told to connect to, such as broker.example.org:9092; without a port, \
              that of kafka.addr. Needed behind NAT or a container's port mapping, where the server cannot see its \
              outer address; a wrong one lets clients find the server once and then lose it.",
        set: |c, text| {
            c.kafka.advertised = if text.is_empty() { None } else { Some(advertised(text)?) };
            Ok(())
        },
    },
    Knob {
        name: "kafka.auto_create_topics",
        default: "true",
        doc: "Whether a Kafka client that asks for a topic which is not there creates it (auto.create.topics.enable). \
              true makes a topic of every misspelt name; false breaks the first steps of most tutorials. HTTP never \
              creates topics by itself.",
        set: |c, text| {
            c.kafka.auto_create_topics = flag(text)?;
            Ok(())
        },
    },
    Knob {
        name: "kafka.max_connections",
        default: "8192",
        doc: "Connections of Kafka clients at once; more wait until one ends. An idle one costs a file descriptor and \
              about 4 KiB. Too few and clients time out while they connect; more than half of the process's file \
              descriptors and accepting fails.",
        set: |c, text| {
            let wrong = || format!("`{text}`, expected 1 to {KAFKA_CONNECTIONS_MAX}");
            c.kafka.max_connections = text.parse().map_err(|_| wrong())?;
            in_range((1..=KAFKA_CONNECTIONS_MAX).contains(&c.kafka.max_connections), wrong)
        },
    },
    Knob {
        name: "kafka.num_partitions",
        default: "1",
        doc: "Partitions of a topic that Kafka clients create without saying how many (num.partitions). They can be \
              added later, but records with the same key then go elsewhere than before.",
        set: |c, text| {
            let wrong = || format!("`{text}`, expected 1 to {PARTITIONS_MAX}");
            c.kafka.num_partitions = text.parse().map_err(|_| wrong())?;
            in_range((1..=PARTITIONS_MAX).contains(&c.kafka.num_partitions), wrong)
        },
    },
    Knob {
        name: "limits.compile_cpu",
        default: "6m",
        doc: "CPU time that compiling one uploaded component may take (s, m; whole seconds). Python's 18 MB take 15 s; a high \
              one lets a compile bomb hold up other uploads for so long.",
        set: |c, text| c.limits.set("compile_cpu", text),
    },
    Knob {
        name: "limits.cpu",
        default: "30s",
        doc: "The most CPU time of one call that a deployment may ask for (ms, s). Low ones refuse heavy code; a \
              high one lets a loop burn a core for so long before each of its retries.",
        set: |c, text| c.limits.set("cpu", text),
    },
    Knob {
        name: "limits.deployments",
        default: "500",
        doc: "Deployments on this server. Each costs some kilobytes and, while it runs, its instances.",
        set: |c, text| c.limits.set("deployments", text),
    },
    Knob {
        name: "limits.guest_memory",
        default: "half of the machine's or cgroup's memory, at least 256MiB",
        doc: "Linear memory (MiB, GiB) of all guest instances together. When it is used up, instances cannot start \
              or grow: their batches are tried again and then stop. More than the machine has ends in the kernel's \
              OOM killer.",
        set: |c, text| c.limits.set("guest_memory", text),
    },
    Knob {
        name: "limits.instances",
        default: "1000",
        doc: "The most instances alive at once that a deployment may ask for; its partitions take turns. One means \
              no parallel work in a deployment.",
        set: |c, text| c.limits.set("instances", text),
    },
    Knob {
        name: "limits.log_lines",
        default: "10000",
        doc: "The most log lines a second that a deployment may ask for. A line is a record that is stored; a \
              flood of them takes the writer's time.",
        set: |c, text| c.limits.set("log_lines", text),
    },
    Knob {
        name: "limits.memory",
        default: "1GiB",
        doc: "The most linear memory of an instance that a deployment may ask for. Rust needs 1 to 2 MiB, Python \
              tens; a spec that says nothing asks for 64MiB and gets this where it is less.",
        set: |c, text| c.limits.set("memory", text),
    },
    Knob {
        name: "limits.node_instances",
        default: "4000",
        doc: "Instances alive on this server. Each reserves more than 4 GiB of address space; too few and \
              deployments are refused.",
        set: |c, text| c.limits.set("node_instances", text),
    },
    Knob {
        name: "limits.output_bytes",
        default: "256MiB",
        doc: "The most bytes of outputs of one call that a deployment may ask for. They are held in memory until \
              they are committed.",
        set: |c, text| c.limits.set("output_bytes", text),
    },
    Knob {
        name: "limits.output_records",
        default: "1000000",
        doc: "The most outputs of one call that a deployment may ask for. They are held in memory until they are \
              committed.",
        set: |c, text| c.limits.set("output_records", text),
    },
    Knob {
        name: "limits.state_bytes",
        default: "no ceiling",
        doc: "The most bytes of state of one task that a deployment may ask for (MiB, GiB). A spec that says \
              nothing asks for 4GiB and gets this where it is less.",
        set: |c, text| c.limits.set("state_bytes", text),
    },
    Knob {
        name: "limits.state_keys",
        default: "no ceiling",
        doc: "The most keys of one task's state that a deployment may ask for. A spec that says nothing asks for \
              100000000 and gets this where it is less.",
        set: |c, text| c.limits.set("state_keys", text),
    },
    Knob {
        name: "limits.state_timers",
        default: "no ceiling",
        doc: "The most timers of one task that a deployment may ask for. Each takes disk as two keys and twice its \
              name of at most 1KiB. A spec that says nothing gets 10000000, or this where it is less.",
        set: |c, text| c.limits.set("state_timers", text),
    },
    Knob {
        name: "limits.wall",
        default: "10m",
        doc: "The most wall time of one call, host functions included, that a deployment may ask for (ms, s, m). \
              It bounds what a call that waits can hold up; a spec that says nothing asks for 30s and gets \
              this where it is less.",
        set: |c, text| c.limits.set("wall", text),
    },
    Knob {
        name: "log.format",
        default: "auto: text on a terminal, JSON otherwise",
        doc: "text, json or auto. The log goes to stderr.",
        set: |c, text| {
            c.log.format = match text {
                "auto" => LogFormat::Auto,
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err(format!("`{text}`, expected text, json or auto")),
            };
            Ok(())
        },
    },
    Knob {
        name: "log.level",
        default: "info",
        doc: "error, warn, info, debug or trace, or directives such as info,millstream::storage=debug. debug writes a \
              line per request; error hides failing deployments.",
        set: |c, text| {
            crate::telemetry::logs::check_level(text)?;
            c.log.level = text.to_owned();
            Ok(())
        },
    },
    Knob {
        name: "memory",
        default: "the smaller of 512MiB and a quarter of the machine's or cgroup's memory",
        doc: "Bytes (KiB, MiB, GiB) for memtables, block cache, tail cache and requests in flight together; guests' \
              memory comes on top. Less means more flushes and 503 `overloaded` sooner; more than half of the machine \
              takes the page cache that flushes and cold reads live on.",
        set: |c, text| {
            c.memory = parse_bytes(text)?;
            in_range(c.memory >= MEMORY_MIN, || {
                format!("{text}, expected at least {}", format_bytes(MEMORY_MIN))
            })
        },
    },
    Knob {
        name: "outbound.ca_file",
        default: "the roots that browsers trust",
        doc: "File with certificates in PEM: whom the https of sinks and sources trusts, instead of the built-in roots. Too \
              few and their requests fail with a certificate error; each one more can speak for every host.",
        set: |c, text| {
            c.outbound.ca_file = Some(PathBuf::from(text));
            if text.is_empty() { Err("the path is empty".into()) } else { Ok(()) }
        },
    },
];

pub(super) fn in_range(holds: bool, detail: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(detail()) }
}

fn flag(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("`{text}`, expected true or false"))
}

/// `host`, `host:port` or `[::1]:port`.
fn advertised(text: &str) -> Result<Advertised, String> {
    let wrong = || format!("`{text}`, expected a host and a port such as broker.example.org:9092");
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(wrong)?)),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map(str::parse::<u16>).transpose().map_err(|_| wrong())?.filter(|port| *port != 0);
    let is_bad = |c: char| c.is_whitespace() || matches!(c, '/' | ',' | '[' | ']');
    in_range((1..=253).contains(&host.len()) && !host.contains(is_bad), wrong)?;
    Ok(Advertised { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stand_in_alphabetical_order_and_say_something() {
        let names = KNOBS.map(|k| k.name);
        let mut sorted = names;
        sorted.sort_unstable();
        assert_eq!(names, sorted);
        assert!(KNOBS.iter().all(|k| k.doc.len() > 20 && !k.default.is_empty()));
    }

    #[test]
    fn values_out_of_range_are_refused_with_what_is_expected() {
        let mut config = Config::defaults();
        let cases = [
            ("data_dir", "", "the path is empty"),
            ("drain", "2h", "2h, expected at most 1h"),
            ("guest_threads", "0", "0, expected 1 to 512"),
            ("guest_threads", "many", "`many`, expected a number of threads"),
            ("http.addr", "localhost", "`localhost`, expected an address and a port such as 127.0.0.1:8080"),
            ("http.allowed_hosts", "http://a", "`http://a`, expected host names such as streams.example.org"),
            ("insecure", "yes", "`yes`, expected true or false"),
            ("kafka.addr", "here", "`here`, expected off, or an address and a port such as 127.0.0.1:9092"),
            (
                "kafka.advertised",
                "tcp://a:1",
                "`tcp://a:1`, expected a host and a port such as broker.example.org:9092",
            ),
            ("groups.initial_rebalance_delay", "6m", "6m, expected at most 5m"),
            ("groups.max_size", "0", "`0`, expected 1 to 100000"),
            ("groups.offsets_retention", "1s", "1s, expected 1m to 3650d"),
            ("kafka.max_connections", "0", "`0`, expected 1 to 100000"),
            ("kafka.num_partitions", "1001", "`1001`, expected 1 to 1000"),
            ("log.format", "xml", "`xml`, expected text, json or auto"),
            ("memory", "1MiB", "1MiB, expected at least 64MiB"),
        ];
        for (name, text, expected) in cases {
            let knob = KNOBS.iter().find(|k| k.name == name).expect("a known setting");
            assert_eq!((knob.set)(&mut config, text), Err(expected.to_owned()), "{name}");
        }
    }

    #[test]
    fn an_advertised_address_may_leave_out_the_port_and_be_an_ipv6_literal() {
        let parse = |text| advertised(text).map(|a| (a.host, a.port));
        assert_eq!(parse("a.example:9093"), Ok(("a.example".to_owned(), Some(9093))));
        assert_eq!(parse("a.example"), Ok(("a.example".to_owned(), None)));
        assert_eq!(parse("[::1]:9092"), Ok(("::1".to_owned(), Some(9092))));
        assert_eq!(parse("[::1]"), Ok(("::1".to_owned(), None)));
        for wrong in ["a:b", "a:99999", ":1", "a b:1", "[::1]9092"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
