//! The unprivileged accounts that dhow runs as.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::{find_program, leave_out};

/// How dhow can map users for an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// With subordinate ids.
    Mapped,
    /// Without: only the user's own id.
    Single,
}

/// An account of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// The account to run dhow as in `mode`; leaves the test out if there is none.
    pub(crate) fn of(mode: Mode) -> Option<Account> {
        let found = if is_root() { Self::made_for(mode) } else { Self::own(mode) };
        if found.is_none() {
            leave_out(match mode {
                Mode::Mapped => "needs an account with subordinate ids and newuidmap",
                Mode::Single => "needs an account without subordinate ids",
            });
        }
        found
    }

    /// Any account to run dhow as, and its mode: the user's own; as root a test account, or `nobody` if there is none.
    pub(crate) fn any() -> Option<(Account, Mode)> {
        let names: &[&str] = if is_root() { &["dhow-a", "dhow-b", "nobody"] } else { &[] };
        let named = names.iter().find_map(|name| Self::lookup(|entry| entry.name == *name));
        let account = named.or_else(|| {
            let uid = own_uid();
            Self::lookup(|entry| entry.uid == uid && uid != 0)
        });
        if account.is_none() {
            leave_out("needs an account: this user has no entry in /etc/passwd");
        }
        account.map(|account| (account.clone(), account.mode()))
    }

    fn made_for(mode: Mode) -> Option<Account> {
        let name = match mode {
            Mode::Mapped => "dhow-a",
            Mode::Single => "dhow-b",
        };
        let account = Self::lookup(|entry| entry.name == name)?;
        (account.mode() == mode).then_some(account)
    }

    fn own(mode: Mode) -> Option<Account> {
        let uid = own_uid();
        let account = Self::lookup(|entry| entry.uid == uid)?;
        (account.mode() == mode).then_some(account)
    }

    fn lookup(wanted: impl Fn(&Account) -> bool) -> Option<Account> {
        let table = fs::read_to_string("/etc/passwd").ok()?;
        table.lines().filter_map(Self::parse).find(wanted)
    }

    fn parse(line: &str) -> Option<Account> {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { name, uid, gid })
    }

    fn mode(&self) -> Mode {
        let listed = |file: &str| self.range_in(file).is_some();
        if listed("/etc/subuid") && listed("/etc/subgid") && find_program("newuidmap").is_some() {
            Mode::Mapped
        } else {
            Mode::Single
        }
    }

    /// The first subordinate id and how many there are.
    pub(crate) fn range_in(&self, file: &str) -> Option<(u32, u32)> {
        let table = fs::read_to_string(file).ok()?;
        table.lines().find_map(|line| {
            let mut fields = line.split(':');
            let owner = fields.next()?;
            (owner == self.name || owner == self.uid.to_string()).then_some(())?;
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        })
    }

    /// Whether `uid` is this account's or one of its subordinate ids.
    pub(crate) fn owns(&self, uid: u32) -> bool {
        let within = |(start, count): (u32, u32)| uid >= start && uid - start < count;
        uid == self.uid || self.range_in("/etc/subuid").is_some_and(within)
    }
}

/// Whether the tests run as root.
pub(crate) fn is_root() -> bool {
    own_uid() == 0
}

fn own_uid() -> u32 {
    fs::metadata("/proc/self").map_or(u32::MAX, |meta| meta.uid())
}
