//! `--call`: BuildKit's subrequests, which describe a Dockerfile instead of building it.

use anyhow::Result;

use super::BuildRun;
use crate::load::BuildSources;
use crate::request::{BuildResult, CallFunc};
use dhow_build::check::{CheckReport, check, check_prefix};
use dhow_build::dockerfile::{parse, parse_prefix};
use dhow_build::outline::{TargetList, TargetOutline};
use dhow_build::progress::CheckWarning;
use dhow_error::Failure;
use dhow_model::platform::Platform;

impl BuildRun<'_, '_, '_> {
    /// Runs the subrequest; `None` if a build was requested.
    pub(crate) fn run_subrequest(&mut self, loaded: &BuildSources) -> Result<Option<BuildResult>> {
        let text = String::from_utf8_lossy(&loaded.definition.text).into_owned();
        let output = match self.request.call {
            CallFunc::Build => return Ok(None),
            CallFunc::Check => self.check_dockerfile(loaded, &text)?,
            CallFunc::Outline => {
                let file = parse(&loaded.definition.text)?;
                let platform = self.first_platform();
                // What the images in the store say; the outline itself is of any file that can be read.
                let (bases, _) = self.evaluate_locally(&file, &platform);
                let outline = self.with_check_inputs(&platform, loaded, &bases, false, |inputs| {
                    TargetOutline::describe(&file, &text, inputs)
                })?;
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

    fn first_platform(&self) -> Platform {
        self.platforms().into_iter().next().unwrap_or_else(Platform::host)
    }

    fn check_dockerfile(&mut self, loaded: &BuildSources, text: &str) -> Result<(serde_json::Value, String)> {
        let (warnings, error) = match self.checked(loaded) {
            Ok(checked) => checked,
            // A Dockerfile that cannot be parsed is a result of the check, not a failure.
            Err(error) => (Vec::new(), Some(error)),
        };
        let error = error.map(|error| Failure::from_chain(&error));
        let file = &loaded.definition.name;
        let report = CheckReport { file, source: text, warnings: &warnings, error: error.as_ref() };
        Ok((report.json(), report.text()))
    }

    /// The warnings, and what a build would refuse.
    fn checked(&mut self, loaded: &BuildSources) -> Result<(Vec<CheckWarning>, Option<anyhow::Error>)> {
        let (file, failure) = parse_prefix(&loaded.definition.text)?;
        let options = self.check_options(&file)?;
        if let Some(failure) = failure {
            return Ok((check_prefix(&file, &options), Some(failure.into())));
        }
        let platform = self.first_platform();
        let (bases, evaluated) = self.evaluate_locally(&file, &platform);
        let all_stages = self.request.target.is_none();
        let warnings = self.with_check_inputs(&platform, loaded, &bases, all_stages, |inputs| {
            check(&file, &options, inputs)
        });
        Ok((warnings, evaluated.err()))
    }
}
