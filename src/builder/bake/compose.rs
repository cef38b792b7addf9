//! Compose files in bake: each service with a `build` section is a target.

use serde_json::{Map, Value, json};

use super::definition::{BakeBlock, BakeDefinitions, BlockAttributes, literal};
use super::interpolate::interpolate;
use crate::buildflags::ClientEnv;
use dhow_error::{Failure, invalid};
use dhow_model::flags::key_value;

/// Keys of `build`, and the bake attributes they map to unchanged.
const DIRECT_KEYS: [(&str, &str); 10] = [
    ("context", "context"),
    ("dockerfile", "dockerfile"),
    ("dockerfile_inline", "dockerfile-inline"),
    ("target", "target"),
    ("network", "network"),
    ("pull", "pull"),
    ("no_cache", "no-cache"),
    ("shm_size", "shm-size"),
    ("cache_from", "cache-from"),
    ("cache_to", "cache-to"),
];
/// Keys that are lists of strings.
const LIST_KEYS: [(&str, &str); 5] = [
    ("tags", "tags"),
    ("platforms", "platforms"),
    ("ssh", "ssh"),
    ("entitlements", "entitlements"),
    ("no_cache_filter", "no-cache-filter"),
];
/// Keys that are objects or lists of `NAME=value`.
const MAP_KEYS: [(&str, &str); 3] = [("args", "args"), ("labels", "labels"), ("extra_hosts", "extra-hosts")];

/// Looks up an interpolation variable.
type VariableLookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Parses a file. `dotenv` is the content of `.env` next to it.
pub(crate) fn read_compose(
    definitions: &mut BakeDefinitions,
    text: &str,
    dotenv: Option<&[u8]>,
    client: &ClientEnv,
) -> Result<(), Failure> {
    let mut file: Value =
        serde_saphyr::from_str(text).map_err(|why| invalid(format!("this is not YAML: {why}")))?;
    let pairs = dotenv.map(|text| key_value::parse_file(text, ".env")).transpose()?.unwrap_or_default();
    let value_of = |name: &str| {
        let exported = client.environment.raw(name).map(|value| value.to_string_lossy().into_owned());
        // The last definition in `.env` wins, and the environment over all of them.
        let listed = || pairs.iter().rev().find(|pair| pair.name == name)?.value.clone();
        exported.or_else(|| listed().map(|value| value.trim_matches(['"', '\'']).to_owned()))
    };
    interpolate_values(&mut file, &value_of)?;
    let Some(Value::Object(services)) = file.get_mut("services").map(Value::take) else {
        return Err(invalid("the file has no services, and is no compose file"));
    };
    let secrets = file.get("secrets").cloned().unwrap_or_default();
    let mut members = Vec::new();
    for (name, service) in services {
        let Some(attributes) = service_target(&service, &secrets, &value_of)? else { continue };
        let name = sanitized(&name);
        members.push(name.clone());
        definitions.targets.push(BakeBlock { name, attributes });
    }
    // Compose has no groups: `default` builds every service.
    let attributes = BlockAttributes::from([("targets".to_owned(), literal(json!(members)))]);
    definitions.groups.push(BakeBlock { name: "default".into(), attributes });
    Ok(())
}

/// Target names cannot contain dots.
fn sanitized(name: &str) -> String {
    name.replace('.', "_")
}

/// Interpolates every string.
fn interpolate_values(value: &mut Value, value_of: &VariableLookup<'_>) -> Result<(), Failure> {
    match value {
        Value::String(text) if text.contains('$') => *text = interpolate(text, value_of)?,
        Value::Array(items) => items.iter_mut().try_for_each(|item| interpolate_values(item, value_of))?,
        Value::Object(map) => map.values_mut().try_for_each(|item| interpolate_values(item, value_of))?,
        _ => {}
    }
    Ok(())
}

