//! The ps(1) columns that dhow can make itself, and how ps options select them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::ProcessTable;
use super::process_info::ProcessInfo;
use dhow_error::{Failure, unsupported};

/// Clock ticks per second in /proc: `USER_HZ`, a constant of the kernel's ABI.
const TICKS: u64 = 100;

/// A column: its names in ps(1), its title, and the function that formats a process.
pub(crate) struct PsColumn {
    names: &'static [&'static str],
    title: &'static str,
    show: fn(&ProcessInfo, &PsContext) -> String,
}

const COLUMNS: &[PsColumn] = &[
    PsColumn { names: &["uid", "euid"], title: "UID", show: |p, _| p.users.1.to_string() },
    PsColumn { names: &["user", "euser", "uname"], title: "USER", show: |p, m| m.account(p.users.1) },
    PsColumn { names: &["ruser"], title: "RUSER", show: |p, m| m.account(p.users.0) },
    PsColumn { names: &["pid"], title: "PID", show: |p, _| p.pid.to_string() },
    PsColumn { names: &["ppid"], title: "PPID", show: |p, _| p.stat(4).to_string() },
    PsColumn { names: &["pgid", "pgrp"], title: "PGID", show: |p, _| p.stat(5).to_string() },
    PsColumn { names: &["sid", "sess", "session"], title: "SID", show: |p, _| p.stat(6).to_string() },
    PsColumn { names: &["c"], title: "C", show: |p, m| (m.share(p) / 10).to_string() },
    PsColumn { names: &["pcpu", "%cpu"], title: "%CPU", show: |p, m| tenths(m.share(p)) },
    PsColumn { names: &["pmem", "%mem"], title: "%MEM", show: |p, m| tenths(m.memory_share(p)) },
    PsColumn { names: &["vsz", "vsize"], title: "VSZ", show: |p, _| (p.stat(23) / 1024).to_string() },
    PsColumn { names: &["rss", "rssize"], title: "RSS", show: |p, _| p.resident.to_string() },
    PsColumn { names: &["ni", "nice"], title: "NI", show: |p, _| nice(p) },
    PsColumn { names: &["nlwp", "thcount"], title: "NLWP", show: |p, _| p.stat(20).to_string() },
    PsColumn { names: &["stat", "state", "s"], title: "S", show: |p, _| p.state().to_string() },
    PsColumn { names: &["stime", "start_time"], title: "STIME", show: |p, m| m.started(p) },
    PsColumn { names: &["start"], title: "START", show: |p, m| m.started(p) },
    PsColumn { names: &["tty", "tt", "tname"], title: "TTY", show: |p, _| terminal(p.stat(7)) },
    PsColumn { names: &["time", "cputime"], title: "TIME", show: |p, _| clock(p.used() / TICKS, true) },
    PsColumn { names: &["etime"], title: "ELAPSED", show: |p, m| clock(m.age(p) / TICKS, false) },
    PsColumn { names: &["comm", "ucmd", "ucomm"], title: "COMMAND", show: |p, _| p.name().to_owned() },
    PsColumn { names: &["args", "command"], title: "COMMAND", show: |p, _| p.command() },
    PsColumn { names: &["cmd"], title: "CMD", show: |p, _| p.command() },
];

/// The columns of `ps -ef`. The first is titled UID but shows names.
pub(super) const FULL: [&str; 8] = ["user=UID", "pid", "ppid", "c", "stime", "tty", "time", "cmd"];
/// The columns of `ps aux`.
const AUX: [&str; 11] =
    ["user", "pid", "%cpu", "%mem", "vsz", "rss", "tty", "stat=STAT", "start", "time", "args"];

