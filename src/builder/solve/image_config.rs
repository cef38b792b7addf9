//! The configuration of the resulting images, with history and times as BuildKit writes them.

use serde_json::Value;

use super::stage::{StageProgress, Stages};
use crate::prepare::base_images::platform_of;
use dhow_build::plan::{BuildPlan, InputTree, StagePlan};
use dhow_model::digest::Digest;
use dhow_model::image::{HistoryEntry, ImageConfig, ImageRootFs};
use dhow_model::platform::Platform;

/// The comment on every history entry, as BuildKit's frontend sets it.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// The tree that the first stage of a chain of stages starts from.
pub(crate) fn root_tree(plan: &BuildPlan, mut stage: usize) -> Option<&InputTree> {
    loop {
        match &plan.stages.get(stage)?.as_ref()?.base {
            InputTree::Stage(below) => stage = *below,
            other => return Some(other),
        }
    }
}

/// One platform's result.
pub(crate) struct ResultImage<'a> {
    /// The plan, by index and value.
    pub(crate) index: usize,
    pub(crate) plan: &'a BuildPlan,
    pub(crate) stages: &'a Stages,
    /// The configuration of its base image.
    pub base: Option<&'a ImageConfig>,
    /// `SOURCE_DATE_EPOCH`.
    pub epoch: Option<i64>,
    /// No `--platform` was given: the image takes the platform of its base.
    pub(crate) implicit: bool,
}

impl ResultImage<'_> {
    fn stage(&self, stage: usize) -> Option<&StageProgress> {
        self.stages.get((self.index, stage))
    }

    /// Diff IDs, lowest first.
    pub(crate) fn layers(&self) -> Vec<Digest> {
        self.stage(self.plan.target).map(|target| target.chain.layers.clone()).unwrap_or_default()
    }

    /// The image configuration as JSON. `cache` is the inline cache, if one is exported.
    pub(crate) fn config(&self, cache: Option<Value>) -> Vec<u8> {
        let Some(Some(target)) = self.plan.stages.get(self.plan.target) else { return Vec::new() };
        let history = self.history(target);
        let platform = self.platform();
        let config = ImageConfig {
            created: match self.epoch {
                Some(epoch) => Some(format_epoch(epoch)),
                None => history.iter().rev().find_map(|line| line.created.clone()),
            },
            author: target.config.author.clone(),
            architecture: platform.architecture,
            variant: platform.variant,
            os: platform.os,
            config: target.config.run.clone(),
            rootfs: ImageRootFs { kind: "layers".into(), diff_ids: self.layers() },
            history,
            ..ImageConfig::default()
        };
        let mut value = serde_json::to_value(&config).unwrap_or_default();
        // BuildKit omits empty fields of `config`.
        if let Some(Value::Object(run)) = value.get_mut("config") {
            run.retain(|_, value| !is_empty(value));
        }
        if let (Some(cache), Value::Object(fields)) = (cache, &mut value) {
            fields.insert("moby.buildkit.cache.v0".into(), cache);
        }
        serde_json::to_vec(&value).unwrap_or_default()
    }

    /// The requested platform, or that of the base image if none was requested.
    fn platform(&self) -> Platform {
        let mut platform = match self.base {
            Some(base) if self.implicit => platform_of(base),
            _ => self.plan.platform.clone(),
        };
        // containerd normalizes `arm64/v8` to `arm64`.
        if platform.architecture == "arm64" && platform.variant == "v8" {
            platform.variant.clear();
        }
        platform
    }

    fn history(&self, target: &StagePlan) -> Vec<HistoryEntry> {
        let mut history = self.base.map(base_history).unwrap_or_default();
        let fixed = self.epoch.map(format_epoch);
        for line in &target.history {
            let result = line.step.and_then(|(stage, step)| self.stage(stage)?.results.get(step));
            let layer = result.filter(|result| result.layer.is_some());
            history.push(HistoryEntry {
                created: fixed.clone().or_else(|| layer.map(|result| result.created.clone())),
                created_by: line.created_by.clone(),
                comment: COMMENT.into(),
                empty_layer: layer.is_none(),
                ..HistoryEntry::default()
            });
        }
        fill_times(&mut history);
        history
    }
}

/// A base's history, with an entry for each layer even if the base has fewer.
fn base_history(base: &ImageConfig) -> Vec<HistoryEntry> {
    let mut history = base.history.clone();
    let with_layer = history.iter().filter(|line| !line.empty_layer).count();
    // Some builders write no history, or less than one entry per layer.
    let missing = base.rootfs.diff_ids.len().saturating_sub(with_layer);
    history.extend(std::iter::repeat_n(
        HistoryEntry { created: base.created.clone(), ..HistoryEntry::default() },
        missing,
    ));
    history
}

/// Entries without a time get that of the entry before, or of the first new one if nothing new precedes them
/// (`normalizeLayersAndHistory` in BuildKit's image exporter). Times never come from the clock, so that a
/// rebuild from the cache gives the same image.
fn fill_times(history: &mut [HistoryEntry]) {
    let mut time = None;
    let mut missing = false;
    for line in history.iter() {
        match &line.created {
            Some(created) => {
                time = Some(created.clone());
                if missing {
                    break;
                }
            }
            None => missing = true,
        }
    }
    missing = false;
    for line in history {
        match &line.created {
            Some(created) if missing => time = Some(created.clone()),
            Some(_) => {}
            None => {
                missing = true;
                line.created.clone_from(&time);
            }
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty(),
        Value::Number(_) => false,
    }
}

/// Seconds since the epoch as RFC 3339.
pub(crate) fn format_epoch(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(created: Option<&str>) -> HistoryEntry {
        HistoryEntry { created: created.map(str::to_owned), ..HistoryEntry::default() }
    }

    fn filled(lines: &[Option<&str>]) -> Vec<Option<String>> {
        let mut history: Vec<HistoryEntry> = lines.iter().map(|created| line(*created)).collect();
        fill_times(&mut history);
        history.into_iter().map(|line| line.created).collect()
    }

    #[test]
    fn lines_without_a_time_have_that_of_a_layer_near() {
        let some = |text: &str| Some(text.to_owned());
        // Entries before the first new layer take its time, not that of the base.
        assert_eq!(
            filled(&[Some("base"), None, Some("new"), None]),
            [some("base"), some("new"), some("new"), some("new")]
        );
        assert_eq!(filled(&[Some("base"), None]), [some("base"), some("base")]);
        assert_eq!(filled(&[None]), [None]);
    }

    #[test]
    fn a_time_is_written_in_seconds() {
        assert_eq!(format_epoch(0), "1970-01-01T00:00:00Z");
    }
}
