//! `wasi:http` for guests that go out: requests to granted hosts, and nothing else. Redirects are not followed: the guest
//! sees them, and going on elsewhere takes a grant. Secrets are added here, after the guest has let go of the request.

mod access;
mod address;
mod body;
mod dial;
mod played;
mod pool;
#[cfg(test)]
mod tests;
mod under_way;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use parking_lot::Mutex;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsConnector;
use wasmtime::component::Linker;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use self::access::{Access, Refused, Target};
use self::body::{Download, Upload};
use self::dial::{Connection, NoConnection, SystemResolver};
use self::pool::Pool;
use self::under_way::{Exchange, UnderWay};
use super::Host;
use super::log::{LogLevel, Voice};
use crate::model::deployment::Grants;
use crate::model::limits::{
    HTTP_BETWEEN_BYTES_MAX, HTTP_BODY_BYTES_MAX, HTTP_CONNECT_MAX, HTTP_DEPLOYMENT_REQUESTS_MAX,
    HTTP_FIRST_BYTE_MAX, HTTP_INSTANCE_REQUESTS_MAX, HTTP_REQUESTS_MAX,
};
use crate::model::secret::Secrets;
use crate::runtime::build;

pub use dial::Resolve;
pub use played::{Answered, Asked, Outside};

/// What is needed for going out. Cheap to clone.
#[derive(Clone)]
pub struct Outbound(Arc<Shared>);

struct Shared {
    secrets: Secrets,
    resolver: Box<dyn Resolve>,
    tls: TlsConnector,
    /// requests of the whole node
    places: Arc<Semaphore>,
    /// requests of each deployment that has instances
    deployments: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// No https is possible as it is set up.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// the file of trusted certificates
    #[error("the file of trusted certificates has {0}")]
    Certificates(String),
    /// the TLS library
    #[error("TLS: {0}")]
    Tls(String),
}

/// The grants of one deployment, for its instances. Cheap to clone.
#[derive(Clone)]
pub struct HttpAccess {
    access: Arc<Access>,
    way: Way,
}

/// Where granted requests go.
#[derive(Clone)]
enum Way {
    /// `places`: shared by all instances of the deployment
    Out {
        places: Arc<Semaphore>,
        outbound: Outbound,
    },
    Played(Arc<dyn Outside>),
}

/// `wasi:http` of one instance.
#[derive(Default)]
pub(in crate::wasm) struct Client {
    granted: Option<HttpAccess>,
    instance: Option<Arc<Instance>>,
}

struct Instance {
    voice: Arc<Voice>,
    places: Arc<Semaphore>,
    pool: Arc<Pool>,
    under_way: UnderWay,
}

// === impl Outbound ===

impl Outbound {
    /// `trusted`: certificates in PEM of those whom https trusts; none: the roots that browsers trust.
    ///
    /// # Errors
    /// [`OutboundError`]
    pub fn new(secrets: Secrets, trusted: Option<&[u8]>) -> Result<Self, OutboundError> {
        Self::with_resolver(secrets, trusted, Box::new(SystemResolver))
    }

    /// With another resolver than the system's.
    ///
    /// # Errors
    /// [`OutboundError`]
    pub fn with_resolver(
        secrets: Secrets,
        trusted: Option<&[u8]>,
        resolver: Box<dyn Resolve>,
    ) -> Result<Self, OutboundError> {
        let roots = match trusted {
            None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
            Some(pem) => read_roots(pem).map_err(OutboundError::Certificates)?,
        };
        let tls = dial::connector(roots).map_err(|e| OutboundError::Tls(e.to_string()))?;
        let places = Arc::new(Semaphore::new(HTTP_REQUESTS_MAX));
        Ok(Self(Arc::new(Shared { secrets, resolver, tls, places, deployments: Mutex::default() })))
    }

    /// The secrets that deployments may use, by name.
    pub fn secrets(&self) -> &Secrets {
        &self.0.secrets
    }

    /// What the grants of a deployment allow. Its instances share the places for its requests.
    ///
    /// # Errors
    /// A secret that the server does not have or that may not go there, by name.
    pub fn access(&self, deployment: &str, grants: &Grants) -> Result<HttpAccess, String> {
        let access = Arc::new(Access::of(grants, &self.0.secrets)?);
        let way = Way::Out { places: self.places_of(deployment), outbound: self.clone() };
        Ok(HttpAccess { access, way })
    }

    fn places_of(&self, deployment: &str) -> Arc<Semaphore> {
        let mut deployments = self.0.deployments.lock();
        if let Some(places) = deployments.get(deployment).and_then(Weak::upgrade) {
            return places;
        }
        deployments.retain(|_, places| places.strong_count() > 0);
        let places = Arc::new(Semaphore::new(HTTP_DEPLOYMENT_REQUESTS_MAX));
        deployments.insert(deployment.to_owned(), Arc::downgrade(&places));
        places
    }
}

