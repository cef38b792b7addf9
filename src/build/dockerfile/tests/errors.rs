//! What is refused: in which words, and at which lines.

use super::read;
use crate::dockerfile::parse;

/// Each text behind `FROM x`; the message without what BuildKit puts before it.
fn refused(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let read = read(&format!("FROM x\n{text}"));
        let message = read.strip_prefix("ERROR Some(2..=2) dockerfile parse error on line 2: ");
        assert_eq!(message.unwrap_or(&read), *expected, "{text}");
    }
}

#[test]
fn instructions_that_do_not_exist() {
    refused(&[
        ("RUNN a", "unknown instruction: RUNN (did you mean RUN?)"),
        ("frmo a", "unknown instruction: frmo (did you mean from?)"),
        ("Coppy a b", "unknown instruction: Coppy (did you mean COPY?)"),
        ("INCLUDE a", "unknown instruction: INCLUDE"),
        ("&& b", "unknown instruction: &&"),
        ("É", "unknown instruction: É"),
    ]);
}

#[test]
fn flags_that_do_not_exist() {
    refused(&[
        ("COPY --form=a b c", "unknown flag: --form (did you mean from?)"),
        ("COPY --bogus b c", "unknown flag: --bogus"),
        ("ADD --from=a b c", "unknown flag: --from"),
        ("COPY --checksum=a b c", "unknown flag: --checksum"),
        ("COPY --chown=a --chown=b b c", "duplicate flag specified: --chown"),
        ("COPY --chown b c", "missing a value on flag: --chown"),
        ("COPY --link= b c", "missing a value on flag: --link"),
        ("COPY --link=maybe b c", "expecting boolean value for flag --link, not: maybe"),
        ("RUN --muont=x a", "unknown flag: --muont (did you mean mount?)"),
        ("ENV --a b=c", "unknown flag: --a"),
        ("WORKDIR --a b", "unknown flag: --a"),
        ("CMD --a b", "unknown flag: --a"),
        ("EXPOSE --a 1", "unknown flag: --a"),
        ("MAINTAINER --a b", "unknown flag: --a"),
        ("HEALTHCHECK --interval=1s --foo=1 CMD a", "unknown flag: --foo"),
        ("FROM --plattform=x y", "unknown flag: --plattform (did you mean platform?)"),
    ]);
}

