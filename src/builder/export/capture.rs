//! Captures what a build can state about itself, for its provenance and for `--metadata-file`.

use std::collections::BTreeMap;

use crate::export::provenance::{ProvenanceCapture, ProvenanceMaterial};
use crate::load::BuildSources;
use crate::prepare::base_images::BaseImages;
use crate::request::BuildRequest;
use dhow_build::plan::BuildPlan;
use dhow_runtime::state::now_rfc3339;
use dhow_sys::random;

/// Captures the provenance of one platform's image.
pub(crate) fn capture_provenance(
    request: &BuildRequest,
    loaded: &BuildSources,
    plan: &BuildPlan,
    bases: &BaseImages,
    started: &str,
) -> ProvenanceCapture {
    let mut materials: Vec<ProvenanceMaterial> = Vec::new();
    for image in &plan.images {
        let Some(base) = bases.get(image) else { continue };
        if let Some((reference, digest)) = &base.material {
            let material = ProvenanceMaterial::image(reference, &image.platform, digest);
            if !materials.contains(&material) {
                materials.push(material);
            }
        }
    }
    if let Some((address, Some(commit))) = &loaded.origin {
        materials.push(ProvenanceMaterial::git(address, commit));
    }
    ProvenanceCapture {
        materials,
        source: loaded.origin.clone(),
        entry_point: loaded.definition.name.clone(),
        parameters: parameters(request),
        started: started.to_owned(),
        finished: now_rfc3339(),
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
fn steps(plan: &BuildPlan) -> serde_json::Value {
    let titles: Vec<&str> =
        plan.needed().flat_map(|(_, stage)| stage.steps.iter().map(|step| step.shown.as_str())).collect();
    serde_json::json!({ "steps": titles })
}

/// A new build reference as `buildx` forms it: `BUILDER/NODE/ID`.
pub(crate) fn new_build_ref() -> String {
    let id = random::random_bytes::<16>().map(|bytes| dhow_model::digest::hex(&bytes)).unwrap_or_default();
    // The length of BuildKit's IDs.
    let id: String = id.chars().take(25).collect();
    format!("default/default/{id}")
}