impl HttpAccess {
    /// For tests: what the grants allow is asked of somebody in this process. Secrets are not added.
    ///
    /// # Errors
    /// A grant that does not read.
    pub fn played(grants: &Grants, outside: Arc<dyn Outside>) -> Result<Self, String> {
        let grants = Grants { secrets: Vec::new(), ..grants.clone() };
        let access = Arc::new(Access::of(&grants, &Secrets::default())?);
        Ok(Self { access, way: Way::Played(outside) })
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").finish_non_exhaustive()
    }
}

fn read_roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| format!("no PEM: {e}"))?;
        roots.add(certificate).map_err(|e| format!("a certificate that does not read: {e}"))?;
    }
    if roots.is_empty() { Err("no certificates".to_owned()) } else { Ok(roots) }
}

// === impl Client ===

impl Client {
    pub(super) fn new(granted: Option<HttpAccess>, voice: &Arc<Voice>) -> Self {
        let instance = Instance {
            voice: voice.clone(),
            places: Arc::new(Semaphore::new(HTTP_INSTANCE_REQUESTS_MAX)),
            pool: Arc::default(),
            under_way: UnderWay::default(),
        };
        Self { granted, instance: Some(Arc::new(instance)) }
    }

    /// A call into the guest is over: what it has begun and not read to its end is given up.
    pub(super) fn end_call(&self) {
        if let (Some(_), Some(instance)) = (&self.granted, &self.instance) {
            instance.under_way.end_all();
        }
    }
}

type Sent = (Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for Client {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let (granted, instance) = (self.granted.clone(), self.instance.clone());
        // Within the call, for the future may be looked at only after it.
        let begun = instance.as_ref().map(|instance| instance.under_way.begin());
        Box::new(async move {
            let (Some(granted), Some(instance), Some(begun)) = (granted, instance, begun) else {
                return Err(Error::HttpRequestDenied);
            };
            let waits = Waits::of(options);
            let response = tokio::select! {
                biased;
                () = begun.ended() => return Err(Error::ConnectionTerminated),
                answered = answered(&granted, &instance, &begun, request, &waits) => answered?,
            };
            let nothing: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(async { Ok(()) });
            Ok((response, nothing))
        })
    }

    // The default ones write into the server's log, where a guest's troubles do not belong.
    fn p2_error_from_hyper(&mut self, _: &hyper::Error) -> ErrorCode {
        ErrorCode::HttpProtocolError
    }

    fn p2_error_from_connect(&mut self, _: &std::io::Error) -> ErrorCode {
        ErrorCode::ConnectionRefused
    }

    fn p2_error_from_tls(&mut self, _: &std::io::Error) -> ErrorCode {
        ErrorCode::TlsProtocolError
    }
}

/// How long the parts of an exchange may take: what the guest asks for, within the limits.
struct Waits {
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
}

impl Waits {
    fn of(options: Option<RequestOptions>) -> Self {
        let options = options.unwrap_or_default();
        let within = |asked: Option<Duration>, most: Duration| asked.unwrap_or(most).min(most);
        Self {
            connect: within(options.connect_timeout, HTTP_CONNECT_MAX),
            first_byte: within(options.first_byte_timeout, HTTP_FIRST_BYTE_MAX),
            between_bytes: within(options.between_bytes_timeout, HTTP_BETWEEN_BYTES_MAX),
        }
    }
}

/// One request, if it is granted, and the head of its answer.
async fn answered(
    granted: &HttpAccess,
    instance: &Instance,
    begun: &Arc<Exchange>,
    request: Request<WasiBody>,
    waits: &Waits,
) -> Result<Response<WasiBody>, Error> {
    let (target, secrets) = granted.access.target(request.uri()).map_err(|refused| match refused {
        Refused::Uri => Error::HttpRequestUriInvalid,
        Refused::Denied => {
            let (scheme, host) = (request.uri().scheme_str().unwrap_or("https"), request.uri().authority());
            let host = host.map_or("", |host| host.as_str());
            instance
                .say(&format!("a request to {scheme}://{host} was refused: grants.http does not cover it"));
            Error::HttpRequestDenied
        }
    })?;
    match &granted.way {
        Way::Out { places, outbound } => {
            let request = prepared(request, secrets)?;
            let places = [places, &outbound.0.places];
            let answer = exchange(&outbound.0, places, instance, begun, request, target, waits).await?;
            Ok(answer.map(BodyExt::boxed_unsync))
        }
        Way::Played(outside) => {
            let (url, headers) = (request.uri().clone(), request.headers().clone());
            played::answer(&**outside, &url, headers, prepared(request, secrets)?).await
        }
    }
}

