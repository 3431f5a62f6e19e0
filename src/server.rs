//! Floor 8: the server, put together. Builds upward in the order of the floors, runs until a signal or until the storage
//! fails, and stops downward: the doors first, then the deployments, the storage last.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::broker::Broker;
use crate::config::{Config, KNOBS, Knob};
use crate::groups::{self, Groups};
use crate::http;
use crate::kafka::{self, Advertised};
use crate::model::limits::{MIB, MODULE_BYTES_MAX};
use crate::pipelines::{self, Pipelines};
use crate::registry::{self, Registry};
use crate::runtime::build;
use crate::runtime::clock::Clock;
use crate::runtime::guests::GuestThreads;
use crate::runtime::listener::Listener;
use crate::runtime::shutdown::{self, Shutdown};
use crate::runtime::{nudges, slices, tasks};
use crate::storage::{self, Storage};
use crate::telemetry::metrics::Metrics;
use crate::wasm;

/// Threads for reads that wait for the disk. One disk serves a handful of reads at once; more only queue in the kernel.
const READER_THREADS: usize = 4;
/// How often recorded metrics are folded into their histograms.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// How often idempotency keys that are past their time are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
/// Transactions that take too long are looked for: their timeouts are whole seconds, mostly a minute.
const TIME_OUT_EVERY: Duration = Duration::from_secs(1);
/// What the end of the runtime waits for tasks that did not stop by themselves.
const RUNTIME_STOP: Duration = Duration::from_secs(2);
/// What requests get that waited for a storage that failed, to be told that their outcome is not known.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// After a second signal, as a shell reports a death by SIGINT.
const INTERRUPTED: i32 = 130;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// the HTTP door
    pub http: SocketAddr,
    /// the Kafka door, unless it is off
    pub kafka: Option<SocketAddr>,
    /// what Kafka clients are told to connect to
    pub advertised: Option<String>,
}

/// Runs a server until it is told to stop or its storage fails. `listening` is called once with the addresses, when
/// requests are taken. Blocks; to be called once, outside of any runtime.
///
/// # Errors
/// What kept it from starting. A storage that fails later is logged and gives a failure code.
pub fn run(
    config: Config,
    listening: impl FnOnce(&Addresses) -> std::io::Result<()>,
) -> anyhow::Result<ExitCode> {
    let _nudges = nudges::start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("net")
        // Who asks is not to wait for a guest that computes.
        .on_thread_start(slices::short)
        .build()?;
    let code = runtime.block_on(serve(config, listening));
    runtime.shutdown_timeout(RUNTIME_STOP);
    code
}

