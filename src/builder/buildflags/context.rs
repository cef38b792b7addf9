//! Contexts: tells directories, standard input, git repositories, URLs and images apart.

use std::path::PathBuf;

use super::ClientEnv;
use crate::request::{ContextSource, DockerfileSource};
use dhow_build::remote_address::{RemoteKind, remote_kind};
use dhow_error::{Failure, invalid, not_found};
use dhow_model::reference::{DEFAULT_TAG, ImageReference};

/// Parses the main context.
pub fn parse_main(text: &str, client: &ClientEnv) -> Result<ContextSource, Failure> {
    if text == "-" {
        return Ok(ContextSource::Stdin);
    }
    let dir = client.absolute(text);
    // As in docker's client, an existing directory wins over a URL of the same text.
    if text.is_empty() || dir.is_dir() {
        return Ok(ContextSource::Directory(dir));
    }
    if let Some(source) = remote_context(text) {
        return Ok(source);
    }
    let problem = if dir.exists() { "is not a directory" } else { "not found" };
    Err(not_found(format!("unable to prepare context: path {text:?} {problem}")))
}

/// The context at an address; `None` for a path.
fn remote_context(text: &str) -> Option<ContextSource> {
    Some(match remote_kind(text)? {
        RemoteKind::Git => ContextSource::Git(text.to_owned()),
        RemoteKind::Http => ContextSource::Url(text.to_owned()),
    })
}

/// Parses the source of a named context.
fn parse_source(text: &str, client: &ClientEnv) -> Result<ContextSource, Failure> {
    if let Some(image) = text.strip_prefix("docker-image://") {
        return Ok(ContextSource::Image(image.to_owned()));
    }
    if let Some(layout) = text.strip_prefix("oci-layout://") {
        return Ok(ContextSource::OciLayout(absolute_layout(layout, client)));
    }
    if let Some(target) = text.strip_prefix("target:") {
        return Ok(ContextSource::Target(target.to_owned()));
    }
    if let Some(source) = remote_context(text) {
        return Ok(source);
    }
    let dir = client.absolute(text);
    match dir.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(ContextSource::Directory(dir)),
        Ok(_) => Err(invalid(format!("failed to get build context {text}: not a directory"))),
        Err(why) => Err(not_found(format!("failed to get build context {text}: {why}"))),
    }
}

/// Parses `NAME=SOURCE`.
pub fn parse_named(text: &str, client: &ClientEnv) -> Result<(String, ContextSource), Failure> {
    let (name, source) = text
        .split_once('=')
        .ok_or_else(|| invalid(format!("invalid context value: {text}, expected key=value")))?;
    Ok((context_name(name)?, parse_source(source, client)?))
}

/// A named context of a bake file.
pub(crate) fn parse_pair(
    name: &str,
    source: &str,
    client: &ClientEnv,
) -> Result<(String, ContextSource), Failure> {
    Ok((context_name(name)?, parse_source(source, client)?))
}

/// A context name is an image name; `latest` may be left out.
fn context_name(text: &str) -> Result<String, Failure> {
    let name: ImageReference =
        text.parse().map_err(|why: Failure| invalid(format!("invalid context name {text}: {why}")))?;
    Ok(name.familiar().trim_end_matches(&format!(":{DEFAULT_TAG}")).to_owned())
}

/// A path, followed by `:TAG` or `@DIGEST`.
fn absolute_layout(text: &str, client: &ClientEnv) -> String {
    client.absolute(text).display().to_string()
}

/// Parses `-f`.
pub fn parse_dockerfile(
    text: Option<&str>,
    context: &ContextSource,
    client: &ClientEnv,
) -> Result<DockerfileSource, Failure> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(DockerfileSource::Default) };
    match context {
        ContextSource::Stdin if text == "-" => Err(stdin_twice()),
        _ if text == "-" => Ok(DockerfileSource::Stdin),
        _ if is_http(text) => Ok(DockerfileSource::Url(text.to_owned())),
        ContextSource::Directory(_) => Ok(DockerfileSource::Path(client.absolute(text))),
        _ => Ok(DockerfileSource::Path(PathBuf::from(text))),
    }
}

fn stdin_twice() -> Failure {
    invalid("invalid argument: can't use stdin for both build context and dockerfile")
}

fn is_http(text: &str) -> bool {
    remote_kind(text) == Some(RemoteKind::Http)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::git::parse_git_url;

    fn client() -> ClientEnv {
        ClientEnv { environment: dhow_model::environment::Environment::default(), dir: "/".into() }
    }

    #[test]
    fn forms_of_a_context() {
        assert_eq!(parse_main("-", &client()).unwrap(), ContextSource::Stdin);
        assert_eq!(parse_main("proc", &client()).unwrap(), ContextSource::Directory("/proc".into()));
        assert!(matches!(parse_main("https://h/x.tar.gz", &client()), Ok(ContextSource::Url(_))));
        // Every address that a repository is fetched from is one of a context, too.
        for git in ["HTTPS://h/x.git", "github.com/moby/buildkit", "git@h:x", "file:///x.git"] {
            assert_eq!(parse_main(git, &client()).unwrap(), ContextSource::Git(git.into()));
            assert!(parse_git_url(git).is_some_and(|url| url.is_ok()), "{git}");
        }
        let message = parse_main("no/such", &client()).unwrap_err().to_string();
        assert_eq!(message, "unable to prepare context: path \"no/such\" not found");
    }

    #[test]
    fn named_contexts() {
        let context = |text: &str| parse_named(text, &client());
        assert_eq!(
            context("Base=docker-image://alpine").map_err(|why| why.to_string()).ok(),
            None,
            "upper case is no name of an image"
        );
        assert_eq!(
            context("base=docker-image://alpine").unwrap(),
            ("base".into(), ContextSource::Image("alpine".into()))
        );
        assert_eq!(
            context("alpine:latest=target:x").unwrap(),
            ("alpine".into(), ContextSource::Target("x".into()))
        );
        assert_eq!(context("l=oci-layout://a/b:1").unwrap().1, ContextSource::OciLayout("/a/b:1".into()));
        let message = context("alpine").unwrap_err().to_string();
        assert_eq!(message, "invalid context value: alpine, expected key=value");
        assert!(
            context("x=/no/such").unwrap_err().to_string().starts_with("failed to get build context /no")
        );
    }

    #[test]
    fn dockerfiles() {
        let of = |text, context: &ContextSource| parse_dockerfile(text, context, &client());
        let here = ContextSource::Directory("/x".into());
        assert_eq!(of(None, &here).unwrap(), DockerfileSource::Default);
        assert_eq!(of(Some("a/D"), &here).unwrap(), DockerfileSource::Path("/a/D".into()));
        assert_eq!(of(Some("a/D"), &ContextSource::Stdin).unwrap(), DockerfileSource::Path("a/D".into()));
        assert_eq!(of(Some("-"), &here).unwrap(), DockerfileSource::Stdin);
        assert!(of(Some("-"), &ContextSource::Stdin).unwrap_err().to_string().contains("both"));
    }
}
