//! `info`: show what dhow found on this host, in docker's fields as far as they apply.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use super::version;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use crate::output::template::Template;
use dhow_engine::system::info::{self, SystemInfo};
use dhow_model::bytes;
use dhow_model::environment::Environment;
use dhow_model::log::LogDriver;
use dhow_runtime::userns;
use dhow_sandbox::cgroup::CgroupController;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<SystemInfoArgs>(
    &["system info", "info"],
    "[OPTIONS]",
    "Show what dhow found on this machine, and what is missing",
);

/// Arguments of `info`.
#[derive(Args)]
struct SystemInfoArgs {
    /// Print with a Go template, or `json`
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
}

impl CommandArgs for SystemInfoArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        let environment = environment::all();
        let info = info::info(&store, &userns::probe_identity(&environment), &environment)?;
        let root = store.root().display().to_string();
        match self.format.as_deref() {
            None | Some("") => output::print(&info_text(&info, &root, context))?,
            Some("json") => {
                output::print_line(&template_data(&info, &root, context, &environment).to_string())?
            }
            Some(template) => {
                let data = template_data(&info, &root, context, &environment);
                output::print_line(&Template::parse(template)?.render(&data)?)?;
            }
        }
        Ok(0)
    }
}

fn identity_mode(info: &SystemInfo) -> &'static str {
    if info.single_because.is_some() { "single" } else { "mapped" }
}

fn info_text(info: &SystemInfo, root: &str, context: &CommandContext) -> String {
    let mut text =
        format!("Client:\n Version:    {}\n Context:    default\n", version::reported_version(context));
    text += &format!(" Debug Mode: {}\n\nServer:\n", context.globals.debug);
    let mut line = |name: &str, value: &str| text += &format!(" {name}: {value}\n");
    line("Containers", &(info.running + info.paused + info.stopped).to_string());
    line(" Running", &info.running.to_string());
    line(" Paused", &info.paused.to_string());
    line(" Stopped", &info.stopped.to_string());
    line("Images", &info.images.to_string());
    line("Server Version", version::reported_version(context));
    line("Storage Driver", "overlay");
    line(" Backing Filesystem", &info.backing_file_system);
    line("Identity", identity_mode(info));
    line("Logging Driver", LogDriver::JsonFile.name());
    line("Plugins", "");
    line(" Volume", "local");
    line(" Network", &network_drivers(info).join(" "));
    line(" Log", &log_drivers().join(" "));
    line("Network", &info.network.backend.map_or_else(|| "none".to_owned(), |backend| backend.to_string()));
    for (backend, reason) in &info.network.refused {
        line(&format!(" Not {backend}"), reason);
    }
    line(" Ping", if info.network.ping { "true" } else { "false" });
    line("Cgroup Driver", info.cgroup_driver);
    line("Cgroup Version", &info.cgroups.to_string());
    line("Security Options", "seccomp (builtin), rootless, cgroupns");
    line("Kernel Version", &info.kernel);
    line("Operating System", &info.system);
    line("OSType", "linux");
    line("Architecture", &info.machine);
    line("CPUs", &info.processors.to_string());
    line("Total Memory", &bytes::binary(info.memory));
    line("Name", &info.host);
    line("Docker Root Dir", root);
    for warning in &info.warnings {
        text += &format!("WARNING: {warning}\n");
    }
    text
}

fn log_drivers() -> [&'static str; 4] {
    [LogDriver::JsonFile, LogDriver::Local, LogDriver::Journald, LogDriver::None].map(LogDriver::name)
}

fn network_drivers(info: &SystemInfo) -> &'static [&'static str] {
    if info.network.backend.is_some() { &["bridge", "host", "none"] } else { &["host", "none"] }
}

fn template_data(
    info: &SystemInfo,
    root: &str,
    context: &CommandContext,
    environment: &Environment,
) -> Value {
    // Both spellings are in use; as in Go, upper case wins.
    let proxy = |name: &str| {
        environment
            .text(name)
            .or_else(|| environment.text(&name.to_lowercase()))
            .unwrap_or_default()
            .to_owned()
    };
    let has = |controller: CgroupController| info.controllers.has(controller);
    let refused: BTreeMap<_, _> =
        info.network.refused.iter().map(|(backend, reason)| (backend.to_string(), reason)).collect();
    let mut data = json!({
        "Containers": info.running + info.paused + info.stopped, "ContainersRunning": info.running,
        "ContainersPaused": info.paused,
        "ContainersStopped": info.stopped, "Images": info.images,
        "Driver": "overlay", "DriverStatus": [["Backing Filesystem", info.backing_file_system]],
        "Plugins": {"Volume": ["local"], "Network": network_drivers(info), "Authorization": null, "Log": log_drivers()},
        "Identity": identity_mode(info), "IdentityReason": info.single_because,
        "LoggingDriver": LogDriver::JsonFile.name(), "CgroupDriver": info.cgroup_driver, "CgroupVersion": info.cgroups.to_string(),
        // docker names these after cgroup v1, where each was a feature of its own.
        "MemoryLimit": has(CgroupController::Memory), "SwapLimit": has(CgroupController::Memory), "CpuCfsPeriod": has(CgroupController::Cpu),
        "CpuCfsQuota": has(CgroupController::Cpu), "CPUShares": has(CgroupController::Cpu),
        "CPUSet": has(CgroupController::Cpuset), "PidsLimit": has(CgroupController::Pids), "OomKillDisable": false,
        "IPv4Forwarding": info.network.backend.is_some(),
        "NetworkWay": info.network.backend, "NetworkRefused": refused, "Ping": info.network.ping,
        "Debug": context.globals.debug, "NEventsListener": 0,
    });
    // In two parts, because one `json!` of so many fields exceeds the recursion limit of macros.
    let machine = json!({
        "KernelVersion": info.kernel, "OperatingSystem": info.system, "OSVersion": info.system_version,
        "OSType": "linux", "Architecture": info.machine, "NCPU": info.processors, "MemTotal": info.memory,
        "Name": info.host, "DockerRootDir": root, "IndexServerAddress": "https://index.docker.io/v1/",
        "HttpProxy": proxy("HTTP_PROXY"), "HttpsProxy": proxy("HTTPS_PROXY"), "NoProxy": proxy("NO_PROXY"),
        "Labels": [], "ExperimentalBuild": false, "ServerVersion": version::reported_version(context), "InitBinary": "dhow",
        "DefaultRuntime": "dhow", "Runtimes": {"dhow": {"path": "dhow"}},
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"],
        "Warnings": info.warnings, "ServerErrors": [],
        "ClientInfo": {"Debug": context.globals.debug, "Version": version::reported_version(context), "Context": "default", "Plugins": [], "Warnings": null},
    });
    if let (Some(data), Value::Object(machine)) = (data.as_object_mut(), machine) {
        data.extend(machine);
    }
    data
}
