//! `--call`: BuildKit's subrequests, which describe a Dockerfile instead of building it.

use anyhow::Result;

use super::BuildRun;
use crate::load::BuildSources;
use crate::request::{BuildResult, CallFunc};
use dhow_build::ast::Dockerfile;
use dhow_build::check::{CheckInputs, CheckReport};
use dhow_build::dockerfile::parse;
use dhow_build::outline::{TargetList, TargetOutline};
use dhow_error::Failure;
use dhow_model::platform::Platform;

impl BuildRun<'_, '_> {
    /// Runs the subrequest; `None` if a build was requested.
    pub(crate) fn run_subrequest(&mut self, loaded: &BuildSources) -> Result<Option<BuildResult>> {
        let text = String::from_utf8_lossy(&loaded.definition.text).into_owned();
        let output = match self.request.call {
            CallFunc::Build => return Ok(None),
            CallFunc::Check => self.check_dockerfile(loaded, &text)?,
            CallFunc::Outline => {
                let file = parse(&loaded.definition.text)?;
                let platforms = self.platforms();
                let host = Platform::host();
                let inputs = CheckInputs {
                    target: self.request.target.as_deref(),
                    all_stages: false,
                    given: &self.request.args,
                    build: &host,
                    platform: platforms.first().unwrap_or(&host),
                    base_environment: &|_| None,
                    ignored: None,
                };
                let outline = TargetOutline::describe(&file, &text, &inputs)?;
                (outline.json(), outline.text())
            }
            CallFunc::Targets => {
                let file = parse(&loaded.definition.text)?;
                let targets = TargetList { file: &file, source: &text };
                (targets.json(), targets.text())
            }
        };
        Ok(Some(BuildResult { call_output: Some(output), ..BuildResult::default() }))
    }

    fn check_dockerfile(&mut self, loaded: &BuildSources, text: &str) -> Result<(serde_json::Value, String)> {
        // A Dockerfile that cannot be parsed is a result of the check, not a failure.
        let checked = parse(&loaded.definition.text).map_err(anyhow::Error::from).and_then(|file| {
            let error = self.graph_error(&file);
            let platforms = self.platforms();
            let host = Platform::host();
            let platform = platforms.first().unwrap_or(&host);
            let all_stages = self.request.target.is_none();
            Ok((self.warnings(&file, platform, loaded, None, all_stages)?, error))
        });
        let (warnings, error) = match checked {
            Ok(checked) => checked,
            Err(error) => (Vec::new(), Some(Failure::from_chain(&error))),
        };
        let file = &loaded.definition.name;
        let report = CheckReport { file, source: text, warnings: &warnings, error: error.as_ref() };
        Ok((report.json(), report.text()))
    }

    /// Why the stages cannot be built, as far as is known without resolving images.
    fn graph_error(&self, file: &Dockerfile) -> Option<Failure> {
        let host = Platform::host();
        let automatic = dhow_build::arguments::platform_args(&host, &host, "");
        let globals = match dhow_build::arguments::global_args(file, &automatic, &self.request.args) {
            Ok(globals) => globals,
            Err(failure) => return Some(failure),
        };
        let contexts = self.request.contexts.keys().cloned().collect();
        let inputs = dhow_build::graph::GraphInputs {
            globals: &globals,
            platform: &host,
            contexts: &contexts,
            target: self.request.target.as_deref(),
        };
        dhow_build::graph::StageGraph::new(file, inputs).err()
    }
}
