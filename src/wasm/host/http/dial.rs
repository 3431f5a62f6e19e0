//! Making a connection: the name is resolved, its addresses are checked, and one that passed is connected to, so that a
//! name which leads elsewhere a moment later gains nothing. There are no proxies, and nothing is read from the
//! environment.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use wasmtime_wasi::async_trait;
use wasmtime_wasi_http::Error;

use super::access::Target;
use super::address::is_public;
use super::body::Upload;
use crate::model::limits::{HTTP_ADDRESSES_TRIED_MAX, HTTP_HEADER_BYTES_MAX};
use crate::runtime::tasks;

/// Finds the addresses of a name.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// In the order in which they are to be tried.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The system's own resolver.
pub(super) struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// An open connection, which ends when it is dropped.
pub(super) struct Connection {
    pub(super) sender: http1::SendRequest<Upload>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Why there is no connection.
pub(super) struct NoConnection {
    pub(super) error: Error,
    /// for the deployment's log
    pub(super) why: String,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects within `wait`, handshakes included.
pub(super) async fn dial(
    target: &Target,
    resolver: &dyn Resolve,
    tls: &TlsConnector,
    wait: Duration,
) -> Result<Connection, NoConnection> {
    let work = async {
        let addresses = addresses(target, resolver).await?;
        let stream = connect(&addresses).await?;
        let stream: Box<dyn Stream> =
            if target.tls { Box::new(secure(target, tls, stream).await?) } else { Box::new(stream) };
        let mut builder = http1::Builder::new();
        let shaken = builder.max_buf_size(HTTP_HEADER_BYTES_MAX).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|e| {
            let why = e.to_string();
            NoConnection { error: Error::Hyper(e), why }
        })?;
        let driver = tasks::spawn("http connection of a guest", async move {
            // What goes wrong is told to whoever waits for the answer.
            let _ = connection.await;
        });
        Ok(Connection { sender, driver })
    };
    match tokio::time::timeout(wait, work).await {
        Ok(done) => done,
        Err(_) => Err(no(Error::ConnectionTimeout, format!("no connection within {wait:?}"))),
    }
}

fn no(error: Error, why: impl Into<String>) -> NoConnection {
    NoConnection { error, why: why.into() }
}

/// The addresses that may be connected to.
async fn addresses(target: &Target, resolver: &dyn Resolve) -> Result<Vec<SocketAddr>, NoConnection> {
    if let Some(ip) = literal(&target.host) {
        // Only a grant that names the address gets here.
        return Ok(vec![SocketAddr::new(ip, target.port)]);
    }
    let found = resolver.resolve(&target.host, target.port).await.map_err(|e| {
        no(Error::DnsError { rcode: None, info_code: None }, format!("the name does not resolve: {e}"))
    })?;
    let Some(first) = found.first().copied() else {
        return Err(no(Error::DestinationNotFound, "the name has no address"));
    };
    let mut allowed: Vec<_> = found.into_iter().filter(|a| target.private || is_public(a.ip())).collect();
    allowed.truncate(HTTP_ADDRESSES_TRIED_MAX);
    if allowed.is_empty() {
        let ip = first.ip();
        let why = format!(
            "its address {ip} is of no public network; grant it with `private: true` if that is meant"
        );
        return Err(no(Error::DestinationIpProhibited, why));
    }
    Ok(allowed)
}

fn literal(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host).parse().ok()
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, NoConnection> {
    let mut last = no(Error::DestinationNotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(e) => last = no(connect_error(&e), format!("{address}: {e}")),
        }
    }
    Err(last)
}

fn connect_error(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Error::DestinationUnavailable,
        io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        _ => Error::ConnectionTerminated,
    }
}

async fn secure(
    target: &Target,
    tls: &TlsConnector,
    stream: TcpStream,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, NoConnection> {
    let name = match literal(&target.host) {
        Some(ip) => ServerName::from(ip),
        None => ServerName::try_from(target.host.clone())
            .map_err(|_| no(Error::HttpRequestUriInvalid, "the host is no name"))?,
    };
    tls.connect(name, stream).await.map_err(|e| {
        let certificate = |e: &rustls::Error| matches!(e, rustls::Error::InvalidCertificate(_));
        let inner = e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
        let error =
            if inner.is_some_and(certificate) { Error::TlsCertificateError } else { Error::TlsProtocolError };
        no(error, format!("TLS: {e}"))
    })
}

/// How https is spoken: TLS 1.2 and 1.3 over HTTP/1.1, trusting the roots given.
pub(super) fn connector(roots: rustls::RootCertStore) -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