/// The columns that `options` select. Fails for options that need the real ps.
pub(crate) fn choose_columns(options: &[String]) -> Result<Vec<&str>, Failure> {
    let mut chosen: Vec<&str> = Vec::new();
    let mut words = options.iter().flat_map(|option| option.split_ascii_whitespace());
    while let Some(word) = words.next() {
        match word {
            "-e" | "-A" | "e" | "a" | "x" | "ax" | "-a" | "-w" | "-ww" | "--forest" => {}
            "-f" | "-ef" | "-fe" | "-Af" => chosen.extend(FULL),
            "aux" | "-aux" | "u" | "axu" | "auxww" => chosen.extend(AUX),
            "-o" | "-eo" | "-Ao" | "o" | "axo" | "-axo" => {
                chosen.extend(words.next().unwrap_or_default().split(','));
            }
            word => match word.strip_prefix("-o").or_else(|| word.strip_prefix("-eo")) {
                Some(list) => chosen.extend(list.split(',')),
                None => return Err(without_ps(word)),
            },
        }
    }
    if chosen.is_empty() {
        chosen.extend(FULL);
    }
    // `-o` at the end, or a comma too many.
    chosen.retain(|name| !name.is_empty());
    match chosen.iter().find(|name| column(name).is_none()) {
        Some(unknown) => Err(without_ps(unknown)),
        None => Ok(chosen),
    }
}

fn without_ps(word: &str) -> Failure {
    let message = format!("`{}` is for the host's ps, which is not installed", word.escape_debug());
    unsupported(message)
        .hint("dhow itself knows -ef, aux, and -o with the common columns (package procps has ps)")
}

/// The column called `name`, with its own title or the one after an equals sign.
fn column(name: &str) -> Option<(&'static PsColumn, String)> {
    let (name, title) = name.split_once('=').map_or((name, None), |(name, title)| (name, Some(title)));
    let column = COLUMNS.iter().find(|column| column.names.contains(&name))?;
    Some((column, title.map_or_else(|| column.title.to_owned(), str::to_owned)))
}

/// The table of processes `pids`. Those that have exited meanwhile are left out.
pub(crate) fn build_table(names: &[&str], pids: &[i32]) -> ProcessTable {
    let context = PsContext::read();
    let (columns, titles): (Vec<_>, Vec<_>) = names.iter().filter_map(|name| column(name)).unzip();
    let row = |process: ProcessInfo| columns.iter().map(|column| (column.show)(&process, &context)).collect();
    let rows = pids.iter().filter_map(|pid| ProcessInfo::read(*pid)).map(row).collect();
    ProcessTable { titles, rows }
}

/// What the columns need besides the process.
struct PsContext {
    /// Seconds since boot.
    uptime: f64,
    now: Timestamp,
    zone: TimeZone,
    /// In KiB.
    memory: u64,
    passwd: String,
}

impl PsContext {
    fn read() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            uptime: text("/proc/uptime")
                .split_whitespace()
                .next()
                .and_then(|up| up.parse().ok())
                .unwrap_or(0.0),
            now: Timestamp::now(),
            zone: TimeZone::system(),
            memory: dhow_sys::memory::total_memory(&text("/proc/meminfo")) / 1024,
            passwd: text("/etc/passwd"),
        }
    }

    /// The account's name on the host, else its uid.
    fn account(&self, uid: u32) -> String {
        let number = uid.to_string();
        let mut fields = self.passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let entry = fields.find(|fields| fields.get(2) == Some(&number.as_str()));
        entry.and_then(|fields| fields.first().map(|name| (*name).to_owned())).unwrap_or(number)
    }

    /// Clock ticks since the process started.
    fn age(&self, process: &ProcessInfo) -> u64 {
        ((self.uptime * TICKS as f64) as u64).saturating_sub(process.stat(22))
    }

    /// CPU time divided by age, in tenths of a percent.
    fn share(&self, process: &ProcessInfo) -> u64 {
        process.used().saturating_mul(1000).checked_div(self.age(process)).unwrap_or(0)
    }

    fn memory_share(&self, process: &ProcessInfo) -> u64 {
        process.resident.saturating_mul(1000).checked_div(self.memory).unwrap_or(0)
    }

    /// The time of day if it started today, the date if this year, else the year.
    fn started(&self, process: &ProcessInfo) -> String {
        let ago = i64::try_from(self.age(process) / TICKS).unwrap_or(0);
        let start = Timestamp::from_second(self.now.as_second().saturating_sub(ago)).unwrap_or(self.now);
        let (start, now) = (start.to_zoned(self.zone.clone()), self.now.to_zoned(self.zone.clone()));
        let format = match (start.year() == now.year(), start.date() == now.date()) {
            (_, true) => "%H:%M",
            (true, _) => "%b%d",
            _ => "%Y",
        };
        start.strftime(format).to_string()
    }
}

