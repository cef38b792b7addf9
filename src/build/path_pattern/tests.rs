//! Patterns and paths, with whether they match.

use super::*;

fn path(pattern: &str, path: &str) -> Option<bool> {
    PathPattern::parse_path(pattern).ok().map(|pattern| pattern.matches(path.as_bytes()))
}

fn name(pattern: &str, path: &str) -> Option<bool> {
    PathPattern::parse_name(pattern).ok().map(|pattern| pattern.matches(path.as_bytes()))
}

#[test]
fn as_filepath_match() {
    // The table of Go's own test of filepath.Match: pattern, name, result (None: malformed).
    let table: &[(&str, &str, Option<bool>)] = &[
        ("abc", "abc", Some(true)),
        ("*", "abc", Some(true)),
        ("*c", "abc", Some(true)),
        ("a*", "a", Some(true)),
        ("a*", "abc", Some(true)),
        ("a*", "ab/c", Some(false)),
        ("a*/b", "abc/b", Some(true)),
        ("a*/b", "a/c/b", Some(false)),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", Some(true)),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", Some(true)),
        ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", Some(false)),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", Some(false)),
        ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
        ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
        ("ab[c]", "abc", Some(true)),
        ("ab[b-d]", "abc", Some(true)),
        ("ab[e-g]", "abc", Some(false)),
        ("ab[^c]", "abc", Some(false)),
        ("ab[^b-d]", "abc", Some(false)),
        ("ab[^e-g]", "abc", Some(true)),
        ("a\\*b", "a*b", Some(true)),
        ("a\\*b", "ab", Some(false)),
        ("a?b", "a☺b", Some(true)),
        ("a[^a]b", "a☺b", Some(true)),
        ("a???b", "a☺b", Some(false)),
        ("a[^a][^a][^a]b", "a☺b", Some(false)),
        ("[a-ζ]*", "α", Some(true)),
        ("*[a-ζ]", "A", Some(false)),
        ("a?b", "a/b", Some(false)),
        ("a*b", "a/b", Some(false)),
        ("[\\]a]", "]", Some(true)),
        ("[\\-]", "-", Some(true)),
        ("[x\\-]", "x", Some(true)),
        ("[x\\-]", "z", Some(false)),
        ("[\\-x]", "a", Some(false)),
        ("[]a]", "]", None),
        ("[-]", "-", None),
        ("[x-]", "x", None),
        ("[-x]", "x", None),
        ("\\", "a", None),
        ("[a-b-c]", "a", None),
        ("[", "a", None),
        ("[^", "a", None),
        ("[^bc", "a", None),
        ("a[", "a", None),
        ("a[", "ab", None),
        ("*x", "xxx", Some(true)),
    ];
    for (pattern, text, expected) in table {
        assert_eq!(path(pattern, text), *expected, "{pattern} {text}");
        assert_eq!(name(pattern, text), *expected, "{pattern} {text}");
    }
}

/// As `filepath.Match` has it, which BuildKit uses for COPY without `--parents`.
#[test]
fn two_stars_may_be_one() {
    for (pattern, text, expected) in [
        ("**", "a", true),
        ("**", "a/b", false),
        ("**/*.go", "main.go", false),
        ("**/*.go", "a/main.go", true),
        ("**/*.go", "a/b/main.go", false),
        ("a/**", "a/b", true),
        ("a/**", "a/b/c", false),
        ("a**b", "axxb", true),
    ] {
        assert_eq!(name(pattern, text), Some(expected), "{pattern} {text}");
    }
}

#[test]
fn two_stars_stand_for_directories() {
    for (pattern, name, expected) in [
        ("**/*.go", "main.go", true),
        ("**/*.go", "a/b/main.go", true),
        ("a/**/z", "a/z", true),
        ("a/**/z", "a/b/c/z", true),
        ("a/**/z", "b/z", false),
        ("a/**", "a/b/c", true),
        ("a/**", "a", false),
        ("a**", "a/b", false),
        ("a**b", "axxb", true),
        ("**/x**/y", "x/x/y", true),
        ("**/x/**/y/z", "x/x/y/x/y/z", true),
    ] {
        assert_eq!(path(pattern, name), Some(expected), "{pattern} {name}");
    }
}

#[test]
fn bytes_that_are_no_text_are_one_character() {
    assert!(PathPattern::parse_path("a?b").unwrap().matches(b"a\xffb"));
    assert!(!PathPattern::parse_path("a?b").unwrap().matches(b"a\xff\xffb"));
}

#[test]
fn a_pattern_made_to_be_slow_is_not() {
    let pattern = PathPattern::parse_path(&format!("{}[b]", "*a".repeat(500))).unwrap();
    assert!(!pattern.matches(&b"a".repeat(2000)));
}

fn ignored(patterns: &[&str], name: &str) -> bool {
    PatternMatcher::new(patterns).unwrap().matches(name.as_bytes())
}

