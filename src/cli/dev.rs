//! `millstream dev`: a server, the module of a folder on it, and again after every saved change. A version that does not
//! build, or that the server refuses, leaves the one before at work. Meanwhile the output and the code's log are shown.

mod server;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use self::watch::Watch;
use super::client::Call;
use super::failure::Failure;
use super::output::at;
use super::project::Project;
use super::session::Session;
use super::{consume, deploy, deployment, module, toolchain};
use crate::runtime::backoff;
use crate::runtime::clock::{Clock, monotonic};

/// Before a stream that ended is opened again, growing.
const PAUSE: Duration = Duration::from_millis(250);

/// Run the module of a folder and swap it whenever a file is saved
#[derive(Args)]
#[command(
    after_help = "The server of --url is used when one answers there; else one is started, with its data in \
    .millstream/ of the folder.\nWhat is deployed is deploy.yaml; input topics that are missing are made. Ctrl-C ends all."
)]
pub(super) struct Dev {
    /// Folder of the project
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Kafka address of a server that is started, or off
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9092")]
    kafka_addr: String,
    /// End after the first version runs
    #[arg(long)]
    once: bool,
}

pub(super) async fn run(session: &Session, args: Dev) -> Result<(), Failure> {
    let project = Project::open(&args.folder)?;
    let mut server = None;
    let ended = tokio::select! {
        biased;
        ended = interrupted() => ended.map_err(|e| Failure::local("cannot wait for signals", e)),
        ended = async {
            server = server::use_or_start(session, &project, &args.kafka_addr).await?;
            work(session, &project, args.once).await
        } => ended,
    };
    if let Some(server) = server {
        server.stop(session).await;
    }
    ended
}

/// Ctrl-C, a request to end, or the end of the terminal: none of them may leave the server behind.
async fn interrupted() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        ended = tokio::signal::ctrl_c() => ended,
        _ = terminate.recv() => Ok(()),
        _ = hangup.recv() => Ok(()),
    }
}

/// Deploys, then watches and shows, until something ends it from outside.
async fn work(session: &Session, project: &Project, once: bool) -> Result<(), Failure> {
    let began_ms = Clock::system().now_ms();
    let mut watch = Watch::of(&project.folder);
    let mut spec = loop {
        match swap(session, project, &mut watch).await {
            Ok(spec) => break spec,
            Err(failure) if once => return Err(failure),
            Err(failure) => complain(session, &failure, "nothing runs yet; waiting for a change"),
        }
        watch.changed().await;
    };
    if once {
        return Ok(());
    }
    session.out.hint(invitation(&spec));
    loop {
        let (name, topics) = (at(&spec, "/name"), shown_topics(&spec));
        // Until a version has another name or other topics: then something else has to be shown.
        let swaps = async {
            loop {
                watch.changed().await;
                match swap(session, project, &mut watch).await {
                    Ok(new) if (at(&new, "/name"), shown_topics(&new)) != (name.clone(), topics.clone()) => {
                        break new;
                    }
                    Ok(_) => {}
                    Err(failure) => complain(session, &failure, "the version before stays at work"),
                }
            }
        };
        spec = tokio::select! {
            new = swaps => new,
            failure = show_records(session, &topics) => return Err(failure),
            failure = show_log(session, &name, began_ms) => return Err(failure),
        };
    }
}

