//! Registry authentication: basic, and bearer tokens from a token server.
//!
//! See the distribution project's token specification. A credential is sent only to its registry and to the
//! token server named by that registry, and only over TLS, to loopback, or if the user configured the
//! registry as insecure.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use ureq::Body;
use ureq::http::{Method, Response, Uri};

use super::challenge::{AuthChallenge, parse_challenges};
use super::error_response::read_error;
use super::http::{HttpClient, HttpFailure, HttpRequest, RetryAdvice, authority};
use super::text::{host_and_port, is_loopback, percent_encode, printable};
use dhow_error::{Failure, FailureKind};

#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    Password {
        username: String,
        /// A password or personal access token.
        password: String,
    },
    /// A refresh token that the token server exchanges for access tokens (`identitytoken`).
    Identity(String),
    /// An access token that is sent unchanged (`registrytoken`).
    Access(String),
}

impl Credential {
    pub fn username(&self) -> Option<&str> {
        match self {
            Self::Password { username, .. } => Some(username),
            _ => None,
        }
    }
}

/// Hides secrets.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { username, .. } => write!(f, "Password {{ username: {username:?}, .. }}"),
            Self::Identity(_) => f.write_str("Identity(..)"),
            Self::Access(_) => f.write_str("Access(..)"),
        }
    }
}

/// Authentication state for one registry.
#[derive(Debug)]
pub(crate) struct RegistryAuth {
    credential: Option<Credential>,
    insecure: bool,
    state: Mutex<AuthState>,
}

#[derive(Debug, Default)]
struct AuthState {
    challenges: Vec<AuthChallenge>,
    tokens: HashMap<String, BearerToken>,
    /// The identity token received at login.
    identity: Option<String>,
}

struct BearerToken {
    value: String,
    expires: Instant,
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token {{ expires: {:?}, .. }}", self.expires)
    }
}

/// A token server's response.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct TokenResponse {
    token: Option<String>,
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<f64>,
}

impl RegistryAuth {
    /// `insecure` if the user allowed unencrypted connections to the registry.
    pub(crate) fn new(credential: Option<Credential>, insecure: bool) -> Self {
        Self { credential, insecure, state: Mutex::default() }
    }

    pub(crate) fn has_credential(&self) -> bool {
        self.credential.is_some()
    }

    /// Records the challenges of a 401 response and drops the rejected token.
    pub(crate) fn record_challenges(&self, response: &Response<Body>, scope: &str) {
        let challenges: Vec<AuthChallenge> = response
            .headers()
            .get_all("www-authenticate")
            .iter()
            .flat_map(|value| parse_challenges(&String::from_utf8_lossy(value.as_bytes())))
            .collect();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.challenges = challenges;
        state.tokens.remove(scope);
    }