fn tenths(number: u64) -> String {
    format!("{}.{}", number / 10, number % 10)
}

/// The nice value, which only the ordinary scheduling policies have; ps shows `-` for the others.
fn nice(process: &ProcessInfo) -> String {
    // `stat` has the policy of sched_setscheduler(2), and the priority, which is 20 higher than the nice value
    // (proc_pid_stat(5), `policy` and `priority`).
    const SCHED_OTHER: u64 = 0;
    const SCHED_BATCH: u64 = 3;
    match process.stat(41) {
        SCHED_OTHER | SCHED_BATCH => {
            i64::try_from(process.stat(18)).unwrap_or(20).saturating_sub(20).to_string()
        }
        _ => "-".into(),
    }
}

/// The name of a terminal by its device number (`devices.txt` in the kernel's documentation).
fn terminal(number: u64) -> String {
    // The kernel puts the upper bits of the minor above the major (proc_pid_stat(5), `tty_nr`).
    let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xf_ff00);
    match major {
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        _ => "?".into(),
    }
}

/// `[days-]hours:minutes:seconds`; without `hours`, zero hours are left out.
fn clock(seconds: u64, hours: bool) -> String {
    let (days, hour, minute, second) =
        (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match (days, hour) {
        (1.., _) => format!("{days}-{hour:02}:{minute:02}:{second:02}"),
        (0, 0) if !hours => format!("{minute:02}:{second:02}"),
        _ => format!("{hour:02}:{minute:02}:{second:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_ps_shows_them() {
        assert_eq!([clock(59, true), clock(59, false)], ["00:00:59", "00:59"]);
        assert_eq!([clock(3600, false), clock(90_061, true)], ["01:00:00", "1-01:01:01"]);
        assert_eq!([terminal(0), terminal(0x8803), terminal(0x0441)], ["?", "pts/3", "ttyS1"]);
        assert_eq!(tenths(1234), "123.4");
    }

    #[test]
    fn only_ordinary_processes_are_nice() {
        // The fields from the third on, of which the priority is the 18th and the policy the 41st.
        let with = |priority: &str, policy: &str| {
            let fields: Vec<&str> = (3..=41)
                .map(|number| match number {
                    18 => priority,
                    41 => policy,
                    _ => "0",
                })
                .collect();
            nice(&ProcessInfo::of_stat(format!("7 (a) b) {}", fields.join(" "))))
        };
        assert_eq!([with("20", "0"), with("0", "3"), with("39", "0")], ["0", "-20", "19"]);
        assert_eq!([with("-2", "1"), with("-51", "2"), with("39", "5")], ["-", "-", "-"]);
    }

    #[test]
    fn common_options_are_known() {
        let choose = |options: &[&str]| {
            let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
            choose_columns(&options).map(|names| names.join(" "))
        };
        assert_eq!(choose(&["-ef"]).unwrap(), FULL.join(" "));
        assert_eq!(choose(&["aux"]).unwrap(), AUX.join(" "));
        assert_eq!(choose(&["-o", "pid,comm"]).unwrap(), "pid comm");
        assert_eq!(choose(&["-eo", "pid,args", "-o", "user=WHO"]).unwrap(), "pid args user=WHO");
        assert_eq!(choose(&["-e"]).unwrap(), FULL.join(" "));
        assert!(choose(&["-o", "pid,wchan"]).is_err());
        assert!(choose(&["-Z"]).is_err());
    }

    #[test]
    fn this_process_fills_every_column() {
        let names: Vec<&str> = COLUMNS.iter().map(|column| column.names[0]).collect();
        let table = build_table(&names, &[std::process::id().cast_signed(), i32::MAX]);
        assert_eq!((table.titles.len(), table.rows.len()), (COLUMNS.len(), 1));
        assert!(table.rows[0].iter().all(|cell| !cell.is_empty()), "{:?}", table.rows[0]);
    }
}
