//! For tests of commands: a server that gives one answer.

use clap::Parser as _;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::args::{Cli, Command};
use super::session::Session;
use crate::config::env::Vars;

/// A command as it is typed, and what it runs with.
pub(super) fn typed(words: &[&str]) -> (Session, Command) {
    let Cli { global, command } = Cli::try_parse_from([&["millstream"][..], words].concat()).unwrap();
    (Session::open(&global, &Vars::of([("MILLSTREAM_URL", "http://127.0.0.1:1")])).unwrap(), command)
}

/// Runs a command against a server that answers its first request with this status and an empty body. With what became of the
/// command comes that request's first line, empty where nothing was asked.
pub(super) async fn answered<T>(
    status: &str,
    words: &[&str],
    run: impl AsyncFnOnce(Session, Command) -> T,
) -> (String, T) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (session, command) = typed(&[&["--url", &url][..], words].concat());
    let asked = Mutex::new(String::new());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        *asked.lock() = String::from_utf8_lossy(&head).lines().next().unwrap().to_owned();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        // The command decides when it is over.
        std::future::pending::<()>().await;
    };
    let done = tokio::select! {
        done = run(session, command) => done,
        () = serve => unreachable!(),
    };
    (asked.into_inner(), done)
}