async fn serve(
    config: Config,
    listening: impl FnOnce(&Addresses) -> std::io::Result<()>,
) -> anyhow::Result<ExitCode> {
    tracing::info!(version = build::VERSION, commit = build::COMMIT, "starting: {}", config.summary());
    // Before anything is opened, so that a signal during recovery is not lost, and a taken address is told at once.
    let mut signals = Signals::new()?;
    let listeners = Listeners::bind(&config).await?;
    let addresses = listeners.addresses(&config);

    let metrics = Metrics::install().unwrap_or_else(Metrics::detached);
    let clock = Clock::system();
    let storage = open_storage(&config, &clock).await?;
    let engine = wasm::Engine::new(node_limits(&config)).context("cannot set up the Wasm engine")?;
    let registry = open_registry(&config, &storage, engine, &clock)?;
    let guests = GuestThreads::start(config.guest_threads).context("cannot start the guests' threads")?;
    let groups = Groups::open(storage.clone(), clock.clone(), group_options(&config))
        .context("cannot open the groups")?;
    let broker = Broker::open(storage.clone(), groups.clone(), guests.handle(), clock)
        .context("cannot open the topics")?;
    let options = pipelines::Options {
        instances_max: config.limits.node_instances,
        deployments_max: config.limits.deployments,
        ceiling: config.limits.ceiling.clone(),
        outbound: outbound(&config)?,
    };
    let pipelines = Pipelines::open(broker.clone(), registry.clone(), options).await?;

    let (trigger, stopping) = shutdown::channel();
    let upkeep = tasks::spawn("upkeep", upkeep(metrics.clone(), broker.clone(), pipelines.clone()));
    let (deployments, topics) = (pipelines.clone(), broker.clone());
    let state = http::State {
        broker: broker.clone(),
        pipelines: pipelines.clone(),
        registry,
        storage: storage.clone(),
        identity: identity(&config, &addresses),
        metrics_render: Box::new(move || {
            let mut text = metrics.render();
            text.push_str(&deployments.render_metrics());
            text.push_str(&kafka::render_metrics(&topics));
            text
        }),
    };
    let mut failed = storage.failed();
    let mut doors = tasks::spawn("doors", listeners.serve(&config, state, kafka::State { broker }, stopping));
    let kafka = addresses.kafka.map_or_else(|| "off".to_owned(), |address| address.to_string());
    tracing::info!(http = %addresses.http, kafka, "listening");
    listening(&addresses).context("cannot write the ready file")?;

    let cause = tokio::select! {
        // A failed storage is the one thing that must not wait.
        biased;
        failure = failed.wait_for(Option::is_some) => {
            failure.ok().and_then(|f| f.clone()).or_else(|| Some("its writer is gone".to_owned()))
        }
        name = signals.next() => {
            tracing::info!(signal = name, drain = ?config.drain, "stopping; a second signal exits at once");
            None
        }
        ended = &mut doors => Some(format!("the doors ended: {ended:?}")),
    };
    trigger.fire();
    if let Some(cause) = cause {
        // Nothing more can be stored; a restart recovers what was acknowledged.
        tracing::error!(cause, "the server cannot go on; restart it");
        if !doors.is_finished() {
            let _ = tokio::time::timeout(LAST_ANSWERS, doors).await;
        }
        return Ok(ExitCode::FAILURE);
    }

    // Each step waits for the one before: nothing new comes in, then nothing runs, then the writer ends. Together they
    // keep to `drain`, so that a supervisor's patience is not used up by slow clients before the writer has ended.
    let drained = async {
        let _ = doors.await;
        if tokio::time::timeout(config.drain * 2 / 5, pipelines.close()).await.is_err() {
            tracing::warn!("some tasks did not end in time; their batch is done again after the next start");
        }
        upkeep.abort();
        groups.close();
        let _ = tasks::spawn_blocking("close", move || storage.close()).await;
    };
    tokio::select! {
        () = drained => tracing::info!("stopped"),
        _ = signals.next() => std::process::exit(INTERRUPTED),
    }
    drop(guests);
    Ok(ExitCode::SUCCESS)
}

/// The bound addresses.
struct Listeners {
    http: Listener,
    kafka: Option<Listener>,
}

impl Listeners {
    async fn bind(config: &Config) -> anyhow::Result<Self> {
        let failed = |addr: SocketAddr, flag: &'static str| {
            move || format!("cannot listen on {addr} (choose another with {flag})")
        };
        let addr = config.http.addr;
        let http = Listener::bind(addr).await.with_context(failed(addr, "--http-addr"))?;
        let kafka = match config.kafka.addr {
            Some(addr) => Some(Listener::bind(addr).await.with_context(failed(addr, "--kafka-addr"))?),
            None => None,
        };
        Ok(Self { http, kafka })
    }

    fn addresses(&self, config: &Config) -> Addresses {
        let kafka = self.kafka.as_ref().map(Listener::local_addr);
        let advertised = kafka.map(|bound| {
            let own = || Advertised { host: bound.ip().to_string(), port: None };
            let advertised = config.kafka.advertised.clone().unwrap_or_else(own);
            Advertised { port: advertised.port.or(Some(bound.port())), ..advertised }.to_string()
        });
        Addresses { http: self.http.local_addr(), kafka, advertised }
    }

    /// Serves through all doors until the shutdown.
    fn serve(
        self,
        config: &Config,
        http_state: http::State,
        kafka_state: kafka::State,
        stopping: Shutdown,
    ) -> impl Future<Output = ()> + Send + 'static {
        let drain = config.drain * 3 / 5;
        let http_options = http::Options {
            allowed_hosts: config.http.allowed_hosts.clone(),
            memory: http_memory(config.memory),
            drain,
            ..http::Options::default()
        };
        let kafka_options = kafka::Options {
            advertised: config.kafka.advertised.clone(),
            auto_create_topics: config.kafka.auto_create_topics,
            num_partitions: config.kafka.num_partitions,
            accept_replication_factor: config.kafka.accept_replication_factor,
            max_connections: config.kafka.max_connections,
            memory: usize::try_from(config.memory / 8).unwrap_or(usize::MAX),
            drain,
        };
        let http = http::serve(self.http, http_options, http_state, stopping.clone());
        let kafka = async move {
            if let Some(listener) = self.kafka {
                kafka::serve(listener, kafka_options, kafka_state, stopping).await;
            }
        };
        async move {
            tokio::join!(http, kafka);
        }
    }
}

