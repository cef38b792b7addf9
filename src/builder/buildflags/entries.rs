//! Values of `--output`, `--cache-from`, `--cache-to`, `--attest`, `--provenance` and `--sbom`:
//! `type=local,dest=out`.

use std::collections::BTreeMap;

use crate::request::OptionsEntry;
use dhow_error::{Failure, invalid};
use dhow_model::boolean;
use dhow_model::flags::csv;

/// Parses one `--output`: `DIR`, `-` or `type=TYPE[,KEY=VALUE]`.
pub fn parse_output(text: &str) -> Result<OptionsEntry, Failure> {
    let fields = csv::fields(text)?;
    if fields.len() == 1 && fields[0] == text && !text.starts_with("type=") {
        let kind = if text == "-" { "tar" } else { "local" };
        return Ok(OptionsEntry { kind: kind.into(), attributes: single_attribute("dest", text) });
    }
    let mut output = parse_pairs(&fields)?;
    if output.kind.is_empty() {
        return Err(invalid("type is required for output"));
    }
    // `registry` is short for an image that is pushed.
    if output.kind == "registry" {
        output.kind = "image".into();
        output.attributes.entry("push".into()).or_insert_with(|| "true".into());
    }
    let dest = output.attributes.get("dest").map(String::as_str);
    match (output.kind.as_str(), dest) {
        ("local", None | Some("")) => return Err(invalid("dest is required for local output")),
        ("local", Some("-")) => {
            return Err(invalid("dest is required for local output: `-` cannot be a directory"));
        }
        // As in buildx: without a destination they go to standard output.
        ("oci" | "tar", None) => drop(output.attributes.insert("dest".into(), "-".into())),
        _ => {}
    }
    Ok(output)
}

/// Parses one `--cache-from` or `--cache-to`: `type=TYPE[,KEY=VALUE]`, or image references.
pub fn parse_cache(text: &str) -> Result<Vec<OptionsEntry>, Failure> {
    let fields = csv::fields(text)?;
    if fields.iter().all(|field| !field.contains('=')) {
        let image = |field: &String| OptionsEntry {
            kind: "registry".into(),
            attributes: single_attribute("ref", field),
        };
        return Ok(fields.iter().map(image).collect());
    }
    let cache = parse_pairs(&fields)?;
    match cache.kind.as_str() {
        "" => Err(invalid(format!("type required form> {text:?}"))),
        _ => Ok(vec![cache]),
    }
}

/// Parses one `--attest`: `type=sbom|provenance[,KEY=VALUE]`.
pub fn parse_attest(text: &str) -> Result<OptionsEntry, Failure> {
    let fields = csv::fields(text)?;
    if let Some(bare) = fields.iter().find(|field| !field.contains('=')) {
        return Err(invalid(format!("invalid value {bare}")));
    }
    let attest = parse_pairs(&fields)?;
    match attest.kind.as_str() {
        "" => Err(invalid("attestation type not specified")),
        _ => Ok(attest),
    }
}

/// Parses the value of `--provenance` or `--sbom`: true, false, or attributes.
pub fn parse_short_attest(kind: &str, text: &str) -> Result<OptionsEntry, Failure> {
    match boolean::parse(text) {
        Some(false) => {
            Ok(OptionsEntry { kind: kind.into(), attributes: single_attribute("disabled", "true") })
        }
        Some(true) => Ok(OptionsEntry { kind: kind.into(), ..OptionsEntry::default() }),
        None if text.is_empty() => Ok(OptionsEntry { kind: kind.into(), ..OptionsEntry::default() }),
        None => parse_attest(&format!("type={kind},{text}")),
    }
}

/// Joins the attestations of several flags. Fails if a type is given twice.
pub fn merge_attests(attests: impl IntoIterator<Item = OptionsEntry>) -> Result<Vec<OptionsEntry>, Failure> {
    let mut merged: Vec<OptionsEntry> = Vec::new();
    for attest in attests {
        if merged.iter().any(|other| other.kind == attest.kind) {
            return Err(invalid(format!("duplicate attestation field {}", attest.kind.escape_debug())));
        }
        merged.push(attest);
    }
    Ok(merged)
}

/// `--push`: sets `push` on all image outputs, or adds one.
pub fn apply_push(outputs: &mut Vec<OptionsEntry>) {
    let mut pushed = false;
    for output in outputs.iter_mut().filter(|output| output.kind == "image") {
        output.attributes.insert("push".into(), "true".into());
        pushed = true;
    }
    if !pushed {
        outputs.push(OptionsEntry { kind: "image".into(), attributes: single_attribute("push", "true") });
    }
}