/// Builds, uploads and deploys what the folder holds now; answers what is deployed.
async fn swap(session: &Session, project: &Project, watch: &mut Watch) -> Result<Value, Failure> {
    watch.take();
    let began = monotonic();
    let path = project.path("deploy.yaml");
    let text = std::fs::read_to_string(&path)
        .map_err(|e| Failure::local(&format!("cannot read {}", path.display()), e))?;
    let refused = |why: String| Failure::Refused(format!("{}: {why}", path.display()));
    let specs = deploy::parse(&text).map_err(refused)?;
    let own = specs.iter().find(|spec| spec["module"] == project.name.as_str()).cloned();
    let mut spec = own.ok_or_else(|| {
        Failure::Refused(format!("{}: no deployment has `module: {}`", path.display(), project.name))
    })?;

    let built = toolchain::build(session, project).await?;
    let uploading = monotonic();
    let uploaded = module::upload(session, &project.name, &built.file, None, false).await?;
    let upload = uploading.elapsed();
    make_topics(session, &spec).await?;
    let version = at(&uploaded, "/version");
    spec["module"] = json!(format!("{}@{version}", project.name));
    let name = at(&spec, "/name");
    session.client.json(Call::put(&["v1", "deployments", &name]).json(&spec)).await?;
    deploy::wait_until_running(session, &name).await?;

    session.out.hint(format!(
        "{} is at work as `{name}`: built in {:.1} s, compiled in {:.1} s, {:.1} s after the save",
        at(&spec, "/module"),
        built.took.as_secs_f64(),
        upload.as_secs_f64(),
        watch.age().unwrap_or_default().max(began.elapsed()).as_secs_f64(),
    ));
    Ok(spec)
}

fn complain(session: &Session, failure: &Failure, then: &str) {
    let text = failure.report(session.verbose).unwrap_or_default();
    session.out.hint(format!("{text}{then}"));
}

/// Makes the input topics that are missing.
async fn make_topics(session: &Session, spec: &Value) -> Result<(), Failure> {
    for topic in names(&spec["input"]["topics"]) {
        match session.client.json(Call::get(&["v1", "topics", topic])).await {
            Ok(_) => {}
            Err(failure) if failure.code() == 3 => {
                let call = Call::put(&["v1", "topics", topic]).json(&json!({ "partitions": 1 }));
                session.client.json(call).await?;
                session.out.hint(format!("topic `{topic}` is made"));
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// Where the code's records are seen: inline the topic itself, else the outputs.
fn shown_topics(spec: &Value) -> Vec<String> {
    if spec["kind"] == "inline" {
        return names(&spec["input"]["topics"]).map(str::to_owned).collect();
    }
    let routes = spec["output"]["routes"].as_object().into_iter().flatten().map(|(_, topic)| topic);
    let all = std::iter::once(&spec["output"]["default"]).chain(routes);
    all.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn names(topics: &Value) -> impl Iterator<Item = &str> {
    topics.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// What to try next.
fn invitation(spec: &Value) -> String {
    let Some(topic) = names(&spec["input"]["topics"]).next() else {
        return "what the code brings is shown as it comes".to_owned();
    };
    format!("try: echo hello | millstream produce {topic} --format text")
}

/// The records of topics from now on, until nobody reads them.
async fn show_records(session: &Session, topics: &[String]) -> Failure {
    if topics.is_empty() {
        return std::future::pending().await;
    }
    let each = topics.iter().map(|topic| Box::pin(again(|_| consume::show(session, topic))));
    futures_util::future::select_all(each).await.0
}

/// The code's log from a time on, until nobody reads it.
async fn show_log(session: &Session, deployment: &str, began_ms: i64) -> Failure {
    let since = |again: u32| if again == 0 { began_ms } else { Clock::system().now_ms() };
    again(|again| deployment::follow_log(session, deployment, since(again))).await
}

/// Follows something that ends when its server goes, and begins anew when that is back. Only a closed stdout is an end.
async fn again<F: Future<Output = Result<(), Failure>>>(mut follow: impl FnMut(u32) -> F) -> Failure {
    let mut times = 0;
    loop {
        if let Err(failure @ Failure::OutputClosed) = follow(times).await {
            return failure;
        }
        times += 1;
        tokio::time::sleep(backoff::pause(PAUSE, times)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_of_the_code_are_seen_in_its_outputs_or_inline_in_its_input() {
        let inline = json!({ "kind": "inline", "input": { "topics": ["events"] } });
        assert_eq!(shown_topics(&inline), ["events"]);
        let processor = json!({ "kind": "processor", "input": { "topics": ["events"] },
            "output": { "default": "counts", "routes": { "late": "late-events" } } });
        assert_eq!(shown_topics(&processor), ["counts", "late-events"]);
    }
}
