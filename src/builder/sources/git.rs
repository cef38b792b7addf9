//! Checks out git repositories with the host's `git`: in a clean environment, without the user's settings,
//! hooks or prompts, and by default over the network only.

use std::ffi::OsString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

pub(crate) use super::git_url::{GitUrl, parse_git_url};
use dhow_error::{Failure, FailureKind, invalid, not_found, unsupported};
use dhow_image::registry::text::printable;
use dhow_model::environment::Environment;

/// Directories nested deeper than this are refused, since each level holds file descriptors.
const MAX_DEPTH: usize = 400;
/// Proxy variables, passed to git in both spellings.
const PASSED_VARIABLES: &[&str] = &["http_proxy", "https_proxy", "all_proxy", "no_proxy"];
/// Settings that override those of the repository and the host.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.fsmonitor=false",
    "core.autocrlf=false",
    "core.symlinks=true",
    "core.fileMode=true",
    "advice.detachedHead=false",
    "init.defaultBranch=main",
    "gc.auto=0",
    "maintenance.auto=false",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "transfer.fsckObjects=true",
    "fetch.fsck.zeroPaddedFilemode=ignore",
    "fetch.fsck.badTimezone=ignore",
    "fetch.fsck.missingSpaceBeforeDate=ignore",
    "fetch.fsck.gitmodulesMissing=ignore",
];

#[derive(Clone, Debug)]
pub(crate) struct GitOptions {
    /// Provides `PATH`, proxies and certificates.
    pub environment: Environment,
    /// `--keep-git-dir`; the URL's own setting takes precedence.
    pub keep_git_dir: bool,
    /// `--checksum`: the commit that the reference must resolve to.
    pub checksum: Option<String>,
    /// The socket of the user's ssh agent.
    pub(crate) ssh_socket: Option<PathBuf>,
    /// Allow repositories on this host (`GIT_ALLOW_PROTOCOL` in the environment contains `file`).
    pub local: bool,
}

impl GitOptions {
    /// The options that the environment implies.
    pub(crate) fn new(environment: &Environment) -> Self {
        let allowed = environment.text("GIT_ALLOW_PROTOCOL").unwrap_or_default();
        Self {
            environment: environment.clone(),
            keep_git_dir: false,
            checksum: None,
            ssh_socket: environment.path("SSH_AUTH_SOCK"),
            local: allowed.split(':').any(|protocol| protocol == "file"),
        }
    }
}

/// Resolves the reference of `url` to a commit.
pub(crate) fn resolve_commit(url: &GitUrl, options: &GitOptions) -> Result<String> {
    let commit = match &url.reference {
        Some(reference) if is_commit(reference) => reference.to_ascii_lowercase(),
        reference => {
            let git = GitCommand::new(url, options)?;
            let name = reference.as_deref().unwrap_or("HEAD");
            let peeled = format!("{name}^{{}}");
            // `NAME^{}` also lists the commit that an annotated tag points to.
            let listing = git.run(&["ls-remote", "--", &url.remote, name, &peeled])?;
            select_ref(&listing, name).ok_or_else(|| {
                let failure = not_found(format!(
                    "repository {} does not contain ref {}",
                    git.redact(&url.remote),
                    printable(name)
                ));
                let short = name.len() >= 7 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
                if short { failure.hint("a commit must be given with all its digits") } else { failure }
            })?
        }
    };
    for expected in url.checksum.iter().chain(&options.checksum) {
        super::git_url::check_commit(expected)?;
        if !commit.starts_with(&expected.to_ascii_lowercase()) {
            return Err(Failure::new(
                FailureKind::Corrupt,
                format!("expected checksum to match {expected}, got {commit}"),
            )
            .into());
        }
    }
    Ok(commit)
}

/// Checks out `commit` of `url` below the empty directory `into`. Returns the requested directory.
pub(crate) fn checkout(url: &GitUrl, commit: &str, into: &Path, options: &GitOptions) -> Result<PathBuf> {
    let keep = url.keep_git_dir.unwrap_or(options.keep_git_dir);
    let tree = into.join("tree");
    let repository = if keep { tree.join(".git") } else { into.join("git") };
    rustix::fs::mkdir(&tree, Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH)
        .context("cannot make a directory for the repository")?;
    let git = GitCommand { work_dirs: Some((repository, tree.clone())), ..GitCommand::new(url, options)? };
    git.run(&["init", "-q"])?;
    // `--` keeps a URL or a reference from being taken for an option.
    git.run(&["remote", "add", "origin", "--", &url.remote])?;
    fetch(&git, url, commit)?;
    git.run(&["checkout", "-q", "--force", "--detach", commit, "--"])?;
    if url.submodules && tree.join(".gitmodules").is_file() {
        git.run(&["submodule", "-q", "update", "--init", "--recursive", "--depth=1"])
            .context("its submodules cannot be brought")?;
        if !keep {
            remove_git_files(&dhow_sys::fs::open_dir(&tree)?, 0).context("cannot tidy its submodules")?;
        }
    }
    subdirectory(&tree, &url.subdir)
}

