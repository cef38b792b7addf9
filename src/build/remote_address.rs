//! Addresses of contexts and of sources of `ADD`: git repositories and HTTP, told apart from paths as BuildKit does.

/// What an address leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteKind {
    /// A git repository.
    Git,
    /// A file or archive on an HTTP server.
    Http,
}

/// What `text` is the address of; `None` for a path or a name. Git repositories are `git@host:path`, `ssh://`, `git://`,
/// `github.com/…`, and URLs whose path ends in `.git`, each perhaps with a fragment and a query.
pub fn remote_kind(text: &str) -> Option<RemoteKind> {
    if text.starts_with("github.com/") {
        return Some(RemoteKind::Git);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return is_scp(text).then_some(RemoteKind::Git);
    };
    let without_query = rest.split(['#', '?']).next().unwrap_or_default();
    let is_repository = without_query.split_once('/').is_some_and(|(_, path)| path.ends_with(".git"));
    match scheme.to_ascii_lowercase().as_str() {
        "git" | "ssh" => Some(RemoteKind::Git),
        "http" | "https" | "file" if is_repository => Some(RemoteKind::Git),
        "http" | "https" => Some(RemoteKind::Http),
        _ => None,
    }
}

/// What a source of `ADD` is the address of. Unlike a context, it cannot be a repository of this machine, and
/// `github.com/…` is a path in the context.
pub fn remote_source(text: &str) -> Option<RemoteKind> {
    let is_local = text.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file://"));
    remote_kind(text).filter(|_| !is_local && !text.starts_with("github.com/"))
}

/// `user@host:path`, as in scp.
fn is_scp(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else { return false };
    let Some((host, path)) = rest.split_once(':') else { return false };
    let is_word = |text: &str, more: &str| {
        // ssh would take a leading `-` for an option.
        !text.is_empty()
            && !text.starts_with('-')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    is_word(user, "-_") && is_word(host, "-.") && !path.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_servers_and_paths() {
        for git in [
            "git@github.com:moby/buildkit.git#v1:sub",
            "github.com/moby/buildkit",
            "https://github.com/moby/buildkit.git",
            "HTTPS://github.com/moby/buildkit.git#main",
            "https://github.com/moby/buildkit.git?ref=main&subdir=x",
            "file:///srv/r.git",
            "git://host/path",
            "SSH://git@host/path",
        ] {
            assert_eq!(remote_kind(git), Some(RemoteKind::Git), "{git}");
        }
        for http in ["https://host/x.tar.gz", "http://host/x.git/y", "http://host.git", "HTTP://h/?x=.git"] {
            assert_eq!(remote_kind(http), Some(RemoteKind::Http), "{http}");
        }
        for path in [
            "./git@host:path",
            "../x",
            "",
            "dir/x.git",
            "a:b",
            "C:/x.git",
            "@h:x",
            "git@host",
            "git@my_host:x",
            "-o@host:x",
            "file:///x.tar",
            "ftp://host/x.git",
        ] {
            assert_eq!(remote_kind(path), None, "{path}");
        }
    }

    #[test]
    fn what_add_fetches() {
        assert_eq!(remote_source("git@host:x"), Some(RemoteKind::Git));
        assert_eq!(remote_source("http://host/x"), Some(RemoteKind::Http));
        for path in ["github.com/moby/buildkit", "File:///r.git", "a/b@c:d", "x"].map(remote_source) {
            assert_eq!(path, None);
        }
    }
}
