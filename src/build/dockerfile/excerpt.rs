//! The source lines around an error or warning.

use std::fmt::Write;

use crate::ast::LineRange;

const FRAME: &str = "--------------------\n";

/// The `lines` of `text`, marked and framed with up to four lines of context, as BuildKit prints them after
/// `name:line`. Empty if the file has no such lines.
pub fn excerpt(name: &str, text: &str, lines: &LineRange) -> String {
    let source_lines: Vec<&str> = text.split('\n').collect();
    let (first, last) = (*lines.start() as usize, (*lines.end() as usize).min(source_lines.len()));
    if first == 0 || first > last {
        return String::new();
    }
    let (from, to) = around(first, last, source_lines.len());
    let mut out = format!("{name}:{first}\n{FRAME}");
    for (number, line) in (1..).zip(&source_lines).take(to).skip(from - 1) {
        let mark = if (first..=last).contains(&number) { ">>>" } else { "   " };
        // Writing to a string does not fail.
        let _ = writeln!(out, " {number:3} | {mark} {}", line.trim_end_matches('\r'));
    }
    out.push_str(FRAME);
    out
}

/// Adds lines of context on both sides: two rounds for a single line, one for a range.
fn around(first: usize, last: usize, total: usize) -> (usize, usize) {
    let (mut from, mut to) = (first, last);
    let limit = if first == last { 4 } else { 2 };
    let mut count = 0;
    while count < limit {
        if from > 1 {
            from -= 1;
            count += 1;
        }
        if to < total {
            to += 1;
            count += 1;
        }
        // Counts even if both ends are reached, so that the loop ends.
        count += 1;
    }
    (from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_the_line_in_its_surroundings() {
        let text = "FROM alpine\n\nRUNN ls";
        assert_eq!(
            excerpt("Dockerfile", text, &(3..=3)),
            "Dockerfile:3\n\
             --------------------\n\
             \x20  1 |     FROM alpine\n\
             \x20  2 |     \n\
             \x20  3 | >>> RUNN ls\n\
             --------------------\n"
        );
    }

    #[test]
    fn marks_all_lines_of_a_long_one() {
        let text = "a\nb\nc\r\nd\ne\n";
        let shown = excerpt("f", text, &(2..=3));
        assert!(shown.contains("\n   1 |     a\n   2 | >>> b\n   3 | >>> c\n   4 |     d\n"), "{shown}");
        assert!(!shown.contains("| e"), "{shown}");
    }

    #[test]
    fn a_line_that_is_not_there_is_not_shown() {
        assert_eq!(excerpt("f", "a\n", &(3..=3)), "");
        assert_eq!(excerpt("f", "a\n", &(0..=0)), "");
        assert!(excerpt("f", "a", &(1..=9)).contains(">>> a"));
    }
}
