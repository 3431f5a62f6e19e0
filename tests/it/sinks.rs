//! Sinks, against a server on this machine that plays the one outside.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::post;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::Server;

const SECRET: &str = "s3cr3t-of-the-hook";

/// What the one outside has seen.
#[derive(Default)]
struct Seen {
    /// offsets of accepted requests, in the order of arrival
    offsets: Mutex<Vec<u64>>,
    authorization: Mutex<BTreeSet<String>>,
    /// requests that are still to be turned away with 503
    busy: AtomicUsize,
    /// requests that were not accepted
    refused: AtomicUsize,
}

impl Seen {
    fn distinct(&self) -> Vec<u64> {
        self.offsets.lock().iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// `/hook` takes arrays of records without `poison`; `/moved` leads there.
#[expect(clippy::disallowed_methods, reason = "the one outside is no part of the server")]
async fn outside() -> Result<(SocketAddr, Arc<Seen>)> {
    let seen = Arc::new(Seen::default());
    let routes = Router::new()
        .route("/hook", post(hook))
        .route("/moved", post(|| async { Redirect::temporary("/hook") }))
        .with_state(seen.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok((address, seen))
}

async fn hook(State(seen): State<Arc<Seen>>, headers: HeaderMap, body: String) -> Response {
    let turned_away = seen.busy.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
    if turned_away || body.contains("poison") {
        seen.refused.fetch_add(1, Relaxed);
        let status = if turned_away { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::BAD_REQUEST };
        return status.into_response();
    }
    let records: Vec<Value> = serde_json::from_str(&body).unwrap_or_default();
    seen.offsets.lock().extend(records.iter().filter_map(|record| record["offset"].as_u64()));
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
    seen.authorization.lock().insert(authorization.unwrap_or_default().to_owned());
    StatusCode::NO_CONTENT.into_response()
}

fn spec(url: &str, grant: &Value) -> Value {
    json!({
        "kind": "sink", "module": "webhook-sink", "input": { "topics": ["in"] }, "params": { "url": url },
        "grants": { "http": [grant] }, "on_error": { "backoff": "10ms" }
    })
}

async fn prepared(server: &Server) -> Result<()> {
    server.topic("in", 1).await?;
    server.upload("webhook-sink").await?.expect(201).map(drop)
}

async fn produce(server: &Server, values: &[&str]) -> Result<()> {
    let records: Vec<_> = values.iter().map(|value| json!({ "key": "k", "value": { "n": value } })).collect();
    server.post("/v1/topics/in/records", &json!({ "records": records })).await?.expect(200).map(drop)
}

fn delivered(records: u64) -> impl Fn(&Value) -> bool {
    move |d| d["totals"]["lag"] == 0 && d["totals"]["records_in"].as_u64() >= Some(records)
}

/// The files below a folder that contain these bytes.
fn files_with(folder: &Path, needle: &[u8], found: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files_with(&path, needle, found)?;
        } else if memchr::memmem::find(&std::fs::read(&path)?, needle).is_some() {
            found.push(path.display().to_string());
        }
    }
    Ok(())
}

#[tokio::test]
async fn records_go_out_with_the_secret_which_is_nowhere_to_be_seen() -> Result<()> {
    let (address, seen) = outside().await?;
    let dir = tempfile::tempdir()?;
    let (secret, settings) = (dir.path().join("secret"), dir.path().join("settings.toml"));
    std::fs::write(&secret, format!("{SECRET}\n"))?;
    std::fs::write(&settings, format!("[secrets]\nhook = {{ file = \"{}\" }}\n", secret.display()))?;
    let args = [
        "--config",
        &settings.to_string_lossy(),
        "--log-level",
        "info,millstream=trace,wasmtime_wasi_http=trace",
    ];
    let server = Server::start_with(&args).await?;
    prepared(&server).await?;
    let mut spec = spec(&format!("http://{address}/hook"), &json!(format!("http://{address}")));
    spec["grants"]["secrets"] =
        json!([{ "name": "other", "header": "authorization", "format": "Bearer {}" }]);
    let refused = server.put("/v1/deployments/hook", &spec).await?.expect(422)?.json()?;
    assert_eq!(refused["errors"][0]["pointer"], "/grants/secrets/0/name", "{refused:#}");
    assert!(refused["errors"][0]["detail"].to_string().contains("no secret `other`"), "{refused:#}");

    spec["grants"]["secrets"][0]["name"] = json!("hook");
    server.put("/v1/deployments/hook", &spec).await?.expect(201)?;
    produce(&server, &["a", "b", "c"]).await?;
    server.until("/v1/deployments/hook", delivered(3)).await?;
    assert_eq!(seen.distinct(), [0, 1, 2]);
    assert_eq!(*seen.authorization.lock(), [format!("Bearer {SECRET}")].into());

    for path in ["/v1/deployments/hook", "/v1/deployments", "/v1/config", "/v1/cluster", "/metrics"] {
        assert!(!server.get(path).await?.text().contains(SECRET), "{path}");
    }
    let mut found = Vec::new();
    files_with(server.folder(), SECRET.as_bytes(), &mut found)?;
    assert_eq!(found, [""; 0], "data and log of the server");

    let groups = server.get("/v1/groups/deployment.hook").await?.expect(200)?.text();
    assert!(groups.contains("deployment.hook"), "{groups}");
    Ok(())
}

#[tokio::test]
async fn a_sink_tries_again_until_it_is_taken() -> Result<()> {
    let (address, seen) = outside().await?;
    seen.busy.store(3, Relaxed);
    let server = Server::start().await?;
    prepared(&server).await?;
    let spec = spec(&format!("http://{address}/hook"), &json!(format!("http://{address}")));
    server.put("/v1/deployments/hook", &spec).await?.expect(201)?;
    produce(&server, &["a", "b"]).await?;
    server.until("/v1/deployments/hook", delivered(2)).await?;
    assert_eq!((seen.distinct(), seen.refused.load(Relaxed)), (vec![0, 1], 3));
    Ok(())
}

#[tokio::test]
async fn the_record_that_is_not_taken_becomes_a_dead_letter_and_the_others_arrive() -> Result<()> {
    let (address, seen) = outside().await?;
    let server = Server::start().await?;
    prepared(&server).await?;
    let mut spec = spec(&format!("http://{address}/hook"), &json!(format!("http://{address}")));
    spec["on_error"] = json!({ "policy": "dead_letter", "max_retries": 0, "backoff": "10ms" });
    server.put("/v1/deployments/hook", &spec).await?.expect(201)?;
    produce(&server, &["a", "b", "poison", "d", "e"]).await?;
    let view = server.until("/v1/deployments/hook", delivered(5)).await?;
    assert_eq!(view["totals"]["dead_letters"], 1, "{view:#}");
    assert_eq!(seen.distinct(), [0, 1, 3, 4]);
    let letters = server.get("/v1/topics/hook.dlq/records").await?.expect(200)?.text();
    assert!(letters.contains("poison") && letters.contains("answered 400"), "{letters}");
    // A sink has no dry run, so nothing names one.
    assert_eq!((&view["last_error"]["offset"], view["last_error"].get("reproduce")), (&json!(2), None));
    assert!(!letters.contains("millstream.reproduce"), "{letters}");
    let body = json!({ "records": [{ "value": 1 }] });
    let refused = server.post("/v1/deployments/hook/run", &body).await?.expect(409)?.json()?;
    assert_eq!(refused["code"], "deployment_kind_mismatch", "{refused:#}");
    Ok(())
}

#[tokio::test]
async fn after_a_kill_delivery_goes_on_without_a_gap() -> Result<()> {
    let (address, seen) = outside().await?;
    let server = Server::start().await?;
    prepared(&server).await?;
    let spec = spec(&format!("http://{address}/hook"), &json!(format!("http://{address}")));
    server.put("/v1/deployments/hook", &spec).await?.expect(201)?;
    produce(&server, &["a", "b", "c"]).await?;
    server.until("/v1/deployments/hook", delivered(3)).await?;
    // Killed while it is turned away: these two were not noted down.
    seen.busy.store(usize::MAX, Relaxed);
    produce(&server, &["d", "e"]).await?;
    server
        .until("/v1/deployments/hook", |d| {
            d["totals"]["errors"].as_u64() > Some(0) || d["state"] == "retrying" || d["state"] == "failed"
        })
        .await?;
    let server = server.restart().await?;
    seen.busy.store(0, Relaxed);
    server.post("/v1/deployments/hook/restart", &json!({})).await?.expect(202)?;
    server.until("/v1/deployments/hook", |d| d["totals"]["lag"] == 0).await?;
    assert_eq!(seen.distinct(), [0, 1, 2, 3, 4]);
    assert_eq!(seen.offsets.lock()[..3], [0, 1, 2], "what was noted down is not delivered again");
    Ok(())
}

#[tokio::test]
async fn what_is_not_granted_stays_unreached_and_the_deployment_says_why() -> Result<()> {
    let (address, seen) = outside().await?;
    let server = Server::start().await?;
    prepared(&server).await?;
    produce(&server, &["a"]).await?;
    let port = address.port();
    let cases = [
        (
            "elsewhere",
            format!("http://{address}/hook"),
            "https://hooks.example.com".into(),
            "does not cover it",
        ),
        (
            "private",
            format!("http://localhost:{port}/hook"),
            format!("http://localhost:{port}"),
            "no public network",
        ),
        ("redirect", format!("http://{address}/moved"), format!("http://{address}"), "answered 307"),
    ];
    for (name, url, grant, expected) in cases {
        let mut spec = spec(&url, &json!(grant));
        spec["on_error"]["max_retries"] = json!(0);
        server.put(&format!("/v1/deployments/{name}"), &spec).await?.expect(201)?;
        let failed = server.until(&format!("/v1/deployments/{name}"), |d| d["state"] == "failed").await?;
        let message = failed["last_error"]["message"].to_string();
        assert!(message.contains(expected), "{name}: {message}");
    }
    assert!(seen.offsets.lock().is_empty());

    let mut spec = spec(&format!("http://{address}/hook"), &json!("http://a@b"));
    let refused = server.put("/v1/deployments/bad", &spec).await?.expect(422)?.json()?;
    assert_eq!(refused["errors"][0]["pointer"], "/grants/http/0", "{refused:#}");
    spec["grants"]["http"] = json!([{ "url": "http://localhost", "privat": true }]);
    let misspelt = server.put("/v1/deployments/bad", &spec).await?.expect(422)?.json()?;
    let detail = misspelt["detail"].as_str().unwrap_or_default();
    assert!(detail.starts_with("/grants is not valid: expected a URL such as"), "{misspelt:#}");
    spec["grants"]["http"] = json!([{ "url": format!("http://localhost:{port}"), "private": true }]);
    spec["params"]["url"] = json!(format!("http://localhost:{port}/hook"));
    server.put("/v1/deployments/private", &spec).await?.expect(200)?;
    server.until("/v1/deployments/private", |d| d["totals"]["lag"] == 0).await?;
    assert_eq!(seen.distinct(), [0]);
    Ok(())
}

#[tokio::test]
async fn a_sink_whose_secret_is_gone_after_a_restart_says_so_and_goes_on_when_it_is_back() -> Result<()> {
    let (address, seen) = outside().await?;
    let dir = tempfile::tempdir()?;
    let (secret, settings) = (dir.path().join("secret"), dir.path().join("settings.toml"));
    std::fs::write(&secret, SECRET)?;
    let with = |hosts: &str| format!("[secrets]\nhook = {{ file = \"{}\"{hosts} }}\n", secret.display());
    std::fs::write(&settings, with(""))?;
    let server = Server::start_with(&["--config", &settings.to_string_lossy()]).await?;
    prepared(&server).await?;
    let mut spec = spec(&format!("http://{address}/hook"), &json!(format!("http://{address}")));
    spec["grants"]["secrets"] = json!([{ "name": "hook", "header": "authorization" }]);
    server.put("/v1/deployments/hook", &spec).await?.expect(201)?;
    produce(&server, &["a"]).await?;
    server.until("/v1/deployments/hook", |d| d["totals"]["lag"] == 0).await?;

    let cases = [
        ("[log]\n".to_owned(), "the server has no secret `hook`"),
        (with(", hosts = [\"hooks.example.com\"]"), "secret `hook` may not go to http://127.0.0.1:"),
    ];
    let mut server = server;
    for (n, (config, words)) in cases.into_iter().enumerate() {
        std::fs::write(&settings, config)?;
        server = server.restart().await?;
        let failed = server.until("/v1/deployments/hook", |d| d["state"] == "failed").await?;
        let error = &failed["last_error"];
        assert_eq!(error["code"], "grants_unusable", "{failed:#}");
        assert!(error["message"].to_string().contains(words), "{failed:#}");
        let metrics = server.get("/metrics").await?.text();
        let line = "millstream_deployment_state{deployment=\"hook\",kind=\"sink\",state=\"failed\"} 1";
        assert!(metrics.contains(line), "{metrics}");
        produce(&server, &["b"]).await?;
        let again = server.post("/v1/deployments/hook/restart", &json!({})).await?;
        assert!(again.status < 300, "{}", again.text());
        server
            .until("/v1/deployments/hook", |d| d["state"] == "failed" && d["totals"]["lag"] == n + 1)
            .await?;
    }
    assert_eq!(seen.distinct(), [0]);

    std::fs::write(&settings, with(&format!(", hosts = [\"http://{address}\"]")))?;
    let server = server.restart().await?;
    server.until("/v1/deployments/hook", |d| d["state"] == "running" && d["totals"]["lag"] == 0).await?;
    assert_eq!(seen.distinct(), [0, 1, 2]);
    Ok(())
}
