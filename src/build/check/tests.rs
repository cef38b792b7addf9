//! Each rule: a file that breaks it, the same file mended.

use super::*;
use crate::dockerfile::{parse, parse_prefix};

/// The warnings as `line rule: message`.
fn found_with(text: &str, options: &str, given: &[(&str, &str)]) -> Vec<String> {
    let file = parse(text.as_bytes()).unwrap();
    let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let platform = "linux/amd64".parse().unwrap();
    let inputs = CheckInputs {
        target: None,
        all_stages: true,
        given: &given,
        build: &platform,
        platform: &platform,
        base_environment: &|name| {
            (name != "unknown").then(|| vec![("JAVA_HOME".to_owned(), "/java".to_owned())])
        },
        ignored: Some(&|path| path == "secret.txt"),
    };
    let options = CheckOptions::for_build(&file, Some(options).filter(|text| !text.is_empty())).unwrap();
    check(&file, &options, &inputs)
        .iter()
        .map(|warning| format!("{} {}: {}", warning.lines.0, warning.rule, warning.message))
        .collect()
}

fn found(text: &str) -> Vec<String> {
    found_with(text, "experimental=all", &[])
}

fn breaks(text: &str, expected: &[&str]) {
    assert_eq!(found(text), expected, "{text}");
}

fn fine(text: &str) {
    breaks(text, &[]);
}

#[test]
fn stage_names() {
    breaks(
        "FROM a AS Base\nFROM b AS base\nFROM c AS scratch\n",
        &[
            "1 StageNameCasing: Stage name 'Base' should be lowercase",
            "2 DuplicateStageName: Duplicate stage name \"base\", stage names should be unique",
            "3 ReservedStageName: Stage name should not use the same name as reserved stage \"scratch\"",
        ],
    );
    fine("FROM a AS base\nFROM base AS other\nFROM scratch\n");
}

#[test]
fn casing() {
    breaks("FROM a as b\n", &["1 FromAsCasing: 'as' and 'FROM' keywords' casing do not match"]);
    fine("from a as b\nrun true\n");
    breaks(
        "FROM a\nrun true\nUSER x\nWorkdir /x\n",
        &[
            "2 ConsistentInstructionCasing: Command 'run' should match the case of the command majority (uppercase)",
            "4 ConsistentInstructionCasing: Command 'Workdir' should match the case of the command majority (uppercase)",
        ],
    );
    breaks(
        "from a\nrun true\nUSER x\n",
        &[
            "3 ConsistentInstructionCasing: Command 'USER' should match the case of the command majority (lowercase)",
        ],
    );
}

#[test]
fn forms_that_are_no_longer_to_be_used() {
    breaks("FROM a\nRUN x \\\n\n  y\n", &["4 NoEmptyContinuation: Empty continuation line"]);
    fine("FROM a\nRUN x \\\n  # why\n  y\n");
    breaks(
        "FROM a\nMAINTAINER me\n",
        &["2 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label"],
    );
    breaks(
        "FROM a\nENV a b\nlabel c d\nLABEL e=f\n",
        &[
            "2 LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format",
            "3 ConsistentInstructionCasing: Command 'label' should match the case of the command majority (uppercase)",
            "3 LegacyKeyValueFormat: \"label key=value\" should be used instead of legacy \"label key value\" format",
        ],
    );
}

#[test]
fn commands() {
    breaks(
        "FROM a\nCMD x\nENTRYPOINT y\n",
        &[
            "2 JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
            "3 JSONArgsRecommended: JSON arguments recommended for ENTRYPOINT to prevent unintended behavior related to OS signals",
        ],
    );
    fine("FROM a\nSHELL [\"/bin/bash\", \"-c\"]\nCMD x\n");
    breaks(
        "FROM a\nCMD [\"x\"]\nCMD [\"y\"]\nHEALTHCHECK NONE\nHEALTHCHECK CMD x\nFROM a\nCMD [\"z\"]\n",
        &[
            "2 MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only the last one will be used",
            "4 MultipleInstructionsDisallowed: Multiple HEALTHCHECK instructions should not be used in the same stage because only the last one will be used",
        ],
    );
}

