//! Dockerfiles, and what is planned for them.

use std::collections::BTreeSet;

use super::*;
use crate::dockerfile::parse;
use crate::graph::GraphInputs;
use dhow_model::image::RunConfig;

#[derive(Default)]
struct Case {
    args: BTreeMap<String, String>,
    contexts: BTreeSet<String>,
    target: Option<&'static str>,
    image: ImageConfig,
    platform: Option<&'static str>,
    several: bool,
}

impl Case {
    fn args(pairs: &[(&str, &str)]) -> Self {
        let args = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { args, ..Self::default() }
    }

    fn graph(&self, text: &str) -> Result<(StageGraph, BTreeMap<String, String>, Platform), Failure> {
        let dockerfile = parse(text.as_bytes())?;
        let platform: Platform = self.platform.unwrap_or("linux/amd64").parse().unwrap();
        let build: Platform = "linux/amd64".parse().unwrap();
        let automatic = arguments::platform_args(&build, &platform, self.target.unwrap_or_default());
        let globals = arguments::global_args(&dockerfile, &automatic, &self.args)?;
        let inputs = GraphInputs {
            globals: &globals,
            platform: &platform,
            contexts: &self.contexts,
            target: self.target,
            every_stage: false,
        };
        let mut graph = StageGraph::new(&dockerfile, inputs)?;
        let triggers = |_: &InputTree| Some(self.image.config.on_build.clone().unwrap_or_default());
        while graph.add_triggers(&triggers)? {}
        Ok((graph, globals, platform))
    }

    fn plan(&self, text: &str) -> Result<BuildPlan, Failure> {
        let (graph, globals, platform) = self.graph(text)?;
        let inputs = EvaluationInputs {
            globals: &globals,
            build_args: &self.args,
            image: &|_| Some(&self.image),
            context: &|_| None,
            unknown: &|_| false,
            labels: &BTreeMap::new(),
            multi_platform: self.several,
            no_cache: &|_| false,
        };
        evaluate_graph(&graph, &platform, &inputs)
    }
}

fn plan(text: &str) -> BuildPlan {
    Case::default().plan(text).unwrap()
}

fn refusal(text: &str) -> String {
    Case::default().plan(text).unwrap_err().to_string()
}

fn target(plan: &BuildPlan) -> &StagePlan {
    plan.stages[plan.target].as_ref().unwrap()
}

fn history(plan: &BuildPlan) -> Vec<&str> {
    target(plan).history.iter().map(|line| line.created_by.as_str()).collect()
}

fn shown(plan: &BuildPlan) -> Vec<&str> {
    plan.needed().flat_map(|(_, stage)| stage.steps.iter().map(|step| step.shown.as_str())).collect()
}

#[test]
fn stages_that_nobody_needs_are_left_out() {
    let plan = plan("FROM a AS one\nRUN 1\nFROM a AS two\nRUN 2\nFROM scratch\nCOPY --from=TWO /x /\n");
    assert!(plan.stages[0].is_none() && plan.stages[1].is_some());
    assert_eq!(shown(&plan), ["[two 2/2] RUN 2", "[stage-2 1/1] COPY --from=TWO /x /"]);
    assert_eq!(
        plan.stages[1].as_ref().unwrap().from_shown.as_deref(),
        Some("[two 1/2] FROM docker.io/library/a:latest")
    );
}

#[test]
fn a_single_stage_has_no_name() {
    let plan = plan("FROM a\nWORKDIR /x\nWORKDIR y\nCOPY . z\n");
    assert_eq!(shown(&plan), ["[2/4] WORKDIR /x", "[3/4] WORKDIR y", "[4/4] COPY . z"]);
    let Op::Copy(copy) = &target(&plan).steps[2].op else { panic!() };
    assert_eq!(copy.target, "/x/y/z");
    assert_eq!(target(&plan).config.run.working_dir, "/x/y");
}

