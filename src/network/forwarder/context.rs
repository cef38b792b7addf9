//! What the forwarders of all protocols share.

use std::sync::Arc;

use super::ForwarderSettings;
use super::writer::PacketWriter;
use crate::policy::FlowPolicy;

#[derive(Clone)]
pub(super) struct ForwarderContext {
    pub(super) writer: Arc<PacketWriter>,
    pub(super) policy: Arc<dyn FlowPolicy>,
    pub(super) settings: Arc<ForwarderSettings>,
}
