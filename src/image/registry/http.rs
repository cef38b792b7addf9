//! HTTP exchanges: connections per host, redirects, and classification of failures for retries.
//!
//! Redirects are followed here rather than by the library, because storage back ends are on other hosts:
//! those get their own TLS settings, and never the registry's credentials.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use ureq::http::{Method, Response, Uri};
use ureq::{Agent, Body};

use super::proxy::ProxySettings;
use super::resolve::{HostResolver, SharedResolver};
use super::text::{host_and_port, is_loopback, printable, resolve_location};
use super::tls::TrustStore;
use dhow_error::{Failure, FailureKind, invalid};
use dhow_model::environment::Environment;

const MAX_REDIRECTS: usize = 8;

/// Retry counts and timeouts.
#[derive(Clone, Copy, Debug)]
pub struct HttpPolicy {
    /// Attempts per request, and per blob without progress in between.
    pub tries: u32,
    /// The delay before the first retry; it doubles each time.
    pub delay: Duration,
    /// Timeout for establishing a connection.
    pub connect: Duration,
    /// Timeout for an idle connection.
    pub idle: Duration,
}

impl Default for HttpPolicy {
    fn default() -> Self {
        Self {
            tries: 6,
            delay: Duration::from_millis(500),
            connect: Duration::from_secs(20),
            idle: Duration::from_secs(60),
        }
    }
}

#[derive(Clone, Debug)]
pub struct HttpRequest {
    pub method: Method,
    /// Absolute URL.
    pub uri: Uri,
    /// Without `Authorization`.
    pub headers: Vec<(&'static str, String)>,
    /// The value of `Authorization`; dropped by redirects to other hosts.
    pub authorization: Option<String>,
    /// A URL-encoded form to post.
    pub form: Option<String>,
    pub content: Option<RequestBody>,
}

/// A request body, shared by all attempts.
#[derive(Clone, Debug)]
pub struct RequestBody {
    pub bytes: Arc<Vec<u8>>,
    /// Offset of the first byte to send.
    pub from: usize,
}

impl RequestBody {
    /// An empty body, for methods that require one.
    pub fn none() -> Self {
        Self { bytes: Arc::default(), from: 0 }
    }

    fn body(&self) -> &[u8] {
        self.bytes.get(self.from..).unwrap_or_default()
    }
}

impl HttpRequest {
    pub fn get(uri: Uri) -> Self {
        Self { method: Method::GET, uri, headers: Vec::new(), authorization: None, form: None, content: None }
    }
}

/// Why there is no response.
#[derive(Debug)]
pub struct HttpFailure {
    pub failure: Failure,
    pub retry: RetryAdvice,
}

impl HttpFailure {
    /// A failure that a retry cannot help.
    pub(super) fn permanent(failure: Failure) -> Self {
        Self { failure, retry: RetryAdvice::Never }
    }
}

/// Whether to retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAdvice {
    /// The connection broke or timed out.
    Later,
    /// Connection refused or unreachable: retry if the server was reached before, since it may be restarting.
    IfReachedBefore,
    /// Retrying cannot help.
    Never,
}

/// An HTTP client with connections to several hosts.
#[derive(Debug)]
pub struct HttpClient {
    trust: TrustStore,
    proxies: ProxySettings,
    names: Arc<HostResolver>,
    patience: HttpPolicy,
    agents: Mutex<HashMap<HttpPeer, Agent>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct HttpPeer {
    host: String,
    port: u16,
    plain: bool,
    verify: bool,
}

impl HttpClient {
    /// A client with the proxies and certificates configured in `environment`.
    pub fn new(environment: &Environment, patience: HttpPolicy) -> Result<Self> {
        Ok(Self {
            trust: TrustStore::new(environment),
            proxies: ProxySettings::from_environment(environment)?,
            names: Arc::default(),
            patience,
            agents: Mutex::default(),
        })
    }

    pub fn patience(&self) -> HttpPolicy {
        self.patience
    }

    /// Whether the user configured certificate authorities for `registry`.
    pub(crate) fn has_own_authorities(&self, registry: &str) -> Result<bool> {
        Ok(self.trust.registry_certs(registry)?.has_authorities())
    }

