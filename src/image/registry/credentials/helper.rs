//! Credential helpers, `docker-credential-NAME`: a verb as argument, JSON or a server name on stdin.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::json;

use crate::registry::auth::Credential;
use crate::registry::text::printable;
use dhow_error::{Failure, FailureKind, invalid};

/// The user name that marks a secret as an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperResponse {
    username: String,
    secret: String,
}

/// A helper named by a credentials file.
#[derive(Clone, Copy, Debug)]
pub(super) struct CredentialHelper<'a> {
    /// The part after `docker-credential-`.
    pub(super) name: &'a str,
    /// The `PATH` to search.
    pub(super) path: Option<&'a str>,
}

impl CredentialHelper<'_> {
    /// Queries the credential of `server`; `None` if the helper has none.
    pub(super) fn get(&self, server: &str) -> Result<Option<Credential>> {
        let name = self.name;
        let output = match self.run("get", server.as_bytes())? {
            Ok(output) => output,
            Err(message) if message.contains("credentials not found") => return Ok(None),
            Err(message) => return Err(helper_failure(name, &message).into()),
        };
        let response: HelperResponse = serde_json::from_slice(&output).map_err(|_| {
            Failure::new(FailureKind::Other, format!("the answer of docker-credential-{name} is malformed"))
        })?;
        if response.secret.is_empty() {
            return Ok(None);
        }
        Ok(Some(match response.username.as_str() {
            TOKEN_USER => Credential::Identity(response.secret),
            _ => Credential::Password { username: response.username, password: response.secret },
        }))
    }

    pub(super) fn store(&self, server: &str, credential: &Credential) -> Result<()> {
        let (username, secret) = match credential {
            Credential::Password { username, password } => (username.as_str(), password),
            Credential::Identity(token) | Credential::Access(token) => (TOKEN_USER, token),
        };
        let text = json!({ "ServerURL": server, "Username": username, "Secret": secret }).to_string();
        self.run("store", text.as_bytes())?
            .map(drop)
            .map_err(|message| helper_failure(self.name, &message).into())
    }

    pub(super) fn erase(&self, server: &str) -> Result<()> {
        self.run("erase", server.as_bytes())?
            .map(drop)
            .map_err(|message| helper_failure(self.name, &message).into())
    }

    /// Runs the helper. The inner error is its output on failure.
    fn run(&self, verb: &str, input: &[u8]) -> Result<Result<Vec<u8>, String>> {
        let name = self.name;
        // The name comes from a file, which must not choose a program outside of PATH.
        if name.contains('/') || name.contains('\0') {
            return Err(invalid(format!(
                "`{}` cannot be the name of a credential helper",
                name.escape_debug()
            ))
            .into());
        }
        let program = format!("docker-credential-{name}");
        let doing = || format!("cannot run {program}");
        let mut command = Command::new(&program);
        if let Some(path) = self.path {
            command.env("PATH", path);
        }
        let mut child = command
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(doing)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A helper that exits without reading (EPIPE) explains itself in its output.
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().with_context(doing)?;
        if output.status.success() {
            return Ok(Ok(output.stdout));
        }
        Ok(Err(String::from_utf8_lossy(&output.stdout).trim().to_owned()))
    }
}

fn helper_failure(name: &str, message: &str) -> Failure {
    Failure::new(FailureKind::Other, format!("docker-credential-{name} fails: {}", printable(message)))
}
