//! Helper programs, `docker-credential-NAME`: a verb as argument, JSON or a server's name through a pipe.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::json;

use crate::error::{Failure, Kind, invalid};
use crate::image::registry::auth::Credential;
use crate::image::registry::text::printable;

/// The user name that marks a secret as an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks a helper for the credential of `server`; `None` if it has none.
pub(super) fn get(name: &str, server: &str) -> Result<Option<Credential>> {
    let output = match run(name, "get", server.as_bytes())? {
        Ok(output) => output,
        Err(said) if said.contains("credentials not found") => return Ok(None),
        Err(said) => return Err(refused(name, &said).into()),
    };
    let answer: Answer = serde_json::from_slice(&output).map_err(|_| {
        Failure::new(Kind::Other, format!("the answer of docker-credential-{name} is malformed"))
    })?;
    if answer.secret.is_empty() {
        return Ok(None);
    }
    Ok(Some(match answer.username.as_str() {
        TOKEN_USER => Credential::Identity(answer.secret),
        _ => Credential::Password { username: answer.username, password: answer.secret },
    }))
}

/// Gives a credential to a helper.
pub(super) fn store(name: &str, server: &str, credential: &Credential) -> Result<()> {
    let (username, secret) = match credential {
        Credential::Password { username, password } => (username.as_str(), password),
        Credential::Identity(token) | Credential::Access(token) => (TOKEN_USER, token),
    };
    let text = json!({ "ServerURL": server, "Username": username, "Secret": secret }).to_string();
    run(name, "store", text.as_bytes())?.map(drop).map_err(|said| refused(name, &said).into())
}

/// Makes a helper forget the credential of `server`.
pub(super) fn erase(name: &str, server: &str) -> Result<()> {
    run(name, "erase", server.as_bytes())?.map(drop).map_err(|said| refused(name, &said).into())
}

fn refused(name: &str, said: &str) -> Failure {
    Failure::new(Kind::Other, format!("docker-credential-{name} fails: {}", printable(said)))
}

/// Runs a helper. The inner error is what it said when it failed.
fn run(name: &str, verb: &str, input: &[u8]) -> Result<Result<Vec<u8>, String>> {
    if name.contains('/') || name.contains('\0') {
        return Err(
            invalid(format!("`{}` cannot be the name of a credential helper", name.escape_debug())).into()
        );
    }
    let program = format!("docker-credential-{name}");
    let doing = || format!("cannot run {program}");
    let mut child = Command::new(&program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(doing)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that ends without reading says why by its output.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output().with_context(doing)?;
    if output.status.success() {
        return Ok(Ok(output.stdout));
    }
    Ok(Err(String::from_utf8_lossy(&output.stdout).trim().to_owned()))
}