    /// Sends `request`, following redirects. Without `verify`, any certificate and plain HTTP are accepted
    /// from the request's own host. The response may have any status except a redirect.
    pub fn send(&self, request: &HttpRequest, verify: bool) -> Result<Response<Body>, HttpFailure> {
        let mut request = request.clone();
        let origin = host_and_port(&request.uri);
        for _ in 0..MAX_REDIRECTS {
            // `insecure` covers the configured host only, not hosts it redirects to.
            let verify = verify || host_and_port(&request.uri) != origin;
            let response = self.exchange(&request, verify)?;
            let Some(target) = redirect_target(&request, &response)? else { return Ok(response) };
            check_redirect(&request.uri, &target)?;
            // A redirect must not carry the credentials to another origin.
            if host_and_port(&target) != host_and_port(&request.uri)
                || target.scheme() != request.uri.scheme()
            {
                request.authorization = None;
            }
            request.uri = target;
        }
        Err(HttpFailure::permanent(Failure::new(
            FailureKind::Network,
            format!("{} redirects again and again", printable(&request.uri.to_string())),
        )))
    }

    /// Sends `request` once, without following redirects.
    pub fn exchange(&self, request: &HttpRequest, verify: bool) -> Result<Response<Body>, HttpFailure> {
        let agent = self.agent(&request.uri, verify).map_err(|error| {
            HttpFailure::permanent(Failure::new(dhow_error::kind_of(&error), format!("{error:#}")))
        })?;
        let mut builder =
            ureq::http::Request::builder().method(request.method.clone()).uri(request.uri.clone());
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Some(authorization) = &request.authorization {
            builder = builder.header("authorization", authorization);
        }
        // The builder fails only on header values with control characters, which come from credentials.
        let malformed = |_| {
            HttpFailure::permanent(invalid("the credentials cannot be sent: they hold a control character"))
        };
        let result = match (&request.form, &request.content) {
            (None, None) => agent.run(builder.body(()).map_err(malformed)?),
            (None, Some(content)) => agent.run(builder.body(content.body()).map_err(malformed)?),
            (Some(form), _) => {
                let builder = builder.header("content-type", "application/x-www-form-urlencoded");
                agent.run(builder.body(form.as_str()).map_err(malformed)?)
            }
        };
        result.map_err(|error| http_failure(&request.uri, error))
    }

    fn agent(&self, uri: &Uri, verify: bool) -> Result<Agent> {
        let (host, port) = host_and_port(uri);
        let plain = uri.scheme_str() == Some("http");
        let peer = HttpPeer { host, port, plain, verify };
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(&peer) {
            return Ok(agent.clone());
        }
        let agent = self.new_agent(uri, plain, verify)?;
        agents.insert(peer, agent.clone());
        Ok(agent)
    }

    fn new_agent(&self, uri: &Uri, plain: bool, verify: bool) -> Result<Agent> {
        const BUFFER: usize = 256 * 1024;
        let proxy = self.proxies.choose(uri);
        let mut config = Agent::config_builder()
            // Callers interpret the status, and `send` follows redirects.
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("dhow/", env!("CARGO_PKG_VERSION")))
            // Digests cover the stored bytes, so the transport must not compress.
            .accept_encoding("identity")
            .input_buffer_size(BUFFER)
            .max_idle_connections_per_host(8)
            .timeout_resolve(Some(Duration::from_secs(30)))
            .timeout_connect(Some(self.patience.connect))
            .timeout_recv_response(Some(self.patience.idle))
            .timeout_per_read(Some(self.patience.idle))
            .timeout_per_write(Some(self.patience.idle))
            .proxy(proxy.cloned());
        // The connection to the proxy itself may use TLS.
        if !plain || proxy.is_some() {
            let certs =
                self.trust.registry_certs(uri.authority().map_or("", |authority| authority.as_str()))?;
            config = config.tls_config(self.trust.config(&certs, verify));
        }
        let names = SharedResolver(self.names.clone());
        Ok(Agent::with_parts(config.build(), ureq::unversioned::transport::DefaultConnector::new(), names))
    }
}

fn redirect_target(request: &HttpRequest, response: &Response<Body>) -> Result<Option<Uri>, HttpFailure> {
    // A request with a body is repeated only where the status (307, 308) says that it is to be sent again.
    let follows = match response.status().as_u16() {
        307 | 308 => request.form.is_none(),
        301..=303 => request.form.is_none() && request.content.is_none(),
        _ => false,
    };
    if !follows {
        return Ok(None);
    }
    let location = response.headers().get("location").map(|value| String::from_utf8_lossy(value.as_bytes()));
    let target = location.as_deref().and_then(|location| resolve_location(&request.uri, location));
    target.map(Some).ok_or_else(|| {
        let to = printable(location.as_deref().unwrap_or("nowhere"));
        HttpFailure::permanent(Failure::new(
            FailureKind::Network,
            format!("{} redirects to `{to}`", authority(&request.uri)),
        ))
    })
}