/// Waits for places, and sends a request.
async fn exchange(
    shared: &Shared,
    places: [&Arc<Semaphore>; 2],
    instance: &Instance,
    exchange: &Arc<Exchange>,
    request: Request<Upload>,
    target: Target,
    waits: &Waits,
) -> Result<Response<Download>, Error> {
    // A guest that begins more at once than it may is told so; it would wait for itself.
    let own = instance.places.clone().try_acquire_owned().map_err(|_| Error::ConnectionLimitReached)?;
    let mut held = exchange.hold(own);
    for places in places {
        held = held && exchange.hold(place(places, waits.connect).await?);
    }
    if !held {
        return Err(Error::ConnectionTerminated);
    }
    send(shared, instance, exchange, request, target, waits).await
}

async fn send(
    shared: &Shared,
    instance: &Instance,
    exchange: &Arc<Exchange>,
    mut request: Request<Upload>,
    target: Target,
    waits: &Waits,
) -> Result<Response<Download>, Error> {
    loop {
        let (mut connection, fresh) = connection(shared, instance, &target, waits.connect).await?;
        let sent = connection.sender.try_send_request(request);
        let mut failed = match tokio::time::timeout(waits.first_byte, sent).await {
            Err(_) => return Err(Error::HttpResponseTimeout),
            Ok(Ok(_)) if !exchange.keep(connection) => return Err(Error::ConnectionTerminated),
            Ok(Ok(response)) => {
                return Ok(response.map(|body| Download {
                    body,
                    left: HTTP_BODY_BYTES_MAX,
                    exchange: exchange.clone(),
                    target,
                    pool: instance.pool.clone(),
                    between: waits.between_bytes,
                    waiting: None,
                }));
            }
            Ok(Err(failed)) => failed,
        };
        // A kept connection that the other side has closed: not a byte of the request was sent.
        match failed.take_message() {
            Some(unsent) if !fresh => request = unsent,
            _ => return Err(failed.into_error().into()),
        }
    }
}

/// A kept connection that is ready, or a new one, and whether it is new.
async fn connection(
    shared: &Shared,
    instance: &Instance,
    target: &Target,
    wait: Duration,
) -> Result<(Connection, bool), Error> {
    while let Some(mut kept) = instance.pool.take(target) {
        if matches!(tokio::time::timeout(wait, kept.sender.ready()).await, Ok(Ok(()))) {
            return Ok((kept, false));
        }
    }
    let dialled = dial::dial(target, &*shared.resolver, &shared.tls, wait).await;
    dialled.map(|connection| (connection, true)).map_err(|NoConnection { error, why }| {
        instance.say(&format!("no connection to {target}: {why}"));
        error
    })
}

/// A place among the requests of many instances: whoever has one gives it back before long.
async fn place(places: &Arc<Semaphore>, wait: Duration) -> Result<OwnedSemaphorePermit, Error> {
    let place = tokio::time::timeout(wait, places.clone().acquire_owned()).await;
    place.ok().and_then(Result::ok).ok_or(Error::ConnectionLimitReached)
}

/// The request as it goes out: the path alone in its first line, and the secrets in its head.
fn prepared(
    mut request: Request<WasiBody>,
    secrets: Vec<(HeaderName, HeaderValue)>,
) -> Result<Request<Upload>, Error> {
    // TRACE would have the head echoed, secrets included; CONNECT would make a tunnel.
    let method = request.method().as_str();
    if [Method::TRACE, Method::CONNECT].iter().any(|m| method.eq_ignore_ascii_case(m.as_str())) {
        return Err(Error::HttpRequestMethodInvalid);
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    *request.uri_mut() = path.parse::<Uri>().map_err(|_| Error::HttpRequestUriInvalid)?;
    let headers = request.headers_mut();
    headers.entry(header::USER_AGENT).or_insert(user_agent());
    add(headers, secrets);
    Ok(request.map(Upload::new))
}

/// The server's value takes the place of what the guest has put there.
fn add(headers: &mut HeaderMap, secrets: Vec<(HeaderName, HeaderValue)>) {
    for (name, value) in secrets {
        headers.insert(name, value);
    }
}

fn user_agent() -> HeaderValue {
    HeaderValue::from_str(&format!("millstream/{}", build::VERSION))
        .unwrap_or_else(|_| HeaderValue::from_static("millstream"))
}

impl Instance {
    fn say(&self, text: &str) {
        self.voice.say(LogLevel::Warn, text);
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.http, table: &mut self.table, ctx: &mut self.http_ctx }
    }
}

pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}