/// Removes the `.git` files of submodules, which point to repositories that will be deleted.
fn remove_git_files(dir: &OwnedFd, depth: usize) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    anyhow::ensure!(depth < MAX_DEPTH, "directories are nested more than {MAX_DEPTH} deep");
    let dir = rustix::fs::openat(dir, ".", flags, Mode::empty())?;
    match rustix::fs::unlinkat(&dir, ".git", AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => {}
        Err(error) => return Err(error.into()),
    }
    for entry in Dir::read_from(&dir)? {
        let entry = entry?;
        let name = entry.file_name();
        // Symlinks are not followed, so this never leaves the checkout.
        if entry.file_type() == FileType::Directory && name != c"." && name != c".." {
            remove_git_files(&rustix::fs::openat(&dir, name, flags, Mode::empty())?, depth + 1)?;
        }
    }
    Ok(())
}

/// Fetches one commit if the server allows it, else its reference, else everything.
fn fetch(git: &GitCommand, url: &GitUrl, commit: &str) -> Result<()> {
    let shallow =
        |refspec: &str| git.run(&["fetch", "-q", "--depth=1", "--no-tags", "origin", "--", refspec]);
    // Many servers refuse to send a commit by its hash (uploadpack.allowReachableSHA1InWant).
    let Err(first_error) = shallow(commit) else { return Ok(()) };
    let has_commit = || git.run(&["cat-file", "-e", &format!("{commit}^{{commit}}")]).is_ok();
    if let Some(reference) = &url.reference
        && shallow(reference).is_ok()
        && has_commit()
    {
        return Ok(());
    }
    let refspecs = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
    match git.run(&["fetch", "-q", "origin", "--", refspecs[0], refspecs[1]]) {
        Ok(_) if has_commit() => Ok(()),
        _ => Err(first_error),
    }
}

