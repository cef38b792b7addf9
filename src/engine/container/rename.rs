//! `rename`: gives a container another name, whether it runs or not.

use anyhow::{Context as _, Result};

use dhow_error::{FailureKind, invalid, kind_of};
use dhow_model::event::EngineEvent;
use dhow_runtime::control::protocol::{ControlClient, ControlRequest};
use dhow_store::Store;

/// Renames the container `text` to `new`, with or without docker's leading slash.
pub fn rename(store: &Store, text: &str, new: &str) -> Result<()> {
    let new = new.strip_prefix('/').unwrap_or(new);
    if text.is_empty() || new.is_empty() {
        return Err(invalid("Neither old nor new names may be empty").into());
    }
    let container = store.find_container(text)?;
    let renamed = store.rename_container(&container, new).map_err(|error| match kind_of(&error) {
        FailureKind::Conflict => error.context("Error when allocating new name"),
        _ => error,
    });
    let renamed = renamed.with_context(|| format!("cannot rename container {text}"))?;
    // If the supervisor is gone or does not answer, the name is read when it is next needed.
    if let Ok(Some(supervisor)) = ControlClient::connect(&renamed) {
        supervisor.send_request(&ControlRequest::Reload, &[]);
        let _ = supervisor.receive_report();
    }
    let old = format!("/{}", container.spec().name);
    store.record_event(EngineEvent::of_container(renamed.spec(), "rename").with("oldName", old));
    Ok(())
}
