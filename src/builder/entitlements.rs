//! What steps may do only if the user allows it (`--allow`). Checked for every step of a build before the first one
//! runs: also for those whose results are in the cache, as in BuildKit.

use crate::request::BuildRequest;
use dhow_build::plan::{BuildPlan, Op, RunNetwork, RunOp};
use dhow_error::{Failure, FailureKind};

/// Fails at the first step that needs what the request does not allow.
pub(crate) fn check_entitlements(plans: &[BuildPlan], request: &BuildRequest) -> Result<(), Failure> {
    for (_, stage) in plans.iter().flat_map(BuildPlan::needed) {
        for step in &stage.steps {
            if let Op::Run(run) = &step.op {
                check_run(run, request).map_err(|failure| failure.at(step.lines.clone()))?;
            }
        }
    }
    Ok(())
}

fn check_run(run: &RunOp, request: &BuildRequest) -> Result<(), Failure> {
    if run.insecure {
        check_allowed("security.insecure", request)?;
    }
    // The network of the whole build was chosen by the user, not by the Dockerfile.
    if run.network == RunNetwork::Host && request.network != "host" {
        check_allowed("network.host", request)?;
    }
    Ok(())
}

fn check_allowed(entitlement: &str, request: &BuildRequest) -> Result<(), Failure> {
    if request.allow.iter().any(|allowed| allowed == entitlement) {
        return Ok(());
    }
    Err(Failure::new(FailureKind::Denied, format!("{entitlement} is not allowed"))
        .hint(format!("if you trust this Dockerfile, build with `--allow {entitlement}`")))
}