#[test]
fn arguments_of_from() {
    breaks(
        "ARG VERSION=1\nFROM a:$VERSON\n",
        &[
            "2 InvalidDefaultArgInFrom: Default value for ARG a:$VERSON results in empty or invalid base image name",
            "2 UndefinedArgInFrom: FROM argument 'VERSON' is not declared (did you mean VERSION?)",
        ],
    );
    breaks(
        "ARG TAG\nFROM a:${TAG}\n",
        &[
            "2 InvalidDefaultArgInFrom: Default value for ARG a:${TAG} results in empty or invalid base image name",
        ],
    );
    fine("ARG TAG\nFROM a:${TAG:-latest}\n");
    breaks(
        "FROM --platform=$TARGETPLATFORM a\n",
        &[
            "1 RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
        ],
    );
    breaks(
        "FROM --platform=linux/arm64 a AS b\n",
        &[
            "1 FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value \"linux/arm64\"",
        ],
    );
    fine("FROM --platform=linux/arm64 a AS build-arm64\nFROM --platform=$BUILDPLATFORM a\n");
}

#[test]
fn variables() {
    breaks(
        "FROM a\nARG DIR=/x\nWORKDIR $DIIR\nENV A=$B\n",
        &[
            "3 UndefinedVar: Usage of undefined variable '$DIIR' (did you mean $DIR?)",
            "3 WorkdirRelativePath: Relative workdir \"\" can have unexpected results if the base image changes",
            "4 UndefinedVar: Usage of undefined variable '$B'",
        ],
    );
    fine("FROM a AS b\nARG X\nENV Y=$X$JAVA_HOME$PATH\nFROM b\nWORKDIR /$Y\nRUN $Z\nCOPY <<'E' /\n$Q\nE\n");
    fine("FROM unknown\nENV Y=$ANYTHING\n");
    breaks("FROM a\nCOPY <<E /\n$Q\nE\n", &["2 UndefinedVar: Usage of undefined variable '$Q'"]);
    breaks("FROM a\nARG A=$B\n", &["2 UndefinedVar: Usage of undefined variable '$B'"]);
    assert_eq!(found_with("FROM a\nARG A=$B\n", "", &[("A", "1")]), Vec::<String>::new());
}

#[test]
fn directories() {
    breaks(
        "FROM a AS b\nWORKDIR x\nWORKDIR y\nFROM b\nWORKDIR z\n",
        &[
            "2 WorkdirRelativePath: Relative workdir \"x\" can have unexpected results if the base image changes",
        ],
    );
    fine("FROM a\nWORKDIR /x\nWORKDIR y\n");
}

#[test]
fn secrets() {
    breaks(
        "FROM a\nARG GITHUB_TOKEN\nENV api_key=1 PASSWORD=2\n",
        &[
            "2 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG \"GITHUB_TOKEN\")",
            "3 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV \"api_key\")",
            "3 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV \"PASSWORD\")",
        ],
    );
    fine("FROM a\nENV PUBLIC_KEY=1 KEYBOARD=2 PASSWORD_FILE=3\n");
}

#[test]
fn ports() {
    breaks(
        "FROM a\nEXPOSE 80/TCP 127.0.0.1:81:82 83:84\n",
        &[
            "2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:81:82'",
            "2 ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase",
            "2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '83:84'",
        ],
    );
    fine("FROM a\nEXPOSE 80/tcp 81-82\n");
}

#[test]
fn rules_that_have_to_be_asked_for() {
    let file = "FROM a AS b\nCOPY secret.txt /\nADD ./secret.txt /\nCOPY --from=b secret.txt /\n";
    breaks(
        file,
        &[
            "2 CopyIgnoredFile: Attempting to Copy file \"secret.txt\" that is excluded by .dockerignore",
            "3 CopyIgnoredFile: Attempting to Add file \"secret.txt\" that is excluded by .dockerignore",
        ],
    );
    assert_eq!(found_with(file, "", &[]), Vec::<String>::new());
    let file = "# what?\nARG A\n# b is it\nFROM a AS b\n# c\nFROM a AS d\n# e\n\nFROM a AS f\n# x\nARG A B\n";
    breaks(
        file,
        &[
            "2 InvalidDefinitionDescription: Comment for ARG should follow the format: `# A <description>`",
            "6 InvalidDefinitionDescription: Comment for FROM should follow the format: `# d <description>`",
            "11 InvalidDefinitionDescription: Comment for ARG should follow the format: `# <arg_key> <description>`",
        ],
    );
    assert_eq!(found_with(file, "experimental=CopyIgnoredFile", &[]), Vec::<String>::new());
}

