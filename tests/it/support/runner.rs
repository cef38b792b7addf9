//! Running dhow hermetically: as an account, in an empty environment, with a home and a data root of the test's own.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::account::is_root;
use super::process::{Output, Running};
use super::pty::Pty;
use super::{Account, Image, Mode, World, fixtures, leaks};

/// Where programs are looked for, by dhow and by the tests.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Default time limit of a command; generous, for busy machines.
const LIMIT: Duration = Duration::from_secs(60);

/// The tests may have inherited descriptors from whatever started them; a user's shell has none.
const CLOSE_INHERITED: &str =
    "for fd in /proc/$$/fd/*; do fd=${fd##*/}; ((fd < 3)) || eval \"exec $fd>&-\"; done; unset fd";

/// An account with a fresh home, data root and runtime directory, all below one temporary directory.
///
/// When dropped without a failure, checks that nothing is left running or mounted, then removes everything.
pub(crate) struct Dhow {
    pub(crate) mode: Mode,
    pub(crate) account: Account,
    dir: PathBuf,
    world: Option<Arc<World>>,
}

impl Dhow {
    /// A fresh environment for dhow; leaves the test out if the machine has no account of that mode.
    pub(crate) fn new(mode: Mode) -> Option<Self> {
        Some(Self::of(Account::of(mode)?, mode))
    }

    /// The same for any account of the machine, in the mode that it has.
    pub(crate) fn any() -> Option<Self> {
        Account::any().map(|(account, mode)| Self::of(account, mode))
    }

    fn of(account: Account, mode: Mode) -> Self {
        let dir =
            tempfile::Builder::new().prefix("dhow-test-").tempdir_in("/var/tmp").expect("a directory").keep();
        let dhow = Self { mode, account, dir, world: None };
        dhow.give(&dhow.dir.clone());
        fs::set_permissions(&dhow.dir, fs::Permissions::from_mode(0o755)).expect("mode of the directory");
        for sub in ["home", "run"] {
            dhow.make_dir(sub);
        }
        dhow
    }

    /// The same on the host of `world`.
    pub(crate) fn in_world(mode: Mode, world: &Arc<World>) -> Option<Self> {
        let mut dhow = Self::new(mode)?;
        dhow.world = Some(world.clone());
        Some(dhow)
    }

    /// The test's temporary directory, owned by the account.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The account's home directory.
    pub(crate) fn home(&self) -> PathBuf {
        self.dir.join("home")
    }

    /// dhow's data root.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// Makes a directory of the account below the temporary directory.
    pub(crate) fn make_dir(&self, name: &str) -> PathBuf {
        let path = self.dir.join(name);
        fs::create_dir_all(&path).expect("a directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("mode of a directory");
        self.give(&path);
        path
    }

    /// Writes a file of the account below the temporary directory.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, content).expect("a file");
        self.give(&path);
        path
    }

    /// Makes the account the owner of `path`.
    pub(crate) fn give(&self, path: &Path) {
        if is_root() {
            std::os::unix::fs::lchown(path, Some(self.account.uid), Some(self.account.gid)).expect("chown");
        }
    }

    /// A dhow command; `line` is split at spaces.
    pub(crate) fn cmd(&self, line: &str) -> Cmd {
        Cmd::new(self, fixtures::binary()).words(line)
    }

    /// `dhow run --rm --network none` with more options, an image and a command; `line` is split at spaces.
    pub(crate) fn run(&self, line: &str) -> Cmd {
        self.cmd("run --rm --network none").words(line)
    }

    /// Another program, with the same account and environment; `line` is split at spaces.
    pub(crate) fn tool(&self, line: &str) -> Cmd {
        let mut words = line.split_whitespace();
        let mut cmd = Cmd::new(self, PathBuf::from(words.next().expect("a program")));
        cmd.args.extend(words.map(OsString::from));
        cmd
    }

    /// Loads `image` under `name`.
    pub(crate) fn load(&self, image: &Image, name: &str) {
        let archive = fixtures::docker_archive(image, name);
        self.cmd("load -q -i").arg(&archive).ok();
    }

    /// Loads the small image with busybox as `busybox`.
    pub(crate) fn with_busybox(&self) -> &Self {
        self.load(fixtures::busybox(), "busybox:latest");
        self
    }

    /// Waits until no process of the test is left: a container's files are deleted after its command has ended.
    pub(crate) fn settle(&self) {
        if let Err(message) = leaks::check(&self.account, &self.dir) {
            panic!("{message}");
        }
    }

    /// All processes that belong to this test.
    pub(crate) fn processes(&self) -> Vec<leaks::Process> {
        leaks::processes(&self.account, &self.dir)
    }
}

impl Drop for Dhow {
    fn drop(&mut self) {
        let verdict = if std::thread::panicking() { Ok(()) } else { leaks::check(&self.account, &self.dir) };
        leaks::kill(&self.account, &self.dir);
        remove_tree(&self.dir);
        if let Err(message) = verdict {
            panic!("{message}");
        }
    }
}

/// Removes a tree with files of subordinate ids and unreadable directories.
fn remove_tree(dir: &Path) {
    if fs::remove_dir_all(dir).is_ok() {
        return;
    }
    let script = "chmod -R u+rwx \"$0\" 2>/dev/null; rm -rf \"$0\"";
    let removed = Command::new("unshare")
        .args(["--map-root-user", "--map-auto", "sh", "-c", script])
        .arg(dir)
        .stderr(Stdio::null())
        .status();
    if !removed.is_ok_and(|status| status.success()) {
        // What still cannot be removed stays in the temporary directory.
        let _ = Command::new("sh").args(["-c", script]).arg(dir).status();
    }
}