#[test]
fn arguments_that_are_missing_or_too_many() {
    refused(&[
        ("ENV", "ENV requires at least one argument"),
        ("LABEL", "LABEL requires at least one argument"),
        ("ENV =a", "ENV names can not be blank"),
        ("ARG", "ARG requires at least one argument"),
        ("ARG =a", "ARG names can not be blank"),
        (
            "COPY a",
            "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        (
            "ADD",
            "ADD requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("USER", "USER requires exactly one argument"),
        ("STOPSIGNAL", "STOPSIGNAL requires exactly one argument"),
        ("MAINTAINER", "MAINTAINER requires exactly one argument"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("VOLUME", "VOLUME requires at least one argument"),
        ("VOLUME []", "VOLUME requires at least one argument"),
        ("VOLUME [\" \"]", "VOLUME specified can not be an empty string"),
        ("SHELL []", "SHELL requires at least one argument"),
        ("SHELL bash -c", "SHELL requires the arguments to be in JSON form"),
        ("FROM", "FROM requires either one or three arguments"),
        ("FROM a b", "FROM requires either one or three arguments"),
        ("FROM a as", "FROM requires either one or three arguments"),
        ("FROM a is b", "FROM requires either one or three arguments"),
        (
            "FROM a AS 1b",
            "invalid name for build stage: \"1b\", name can't start with a number or contain symbols",
        ),
        (
            "FROM a AS b/c",
            "invalid name for build stage: \"b/c\", name can't start with a number or contain symbols",
        ),
    ]);
}

#[test]
fn values_that_cannot_be() {
    refused(&[
        ("RUN --network=bridge a", "invalid network mode \"bridge\""),
        ("RUN --security=none a", "security \"none\" is not valid"),
        (
            "RUN --mount=from=$x,target=/y a",
            "'from' doesn't support variable expansion, define alias stage instead",
        ),
        (
            "COPY a <<b\nb",
            "ERROR Some(2..=3) dockerfile parse error on line 2: COPY cannot accept a heredoc as a destination",
        ),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK NONE a", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK CMD []", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK curl x", "Unknown type \"CURL\" in HEALTHCHECK (try CMD)"),
        ("HEALTHCHECK --interval=1us CMD a", "Interval \"interval\" cannot be less than 1ms"),
        ("HEALTHCHECK --timeout=-1s CMD a", "Interval \"timeout\" cannot be less than 1ms"),
        ("HEALTHCHECK --retries=-1 CMD a", "--retries cannot be negative (-1)"),
        ("HEALTHCHECK --retries=x CMD a", "--retries has to be a number, and not \"x\""),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("ONBUILD ONBUILD RUN a", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD from x", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD MAINTAINER x", "MAINTAINER isn't allowed as an ONBUILD trigger"),
    ]);
    assert!(read("FROM x\nHEALTHCHECK --interval=soon CMD a").contains("invalid duration `soon`"));
    assert!(read("FROM x\nRUN --mount='\"target=/x' a").contains("failed to parse csv mounts"));
}

#[test]
fn lines_that_cannot_be_split_are_refused_first() {
    for (text, expected) in [
        ("FROM x\nBOGUS\nENV a\n", "ERROR Some(3..=3) ENV must have two arguments"),
        ("FROM x\nLABEL a\n", "ERROR Some(2..=2) LABEL must have two arguments"),
        (
            "FROM x\nENV a=b c\n",
            "ERROR Some(2..=2) Syntax error - can't find = in \"c\". Must be of the form: name=value",
        ),
        (
            "FROM x\nRUN [\"a\", 1]\n",
            "ERROR Some(2..=2) when using JSON array syntax, arrays must be comprised of strings only",
        ),
        ("FROM x\nRUN a \\\n <<EOF\nb\n", "ERROR Some(2..=4) unterminated heredoc"),
        ("FROM x\nRUN <<A <<B\nB\nA\n", "ERROR Some(2..=4) unterminated heredoc"),
    ] {
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn files_that_are_none() {
    for (text, expected) in [
        ("", "ERROR None the Dockerfile cannot be empty"),
        ("\n# nothing\n", "ERROR Some(2..=2) file with no instructions"),
        ("ARG A\n", "ERROR None dockerfile contains no stages to build"),
        ("ARG A\nRUN a\nFROM x\n", "ERROR Some(2..=2) no build stage in current context"),
        (
            "RUNN a\n",
            "ERROR Some(1..=1) dockerfile parse error on line 1: unknown instruction: RUNN (did you mean RUN?)",
        ),
        ("# escape=x\nFROM x\n", "ERROR Some(1..=1) invalid escape token 'x' does not match ` or \\"),
        (
            "# syntax=a\n# escape=`\n# Escape=`\nFROM x\n",
            "ERROR Some(3..=3) only one escape parser directive can be used",
        ),
    ] {
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn lines_have_an_end() {
    let fits = format!("FROM x\nRUN {}\nUSER y\n", "a".repeat(65_530));
    assert_eq!(parse(fits.as_bytes()).unwrap().stages[0].statements.len(), 2);
    let long = format!("FROM x\nRUN {}\n", "a".repeat(65_536));
    let failure = parse(long.as_bytes()).unwrap_err();
    assert_eq!(failure.to_string(), "dockerfile line greater than max allowed size of 65535");
    assert_eq!(failure.lines(), Some(2..=2));
}

#[test]
fn an_error_of_several_lines_names_them_all() {
    let failure = parse(b"FROM x\nRUN a\nCPOY a \\\n  b\nRUN c\n").unwrap_err();
    assert_eq!(failure.lines(), Some(3..=4));
    assert_eq!(
        failure.to_string(),
        "dockerfile parse error on line 3: unknown instruction: CPOY (did you mean COPY?)"
    );
}

#[test]
fn what_to_write_instead_is_said_where_it_is_clear() {
    let failure = parse(b"FROM x\nSHELL bash -c\n").unwrap_err();
    assert_eq!(failure.hint_text(), Some("SHELL [\"bash\",\"-c\"]"));
}
