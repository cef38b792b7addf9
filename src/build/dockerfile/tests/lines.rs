//! Lines: directives, comments, continuations, escapes.

use super::{check, read};
use crate::dockerfile::directives::parse_directives;
use crate::dockerfile::parse;

#[test]
fn lines_end_where_no_escape_character_is() {
    check(&[
        ("RUN a", "2..=2 RUN \"a\""),
        ("RUN a\\\nb", "2..=3 RUN \"ab\""),
        ("RUN a \\\n  b", "2..=3 RUN \"a   b\""),
        ("RUN a \\ \t \n  b", "2..=3 RUN \"a   b\""),
        ("RUN a \\\r\n  b\r\nUSER c\r\n", "2..=3 RUN \"a   b\"\n4..=4 USER \"c\""),
        ("RUN a \\\n  b \\\n  c\n\nUSER d", "2..=4 RUN \"a   b   c\"\n6..=6 USER \"d\""),
        // One behind another escapes nothing and continues nothing.
        ("RUN a\\\\\nUSER b", "2..=2 RUN \"a\\\\\\\\\"\n3..=3 USER \"b\""),
        ("RUN a\\\\\\\nUSER b", "2..=2 RUN \"a\\\\\\\\\\\\\"\n3..=3 USER \"b\""),
        // At the end of the file it continues nothing.
        ("RUN a \\", "2..=2 RUN \"a\""),
        ("RUN a \\\n", "2..=2 RUN \"a\""),
        ("  \t RUN a", "2..=2 RUN \"a\""),
        ("RUN \\\n a", "2..=3 RUN \"a\""),
        ("RU\\\nN a", "2..=3 RUN \"a\""),
        ("\\\nRUN a", "2..=3 RUN \"a\""),
        ("RUN\ta", "2..=2 RUN \"a\""),
        ("RUN a \\\n USER b", "2..=3 RUN \"a  USER b\""),
    ]);
}

#[test]
fn comments_may_stand_between_continued_lines() {
    check(&[
        ("RUN a \\\n# why\n  b", "2..=4 RUN \"a   b\""),
        ("RUN a \\\n  # why \\\n  b", "2..=4 RUN \"a   b\""),
        ("RUN a \\\n# why", "2..=3 RUN \"a\""),
        ("RUN a # no comment", "2..=2 RUN \"a # no comment\""),
        ("# a\n  # b\nRUN a", "4..=4 RUN \"a\""),
        ("# RUN x \\\nRUN a", "3..=3 RUN \"a\""),
        ("RUN echo \\\n  '# x'", "2..=3 RUN \"echo   '# x'\""),
    ]);
}

#[test]
fn empty_lines_between_continued_ones_are_left_out_and_noted() {
    let text = "FROM x\nRUN a \\\n\n  \t\n  b \\\n\nUSER c\nUSER d\n";
    assert_eq!(read(text), "2..=7 RUN \"a   b USER c\"\n8..=8 USER \"d\"");
    assert_eq!(parse(text.as_bytes()).unwrap().empty_continuations, [7]);
    assert_eq!(parse(b"FROM x\nRUN a \\\n# why\n b\n").unwrap().empty_continuations, [0u32; 0]);
}

#[test]
fn comments_directly_above_belong_to_an_instruction() {
    let file = parse(
        b"# syntax=docker/dockerfile:1\n# far away\n\n# b builds\n# b twice\nFROM x AS b\n#c\n#\n# d\nRUN a\nRUN b\n",
    )
    .unwrap();
    let stage = &file.stages[0];
    assert_eq!(stage.comments, ["b builds", "b twice"]);
    assert_eq!(stage.comment.as_deref(), Some("builds"));
    assert_eq!(stage.statements[0].comments, ["d"]);
    assert_eq!(stage.statements[1].comments, Vec::<String>::new());
}

#[test]
fn directives_stand_at_the_head() {
    let directives = |text: &str| parse(text.as_bytes()).unwrap().directives;
    let all = directives("#syntax=a/b:1\n# EsCaPe = `\n\t# check=skip=X;error=true  \nFROM x\n");
    assert_eq!(all.syntax, Some(("a/b:1".into(), 1)));
    assert_eq!(all.escape, '`');
    assert_eq!(all.check, Some(("skip=X;error=true".into(), 3)));
    // Behind a comment, an empty line, an unknown one or an instruction they are comments.
    for head in ["# comment\n", "\n", "# other=1\n", "ARG X\n", "#\n"] {
        assert_eq!(directives(&format!("{head}# escape=`\nFROM x\n")).escape, '\\', "{head}");
    }
    assert_eq!(directives("# escape=\\\nFROM x\n").escape, '\\');
    assert_eq!(directives("\u{feff}# escape=`\nFROM x\n").escape, '`');
    assert_eq!(directives("\u{feff}FROM x\n").escape, '\\');
    // One is no comment above an instruction.
    assert_eq!(parse(b"# escape=`\nFROM x AS escape=`\n").map(|_| ()).unwrap_err().lines(), Some(2..=2));
    assert!(parse(b"# escape=`\nFROM x\n").unwrap().stages[0].comments.is_empty());
}

#[test]
fn the_other_escape_character_continues_lines() {
    assert_eq!(
        read("# escape=`\nFROM x\nRUN dir `\n  c:\\\nRUN b \\\nENV a=` `  b=c\\ d=e\n"),
        "3..=4 RUN \"dir   c:\\\\\"\n5..=5 RUN \"b \\\\\"\n6..=6 ENV [\"a=` ` \", \"b=c\\\\\", \"d=e\"]"
    );
}

#[test]
fn the_syntax_is_found() {
    for (text, found) in [
        ("# syntax=a/b:1\nFROM x", Some(("a/b:1", 1))),
        ("#!/usr/bin/env docker\n# syntax = a/b extra words\n", Some(("a/b extra words", 2))),
        ("\u{feff}# syntax=a/b", Some(("a/b", 1))),
        ("FROM x\n# syntax=a/b", None),
        ("# comment\n# syntax=a/b", None),
        ("# syntax=", None),
        ("", None),
    ] {
        let expected = found.map(|(name, line)| (name.to_owned(), line));
        assert_eq!(parse_directives(text.as_bytes(), '\\').syntax, expected, "{text}");
    }
}

#[test]
fn bytes_that_are_no_text_are_allowed_in_comments_alone() {
    let file = parse(b"# caf\xe9\nFROM x\nRUN a \\\n# na\xefve\n b\n").unwrap();
    assert_eq!(file.stages[0].statements.len(), 1);
    let failure = parse(b"FROM x\nRUN caf\xe9\n").unwrap_err();
    assert_eq!((failure.lines(), failure.to_string().as_str()), (Some(2..=2), "line 2 is not valid UTF-8"));
}

#[test]
fn the_text_of_an_instruction_is_what_was_written_on_one_line() {
    let file = parse(b"  from x as B\nrun a \\\n    && b\nRUN <<EOF\napt-get update\nmore\nEOF\n").unwrap();
    assert_eq!(file.stages[0].text, "from x as B");
    let statements = &file.stages[0].statements;
    assert_eq!(statements[0].text, "run a     && b");
    assert_eq!(statements[0].keyword, "run");
    assert_eq!(statements[0].display_text(), "RUN a     && b");
    assert_eq!(statements[1].display_text(), "RUN <<EOF (apt-get update...)");
}
