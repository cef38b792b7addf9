//! Templates against what Go prints for them.

use serde_json::json;

use super::*;

fn data() -> Value {
    json!({
        "Name": "web", "Count": 3, "Ratio": 1.5, "On": true, "Empty": "", "Null": null,
        "Config": {
            "Env": ["A=1", "B=2"], "Cmd": null, "Volumes": null,
            "Labels": {"com.example": "x", "plain": "y"}, "Deep": {"Deeper": {"Deepest": "found"}}
        },
        "List": [{"Name": "one"}, {"Name": "two"}],
    })
}

fn render(source: &str) -> Result<String, TemplateError> {
    Template::parse(source)?.render(&data())
}

#[test]
fn prints_as_go_does() {
    for (source, printed) in [
        ("", ""),
        ("plain }} text", "plain }} text"),
        ("{{.Name}}", "web"),
        ("{{ .Name }}-{{.Count}}-{{.Ratio}}-{{.On}}", "web-3-1.5-true"),
        ("{{.Config.Deep.Deeper.Deepest}}", "found"),
        ("{{(index .List 1).Name}}", "two"),
        ("{{.Config.Env}} {{.Config.Labels}}", "[A=1 B=2] map[com.example:x plain:y]"),
        ("{{.Config.Cmd}}{{.Config.Volumes}}{{.Null}}", "[]map[]<no value>"),
        ("{{json .Config.Cmd}}{{json .Config.Env}}{{.Name | json}}", "null[\"A=1\",\"B=2\"]\"web\""),
        ("{{.Config.Labels.plain}}{{.Config.Labels.none}}", "y<no value>"),
        ("{{index .Config.Labels \"com.example\"}}[{{index .Config.Labels \"none\"}}]", "x[]"),
        ("{{index .Config.Env 1}}{{len .Config.Env}}{{len .Name}}", "B=223"),
        ("{{range .List}}{{.Name}},{{end}}", "one,two,"),
        ("{{range $i, $e := .List}}{{$i}}={{$e.Name}} {{end}}", "0=one 1=two "),
        ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}", "com.example=x;plain=y;"),
        ("{{range .Null}}x{{else}}none{{end}}", "none"),
        ("{{range .List}}{{if eq .Name \"two\"}}{{break}}{{end}}{{.Name}}{{end}}", "one"),
        ("{{range .List}}{{if eq .Name \"one\"}}{{continue}}{{end}}{{.Name}}{{end}}", "two"),
        ("{{if .Empty}}a{{else if .On}}b{{else}}c{{end}}", "b"),
        ("{{if not .On}}a{{else}}{{if .Null}}b{{else}}c{{end}}{{end}}", "c"),
        ("{{with .Config}}{{len .Env}}{{$.Name}}{{end}}{{with .Empty}}x{{else}}y{{end}}", "2weby"),
        ("{{with $x := .Name}}{{$x}}{{.}}{{end}}", "webweb"),
        ("{{$x := 1}}{{range .List}}{{$x = .Name}}{{end}}{{$x}}", "two"),
        ("{{$x := .Config}}{{$x.Deep.Deeper.Deepest}}", "found"),
        ("a {{- .Name -}} b {{- /* gone */ -}} c", "awebbc"),
        ("a {{/* gone */}} c", "a  c"),
        ("{{\"a\\tb\\u00e4\"}}{{`raw\\t`}}{{'a'}}", "a\tbäraw\\t97"),
        ("{{and .On .Name}}{{or .Empty .Name}}{{and .Empty .Nonsense}}", "webweb"),
        (
            "{{eq .Count 3}}{{eq .Name \"a\" \"web\"}}{{ne .Count 3}}{{lt 1 2}}{{ge 1.5 .Ratio}}",
            "truetruefalsetruetrue",
        ),
        (
            "{{join .Config.Env \", \"}}|{{upper .Name}}|{{title \"a bc\"}}|{{lower \"ÄB\"}}",
            "A=1, B=2|WEB|A Bc|äb",
        ),
        ("{{index (split \"a:b:c\" \":\") 1}}{{truncate \"abcdef\" 3}}[{{pad \"x\" 1 2}}]", "babc[ x  ]"),
        (
            "{{printf \"%s|%5d|%-5s|%q|%05.1f|%v|%x|%%\" .Name 42 \"ab\" \"q\" 2.55 .On 255}}",
            "web|   42|ab   |\"q\"|002.5|true|ff|%",
        ),
        // What docker 26 prints for these.
        (
            r#"{{printf "%q|%#v|%.2q|%+q|%#q|%#q|%q" "a\u001b" "a\u001b" "abc" "é" "ab" "a`b" 233}}"#,
            r#""a\x1b"|"a\x1b"|"ab"|"\u00e9"|`ab`|"a`b"|'é'"#,
        ),
        (
            "{{1000000.0}} {{123456789.0}} {{100000.0}} {{0.0001}} {{0.00001}}",
            "1e+06 1.23456789e+08 100000 0.0001 1e-05",
        ),
        ("{{printf \"%d %s\" .Name}}{{printf \"x\" 1}}", "%!d(string=web) %!s(MISSING)x%!(EXTRA int=1)"),
        ("{{print 1 2 \"a\" 3}}{{println .Name 1}}", "1 2a3web 1\n"),
        ("{{.Name | printf \"%s-%s\" \"x\"}}", "x-web"),
        ("{{html \"<a href='x'>\"}}{{slice .Name 1 2}}", "&lt;a href=&#39;x&#39;&gt;e"),
        ("{{.é}}", "<no value>"),
        ("{{-3}}{{ 0x10 }}{{1e3}}{{ true }}", "-3161000true"),
        ("{{len (index .Config.Labels \"com.example\")}}", "1"),
    ] {
        assert_eq!(render(source).as_deref(), Ok(printed), "{source}");
    }
}

