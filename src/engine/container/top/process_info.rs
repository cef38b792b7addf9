//! A process in /proc: proc_pid_stat(5), proc_pid_status(5), proc_pid_cmdline(5).

use std::fs;

use dhow_sys::process::stat_field;

pub(crate) struct ProcessInfo {
    pub pid: i32,
    /// Real and effective uid, as the caller's user namespace maps them.
    pub users: (u32, u32),
    /// `comm`.
    name: String,
    /// The line in `stat`.
    stat: String,
    /// The command line; empty for zombies and kernel threads.
    cmdline: Vec<u8>,
    /// Resident memory in KiB.
    pub(crate) resident: u64,
}

impl ProcessInfo {
    /// `None` if the process is gone.
    pub(super) fn read(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let mut ids = line_of(&status, "Uid:").split_whitespace().map(|id| id.parse().unwrap_or(0));
        let users = (ids.next().unwrap_or(0), ids.next().unwrap_or(0));
        let resident =
            line_of(&status, "VmRSS:").split_whitespace().next().and_then(|number| number.parse().ok());
        let name = stat.split_once('(').and_then(|(_, rest)| Some(rest.rsplit_once(')')?.0.to_owned()));
        Some(Self {
            pid,
            users,
            name: printable(name.unwrap_or_default().as_bytes()),
            cmdline: fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default(),
            resident: resident.unwrap_or(0),
            stat,
        })
    }

    /// A process of which only this line in `stat` is known.
    #[cfg(test)]
    pub(super) fn of_stat(stat: String) -> Self {
        Self { pid: 1, users: (0, 0), name: String::new(), stat, cmdline: Vec::new(), resident: 0 }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A field of `stat`, by its number in the man page.
    pub(super) fn stat(&self, number: usize) -> u64 {
        stat_field(&self.stat, number).unwrap_or_default()
    }

    /// The state's letter.
    pub(super) fn state(&self) -> char {
        // After the last `) `: the name in front of it may contain anything.
        let rest = self.stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        rest.chars().next().unwrap_or('?')
    }

    /// The command line, or the short name in brackets if there is none.
    pub(super) fn command(&self) -> String {
        let line = printable(&self.cmdline);
        let line = line.trim_end();
        match (line.is_empty(), self.state()) {
            (false, _) => line.to_owned(),
            (true, 'Z') => format!("[{}] <defunct>", self.name),
            (true, _) => format!("[{}]", self.name),
        }
    }

    /// CPU time in clock ticks.
    pub(super) fn used(&self) -> u64 {
        self.stat(14).saturating_add(self.stat(15))
    }
}

fn line_of<'a>(text: &'a str, key: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default()
}

/// A process chooses its name and arguments: control characters could manipulate the terminal and become `?`;
/// separators become blanks.
fn printable(bytes: &[u8]) -> String {
    let shown = |c: char| match c {
        '\0' | '\n' | '\t' | '\r' => ' ',
        c if c.is_control() => '?',
        c => c,
    };
    String::from_utf8_lossy(bytes).chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_read() {
        let own = ProcessInfo::read(std::process::id().cast_signed()).unwrap();
        assert!(own.resident > 0 && !own.name().is_empty());
        assert!(own.command().contains("dhow"), "{}", own.command());
        assert!("RSD".contains(own.state()));
        assert!(ProcessInfo::read(i32::MAX).is_none());
    }

    #[test]
    fn names_cannot_move_a_cursor() {
        assert_eq!(printable(b"a\0b\x1b[2J\nc\xff"), "a b?[2J c\u{fffd}");
    }
}
