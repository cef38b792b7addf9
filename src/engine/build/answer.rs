//! `--call`: BuildKit's subrequests, which describe a Dockerfile instead of building it.

use anyhow::Result;

use super::Build;
use super::load::Loaded;
use super::request::{Built, Call};
use crate::build::check::{Report, Surroundings};
use crate::build::dockerfile::ast::Dockerfile;
use crate::build::dockerfile::parse;
use crate::build::outline::{Outline, Targets};
use crate::error::Failure;
use crate::model::platform::Platform;

impl Build<'_, '_> {
    /// Runs the subrequest; `None` if a build was requested.
    pub(super) fn answer(&mut self, loaded: &Loaded) -> Result<Option<Built>> {
        let text = String::from_utf8_lossy(&loaded.definition.text).into_owned();
        let answer = match self.request.call {
            Call::Build => return Ok(None),
            Call::Check => self.check(loaded, &text)?,
            Call::Outline => {
                let file = parse(&loaded.definition.text)?;
                let platforms = self.platforms();
                let host = Platform::host();
                let around = Surroundings {
                    target: self.request.target.as_deref(),
                    all_stages: false,
                    given: &self.request.args,
                    build: &host,
                    platform: platforms.first().unwrap_or(&host),
                    base_environment: &|_| None,
                    ignored: None,
                };
                let outline = Outline::of(&file, &text, &around)?;
                (outline.json(), outline.text())
            }
            Call::Targets => {
                let file = parse(&loaded.definition.text)?;
                let targets = Targets { file: &file, source: &text };
                (targets.json(), targets.text())
            }
        };
        Ok(Some(Built { answer: Some(answer), ..Built::default() }))
    }

    fn check(&mut self, loaded: &Loaded, text: &str) -> Result<(serde_json::Value, String)> {
        let checked = parse(&loaded.definition.text).map_err(anyhow::Error::from).and_then(|file| {
            let refused = self.refused(&file);
            let platforms = self.platforms();
            let host = Platform::host();
            let platform = platforms.first().unwrap_or(&host);
            let all = self.request.target.is_none();
            Ok((self.warnings(&file, platform, loaded, None, all)?, refused))
        });
        let (warnings, error) = match checked {
            Ok(checked) => checked,
            Err(error) => (Vec::new(), Some(Failure::of(&error))),
        };
        let file = &loaded.definition.name;
        let report = Report { file, source: text, warnings: &warnings, error: error.as_ref() };
        Ok((report.json(), report.text()))
    }

    /// Why the stages cannot be built, as far as is known without resolving images.
    fn refused(&self, file: &Dockerfile) -> Option<Failure> {
        let host = Platform::host();
        let automatic = crate::build::arguments::platform(&host, &host, "");
        let globals = match crate::build::arguments::global(file, &automatic, &self.request.args) {
            Ok(globals) => globals,
            Err(failure) => return Some(failure),
        };
        let contexts = self.request.contexts.keys().cloned().collect();
        let around = crate::build::graph::Surroundings {
            globals: &globals,
            platform: &host,
            contexts: &contexts,
            target: self.request.target.as_deref(),
        };
        crate::build::graph::Graph::new(file, around).err()
    }
}
