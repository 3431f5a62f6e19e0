//! A server of the demo's own: the binary beside this program, on loopback, with a fresh data folder in the target
//! directory.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::folder;

/// The server's data, in the demo's folder.
const STORE: &str = "store";
/// How long a start may take.
const START_TRIES: u32 = 300;
const START_PAUSE: Duration = Duration::from_millis(100);

pub(crate) struct Server {
    child: Child,
    binary: PathBuf,
    data_dir: PathBuf,
    url: String,
    http: reqwest::Client,
}

impl Server {
    /// Starts it and waits until it is ready.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let target = own.ancestors().nth(2).context("the demo lies in target/<profile>/examples")?;
        let binary = target.join("millstream");
        ensure!(binary.exists(), "{} is not built; `make demo` builds it", binary.display());
        let data_dir = target.join("demo-data");
        folder::fresh(&data_dir, STORE)?;

        let addr = free_address()?;
        println!("starting {} on http://{addr}, data in {}\n", binary.display(), data_dir.display());
        let child = Command::new(&binary)
            .args([
                "serve",
                "--quiet",
                "--log-level",
                "warn",
                "--http-addr",
                &addr.to_string(),
                "--kafka-addr",
                "off",
                "--data-dir",
            ])
            .arg(data_dir.join(STORE))
            .stdin(Stdio::null())
            // Ctrl-C goes to the demo, which then stops the server; two signals would cut its drain short.
            .process_group(0)
            .spawn()
            .context("cannot start the server")?;
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
        let mut server = Self { child, binary, data_dir, url: format!("http://{addr}"), http };
        server.wait_until_ready().await?;
        Ok(server)
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        for _ in 0..START_TRIES {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended at its start: {status}");
            }
            let ready = self.http.get(format!("{}/readyz", self.url)).send().await;
            if ready.is_ok_and(|r| r.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(START_PAUSE).await;
        }
        bail!("the server does not become ready")
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Runs a command of the client and shows it.
    pub(crate) fn cli(&self, args: &[&str]) -> anyhow::Result<()> {
        println!("$ millstream {}", args.join(" "));
        let status = Command::new(&self.binary).args(["--url", &self.url]).args(args).status()?;
        ensure!(status.success(), "`millstream {}` failed: {status}", args.join(" "));
        Ok(())
    }

    pub(crate) async fn json(&self, path: &str) -> anyhow::Result<Value> {
        answer(self.http.get(format!("{}{path}", self.url))).await.with_context(|| format!("GET {path}"))
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.http.post(format!("{}{path}", self.url)).json(body);
        answer(request).await.with_context(|| format!("POST {path}"))
    }

    /// Stops it as a supervisor would.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM);
        let status = self.child.wait()?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    /// Waits for ever, unless the server ends by itself.
    pub(crate) async fn until_it_ends(&mut self) -> anyhow::Result<()> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended: {status}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Server {
    /// Nothing is left running, however the demo ends.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

async fn answer(request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
    let response = request.send().await?;
    let status = response.status();
    let body = response.text().await?;
    ensure!(status.is_success(), "{status}: {body}");
    Ok(serde_json::from_str(&body)?)
}

/// The usual port if nobody has it, so that the lines in the README work; else any.
fn free_address() -> anyhow::Result<SocketAddr> {
    let usual = SocketAddr::from(([127, 0, 0, 1], 8080));
    if TcpListener::bind(usual).is_ok() {
        return Ok(usual);
    }
    Ok(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?.local_addr()?)
}
