//! `--chown`: numeric ids, or names looked up in `/etc/passwd` and `/etc/group` of the layers below.

use std::io::Read as _;

use anyhow::{Context as _, Result};

use super::tree_view::TreeView;
use dhow_error::invalid;

/// Larger files are cut off; in bytes.
const LIMIT: u64 = 16 << 20;

/// Parses `user[:group]`, by name or number. A lone number is used for both; a lone name brings its primary
/// group.
pub(super) fn owner(view: &TreeView, text: &str) -> Result<(u32, u32)> {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let doing =
        || format!("unable to convert uid/gid chown string \"{}\" to host mapping", text.escape_debug());
    let (uid, own_group) = user_of(view, user).with_context(doing)?;
    let gid = match group {
        Some(group) if !group.is_empty() => group_of(view, group).with_context(doing)?,
        _ => own_group,
    };
    Ok((uid, gid))
}

fn user_of(view: &TreeView, user: &str) -> Result<(u32, u32)> {
    if user.is_empty() {
        return Ok((0, 0));
    }
    if let Some(number) = number(user)? {
        return Ok((number, number));
    }
    let list = read(view, "etc/passwd")?;
    let ids = list.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        match fields[..] {
            // Malformed lines are skipped, as libc does.
            [name, _, uid, gid, ..] if name == user => Some((uid.parse().ok()?, gid.parse().ok()?)),
            _ => None,
        }
    });
    ids.into_iter().next().ok_or_else(|| unknown("uid", "user", user, "/etc/passwd"))
}

fn group_of(view: &TreeView, group: &str) -> Result<u32> {
    if let Some(number) = number(group)? {
        return Ok(number);
    }
    let list = read(view, "etc/group")?;
    let ids = list.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        match fields[..] {
            [name, _, gid, ..] if name == group => gid.parse().ok(),
            _ => None,
        }
    });
    ids.into_iter().next().ok_or_else(|| unknown("gid", "group", group, "/etc/group"))
}

fn unknown(id: &str, kind: &str, name: &str, file: &str) -> anyhow::Error {
    let name = name.escape_debug();
    invalid(format!("can't find {id} for {kind} {name}: no such {kind}: {name}"))
        .hint(format!("the image's {file} does not have it: add it in a step before, or give a number"))
        .into()
}

/// `None` if it is a name.
fn number(text: &str) -> Result<Option<u32>> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    // docker's limit (moby/sys/user).
    let number = text.parse().ok().filter(|id| *id <= i32::MAX.cast_unsigned());
    number.map(Some).ok_or_else(|| invalid(format!("{text} is too large for an id")).into())
}

/// A file of the layers; empty if it does not exist.
fn read(view: &TreeView, path: &str) -> Result<String> {
    let Some(resolved) = view.resolve(path.as_bytes(), true, &mut |_, _| true)? else {
        return Ok(String::new());
    };
    let Some(entry) = resolved.entry.filter(|entry| super::attributes::is_regular(&entry.stat)) else {
        return Ok(String::new());
    };
    let file = std::fs::File::from(view.open(&resolved.path, entry.layer)?);
    let mut text = Vec::new();
    file.take(LIMIT).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