/// A command to run.
pub(crate) struct Cmd {
    world: Option<Arc<World>>,
    account: Account,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    cwd: PathBuf,
    input: Option<Vec<u8>>,
    limit: Duration,
    warnings: Vec<String>,
    before: Option<String>,
}

impl Cmd {
    fn new(dhow: &Dhow, program: PathBuf) -> Self {
        let set = |name: &str, value: &OsStr| (OsString::from(name), Some(value.to_owned()));
        Self {
            world: dhow.world.clone(),
            account: dhow.account.clone(),
            program,
            args: Vec::new(),
            env: vec![
                set("PATH", OsStr::new(PATH)),
                set("HOME", dhow.home().as_os_str()),
                set("USER", OsStr::new(&dhow.account.name)),
                set("LANG", OsStr::new("C.UTF-8")),
                set("TERM", OsStr::new("xterm")),
                set("XDG_RUNTIME_DIR", dhow.dir.join("run").as_os_str()),
                set("DHOW_ROOT", dhow.root().as_os_str()),
            ],
            cwd: dhow.home(),
            input: None,
            limit: LIMIT,
            warnings: Vec::new(),
            before: None,
        }
    }

    /// Adds arguments, split at spaces.
    pub(crate) fn words(mut self, line: &str) -> Self {
        self.args.extend(line.split_whitespace().map(OsString::from));
        self
    }

    /// Adds one argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// A script for the container's shell: `sh -c SCRIPT`.
    pub(crate) fn sh(self, script: &str) -> Self {
        self.args(["sh", "-c", script])
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), Some(value.as_ref().to_owned())));
        self
    }

    /// Unsets an environment variable.
    pub(crate) fn env_remove(mut self, name: &str) -> Self {
        self.env.push((name.into(), None));
        self
    }

    /// Sets the working directory.
    pub(crate) fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = dir.into();
        self
    }

    /// Sets standard input; empty by default.
    pub(crate) fn stdin(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// Sets the time limit.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Expects `text` on standard error; without this, a success that writes there fails the test.
    pub(crate) fn warns(mut self, text: &str) -> Self {
        self.warnings.push(text.to_owned());
        self
    }

    /// Runs it from a shell after `script`, which may open descriptors, set limits, or ignore signals.
    pub(crate) fn after_shell(mut self, script: &str) -> Self {
        self.before = Some(script.to_owned());
        self
    }

    /// The command to spawn, as the leader of a session of its own; `terminal` makes standard input its terminal.
    fn command(&self, terminal: bool) -> Command {
        let mut command = Command::new("setsid");
        if terminal {
            command.arg("--ctty");
        }
        let before = self.before.as_deref().unwrap_or_default();
        command.args(["bash", "-c", &format!("{CLOSE_INHERITED}\n{before}\nexec \"$0\" \"$@\"")]);
        command.arg(&self.program).args(&self.args).current_dir(&self.cwd).env_clear();
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if is_root() {
            // Setting a user also drops the supplementary groups.
            command.uid(self.account.uid).gid(self.account.gid);
        }
        command
    }

    /// Starts it, its output captured.
    pub(crate) fn start(self) -> Running {
        let mut command = self.command(false);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running::start_in(self.world.as_ref().map(|world| &world.host), command, self.input, self.limit)
    }

    /// Starts it with a pipe to its standard input that the caller writes to (`child.stdin`).
    pub(crate) fn start_piped(self) -> Running {
        let mut command = self.command(false);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running::start_in(self.world.as_ref().map(|world| &world.host), command, None, self.limit)
    }

    /// Starts it on a new terminal of `columns` by `rows`.
    pub(crate) fn pty(self, columns: u16, rows: u16) -> Pty {
        Pty::start(self.command(true), &self.account, self.limit, columns, rows)
    }

    /// Runs it to its end, whatever the exit code.
    pub(crate) fn output(self) -> Output {
        self.start().wait()
    }

    /// Runs it to its end, which must be a success without unexpected output on standard error.
    pub(crate) fn ok(self) -> Output {
        self.exits(0)
    }

    /// Runs it to its end, which must be `code` without unexpected output on standard error.
    pub(crate) fn exits(self, code: i32) -> Output {
        let what = format!("{:?} {:?}", self.program, self.args);
        let warnings = self.warnings.clone();
        let output = self.output();
        assert_eq!(output.code, code, "{what}\nstdout: {}\nstderr: {}", output.out(), output.err());
        for warning in &warnings {
            assert!(output.err().contains(warning), "{what}: no {warning:?} in {:?}", output.err());
        }
        let quiet = output.stderr.is_empty() || !warnings.is_empty();
        assert!(quiet, "{what}: unexpected on standard error: {}", output.err());
        output
    }

    /// Runs it to its end, which must be the failure `code` with all of `parts` in the message.
    pub(crate) fn fails(self, code: i32, parts: &[&str]) -> Output {
        let what = format!("{:?} {:?}", self.program, self.args);
        let output = self.output();
        let err = output.err();
        assert_eq!(output.code, code, "{what}\nstdout: {}\nstderr: {err}", output.out());
        for part in parts {
            assert!(err.contains(part), "{what}: no {part:?} in {err:?}");
        }
        assert!(!err.contains("panicked at"), "{what}: {err}");
        output
    }
}