#[test]
fn rules_can_be_skipped_by_the_file_the_build_and_an_instruction() {
    let text = "FROM a AS B\nMAINTAINER me\n";
    assert_eq!(found_with(text, "", &[]).len(), 2);
    assert_eq!(found_with(text, "skip=StageNameCasing", &[]).len(), 1);
    assert_eq!(found_with(text, "skip=all", &[]).len(), 0);
    let headed = format!("# check=skip=MaintainerDeprecated\n{text}");
    assert_eq!(found_with(&headed, "", &[]).len(), 1);
    assert_eq!(found_with(&headed, "error=true", &[]).len(), 2);
    for reason in ["", " // it has always been so", "//x"] {
        let headed = format!("# check=skip=MaintainerDeprecated,StageNameCasing{reason}\n{text}");
        assert_eq!(found_with(&headed, "", &[]).len(), 0, "{reason}");
        let above = format!("FROM a\n# check=skip=MaintainerDeprecated{reason}\nMAINTAINER me\n");
        assert_eq!(found_with(&above, "", &[]).len(), 0, "{reason}");
    }
}

#[test]
fn only_what_the_target_needs_is_looked_at() {
    let file = parse(b"FROM a AS b\nCMD x\nENV a b\nFROM a AS c\nCMD y\n").unwrap();
    let (given, platform) = (BTreeMap::new(), "linux/amd64".parse().unwrap());
    let inputs = |target, all_stages| CheckInputs {
        target,
        all_stages,
        given: &given,
        build: &platform,
        platform: &platform,
        base_environment: &|_| None,
        ignored: None,
    };
    let lines = |inputs: CheckInputs<'_>| -> Vec<u32> {
        check(&file, &CheckOptions::default(), &inputs).iter().map(|warning| warning.lines.0).collect()
    };
    assert_eq!(lines(inputs(None, true)), [2, 3, 5]);
    assert_eq!(lines(inputs(None, false)), [5]);
    assert_eq!(lines(inputs(Some("b"), true)), [2, 3]);
}

/// What BuildKit finds while it parses comes before the error of the instruction that it cannot read.
#[test]
fn what_stands_before_an_error_is_looked_at() {
    let (file, failure) = parse_prefix(b"FROM a as B\nMAINTAINER me\nRUNN x\nMAINTAINER you\n").unwrap();
    assert!(failure.unwrap().to_string().contains("unknown instruction: RUNN"));
    let found: Vec<(u32, String)> = check_prefix(&file, &CheckOptions::default())
        .into_iter()
        .map(|warning| (warning.lines.0, warning.rule))
        .collect();
    let named = |line, rule: &str| (line, rule.to_owned());
    assert_eq!(
        found,
        [named(1, "StageNameCasing"), named(1, "FromAsCasing"), named(2, "MaintainerDeprecated")]
    );
}

#[test]
fn breaking_a_rule_is_an_error_where_the_file_says_so() {
    let warnings = [
        rules::STAGE_NAME_CASING.warning("x".into(), &(1..=1)),
        rules::FROM_AS_CASING.warning("y".into(), &(1..=1)),
        rules::STAGE_NAME_CASING.warning("z".into(), &(2..=2)),
    ];
    let strict = CheckOptions::parse("error=true").unwrap();
    let message = violation_error(&warnings, &strict).unwrap().to_string();
    assert_eq!(message, "lint violation found for rules: FromAsCasing, StageNameCasing");
    assert!(violation_error(&[], &strict).is_none());
    assert!(violation_error(&warnings, &CheckOptions::default()).is_none());
}

#[test]
fn answers_as_docker_prints_it() {
    let source = "FROM a AS B\n";
    let warnings = [rules::STAGE_NAME_CASING.warning("Stage name 'B' should be lowercase".into(), &(1..=1))];
    let report = CheckReport { file: "Dockerfile", source, warnings: &warnings, error: None };
    assert_eq!(
        report.text(),
        "Check complete, 1 warning has been found!\n\
         \n\
         WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/\n\
         Stage name 'B' should be lowercase\n\
         Dockerfile:1\n\
         --------------------\n\
         \x20  1 | >>> FROM a AS B\n\
         \x20  2 |     \n\
         --------------------\n"
    );
    let json = report.json();
    assert_eq!(json["warnings"][0]["ruleName"], "StageNameCasing");
    assert_eq!(json["warnings"][0]["location"]["ranges"][0]["start"]["line"], 1);
    assert_eq!(json["sources"][0]["data"], "RlJPTSBhIEFTIEIK");
    let report = CheckReport { warnings: &[], ..report };
    assert_eq!(report.text(), "Check complete, no warnings found.\n");
    let failure = invalid("wrong").at(1..=1);
    let refused = CheckReport { error: Some(&failure), ..report };
    assert!(refused.text().starts_with("ERROR: wrong\nDockerfile:1\n-----"), "{}", refused.text());
    let json = refused.json();
    assert_eq!(json["buildError"]["location"]["ranges"][0]["end"]["line"], 1);
}
