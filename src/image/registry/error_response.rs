//! Interprets registries' error responses, using docker's messages where they exist.

use serde::Deserialize;
use ureq::Body;
use ureq::http::Response;

use super::text::printable;
use dhow_error::{Failure, FailureKind};

/// Maximum size of an error body, in bytes.
const LIMIT: u64 = 64 * 1024;

/// What the failed request was for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RequestSubject<'a> {
    /// A manifest: the reference and the repository as shown to the user.
    Manifest {
        /// For example `debian:12`.
        reference: &'a str,
        /// For example `debian`.
        name: &'a str,
    },
    /// The tag list of this repository.
    Tags(&'a str),
    /// A blob of this repository.
    Blob(&'a str),
    /// A push to this repository.
    Push(&'a str),
}

impl RequestSubject<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Manifest { name, .. } | Self::Tags(name) | Self::Blob(name) | Self::Push(name) => name,
        }
    }
}

/// The error reported by a registry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct RegistryError {
    /// For example `MANIFEST_UNKNOWN`; empty if the body has no code.
    pub code: String,
    /// Printable; may be empty.
    pub message: String,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    errors: Vec<ErrorItem>,
    #[serde(default)]
    details: String,
    #[serde(default)]
    error_description: String,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct ErrorItem {
    code: String,
    message: String,
}

/// Parses the body of an error response.
pub(crate) fn read_error(response: &mut Response<Body>) -> RegistryError {
    let text = response.body_mut().with_config().limit(LIMIT).lossy_utf8(true).read_to_string();
    parse_error(&text.unwrap_or_default())
}

fn parse_error(text: &str) -> RegistryError {
    let Ok(body) = serde_json::from_str::<ErrorBody>(text) else { return RegistryError::default() };
    let Some(first) = body.errors.first() else {
        // Not the distribution format: token servers use `details`, or OAuth 2's `error_description`.
        let message = if body.details.is_empty() { body.error_description } else { body.details };
        return RegistryError { code: String::new(), message: printable(&message) };
    };
    RegistryError { code: printable(&first.code), message: printable(&first.message) }
}

/// Converts an error response to a failure.
pub(crate) fn error_response(response: &mut Response<Body>, subject: RequestSubject<'_>) -> Failure {
    let status = response.status().as_u16();
    explain(status, &read_error(response), subject)
}

fn explain(status: u16, error: &RegistryError, subject: RequestSubject<'_>) -> Failure {
    match (status, error.code.as_str(), subject) {
        (_, _, RequestSubject::Push(name)) if status != 429 => push_refused(status, name, error),
        // Registries do not tell private repositories from missing ones, so docker reports both as denied.
        (404, "NAME_UNKNOWN", RequestSubject::Manifest { .. }) | (401 | 403, ..) => {
            denied(subject.name(), error)
        }
        (404, _, RequestSubject::Manifest { reference, .. }) => Failure::new(
            FailureKind::NotFound,
            format!("manifest for {reference} not found: manifest unknown"),
        ),
        (404, _, RequestSubject::Tags(name)) => {
            Failure::new(FailureKind::NotFound, format!("repository {name} not found"))
        }
        (404, _, RequestSubject::Blob(name)) => Failure::new(
            FailureKind::NotFound,
            format!("the registry does not have a layer of {name}: blob unknown"),
        ),
        (429, ..) => {
            Failure::new(FailureKind::Network, with_detail("toomanyrequests: too many requests", error))
                .hint("log in with `dhow login`, or wait")
        }
        _ => Failure::new(
            FailureKind::Network,
            with_detail(&format!("the registry answers with status {status}"), error),
        ),
    }
}

fn denied(name: &str, error: &RegistryError) -> Failure {
    let why = match error.code.as_str() {
        "UNAUTHORIZED" => "unauthorized: authentication required",
        "NAME_UNKNOWN" => "name unknown: repository name not known to registry",
        _ => "denied: requested access to the resource is denied",
    };
    Failure::new(
        FailureKind::Denied,
        format!(
            "pull access denied for {name}, repository does not exist or may require 'dhow login': {why}"
        ),
    )
}