/// Resolves a directory inside a checkout. Symlinks are followed, but never out of the checkout.
fn subdirectory(tree: &Path, subdir: &str) -> Result<PathBuf> {
    if subdir.is_empty() {
        return Ok(tree.to_owned());
    }
    let display = printable(subdir);
    let root = dhow_sys::fs::open_dir(tree)?;
    let dir = dhow_sys::fs::open_in_root(
        root.as_fd(),
        Path::new(subdir),
        OFlags::PATH | OFlags::DIRECTORY,
        Mode::empty(),
    )
    .map_err(|_| not_found(format!("the repository has no directory \"{display}\"")))?;
    std::fs::read_link(dhow_sys::fs::fd_path(dir.as_fd()))
        .with_context(|| format!("cannot find the directory \"{display}\""))
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Selects `name` from the output of `git ls-remote`: branches before tags, and a tag's commit before the tag
/// object.
fn select_ref(listing: &str, name: &str) -> Option<String> {
    let commit_of = |full_name: &str| {
        let lines = listing.lines().filter_map(|line| line.split_once('\t'));
        lines
            .filter(|(_, listed)| *listed == full_name)
            .map(|(commit, _)| commit)
            .find(|commit| is_commit(commit))
    };
    let with_prefix = |prefix: &str| format!("{prefix}{}", name.trim_start_matches("refs/"));
    let candidates = [
        format!("refs/heads/{name}"),
        format!("{name}^{{}}"),
        name.to_owned(),
        format!("{}^{{}}", with_prefix("refs/")),
        with_prefix("refs/"),
        format!("refs/tags/{name}^{{}}"),
        format!("refs/tags/{name}"),
    ];
    candidates.iter().find_map(|full_name| commit_of(full_name)).map(str::to_owned)
}

/// The host's git with its complete environment.
struct GitCommand {
    program: PathBuf,
    variables: Vec<(OsString, OsString)>,
    /// The user name and password in the URL, to be hidden in messages.
    secret: Option<String>,
    /// The repository and its work tree.
    work_dirs: Option<(PathBuf, PathBuf)>,
}

impl GitCommand {
    fn new(url: &GitUrl, options: &GitOptions) -> Result<Self> {
        if url.local && !options.local {
            return Err(invalid("git repositories of this host cannot be contexts by a file:// address")
                .hint("give the directory itself as the context")
                .into());
        }
        let environment = &options.environment;
        let path = environment.text("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin");
        let program = find_git(path).ok_or_else(|| {
            unsupported("git is not installed on this machine, and a build takes files from a git repository")
                .hint("install the package `git`, or give an archive of the files")
        })?;
        let mut variables: Vec<(OsString, OsString)> = Vec::new();
        let mut set = |name: &str, value: &std::ffi::OsStr| variables.push((name.into(), value.to_owned()));
        for name in PASSED_VARIABLES {
            for name in [(*name).to_owned(), name.to_ascii_uppercase()] {
                if let Some(value) = environment.text(&name) {
                    set(&name, value.as_ref());
                }
            }
        }
        for name in ["GIT_SSL_CAINFO", "SSL_CERT_FILE", "SSL_CERT_DIR", "HOME"] {
            if let Some(value) = environment.path(name) {
                set(name, value.as_os_str());
            }
        }
        if let Some(socket) = &options.ssh_socket {
            set("SSH_AUTH_SOCK", socket.as_os_str());
        }
        // The `ext` transport would run any command.
        let protocols = if options.local { "file:git:http:https:ssh" } else { "git:http:https:ssh" };
        for (name, value) in [
            ("PATH", path),
            ("LC_ALL", "C"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ALLOW_PROTOCOL", protocols),
            ("GIT_SSH_COMMAND", "ssh -o BatchMode=yes"),
            ("GIT_LFS_SKIP_SMUDGE", "1"),
        ] {
            set(name, value.as_ref());
        }
        let authority =
            url.remote.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
        // `git@` is only the usual user name for ssh.
        let secret = authority.rsplit_once('@').map(|(user, _)| user.to_owned()).filter(|user| user != "git");
        Ok(Self { program, variables, secret, work_dirs: None })
    }

    /// Runs git and returns its output.
    fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        if let Some((repository, tree)) = &self.work_dirs {
            command.env("GIT_DIR", repository).env("GIT_WORK_TREE", tree).current_dir(tree);
        } else {
            // Outside any repository whose configuration git would read.
            command.current_dir("/");
        }
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Files get the usual modes, whatever the user's umask.
        let old_umask = rustix::process::umask(Mode::WGRP | Mode::WOTH);
        let output = command.output();
        rustix::process::umask(old_umask);
        let output = output.with_context(|| format!("cannot run {}", self.program.display()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let stderr: Vec<String> = stderr.lines().map(|line| printable(&self.redact(line))).collect();
        let subcommand = arguments.first().copied().unwrap_or_default();
        Err(Failure::new(
            FailureKind::Network,
            format!("failed to {}: {}", describe_command(subcommand), stderr.join("; ")),
        )
        .into())
    }

    /// Removes the credentials from a text.
    fn redact(&self, text: &str) -> String {
        match &self.secret {
            Some(secret) => text.replace(&format!("{secret}@"), ""),
            None => text.to_owned(),
        }
    }
}

fn describe_command(command: &str) -> String {
    match command {
        "ls-remote" => "list the references of the remote repository (git ls-remote)".into(),
        "fetch" => "fetch the remote repository (git fetch)".into(),
        "checkout" => "check the commit out (git checkout)".into(),
        other => format!("run git {other}"),
    }
}

/// Searches the directories of `path`.
fn find_git(path: &str) -> Option<PathBuf> {
    let dirs = path.split(':').filter(|dir| dir.starts_with('/'));
    dirs.map(|dir| Path::new(dir).join("git"))
        .find(|file| rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment::from_iter([("PATH", "/usr/local/bin:/usr/bin:/bin"), ("GIT_ALLOW_PROTOCOL", "file")])
    }

    /// Runs git as its user would.
    fn git(dir: &Path, arguments: &[&str]) -> String {
        let output = Command::new(find_git("/usr/local/bin:/usr/bin:/bin").unwrap())
            .args(["-c", "user.name=me", "-c", "user.email=me@x", "-c", "init.defaultBranch=main"])
            .args(["-c", "protocol.file.allow=always"])
            .args(arguments)
            .current_dir(dir)
            .env_remove("GIT_DIR")
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A repository with two commits, a branch, a tag and a submodule.
    fn repository() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let (inner, outer) = (dir.path().join("inner.git"), dir.path().join("outer.git"));
        for (path, file) in [(&inner, "inside"), (&outer, "first")] {
            std::fs::create_dir_all(path.join("sub")).unwrap();
            git(path, &["init", "-q"]);
            std::fs::write(path.join("sub").join(file), file).unwrap();
            std::os::unix::fs::symlink("/etc", path.join("out")).unwrap();
            git(path, &["add", "."]);
            git(path, &["commit", "-qm", file]);
        }
        git(&outer, &["tag", "-am", "a tag", "v1"]);
        git(&outer, &["submodule", "-q", "add", &format!("file://{}", inner.display()), "module"]);
        std::fs::write(outer.join("second"), "2").unwrap();
        git(&outer, &["add", "."]);
        git(&outer, &["commit", "-qm", "second"]);
        dir
    }

    fn url(dir: &Path, rest: &str) -> GitUrl {
        parse_git_url(&format!("file://{}/outer.git{rest}", dir.display())).unwrap().unwrap()
    }

    fn check_out(dir: &Path, rest: &str, options: &GitOptions) -> Result<(tempfile::TempDir, PathBuf)> {
        let url = url(dir, rest);
        let commit = resolve_commit(&url, options)?;
        let into = tempfile::tempdir().unwrap();
        let files = checkout(&url, &commit, into.path(), options)?;
        Ok((into, files))
    }

    #[test]
    fn branches_tags_and_commits_are_checked_out() {
        let dir = repository();
        let outer = dir.path().join("outer.git");
        let options = GitOptions::new(&environment());
        let (_into, files) = check_out(dir.path(), "", &options).unwrap();
        assert!(files.join("second").is_file() && files.join("module/sub/inside").is_file());
        assert!(!files.join(".git").exists() && !files.join("module/.git").exists());
        let (_into, files) = check_out(dir.path(), "#v1:sub", &options).unwrap();
        assert_eq!(std::fs::read_to_string(files.join("first")).unwrap(), "first");
        let head = git(&outer, &["rev-parse", "HEAD"]);
        let first = git(&outer, &["rev-parse", "v1^{commit}"]);
        assert_eq!(resolve_commit(&url(dir.path(), "#main"), &options).unwrap(), head);
        assert_eq!(resolve_commit(&url(dir.path(), "?tag=v1"), &options).unwrap(), first);
        let (_into, files) = check_out(dir.path(), &format!("#{first}"), &options).unwrap();
        assert!(!files.join("second").exists());
        let kept = GitOptions { keep_git_dir: true, ..options };
        let (_into, files) = check_out(dir.path(), "", &kept).unwrap();
        assert_eq!(git(&files, &["-c", "safe.directory=*", "rev-parse", "HEAD"]), head);
    }

    #[test]
    fn what_is_not_there_or_not_the_same_is_refused() {
        let dir = repository();
        let options = GitOptions::new(&environment());
        let why = |rest: &str, options: &GitOptions| {
            format!("{:#}", check_out(dir.path(), rest, options).unwrap_err())
        };
        assert!(why("#nothing", &options).contains("does not contain ref nothing"));
        assert!(why("#main:nothing", &options).contains("no directory \"nothing\""));
        // A link in a repository leads nowhere outside.
        assert!(why("#main:out", &options).contains("no directory"));
        let wrong = GitOptions { checksum: Some("0123456789".into()), ..options.clone() };
        assert!(why("", &wrong).contains("expected checksum to match 0123456789"));
        let far = GitOptions { local: false, ..options };
        assert!(why("", &far).contains("cannot be contexts"));
        let bare = Environment::from_iter([("PATH", "/nothing"), ("GIT_ALLOW_PROTOCOL", "file")]);
        assert!(why("", &GitOptions::new(&bare)).contains("git is not installed"));
    }

    #[test]
    fn a_branch_comes_before_a_tag() {
        let (one, two, three) = ("1".repeat(40), "2".repeat(40), "3".repeat(40));
        let listing = format!("{one}\trefs/heads/x/v\n{two}\trefs/tags/v\n{three}\trefs/tags/v^{{}}\n");
        assert_eq!(select_ref(&listing, "v"), Some(three.clone()));
        assert_eq!(select_ref(&format!("{listing}{one}\trefs/heads/v\n"), "v"), Some(one));
        assert_eq!(select_ref(&listing, "refs/tags/v"), Some(three));
        assert_eq!(select_ref("warning: x\n", "v"), None);
    }
}
