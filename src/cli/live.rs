//! Answers that do not end: lines as they come.

use std::time::Duration;

use super::client::Call;
use super::failure::Failure;
use super::session::Session;

/// No answer is waited for so long; a stream ends when its server or its reader ends it.
pub(super) const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Hands over whole lines, some at a time, without the last line feed; returns at the end of the stream.
pub(super) async fn lines(
    session: &Session,
    call: Call,
    mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut response = session.client.send(call).await?;
    let mut pending: Vec<u8> = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| session.client.failure(&e))? {
        pending.extend_from_slice(&chunk);
        let Some(end) = memchr::memrchr(b'\n', &pending) else { continue };
        let rest = pending.split_off(end + 1);
        pending.pop();
        take(&pending)?;
        pending = rest;
    }
    if pending.is_empty() { Ok(()) } else { take(&pending) }
}
