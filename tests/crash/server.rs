//! The server as a process: started, asked over HTTP, killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A started server. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    url: String,
    kafka: String,
    pub(crate) http: reqwest::Client,
}

impl Server {
    /// Starts the binary on a free port of the loopback and waits until it is ready.
    pub(crate) async fn start(binary: &Path, data: &Path) -> Result<Self> {
        Self::start_by(Command::new(binary), data).await
    }

    /// As [`Server::start`], the binary being an argument of another command.
    pub(crate) async fn start_by(mut command: Command, data: &Path) -> Result<Self> {
        let ready = data.with_extension("ready");
        let _ = std::fs::remove_file(&ready);
        let log = std::fs::File::options().create(true).append(true).open(data.with_extension("log"))?;
        command
            .args(["serve", "--http-addr", "127.0.0.1:0", "--kafka-addr", "127.0.0.1:0", "--data-dir"])
            .arg(data);
        command.arg("--ready-file").arg(&ready);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut child = command.spawn().context("starting the server")?;
        let started = Instant::now();
        loop {
            // HTTP stands in the first line, Kafka in the second.
            let addresses = std::fs::read_to_string(&ready).unwrap_or_default();
            if let [address, kafka, ..] = addresses.lines().collect::<Vec<_>>()[..] {
                let (url, kafka) = (format!("http://{address}"), kafka.to_owned());
                return Ok(Self { child, url, kafka, http: reqwest::Client::new() });
            }
            if let Some(status) = child.try_wait()? {
                let log = std::fs::read_to_string(data.with_extension("log")).unwrap_or_default();
                bail!("the server ended at its start with {status}:\n{log}");
            }
            if started.elapsed() > Duration::from_secs(60) {
                let _ = child.kill();
                bail!("the server was not ready within 60 s");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// `host:port` for Kafka clients.
    pub(crate) fn kafka(&self) -> String {
        self.kafka.clone()
    }

    /// SIGKILL: no handler, no flush, no farewell.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        answer(self.http.get(format!("{}{path}", self.url)).send().await?).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<()> {
        answer(self.http.post(format!("{}{path}", self.url)).json(body).send().await?).await.map(drop)
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<()> {
        answer(self.http.put(format!("{}{path}", self.url)).json(body).send().await?).await.map(drop)
    }

    pub(crate) async fn put_bytes(&self, path: &str, body: Vec<u8>) -> Result<()> {
        let request = self.http.put(format!("{}{path}", self.url)).header("content-type", "application/wasm");
        answer(request.body(body).send().await?).await.map(drop)
    }
}

async fn answer(response: reqwest::Response) -> Result<Value> {
    let (status, url) = (response.status(), response.url().clone());
    let text = response.text().await?;
    if !status.is_success() {
        bail!("{url}: {status}: {text}");
    }
    Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? })
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
