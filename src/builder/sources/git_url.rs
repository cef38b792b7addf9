//! Git URLs in contexts and ADD: `https://host/repository.git#ref:directory`,
//! `git@host:repository.git?ref=…&subdir=…`.

use dhow_build::remote_address::{RemoteKind, remote_kind};
use dhow_error::{Failure, invalid};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GitUrl {
    /// The URL for git, without fragment and query.
    pub remote: String,
    /// A branch, tag or commit; `None` for the repository's HEAD.
    pub reference: Option<String>,
    /// A directory in the repository, clean and relative; empty for all of it.
    pub(crate) subdir: String,
    /// The commit that the reference must resolve to, or a prefix of it.
    pub checksum: Option<String>,
    /// Whether `.git` is kept.
    pub keep_git_dir: Option<bool>,
    /// Whether submodules are checked out.
    pub(crate) submodules: bool,
    /// A `file://` URL.
    pub local: bool,
}

/// Parses a URL; `None` if it is not a git URL.
pub(crate) fn parse_git_url(text: &str) -> Option<Result<GitUrl, Failure>> {
    (remote_kind(text) == Some(RemoteKind::Git)).then(|| match text.starts_with("github.com/") {
        true => parse_parts(&format!("https://{text}")),
        false => parse_parts(text),
    })
}

fn parse_parts(text: &str) -> Result<GitUrl, Failure> {
    if text.chars().any(char::is_control) {
        return Err(invalid("the address of a git repository holds a control character"));
    }
    let (address, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (remote, query) = address.split_once('?').unwrap_or((address, ""));
    let local = remote.to_ascii_lowercase().starts_with("file://");
    let mut url = GitUrl { remote: remote.to_owned(), submodules: true, local, ..GitUrl::default() };
    let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
    url.reference = Some(reference.to_owned()).filter(|reference| !reference.is_empty());
    url.subdir = subdir.to_owned();
    for field in query.split('&').filter(|field| !field.is_empty()) {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        url.set(key, &percent_decode(value), text)?;
    }
    url.check()?;
    Ok(url)
}

impl GitUrl {
    fn set(&mut self, key: &str, value: &str, text: &str) -> Result<(), Failure> {
        let twice = || invalid(format!("\"{}\" says more than once what to check out", text.escape_debug()));
        let flag = || match value {
            "" | "1" | "true" => Ok(true),
            "0" | "false" => Ok(false),
            other => Err(invalid(format!("invalid {key} value: \"{}\"", other.escape_debug()))),
        };
        match key {
            "ref" | "tag" | "branch" => {
                let full = match key {
                    "tag" => format!("refs/tags/{value}"),
                    "branch" => format!("refs/heads/{value}"),
                    _ => value.to_owned(),
                };
                if self.reference.replace(full).is_some() {
                    return Err(twice());
                }
            }
            "subdir" if self.subdir.is_empty() => value.clone_into(&mut self.subdir),
            "subdir" => return Err(twice()),
            "commit" | "checksum" => self.checksum = Some(value.to_owned()),
            "keep-git-dir" => self.keep_git_dir = Some(flag()?),
            "submodules" => self.submodules = flag()?,
            other => {
                let parameters = "ref, tag, branch, commit, checksum, subdir, keep-git-dir, submodules";
                return Err(invalid(format!(
                    "unexpected query \"{}\" in a git address",
                    other.escape_debug()
                ))
                .hint(format!("it may have {parameters}")));
            }
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Failure> {
        let path = dhow_build::path_pattern::clean(&format!("/{}", self.subdir));
        self.subdir = path.trim_start_matches('/').to_owned();
        if let Some(checksum) = &self.checksum {
            check_commit(checksum)?;
            self.reference.get_or_insert_with(|| checksum.clone());
        }
        match &self.reference {
            // git would take it for an option or a revision expression.
            Some(name)
                if name.starts_with('-')
                    || name.contains("..")
                    || name.contains([' ', '~', '^', ':', '\\', '*', '?', '[']) =>
            {
                Err(invalid(format!("invalid git reference \"{}\"", name.escape_debug())))
            }
            _ => Ok(()),
        }
    }
}

/// Checks that a text is a commit hash or a prefix of at least 7 digits.
pub(crate) fn check_commit(text: &str) -> Result<(), Failure> {
    if (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(invalid(format!(
        "invalid checksum \"{}\" for Git source, expected hex commit hash",
        text.escape_debug()
    )))
}

/// Decodes percent escapes in a query. A result that is not UTF-8 is left encoded.
fn percent_decode(text: &str) -> String {
    String::from_utf8(super::http::percent_decode(text)).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_of_github_needs_no_scheme() {
        let url = parse_git_url("github.com/moby/buildkit#v1").unwrap().unwrap();
        assert_eq!(
            (&url.remote[..], url.reference.as_deref()),
            ("https://github.com/moby/buildkit", Some("v1"))
        );
        assert!(parse_git_url("https://example.com/b.tar.gz").is_none());
    }

    #[test]
    fn both_ways_to_say_what_is_wanted() {
        let url = parse_git_url("https://h/r.git#v1.2:a/../../b/").unwrap().unwrap();
        assert_eq!(
            (url.remote.as_str(), url.reference.as_deref(), url.subdir.as_str()),
            ("https://h/r.git", Some("v1.2"), "b")
        );
        let url = parse_git_url("https://h/r.git?tag=v1&subdir=x%2Fy&keep-git-dir=true&submodules=false")
            .unwrap()
            .unwrap();
        assert_eq!((url.reference.as_deref(), url.subdir.as_str()), (Some("refs/tags/v1"), "x/y"));
        assert_eq!((url.keep_git_dir, url.submodules), (Some(true), false));
        let url = parse_git_url("git@h:r.git?checksum=0123456789").unwrap().unwrap();
        assert_eq!((url.remote.as_str(), url.reference.as_deref()), ("git@h:r.git", Some("0123456789")));
        assert_eq!(parse_git_url("https://h/r.git#:sub").unwrap().unwrap().reference, None);
    }

    #[test]
    fn what_git_could_misread_is_refused() {
        for bad in [
            "https://h/r.git#--upload-pack=x",
            "https://h/r.git#a..b",
            "https://h/r.git#a b",
            "https://h/r.git?wrong=1",
            "https://h/r.git?ref=a&tag=b",
            "https://h/r.git#a?ref=b\n",
            "https://h/r.git?checksum=xyz",
            "https://h/r.git?keep-git-dir=maybe",
        ] {
            assert!(parse_git_url(bad).unwrap().is_err(), "{bad}");
        }
    }
}