#[test]
fn history_is_written_as_buildkit_does() {
    let case = Case::args(&[("V", "1 2")]);
    let text = "FROM a\nARG V\nARG W=w\nENV E=\"x $V\" F=2\nRUN echo $V\nRUN [\"a\", \"b c\"]\nCOPY --chown=1:2 a b /c/\nLABEL l=\"m n\"\nEXPOSE 80 443/tcp\nVOLUME /a /b\nUSER u\nCMD echo \"hi\"\nENTRYPOINT [\"e\"]\nSTOPSIGNAL SIGINT\nSHELL [\"s\", \"-c\"]\nHEALTHCHECK --interval=90s CMD x y\nMAINTAINER me\n";
    let plan = case.plan(text).unwrap();
    assert_eq!(
        history(&plan),
        [
            "ARG V=1 2",
            "ARG W=w",
            "ENV E=x 1 2 F=2",
            "RUN |2 V=1 2 W=w /bin/sh -c echo $V # buildkit",
            "RUN |2 V=1 2 W=w a b c # buildkit",
            "COPY --chown=1:2 a b /c/ # buildkit",
            "LABEL l=m n",
            "EXPOSE [443/tcp 80/tcp]",
            "VOLUME [/a /b]",
            "USER u",
            "CMD [\"/bin/sh\" \"-c\" \"echo \\\"hi\\\"\"]",
            "ENTRYPOINT [\"e\"]",
            "STOPSIGNAL SIGINT",
            "SHELL [s -c]",
            "HEALTHCHECK {Test:[CMD-SHELL x y] Interval:1m30s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
            "MAINTAINER me",
        ]
    );
    let config = &target(&plan).config;
    assert_eq!(config.run.env, [format!("PATH={DEFAULT_PATH}"), "E=x 1 2".into(), "F=2".into()]);
    assert_eq!(config.run.cmd.as_ref().unwrap().len(), 3);
    assert_eq!(config.author, "me");
}

#[test]
fn an_entry_point_takes_the_bases_command_away_and_not_its_own_stages() {
    let run = RunConfig { cmd: Some(vec!["old".into()]), ..RunConfig::default() };
    let case = Case { image: ImageConfig { config: run, ..ImageConfig::default() }, ..Case::default() };
    assert_eq!(target(&case.plan("FROM a\nENTRYPOINT [\"e\"]\n").unwrap()).config.run.cmd, None);
    let plan = case.plan("FROM a\nCMD [\"c\"]\nENTRYPOINT [\"e\"]\n").unwrap();
    assert_eq!(target(&plan).config.run.cmd, Some(vec!["c".to_owned()]));
    assert_eq!(target(&case.plan("FROM a\n").unwrap()).config.run.cmd, Some(vec!["old".to_owned()]));
}

