//! Build arguments: the predefined ones, those before the first `FROM`, and those of a stage.

use std::collections::BTreeMap;

use super::ast::{ArgDeclaration, Dockerfile, Instruction};
use super::expand::{self, ReferencedNames, Variables};
use dhow_error::Failure;
use dhow_model::platform::Platform;

/// Predefined arguments that need no `ARG`; `RUN` sees them, history and cache keys leave them out.
pub(crate) const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// The `BUILD…` and `TARGET…` arguments. `FROM` sees them without `ARG`, a stage only after `ARG NAME`.
pub fn platform_args(build: &Platform, target: &Platform, target_stage: &str) -> Vec<(String, String)> {
    let mut arguments = prefixed_platform_args("BUILD", build);
    arguments.extend(prefixed_platform_args("TARGET", target));
    let stage = if target_stage.is_empty() { "default" } else { target_stage };
    arguments.push(("TARGETSTAGE".into(), stage.to_owned()));
    arguments
}

fn prefixed_platform_args(prefix: &str, platform: &Platform) -> Vec<(String, String)> {
    let values = [
        ("PLATFORM", platform.to_string()),
        ("OS", platform.os.clone()),
        // Only images for Windows have one.
        ("OSVERSION", String::new()),
        ("ARCH", platform.architecture.clone()),
        ("VARIANT", platform.variant.clone()),
    ];
    values.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)).collect()
}

/// The global scope, which `FROM` sees and a stage inherits from with a bare `ARG NAME`: the `platform`
/// arguments and those before the first `FROM`, overridden by `build_args` (`--build-arg`).
/// Arguments without a value are left out.
pub fn global_args(
    dockerfile: &Dockerfile,
    platform: &[(String, String)],
    build_args: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut values: BTreeMap<String, String> = platform
        .iter()
        .map(|(name, value)| (name.clone(), build_args.get(name).unwrap_or(value).clone()))
        .collect();
    for statement in &dockerfile.arguments {
        let Instruction::Arg(arguments) = &statement.instruction else { continue };
        for argument in arguments {
            let escape = dockerfile.directives.escape;
            let (value, _) = resolve_stage_arg(argument, escape, build_args, &(), &values)
                .map_err(|failure| failure.at(statement.lines.clone()))?;
            // A bare `ARG TARGETARCH` must not remove the platform's value.
            if let Some(value) = value {
                values.insert(argument.name.clone(), value);
            }
        }
    }
    Ok(values)
}

/// The value that `ARG` has in a stage: the one in `build_args`, else its default expanded with `scope` (the
/// variables of the stage so far), else the one in `globals`. `None` if declared without a value.
pub(crate) fn resolve_stage_arg(
    argument: &ArgDeclaration,
    escape: char,
    build_args: &BTreeMap<String, String>,
    globals: &dyn Variables,
    scope: &dyn Variables,
) -> Result<(Option<String>, ReferencedNames), Failure> {
    if let Some(value) = build_args.get(&argument.name) {
        return Ok((Some(value.clone()), ReferencedNames::default()));
    }
    match &argument.value {
        // Expanded only here: the default of an overridden argument may fail to expand.
        Some(value) => {
            let expanded = expand::expand_word(value, escape, scope)?;
            Ok((Some(expanded.text), expanded.names))
        }
        None => Ok((globals.get(&argument.name).map(str::to_owned), ReferencedNames::default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn platforms() -> Vec<(String, String)> {
        let target = "linux/arm/v7".parse().unwrap();
        platform_args(&"linux/amd64".parse().unwrap(), &target, "")
    }

    #[test]
    fn platforms_are_described_in_pieces() {
        let all = platforms();
        for (name, value) in [
            ("BUILDPLATFORM", "linux/amd64"),
            ("BUILDARCH", "amd64"),
            ("BUILDVARIANT", ""),
            ("TARGETPLATFORM", "linux/arm/v7"),
            ("TARGETOS", "linux"),
            ("TARGETVARIANT", "v7"),
            ("TARGETSTAGE", "default"),
        ] {
            assert_eq!(all.get(name), Some(value), "{name}");
        }
    }

    #[test]
    fn what_was_given_goes_before_defaults_and_those_see_what_is_above_them() {
        let file = b"ARG A=1 B=$A-$TARGETARCH\nARG C\nARG D=${nothing:?}\nARG TARGETARCH\nFROM x:$B\n";
        let file = super::super::dockerfile::parse(file).unwrap();
        let values = global_args(&file, &platforms(), &given(&[("A", "2"), ("D", "d"), ("E", "e")])).unwrap();
        assert_eq!(Variables::get(&values, "B"), Some("2-arm"));
        assert_eq!(Variables::get(&values, "C"), None);
        assert_eq!(Variables::get(&values, "D"), Some("d"));
        assert_eq!(Variables::get(&values, "E"), None);
        assert_eq!(Variables::get(&values, "TARGETARCH"), Some("arm"));
        let failure = global_args(&file, &platforms(), &given(&[])).unwrap_err();
        assert_eq!(failure.lines(), Some(3..=3));
    }

    #[test]
    fn a_stage_takes_over_what_it_names() {
        let argument = |name: &str, value: Option<&str>| ArgDeclaration {
            name: name.into(),
            value: value.map(str::to_owned),
        };
        let global = given(&[("V", "global")]);
        let seen = given(&[("W", "seen")]);
        let value = |argument: &ArgDeclaration, given: &BTreeMap<String, String>| {
            resolve_stage_arg(argument, '\\', given, &global, &seen).unwrap().0
        };
        assert_eq!(value(&argument("V", None), &given(&[])).as_deref(), Some("global"));
        assert_eq!(value(&argument("V", Some("own-$W")), &given(&[])).as_deref(), Some("own-seen"));
        assert_eq!(value(&argument("V", Some("own")), &given(&[("V", "given")])).as_deref(), Some("given"));
        assert_eq!(value(&argument("X", None), &given(&[])), None);
    }
}
