//! `login`: verify an account with a registry, and store its credential.

use std::io::{IsTerminal as _, Read as _};

use anyhow::Context as _;
use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::usage::UsageError;
use crate::frame::{environment, prompt, report};
use crate::output;
use dhow_engine::registry::{self, login};
use dhow_error::{Failure, FailureKind, invalid};
use dhow_image::registry::auth::Credential;
use dhow_image::registry::credentials::CredentialLocation;
use dhow_model::environment::Environment;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<LoginArgs>(
    &["login"],
    "[OPTIONS] [SERVER]",
    "Log in to a registry, Docker Hub by default",
);

/// The longest password that is read from standard input, in bytes.
const MAX_PASSWORD_BYTES: u64 = 64 * 1024;

/// Arguments of `login`.
#[derive(Args)]
struct LoginArgs {
    /// The password; others can see it in the list of processes
    #[arg(short, long, value_name = "PASSWORD")]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// The account
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

impl CommandArgs for LoginArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let environment = environment::with_flags(context);
        let registry = registry::registry_name(self.server.as_deref())?;
        if self.password.is_some() {
            report::warn(
                context,
                "a password on the command line can be seen by others; use --password-stdin",
            );
        }
        if self.has_no_account_flags() && login_with_stored(context, &environment, &registry)? {
            return succeeded();
        }
        let credential = self.credential()?;
        // A registry may answer with an identity token, which is stored in place of the password.
        let proven = login::verify_credential(&environment, &registry, &credential)?;
        if let CredentialLocation::File(path) = login::store_credential(&environment, &registry, &proven)? {
            report::warn(
                context,
                &format!(
                    "the credential is stored unencrypted in {}; a credential helper (credsStore) would keep it safe",
                    path.display()
                ),
            );
        }
        succeeded()
    }
}

impl LoginArgs {
    /// Whether no flag says who logs in.
    fn has_no_account_flags(&self) -> bool {
        self.username.is_none() && self.password.is_none() && !self.password_stdin
    }

    fn credential(self) -> anyhow::Result<Credential> {
        let password = match (self.password, self.password_stdin) {
            (Some(_), true) => {
                return Err(UsageError::flag("--password and --password-stdin are mutually exclusive").into());
            }
            (password, false) => password,
            (None, true) if self.username.is_none() => {
                return Err(UsageError::flag("must provide --username with --password-stdin").into());
            }
            (None, true) => Some(read_password()?),
        };
        // docker, too, asks only on a terminal.
        if (self.username.is_none() || password.is_none()) && !std::io::stdin().is_terminal() {
            return Err(invalid("cannot ask for the account: standard input is not a terminal")
                .hint("give --username, and the password through --password-stdin")
                .into());
        }
        let username = self.username.map_or_else(|| prompt::ask_line("Username: "), Ok)?;
        let password = password.map_or_else(|| prompt::ask_secret("Password: "), Ok)?;
        if username.is_empty() || password.is_empty() {
            return Err(invalid("the account's name and password must not be empty").into());
        }
        Ok(Credential::Password { username, password })
    }
}

/// Tries a stored credential, as docker does without flags. Returns whether it was accepted.
fn login_with_stored(
    context: &CommandContext,
    environment: &Environment,
    registry: &str,
) -> anyhow::Result<bool> {
    let stored = login::stored_login(environment, registry)?;
    stored.warnings.iter().for_each(|warning| report::warn(context, warning));
    let Some(credential) = stored.credential else { return Ok(false) };
    output::print_line("Authenticating with existing credentials...")?;
    match login::verify_credential(environment, registry, &credential) {
        Ok(_) => Ok(true),
        // The user is there to type another password.
        Err(error) if std::io::stdin().is_terminal() => {
            report::print_error(context, &error);
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn read_password() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin()
        // A device or a large file by mistake must not fill the memory. One byte more than allowed shows it.
        .take(MAX_PASSWORD_BYTES + 1)
        .read_to_string(&mut text)
        .context("cannot read the password from standard input")?;
    if text.len() as u64 > MAX_PASSWORD_BYTES {
        return Err(invalid(format!(
            "standard input holds more than a password: {MAX_PASSWORD_BYTES} bytes at most"
        ))
        .hint("give the password alone: `--password-stdin <FILE`")
        .into());
    }
    // `echo` and editors end the line, which is not part of the password.
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::new(FailureKind::Invalid, "standard input holds no password").into());
    }
    Ok(password.to_owned())
}

fn succeeded() -> CommandResult {
    output::print_line("Login Succeeded")?;
    Ok(0)
}
