//! Writes a log to the systemd journal with its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

use std::os::unix::net::UnixDatagram;

use anyhow::{Context as _, Result};

use super::attributes;
use dhow_error::{Failure, FailureKind};
use dhow_model::container::ContainerSpec;
use dhow_model::log::{LogPlan, OutputStream};

const SOCKET: &str = "/run/systemd/journal/socket";

/// The journal's socket, and the fields that are the same for every line of the container.
pub(crate) struct JournaldSink {
    socket: UnixDatagram,
    fields: Vec<u8>,
}

impl JournaldSink {
    pub(super) fn open(spec: &ContainerSpec, plan: &LogPlan) -> Result<Self> {
        let socket = UnixDatagram::unbound().context("cannot open a socket to the journal")?;
        socket.connect(SOCKET).map_err(|error| {
            Failure::new(
                FailureKind::Unsupported,
                format!("the log driver journald: no journal at {SOCKET}: {error}"),
            )
            .hint("it needs systemd-journald; use --log-driver json-file or local elsewhere")
        })?;
        Ok(Self { socket, fields: fields(spec, plan)? })
    }

    /// A line that the journal does not accept is lost.
    pub(super) fn write(&mut self, stream: OutputStream, lines: &[&[u8]]) {
        // info and err of syslog(3), as docker's journald driver maps the two streams.
        let priority: &[u8] = if stream == OutputStream::Stdout { b"6" } else { b"3" };
        for line in lines {
            let mut message = self.fields.clone();
            field(&mut message, "PRIORITY", priority);
            field(&mut message, "MESSAGE", line.strip_suffix(b"\n").unwrap_or(line));
            let _ = self.socket.send(&message);
        }
    }
}

/// The fields of docker's journald driver.
fn fields(spec: &ContainerSpec, plan: &LogPlan) -> Result<Vec<u8>, Failure> {
    let mut extras = attributes::log_attributes(spec, plan)?;
    let short = spec.short_id().to_owned();
    let tag = extras.remove("tag").unwrap_or_else(|| short.clone());
    let mut fields = Vec::new();
    field(&mut fields, "CONTAINER_ID", short.as_bytes());
    field(&mut fields, "CONTAINER_ID_FULL", spec.id.as_bytes());
    field(&mut fields, "CONTAINER_NAME", spec.name.as_bytes());
    field(&mut fields, "CONTAINER_TAG", tag.as_bytes());
    field(&mut fields, "SYSLOG_IDENTIFIER", tag.as_bytes());
    if let Some(image) = &spec.image {
        field(&mut fields, "IMAGE_NAME", image.name.as_bytes());
    }
    for (name, value) in &extras {
        field(&mut fields, &field_name(name), value.as_bytes());
    }
    Ok(fields)
}

/// Journal fields consist of capitals, digits and underscores, and begin with a letter.
fn field_name(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = name.chars().map(keep).collect();
    name.trim_start_matches(|c: char| !c.is_ascii_alphabetic()).to_owned()
}

/// The binary form with an explicit length: a value may contain line feeds.
fn field(message: &mut Vec<u8>, name: &str, value: &[u8]) {
    if name.is_empty() {
        return;
    }
    message.extend_from_slice(name.as_bytes());
    message.push(b'\n');
    message.extend_from_slice(&(value.len() as u64).to_le_bytes());
    message.extend_from_slice(value);
    message.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_framed() {
        let mut message = Vec::new();
        field(&mut message, &field_name("_com.example"), b"a\nb");
        assert_eq!(message, b"COM_EXAMPLE\n\x03\0\0\0\0\0\0\0a\nb\n");
    }
}
