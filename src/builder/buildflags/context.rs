//! Contexts: tells directories, standard input, git repositories, URLs and images apart.

use std::path::PathBuf;

use super::ClientEnv;
use crate::request::{ContextSource, DockerfileSource};
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
    if is_git(text) {
        return Ok(ContextSource::Git(text.to_owned()));
    }
    if is_http(text) {
        return Ok(ContextSource::Url(text.to_owned()));
    }
    let problem = if dir.exists() { "is not a directory" } else { "not found" };
    Err(not_found(format!("unable to prepare context: path {text:?} {problem}")))
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
    if is_git(text) {
        return Ok(ContextSource::Git(text.to_owned()));
    }
    if is_http(text) {
        return Ok(ContextSource::Url(text.to_owned()));
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
    text.starts_with("http://") || text.starts_with("https://")
}

/// Whether BuildKit takes `text` for a git repository: `git@host:path`, `ssh://`, `git://`, `github.com/…`,
/// and http URLs whose path ends in `.git`, each with `#ref[:subdirectory]`.
pub(crate) fn is_git(text: &str) -> bool {
    if text.starts_with("./") || text.starts_with("../") {
        return false;
    }
    if text.starts_with("github.com/") || text.starts_with("git://") || text.starts_with("ssh://") {
        return true;
    }
    if is_http(text) {
        let path = text.split(['#', '?']).next().unwrap_or(text);
        return path.ends_with(".git");
    }
    is_scp(text)
}

/// `user@host:path`, as in scp.
fn is_scp(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else { return false };
    let Some((host, path)) = rest.split_once(':') else { return false };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !user.is_empty() && user.chars().all(plain) && !host.is_empty() && !host.contains('/') && !path.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> ClientEnv {
        ClientEnv { environment: dhow_model::environment::Environment::default(), dir: "/".into() }
    }

    #[test]
    fn repositories() {
        for text in [
            "git@github.com:moby/buildkit.git#v1:sub",
            "github.com/moby/buildkit",
            "https://github.com/moby/buildkit.git",
            "https://github.com/moby/buildkit.git#main",
            "https://github.com/moby/buildkit.git?ref=main&subdir=x",
            "git://host/path",
            "ssh://git@host/path",
        ] {
            assert!(is_git(text), "{text}");
        }
        for text in [
            "https://github.com/moby/buildkit",
            "./github.com/moby",
            "../x.git",
            "dir.git",
            "https://h/x.git/y.tar",
            "a@b",
            "u@h/x:y",
        ] {
            assert!(!is_git(text), "{text}");
        }
    }

    #[test]
    fn forms_of_a_context() {
        assert_eq!(parse_main("-", &client()).unwrap(), ContextSource::Stdin);
        assert_eq!(parse_main("proc", &client()).unwrap(), ContextSource::Directory("/proc".into()));
        assert!(matches!(parse_main("https://h/x.tar.gz", &client()), Ok(ContextSource::Url(_))));
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