#[test]
fn mistakes_are_told_as_docker_does() {
    for (source, said) in [
        ("{{.Name", "template: :1: unclosed action"),
        ("\n{{if .On}}x", "template: :2: unexpected EOF"),
        ("{{end}}", "template: :1: unexpected {{end}}"),
        ("{{nonsense .}}", "template: :1: function \"nonsense\" not defined"),
        ("{{$x}}", "template: :1: undefined variable \"$x\""),
        ("{{}}", "template: :1: missing value for command"),
        ("{{(.Name}}", "template: :1: unexpected \"}}\" in right paren"),
        ("{{.Name)}}", "template: :1: unexpected \")\" in command"),
        ("{{\"open}}", "template: :1: unterminated quoted string"),
        ("{{/* open", "template: :1: unclosed comment"),
        ("{{1x}}", "template: :1: bad number syntax: \"1x\""),
        ("{{break}}", "template: :1: {{break}} outside {{range}}"),
        ("{{define \"x\"}}{{end}}", "template: :1: {{define}} is not possible in a format"),
        (
            "a{{.Config.Nope}}",
            "template: :1:3: executing \"\" at <.Config.Nope>: map has no entry for key \"Nope\"",
        ),
        ("{{.Name.X}}", "template: :1:2: executing \"\" at <.Name.X>: can't evaluate field X in type string"),
        (
            "{{index .List 9}}",
            "template: :1:2: executing \"\" at <index>: error calling index: index out of range: 9",
        ),
        (
            "{{lt 1 \"a\"}}",
            "template: :1:2: executing \"\" at <lt>: error calling lt: incompatible types for comparison",
        ),
        ("{{range .Count}}{{end}}", "template: :1:8: executing \"\" at <.Count>: range can't iterate over 3"),
    ] {
        let error = render(source).unwrap_err().to_string();
        assert_eq!(error, format!("template parsing error: {said}"), "{source}");
    }
}

#[test]
fn nothing_panics_or_overflows() {
    let deep = format!("{{{{{}1{}}}}}", "(".repeat(5000), ")".repeat(5000));
    let blocks = "{{if 1}}".repeat(5000);
    for source in [
        deep.as_str(),
        &blocks,
        "{{",
        "{{-",
        "{{- ",
        "{{$",
        "{{'",
        "{{'ab'}}",
        "{{\"\\x\"}}",
        "{{%}}",
        "{{0x}}",
        "{{printf \"%999999999999999999999d\"}}",
        "{{|}}",
        "{{. |}}",
        "{{:=}}",
        "{{$x :=}}",
        "{{/*}}",
        "{{-/**/}}",
        "{{1e}}",
        "{{slice \"é\" 1}}",
        "{{else}}",
        "{{if}}{{end}}",
        "{{if 1}}{{else}}{{else}}{{end}}",
        "{{range $a, $b, $c := .}}{{end}}",
    ] {
        assert!(render(source).is_err() || source.contains("printf"), "{source}");
    }
}

#[test]
fn rows_have_labels_and_headers_stay_as_they_are() {
    let template =
        Template::parse("{{.ID | upper}}\t{{.Label \"com.example.my-key\"}}\t{{json .Missing}}").unwrap();
    let header = json!({"ID": "Image id"});
    assert_eq!(template.render_header(&header).unwrap(), "Image id\tmy key\t<no value>");
    let labels = json!({"com.example.my-key": "v"});
    let row = Template::parse("{{.ID}}:{{.Label \"com.example.my-key\"}}{{.Label \"none\"}}").unwrap();
    assert_eq!(row.render_row(&json!({"ID": "x"}), labels.as_object().unwrap()).unwrap(), "x:v");
}

/// Pieces of templates; in random order they are closer to valid templates than random characters are.
const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{{-",
    "-}}",
    " ",
    ".",
    ".Name",
    ".List",
    ".Config",
    "$",
    "$x",
    ":=",
    "=",
    "|",
    "(",
    ")",
    ",",
    "if",
    "else",
    "end",
    "range",
    "with",
    "break",
    "continue",
    "printf",
    "index",
    "slice",
    "join",
    "json",
    "and",
    "eq",
    "\"%5.2s%d\"",
    "\"é\"",
    "`",
    "'a'",
    "1",
    "-1",
    "1e400",
    "0x7fffffffffffffff",
    "9223372036854775807",
    "nil",
    "/*",
    "*/",
    "text",
    "\n",
];

proptest::proptest! {
    #[test]
    fn any_pieces_are_a_template_or_an_error(choice in proptest::collection::vec(0..PIECES.len(), 0..24)) {
        let source: String = choice.iter().map(|at| PIECES[*at]).collect();
        if let Err(error) = render(&source) {
            proptest::prop_assert!(error.to_string().starts_with("template parsing error: template: :"));
        }
    }

    #[test]
    fn any_text_in_an_action_is_a_template_or_an_error(text in "\\PC{0,24}") {
        let source = format!("{{{{{text}}}}}");
        if let Err(error) = render(&source) {
            proptest::prop_assert!(error.to_string().starts_with("template parsing error: template: :"));
        }
    }
}