/// A redirect must not downgrade from TLS.
fn check_redirect(from: &Uri, to: &Uri) -> Result<(), HttpFailure> {
    let downgrade = from.scheme_str() == Some("https") && to.scheme_str() == Some("http");
    if downgrade && !is_loopback(to.host().unwrap_or_default()) {
        return Err(HttpFailure::permanent(Failure::new(
            FailureKind::Denied,
            format!("{} redirects to {} without encryption", authority(from), authority(to)),
        )));
    }
    Ok(())
}

/// Host and port as written, without user information; printable.
pub fn authority(uri: &Uri) -> String {
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    printable(&format!("{}{port}", uri.host().unwrap_or_default()))
}

fn http_failure(uri: &Uri, error: ureq::Error) -> HttpFailure {
    let host = authority(uri);
    let retry = retry_advice(&error);
    if let Some(failure) = certificate_problem(&host, &error) {
        return HttpFailure::permanent(failure);
    }
    let why = match error {
        ureq::Error::Other(inner) => match inner.downcast::<Failure>() {
            Ok(failure) => return HttpFailure::permanent(*failure),
            Err(inner) => inner.to_string(),
        },
        ureq::Error::Timeout(_) => "it does not answer in time".into(),
        ureq::Error::ConnectProxyFailed(why) => format!("the proxy refuses: {why}"),
        ureq::Error::Io(error) => match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "connection refused".into(),
            std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock => {
                "it does not answer in time".into()
            }
            _ => error.to_string(),
        },
        other => other.to_string(),
    };
    HttpFailure {
        failure: Failure::new(FailureKind::Network, format!("cannot reach {host}: {}", printable(&why))),
        retry,
    }
}

fn retry_advice(error: &ureq::Error) -> RetryAdvice {
    use std::io::ErrorKind as E;
    match error {
        ureq::Error::Io(error) => match error.kind() {
            E::ConnectionRefused | E::HostUnreachable | E::NetworkUnreachable => RetryAdvice::IfReachedBefore,
            E::InvalidData => RetryAdvice::Never,
            _ => RetryAdvice::Later,
        },
        ureq::Error::Timeout(ureq::Timeout::Connect) => RetryAdvice::IfReachedBefore,
        ureq::Error::Timeout(_) | ureq::Error::Protocol(_) | ureq::Error::BodyStalled => RetryAdvice::Later,
        _ => RetryAdvice::Never,
    }
}

fn certificate_problem(host: &str, error: &ureq::Error) -> Option<Failure> {
    let tls = match error {
        ureq::Error::Rustls(tls) => tls,
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref::<rustls::Error>()?,
        _ => return None,
    };
    let message = match tls {
        rustls::Error::InvalidCertificate(why) => {
            format!("the certificate of {host} is not valid: {}", printable(&why.to_string()))
        }
        rustls::Error::InvalidMessage(_) => {
            return Some(Failure::new(FailureKind::Network, format!("{host} does not speak TLS")));
        }
        other => {
            let why = printable(&other.to_string());
            return Some(Failure::new(
                FailureKind::Network,
                format!("cannot make a TLS connection to {host}: {why}"),
            ));
        }
    };
    Some(Failure::new(FailureKind::Denied, message).hint(format!(
        "put the authority's certificate into ~/.config/containers/certs.d/{host}/ca.crt, or mark the registry `insecure = true` in registries.conf"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_keep_encryption() {
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        assert!(check_redirect(&uri("https://a/"), &uri("https://b/")).is_ok());
        assert!(check_redirect(&uri("http://a/"), &uri("http://b/")).is_ok());
        assert!(check_redirect(&uri("https://a/"), &uri("http://127.0.0.1:1/")).is_ok());
        assert!(check_redirect(&uri("https://a/"), &uri("http://a/")).is_err());
    }

    #[test]
    fn a_refused_connection_is_named() {
        let http = HttpClient::new(&Environment::default(), HttpPolicy::default()).unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let uri: Uri = format!("http://{free}/v2/").parse().unwrap();
        let problem = http.send(&HttpRequest::get(uri), true).unwrap_err();
        assert_eq!(problem.retry, RetryAdvice::IfReachedBefore);
        assert_eq!(problem.failure.to_string(), format!("cannot reach {free}: connection refused"));
    }
}
