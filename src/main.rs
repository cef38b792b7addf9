//! dhow, a daemonless and rootless container engine.
//!
//! # Crates
//!
//! Each folder of `src` is a crate and a layer. A layer imports only what its `Cargo.toml` names, and those are all
//! below it:
//!
//! ```text
//! cli        clap, standard output, environment, exit codes: cmd/<noun>/<verb>, flags, frame, output
//! engine     use cases, <noun>/<verb>, with the nouns and verbs of cli/cmd
//! builder    solves a build: sources, solver, steps, exporters, remote caches, bake
//! runtime    one container's life, whoever asked for it: create, plan, spawn, supervise, control, recover, remove
//! image      OCI content in and out: registries, archives, unpacking, packing             │ do not
//! build      Dockerfile text into a graph of operations and their cache keys              │ know each
//! sandbox    a resolved plan into processes: namespaces, root file system, confinement    │ other
//! network    gateways, datapath, name service, and the helper process that runs them      │ (image uses
//! store      the only writer below the data root                                          │ store)
//! model      plain values: parse, Display, serde; no I/O
//! error      the kind of a failure, hints, exit codes
//! sys        one file per kernel facility; the only `unsafe`
//! ```
//!
//! `testing` is a dev-dependency only. The runtime knows neither images nor builds; the builder and the engine both stand
//! on the runtime and do not know each other.
//!
//! # Glossary
//!
//! - **identity mode**: *mapped* with subordinate ids, *single* without. Single mode emulates root with a seccomp filter.
//! - **spec**: what was asked of a container (`ContainerSpec`); stored. **Plan**: what the sandbox will do
//!   (`SandboxPlan`); made by the command that starts it, before it forks the supervisor.
//! - **supervisor**: the process that owns a running container. It holds the container's lock, and that is what
//!   "running" means.
//! - **helper**: the one process per user that runs the networks. **Lease**: a container's connection to it.
//!   (Layers and addresses are leased too: as long as a lease is held they are not removed or given away.)
//!   **Gateway**: a network namespace per network, with its bridge and rules. **Backend**: a method to carry a network's
//!   traffic; opened, it is a **datapath** between the gateway and the host's sockets.
//! - **parent user namespace**: the one that the helper holds; containers with networks are nested in it.
//! - **first process**: a container's PID 1. An **intermediate process** enters the parent user namespace and clones it.
//! - **layer**: an unpacked directory named by its diff-id. **Draft**: a layer that is not complete. **Tar-split**: the
//!   tar stream of a layer without the contents, from which `save` and `push` write the identical bytes.
//! - **upper**: the writable directory of a container, which `commit` and a RUN step turn into a layer.
//! - **op**, **solver**, **cache key**, **frontend**: as in BuildKit.

fn main() -> std::process::ExitCode {
    dhow_cli::main()
}
