//! Every instruction in all its forms.

use super::{check_one, statement};
use crate::ast::Stage;
use crate::dockerfile::{expose, health, parse, parse_statement};

fn stage(line: &str) -> Stage {
    parse(line.as_bytes()).unwrap().stages.remove(0)
}

#[test]
fn from() {
    let plain = stage("FROM debian:12\n");
    assert_eq!((plain.base.as_str(), plain.name, plain.platform), ("debian:12", None, None));
    let full = stage("from --platform=$BUILDPLATFORM  ${IMAGE:-x} aS Build-1.2_x\n");
    assert_eq!((full.base.as_str(), full.name.as_deref()), ("${IMAGE:-x}", Some("build-1.2_x")));
    assert_eq!(full.written_name.as_deref(), Some("Build-1.2_x"));
    assert_eq!(full.platform.as_deref(), Some("$BUILDPLATFORM"));
    assert_eq!((full.keyword.as_str(), full.as_keyword.as_deref()), ("from", Some("aS")));
}

#[test]
fn stages_and_the_arguments_before_them() {
    let file = parse(b"ARG A=1\nARG B\nFROM x\nARG C\nRUN a\nFROM y AS z\nRUN b\n").unwrap();
    assert_eq!(file.arguments.len(), 2);
    assert_eq!(file.stages.iter().map(|stage| stage.statements.len()).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn run() {
    check_one(&[
        ("RUN a b", "RUN \"a b\""),
        ("run  a   'b c'  ", "RUN \"a   'b c'\""),
        ("RUN", "RUN \"\""),
        ("RUN [\"a\", \"b c\"]", "RUN exec [\"a\", \"b c\"]"),
        ("RUN [ \"a\" ]  ", "RUN exec [\"a\"]"),
        ("RUN []", "RUN exec []"),
        ("RUN [\"a\\u00e9\\\"\\\\\"]", "RUN exec [\"aé\\\"\\\\\"]"),
        ("RUN [\"a\", \\\n \"b\"]", "RUN exec [\"a\", \"b\"]"),
        // What is no JSON is for the shell, `[` being a command.
        ("RUN ['a', 'b']", "RUN \"['a', 'b']\""),
        ("RUN [ -f x ] && y", "RUN \"[ -f x ] && y\""),
        ("RUN [\"a\"", "RUN \"[\\\"a\\\"\""),
        ("RUN [\"a\",]", "RUN \"[\\\"a\\\",]\""),
        ("RUN [\"a\"] b", "RUN \"[\\\"a\\\"] b\""),
        ("RUN --network=none --security=insecure a", "RUN network=none security=insecure \"a\""),
        (
            "RUN --mount=type=cache,target=/c,RO --mount=target=\"/a b\" \"--mount=target=/d\" x",
            "RUN mount(type=cache target=/c ro) mount(target=/a b) \"\\\"--mount=target=/d\\\" x\"",
        ),
        ("RUN --mount='\"target=/a,b\",ro' x", "RUN mount(target=/a,b ro) \"x\""),
        ("RUN --mount=type=$T,target=/c x", "RUN mount(type=$T target=/c) \"x\""),
        ("RUN --device=vendor/class=x,required a", "RUN device=vendor/class=x,required \"a\""),
        ("RUN --network=none \\\n  [\"a\"]", "RUN network=none exec [\"a\"]"),
        ("RUN -- --a", "RUN \"--a\""),
        ("RUN a --network=none", "RUN \"a --network=none\""),
        ("RUN $X ${Y} \\$z", "RUN \"$X ${Y} \\\\$z\""),
    ]);
}

#[test]
fn copy_and_add() {
    check_one(&[
        ("COPY a b", "COPY [\"a\"] -> \"b\""),
        ("COPY a b /c/", "COPY [\"a\", \"b\"] -> \"/c/\""),
        ("COPY [\"a b\", \"c\"]", "COPY [\"a b\"] -> \"c\""),
        ("COPY ['a', 'b']", "COPY [\"['a',\"] -> \"'b']\""),
        ("COPY \"a b\" c", "COPY [\"\\\"a\", \"b\\\"\"] -> \"c\""),
        ("COPY a\\ b c", "COPY [\"a\\\\\", \"b\"] -> \"c\""),
        (
            "COPY --from=build --chown=1:2 --chmod=u+x --link --parents --exclude=*.a --exclude=b a c",
            "COPY from=build chown=1:2 chmod=u+x link parents exclude=*.a exclude=b [\"a\"] -> \"c\"",
        ),
        ("COPY --link=false --parents=TRUE a b", "COPY parents [\"a\"] -> \"b\""),
        ("COPY --from= a b", "COPY [\"a\"] -> \"b\""),
        ("COPY --chown=\"a b\" a b", "COPY chown=a b [\"a\"] -> \"b\""),
        (
            "ADD --checksum=sha256:1 --keep-git-dir --unpack=false https://x/y /z",
            "ADD checksum=sha256:1 keep-git-dir unpack=false [\"https://x/y\"] -> \"/z\"",
        ),
        ("ADD --unpack a.tar /", "ADD unpack=true [\"a.tar\"] -> \"/\""),
    ]);
}

#[test]
fn env_and_label() {
    check_one(&[
        ("ENV a=b", "ENV [\"a=b\"]"),
        ("ENV a=b c=\"d e\" f='g h' i=j\\ k", "ENV [\"a=b\", \"c=\\\"d e\\\"\", \"f='g h'\", \"i=j\\\\ k\"]"),
        ("ENV a=", "ENV [\"a=\"]"),
        ("ENV a=b=c", "ENV [\"a=b=c\"]"),
        ("ENV a=\"b\nENV c=d", "ENV [\"a=\\\"b\"]\n3..=3 ENV [\"c=d\"]"),
        ("ENV a b  c ", "ENV legacy [\"a=b  c\"]"),
        ("ENV a b=c", "ENV legacy [\"a=b=c\"]"),
        ("ENV a\t\"b\"", "ENV legacy [\"a=\\\"b\\\"\"]"),
        ("ENV a=b \\\n    c=d", "ENV [\"a=b\", \"c=d\"]"),
        ("ENV a=\"x\\\ny\"", "ENV [\"a=\\\"xy\\\"\"]"),
        ("ENV $a=$b", "ENV [\"$a=$b\"]"),
        ("LABEL \"a b\"=c", "LABEL [\"\\\"a b\\\"=c\"]"),
        ("LABEL a=b 'c'=d", "LABEL [\"a=b\", \"'c'=d\"]"),
        ("LABEL a b", "LABEL legacy [\"a=b\"]"),
    ]);
}

#[test]
fn arg() {
    check_one(&[
        ("ARG a", "ARG [\"a\"]"),
        ("ARG a=", "ARG [\"a=\"]"),
        ("ARG a=b c d=\"e f\"", "ARG [\"a=b\", \"c\", \"d=\\\"e f\\\"\"]"),
        ("ARG a=${b:-c d}", "ARG [\"a=${b:-c\", \"d}\"]"),
    ]);
}

#[test]
fn whole_lines() {
    check_one(&[
        ("WORKDIR /a b", "WORKDIR \"/a b\""),
        ("WORKDIR \"/a\"", "WORKDIR \"\\\"/a\\\"\""),
        ("USER 1000:1000", "USER \"1000:1000\""),
        ("STOPSIGNAL SIGQUIT", "STOPSIGNAL \"SIGQUIT\""),
        ("MAINTAINER A <a@b>", "MAINTAINER \"A <a@b>\""),
        ("ONBUILD   run  a", "ONBUILD \"run  a\""),
        ("onbuild COPY --from=x a b", "ONBUILD \"COPY --from=x a b\""),
        ("ONBUILD BOGUS x", "ONBUILD \"BOGUS x\""),
    ]);
}

#[test]
fn expose_and_volume() {
    check_one(&[
        ("EXPOSE 80/tcp  443 $PORT", "EXPOSE [\"$PORT\", \"443\", \"80/tcp\"]"),
        ("VOLUME /a /b", "VOLUME [\"/a\", \"/b\"]"),
        ("VOLUME [\"/a b\", \"/c\"]", "VOLUME [\"/a b\", \"/c\"]"),
        ("VOLUME /a:/b", "VOLUME [\"/a:/b\"]"),
    ]);
}

#[test]
fn commands() {
    check_one(&[
        ("CMD a b", "CMD \"a b\""),
        ("CMD [\"a\"]", "CMD exec [\"a\"]"),
        ("CMD", "CMD \"\""),
        ("CMD []", "CMD exec []"),
        ("ENTRYPOINT a", "ENTRYPOINT \"a\""),
        ("ENTRYPOINT []", "ENTRYPOINT exec []"),
        ("SHELL [\"/bin/bash\", \"-c\"]", "SHELL [\"/bin/bash\", \"-c\"]"),
        ("HEALTHCHECK NONE", "HEALTHCHECK -,-,-,-,- NONE"),
        ("HEALTHCHECK none", "HEALTHCHECK -,-,-,-,- NONE"),
        ("HEALTHCHECK CMD a b", "HEALTHCHECK -,-,-,-,- \"a b\""),
        (
            "HEALTHCHECK --interval=1m --timeout=3s --start-period=0s --start-interval=5ms --retries=3 cmd [\"a\"]",
            "HEALTHCHECK 1m,3s,0s,5ms,3 exec [\"a\"]",
        ),
    ]);
}

#[test]
fn one_instruction_alone() {
    let alone =
        |text: &str| parse_statement(text, '\\').map(|one| statement(&one)).map_err(|why| why.to_string());
    assert_eq!(alone("ENV a=b \\\n c=d").unwrap(), "ENV [\"a=b\", \"c=d\"]");
    assert_eq!(alone("# escape=`\nUSER a").unwrap(), "USER \"a\"");
    assert_eq!(alone("FROM x").unwrap_err(), "FROM is not allowed here");
    assert_eq!(alone("").unwrap_err(), "file with no instructions");
    assert_eq!(alone("USRE x").unwrap_err(), "unknown instruction: USRE (did you mean USER?)");
    assert!(alone("USER a\nUSER b").unwrap_err().ends_with("more than one instruction"));
}

#[test]
fn times_of_health_checks() {
    let times = |text: &str| {
        let statement = parse_statement(text, '\\').unwrap();
        let super::Instruction::HealthCheck(check) = statement.instruction else { panic!() };
        health::parse_timings(&check).unwrap()
    };
    let all = times("HEALTHCHECK --interval=1h2m --timeout=500ms --start-period=0s --retries=0 CMD a");
    assert_eq!(all.interval.unwrap().as_secs(), 3720);
    assert_eq!(all.timeout.unwrap().as_millis(), 500);
    assert_eq!((all.start_period, all.retries), (None, None));
    assert_eq!(times("HEALTHCHECK --retries=5 CMD a").retries, Some(5));
}

#[test]
fn ports() {
    let ports = |text: &str| {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        expose::expand_ports(&words).map(|ports| ports.join(" ")).unwrap_or_else(|why| why.to_string())
    };
    for (text, expected) in [
        ("80", "80/tcp"),
        ("80/udp 81/SCTP", "80/udp 81/sctp"),
        ("80-82/udp", "80/udp 81/udp 82/udp"),
        ("8080:80", "80/tcp"),
        ("127.0.0.1:8080:80", "80/tcp"),
        ("[::1]:8080:80/udp", "80/udp"),
        ("8000-8001:80-81", "80/tcp 81/tcp"),
        ("0", "0/tcp"),
        ("80/", "80/tcp"),
        ("x", "invalid port: \"x\": invalid containerPort: x"),
        ("65536", "invalid port: \"65536\": invalid containerPort: 65536"),
        ("82-80", "invalid port: \"82-80\": invalid containerPort: 82-80"),
        ("80/icmp", "invalid port: \"80/icmp\": invalid proto: icmp"),
        ("/tcp", "invalid port: \"/tcp\": no port specified: /tcp<empty>"),
        ("a.b:1:2", "invalid port: \"a.b:1:2\": invalid IP address: a.b"),
        ("x:2", "invalid port: \"x:2\": invalid hostPort: x"),
        (
            "1-3:1-2",
            "invalid port: \"1-3:1-2\": invalid ranges specified for container and host Ports: 1-2 and 1-3",
        ),
    ] {
        assert_eq!(ports(text), expected, "{text}");
    }
}