#[test]
fn lists_as_patternmatcher_has_them() {
    // Pattern, path, result: the cases of the original's own table that are about paths on Unix.
    let table: &[(&str, &str, bool)] = &[
        ("**", "file", true),
        ("**", "file/", true),
        ("**/", "file", true),
        ("**", "/", true),
        ("**/", "dir/file", true),
        ("**/**", "dir/file", true),
        ("dir/**", "dir/file", true),
        ("dir/**", "dir/dir2/file", true),
        ("**/dir", "dir", true),
        ("**/dir", "dir/file", true),
        ("**/dir2/*", "dir/dir2/file", true),
        ("**/dir2/**", "dir/dir2/dir2/file", true),
        ("**file", "file", true),
        ("**file", "dir/file", true),
        ("**/file", "dir/dir/file", true),
        ("**/file*", "dir/dir/file.txt", true),
        ("**/file*txt", "dir/dir/file.txt", true),
        ("**/file*.txt*", "dir/dir/file.txt", true),
        ("**/**/*.txt", "dir/dir/file.txt", true),
        ("**/**/*.txt2", "dir/dir/file.txt", false),
        ("**/*.txt", "file.txt", true),
        ("**/**/*.txt", "file.txt", true),
        ("a**/*.txt", "a/file.txt", true),
        ("a**/*.txt", "a/dir/file.txt", true),
        ("a**/*.txt", "a/dir/dir/file.txt", true),
        ("a/*.txt", "a/dir/file.txt", false),
        ("a/*.txt", "a/file.txt", true),
        ("a/*.txt**", "a/file.txt", true),
        ("a[b-d]e", "ae", false),
        ("a[b-d]e", "ace", true),
        ("a[b-d]e", "aae", false),
        ("a[^b-d]e", "aze", true),
        (".*", ".foo", true),
        (".*", "foo", false),
        ("abc.def", "abcdef", false),
        ("abc.def", "abc.def", true),
        ("abc.def", "abcZdef", false),
        ("abc?def", "abcZdef", true),
        ("abc?def", "abcdef", false),
        ("a\\\\", "a\\", true),
        ("**/foo/bar", "foo/bar", true),
        ("**/foo/bar", "dir/foo/bar", true),
        ("**/foo/bar", "dir/dir2/foo/bar", true),
        ("abc/**", "abc", false),
        ("abc/**", "abc/def", true),
        ("abc/**", "abc/def/ghi", true),
        ("**/.foo", ".foo", true),
        ("**/.foo", "bar.foo", false),
        ("a(b)c/def", "a(b)c/def", true),
        ("a(b)c/def", "a(b)c/xyz", false),
        ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
        (
            "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
            "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
            true,
        ),
        ("dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", true),
        ("dir", "dir/a/b", true),
        ("dir/", "dir/a", true),
    ];
    for (pattern, name, expected) in table {
        assert_eq!(ignored(&[pattern], name), *expected, "{pattern} {name}");
    }
}

#[test]
fn later_lines_decide() {
    let table: &[(&[&str], &str, bool)] = &[
        (&["**", "!util/docker/web"], "util/docker/web/foo", false),
        (&["**", "!util/docker/web", "util/docker/web/foo"], "util/docker/web/foo", true),
        (&["**", "!dist/proxy.py-2.4.0rc3.whl"], "dist/proxy.py-2.4.0rc3.whl", false),
        (&["**", "!dist/*.whl"], "dist/proxy.whl", false),
        (&["!*"], "a", false),
        (&["*", "!README*.md", "README-secret.md"], "README-secret.md", true),
        (&["*", "README-secret.md", "!README*.md"], "README-secret.md", false),
        (&["a", "!a/b"], "a/c", true),
        (&["a", "!a/b"], "a/b/c", false),
    ];
    for (patterns, name, expected) in table {
        assert_eq!(ignored(patterns, name), *expected, "{patterns:?} {name}");
        let matcher = PatternMatcher::new(patterns).unwrap();
        let mut state = MatchInfo::default();
        for end in name.match_indices('/').map(|(at, _)| at).chain([name.len()]) {
            state = matcher.match_child(&name.as_bytes()[..end], &state);
        }
        assert_eq!(state.all, *expected, "{patterns:?} {name} from above");
    }
}

#[test]
fn directories_are_left_unread_where_nothing_in_them_counts() {
    let matcher = PatternMatcher::new(&["*", "!src/*.c", "!a/**/keep", "!docs"]).unwrap();
    assert!(matcher.has_exception_below(b"src"));
    assert!(!matcher.has_exception_below(b"src/deep"));
    assert!(matcher.has_exception_below(b"a/b/c"));
    assert!(!matcher.has_exception_below(b"node_modules"));
    assert!(!matcher.has_exception_below(b"srcs"));
}

#[test]
fn malformed_lines_are_named() {
    for bad in ["!", "a[", "x\\"] {
        assert_eq!(PatternMatcher::new(&["ok", bad]).unwrap_err(), bad);
    }
}

#[test]
fn cleaning() {
    for (from, to) in [
        ("a//b/./c/", "a/b/c"),
        ("../a", "../a"),
        ("/../a", "/a"),
        ("a/..", "."),
        ("", "."),
        ("a/../../b", "../b"),
    ] {
        assert_eq!(clean(from), to, "{from}");
    }
}
