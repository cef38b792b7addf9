//! Here-documents.

use super::{check, statement};
use crate::dockerfile::{is_here_doc, parse_statement};

#[test]
fn their_lines_are_taken_as_they_are() {
    check(&[
        (
            "RUN <<EOF\na\n  b \\\n# c\n\nEOF\nUSER d",
            "2..=7 RUN \"<<EOF\" <<EOF \"a\\n  b \\\\\\n# c\\n\\n\"\n8..=8 USER \"d\"",
        ),
        ("RUN <<EOF\nEOF", "2..=3 RUN \"<<EOF\" <<EOF \"\""),
        ("RUN <<EOF\na\r\nEOF\r\n", "2..=4 RUN \"<<EOF\" <<EOF \"a\\r\\n\""),
        ("RUN <<EOF\n EOF\nEOF x\nEOF", "2..=5 RUN \"<<EOF\" <<EOF \" EOF\\nEOF x\\n\""),
        ("RUN <<EOF\nRUN <<EOF\nEOF", "2..=4 RUN \"<<EOF\" <<EOF \"RUN <<EOF\\n\""),
        ("RUN cat \\\n<<EOF\na\nEOF", "2..=5 RUN \"cat <<EOF\" <<EOF \"a\\n\""),
    ]);
}

#[test]
fn tabs_are_removed_where_that_was_asked() {
    check(&[
        ("RUN <<-EOF\n\t\ta\n\t b\n\tEOF", "2..=5 RUN \"<<-EOF\" <<EOF \"a\\n b\\n\""),
        ("RUN <<EOF\n\ta\n\tEOF\nEOF", "2..=5 RUN \"<<EOF\" <<EOF \"\\ta\\n\\tEOF\\n\""),
    ]);
}

#[test]
fn quotes_ask_for_the_text_as_it_is() {
    check(&[
        ("RUN <<'EOF'\na\nEOF", "2..=4 RUN \"<<'EOF'\" <<EOF raw \"a\\n\""),
        ("RUN <<\"EOF\"\na\nEOF", "2..=4 RUN \"<<\\\"EOF\\\"\" <<EOF raw \"a\\n\""),
        ("RUN <<E\"O\"F\na\nEOF", "2..=4 RUN \"<<E\\\"O\\\"F\" <<EOF raw \"a\\n\""),
        ("RUN <<-'EOF'\n\ta\n\tEOF", "2..=4 RUN \"<<-'EOF'\" <<EOF raw \"a\\n\""),
    ]);
}

#[test]
fn several_follow_each_other() {
    check(&[
        (
            "RUN 3<<A cat <<B >x\na\nA\nb\nB\nUSER u",
            "2..=6 RUN \"3<<A cat <<B >x\" 3<<A \"a\\n\" <<B \"b\\n\"\n7..=7 USER \"u\"",
        ),
        ("COPY <<a <<\"b\" c /d/\n1\na\n2\nb", "2..=6 COPY [\"c\"] -> \"/d/\" <<a \"1\\n\" <<b raw \"2\\n\""),
        ("ADD <<a /d\n1\na", "2..=4 ADD [] -> \"/d\" <<a \"1\\n\""),
        ("COPY <<a.txt /d\n1\na.txt", "2..=4 COPY [] -> \"/d\" <<a.txt \"1\\n\""),
        ("COPY --chmod=755 <<$x /d\n1\n$x", "2..=4 COPY chmod=755 [] -> \"/d\" <<$x \"1\\n\""),
    ]);
}

