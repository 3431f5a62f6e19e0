//! The server as a process, asked over HTTP.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A started server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    url: String,
    http: reqwest::Client,
}

/// Status and body of an answer.
pub(crate) type Answer = (u16, Value);

impl Server {
    /// Starts the binary on free ports of the loopback, with these settings and a library before all others, and waits
    /// until it is ready.
    pub(crate) async fn start(binary: &Path, dir: &Path, settings: &str, library: &Path) -> Result<Self> {
        let (ready, file, log) = (dir.join("ready"), dir.join("settings.toml"), dir.join("log"));
        std::fs::write(&file, settings)?;
        let mut command = Command::new(binary);
        command.args(["serve", "--http-addr", "127.0.0.1:0", "--kafka-addr", "off", "--data-dir"]);
        command.arg(dir.join("data")).arg("--ready-file").arg(&ready).arg("--config").arg(&file);
        command.env("LD_PRELOAD", library);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log)?);
        let mut child = command.spawn().context("starting the server")?;
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(60) {
            if let Some(address) = std::fs::read_to_string(&ready).unwrap_or_default().lines().next() {
                return Ok(Self { child, url: format!("http://{address}"), http: reqwest::Client::new() });
            }
            if let Some(status) = child.try_wait()? {
                bail!("the server ended with {status}:\n{}", std::fs::read_to_string(&log)?);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let _ = child.kill();
        bail!("the server was not ready within 60 s")
    }

    /// From now on [`Self::peak_mib`] counts anew (Linux, `proc(5)`).
    pub(crate) fn forget_peak(&self) -> Result<()> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?)
    }

    /// The most memory that the process has had, in MiB.
    pub(crate) fn peak_mib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the peak")?;
        Ok(peak.trim().trim_end_matches(" kB").parse::<u64>()? >> 10)
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer> {
        answer(self.http.get(format!("{}{path}", self.url))).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        answer(self.http.post(format!("{}{path}", self.url)).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Answer> {
        answer(self.http.delete(format!("{}{path}", self.url))).await
    }

    /// Puts what may be refused.
    pub(crate) async fn try_put(&self, path: &str, body: &Value) -> Result<Answer> {
        answer(self.http.put(format!("{}{path}", self.url)).json(body)).await
    }

    /// Puts what has to be taken.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<()> {
        let (status, answer) = self.try_put(path, body).await?;
        if status >= 300 {
            bail!("{path}: {status}: {answer:#}");
        }
        Ok(())
    }

    pub(crate) async fn upload(&self, name: &str, bytes: Vec<u8>) -> Result<Answer> {
        let request = self.http.put(format!("{}/v1/modules/{name}", self.url));
        answer(request.header("content-type", "application/wasm").body(bytes)).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Answer> {
    let response = request.timeout(Duration::from_secs(600)).send().await?;
    let status = response.status().as_u16();
    let text = response.text().await?;
    // Logs come as lines.
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