/// A quarter of the memory, but at least one module of the largest size beside other requests.
fn http_memory(memory: u64) -> usize {
    let least = MODULE_BYTES_MAX + 16 * MIB;
    usize::try_from(memory / 4).unwrap_or(usize::MAX).clamp(least, http::Options::default().memory)
}

/// What all guests may have together.
fn node_limits(config: &Config) -> wasm::NodeLimits {
    wasm::NodeLimits {
        instances: config.limits.node_instances,
        memory: config.limits.guest_memory,
        threads: config.guest_threads,
    }
}

fn group_options(config: &Config) -> groups::Options {
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let mut options = groups::Options::default();
    options.rules.initial_delay_ms = ms(config.groups.initial_rebalance_delay);
    options.rules.members_max = config.groups.max_size;
    options.offsets_kept_ms = ms(config.groups.offsets_retention);
    options
}

/// What the server tells of itself.
fn identity(config: &Config, addresses: &Addresses) -> http::Identity {
    let setting = |knob: &Knob| {
        let given = config.given.iter().find(|given| given.name == knob.name);
        http::SettingView {
            name: knob.name,
            value: given.map(|given| given.text.clone()),
            default: knob.default,
            origin: given.map_or_else(|| "the default".to_owned(), |given| given.origin.clone()),
            description: knob.doc,
        }
    };
    http::Identity {
        node_id: kafka::NODE_ID,
        listeners: http::ListenersView {
            http: addresses.http.to_string(),
            kafka: addresses.kafka.map(|addr| addr.to_string()),
            kafka_advertised: addresses.advertised.clone(),
        },
        settings: KNOBS.iter().map(setting).collect(),
    }
}

/// Recovery may take seconds; it runs beside the runtime.
async fn open_storage(config: &Config, clock: &Clock) -> anyhow::Result<Storage> {
    let options = storage::Options {
        dir: config.data_dir.clone(),
        memory: config.memory,
        clock: clock.clone(),
        reader_threads: READER_THREADS,
    };
    let opened = tasks::spawn_blocking("open storage", move || Storage::open(options)).await?;
    let storage = opened.with_context(|| format!("cannot open the data in {}", config.data_dir.display()))?;
    if let Some(bytes) = config.disk_reserve {
        storage.set_disk_reserve(bytes);
    }
    for warning in storage.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(storage)
}

/// How guests go out.
fn outbound(config: &Config) -> anyhow::Result<wasm::Outbound> {
    let read = |path: &PathBuf| {
        std::fs::read(path).with_context(|| format!("cannot read outbound.ca_file {}", path.display()))
    };
    let trusted = config.outbound.ca_file.as_ref().map(read).transpose()?;
    wasm::Outbound::new(config.secrets.clone(), trusted.as_deref())
        .context("cannot set up the requests of sinks and sources")
}

fn open_registry(
    config: &Config,
    storage: &Storage,
    engine: wasm::Engine,
    clock: &Clock,
) -> anyhow::Result<Registry> {
    let options = registry::Options {
        cache_dir: config.data_dir.join("compiled"),
        exe: this_program()?,
        compile_cpu: config.limits.compile_cpu,
        clock: clock.clone(),
    };
    Registry::open(storage.clone(), engine, options).context("cannot open the modules")
}

/// The binary that runs, also after its file was replaced by a newer one.
fn this_program() -> anyhow::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    std::env::current_exe().context("cannot find this program, which also compiles modules")
}

/// What has to be done now and then, for as long as the server runs.
async fn upkeep(metrics: Metrics, broker: Broker, pipelines: Pipelines) {
    let mut fold = tokio::time::interval(UPKEEP_EVERY);
    let mut expire = tokio::time::interval(EXPIRE_EVERY);
    let mut time_out = tokio::time::interval(TIME_OUT_EVERY);
    loop {
        tokio::select! {
            _ = fold.tick() => metrics.upkeep(),
            _ = time_out.tick() => {
                pipelines.rest_queries();
                broker.abort_timed_out_transactions().await;
            }
            _ = expire.tick() => {
                broker.rest_views();
                if let Err(error) = broker.expire_idempotency_keys().await {
                    tracing::warn!(%error, "old idempotency keys could not be deleted; tried again in a minute");
                }
                if let Err(error) = broker.expire_producers().await {
                    tracing::warn!(%error, "silent producers could not be forgotten; tried again in a minute");
                }
                if let Err(error) = broker.expire_transactional_ids().await {
                    tracing::warn!(%error, "unused transactional ids could not be forgotten; tried again in a minute");
                }
            }
        }
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one; its name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
