//! Reacts to events: output, input, signals, and requests of clients.

use std::os::fd::OwnedFd;

use anyhow::Result;

use super::ContainerSupervisor;
use super::clients::ClientId;
use super::container_run::{ContainerRun, stop_signal};
use super::event::SupervisorEvent;
use super::health::HealthMonitor;
use crate::control::protocol::{ControlReport, ControlRequest, StopOptions};
use crate::process::streams::{ReadBuffer, StreamRead};
use crate::state::HealthState;
use dhow_error::{Failure, FailureKind};
use dhow_model::log::OutputStream;

impl ContainerSupervisor {
    /// Handles one event. `run` is `None` between two runs.
    pub(crate) fn handle_event(
        &mut self,
        event: SupervisorEvent,
        run: Option<&mut ContainerRun>,
    ) -> Result<()> {
        match (event, run) {
            (SupervisorEvent::Signal, run) => self.handle_signals(run)?,
            (SupervisorEvent::HelperGone, _) => self.recover_network()?,
            (SupervisorEvent::Connection, _) => {
                if let Some(socket) =
                    self.control.as_ref().map(|control| control.accept()).transpose()?.flatten()
                {
                    self.clients.add(socket);
                }
            }
            (SupervisorEvent::Request(id), run) => self.receive_request(id, run)?,
            (SupervisorEvent::Output(stream), Some(run)) => self.copy_output(stream, run),
            (SupervisorEvent::ClientOutput(id, stream), _) => {
                if let Some(client) = self.clients.get(id) {
                    client.write(stream, &[]);
                }
            }
            (SupervisorEvent::ClientInput(id), Some(run)) => self.copy_input(id, run),
            (SupervisorEvent::Input, Some(run)) => run.process.streams.flush_input(),
            (SupervisorEvent::ProbeOutput, Some(run)) => run.health.iter_mut().for_each(HealthMonitor::read),
            (SupervisorEvent::ProbeExited, Some(run)) => {
                run.health.as_mut().map_or(Ok(()), HealthMonitor::take_result)?;
                self.record_health(run)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Records what the health checks found.
    pub(crate) fn record_health(&mut self, run: &ContainerRun) -> Result<()> {
        let health = run.health.as_ref().map(|checks| checks.health().clone());
        let status = |health: &Option<HealthState>| health.as_ref().map(|health| health.status.clone());
        if let Some(new) = status(&health).filter(|new| Some(new) != status(&self.state.health).as_ref()) {
            self.record_event(&format!("health_status: {new}"), &[]);
        }
        self.state.health = health;
        self.container.write_state(&self.state)
    }

    /// Logs output and copies it to attached clients.
    pub(crate) fn deliver_output(&mut self, stream: OutputStream, bytes: &[u8]) {
        if let Some(log) = &mut self.log {
            log.write(stream, bytes);
        }
        self.clients.write(stream, bytes);
    }

    fn copy_output(&mut self, stream: OutputStream, run: &mut ContainerRun) {
        let mut buffer = ReadBuffer::default();
        if let StreamRead::Bytes(bytes) = run.process.streams.read(stream, &mut buffer) {
            self.deliver_output(stream, bytes);
        }
    }

    fn copy_input(&mut self, id: ClientId, run: &mut ContainerRun) {
        let Some(client) = self.clients.get(id) else { return };
        let mut buffer = [0; 4096];
        match client.read_input(&mut buffer) {
            Some(length) => run.process.streams.write_input(buffer.get(..length).unwrap_or_default()),
            None => self.input_ended(run),
        }
    }

    fn input_ended(&self, run: &mut ContainerRun) {
        if self.container.spec().process.stdin_once {
            run.process.streams.close_input();
        }
    }

    /// Forwards signals to the container. SIGTERM also means that it is not to be restarted.
    fn handle_signals(&mut self, run: Option<&mut ContainerRun>) -> Result<()> {
        while let Some(signal) = self.signals.next()? {
            if signal == libc::SIGTERM {
                self.intent.no_restart = true;
            }
            // SIGCHLD is about the supervisor's own children, SIGPIPE about its own writes.
            if let (Some(run), false) = (&run, signal == libc::SIGCHLD || signal == libc::SIGPIPE) {
                run.signal(signal)?;
            }
        }
        Ok(())
    }

    fn receive_request(&mut self, id: ClientId, run: Option<&mut ContainerRun>) -> Result<()> {
        let request = self.clients.get(id).map(|client| client.socket().receive_request());
        match request {
            Some(Ok(Some((request, fds)))) => self.dispatch_request(id, request, fds, run),
            Some(Ok(None) | Err(_)) => self.on_disconnect(id, run),
            None => Ok(()),
        }
    }

    /// A client is gone, possibly killed.
    fn on_disconnect(&mut self, id: ClientId, run: Option<&mut ContainerRun>) -> Result<()> {
        let Some(client) = self.clients.remove(id) else { return Ok(()) };
        let Some(run) = run else { return Ok(()) };
        if client.input().is_some() {
            self.input_ended(run);
        }
        if let Some(owner) = &client.owner {
            if let Some((terminal, saved)) = &owner.terminal {
                let _ = saved.restore(std::os::fd::AsFd::as_fd(terminal));
            }
            // The command was killed while attached to an `--rm` container: nothing of the job may stay
            // behind.
            if self.container.spec().auto_remove {
                run.signal(libc::SIGKILL)?;
            }
        }
        Ok(())
    }

    fn dispatch_request(
        &mut self,
        id: ClientId,
        request: ControlRequest,
        fds: Vec<OwnedFd>,
        run: Option<&mut ContainerRun>,
    ) -> Result<()> {
        match (request, run) {
            // Forgotten, so that a later exit of the command does not look as if it had been killed.
            (ControlRequest::Detach, _) => drop(self.clients.remove(id)),
            (ControlRequest::Signal(signal), Some(run)) => run.signal(signal)?,
            (ControlRequest::Resize(rows, columns), Some(run)) => run.process.streams.resize(rows, columns),
            // Too late, and nobody waits for an answer.
            (ControlRequest::Signal(_) | ControlRequest::Resize(..), None) => {}
            (ControlRequest::Wait, _) => self.await_end(id),
            (ControlRequest::Stop(options), run) => {
                self.await_end(id);
                self.intent.stopped_by_user = true;
                run.map_or(Ok(()), |run| self.stop_run(run, options))?;
            }
            (ControlRequest::Restart(options), run) => {
                if let Some(client) = self.clients.get(id) {
                    client.awaits_start = true;
                }
                self.intent.restart_now = true;
                run.map_or(Ok(()), |run| self.stop_run(run, options))?;
            }
            (ControlRequest::Reload, None) => {
                // It takes effect with the next start.
                let result = self.container.reload();
                self.reply(id, result.map(|()| ControlReport::Done));
            }
            (ControlRequest::Connect(attachment), None) => {
                let result = self.join_network_next_run(&attachment);
                self.reply(id, result.map(|()| ControlReport::Done));
            }
            (ControlRequest::Disconnect { network, .. }, None) => {
                let result = self.leave_network_next_run(&network);
                self.reply(id, result.map(|()| ControlReport::Done));
            }
            (request, Some(run)) => {
                let result = self.handle_while_running(id, request, fds, run);
                self.reply(id, result);
            }
            (_, None) => self.reply(id, Err(self.is_restarting().into())),
        }
        Ok(())
    }

    /// Handles requests that need a running container.
    fn handle_while_running(
        &mut self,
        id: ClientId,
        request: ControlRequest,
        fds: Vec<OwnedFd>,
        run: &mut ContainerRun,
    ) -> Result<ControlReport> {
        match request {
            ControlRequest::Attach(streams) => {
                self.attach(id, streams, fds)?;
                return Ok(ControlReport::Started);
            }
            ControlRequest::Kill(signal) => {
                // SIGKILL and the stop signal count as stopping by hand, as with docker: the policy must not
                // restart it.
                if signal == libc::SIGKILL || signal == stop_signal(self.container.spec()) {
                    self.intent.stopped_by_user = true;
                }
                self.record_event("kill", &[("signal", &signal.to_string())]);
                run.signal(signal)?;
            }
            ControlRequest::Pause => self.pause(run)?,
            ControlRequest::Unpause => self.unpause(run)?,
            ControlRequest::Connect(ref attachment) => self.join_network(attachment, run)?,
            ControlRequest::Disconnect { ref network, .. } => self.leave_network(network, run)?,
            _ => self.apply_changed_spec(run)?,
        }
        Ok(ControlReport::Done)
    }

    fn reply(&mut self, id: ClientId, result: Result<ControlReport>) {
        if let Some(client) = self.clients.get(id) {
            client.socket().send_report(
                &result.unwrap_or_else(|error| ControlReport::Failed(Failure::from_chain(&error))),
            );
        }
    }

    fn await_end(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get(id) {
            client.awaits_end = true;
        }
    }

    fn is_restarting(&self) -> Failure {
        let name = &self.container.spec().name;
        Failure::new(
            FailureKind::Conflict,
            format!("Container {name} is restarting, wait until the container is running"),
        )
    }

    fn attach(&mut self, id: ClientId, streams: [bool; 3], fds: Vec<OwnedFd>) -> Result<()> {
        let name = self.container.spec().name.clone();
        if self.log.is_none() {
            return Err(Failure::new(
                FailureKind::Unsupported,
                format!("cannot attach to {name}: its output goes straight to the command that runs it"),
            )
            .hint("containers that run attached with --rm and without a terminal keep no log; run them with -d, or with --log-driver json-file")
            .into());
        }
        if self.state.paused {
            let message = "You cannot attach to a paused container, unpause it first";
            return Err(Failure::new(FailureKind::Conflict, message).into());
        }
        let mut fds = fds.into_iter();
        let ends = streams.map(|enabled| if enabled { fds.next() } else { None });
        if let Some(client) = self.clients.get(id) {
            client.attach(ends);
        }
        self.record_event("attach", &[]);
        Ok(())
    }

    /// A paused container could not exit, so it is unpaused once the signal is pending.
    fn stop_run(&mut self, run: &mut ContainerRun, options: StopOptions) -> Result<()> {
        let signal = options.signal.unwrap_or_else(|| stop_signal(self.container.spec()));
        self.intent.stop_requested = true;
        self.record_event("kill", &[("signal", &signal.to_string())]);
        run.stop(self.container.spec(), options)?;
        if self.state.paused { self.unpause(run) } else { Ok(()) }
    }
}