    /// The `Authorization` header for a request to `uri` within `scope`; `None` as long as the registry has
    /// not asked for one. Fetches a token if none is valid; concurrent callers wait for the first.
    pub(crate) fn authorization(
        &self,
        http: &HttpClient,
        uri: &Uri,
        scope: &str,
    ) -> Result<Option<String>, HttpFailure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = state.tokens.get(scope).filter(|token| token.expires > Instant::now()) {
            return Ok(Some(format!("Bearer {}", token.value)));
        }
        // The first request goes out without credentials; the 401 response tells how to authenticate.
        if state.challenges.is_empty() {
            return Ok(None);
        }
        if let Some(Credential::Access(token)) = &self.credential {
            self.check_secrecy(uri, uri)?;
            return Ok(Some(format!("Bearer {token}")));
        }
        let find = |scheme: &str| state.challenges.iter().find(|challenge| challenge.scheme == scheme);
        if let Some(bearer) = find("bearer").cloned() {
            let (token, identity) = self.fetch_token(http, uri, &bearer, scope)?;
            let header = format!("Bearer {}", token.value);
            state.tokens.insert(scope.to_owned(), token);
            state.identity = identity.or(state.identity.take());
            return Ok(Some(header));
        }
        match (&self.credential, find("basic")) {
            (Some(Credential::Password { username, password }), Some(_)) => {
                self.check_secrecy(uri, uri)?;
                Ok(Some(basic_header(username, password)))
            }
            _ => Ok(None),
        }
    }

    /// The identity token that the token server returned in exchange for the password, if any.
    pub(crate) fn identity(&self) -> Option<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).identity.clone()
    }

    fn fetch_token(
        &self,
        http: &HttpClient,
        registry: &Uri,
        bearer: &AuthChallenge,
        scope: &str,
    ) -> Result<(BearerToken, Option<String>), HttpFailure> {
        let realm = bearer.parameter("realm");
        let uri: Uri = realm
            .parse()
            .ok()
            .filter(|uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
            .ok_or_else(|| {
                permanent(
                    FailureKind::Network,
                    format!(
                        "{} names a token server that has no URL: `{}`",
                        authority(registry),
                        printable(realm)
                    ),
                )
            })?;
        let request = self.token_request(registry, &uri, bearer.parameter("service"), scope)?;
        // Certificate checks may be off only for the registry's own host.
        let verify = !(self.insecure && host_and_port(&uri).0 == host_and_port(registry).0);
        let mut response = http.send(&request, verify)?;
        self.check_status(&mut response, registry, &uri)?;
        parse_token_response(&mut response, &uri)
    }

    fn token_request(
        &self,
        registry: &Uri,
        realm: &Uri,
        service: &str,
        scope: &str,
    ) -> Result<HttpRequest, HttpFailure> {
        if self.credential.is_some() {
            self.check_secrecy(registry, realm)?;
        }
        // Refresh tokens are exchanged by the OAuth 2 form of the endpoint, a POST.
        if let Some(Credential::Identity(token)) = &self.credential {
            let form = format!(
                "grant_type=refresh_token&service={}&client_id=dhow&scope={}&refresh_token={}",
                percent_encode(service),
                percent_encode(scope),
                percent_encode(token)
            );
            return Ok(HttpRequest {
                method: Method::POST,
                form: Some(form),
                ..HttpRequest::get(realm.clone())
            });
        }
        let mut query = format!("service={}", percent_encode(service));
        // The specification repeats the parameter rather than separating scopes by spaces.
        for scope in scope.split_whitespace() {
            query += &format!("&scope={}", percent_encode(scope));
        }
        let mut authorization = None;
        if let Some(Credential::Password { username, password }) = &self.credential {
            query += &format!("&account={}", percent_encode(username));
            // An empty scope means login; docker asks for a refresh token there.
            if scope.is_empty() {
                query += "&offline_token=true&client_id=dhow";
            }
            authorization = Some(basic_header(username, password));
        }
        let separator = if realm.query().is_some() { '&' } else { '?' };
        let text = realm.to_string();
        let uri = format!("{text}{separator}{query}").parse().map_err(|_| {
            permanent(FailureKind::Network, format!("`{}` is not a token server's URL", printable(&text)))
        })?;
        Ok(HttpRequest { authorization, ..HttpRequest::get(uri) })
    }

    fn check_status(
        &self,
        response: &mut Response<Body>,
        registry: &Uri,
        realm: &Uri,
    ) -> Result<(), HttpFailure> {
        let status = response.status().as_u16();
        if status < 300 {
            return Ok(());
        }
        let reported = read_error(response).message;
        if matches!(status, 400 | 401 | 403) {
            let why = match (reported.is_empty(), self.has_credential()) {
                (false, _) => reported,
                (true, true) => "incorrect username or password".to_owned(),
                (true, false) => "authentication required".to_owned(),
            };
            let failure = Failure::new(FailureKind::Denied, format!("unauthorized: {why}"));
            let hint = format!("`dhow login {}` changes who asks", authority(registry));
            return Err(HttpFailure::permanent(failure.hint(hint)));
        }
        let detail = if reported.is_empty() { String::new() } else { format!(": {reported}") };
        let message = format!("the token server {} answers with status {status}{detail}", authority(realm));
        let retry = if status == 429 || status >= 500 { RetryAdvice::Later } else { RetryAdvice::Never };
        Err(HttpFailure { failure: Failure::new(FailureKind::Network, message), retry })
    }

    /// Refuses to send a credential where it could be intercepted.
    fn check_secrecy(&self, registry: &Uri, to: &Uri) -> Result<(), HttpFailure> {
        let host = to.host().unwrap_or_default();
        let allowed_here = self.insecure && host.eq_ignore_ascii_case(registry.host().unwrap_or_default());
        if to.scheme_str() == Some("https") || is_loopback(host) || allowed_here {
            return Ok(());
        }
        Err(permanent(
            FailureKind::Denied,
            format!(
                "the credential for {} is not sent to {} without encryption",
                authority(registry),
                authority(to)
            ),
        ))
    }
}

