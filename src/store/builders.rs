//! Names of builders (`buildx create`), kept so that docker scripts work. There is only one builder, so a
//! name is nothing but a record.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::atomic::{self, Durability};
use super::fs::{random_hex, read_record};
use super::lock::{FileLock, LockMode};
use super::{Store, timestamp_now};

/// A builder name and the options it was created with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuilderRecord {
    /// As requested, for example `docker-container`.
    pub driver: String,
    pub options: Vec<String>,
    /// Flags for BuildKit's daemon, which dhow does not have.
    pub daemon_flags: Vec<String>,
    /// As requested.
    pub platforms: Vec<String>,
    pub node: String,
    /// The requested endpoint; unused.
    pub endpoint: String,
    /// RFC 3339, UTC.
    pub created: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuilderNames {
    /// The selected builder; `None` means `default`.
    pub current: Option<String>,
    pub named: BTreeMap<String, BuilderRecord>,
}

impl Store {
    fn builders_path(&self) -> PathBuf {
        self.root.join("builders.json")
    }

    pub fn builders(&self) -> anyhow::Result<BuilderNames> {
        Ok(read_record(&self.builders_path())?.unwrap_or_default())
    }

    /// Edits the names while no other process can.
    pub fn edit_builders<T>(
        &self,
        change: impl FnOnce(&mut BuilderNames) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let _lock = FileLock::acquire(&self.plain_lock_path("builders"), LockMode::Exclusive)
            .context("cannot lock the builders")?;
        // Read under the lock, so that no concurrent edit is lost.
        let mut builders = self.builders()?;
        let result = change(&mut builders)?;
        atomic::write_json(&self.builders_path(), &builders, Durability::Unsynced)
            .context("cannot write the record of builders")?;
        Ok(result)
    }
}

impl BuilderRecord {
    /// A record with the current time.
    pub fn new(driver: String) -> Self {
        Self { driver, created: timestamp_now(), ..Self::default() }
    }
}

/// A random name, `builder_` and eight hexadecimal digits.
pub fn random_builder_name() -> anyhow::Result<String> {
    Ok(format!("builder_{}", random_hex(4).context("cannot make up a name")?))
}
