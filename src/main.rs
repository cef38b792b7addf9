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
//! `testing` is a dev-dependency only. The runtime knows neither images nor builds; the builder and the engine stand
//! beside each other on the runtime.

fn main() -> std::process::ExitCode {
    dhow_cli::main()
}
