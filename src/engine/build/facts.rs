//! Captures what a build can state about itself, for its provenance and for `--metadata-file`.

use std::collections::BTreeMap;

use super::bases::Bases;
use super::export::provenance::{Facts, Material};
use super::load::Loaded;
use super::request::BuildRequest;
use crate::build::plan::Plan;
use crate::engine::state::now;
use crate::sys::random;

/// Captures the provenance of one platform's image.
pub(super) fn facts(
    request: &BuildRequest,
    loaded: &Loaded,
    plan: &Plan,
    bases: &Bases,
    started: &str,
) -> Facts {
    let mut materials: Vec<Material> = Vec::new();
    for image in &plan.images {
        let Some(base) = bases.get(image) else { continue };
        if let Some((reference, digest)) = &base.material {
            let material = Material::image(reference, &image.platform, digest);
            if !materials.contains(&material) {
                materials.push(material);
            }
        }
    }
    if let Some((address, Some(commit))) = &loaded.origin {
        materials.push(Material::git(address, commit));
    }
    Facts {
        materials,
        source: loaded.origin.clone(),
        entry_point: loaded.definition.name.clone(),
        parameters: parameters(request),
        started: started.to_owned(),
        finished: now(),
        steps: Some(steps(plan)),
    }
}

fn parameters(request: &BuildRequest) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    if let Some(target) = &request.target {
        parameters.insert("target".into(), target.clone());
    }
    for (kind, pairs) in [("build-arg", &request.args), ("label", &request.labels)] {
        parameters.extend(pairs.iter().map(|(key, value)| (format!("{kind}:{key}"), value.clone())));
    }
    if request.no_cache {
        parameters.insert("no-cache".into(), String::new());
    }
    parameters
}

/// The steps by their titles, for `buildConfig`.
fn steps(plan: &Plan) -> serde_json::Value {
    let shown: Vec<&str> =
        plan.needed().flat_map(|(_, stage)| stage.steps.iter().map(|step| step.shown.as_str())).collect();
    serde_json::json!({ "steps": shown })
}

/// A new build reference as `buildx` forms it: `BUILDER/NODE/ID`.
pub(super) fn reference() -> String {
    let id = random::bytes::<16>().map(|bytes| crate::model::digest::hex(&bytes)).unwrap_or_default();
    let id: String = id.chars().take(25).collect();
    format!("default/default/{id}")
}