/// The attributes of a service's target; `None` if the service is not built.
fn service_target(
    service: &Value,
    secrets: &Value,
    value_of: &VariableLookup<'_>,
) -> Result<Option<BlockAttributes>, Failure> {
    let shorthand;
    let build = match service.get("build") {
        Some(Value::Object(build)) => build,
        Some(Value::String(context)) => {
            shorthand = Map::from_iter([("context".to_owned(), Value::from(context.as_str()))]);
            &shorthand
        }
        _ => return Ok(None),
    };
    let mut fields: Map<String, Value> = Map::new();
    for (key, attribute) in DIRECT_KEYS.iter().chain(&LIST_KEYS) {
        if let Some(value) = build.get(*key).filter(|value| !value.is_null()) {
            fields.insert((*attribute).to_owned(), value.clone());
        }
    }
    for (key, attribute) in MAP_KEYS {
        if let Some(value) = build.get(key).filter(|value| !value.is_null()) {
            let resolve = (key == "args").then_some(value_of);
            fields.insert(attribute.to_owned(), Value::Object(map_of(value, resolve)?));
        }
    }
    if let Some(value) = build.get("additional_contexts") {
        let mut contexts = map_of(value, None)?;
        for context in contexts.values_mut() {
            if let Some(service) = context.as_str().and_then(|text| text.strip_prefix("service:")) {
                *context = format!("target:{}", sanitized(service)).into();
            }
        }
        fields.insert("contexts".into(), Value::Object(contexts));
    }
    if let Some(Value::Object(limits)) = build.get("ulimits") {
        fields.insert("ulimits".into(), limits.iter().map(|(name, limit)| ulimit(name, limit)).collect());
    }
    if let Some(Value::Array(list)) = build.get("secrets") {
        let entries = list.iter().map(|item| secret(item, secrets)).collect::<Result<Vec<_>, _>>()?;
        fields.insert("secret".into(), Value::Array(entries));
    }
    let attests = ["provenance", "sbom"].into_iter().filter_map(|kind| attest(kind, build.get(kind)?));
    let attests: Vec<Value> = attests.collect();
    if !attests.is_empty() {
        fields.insert("attest".into(), Value::Array(attests));
    }
    if let (false, Some(image)) = (fields.contains_key("tags"), service.get("image")) {
        fields.insert("tags".into(), json!([image]));
    }
    apply_x_bake(&mut fields, build.get("x-bake"));
    Ok(Some(fields.into_iter().map(|(key, value)| (key, literal(value))).collect()))
}

/// Applies `x-bake`, which sets attributes that compose lacks.
fn apply_x_bake(fields: &mut Map<String, Value>, extension: Option<&Value>) {
    let Some(Value::Object(extension)) = extension else { return };
    for (key, value) in extension {
        // Compose uses the plural, bake the singular.
        let key = if key == "secrets" { "secret" } else { key };
        let lists =
            ["tags", "cache-from", "cache-to", "secret", "ssh", "platforms", "output", "no-cache-filter"];
        let value = match value {
            Value::String(_) if lists.contains(&key) => json!([value]),
            other => other.clone(),
        };
        match (fields.get_mut(key), value) {
            (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
            (Some(Value::Object(map)), Value::Object(more)) => map.extend(more),
            (_, value) => drop(fields.insert(key.to_owned(), value)),
        }
    }
}

/// An object, or a list of `NAME=value` and `NAME`.
fn map_of(value: &Value, value_of: Option<&VariableLookup<'_>>) -> Result<Map<String, Value>, Failure> {
    let lookup = |name: &str| value_of.and_then(|value_of| value_of(name)).map_or(Value::Null, Value::String);
    match value {
        Value::Object(map) => Ok(map
            .iter()
            .map(|(key, value)| (key.clone(), if value.is_null() { lookup(key) } else { value.clone() }))
            .collect()),
        Value::Array(items) => {
            let pair = |item: &Value| {
                let text = item.as_str().ok_or_else(|| invalid(format!("{item} is no NAME=value")))?;
                // Lists of `extra_hosts` may separate name and address by a colon.
                let at = text.find(['=', ':']);
                Ok(match at.map(|at| (text.get(..at), text.get(at + 1..))) {
                    Some((Some(name), Some(value))) => (name.to_owned(), Value::from(value)),
                    _ => (text.to_owned(), lookup(text)),
                })
            };
            items.iter().map(pair).collect()
        }
        _ => Err(invalid(format!("{value} is neither an object nor a list"))),
    }
}

fn ulimit(name: &str, limit: &Value) -> Value {
    match limit {
        Value::Object(limits) => {
            let part = |key: &str| limits.get(key).map(Value::to_string).unwrap_or_else(|| "0".into());
            format!("{name}={}:{}", part("soft"), part("hard")).into()
        }
        number => format!("{name}={number}").into(),
    }
}

/// A secret of a service, looked up in the file's `secrets`.
fn secret(item: &Value, secrets: &Value) -> Result<Value, Failure> {
    let source = item.as_str().or_else(|| item.get("source")?.as_str());
    let source = source.ok_or_else(|| invalid(format!("{item} is no secret")))?;
    let id = item.get("target").and_then(Value::as_str).unwrap_or(source);
    let definition = secrets.get(source);
    let text = |key: &str| definition.and_then(|found| found.get(key)?.as_str());
    match (text("file"), text("environment")) {
        (Some(file), _) => Ok(json!({ "id": id, "src": file })),
        (None, Some(variable)) => Ok(json!({ "id": id, "env": variable })),
        (None, None) => Err(invalid(format!("the file defines no secret {source:?} that can be read"))),
    }
}

fn attest(kind: &str, value: &Value) -> Option<Value> {
    match value {
        Value::Bool(true) => Some(format!("type={kind}").into()),
        Value::Bool(false) => Some(format!("type={kind},disabled=true").into()),
        Value::String(text) if text == "true" => Some(format!("type={kind}").into()),
        Value::String(text) if text == "false" => Some(format!("type={kind},disabled=true").into()),
        Value::String(text) => Some(format!("type={kind},{text}").into()),
        _ => None,
    }
}
