//! A file with everything that is described, and the answers to it.

use super::*;
use crate::dockerfile::parse;

const FILE: &str = "\
# BASE the distribution
ARG BASE=debian
ARG TAG=${BASE}-1
ARG UNUSED=1

# build makes it
FROM $TAG AS build
# LEVEL how much
ARG LEVEL=2 OTHER=$LEVEL
RUN --mount=type=secret,id=key,required --mount=type=ssh make
WORKDIR /src
RUN --mount=type=secret,id=key --mount=type=cache,target=/c --mount=target=. --mount=type=cache,target=$HOME make

FROM scratch AS unneeded
ARG ELSEWHERE=1

FROM scratch
ARG TARGETOS
COPY --from=build / /
";

fn outline(target: Option<&str>, given: &[(&str, &str)]) -> Result<TargetOutline, Failure> {
    let file = parse(FILE.as_bytes()).unwrap();
    let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let platform = "linux/amd64".parse().unwrap();
    let inputs = CheckInputs {
        target,
        all_stages: false,
        given: &given,
        build: &platform,
        platform: &platform,
        base_environment: &|_| None,
        ignored: None,
    };
    TargetOutline::describe(&file, FILE, &inputs)
}

#[test]
fn describes_what_the_target_and_its_stages_take() {
    let text = outline(Some("build"), &[("OTHER", "9")]).unwrap().text();
    assert_eq!(
        text,
        "TARGET:      build\n\
         DESCRIPTION: makes it\n\
         \n\
         BUILD ARG   VALUE      DESCRIPTION\n\
         BASE        debian     the distribution\n\
         TAG         debian-1   \n\
         LEVEL       2          how much\n\
         OTHER       9          \n\
         \n\
         SECRET   REQUIRED\n\
         key      true\n\
         \n\
         SSH       REQUIRED\n\
         default   \n\
         \n"
    );
    let last = outline(None, &[]).unwrap().text();
    assert!(last.starts_with("BUILD ARG") && last.contains("\nLEVEL "), "{last}");
    assert!(!last.contains("TARGETOS") && !last.contains("ELSEWHERE") && !last.contains("UNUSED"), "{last}");
    assert!(outline(Some("biuld"), &[]).is_err());
}

#[test]
fn answers_in_buildkits_json() {
    let json = outline(Some("build"), &[]).unwrap().json();
    assert_eq!(json["name"], "build");
    assert_eq!(json["args"][0]["name"], "BASE");
    assert_eq!(json["args"][0]["description"], "the distribution");
    assert_eq!(json["args"][1]["location"]["ranges"][0]["start"]["line"], 3);
    assert_eq!(json["secrets"][0]["required"], true);
    assert!(json["ssh"][0].get("required").is_none());
    assert!(json["sources"][0].is_string());
}

#[test]
fn lists_the_targets() {
    let file = parse(FILE.as_bytes()).unwrap();
    let targets = TargetList { file: &file, source: FILE };
    assert_eq!(targets.text(), "TARGET    DESCRIPTION\nbuild     makes it\nunneeded  \n(default) \n");
    let json = targets.json();
    assert_eq!(json["targets"][0]["base"], "$TAG");
    assert_eq!(json["targets"][2]["default"], true);
    assert!(json["targets"][2].get("name").is_none());
}
