//! The leanest HTTP/1.1 client that will do: one kept connection, whole requests as bytes, answers with a length. Two
//! cores are shared with the server, so every microsecond spent here is one that the server does not get.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const READ_BYTES: usize = 16 << 10;

pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

/// A whole request.
pub(crate) fn request(method: &str, path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut bytes = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A whole GET request.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(READ_BYTES) })
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let body_at = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = std::str::from_utf8(&self.buffer[..body_at])?;
        let status = head.get(9..12).and_then(|code| code.parse().ok()).context("no status line")?;
        let length = content_length(head)?;
        while self.buffer.len() < body_at + length {
            self.more().await?;
        }
        ensure!(self.buffer.len() == body_at + length, "bytes after the answer");
        Ok(Answer { status, body: &self.buffer[body_at..] })
    }

    async fn more(&mut self) -> Result<()> {
        self.buffer.reserve(READ_BYTES);
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server closed the connection after {}", String::from_utf8_lossy(&self.buffer));
        }
        Ok(())
    }
}

fn content_length(head: &str) -> Result<usize> {
    for line in head.split("\r\n").skip(1) {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            return Ok(value.trim().parse()?);
        }
    }
    // 204 and the like.
    ensure!(!head.to_ascii_lowercase().contains("transfer-encoding"), "an answer in chunks: {head}");
    Ok(0)
}

pub(crate) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// The unsigned number after `"name":` in compact JSON that the server wrote; faster than parsing it.
pub(crate) fn json_number(body: &[u8], name: &str) -> Option<u64> {
    let pattern = format!("\"{name}\":");
    let at = find(body, pattern.as_bytes())? + pattern.len();
    let digits: Vec<u8> = body[at..].iter().copied().take_while(u8::is_ascii_digit).collect();
    std::str::from_utf8(&digits).ok()?.parse().ok()
}
