//! A line in the user's crontab, edited with crontab(1).

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::{AutostartConfig, command_line};
use dhow_error::{Failure, FailureKind};

/// Marks the line as ours.
const MARK: &str = "# dhow: containers that come back by themselves";

/// Whether crontab(1) can be run.
pub(crate) fn is_available() -> bool {
    let output = Command::new("crontab").arg("-l").stdin(Stdio::null()).output();
    output.is_ok()
}

pub(super) fn install(setup: &AutostartConfig) -> Result<Vec<String>> {
    // crontab(5): an unescaped `%` would be a newline.
    let line = format!("@reboot {} {MARK}", command_line(setup).replace('%', r"\%"));
    let text = without_our_line(&read()?) + &line + "\n";
    write(&text)?;
    Ok(vec![format!("added to your crontab: {line}")])
}

pub(super) fn uninstall() -> Result<Vec<String>> {
    let before = read()?;
    let after = without_our_line(&before);
    if after == before {
        return Ok(Vec::new());
    }
    write(&after)?;
    Ok(vec!["removed the line from your crontab".into()])
}

/// The crontab without our line.
fn without_our_line(crontab: &str) -> String {
    crontab.lines().filter(|line| !line.ends_with(MARK)).map(|line| format!("{line}\n")).collect()
}

/// Empty if the user has no crontab, which crontab(1) reports as an error.
fn read() -> Result<String> {
    let output =
        Command::new("crontab").arg("-l").stdin(Stdio::null()).output().context("cannot run crontab")?;
    Ok(if output.status.success() {
        String::from_utf8_lossy(&output.stdout).into_owned()
    } else {
        String::new()
    })
}

fn write(text: &str) -> Result<()> {
    let mut child = Command::new("crontab")
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run crontab")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes()).context("cannot write the crontab")?;
    }
    let output = child.wait_with_output().context("cannot write the crontab")?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Failure::new(FailureKind::Other, format!("crontab refused the change: {stderr}")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_lines_stay() {
        let other = "MAILTO=x\n0 5 * * * backup\n";
        assert_eq!(without_our_line(&format!("{other}@reboot 'dhow' system autostart {MARK}\n")), other);
        assert_eq!(without_our_line(other), other);
        assert_eq!(without_our_line(""), "");
    }
}
