//! What lies outside, played on the loopback: a server that guests may reach, at 127.0.0.2, and on the same port of
//! 127.0.0.1 one that nobody may reach, which counts who comes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::http::header::CONNECTION;
use axum::response::Redirect;
use axum::routing::post;
use tokio::net::TcpListener;

/// The name of `names.c`: 127.0.0.2 in the guise of a public address when it is first asked for, then 127.0.0.1.
pub(crate) const FLIPS: &str = "flips.example";
/// Pairs of addresses that are tried; the port of the second may be taken.
const PAIRS: usize = 50;

pub(crate) struct Outside {
    /// of both
    pub(crate) port: u16,
    /// requests to the one that may be reached
    taken: Arc<AtomicUsize>,
    /// connections to the one that may not
    trespasses: Arc<AtomicUsize>,
}

impl Outside {
    #[expect(clippy::disallowed_methods, reason = "the outside is no part of the server")]
    pub(crate) async fn start() -> Result<Self> {
        let (open, closed) = pair().await?;
        let address = open.local_addr()?;
        let (taken, trespasses) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let counted = taken.clone();
        let hook = move || async move {
            counted.fetch_add(1, Ordering::Relaxed);
            // The next request has to find its way anew.
            [(CONNECTION, "close")]
        };
        let elsewhere = format!("http://127.0.0.1:{}/hook", address.port());
        let moved = move || async move { Redirect::temporary(&elsewhere) };
        let routes = Router::new().route("/hook", post(hook)).route("/moved", post(moved));
        tokio::spawn(async move { axum::serve(open, routes).await });
        let counted = trespasses.clone();
        tokio::spawn(async move {
            while closed.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(Self { port: address.port(), taken, trespasses })
    }

    /// Requests that were taken since the last call.
    pub(crate) fn taken(&self) -> usize {
        self.taken.swap(0, Ordering::Relaxed)
    }

    /// # Errors
    /// Somebody was where nobody may be.
    pub(crate) fn untouched(&self) -> Result<()> {
        let trespasses = self.trespasses.swap(0, Ordering::Relaxed);
        ensure!(trespasses == 0, "it was {trespasses} times where it may not be");
        Ok(())
    }
}

/// Two listeners on one port.
async fn pair() -> Result<(TcpListener, TcpListener)> {
    let mut last = None;
    for _ in 0..PAIRS {
        let open = TcpListener::bind("127.0.0.2:0").await?;
        match TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], open.local_addr()?.port()))).await {
            Ok(closed) => return Ok((open, closed)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.context("no pair was tried")?).context("two listeners on one port")
}

/// Compiles `names.c` for the server to be started with.
pub(crate) fn names(root: &str, dir: &Path) -> Result<PathBuf> {
    let library = dir.join("names.so");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library);
    let status =
        cc.arg(format!("{root}/tests/hostile/names.c")).arg("-ldl").status().context("running cc")?;
    ensure!(status.success(), "tests/hostile/names.c was not compiled");
    Ok(library)
}
