//! The server as its users have it: the built binary, in a folder of its own, on a free port.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The clone whose tests run. Cargo says it when they start; what it said when they were compiled may be another clone
/// with the same target directory, as CI's is.
#[expect(
    clippy::disallowed_methods,
    reason = "it is no setting of the server, and only known when the tests start"
)]
pub(crate) fn repository() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()).into()
}

/// One of the prebuilt guests.
pub(crate) fn prebuilt(guest: &str) -> Result<Vec<u8>> {
    let path = repository().join(format!("guest-examples/prebuilt/{guest}.wasm"));
    std::fs::read(&path).with_context(|| path.display().to_string())
}

/// How long a start may take on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A running server; killed when dropped, and its folder deleted.
pub(crate) struct Server {
    child: Child,
    dir: TempDir,
    address: String,
    kafka: String,
    /// beyond those that every test uses
    args: Vec<String>,
    http: reqwest::Client,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Server {
    /// Starts the binary and waits until it is ready.
    pub(crate) async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// As [`Server::start`], with more arguments.
    pub(crate) async fn start_with(args: &[&str]) -> Result<Self> {
        Self::start_in(tempfile::tempdir()?, args.iter().map(|&arg| arg.to_owned()).collect()).await
    }

    /// As [`Server::start`], with files that cannot grow beyond so many KiB: writes fail there, as on a broken disk. A
    /// restarted one has no such bound.
    pub(crate) async fn start_with_files_of(kib: u32) -> Result<Self> {
        let mut shell = Command::new("sh");
        // `ulimit` counts blocks of 512 bytes. What it sends a process beside the error would end it.
        let limited = "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"";
        shell.args(["-c", limited, "sh", &(2 * kib).to_string(), env!("CARGO_BIN_EXE_millstream")]);
        Self::start_by(shell, tempfile::tempdir()?, Vec::new()).await
    }

    async fn start_in(dir: TempDir, args: Vec<String>) -> Result<Self> {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_millstream")), dir, args).await
    }

    async fn start_by(mut command: Command, dir: TempDir, args: Vec<String>) -> Result<Self> {
        let ready = dir.path().join("ready");
        let _ = std::fs::remove_file(&ready);
        let log = std::fs::File::options().create(true).append(true).open(dir.path().join("log"))?;
        let mut child = command
            .args([
                "serve",
                "--http-addr",
                "127.0.0.1:0",
                "--kafka-addr",
                "127.0.0.1:0",
                "--memory",
                "256MiB",
                "--data-dir",
            ])
            .arg(dir.path().join("data"))
            .arg("--ready-file")
            .arg(&ready)
            .args(&args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("starting the server")?;
        let looks = START_MAX.as_millis() / LOOK_EVERY.as_millis();
        for _ in 0..looks {
            // HTTP stands in the first line, Kafka in the second.
            if let Ok(addresses) = std::fs::read_to_string(&ready) {
                let mut lines = addresses.lines().map(str::to_owned);
                let (address, kafka) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
                return Ok(Self { child, dir, address, kafka, args, http: reqwest::Client::new() });
            }
            if let Some(status) = child.try_wait()? {
                let log = std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
                bail!("the server ended at its start with {status}:\n{log}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let _ = child.kill();
        bail!("the server was not ready in {START_MAX:?}");
    }

    /// Kills it without a word and starts it again on the same data.
    pub(crate) async fn restart(mut self) -> Result<Self> {
        self.child.kill()?;
        self.child.wait()?;
        // Dropping `self` would delete the folder.
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir()?);
        Self::start_in(dir, std::mem::take(&mut self.args)).await
    }

    /// Its data, and its log.
    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// `host:port` for Kafka clients.
    pub(crate) fn kafka_address(&self) -> &str {
        &self.kafka
    }

    /// Memory of the process (Linux).
    pub(crate) fn resident_bytes(&self) -> Result<usize> {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id()))?;
        let pages = statm.split(' ').nth(1).context("the resident pages")?;
        Ok(pages.parse::<usize>()? * 4096)
    }

    /// Asks it to stop, as systemd would.
    pub(crate) fn terminate(&self) -> Result<()> {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        ensure!(status.success(), "the signal could not be sent");
        Ok(())
    }

    /// Waits for the process to end by itself.
    pub(crate) async fn ended(&mut self) -> Result<std::process::ExitStatus> {
        for _ in 0..2_000 {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("the server did not end")
    }

    /// A request in the making.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.address))
    }

    /// Sends a request with headers and a body.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await?.to_vec() })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer> {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// Makes sure of a topic.
    pub(crate) async fn topic(&self, name: &str, partitions: u32) -> Result<()> {
        self.put(&format!("/v1/topics/{name}"), &json!({ "partitions": partitions }))
            .await?
            .expect(201)
            .map(drop)
    }

    /// Uploads one of the prebuilt guests under its own name.
    pub(crate) async fn upload(&self, guest: &str) -> Result<Answer> {
        self.upload_as(guest, guest).await
    }

    /// Uploads one of the prebuilt guests under another name.
    pub(crate) async fn upload_as(&self, name: &str, guest: &str) -> Result<Answer> {
        let request = self.request(Method::PUT, &format!("/v1/modules/{name}"));
        self.send(request.header("content-type", "application/wasm").body(prebuilt(guest)?)).await
    }

    /// Looks at a path until its JSON fits.
    pub(crate) async fn until(&self, path: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        for _ in 0..1_000 {
            let answer = self.get(path).await?;
            last = answer.json().unwrap_or_default();
            if fits(&last) {
                return Ok(last);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("{path} stayed at {last:#}")
    }
}

impl Drop for Server {
    #[expect(clippy::print_stderr, reason = "a failed test shows what the server said")]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            eprintln!("--- the server's log\n{log}");
        }
    }
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| self.text())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// This answer, if it has the status.
    pub(crate) fn expect(self, status: u16) -> Result<Self> {
        ensure!(self.status == status, "status {} instead of {status}: {}", self.status, self.text());
        Ok(self)
    }
}