/// `--load`: adds an output to the store.
pub fn apply_load(outputs: &mut Vec<OptionsEntry>) {
    // With `dest` the output is an archive, not the store.
    if !outputs.iter().any(|output| output.kind == "docker" && !output.attributes.contains_key("dest")) {
        outputs.push(OptionsEntry { kind: "docker".into(), ..OptionsEntry::default() });
    }
}

/// Formats an entry as on the command line, `type=local,dest=out`.
pub(crate) fn to_csv(entry: &OptionsEntry) -> String {
    let mut text = format!("type={}", entry.kind);
    for (key, value) in &entry.attributes {
        text.push(',');
        text += &quoted_field(format!("{key}={value}"));
    }
    text
}

/// A CSV field, in quotes if it needs them.
pub(crate) fn quoted_field(field: String) -> String {
    let needs_quotes = field.contains(['"', ',', '\n']);
    if needs_quotes { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}

fn single_attribute(key: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}

fn parse_pairs(fields: &[String]) -> Result<OptionsEntry, Failure> {
    let mut entry = OptionsEntry::default();
    for field in fields {
        let (key, value) = field
            .split_once('=')
            .ok_or_else(|| invalid(format!("invalid value {}", field.escape_debug())))?;
        let key = key.trim().to_lowercase();
        if key == "type" {
            entry.kind = value.to_owned();
        } else {
            entry.attributes.insert(key, value.to_owned());
        }
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(typed: Result<OptionsEntry, Failure>) -> String {
        typed.map_or_else(|failure| failure.to_string(), |typed| to_csv(&typed))
    }

    #[test]
    fn outputs() {
        for (text, means) in [
            ("out", "type=local,dest=out"),
            ("./a=b", "type=local,dest=./a=b"),
            ("-", "type=tar,dest=-"),
            ("type=local,dest=x", "type=local,dest=x"),
            ("type=local", "dest is required for local output"),
            ("dest=x,a=b", "type is required for output"),
            ("type=oci", "type=oci,dest=-"),
            ("type=docker", "type=docker"),
            ("type=registry,name=x", "type=image,name=x,push=true"),
            ("type=registry,push=false", "type=image,push=false"),
            ("type=image,\"name=a,b\",Push=true", "type=image,\"name=a,b\",push=true"),
            ("type=image,what", "invalid value what"),
            ("type=tar,\"dest", "`type=tar,\\\"dest` is not a list of comma-separated values"),
        ] {
            assert_eq!(shown(parse_output(text)), means, "{text}");
        }
    }

    #[test]
    fn caches() {
        let all =
            |text: &str| parse_cache(text).map(|all| all.iter().map(to_csv).collect::<Vec<_>>().join(" "));
        assert_eq!(
            all("user/app:cache,other").unwrap(),
            "type=registry,ref=user/app:cache type=registry,ref=other"
        );
        assert_eq!(all("type=local,dest=x,mode=max").unwrap(), "type=local,dest=x,mode=max");
        assert_eq!(all("type=inline").unwrap(), "type=inline");
        assert!(all("ref=x").is_err());
    }

    #[test]
    fn attestations() {
        assert_eq!(shown(parse_short_attest("provenance", "true")), "type=provenance");
        assert_eq!(shown(parse_short_attest("provenance", "0")), "type=provenance,disabled=true");
        assert_eq!(shown(parse_short_attest("provenance", "mode=max")), "type=provenance,mode=max");
        assert_eq!(shown(parse_short_attest("sbom", "generator=x")), "type=sbom,generator=x");
        assert_eq!(shown(parse_attest("type=sbom")), "type=sbom");
        assert_eq!(shown(parse_attest("mode=max")), "attestation type not specified");
        let twice = [parse_attest("type=sbom").unwrap(), parse_short_attest("sbom", "false").unwrap()];
        assert_eq!(merge_attests(twice).unwrap_err().to_string(), "duplicate attestation field sbom");
    }

    #[test]
    fn push_and_load() {
        let mut outputs = vec![parse_output("type=image,name=x").unwrap(), parse_output("out").unwrap()];
        apply_push(&mut outputs);
        apply_load(&mut outputs);
        let all: Vec<_> = outputs.iter().map(to_csv).collect();
        assert_eq!(all, ["type=image,name=x,push=true", "type=local,dest=out", "type=docker"]);
        let mut outputs = Vec::new();
        apply_push(&mut outputs);
        assert_eq!(to_csv(&outputs[0]), "type=image,push=true");
    }
}
