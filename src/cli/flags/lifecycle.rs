//! Flags for restart policies, health checks and logs.

use clap::Args;

use super::pairs::parse_pairs;
use dhow_error::{Failure, invalid};
use dhow_model::container::ContainerSpec;
use dhow_model::duration;
use dhow_model::health::HealthSpec;
use dhow_model::restart::RestartPolicy;

/// Restarts, health, log.
#[derive(Args)]
pub(crate) struct LifecycleFlags {
    /// When to start it again: `no`, `on-failure[:MAX]`, `always`, `unless-stopped`
    #[arg(long, value_name = "POLICY", default_value = "no")]
    restart: RestartPolicy,
    /// Command that checks its health
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,
    /// Time between checks
    #[arg(long, value_name = "SPAN", value_parser = parse_health_span)]
    health_interval: Option<i64>,
    /// Failures in a row that make it unhealthy
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(0..))]
    health_retries: Option<i64>,
    /// Time between checks while it starts up
    #[arg(long, value_name = "SPAN", value_parser = parse_health_span)]
    health_start_interval: Option<i64>,
    /// Time for it to start up, in which failures do not count
    #[arg(long, value_name = "SPAN", value_parser = parse_health_span)]
    health_start_period: Option<i64>,
    /// Time that a check may take
    #[arg(long, value_name = "SPAN", value_parser = parse_health_span)]
    health_timeout: Option<i64>,
    /// Ignore the image's health check
    #[arg(long)]
    no_healthcheck: bool,
    /// Where its output is kept: `json-file`, `local`, `journald`, `none`
    #[arg(long, value_name = "DRIVER")]
    log_driver: Option<String>,
    /// Option of the log driver, NAME=VALUE
    #[arg(long, value_name = "OPTION")]
    log_opt: Vec<String>,
}

impl LifecycleFlags {
    pub(crate) fn fill(self, spec: &mut ContainerSpec) -> anyhow::Result<()> {
        if spec.auto_remove && self.restart != RestartPolicy::No {
            return Err(invalid("conflicting options: cannot specify both --restart and --rm").into());
        }
        spec.restart = self.restart;
        spec.log.driver = self.log_driver.clone().unwrap_or_default();
        spec.log.options.extend(parse_pairs(&self.log_opt, "log option")?);
        // Only to check the driver and its options.
        spec.log.plan()?;
        spec.health = self.health()?;
        Ok(())
    }

    fn health(self) -> Result<HealthSpec, Failure> {
        let health = HealthSpec {
            test: self.health_cmd.map(|command| vec!["CMD-SHELL".into(), command]).unwrap_or_default(),
            interval: self.health_interval.unwrap_or_default(),
            timeout: self.health_timeout.unwrap_or_default(),
            start_period: self.health_start_period.unwrap_or_default(),
            start_interval: self.health_start_interval.unwrap_or_default(),
            retries: self.health_retries.unwrap_or_default(),
        };
        match (self.no_healthcheck, health.is_empty()) {
            (false, _) => Ok(health),
            (true, true) => Ok(HealthSpec::none()),
            (true, false) => Err(invalid("--no-healthcheck conflicts with --health-* options")),
        }
    }
}

/// Parses a time in nanoseconds; health checks more often than every millisecond are refused, as in docker.
fn parse_health_span(text: &str) -> Result<i64, String> {
    let span = duration::parse(text).map_err(|why| why.to_string())?;
    match i64::try_from(span.as_nanos()) {
        // 0 means the image's value or docker's default.
        Ok(0) => Ok(0),
        Ok(nanoseconds @ 1_000_000..) => Ok(nanoseconds),
        Ok(_) => Err("a span of at least 1ms is expected".into()),
        Err(_) => Err("that is too long".into()),
    }
}
