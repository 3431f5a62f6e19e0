//! The server that a developer needs not start: a child of this process, with its data in the project.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};

use crate::cli::client::Call;
use crate::cli::failure::Failure;
use crate::cli::project::Project;
use crate::cli::session::Session;
use crate::runtime::clock::monotonic;

/// How long a start may take; a log that has to be recovered takes seconds.
const START_MAX: Duration = Duration::from_secs(60);
/// How long a stop may take: the server's own limit is 25 s.
const STOP_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A server that this process has started.
pub(super) struct Server {
    child: Child,
    log: PathBuf,
}

/// Uses the server that answers, or starts one at its address; `None`: one was there.
pub(super) async fn use_or_start(
    session: &Session,
    project: &Project,
    kafka_addr: &str,
) -> Result<Option<Server>, Failure> {
    match session.client.json(Call::get(&["version"])).await {
        Ok(_) => {
            session.out.hint(format!("using the server at {}", session.client.base()));
            return Ok(None);
        }
        Err(Failure::Unreachable { .. }) if session.client.is_local() => {}
        Err(failure) => return Err(failure),
    }
    let folder = project.path(".millstream");
    let cannot = |what: &str, e: &std::io::Error| Failure::Local(format!("{what} {}: {e}", folder.display()));
    std::fs::create_dir_all(&folder).map_err(|e| cannot("cannot make", &e))?;
    // The folder keeps itself out of every repository.
    std::fs::write(folder.join(".gitignore"), "*\n").map_err(|e| cannot("cannot write into", &e))?;
    let log = folder.join("server.log");
    let file = std::fs::File::create(&log).map_err(|e| cannot("cannot write into", &e))?;
    let both = file.try_clone().map_err(|e| cannot("cannot write into", &e))?;

    let exe = std::env::current_exe().map_err(|e| Failure::local("cannot find this program", e))?;
    let address = session.client.base().trim_start_matches("http://").replace("localhost", "127.0.0.1");
    let mut command = Command::new(exe);
    command
        .args(["serve", "--http-addr", &address, "--kafka-addr", kafka_addr, "--data-dir"])
        .arg(folder.join("data"))
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(both)
        // A Ctrl-C at the terminal is meant for this process, which then stops the server in its own time.
        .process_group(0)
        .kill_on_drop(true);
    let child = command.spawn().map_err(|e| Failure::local("cannot start the server", e))?;
    let mut server = Server { child, log };
    server.wait_until_ready(session).await?;
    session.out.hint(format!(
        "a server listens on {} (Kafka: {kafka_addr}); its data and log are in {}",
        session.client.base(),
        folder.display()
    ));
    Ok(Some(server))
}

impl Server {
    async fn wait_until_ready(&mut self, session: &Session) -> Result<(), Failure> {
        let began = monotonic();
        while session.client.json(Call::get(&["readyz"])).await.is_err() {
            let ended = self.child.try_wait().map_err(|e| Failure::local("cannot watch the server", e))?;
            if ended.is_some() || began.elapsed() > START_MAX {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                let last = log.trim_end().lines().rev().take(5).collect::<Vec<_>>();
                let last: Vec<_> = last.into_iter().rev().collect();
                return Err(Failure::Local(format!("the server did not start:\n{}", last.join("\n"))));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Asks it to stop, and waits.
    pub(super) async fn stop(mut self, session: &Session) {
        session.out.hint("stopping the server");
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            // One that has ended already needs no signal.
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        // What does not stop in time is ended when the child is dropped.
        let _ = tokio::time::timeout(STOP_MAX, self.child.wait()).await;
    }
}
