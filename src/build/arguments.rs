//! `ARG`: what every build has without asking, what stands before the first `FROM`, and what a stage gets.

use std::collections::BTreeMap;

use super::dockerfile::ast::{Argument, Dockerfile, Instruction};
use super::expand::{self, Names, Variables};
use crate::error::Failure;
use crate::model::platform::Platform;

/// Arguments that can be given without `ARG`, that `RUN` sees, and that leave no trace in history and cache.
pub const PROXIES: [&str; 10] = [
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

/// The arguments that describe the machine that builds, the one that is built for, and the target stage. `FROM` sees
/// them; a stage does after `ARG NAME`.
pub fn platform(build: &Platform, target: &Platform, target_stage: &str) -> Vec<(String, String)> {
    let mut arguments = of_platform("BUILD", build);
    arguments.extend(of_platform("TARGET", target));
    let stage = if target_stage.is_empty() { "default" } else { target_stage };
    arguments.push(("TARGETSTAGE".into(), stage.to_owned()));
    arguments
}

fn of_platform(prefix: &str, platform: &Platform) -> Vec<(String, String)> {
    let values = [
        ("PLATFORM", platform.to_string()),
        ("OS", platform.os.clone()),
        ("OSVERSION", String::new()),
        ("ARCH", platform.architecture.clone()),
        ("VARIANT", platform.variant.clone()),
    ];
    values.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)).collect()
}

/// What `FROM` sees, and what `ARG NAME` without a value takes over into a stage: the `platform`'s arguments and those
/// before the first `FROM`, each overridden by what was `given` with `--build-arg`. Those without a value are left out.
pub fn global(
    dockerfile: &Dockerfile,
    platform: &[(String, String)],
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut values: BTreeMap<String, String> = platform
        .iter()
        .map(|(name, value)| (name.clone(), given.get(name).unwrap_or(value).clone()))
        .collect();
    for statement in &dockerfile.arguments {
        let Instruction::Arg(arguments) = &statement.instruction else { continue };
        for argument in arguments {
            let escape = dockerfile.directives.escape;
            let (value, _) = in_stage(argument, escape, given, &(), &values)
                .map_err(|failure| failure.at(statement.lines.clone()))?;
            // One that was set before, as the platform's are, keeps its value where this one has none.
            if let Some(value) = value {
                values.insert(argument.name.clone(), value);
            }
        }
    }
    Ok(values)
}

/// The value that `ARG` gives a stage: the `given` one, else its default expanded with what the stage has `seen`, else
/// the `global` one. `None`: it is declared and has no value.
pub fn in_stage(
    argument: &Argument,
    escape: char,
    given: &BTreeMap<String, String>,
    global: &dyn Variables,
    seen: &dyn Variables,
) -> Result<(Option<String>, Names), Failure> {
    if let Some(value) = given.get(&argument.name) {
        return Ok((Some(value.clone()), Names::default()));
    }
    match &argument.value {
        // An argument that is overridden may have a default that cannot be expanded: hence only here.
        Some(value) => {
            let expanded = expand::word(value, escape, seen)?;
            Ok((Some(expanded.text), expanded.names))
        }
        None => Ok((global.get(&argument.name).map(str::to_owned), Names::default())),
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
        platform(&"linux/amd64".parse().unwrap(), &target, "")
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
        let values = global(&file, &platforms(), &given(&[("A", "2"), ("D", "d"), ("E", "e")])).unwrap();
        assert_eq!(Variables::get(&values, "B"), Some("2-arm"));
        assert_eq!(Variables::get(&values, "C"), None);
        assert_eq!(Variables::get(&values, "D"), Some("d"));
        assert_eq!(Variables::get(&values, "E"), None);
        assert_eq!(Variables::get(&values, "TARGETARCH"), Some("arm"));
        let failure = global(&file, &platforms(), &given(&[])).unwrap_err();
        assert_eq!(failure.lines(), Some(3..=3));
    }

    #[test]
    fn a_stage_takes_over_what_it_names() {
        let argument =
            |name: &str, value: Option<&str>| Argument { name: name.into(), value: value.map(str::to_owned) };
        let global = given(&[("V", "global")]);
        let seen = given(&[("W", "seen")]);
        let value = |argument: &Argument, given: &BTreeMap<String, String>| {
            in_stage(argument, '\\', given, &global, &seen).unwrap().0
        };
        assert_eq!(value(&argument("V", None), &given(&[])).as_deref(), Some("global"));
        assert_eq!(value(&argument("V", Some("own-$W")), &given(&[])).as_deref(), Some("own-seen"));
        assert_eq!(value(&argument("V", Some("own")), &given(&[("V", "given")])).as_deref(), Some("given"));
        assert_eq!(value(&argument("X", None), &given(&[])), None);
    }
}