/// docker's messages for a push: the registry's code in lower case and its message.
fn push_refused(status: u16, name: &str, error: &RegistryError) -> Failure {
    match (status, error.code.as_str()) {
        (_, "DENIED") | (403, _) => {
            Failure::new(FailureKind::Denied, "denied: requested access to the resource is denied")
                .hint(format!("`dhow login` as somebody who may push to {name}"))
        }
        (401, _) | (_, "UNAUTHORIZED") => {
            Failure::new(FailureKind::Denied, "unauthorized: authentication required")
                .hint("`dhow login` to that registry")
        }
        (404, "NAME_UNKNOWN") => {
            Failure::new(FailureKind::NotFound, "name unknown: repository name not known to registry")
        }
        (405, _) => {
            Failure::new(FailureKind::Unsupported, with_detail("the registry takes no uploads", error))
        }
        (413, _) => Failure::new(FailureKind::Full, with_detail("too large for the registry", error)),
        (_, "") => Failure::new(
            FailureKind::Network,
            with_detail(&format!("the registry answers with status {status}"), error),
        ),
        (_, code) => Failure::new(
            FailureKind::Network,
            with_detail(&code.to_ascii_lowercase().replace('_', " "), error),
        ),
    }
}

fn with_detail(summary: &str, error: &RegistryError) -> String {
    match (error.code.as_str(), error.message.as_str()) {
        ("", "") => summary.to_owned(),
        (code, "") => format!("{summary} ({code})"),
        (_, message) => format!("{summary}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: RequestSubject<'static> =
        RequestSubject::Manifest { reference: "debian:99", name: "debian" };

    #[test]
    fn uses_dockers_words() {
        let unknown = parse_error(
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}}]}"#,
        );
        let failure = explain(404, &unknown, MANIFEST);
        assert_eq!(failure.to_string(), "manifest for debian:99 not found: manifest unknown");
        assert_eq!(failure.kind(), FailureKind::NotFound);
        let failure = explain(401, &RegistryError::default(), MANIFEST);
        assert!(failure.to_string().starts_with(
            "pull access denied for debian, repository does not exist or may require 'dhow login': "
        ));
        assert_eq!(failure.kind(), FailureKind::Denied);
        let name = RegistryError { code: "NAME_UNKNOWN".into(), message: String::new() };
        assert_eq!(explain(404, &name, MANIFEST).kind(), FailureKind::Denied);
        assert_eq!(explain(404, &name, RequestSubject::Tags("x")).kind(), FailureKind::NotFound);
    }

    #[test]
    fn a_push_is_refused_in_dockers_words() {
        let push = |status, code: &str, message: &str| {
            let complaint = RegistryError { code: code.into(), message: message.into() };
            explain(status, &complaint, RequestSubject::Push("a/b")).to_string()
        };
        assert_eq!(push(403, "", ""), "denied: requested access to the resource is denied");
        assert_eq!(push(401, "DENIED", ""), "denied: requested access to the resource is denied");
        assert_eq!(push(401, "UNAUTHORIZED", "x"), "unauthorized: authentication required");
        assert_eq!(push(400, "MANIFEST_INVALID", "bad"), "manifest invalid: bad");
        assert_eq!(push(500, "", ""), "the registry answers with status 500");
    }

    #[test]
    fn nothing_is_printed_raw() {
        let read = parse_error("{\"errors\":[{\"code\":\"X\",\"message\":\"\\u001b[2J evil\\n\"}]}");
        assert_eq!(read.message, "\\u{1b}[2J evil");
        assert_eq!(
            explain(500, &read, MANIFEST).to_string(),
            "the registry answers with status 500: \\u{1b}[2J evil"
        );
    }

    #[test]
    fn bodies_of_all_sorts() {
        assert_eq!(parse_error("<html>"), RegistryError::default());
        assert_eq!(parse_error("{}"), RegistryError::default());
        assert_eq!(parse_error("[1]"), RegistryError::default());
        assert_eq!(
            parse_error(r#"{"details":"incorrect username or password"}"#).message,
            "incorrect username or password"
        );
    }
}
