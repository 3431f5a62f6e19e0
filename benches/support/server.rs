//! The server as a process of its own, started on a free port of the loopback and asked over HTTP.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A started server. Dropping it kills it; its data goes with the last one that uses it.
pub(crate) struct Server {
    child: Child,
    addr: SocketAddr,
    http: reqwest::Client,
    /// from the start of the process until it was ready
    pub(crate) ready_after: Duration,
    _own_data: Option<TempDir>,
}

impl Server {
    /// On a data directory of its own.
    pub(crate) async fn start(flags: &[&str]) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("millstream-bench-").tempdir()?;
        let mut server = Self::start_in(data.path(), flags).await?;
        server._own_data = Some(data);
        Ok(server)
    }

    /// On the data directory of another, which has ended.
    pub(crate) async fn start_in(data: &Path, flags: &[&str]) -> Result<Self> {
        // Taken and given back: the server gets it a moment later.
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log_path = data.join("bench-server.log");
        let log = std::fs::File::options().create(true).append(true).open(&log_path)?;
        let begin = Instant::now();
        let mut command = Command::new(binary());
        command.args([
            "serve",
            "--http-addr",
            &addr.to_string(),
            "--kafka-addr",
            "off",
            "--log-level",
            "warn",
        ]);
        command.arg("--data-dir").arg(data.join("data")).args(flags);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        let http = reqwest::Client::new();
        let mut server = Self { child, addr, http, ready_after: Duration::ZERO, _own_data: None };
        while server.http.get(server.url("/readyz")).send().await.is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("the server ended with {status}: {}", std::fs::read_to_string(&log_path)?);
            }
            ensure!(begin.elapsed() < Duration::from_secs(60), "the server is not ready after 60 s");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        server.ready_after = begin.elapsed();
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        while self.child.try_wait()?.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        answer(self.http.get(self.url(path)).send().await?).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        answer(self.http.post(self.url(path)).json(body).send().await?).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value> {
        answer(self.http.delete(self.url(path)).send().await?).await
    }

    pub(crate) async fn create_topic(&self, name: &str, partitions: u32) -> Result<()> {
        self.post("/v1/topics", &json!({ "name": name, "partitions": partitions })).await.map(drop)
    }

    /// Uploads a module as version 1.0.0.
    pub(crate) async fn push(&self, name: &str, module: Vec<u8>) -> Result<()> {
        self.push_version(name, "1.0.0", module).await
    }

    pub(crate) async fn push_version(&self, name: &str, version: &str, module: Vec<u8>) -> Result<()> {
        let url = self.url(&format!("/v1/modules/{name}?version={version}"));
        let request = self.http.put(url).header("content-type", "application/wasm").body(module);
        answer(request.send().await?).await.map(drop)
    }

    /// Applies a spec under its name.
    pub(crate) async fn deploy(&self, spec: &Value) -> Result<()> {
        let name = spec["name"].as_str().context("a spec has a name")?;
        answer(self.http.put(self.url(&format!("/v1/deployments/{name}"))).json(spec).send().await?)
            .await
            .map(drop)
    }

    /// Produces NDJSON through the lines door.
    pub(crate) async fn produce_lines(&self, topic: &str, body: Vec<u8>) -> Result<()> {
        let url = self.url(&format!("/v1/topics/{topic}/records"));
        let request = self.http.post(url).header("content-type", "application/x-ndjson").body(body);
        let summary = answer(request.send().await?).await?;
        ensure!(summary["failed"] == 0, "lines failed: {summary}");
        Ok(())
    }

    /// The sum of a metric over its labels.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        let text = self.http.get(self.url("/metrics")).send().await?.text().await?;
        let lines = text.lines().filter_map(|line| line.strip_prefix(name));
        let values =
            lines.filter(|rest| rest.starts_with([' ', '{'])).filter_map(|rest| rest.rsplit_once(' '));
        Ok(values.filter_map(|(_, value)| value.parse::<f64>().ok()).sum())
    }

    /// Synced group writes so far.
    pub(crate) async fn syncs(&self) -> Result<f64> {
        self.metric("millstream_wal_sync_duration_seconds_count").await
    }

    /// Waits until a deployment has read all there is; the time that took.
    pub(crate) async fn drained(&self, deployment: &str, most: Duration) -> Result<Duration> {
        let begin = Instant::now();
        loop {
            let view = self.get(&format!("/v1/deployments/{deployment}")).await?;
            ensure!(view["state"] != "failed", "the deployment failed: {view}");
            let has_positions = view["tasks"][0]["positions"].as_array().is_some_and(|p| !p.is_empty());
            if view["totals"]["lag"] == 0 && has_positions {
                return Ok(begin.elapsed());
            }
            ensure!(begin.elapsed() < most, "not drained after {most:?}: {}", view["totals"]);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn answer(response: reqwest::Response) -> Result<Value> {
    let (status, url) = (response.status(), response.url().clone());
    let text = response.text().await?;
    ensure!(status.is_success(), "{url}: {status}: {text}");
    Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? })
}

/// The server of this build, or the one that `BENCH_SERVER` names: two builds can be compared.
fn binary() -> PathBuf {
    std::env::var_os("BENCH_SERVER").map_or_else(|| env!("CARGO_BIN_EXE_millstream").into(), PathBuf::from)
}

/// Bytes of a prebuilt guest.
pub(crate) fn prebuilt(name: &str) -> Result<Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("guest-examples/prebuilt/{name}.wasm"));
    std::fs::read(&path).with_context(|| format!("{} is missing; `make guests` builds it", path.display()))
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
