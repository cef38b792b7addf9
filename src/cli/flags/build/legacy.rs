//! Flags of docker's legacy builder. Limits apply to RUN steps; the others only print BuildKit's warning that
//! they have no effect.

use clap::Args;

use crate::frame::command::CommandContext;
use crate::frame::report;
use dhow_error::{Failure, invalid, unsupported};
use dhow_model::bytes;
use dhow_model::limits::{LimitsSpec, parse_swap};

/// What only the legacy builder honoured, and limits.
#[derive(Args)]
pub(crate) struct LegacyBuildFlags {
    /// Compress the context on its way: there is no way
    #[arg(long, hide = true)]
    compress: bool,
    /// Microseconds of a period of the processor scheduler, for RUN steps
    #[arg(long, value_name = "MICROSECONDS", default_value = "0", hide_default_value = true)]
    cpu_period: u64,
    /// Microseconds of processor time in each period, for RUN steps
    #[arg(long, value_name = "MICROSECONDS", default_value = "0", hide_default_value = true)]
    cpu_quota: i64,
    /// Weight of processor time against others, for RUN steps, 1024 being the usual one
    #[arg(short, long, value_name = "WEIGHT", default_value = "0", hide_default_value = true)]
    cpu_shares: i64,
    /// Processors that RUN steps may use, as in 0-2,4
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    cpuset_cpus: String,
    /// Memory nodes that RUN steps may use, as in 0,1
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    cpuset_mems: String,
    /// Do not verify signatures; dhow has no Notary client, so nothing else is possible
    #[arg(long, default_value = "true", hide = true)]
    disable_content_trust: bool,
    /// Remove what steps leave even when they fail
    #[arg(long, hide = true)]
    force_rm: bool,
    /// How containers are kept apart: `default`
    #[arg(long, value_name = "KIND", default_value = "", hide = true)]
    isolation: String,
    /// Memory of RUN steps
    #[arg(short, long, value_name = "SIZE", value_parser = bytes::parse)]
    memory: Option<u64>,
    /// Memory and swap space of RUN steps together, or -1 for as much swap space as there is
    #[arg(long, value_name = "SIZE", value_parser = parse_swap)]
    memory_swap: Option<i64>,
    /// Remove what steps leave when they succeed, which is always done
    #[arg(long, default_value = "true", hide = true)]
    rm: bool,
    /// Security of RUN steps: that is said with `RUN --security`
    #[arg(long, value_name = "OPTION", hide = true)]
    security_opt: Vec<String>,
    /// Make one layer of all new ones
    #[arg(long, hide = true)]
    squash: bool,
}

impl LegacyBuildFlags {
    /// The limits of RUN steps. Warns about flags without effect.
    pub(super) fn limits(&self, context: &CommandContext) -> Result<LimitsSpec, Failure> {
        // `=false` asks for verification, and must not be ignored.
        if !self.disable_content_trust {
            return Err(unsupported("signatures of Docker Content Trust cannot be verified by dhow"));
        }
        self.warnings().into_iter().for_each(|text| report::warn(context, text));
        let cpu_shares = u64::try_from(self.cpu_shares).map_err(|_| {
            invalid(format!("invalid CPU shares ({}): value must be a positive integer", self.cpu_shares))
        })?;
        let mut limits = LimitsSpec {
            memory: self.memory.unwrap_or_default(),
            memory_swap: self.memory_swap.unwrap_or_default(),
            cpu_period: self.cpu_period,
            cpu_quota: self.cpu_quota,
            cpu_shares,
            cpuset_cpus: self.cpuset_cpus.clone(),
            cpuset_mems: self.cpuset_mems.clone(),
            ..LimitsSpec::default()
        };
        limits.check()?;
        limits.complete();
        Ok(limits)
    }

    fn warnings(&self) -> Vec<&'static str> {
        // `default` is what BuildKit does anyway.
        let isolated = !self.isolation.is_empty() && self.isolation != "default";
        let warnings = [
            (self.compress, "compress flag is ignored: the context is read where it lies."),
            (
                self.force_rm,
                "force-rm flag is ignored: what a failed step leaves is kept for --resume, and goes with `builder prune`.",
            ),
            (isolated, "isolation flag is deprecated with BuildKit."),
            (!self.rm, "rm flag is ignored: there are no intermediate containers to keep."),
            (
                !self.security_opt.is_empty(),
                "security-opt flag is deprecated. \"RUN --security=insecure\" should be used with BuildKit.",
            ),
            (
                self.squash,
                "experimental flag squash is removed with BuildKit. You should squash inside build using a multi-stage Dockerfile for efficiency.",
            ),
        ];
        warnings.into_iter().filter(|(given, _)| *given).map(|(_, text)| text).collect()
    }
}
