//! Names of builders (`buildx create`): scripts make, use and remove them. There is one builder by any name, so a name
//! is a record and no more.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::atomic::{self, Durability};
use super::lock::{Lock, Mode};
use super::{Store, now, random_hex, read_record};

/// A name for the builder, and what was asked for with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuilderRecord {
    /// `docker-container` and so on, as asked.
    pub driver: String,
    /// Options of the driver.
    pub options: Vec<String>,
    /// Flags of the daemon that there is not.
    pub daemon_flags: Vec<String>,
    /// Platforms as asked.
    pub platforms: Vec<String>,
    /// What the node is called.
    pub node: String,
    /// Where the node would be.
    pub endpoint: String,
    /// When it was made, RFC 3339 in UTC.
    pub created: String,
}

/// All names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Builders {
    /// The one that is used where none is named; none for `default`.
    pub current: Option<String>,
    /// The records by name.
    pub named: BTreeMap<String, BuilderRecord>,
}

impl Store {
    fn builders_path(&self) -> PathBuf {
        self.root.join("builders.json")
    }

    /// The names there are.
    pub fn builders(&self) -> anyhow::Result<Builders> {
        Ok(read_record(&self.builders_path())?.unwrap_or_default())
    }

    /// Changes them.
    pub fn change_builders<T>(
        &self,
        change: impl FnOnce(&mut Builders) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let _lock = Lock::acquire(&self.plain_lock_path("builders"), Mode::Exclusive)
            .context("cannot lock the builders")?;
        let mut builders = self.builders()?;
        let done = change(&mut builders)?;
        atomic::write_json(&self.builders_path(), &builders, Durability::Passing)
            .context("cannot write the record of builders")?;
        Ok(done)
    }
}

impl BuilderRecord {
    /// A record made now.
    pub fn new(driver: String) -> Self {
        Self { driver, created: now(), ..Self::default() }
    }
}

/// A name nobody has thought of.
pub fn made_up_name() -> anyhow::Result<String> {
    Ok(format!("builder_{}", random_hex(4).context("cannot make up a name")?))
}
