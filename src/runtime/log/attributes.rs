//! Attributes that accompany each log line: labels, environment variables and the tag.

use std::collections::BTreeMap;

use dhow_error::{Failure, unsupported};
use dhow_model::container::ContainerSpec;
use dhow_model::log::LogPlan;

/// The labels and variables that the log options select, and the expanded tag.
pub(crate) fn log_attributes(
    spec: &ContainerSpec,
    plan: &LogPlan,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut extras = BTreeMap::new();
    for name in &plan.labels {
        if let Some(value) = spec.labels.get(name) {
            extras.insert(name.clone(), value.clone());
        }
    }
    for name in &plan.env {
        // Later entries of the environment override earlier ones.
        let variables = spec.process.env.iter().rev().filter_map(|entry| entry.split_once('='));
        if let Some((_, value)) = variables.into_iter().find(|(known, _)| known == name) {
            extras.insert(name.clone(), value.to_owned());
        }
    }
    if let Some(tag) = &plan.tag {
        extras.insert("tag".into(), expand_tag(tag, spec)?);
    }
    Ok(extras)
}

/// As the JSON value of `attrs` in a log line; `None` if there are no attributes.
pub(crate) fn json_attributes(spec: &ContainerSpec, plan: &LogPlan) -> Result<Option<String>, Failure> {
    let extras = log_attributes(spec, plan)?;
    Ok((!extras.is_empty()).then(|| serde_json::to_string(&extras).unwrap_or_default()))
}

/// Expands docker's placeholders in a log tag.
fn expand_tag(template: &str, spec: &ContainerSpec) -> Result<String, Failure> {
    let image = spec.image.as_ref();
    let image_id = image.map(|image| image.id.to_string()).unwrap_or_default();
    let short = |id: &str| id.get(..12).unwrap_or(id).to_owned();
    let fields = [
        ("{{.ID}}", short(&spec.id)),
        ("{{.FullID}}", spec.id.clone()),
        ("{{.Name}}", spec.name.clone()),
        ("{{.ImageName}}", image.map(|image| image.name.clone()).unwrap_or_default()),
        ("{{.ImageID}}", short(image_id.split_once(':').map_or("", |(_, hex)| hex))),
        ("{{.ImageFullID}}", image_id.clone()),
        ("{{.DaemonName}}", "dhow".into()),
    ];
    let filled = fields.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value));
    match filled.contains("{{") {
        false => Ok(filled),
        true => Err(unsupported(format!("log-opt tag '{}'", template.escape_debug())).hint(
            "{{.ID}}, {{.FullID}}, {{.Name}}, {{.ImageName}}, {{.ImageID}} and {{.ImageFullID}} can be used",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_model::log::LogSpec;

    #[test]
    fn named_values_and_the_tag() {
        let mut spec =
            ContainerSpec { id: "0123456789abcdef".into(), name: "web".into(), ..Default::default() };
        spec.labels.insert("a".into(), "1".into());
        spec.process.env = vec!["B=2".into(), "C=3".into()];
        let options = [("labels", "a,x"), ("env", "B"), ("tag", "{{.Name}}/{{.ID}}")];
        let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let plan = LogSpec { driver: String::new(), options }.plan().unwrap();
        assert_eq!(
            json_attributes(&spec, &plan).unwrap().unwrap(),
            r#"{"B":"2","a":"1","tag":"web/0123456789ab"}"#
        );
        assert!(expand_tag("{{.What}}", &spec).is_err());
    }
}
