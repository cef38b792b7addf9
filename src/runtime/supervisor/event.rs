//! What a supervisor waits for.

use super::clients::ClientId;
use dhow_model::log::OutputStream;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SupervisorEvent {
    /// The container's first process has exited.
    Exited,
    /// The network helper is gone.
    HelperGone,
    Signal,
    /// A command connects to the control socket.
    Connection,
    /// A client sent a request, or is gone.
    Request(ClientId),
    /// A client has input for the container.
    ClientInput(ClientId),
    /// A client can take more output.
    ClientOutput(ClientId, OutputStream),
    /// The container can take more input.
    Input,
    Output(OutputStream),
    ProbeOutput,
    ProbeExited,
}