fn basic_header(username: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}

fn permanent(kind: FailureKind, message: String) -> HttpFailure {
    HttpFailure::permanent(Failure::new(kind, message))
}

fn parse_token_response(
    response: &mut Response<Body>,
    uri: &Uri,
) -> Result<(BearerToken, Option<String>), HttpFailure> {
    const LIMIT: u64 = 1 << 20;
    let malformed = || {
        permanent(
            FailureKind::Network,
            format!("the answer of the token server {} has no token", authority(uri)),
        )
    };
    let text = response.body_mut().with_config().limit(LIMIT).read_to_vec().map_err(|_| malformed())?;
    let body: TokenResponse = serde_json::from_slice(&text).map_err(|_| malformed())?;
    // `access_token` is OAuth 2's name for `token`; a server may send either.
    let value = body.token.filter(|token| !token.is_empty()).or(body.access_token).ok_or_else(malformed)?;
    // The specification's default is 60 s. Some slack keeps a token from expiring in transit.
    let seconds = body.expires_in.filter(|seconds| seconds.is_finite()).unwrap_or(60.0).clamp(60.0, 86_400.0);
    let expires = Instant::now() + Duration::from_secs_f64(seconds - 10.0);
    Ok((BearerToken { value, expires }, body.refresh_token.filter(|token| !token.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password() -> Option<Credential> {
        Some(Credential::Password { username: "me".into(), password: "se cret".into() })
    }

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn a_token_request_carries_what_is_known() {
        let authority = RegistryAuth::new(password(), false);
        let request = authority
            .token_request(&uri("https://r/"), &uri("https://auth/token?x=1"), "reg", "repository:a/b:pull")
            .unwrap();
        assert_eq!(
            request.uri.to_string(),
            "https://auth/token?x=1&service=reg&scope=repository%3Aa%2Fb%3Apull&account=me"
        );
        assert_eq!(request.authorization.unwrap(), "Basic bWU6c2UgY3JldA==");
        let anonymous = RegistryAuth::new(None, false);
        let request = anonymous.token_request(&uri("https://r/"), &uri("http://auth/t"), "s", "").unwrap();
        assert_eq!(
            (request.uri.to_string(), request.authorization),
            ("http://auth/t?service=s".into(), None)
        );
    }

    #[test]
    fn an_identity_token_is_posted() {
        let authority = RegistryAuth::new(Some(Credential::Identity("t&=".into())), false);
        let request = authority.token_request(&uri("https://r/"), &uri("https://auth/t"), "s", "x").unwrap();
        assert_eq!(request.method, Method::POST);
        assert!(request.form.unwrap().ends_with("&scope=x&refresh_token=t%26%3D"));
        assert_eq!(request.authorization, None);
    }

    #[test]
    fn credentials_stay_secret() {
        let secure = RegistryAuth::new(password(), false);
        let insecure = RegistryAuth::new(password(), true);
        assert!(secure.check_secrecy(&uri("https://r/"), &uri("http://auth/")).is_err());
        assert!(secure.check_secrecy(&uri("http://r/"), &uri("http://r/")).is_err());
        assert!(secure.check_secrecy(&uri("http://r/"), &uri("http://127.0.0.1:1/")).is_ok());
        assert!(insecure.check_secrecy(&uri("http://r/"), &uri("http://r:5001/")).is_ok());
        assert!(insecure.check_secrecy(&uri("http://r/"), &uri("http://elsewhere/")).is_err());
        assert!(!format!("{secure:?}").contains("cret"));
    }
}
