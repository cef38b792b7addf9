//! From the stages that were built to images: configurations, with the history and times that BuildKit gives them.

use serde_json::Value;

use super::bases::platform_of;
use super::solve::Progress;
use crate::build::plan::{Plan, RunOp, StagePlan, Tree};
use crate::model::digest::Digest;
use crate::model::image::{History, ImageConfig, RootFs};
use crate::model::platform::Platform;

/// What BuildKit's frontend says of every line that it adds to a history.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// The image that a stage at the bottom of a chain of stages stands on.
pub(super) fn root_image(plan: &Plan, mut stage: usize) -> Option<&Tree> {
    loop {
        match &plan.stages.get(stage)?.as_ref()?.base {
            Tree::Stage(below) => stage = *below,
            other => return Some(other),
        }
    }
}

/// What is known of an image that came out.
pub(super) struct Finished<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What the steps of its stages came to.
    pub progress: &'a dyn Fn(usize) -> Option<&'a Progress>,
    /// The image that it stands on.
    pub base: Option<&'a ImageConfig>,
    /// `SOURCE_DATE_EPOCH`.
    pub epoch: Option<i64>,
    /// Whether the platform is the machine's, which nobody asked for.
    pub implicit: bool,
}

impl Finished<'_> {
    /// The layers, lowest first.
    pub(super) fn layers(&self) -> Vec<Digest> {
        (self.progress)(self.plan.target).map(|target| target.chain.layers.clone()).unwrap_or_default()
    }

    /// The bytes of the image's configuration. `cache` goes into it where the cache is exported inline.
    pub(super) fn config(&self, cache: Option<Value>) -> Vec<u8> {
        let Some(Some(target)) = self.plan.stages.get(self.plan.target) else { return Vec::new() };
        let history = self.history(target);
        let platform = self.platform();
        let config = ImageConfig {
            created: match self.epoch {
                Some(epoch) => Some(time(epoch)),
                None => history.iter().rev().find_map(|line| line.created.clone()),
            },
            author: target.config.author.clone(),
            architecture: platform.architecture,
            variant: platform.variant,
            os: platform.os,
            config: target.config.run.clone(),
            rootfs: RootFs { kind: "layers".into(), diff_ids: self.layers() },
            history,
            ..ImageConfig::default()
        };
        let mut value = serde_json::to_value(&config).unwrap_or_default();
        if let Some(Value::Object(run)) = value.get_mut("config") {
            run.retain(|_, value| !is_empty(value));
        }
        if let (Some(cache), Value::Object(all)) = (cache, &mut value) {
            all.insert("moby.buildkit.cache.v0".into(), cache);
        }
        serde_json::to_vec(&value).unwrap_or_default()
    }

    /// What was asked for; where nothing was, what the base image is for.
    fn platform(&self) -> Platform {
        let mut platform = match self.base {
            Some(base) if self.implicit => platform_of(base),
            _ => self.plan.platform.clone(),
        };
        // containerd's normal form.
        if platform.architecture == "arm64" && platform.variant == "v8" {
            platform.variant.clear();
        }
        platform
    }

    fn history(&self, target: &StagePlan) -> Vec<History> {
        let mut history = self.base.map(inherited).unwrap_or_default();
        let fixed = self.epoch.map(time);
        for line in &target.history {
            let result = line.step.and_then(|(stage, step)| (self.progress)(stage)?.results.get(step));
            let layer = result.filter(|result| result.layer.is_some());
            history.push(History {
                created: fixed.clone().or_else(|| layer.map(|result| result.created.clone())),
                created_by: line.created_by.clone(),
                comment: COMMENT.into(),
                empty_layer: layer.is_none(),
                ..History::default()
            });
        }
        fill_times(&mut history);
        history
    }
}

/// A base's history, with a line for each layer even where the base says nothing of it.
fn inherited(base: &ImageConfig) -> Vec<History> {
    let mut history = base.history.clone();
    let known = history.iter().filter(|line| !line.empty_layer).count();
    let missing = base.rootfs.diff_ids.len().saturating_sub(known);
    history.extend(std::iter::repeat_n(
        History { created: base.created.clone(), ..History::default() },
        missing,
    ));
    history
}

/// Lines without a time get that of the layer before, or of the first new one where nothing new is before
/// (`normalizeLayersAndHistory` of BuildKit's image exporter). Times do not come from the clock, so that the same build
/// out of the cache is the same image.
fn fill_times(history: &mut [History]) {
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

/// Seconds since 1970 as RFC 3339.
pub(super) fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}

/// The image that a stage would make before the program of `op` ran, for whoever looks into what that left.
pub(super) fn so_far(stage: &StagePlan, op: &RunOp, layers: &[Digest]) -> ImageConfig {
    let mut run = stage.config.run.clone();
    run.env.clone_from(&op.env);
    run.user.clone_from(&op.user);
    run.working_dir.clone_from(&op.workdir);
    run.entrypoint = None;
    run.cmd = Some(op.command.args.clone());
    run.healthcheck = None;
    ImageConfig {
        architecture: stage.platform.architecture.clone(),
        variant: stage.platform.variant.clone(),
        os: stage.platform.os.clone(),
        config: run,
        rootfs: RootFs { kind: "layers".into(), diff_ids: layers.to_vec() },
        ..ImageConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(created: Option<&str>) -> History {
        History { created: created.map(str::to_owned), ..History::default() }
    }

    fn filled(lines: &[Option<&str>]) -> Vec<Option<String>> {
        let mut history: Vec<History> = lines.iter().map(|created| line(*created)).collect();
        fill_times(&mut history);
        history.into_iter().map(|line| line.created).collect()
    }

    #[test]
    fn lines_without_a_time_have_that_of_a_layer_near() {
        let some = |text: &str| Some(text.to_owned());
        // Of the first new layer, not of the base, for what comes before it.
        assert_eq!(
            filled(&[Some("base"), None, Some("new"), None]),
            [some("base"), some("new"), some("new"), some("new")]
        );
        assert_eq!(filled(&[Some("base"), None]), [some("base"), some("base")]);
        assert_eq!(filled(&[None]), [None]);
    }

    #[test]
    fn a_time_is_written_in_seconds() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
    }
}