#[test]
fn arguments_have_their_scopes() {
    let text =
        "ARG BASE=a\nARG V=global\nFROM $BASE AS one\nRUN one $V\nARG V\nRUN two\nFROM one\nRUN three\n";
    let plan = Case::args(&[("BASE", "b")]).plan(text).unwrap();
    assert_eq!(plan.images[0].name, "b");
    let env = |stage: usize, step: usize| {
        let Op::Run(run) = &plan.stages[stage].as_ref().unwrap().steps[step].op else { panic!() };
        run.env.iter().filter(|entry| entry.starts_with("V=")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(env(0, 0), [""; 0]);
    assert_eq!(env(0, 1), ["V=global"]);
    assert_eq!(env(1, 0), ["V=global"]);
}

#[test]
fn proxies_are_passed_and_leave_no_trace() {
    let plan = Case::args(&[("http_proxy", "p")]).plan("FROM a\nRUN x\n").unwrap();
    let Op::Run(run) = &target(&plan).steps[0].op else { panic!() };
    assert_eq!(run.hidden_env, ["HTTP_PROXY=p", "http_proxy=p"]);
    assert!(!run.env.iter().any(|entry| entry.contains("proxy")));
    assert_eq!(history(&plan), ["RUN /bin/sh -c x # buildkit"]);
}

#[test]
fn triggers_run_first_and_once() {
    let run = RunConfig {
        on_build: Some(vec!["RUN t".into(), "COPY --from=other /a /b".into()]),
        ..RunConfig::default()
    };
    let case = Case { image: ImageConfig { config: run, ..ImageConfig::default() }, ..Case::default() };
    let plan = case.plan("FROM a AS x\nRUN own\nFROM x\nRUN last\n").unwrap();
    assert_eq!(
        shown(&plan),
        [
            "[x 2/4] ONBUILD RUN t",
            "[x 3/4] ONBUILD COPY --from=other /a /b",
            "[x 4/4] RUN own",
            "[stage-1 1/1] RUN last"
        ]
    );
    assert_eq!(plan.images.len(), 2);
    assert_eq!(target(&plan).config.run.on_build, None);
}

/// BuildKit runs them where the context stands in for the image of FROM, not where it stands in for the stage.
#[test]
fn triggers_of_a_context_run_where_it_is_a_base() {
    let run = RunConfig { on_build: Some(vec!["COPY --from=ctx /a /b".into()]), ..RunConfig::default() };
    let contexts = BTreeSet::from(["a".to_owned(), "x".to_owned(), "ctx".to_owned()]);
    let image = ImageConfig { config: run, ..ImageConfig::default() };
    let case = Case { image, contexts, ..Case::default() };
    let (graph, ..) = case.graph("FROM a\nRUN own\n").unwrap();
    assert_eq!(graph.needed_contexts(), BTreeSet::from(["a".to_owned(), "ctx".to_owned()]));
    let steps = |text: &str| -> usize { target(&case.plan(text).unwrap()).steps.len() };
    // Two, and the copy of the context's files, which stand for an image here.
    assert_eq!(steps("FROM a\nRUN own\n"), 3);
    assert_eq!(steps("FROM b AS x\nRUN never\n"), 1);
    assert_eq!(steps("FROM b AS x\nFROM x\nRUN own\n"), 1);
}

#[test]
fn a_stages_own_triggers_are_for_those_on_it() {
    let plan = plan("FROM a AS x\nONBUILD RUN t\nFROM x\nRUN last\n");
    assert_eq!(shown(&plan), ["[stage-1 1/2] ONBUILD RUN t", "[stage-1 2/2] RUN last"]);
}

#[test]
fn what_cannot_be_is_refused() {
    assert_eq!(refusal("FROM $X\n"), "base name ($X) should not be blank");
    assert_eq!(refusal("FROM Upper\n"), "failed to parse stage name \"Upper\": invalid reference format");
    assert_eq!(refusal("FROM a AS x\nCOPY --from=x a b\n"), "circular dependency detected on stage: x");
    assert_eq!(
        refusal("FROM a AS x\nCOPY --from=y a b\nFROM x AS y\n"),
        "circular dependency detected on stage: x"
    );
    assert_eq!(refusal("FROM a\nCOPY --from=7 a b\n"), "invalid stage index 7");
    assert_eq!(refusal("FROM a\nCOPY http://x/y b\n"), "source can't be a URL for COPY");
    let missing = Case { target: Some("bild"), ..Case::default() };
    assert_eq!(
        missing.plan("FROM a AS build\nFROM a\n").unwrap_err().to_string(),
        "target stage \"bild\" could not be found (did you mean build?)"
    );
    assert!(
        refusal("FROM a\nCOPY --from=$X a b\n").starts_with("variable expansion is not supported for --from")
    );
    assert_eq!(
        refusal("FROM --platform=$TARGETPLATFROM a\n"),
        "empty platform value from expression $TARGETPLATFROM (did you mean TARGETPLATFORM?)"
    );
}

#[test]
fn platforms_are_those_of_stages() {
    let case = Case { platform: Some("linux/arm64"), several: true, ..Case::default() };
    let text = "FROM --platform=$BUILDPLATFORM a AS b\nARG TARGETARCH\nRUN make $TARGETARCH\nFROM a\nCOPY --from=b /x /\n";
    let plan = case.plan(text).unwrap();
    assert_eq!(
        shown(&plan),
        ["[linux/amd64->arm64 b 2/2] RUN make arm64", "[linux/arm64 stage-1 2/2] COPY --from=b /x /"]
    );
    let platforms: Vec<String> = plan.images.iter().map(|image| image.platform.to_string()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
}

#[test]
fn contexts_stand_in_for_stages_and_images() {
    let contexts = BTreeSet::from(["a".to_owned(), "src".to_owned(), "x".to_owned()]);
    let case = Case { contexts, ..Case::default() };
    let plan = case.plan("FROM b AS x\nRUN never\nFROM a\nCOPY --from=src . .\nCOPY --from=x . .\n").unwrap();
    assert_eq!(target(&plan).base, InputTree::Context("a".into()));
    assert!(!shown(&plan).iter().any(|text| text.contains("never")));
}

#[test]
fn a_mount_has_the_files_that_its_type_asks_for() {
    let from = |mount: &str| {
        let plan = Case::args(&[("T", "cache")])
            .plan(&format!("FROM scratch AS other\nFROM alpine\nARG T\nRUN --mount={mount},target=/t x\n"))
            .unwrap();
        let Op::Run(run) = &target(&plan).steps[0].op else { panic!("no step") };
        run.mounts[0].from.clone()
    };
    for empty in ["type=cache", "type=Cache", "type=$T", "type=TMPFS", "type=tmpfs,from=other", "type=Ssh"] {
        assert_eq!(from(empty), InputTree::Scratch, "{empty}");
    }
    assert_eq!(from("type=Bind"), InputTree::Context(String::new()));
    for stage in ["type=Cache,from=other", "type=$T,from=other", "from=other"] {
        assert_eq!(from(stage), InputTree::Stage(0), "{stage}");
    }
}