/// As BuildKit from 0.22 on; `<<- EOF` is what its grammar means to allow, but its lexer splits (BuildKit's
/// pull request 6822).
#[test]
fn blanks_may_stand_before_the_name() {
    check(&[
        ("RUN cat << EOF\na\nEOF", "2..=4 RUN \"cat << EOF\" <<EOF \"a\\n\""),
        ("RUN cat <<\t 'EOF' > x\na\nEOF", "2..=4 RUN \"cat <<\\t 'EOF' > x\" <<EOF raw \"a\\n\""),
        (
            "RUN cat << A 3<<  \"B\"\na\nA\nb\nB",
            "2..=6 RUN \"cat << A 3<<  \\\"B\\\"\" <<A \"a\\n\" 3<<B raw \"b\\n\"",
        ),
        ("RUN << EOF\na\nEOF", "2..=4 RUN \"<< EOF\" <<EOF \"a\\n\""),
        ("RUN cat <<- EOF\n\ta\n\tEOF", "2..=4 RUN \"cat <<- EOF\" <<EOF \"a\\n\""),
        ("COPY << EOF /d\n1\nEOF", "2..=4 COPY [] -> \"/d\" <<EOF \"1\\n\""),
        ("ONBUILD RUN cat << EOF\na\nEOF", "2..=4 ONBUILD \"RUN cat << EOF\\na\\nEOF\""),
    ]);
}

/// BuildKit takes `2))` for a name here, and does not find its end. A shell shifts.
#[test]
fn a_shift_begins_none() {
    check(&[
        ("RUN echo $((1 << 2))", "2..=2 RUN \"echo $((1 << 2))\""),
        ("RUN echo $(( (1) << 2 + 3 ))", "2..=2 RUN \"echo $(( (1) << 2 + 3 ))\""),
        ("RUN ((x = 1 <<2)); echo $x", "2..=2 RUN \"((x = 1 <<2)); echo $x\""),
        ("RUN a=$((1 << 2)) cat << E\nx\nE", "2..=4 RUN \"a=$((1 << 2)) cat << E\" <<E \"x\\n\""),
        ("RUN ((cat << E ) )\nx\nE", "2..=4 RUN \"((cat << E ) )\" <<E \"x\\n\""),
    ]);
}

#[test]
fn other_words_with_angles_begin_none() {
    check(&[
        ("RUN cat <<< x", "2..=2 RUN \"cat <<< x\""),
        ("RUN cat <<<x", "2..=2 RUN \"cat <<<x\""),
        ("RUN echo $((1<<2))x", "2..=2 RUN \"echo $((1<<2))x\""),
        ("RUN echo \"<<EOF\"", "2..=2 RUN \"echo \\\"<<EOF\\\"\""),
        ("RUN echo it's <<EOF", "2..=2 RUN \"echo it's <<EOF\""),
        ("RUN [\"<<EOF\"]", "2..=2 RUN exec [\"<<EOF\"]"),
        ("CMD <<EOF", "2..=2 CMD \"<<EOF\""),
        ("ENV a=<<EOF", "2..=2 ENV [\"a=<<EOF\"]"),
        ("COPY [\"<<EOF\", \"/x\"]", "2..=2 COPY [\"<<EOF\"] -> \"/x\""),
    ]);
}

#[test]
fn a_trigger_keeps_its_own() {
    check(&[(
        "ONBUILD RUN <<EOF\na\nEOF\nUSER b",
        "2..=4 ONBUILD \"RUN <<EOF\\na\\nEOF\"\n5..=5 USER \"b\"",
    )]);
    let trigger = parse_statement("RUN <<EOF\na\nEOF", '\\').unwrap();
    assert_eq!(statement(&trigger), "RUN \"<<EOF\" <<EOF \"a\\n\"");
}

#[test]
fn a_word_alone_is_known() {
    for (word, is) in [
        ("<<EOF", true),
        ("<<-EOF", true),
        ("3<<'EOF'", true),
        ("<<\"a b\"", true),
        ("<< EOF", true),
        ("<< EOF x", false),
        ("<<EOF x", false),
        ("cat <<EOF", false),
        ("<<", false),
        ("<<<x", false),
        ("EOF", false),
    ] {
        assert_eq!(is_here_doc(word), is, "{word}");
    }
}
