//! Reacts to events: output, input, signals, and requests of clients.

use std::os::fd::OwnedFd;

use anyhow::Result;

use super::Supervision;
use super::clients::Id;
use super::events::Event;
use super::health::Checks;
use super::run::{Run, stop_signal};
use super::streams::{Buffer, Got};
use crate::engine::attach::wire::{Ending, Order, Report};
use crate::engine::state::Health;
use crate::error::{Failure, Kind};
use crate::model::log::Stream;

impl Supervision {
    /// Handles one event. `run` is `None` between two runs.
    pub(super) fn serve_event(&mut self, event: Event, run: Option<&mut Run>) -> Result<()> {
        match (event, run) {
            (Event::Signal, run) => self.pass_signals(run)?,
            (Event::Network, _) => self.recover_network()?,
            (Event::Connection, _) => {
                if let Some(socket) =
                    self.control.as_ref().map(|control| control.accept()).transpose()?.flatten()
                {
                    self.clients.add(socket);
                }
            }
            (Event::Order(id), run) => self.take_order(id, run)?,
            (Event::Output(stream), Some(run)) => self.copy_output(stream, run),
            (Event::ClientOutput(id, stream), _) => {
                if let Some(client) = self.clients.get(id) {
                    client.write(stream, &[]);
                }
            }
            (Event::ClientInput(id), Some(run)) => self.copy_input(id, run),
            (Event::Input, Some(run)) => run.streams.flush_input(),
            (Event::CheckOutput, Some(run)) => run.checks.iter_mut().for_each(Checks::read),
            (Event::CheckEnded, Some(run)) => {
                run.checks.as_mut().map_or(Ok(()), Checks::take_result)?;
                self.note_health(run)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Records what the health checks found.
    pub(super) fn note_health(&mut self, run: &Run) -> Result<()> {
        let health = run.checks.as_ref().map(|checks| checks.health().clone());
        let status = |health: &Option<Health>| health.as_ref().map(|health| health.status.clone());
        if let Some(new) = status(&health).filter(|new| Some(new) != status(&self.state.health).as_ref()) {
            self.tell(&format!("health_status: {new}"), &[]);
        }
        self.state.health = health;
        self.container.write_state(&self.state)
    }

    /// Logs output and copies it to attached clients.
    pub(super) fn take_output(&mut self, stream: Stream, bytes: &[u8]) {
        if let Some(log) = &mut self.log {
            log.write(stream, bytes);
        }
        self.clients.write(stream, bytes);
    }

    fn copy_output(&mut self, stream: Stream, run: &mut Run) {
        let mut buffer = Buffer::new();
        if let Got::Bytes(bytes) = run.streams.read(stream, &mut buffer) {
            self.take_output(stream, bytes);
        }
    }

    fn copy_input(&mut self, id: Id, run: &mut Run) {
        let Some(client) = self.clients.get(id) else { return };
        let mut buffer = [0; 4096];
        match client.read_input(&mut buffer) {
            Some(length) => run.streams.write_input(buffer.get(..length).unwrap_or_default()),
            None => self.input_ended(run),
        }
    }

    fn input_ended(&self, run: &mut Run) {
        if self.container.spec().process.stdin_once {
            run.streams.close_input();
        }
    }

    /// Forwards signals to the container. SIGTERM also means that it is not to be restarted.
    fn pass_signals(&mut self, run: Option<&mut Run>) -> Result<()> {
        while let Some(signal) = self.signals.next()? {
            if signal == libc::SIGTERM {
                self.intent.quit = true;
            }
            // SIGCHLD is about the supervisor's own children, SIGPIPE about its own writes.
            if let (Some(run), false) = (&run, signal == libc::SIGCHLD || signal == libc::SIGPIPE) {
                run.signal(signal)?;
            }
        }
        Ok(())
    }

    fn take_order(&mut self, id: Id, run: Option<&mut Run>) -> Result<()> {
        let order = self.clients.get(id).map(|client| client.socket().order());
        match order {
            Some(Ok(Some((order, fds)))) => self.obey(id, order, fds, run),
            Some(Ok(None) | Err(_)) => self.lose(id, run),
            None => Ok(()),
        }
    }

    /// A client is gone, possibly killed.
    fn lose(&mut self, id: Id, run: Option<&mut Run>) -> Result<()> {
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

    fn obey(&mut self, id: Id, order: Order, fds: Vec<OwnedFd>, run: Option<&mut Run>) -> Result<()> {
        match (order, run) {
            // Forgotten, so that a later exit of the command does not look as if it had been killed.
            (Order::Detach, _) => drop(self.clients.remove(id)),
            (Order::Signal(signal), Some(run)) => run.signal(signal)?,
            (Order::Resize(rows, columns), Some(run)) => run.streams.resize(rows, columns),
            // Too late, and nobody waits for an answer.
            (Order::Signal(_) | Order::Resize(..), None) => {}
            (Order::Wait, _) => self.await_end(id),
            (Order::Stop(ending), run) => {
                self.await_end(id);
                self.intent.stop = true;
                run.map_or(Ok(()), |run| self.end(run, ending))?;
            }
            (Order::Restart(ending), run) => {
                if let Some(client) = self.clients.get(id) {
                    client.awaits_start = true;
                }
                self.intent.again = true;
                run.map_or(Ok(()), |run| self.end(run, ending))?;
            }
            (Order::Reload, None) => {
                // It takes effect with the next start.
                let done = self.container.reload();
                self.answer(id, done.map(|()| Report::Done));
            }
            (Order::Connect(attachment), None) => {
                let done = self.join_network_later(&attachment);
                self.answer(id, done.map(|()| Report::Done));
            }
            (Order::Disconnect { network, .. }, None) => {
                let done = self.leave_network_later(&network);
                self.answer(id, done.map(|()| Report::Done));
            }
            (order, Some(run)) => {
                let done = self.carry_out(id, order, fds, run);
                self.answer(id, done);
            }
            (_, None) => self.answer(id, Err(self.is_restarting().into())),
        }
        Ok(())
    }

    /// Handles requests that need a running container.
    fn carry_out(&mut self, id: Id, order: Order, fds: Vec<OwnedFd>, run: &mut Run) -> Result<Report> {
        match order {
            Order::Attach(wanted) => {
                self.attach(id, wanted, fds)?;
                return Ok(Report::Started);
            }
            Order::Kill(signal) => {
                // SIGKILL and the stop signal count as stopping by hand, as with docker: the policy must not
                // restart it.
                if signal == libc::SIGKILL || signal == stop_signal(self.container.spec()) {
                    self.intent.stop = true;
                }
                self.tell("kill", &[("signal", &signal.to_string())]);
                run.signal(signal)?;
            }
            Order::Pause => self.pause(run)?,
            Order::Unpause => self.unpause(run)?,
            Order::Connect(ref attachment) => self.join_network(attachment, run)?,
            Order::Disconnect { ref network, .. } => self.leave_network(network, run)?,
            _ => self.reload(run)?,
        }
        Ok(Report::Done)
    }

    fn answer(&mut self, id: Id, done: Result<Report>) {
        if let Some(client) = self.clients.get(id) {
            client.socket().report(&done.unwrap_or_else(|error| Report::Failed(Failure::of(&error))));
        }
    }

    fn await_end(&mut self, id: Id) {
        if let Some(client) = self.clients.get(id) {
            client.awaits_end = true;
        }
    }

    fn is_restarting(&self) -> Failure {
        let name = &self.container.spec().name;
        Failure::new(
            Kind::Conflict,
            format!("Container {name} is restarting, wait until the container is running"),
        )
    }

    fn attach(&mut self, id: Id, wanted: [bool; 3], fds: Vec<OwnedFd>) -> Result<()> {
        let name = self.container.spec().name.clone();
        if self.log.is_none() {
            return Err(Failure::new(
                Kind::Unsupported,
                format!("cannot attach to {name}: its output goes straight to the command that runs it"),
            )
            .hint("containers that run attached with --rm and without a terminal keep no log; run them with -d, or with --log-driver json-file")
            .into());
        }
        if self.state.paused {
            let message = "You cannot attach to a paused container, unpause it first";
            return Err(Failure::new(Kind::Conflict, message).into());
        }
        let mut fds = fds.into_iter();
        let ends = wanted.map(|wanted| if wanted { fds.next() } else { None });
        if let Some(client) = self.clients.get(id) {
            client.attach(ends);
        }
        self.tell("attach", &[]);
        Ok(())
    }

    /// A paused container could not exit, so it is unpaused once the signal is pending.
    fn end(&mut self, run: &mut Run, ending: Ending) -> Result<()> {
        let signal = ending.signal.unwrap_or_else(|| stop_signal(self.container.spec()));
        self.intent.end = true;
        self.tell("kill", &[("signal", &signal.to_string())]);
        run.end(self.container.spec(), ending)?;
        if self.state.paused { self.unpause(run) } else { Ok(()) }
    }
}
