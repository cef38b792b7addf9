//! The host's `ps`: how it is run, and which of its lines are kept.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::ProcessTable;
use dhow_error::{Failure, FailureKind, invalid};

/// Refuses options that retitle the PID column, by which rows are found.
pub(super) fn check_options(options: &[String]) -> Result<()> {
    let renamed = |word: &str| {
        let lists = word.split(',').map(|item| item.strip_prefix("-o").unwrap_or(item));
        lists
            .filter_map(|item| item.split_once('='))
            .any(|(name, title)| name.ends_with("pid") && title != "PID")
    };
    match options.iter().flat_map(|option| option.split_ascii_whitespace()).find(|word| renamed(word)) {
        Some(word) => Err(invalid(format!("specifying \"{}\" is not allowed", word.escape_debug())).into()),
        None => Ok(()),
    }
}

/// The path of `ps`; `None` if it is not installed.
pub(super) fn find(path: &str) -> Option<PathBuf> {
    let path = if path.is_empty() { "/usr/bin:/bin" } else { path };
    // A relative directory would depend on where the command is run.
    let dirs = path.split(':').filter(|dir| dir.starts_with('/'));
    dirs.map(|dir| Path::new(dir).join("ps")).find(|file| file.is_file())
}

/// Runs `ps` with `options` and keeps the rows of `pids`.
pub(crate) fn run_ps(program: &Path, options: &[String], pids: &[i32]) -> Result<ProcessTable> {
    let list = pids.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
    let run = |more: &[String]| {
        Command::new(program)
            .args(options)
            .args(more)
            .output()
            .with_context(|| format!("running `{}`", program.display()))
    };
    // Some options conflict with `-q`; then ps prints all processes, or the ones that the options select.
    let mut output = run(&["-q".into(), list])?;
    if !output.status.success() {
        output = run(&[])?;
    }
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let first = stderr.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        return Err(invalid(format!("ps refused: {}", first.escape_debug())).into());
    }
    filter_rows(&String::from_utf8_lossy(&output.stdout), pids)
}

/// The rows of `pids`. The last column takes the rest of its line.
fn filter_rows(text: &str, pids: &[i32]) -> Result<ProcessTable> {
    let mut lines = text.lines();
    let titles: Vec<String> =
        lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let column = titles.iter().position(|title| title == "PID").ok_or_else(|| {
        Failure::new(FailureKind::Invalid, "couldn't find PID field in ps output")
            .hint("ask for the column `pid` too")
    })?;
    let mut rows = Vec::new();
    for line in lines {
        let row = cells(line, titles.len());
        let pid = row.get(column).and_then(|cell| cell.parse().ok());
        if row.len() == titles.len() && pid.is_some_and(|pid| pids.contains(&pid)) {
            rows.push(row);
        }
    }
    Ok(ProcessTable { titles, rows })
}

fn cells(line: &str, count: usize) -> Vec<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let split = words.len().min(count.saturating_sub(1));
    let (first, last) = words.split_at(split);
    let mut cells: Vec<String> = first.iter().map(|word| (*word).to_owned()).collect();
    cells.push(last.join(" "));
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_container_are_kept_whole() {
        let text = "  UID   PID CMD\nroot      1 init\nroot     22 sh -c  echo x\nshort\n100033   3 sleep\n";
        let table = filter_rows(text, &[22, 3]).unwrap();
        assert_eq!(table.titles, ["UID", "PID", "CMD"]);
        assert_eq!(table.rows, [["root", "22", "sh -c echo x"], ["100033", "3", "sleep"]]);
        assert!(filter_rows("UID CMD\n", &[1]).is_err());
        assert!(filter_rows("", &[1]).is_err());
    }

    #[test]
    fn the_number_keeps_its_title() {
        let check =
            |options: &[&str]| check_options(&options.iter().map(|o| (*o).to_owned()).collect::<Vec<_>>());
        for good in [&["-ef"][..], &["-o", "pid,comm"], &["-eo", "user=WHO,pid"], &["-o", "pid=PID"]] {
            assert!(check(good).is_ok(), "{good:?}");
        }
        for bad in [&["-o", "pid=X"][..], &["-opid=X"], &["-o user,ppid=PARENT"], &["-o", "pid="]] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
