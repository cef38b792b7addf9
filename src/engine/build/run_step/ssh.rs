//! An agent's socket for a step: one of its own, whose connections a process passes on to the user's agent. So it can
//! have any owner and mode, and works for whoever the program is.

use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::StepContext;
use crate::build::run_mount::Mount;
use crate::error::{Failure, Kind, invalid, not_found, unsupported};
use crate::sys::process::{self, Child, Side};

/// Where the socket is put if nothing else is asked for.
pub(super) const USUAL: &str = "/run/buildkit/ssh_agent";

/// What answers.
pub(super) enum Source {
    /// The agent at this socket.
    Socket(PathBuf),
    /// One to be started with these keys.
    Keys(Vec<PathBuf>),
}

/// What was given for `mount`; `None` where nothing was and it may be missing.
pub(super) fn source(context: &StepContext<'_>, mount: &Mount) -> Result<Option<Source>> {
    let Some(given) = context.request.ssh.iter().find(|given| given.id == mount.id) else {
        return match mount.required {
            false => Ok(None),
            true => Err(not_found(format!("no SSH key {:?} forwarded from the client", mount.id))
                .hint(format!("build with `--ssh {}`", mount.id))
                .into()),
        };
    };
    let sock = context.environment.path("SSH_AUTH_SOCK");
    let paths = if given.paths.is_empty() { sock.into_iter().collect() } else { given.paths.clone() };
    let Some(first) = paths.first() else {
        return Err(invalid("invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set")
            .hint("start an agent (`eval $(ssh-agent)`, `ssh-add`), or name key files: --ssh default=$HOME/.ssh/id_ed25519")
            .into());
    };
    let kind =
        std::fs::metadata(first).with_context(|| format!("cannot use `{}` for ssh", first.display()))?;
    if kind.file_type().is_socket() {
        if paths.len() > 1 {
            return Err(invalid("only single socket allowed").into());
        }
        return Ok(Some(Source::Socket(first.clone())));
    }
    Ok(Some(Source::Keys(paths)))
}

/// An agent that a step can reach, as long as this lives.
pub(super) struct Agent {
    socket: PathBuf,
    relay: Child,
    own: Option<OwnAgent>,
}

/// An agent that was started for the step. The shell that it goes with ends with its input.
struct OwnAgent {
    socket: PathBuf,
    agent: Option<rustix::process::Pid>,
    _input: std::process::ChildStdin,
}

impl Agent {
    /// Begins to listen in `dir`. This process must have one thread.
    pub(super) fn begin(source: Source, dir: &Path) -> Result<Self> {
        let (agent, own) = match source {
            Source::Socket(path) => (path, None),
            Source::Keys(keys) => {
                let own = own_agent(&keys)?;
                (own.socket.clone(), Some(own))
            }
        };
        // A path of a socket has 108 bytes at most, which that of the store may exceed.
        let place = crate::sys::fs::open_dir(dir)?;
        let short = PathBuf::from(crate::sys::fs::fd_path(place.as_fd())).join("agent");
        let listener = UnixListener::bind(short).context("cannot make a socket for the agent")?;
        let relay = match process::fork().context("starting a process")? {
            Side::Child => {
                let _ = process::die_with_parent();
                let _ = process::close_others(3, &[listener.as_fd()]);
                serve(&listener, &agent)
            }
            Side::Parent(child) => child,
        };
        Ok(Self { socket: dir.join("agent"), relay, own })
    }

    /// Where it listens, on the host.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.relay.signal(libc::SIGKILL);
        let _ = self.relay.wait();
        // By itself it would look after its shell every ten seconds only. The shell is still there, so is the agent.
        if let Some(agent) = self.own.as_ref().and_then(|own| own.agent) {
            let _ = rustix::process::kill_process(agent, rustix::process::Signal::TERM);
        }
    }
}

/// Passes connections on until it is killed.
fn serve(listener: &UnixListener, agent: &Path) -> ! {
    for connection in listener.incoming() {
        let (Ok(inside), Ok(outside)) = (connection, UnixStream::connect(agent)) else { continue };
        std::thread::spawn(move || pass(&inside, &outside));
    }
    process::exit_now(1)
}

fn pass(inside: &UnixStream, outside: &UnixStream) {
    std::thread::scope(|scope| {
        scope.spawn(|| copy(inside, outside));
        copy(outside, inside);
    });
}

fn copy(mut from: &UnixStream, mut to: &UnixStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
}

/// Starts an agent with these keys.
fn own_agent(keys: &[PathBuf]) -> Result<OwnAgent> {
    // The agent ends with the shell, and the shell when nobody holds its input any more.
    let script = r#"ssh-add "$@" </dev/null && echo "$SSH_AGENT_PID $SSH_AUTH_SOCK" && exec cat >/dev/null"#;
    let mut child = Command::new("ssh-agent")
        .args(["sh", "-c", script, "sh"])
        .args(keys)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            unsupported(format!("keys for ssh need the program `ssh-agent`: {error}"))
                .hint("install openssh-client, or give the socket of an agent that runs")
        })?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let (input, output) = (input.context("no input")?, output.context("no output")?);
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let Some((pid, path)) = line.trim_end().split_once(' ') else {
        let mut why = String::new();
        if let Some(mut error) = child.stderr.take() {
            std::io::Read::read_to_string(&mut error, &mut why)?;
        }
        child.wait()?;
        return Err(Failure::new(Kind::Denied, format!("ssh-add refused the keys: {}", why.trim().escape_debug()))
            .hint("a key with a passphrase must be in an agent that runs: ssh-add it there and give --ssh without a file")
            .into());
    };
    let agent = pid.parse().ok().and_then(rustix::process::Pid::from_raw);
    Ok(OwnAgent { socket: PathBuf::from(path), agent, _input: input })
}
