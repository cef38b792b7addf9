//! The Dockerfile language: errors and how they are shown, checks, and quoting, expansion and here-documents as programs
//! see them.

use crate::support::{Dhow, Output, each_mode};

/// Builds a context that holds a Dockerfile alone.
fn build(dhow: &Dhow, text: &str, options: &str) -> Output {
    dhow.write("ctx/Dockerfile", text);
    let ctx = dhow.dir().join("ctx");
    dhow.cmd("build --progress plain --network none -t made").words(options).arg(&ctx).output()
}

/// The error message for a file that cannot be built.
fn refused(dhow: &Dhow, text: &str, options: &str) -> String {
    let output = build(dhow, text, options);
    assert_eq!(output.code, 1, "{text}\n{}", output.err());
    output.err()
}

/// The output of `program` in an image built from `text`.
fn says(dhow: &Dhow, text: &str, options: &str, program: &str) -> String {
    let output = build(dhow, text, options);
    assert_eq!(output.code, 0, "{text}\n{}", output.err());
    dhow.cmd("run --rm --network none made").sh(program).ok().out()
}

each_mode! {
    fn what_cannot_be_read_is_shown_where_it_stands(dhow) {
        let err = refused(dhow, "FROM scratch\n\nRUNN ls\n", "");
        let shown = "Dockerfile:3\n\
             --------------------\n\
             \x20  1 |     FROM scratch\n\
             \x20  2 |     \n\
             \x20  3 | >>> RUNN ls\n\
             \x20  4 |     \n\
             --------------------\n\
             ERROR: failed to build: failed to solve: dockerfile parse error on line 3: unknown instruction: RUNN (did you mean RUN?)\n";
        assert!(format!("{err}\n").contains(shown), "{err}");
        for (text, part) in [
            ("FROM scratch\nCOPY --form=x a b\n", "unknown flag: --form (did you mean from?)"),
            ("FROM scratch\nRUN <<EOF\nx\n", "unterminated heredoc"),
            ("RUN true\nFROM scratch\n", "no build stage in current context"),
            ("# nothing\n", "file with no instructions"),
            ("FROM scratch\nENV a\n", "ENV must have two arguments"),
            ("FROM scratch\nWORKDIR ${A?why}\n", "A: why"),
            ("FROM scratch\nWORKDIR ${A\n", "syntax error: missing '}'"),
            ("FROM scratch AS a\nFROM scratch\nCOPY --from=a /x /y\nFROM $NONE\n", "should not be blank"),
            ("FROM scratch\nRUN --mount=type=chache,target=/x true\n", "unsupported mount type \"chache\" (did you mean cache?)"),
        ] {
            let err = refused(dhow, text, "");
            assert!(err.contains(part), "{text}\n{err}");
        }
        let err = refused(dhow, "FROM scratch AS first\n", "--target frist");
        assert!(err.contains("target stage \"frist\" could not be found (did you mean first?)"), "{err}");
    }

    fn rules_are_checked_without_building(dhow) {
        let text = "FROM scratch AS First\nMAINTAINER me\n";
        let checked = build(dhow, text, "--check");
        assert_eq!(checked.code, 1);
        let out = checked.out();
        assert!(out.starts_with("Check complete, 2 warnings have been found!\n\nWARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/\nStage name 'First' should be lowercase\nDockerfile:1\n"), "{out}");
        assert!(out.contains("WARNING: MaintainerDeprecated"), "{out}");
        let json = build(dhow, text, "--call check,format=json").json();
        assert_eq!(json["warnings"][1]["ruleName"], "MaintainerDeprecated");
        assert_eq!(json["warnings"][1]["location"]["ranges"][0]["start"]["line"], 2);
        let fine = build(dhow, "FROM scratch\nLABEL a=b\n", "--check");
        assert_eq!((fine.code, fine.out().as_str()), (0, "Check complete, no warnings found."));
        let skipped = build(dhow, &format!("# check=skip=all\n{text}"), "--check");
        assert_eq!(skipped.code, 0, "{}", skipped.out());
        let broken = build(dhow, "FROM scratch\nRUNN x\n", "--check");
        assert_eq!(broken.code, 1);
        assert!(broken.out().contains("(did you mean RUN?)\nDockerfile:2\n"), "{}", broken.out());
    }

    fn a_broken_rule_is_an_error_where_it_is_said_to_be(dhow) {
        let text = "FROM scratch AS First\nLABEL a=b\n";
        let built = build(dhow, text, "");
        assert_eq!(built.code, 0, "{}", built.err());
        assert!(built.err().contains("StageNameCasing: Stage name 'First' should be lowercase (line 1)"), "{}", built.err());
        let err = refused(dhow, &format!("# check=error=true\n{text}"), "");
        assert!(err.contains("lint violation found for rules: StageNameCasing"), "{err}");
        let err = refused(dhow, text, "--build-arg BUILDKIT_DOCKERFILE_CHECK=error=true");
        assert!(err.contains("lint violation found for rules: StageNameCasing"), "{err}");
    }

    /// What docker 26 said of each when it built it, and BuildKit's checks say the same of stages that nothing needs.
    fn a_check_refuses_what_a_build_refuses(dhow) {
        dhow.with_busybox();
        for (line, part) in [
            ("EXPOSE a", "invalid containerPort: a"),
            ("STOPSIGNAL SIGFOO", "nvalid signal: SIGFOO"),
            ("WORKDIR \"x", "unexpected end of statement while looking for matching double-quote"),
            ("COPY --chmod=9999 a b", "invalid chmod parameter: '9999'"),
            ("RUN --mount=type=bogus,target=/x true", "unsupported mount type \"bogus\""),
            ("RUN --mount=target=. true", "invalid mount target \"/\""),
            ("COPY --from=later a b", "cannot copy from stage \"later\", it needs to be defined before current stage \"first\""),
            ("USER ${NOBODY:?is not said}", "NOBODY: is not said"),
            ("COPY http://x/y z", "source can't be a URL for COPY"),
        ] {
            let text = format!("FROM busybox AS first\n{line}\nFROM scratch AS later\nFROM scratch\nCOPY a b\n");
            let checked = build(dhow, &text, "--check");
            let out = checked.out();
            assert!(checked.code == 1 && out.contains(part) && out.contains("Dockerfile:2\n"), "{line}\n{out}");
            let json = build(dhow, &text, "--call check,format=json").json();
            assert_eq!(json["buildError"]["location"]["ranges"][0]["start"]["line"], 2, "{json}");
            let built = refused(dhow, &text, "--target first");
            assert!(built.contains(part), "{line}\n{built}");
        }
        // The base is not there to ask, and may well set what is used.
        let unknown = build(dhow, "FROM nowhere\nEXPOSE $PORT\nRUN --mount=target=. ${X:?} true\nUSER ${X:?}\n", "--check");
        assert_eq!(unknown.code, 0, "{}", unknown.out());
        let known = build(dhow, "FROM nowhere\nEXPOSE a\n", "--check");
        assert!(known.code == 1 && known.out().contains("invalid containerPort: a"), "{}", known.out());
    }

    fn warnings_come_before_the_error_and_of_what_is_built(dhow) {
        dhow.with_busybox();
        let unread = refused(dhow, "FROM scratch AS First\nMAINTAINER me\nRUNN x\n", "");
        for rule in ["StageNameCasing", "MaintainerDeprecated"] {
            assert!(unread.contains(rule), "{unread}");
        }
        let wrong = refused(dhow, "FROM scratch as first\nENV a b\nEXPOSE a\n", "");
        assert!(wrong.contains("FromAsCasing") && wrong.contains("LegacyKeyValueFormat"), "{wrong}");
        let missing = refused(dhow, "FROM localhost:1/none as first\nENV a b\n", "");
        assert!(missing.contains("FromAsCasing") && !missing.contains("LegacyKeyValueFormat"), "{missing}");
        let text = "FROM scratch AS unneeded\nENV a b\nCMD x\nFROM scratch AS Other\nLABEL a=b\n";
        let built = build(dhow, text, "").err();
        assert!(built.contains("StageNameCasing") && !built.contains("Legacy") && !built.contains("JSONArgs"), "{built}");
        let checked = build(dhow, text, "--check").out();
        for rule in ["StageNameCasing", "LegacyKeyValueFormat", "JSONArgsRecommended"] {
            assert!(checked.contains(rule), "{checked}");
        }
        let reason = build(dhow, "# check=skip=StageNameCasing // old name\nFROM scratch AS First\nLABEL a=b\n", "--check");
        assert_eq!(reason.code, 0, "{}", reason.out());
    }

    fn a_target_and_its_parameters_are_described(dhow) {
        let text = "ARG V=1\n# first is the one\nFROM scratch AS first\n# LEVEL of it\nARG LEVEL=2 V\nFROM scratch\n";
        let outline = build(dhow, text, "--call outline --target first").out();
        assert_eq!(
            outline,
            "TARGET:      first\nDESCRIPTION: is the one\n\n\
             BUILD ARG   VALUE   DESCRIPTION\nV           1       \nLEVEL       2       of it"
        );
        let mounts = "FROM nowhere\nRUN --mount=target=. --mount=type=cache,target=$HOME/c --mount=type=secret,id=key true\n";
        assert_eq!(build(dhow, mounts, "--call outline").out(), "SECRET   REQUIRED\nkey      ");
        let targets = build(dhow, text, "--call targets").out();
        assert_eq!(targets, "TARGET    DESCRIPTION\nfirst     is the one\n(default) ");
    }

    fn values_reach_programs_as_they_were_meant(dhow) {
        dhow.with_busybox();
        let text = r#"# escape=\
ARG BASE=busybox
FROM ${BASE:?} AS base
ARG BASE
ARG LEVEL=${BASE}-1
ENV one="a b" two='$one' three=x\ y four=${LEVEL#busy}
ENV five ${one} "quoted"
ENV six=${unset:-${one/a/c}} seven=${four%-*} BASE=own
FROM base
RUN printf '%s|' "$one" "$two" "$three" "$four" "$five" "$six" "$seven" "$BASE" "$LEVEL" \
    # a comment
    > /values && \

    echo >> /values
"#;
        let output = build(dhow, text, "--build-arg LEVEL=busybox-9");
        assert_eq!(output.code, 0, "{}", output.err());
        let said = dhow.cmd("run --rm --network none made cat /values").ok().out();
        assert_eq!(said, r#"a b|$one|x y|box-9|a b quoted|c b|box|own|busybox-9|"#);
    }

    fn here_documents_are_scripts_and_files(dhow) {
        dhow.with_busybox();
        let text = "FROM busybox\n\
            ENV NAME=world\n\
            RUN <<EOF\n\
            echo hello $NAME > /a\n\
            for i in 1 2; do echo $i; done >> /a\n\
            EOF\n\
            RUN <<-script\n\
            \t#!/bin/sh -e\n\
            \techo \"$0 $NAME\" >> /a\n\
            \tscript\n\
            RUN cat <<one >> /a && cat 3<<'two' <&3 >> /a\n\
            $NAME\n\
            one\n\
            $NAME\n\
            two\n\
            COPY <<b <<\"c d.txt\" <<'e' /dir/\n\
            it's ${NAME:+\"you\"}\n\
            b\n\
            file\n\
            c d.txt\n\
            $NAME\n\
            e\n";
        // A name with a blank is no single word for COPY, as in BuildKit.
        let text = text.replace("\"c d.txt\"", "c.txt").replace("c d.txt", "c.txt");
        let program = "cat /a; ls /dir; cat /dir/b /dir/c.txt /dir/e";
        let said = says(dhow, &text, "", program);
        assert_eq!(
            said,
            "hello world\n1\n2\n/dev/pipes/script world\nworld\n$NAME\nb\nc.txt\ne\nit's \"you\"\nfile\n$NAME"
        );
        // A line for each step, however many its script has.
        let listed = dhow.cmd("history --no-trunc made").ok().lines();
        assert_eq!(listed.len(), 1 + dhow.cmd("history -q made").ok().lines().len(), "{listed:#?}");
    }

    /// As BuildKit 0.22 and later do; before, the text was read as instructions.
    fn a_blank_may_stand_before_the_name_of_a_here_document(dhow) {
        dhow.with_busybox();
        let text = "FROM busybox\nENV N=world\n\
            RUN cat << EOF > /a\n$N $((1 << 2))\nEOF\n\
            RUN cat << 'A' 3<< B <&3 >> /a\n$N\nA\nthree\nB\n\
            RUN <<- EOF\n\tcat >> /a << END\n\tinner\n\tEND\n\tEOF\n\
            RUN echo $((1 << 2)) >> /a\n\
            COPY << EOF /b\n$N\nEOF\n";
        assert_eq!(says(dhow, text, "", "cat /a /b"), "world 4\nthree\ninner\n4\nworld");
    }

    fn triggers_of_a_base_are_carried_out(dhow) {
        dhow.with_busybox();
        let base = "FROM busybox\nONBUILD ARG WHO=nobody\nONBUILD RUN <<EOF\necho $WHO > /who\nEOF\nONBUILD WORKDIR /deep\n";
        assert_eq!(build(dhow, base, "-t trigger").code, 0);
        let said = says(dhow, "FROM trigger\nRUN pwd >> /who\n", "--build-arg WHO=me", "cat /who; pwd");
        assert_eq!(said, "me\n/deep\n/deep");
    }
}
