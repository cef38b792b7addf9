//! The build rules (`--check`): what they are given, and their warnings as events of a build.

use anyhow::Result;

use super::base_images::{BaseImage, BaseImages};
use crate::BuildRun;
use crate::load::BuildSources;
use dhow_build::ast::Dockerfile;
use dhow_build::check::{CheckInputs, CheckOptions, check_prefix};
use dhow_build::dockerfile::parse_prefix;
use dhow_build::progress::{BuildEvent, CheckWarning};
use dhow_model::platform::Platform;

impl BuildRun<'_, '_, '_> {
    /// Parses the Dockerfile; if something in it is wrong, shows the warnings of what stands before.
    pub(crate) fn parse_definition(&mut self, text: &[u8]) -> Result<Dockerfile> {
        let (file, failure) = parse_prefix(text)?;
        let Some(failure) = failure else { return Ok(file) };
        let warnings = check_prefix(&file, &self.check_options(&file)?);
        self.show_warnings(&warnings);
        Err(failure.into())
    }

    pub(crate) fn show_warnings(&mut self, warnings: &[CheckWarning]) {
        for warning in warnings {
            self.runner.event(BuildEvent::Warning(warning.clone()));
        }
    }

    pub(crate) fn check_options(&self, dockerfile: &Dockerfile) -> Result<CheckOptions> {
        let argument = self.request.args.get("BUILDKIT_DOCKERFILE_CHECK").map(String::as_str);
        Ok(CheckOptions::for_build(dockerfile, argument)?)
    }

    /// Calls `work` with what the rules need besides the file.
    pub(crate) fn with_check_inputs<T>(
        &self,
        platform: &Platform,
        loaded: &BuildSources,
        bases: &BaseImages,
        all_stages: bool,
        work: impl FnOnce(&CheckInputs<'_>) -> T,
    ) -> T {
        let base_environment = |name: &str| {
            let image = self.context_image(&name.to_lowercase(), platform);
            let base: &BaseImage = match &image {
                Some(image) => bases.get(image)?,
                None => bases.by_name(name)?,
            };
            let pair = |entry: &String| {
                entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
            };
            Some(base.config.config.env.iter().filter_map(pair).collect())
        };
        let ignore = loaded.contexts.get("").map(|context| &context.ignore);
        let ignored = |path: &str| ignore.is_some_and(|ignore| crate::load::is_ignored(ignore, path));
        // With exceptions, a directory may be ignored although some file in it is copied.
        let is_plain = ignore.is_some_and(|ignore| !ignore.file().is_empty() && !ignore.has_exceptions());
        work(&CheckInputs {
            target: self.request.target.as_deref(),
            all_stages,
            given: &self.request.args,
            build: &Platform::host(),
            platform,
            base_environment: &base_environment,
            ignored: is_plain.then_some(&ignored),
        })
    }
}
