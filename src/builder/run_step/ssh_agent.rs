//! `RUN --mount=type=ssh`: a socket of the step's own, whose connections a process forwards to the user's
//! agent. It can have any owner and mode, so it works for every user in the container.

use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::StepContext;
use dhow_build::run_mount::RunMountSpec;
use dhow_error::{Failure, FailureKind, invalid, not_found, unsupported};
use dhow_sys::process::{self, ChildProcess, ForkSide};

/// The default target.
pub(crate) const DEFAULT_SOCKET: &str = "/run/buildkit/ssh_agent";

pub(crate) enum AgentSource {
    /// The agent at this socket.
    Socket(PathBuf),
    /// Key files, for an agent to be started.
    Keys(Vec<PathBuf>),
}

/// The agent for `mount`; `None` if none was given and the mount is not required.
pub(crate) fn agent_source(context: &StepContext<'_>, mount: &RunMountSpec) -> Result<Option<AgentSource>> {
    let Some(source) = context.request.ssh.iter().find(|source| source.id == mount.id) else {
        return match mount.required {
            false => Ok(None),
            true => Err(not_found(format!("no SSH key {:?} forwarded from the client", mount.id))
                .hint(format!("build with `--ssh {}`", mount.id))
                .into()),
        };
    };
    let sock = context.environment.path("SSH_AUTH_SOCK");
    let paths = if source.paths.is_empty() { sock.into_iter().collect() } else { source.paths.clone() };
    let Some(first) = paths.first() else {
        return Err(invalid("invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set")
            .hint("start an agent (`eval $(ssh-agent)`, `ssh-add`), or name key files: --ssh default=$HOME/.ssh/id_ed25519")
            .into());
    };
    let metadata =
        std::fs::metadata(first).with_context(|| format!("cannot use `{}` for ssh", first.display()))?;
    if metadata.file_type().is_socket() {
        if paths.len() > 1 {
            return Err(invalid("only single socket allowed").into());
        }
        return Ok(Some(AgentSource::Socket(first.clone())));
    }
    Ok(Some(AgentSource::Keys(paths)))
}

/// A forwarded agent. The forwarder, and an agent started for it, are stopped on drop.
pub(crate) struct AgentForwarder {
    socket: PathBuf,
    relay: ChildProcess,
    started: Option<StartedAgent>,
}

/// An agent started for the step. Its shell exits when its input is closed.
struct StartedAgent {
    socket: PathBuf,
    agent: Option<rustix::process::Pid>,
    _input: std::process::ChildStdin,
}

impl AgentForwarder {
    /// Starts forwarding from a socket in `dir`. The process must have a single thread.
    pub(super) fn start(source: AgentSource, dir: &Path) -> Result<Self> {
        let (agent, started) = match source {
            AgentSource::Socket(path) => (path, None),
            AgentSource::Keys(keys) => {
                let started = start_agent(&keys)?;
                (started.socket.clone(), Some(started))
            }
        };
        // A socket's path is limited to 108 bytes (`sun_path`), which the store's may exceed.
        let dir_fd = dhow_sys::fs::open_dir(dir)?;
        let short = PathBuf::from(dhow_sys::fs::fd_path(dir_fd.as_fd())).join("agent");
        let listener = UnixListener::bind(short).context("cannot make a socket for the agent")?;
        let relay = match process::fork().context("starting a process")? {
            ForkSide::Child => {
                let _ = process::die_with_parent();
                // The forwarder must not keep inherited sockets and pipes open.
                let _ = process::close_others(3, &[listener.as_fd()]);
                serve(&listener, &agent)
            }
            ForkSide::Parent(child) => child,
        };
        Ok(Self { socket: dir.join("agent"), relay, started })
    }

    /// The socket's path on the host.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for AgentForwarder {
    fn drop(&mut self) {
        let _ = self.relay.signal(libc::SIGKILL);
        let _ = self.relay.wait();
        // By itself ssh-agent checks for its shell only every ten seconds. The shell still runs, so the pid
        // is still the agent's.
        if let Some(agent) = self.started.as_ref().and_then(|started| started.agent) {
            let _ = rustix::process::kill_process(agent, rustix::process::Signal::TERM);
        }
    }
}

/// Forwards connections until killed.
fn serve(listener: &UnixListener, agent: &Path) -> ! {
    for connection in listener.incoming() {
        let (Ok(inside), Ok(outside)) = (connection, UnixStream::connect(agent)) else { continue };
        std::thread::spawn(move || forward(&inside, &outside));
    }
    process::exit_now(1)
}

fn forward(inside: &UnixStream, outside: &UnixStream) {
    std::thread::scope(|scope| {
        scope.spawn(|| copy_stream(inside, outside));
        copy_stream(outside, inside);
    });
}

fn copy_stream(mut from: &UnixStream, mut to: &UnixStream) {
    let _ = std::io::copy(&mut from, &mut to);
    // Passes EOF on while the other direction stays open.
    let _ = to.shutdown(std::net::Shutdown::Write);
}

/// Starts an agent with these keys.
fn start_agent(keys: &[PathBuf]) -> Result<StartedAgent> {
    // The agent exits with its shell, and the shell when its input is closed.
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
    // Without this line `ssh-add` has failed, and said why on standard error.
    let Some((pid, path)) = line.trim_end().split_once(' ') else {
        let mut why = String::new();
        if let Some(mut error) = child.stderr.take() {
            std::io::Read::read_to_string(&mut error, &mut why)?;
        }
        child.wait()?;
        return Err(Failure::new(FailureKind::Denied, format!("ssh-add refused the keys: {}", why.trim().escape_debug()))
            .hint("a key with a passphrase must be in an agent that runs: ssh-add it there and give --ssh without a file")
            .into());
    };
    let agent = pid.parse().ok().and_then(rustix::process::Pid::from_raw);
    Ok(StartedAgent { socket: PathBuf::from(path), agent, _input: input })
}
