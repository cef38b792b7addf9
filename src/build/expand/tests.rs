//! Words of every form, with what becomes of them.

use super::*;

fn variables() -> Vec<(String, String)> {
    [
        ("NAME", "value"),
        ("EMPTY", ""),
        ("TWO", "a b"),
        ("PATHS", "/usr/local/bin"),
        ("FILE", "archive.tar.gz"),
        ("STARS", "a*b*c"),
        ("HÖHE", "3"),
        ("LINES", "one\ntwo"),
        ("1", "first"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

fn text(word: &str) -> String {
    super::expand_word(word, '\\', &variables())
        .map_or_else(|why| format!("ERROR {why}"), |expanded| expanded.text)
}

fn check(cases: &[(&str, &str)]) {
    for (input, expected) in cases {
        assert_eq!(text(input), *expected, "{input}");
    }
}

#[test]
fn quotes_and_escapes_are_removed() {
    check(&[
        ("", ""),
        ("plain", "plain"),
        ("a b", "a b"),
        ("'a b'", "a b"),
        ("\"a b\"", "a b"),
        ("a'b'\"c\"d", "abcd"),
        ("'\"'", "\""),
        ("\"'\"", "'"),
        (r"a\ b", "a b"),
        (r"\'a\'", "'a'"),
        (r"'a\b'", r"a\b"),
        (r#""a\b""#, r"a\b"),
        (r#""a\"b""#, "a\"b"),
        (r#""a\\b""#, r"a\b"),
        (r"a\\b", r"a\b"),
        (r"a\", "a"),
        (r"\$NAME", "$NAME"),
        (r#""\$NAME""#, "$NAME"),
        ("'$NAME'", "$NAME"),
        ("''", ""),
        ("ünïcode", "ünïcode"),
    ]);
}

#[test]
fn variables_are_replaced() {
    check(&[
        ("$NAME", "value"),
        ("${NAME}", "value"),
        ("x${NAME}y", "xvaluey"),
        ("$NAMEx", ""),
        ("$NAME-x", "value-x"),
        ("\"$NAME\"", "value"),
        ("$UNSET", ""),
        ("$EMPTY", ""),
        ("$", "$"),
        ("$ x", "$ x"),
        ("a$", "a$"),
        ("$1", "first"),
        ("$12", ""),
        ("$1x", "firstx"),
        ("$@", ""),
        ("$HÖHE", "3"),
        ("$.", "$."),
        ("${TWO}", "a b"),
    ]);
}

#[test]
fn a_missing_value_is_replaced_reported_or_taken_for_none() {
    check(&[
        ("${NAME:-other}", "value"),
        ("${EMPTY:-other}", "other"),
        ("${EMPTY-other}", ""),
        ("${UNSET:-other}", "other"),
        ("${UNSET-other}", "other"),
        ("${UNSET:-}", ""),
        ("${NAME:+other}", "other"),
        ("${EMPTY:+other}", ""),
        ("${EMPTY+other}", "other"),
        ("${UNSET+other}", ""),
        ("${NAME:?no}", "value"),
        ("${EMPTY?no}", ""),
        ("${UNSET:?no}", "ERROR failed to process \"${UNSET:?no}\": UNSET: no"),
        ("${UNSET?}", "ERROR failed to process \"${UNSET?}\": UNSET: is not allowed to be unset"),
        ("${EMPTY:?}", "ERROR failed to process \"${EMPTY:?}\": EMPTY: is not allowed to be empty"),
    ]);
}

#[test]
fn operands_are_words_themselves() {
    check(&[
        ("${UNSET:-$NAME}", "value"),
        ("${UNSET:-${EMPTY:-${NAME}}}", "value"),
        ("${UNSET:-'a}b'}", "a}b"),
        ("${UNSET:-\"$NAME $TWO\"}", "value a b"),
        (r"${UNSET:-a\}b}", "a}b"),
        ("${UNSET:-a b}", "a b"),
        ("${NAME:+x${NAME}x}", "xvaluex"),
        ("${PATHS#${EMPTY}/usr}", "/local/bin"),
    ]);
}

#[test]
fn beginnings_and_ends_are_cut_off() {
    check(&[
        ("${PATHS#*/}", "usr/local/bin"),
        ("${PATHS##*/}", "bin"),
        ("${PATHS%/*}", "/usr/local"),
        ("${PATHS%%/*}", ""),
        ("${FILE%.*}", "archive.tar"),
        ("${FILE%%.*}", "archive"),
        ("${FILE#archive.}", "tar.gz"),
        ("${FILE#nothing}", "archive.tar.gz"),
        ("${FILE%??}", "archive.tar."),
        ("${FILE#????????}", "tar.gz"),
        ("${FILE#[a]}", "archive.tar.gz"),
        (r"${STARS#a\*}", "b*c"),
        ("${STARS##*}", ""),
        ("${STARS#*}", "a*b*c"),
        (r"${STARS%\*c}", "a*b"),
        ("${LINES#*t}", "one\ntwo"),
        ("${UNSET#x}", ""),
    ]);
    let why = "invalid pattern (\\v) in substitution: invalid escape '\\v'";
    assert!(text(r"${NAME#\v}").ends_with(why));
}

#[test]
fn matches_are_replaced() {
    check(&[
        ("${PATHS/usr/opt}", "/opt/local/bin"),
        (r"${PATHS/\//-}", "-usr/local/bin"),
        (r"${PATHS//\//-}", "-usr-local-bin"),
        ("${FILE/.*/}", "archive"),
        ("${FILE//a/b}", "brchive.tbr.gz"),
        ("${FILE//?/x}", "xxxxxxxxxxxxxx"),
        ("${FILE/nothing/x}", "archive.tar.gz"),
        ("${FILE/tar/$NAME}", "archive.value.gz"),
        ("${NAME/a/}", "vlue"),
        ("${NAME//*/x}", "x"),
        ("${UNSET/a/b}", ""),
        ("${NAME/a}", "ERROR failed to process \"${NAME/a}\": syntax error: missing '/' in ${}"),
    ]);
}

#[test]
fn what_is_no_substitution_is_refused_in_buildkits_words() {
    for (input, why) in [
        ("${", "syntax error: missing '}'"),
        ("${NAME", "syntax error: missing '}'"),
        ("${NAME:", "syntax error: missing '}'"),
        ("${NAME:-x", "syntax error: missing '}'"),
        ("${}", "syntax error: bad substitution"),
        ("${{NAME}", "syntax error: bad substitution"),
        ("${:-x}", "syntax error: bad substitution"),
        ("${NAME^}", "unsupported modifier (^) in substitution"),
        ("${NAME:=x}", "unsupported modifier (:=) in substitution"),
        ("${NAME:#x}", "unsupported modifier (:#) in substitution"),
        ("'a", "unexpected end of statement while looking for matching single-quote"),
        ("\"a", "unexpected end of statement while looking for matching double-quote"),
        ("a${NAME:-\"x}", "syntax error: missing '}'"),
    ] {
        let expected = format!("ERROR failed to process \"{}\": {why}", input.escape_debug());
        assert_eq!(text(input), expected);
    }
}

#[test]
fn the_other_escape_character_leaves_backslashes_alone() {
    let text = |word: &str| super::expand_word(word, '`', &variables()).unwrap().text;
    assert_eq!(text(r"C:\dir\$NAME"), r"C:\dir\value");
    assert_eq!(text("`$NAME ``x"), "$NAME `x");
    assert_eq!(text("\"a`\"b\""), "a\"b");
}

#[test]
fn words_are_split_after_the_expansion_unless_quoted() {
    let words = |text: &str| super::expand_word(text, '\\', &variables()).unwrap().words;
    assert_eq!(words("x $TWO y"), ["x", "a", "b", "y"]);
    assert_eq!(words("x \"$TWO\" y"), ["x", "a b", "y"]);
    assert_eq!(words("x${TWO}y"), ["xa", "by"]);
    assert_eq!(words(r"a\ b  'c d'"), ["a b", "c d"]);
    assert_eq!(words("$EMPTY ''"), Vec::<String>::new());
}

#[test]
fn the_names_asked_for_are_told() {
    let names = super::expand_word("$NAME ${UNSET:-$EMPTY} $UNSET $", '\\', &variables()).unwrap().names;
    assert_eq!(names.used.iter().collect::<Vec<_>>(), ["EMPTY", "NAME"]);
    assert_eq!(names.undefined.iter().collect::<Vec<_>>(), ["UNSET"]);
}

#[test]
fn quotes_are_text_in_here_documents() {
    let text = |content: &str| expand_here_doc(content, &variables()).unwrap().text;
    assert_eq!(text("it's \"$NAME\"\n"), "it's \"value\"\n");
    assert_eq!(text("\\$NAME \\\\ \\n\n"), "$NAME \\ n\n");
    assert_eq!(text("${UNSET:-'q'}"), "'q'");
}

#[test]
fn what_was_not_set_can_be_kept_as_it_was_written() {
    let lexer = ShellLexer { keep_unset: true, raw_quotes: true, raw_escapes: true, ..ShellLexer::new('\\') };
    for word in ["$A", "${A}", "${A:-b}", "${A#b}", "${A/b/c}", r#""$A"\ 'b'"#] {
        assert_eq!(lexer.expand(word, &()).unwrap().text, word);
    }
}

#[test]
fn hostile_words_end() {
    let deep = format!("{}{}", "${A:-".repeat(5000), "}".repeat(5000));
    assert!(text(&deep).contains("nested too deeply"));
    let long: Vec<(String, String)> = vec![("A".into(), "a".repeat(60_000))];
    assert!(super::expand_word("${A//*a*a*b/x}", '\\', &long).is_err());
    assert!(super::expand_word(&"$A".repeat(1000), '\\', &long).is_err());
}

mod instructions {
    use crate::ast::Instruction;
    use crate::dockerfile::parse_statement;
    use dhow_error::Failure;

    fn expanded(line: &str) -> Result<Instruction, Failure> {
        let statement = parse_statement(line, '\\').unwrap();
        super::expand_instruction(&statement.instruction, '\\', &super::variables())
            .map(|(instruction, _)| instruction)
    }

    fn same(line: &str, as_if: &str) {
        assert_eq!(expanded(line).unwrap(), parse_statement(as_if, '\\').unwrap().instruction, "{line}");
    }

    #[test]
    fn what_has_no_shell_is_expanded() {
        same("WORKDIR /$NAME", "WORKDIR /value");
        same("USER ${NAME}:$1", "USER value:first");
        same("STOPSIGNAL $NAME", "STOPSIGNAL value");
        same("VOLUME $NAME /$1", "VOLUME value /first");
        same("VOLUME [\"$NAME\"]", "VOLUME [\"value\"]");
        same(
            "COPY --chown=$NAME --chmod=$1 $NAME x /$1/",
            "COPY --chown=value --chmod=first value x /first/",
        );
        same("ADD --checksum=$NAME $NAME y", "ADD --checksum=value value y");
        same("RUN --mount=type=$NAME,target=/$1 $NAME", "RUN --mount=type=value,target=/first $NAME");
        same("COPY <<a /x\n$NAME's\na", "COPY <<a /x\nvalue's\na");
        same("COPY <<'a' /x\n$NAME's\na", "COPY <<'a' /x\n$NAME's\na");
        let Instruction::Expose(ports) = expanded("EXPOSE $TWO 80").unwrap() else { panic!() };
        assert_eq!(ports, ["a", "b", "80"]);
        let Instruction::Env(pairs) = expanded(r#"ENV $NAME="$TWO" b='$NAME' c=d\ e"#).unwrap() else {
            panic!()
        };
        let pairs: Vec<_> = pairs.iter().map(|pair| (pair.name.as_str(), pair.value.as_str())).collect();
        assert_eq!(pairs, [("value", "a b"), ("b", "$NAME"), ("c", "d e")]);
    }

    #[test]
    fn what_a_shell_reads_and_what_comes_later_is_not() {
        for line in [
            "RUN echo $NAME",
            "RUN <<a\n$NAME\na",
            "CMD $NAME",
            "CMD [\"$NAME\"]",
            "ENTRYPOINT $NAME",
            "SHELL [\"$NAME\"]",
            "HEALTHCHECK --interval=1s CMD $NAME",
            "ONBUILD RUN $NAME",
            "MAINTAINER $NAME",
            "ARG X=$NAME",
            "COPY --from=x --exclude=$NAME a b",
        ] {
            same(line, line);
        }
    }

    #[test]
    fn names_of_all_words_are_told() {
        let statement = parse_statement("ENV a=$NAME b=$UNSET", '\\').unwrap();
        let (_, names) =
            super::expand_instruction(&statement.instruction, '\\', &super::variables()).unwrap();
        assert!(names.used.contains("NAME") && names.undefined.contains("UNSET"));
        assert!(expanded("WORKDIR ${NAME").is_err());
    }
}
