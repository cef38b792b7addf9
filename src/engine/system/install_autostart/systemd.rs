//! A unit of the user's own systemd manager.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use rustix::io::Errno;

use super::AutostartConfig;
use dhow_error::invalid;
use dhow_store::atomic::{self, Durability};

const UNIT: &str = "dhow.service";

/// Whether systemd is the init of this machine (sd_booted(3)).
pub(crate) fn is_available() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

fn unit_path(setup: &AutostartConfig) -> PathBuf {
    setup.config.join("systemd/user").join(UNIT)
}

/// Where `systemctl enable` puts its links.
fn link_dir(setup: &AutostartConfig) -> PathBuf {
    setup.config.join("systemd/user/default.target.wants")
}

pub(super) fn install(setup: &AutostartConfig) -> Result<Vec<String>> {
    let path = unit_path(setup);
    atomic::write(&path, unit_text(setup)?.as_bytes(), Durability::Synced)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let links = link_dir(setup);
    let root = dhow_sys::fs::open_dir(Path::new("/"))?;
    let dir = dhow_sys::fs::ensure_dir_in_root(root.as_fd(), &links)
        .with_context(|| format!("cannot make {}", links.display()))?;
    // The link is what `systemctl enable` would make; making it needs no running manager.
    dhow_sys::fs::symlink_unless_exists(&format!("../{UNIT}"), dir.as_fd(), UNIT)?;
    reload();
    let mut report = vec![format!("installed {}", path.display())];
    // logind keeps an empty file there for each user that lingers.
    if !Path::new("/var/lib/systemd/linger").join(&setup.user).exists() {
        report.push("it works at each login; `loginctl enable-linger` makes it work at each boot".into());
    }
    Ok(report)
}

pub(super) fn uninstall(setup: &AutostartConfig) -> Result<Vec<String>> {
    let mut report = Vec::new();
    // The link first: without its unit it would dangle.
    for path in [link_dir(setup).join(UNIT), unit_path(setup)] {
        match rustix::fs::unlink(&path) {
            Ok(()) => report.push(format!("removed {}", path.display())),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot remove {}", path.display())),
        }
    }
    if !report.is_empty() && is_available() {
        reload();
    }
    Ok(report)
}

/// The manager reads the unit at its next start anyway, so a failure here (no session, no bus) costs nothing.
fn reload() {
    let mut command = Command::new("systemctl");
    command
        .args(["--user", "daemon-reload"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _ = command.status();
}

/// The containers and their supervisors stay processes of the unit: stopping it, or the machine, sends SIGTERM to all of
/// them, which tells a supervisor not to restart its container.
fn unit_text(setup: &AutostartConfig) -> Result<String> {
    let environment = match &setup.root {
        Some(root) => format!("Environment=\"DHOW_ROOT={}\"\n", escape_for_unit(root)?),
        None => String::new(),
    };
    // Without RemainAfterExit the unit would stop when the command exits, and the containers with it. KillMode=mixed
    // would send SIGTERM to the command only, which is gone by then, and SIGKILL to the rest at once (systemd.kill(5)).
    Ok(format!(
        "[Unit]\n\
         Description=Containers of dhow that come back by themselves\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         KillMode=control-group\n\
         {environment}\
         ExecStart=\"{}\" system autostart\n\
         \n\
         [Install]\n\
         WantedBy=default.target\n",
        escape_for_unit(&setup.program)?
    ))
}

/// For double quotes in a unit file (systemd.syntax(7)): backslash, quote, `%` (specifiers) and `$`.
fn escape_for_unit(path: &Path) -> Result<String> {
    let text = path
        .to_str()
        .filter(|text| !text.contains(char::is_control))
        .ok_or_else(|| invalid(format!("the path `{}` cannot be written to a unit file", path.display())))?;
    Ok(text.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installs_once_and_takes_back() {
        let dir = tempfile::tempdir().unwrap();
        let setup = AutostartConfig {
            program: "/opt/100%/dhow".into(),
            config: dir.path().join("config"),
            root: Some("/data/my \"own\"".into()),
            user: "nobody-of-this-name".into(),
        };
        for _ in 0..2 {
            assert_eq!(install(&setup).unwrap().len(), 2);
        }
        let text = std::fs::read_to_string(unit_path(&setup)).unwrap();
        assert!(text.contains("ExecStart=\"/opt/100%%/dhow\" system autostart\n"), "{text}");
        assert!(text.contains("KillMode=control-group\n"), "SIGTERM comes before SIGKILL: {text}");
        assert!(text.contains("Environment=\"DHOW_ROOT=/data/my \\\"own\\\"\"\n"), "{text}");
        assert_eq!(std::fs::read_to_string(link_dir(&setup).join(UNIT)).unwrap(), text);
        assert_eq!(uninstall(&setup).unwrap().len(), 2);
        assert_eq!(uninstall(&setup).unwrap().len(), 0);
    }
}
