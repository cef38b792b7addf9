//! How a failed build is reported.

use crate::job::runner::JobRunner;
use dhow_build::dockerfile::excerpt::excerpt;
use dhow_build::progress::BuildEvent;
use dhow_error::{Failure, FailureKind, kind_of, lines_of};

pub(crate) fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}")
}

/// The hint for a failed RUN step: how to inspect its files and resume. `name` is the image they are kept as.
pub(crate) fn resume_hint(name: &str) -> String {
    format!(
        "its files are kept: look into them with `dhow run --rm -it {name} sh`\n\
         mend the Dockerfile or what it copies and build again, or go on from these files with `dhow build --resume …`"
    )
}

/// Shows the Dockerfile lines that an error refers to, and words the error as BuildKit does.
pub(crate) fn report_failure(
    runner: &mut JobRunner<'_>,
    file: &str,
    text: &[u8],
    error: anyhow::Error,
) -> anyhow::Error {
    if kind_of(&error) == FailureKind::Interrupted {
        return Failure::new(FailureKind::Interrupted, "failed to solve: context canceled").into();
    }
    if let Some(lines) = lines_of(&error) {
        let quoted = excerpt(file, &String::from_utf8_lossy(text), &lines);
        if !quoted.is_empty() {
            runner.event(BuildEvent::Excerpt(quoted));
        }
    }
    let failure = Failure::from_chain(&error);
    let mut worded = Failure::new(failure.kind(), format!("failed to solve: {failure}"));
    if let Some(hint) = failure.hint_text().filter(|hint| !hint.is_empty()) {
        worded = worded.hint(hint);
    }
    worded.into()
}
