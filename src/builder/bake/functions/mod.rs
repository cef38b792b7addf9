//! The functions of bake expressions: go-cty's standard library, and bake's own.

mod collections;
mod encodings;
mod format;
mod numbers;
mod strings;
mod times;

use serde_json::Value;

use super::value;
use dhow_error::{Failure, invalid, unsupported};

/// `None` if the module has no such function.
type BuiltinResult = Option<Result<Value, Failure>>;

/// Functions of buildx that are missing here; calls are refused by name.
const UNSUPPORTED: [&str; 14] = [
    "bcrypt",
    "byteslen",
    "bytesslice",
    "cidrhost",
    "cidrnetmask",
    "cidrsubnet",
    "cidrsubnets",
    "convert",
    "homedir",
    "md5",
    "rsadecrypt",
    "sha1",
    "uuidv4",
    "uuidv5",
];

pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, Failure> {
    let arguments = CallArguments(arguments);
    let result = strings::call(name, &arguments)
        .or_else(|| collections::call(name, &arguments))
        .or_else(|| numbers::call(name, &arguments))
        .or_else(|| encodings::call(name, &arguments))
        .or_else(|| times::call(name, &arguments));
    match result {
        Some(result) => result.map_err(|why| invalid(format!("function {name:?}: {why}"))),
        None if UNSUPPORTED.contains(&name) => {
            Err(unsupported(format!("the function {name:?} of bake is not in this version of dhow")))
        }
        None => Err(invalid(format!(
            "Call to unknown function; There is no function named \"{}\".",
            name.escape_debug()
        ))),
    }
}

struct CallArguments<'a>(&'a [Value]);

impl CallArguments<'_> {
    fn get(&self, at: usize) -> Result<&Value, Failure> {
        self.0.get(at).ok_or_else(|| invalid("too few arguments"))
    }

    fn text(&self, at: usize) -> Result<String, Failure> {
        value::as_text(self.get(at)?)
    }

    fn number(&self, at: usize) -> Result<f64, Failure> {
        value::as_number(self.get(at)?)
    }

    /// A non-negative integer.
    fn count(&self, at: usize) -> Result<usize, Failure> {
        let number = self.number(at)?;
        if number < 0.0 || number.fract() != 0.0 || number > 1e9 {
            return Err(invalid(format!("{number} is no count")));
        }
        Ok(number as usize)
    }

    fn list(&self, at: usize) -> Result<&[Value], Failure> {
        match self.get(at)? {
            Value::Array(items) => Ok(items),
            other => Err(invalid(format!("a list is expected and {other} is given"))),
        }
    }

    fn map(&self, at: usize) -> Result<&serde_json::Map<String, Value>, Failure> {
        match self.get(at)? {
            Value::Object(map) => Ok(map),
            other => Err(invalid(format!("an object is expected and {other} is given"))),
        }
    }

    fn rest(&self, from: usize) -> &[Value] {
        self.0.get(from..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(expression: &str) -> String {
        struct None_;
        impl crate::bake::expr::NameResolver for None_ {
            fn variable(&self, _: &str) -> Option<Result<Value, Failure>> {
                None
            }
            fn function(&self, _: &str) -> Option<&super::super::definition::BakeFunction> {
                None
            }
        }
        let parsed: hcl::expr::Expression = expression.parse().unwrap();
        match crate::bake::expr::ExprEvaluator::new(&None_)
            .value(&parsed, &crate::bake::expr::LocalScope::default())
        {
            Ok(value) => value.to_string(),
            Err(why) => format!("error: {why}"),
        }
    }

    #[test]
    fn functions_of_the_standard_library() {
        for (expression, result) in [
            ("upper(\"a\")", "\"A\""),
            ("lower(\"ÄB\")", "\"äb\""),
            ("title(\"hello world\")", "\"Hello World\""),
            ("join(\",\", [\"a\", \"b\"])", "\"a,b\""),
            ("join(\",\", [\"a\"], [\"b\", \"c\"])", "\"a,b,c\""),
            ("split(\",\", \"a,b\")", "[\"a\",\"b\"]"),
            ("replace(\"a-b-c\", \"-\", \".\")", "\"a.b.c\""),
            ("regex_replace(\"v1.2\", \"v([0-9]+)\", \"$1\")", "\"1.2\""),
            ("regex(\"[a-z]+\", \"12abc\")", "\"abc\""),
            ("regexall(\"[0-9]+\", \"1 22 3\")", "[\"1\",\"22\",\"3\"]"),
            ("trim(\"xxaxx\", \"x\")", "\"a\""),
            ("trimprefix(\"v1\", \"v\")", "\"1\""),
            ("trimsuffix(\"a.go\", \".go\")", "\"a\""),
            ("trimspace(\"  a \")", "\"a\""),
            ("strrev(\"abc\")", "\"cba\""),
            ("strlen(\"äb\")", "2"),
            ("substr(\"hello\", 1, 3)", "\"ell\""),
            ("substr(\"hello\", -3, -1)", "\"llo\""),
            ("sanitize(\"a b/c\")", "\"a_b_c\""),
            ("indent(2, \"a\\nb\")", "\"a\\n  b\""),
            (
                "format(\"%s-%03d-%v-%q-%.1f-%%\", \"a\", 7, true, \"x\", 1.25)",
                "\"a-007-true-\\\"x\\\"-1.2-%\"",
            ),
            ("formatlist(\"%s:%s\", \"img\", [\"1\", \"2\"])", "[\"img:1\",\"img:2\"]"),
            ("concat([1], [2, 3])", "[1,2,3]"),
            ("length([1, 2])", "2"),
            ("length(\"ab\")", "2"),
            ("contains([\"a\"], \"a\")", "true"),
            ("distinct([1, 1, 2])", "[1,2]"),
            ("flatten([[1], [2, [3]]])", "[1,2,3]"),
            ("compact([\"a\", \"\"])", "[\"a\"]"),
            ("coalesce(null, \"b\")", "\"b\""),
            ("coalescelist([], [1])", "[1]"),
            ("element([1, 2, 3], 4)", "2"),
            ("index([1, 2], 1)", "2"),
            ("keys({ b = 1, a = 2 })", "[\"a\",\"b\"]"),
            ("values({ b = 1, a = 2 })", "[2,1]"),
            ("merge({ a = 1 }, { a = 2, b = 3 })", "{\"a\":2,\"b\":3}"),
            ("lookup({ a = 1 }, \"b\", 5)", "5"),
            ("zipmap([\"a\"], [1])", "{\"a\":1}"),
            ("range(3)", "[0,1,2]"),
            ("range(1, 6, 2)", "[1,3,5]"),
            ("reverse(\"ab\")", "\"ba\""),
            ("reverselist([1, 2])", "[2,1]"),
            ("slice([1, 2, 3], 1, 3)", "[2,3]"),
            ("sort([\"b\", \"a\"])", "[\"a\",\"b\"]"),
            ("chunklist([1, 2, 3], 2)", "[[1,2],[3]]"),
            ("setproduct([\"a\", \"b\"], [1])", "[[\"a\",1],[\"b\",1]]"),
            ("setunion([1], [2, 1])", "[1,2]"),
            ("setintersection([1, 2], [2, 3])", "[2]"),
            ("setsubtract([1, 2], [2])", "[1]"),
            ("max(1, 3, 2)", "3"),
            ("min(1, 3, 2)", "1"),
            ("add(1, 2)", "3"),
            ("divide(1, 4)", "0.25"),
            ("modulo(7, 3)", "1"),
            ("ceil(1.2)", "2"),
            ("parseint(\"ff\", 16)", "255"),
            ("and(true, false)", "false"),
            ("not(true)", "false"),
            ("notequal(1, 2)", "true"),
            ("greaterthan(2, 1)", "true"),
            ("equal(\"a\", \"a\")", "true"),
            ("base64encode(\"hi\")", "\"aGk=\""),
            ("base64decode(\"aGk=\")", "\"hi\""),
            ("sha256(\"\")", "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\""),
            ("jsonencode({ a = [1, true] })", "\"{\\\"a\\\":[1,true]}\""),
            ("jsondecode(\"{\\\"a\\\":1}\").a", "1"),
            ("urlencode(\"a b/ü\")", "\"a+b%2F%C3%BC\""),
            ("csvdecode(\"a,b\\n1,2\")", "[{\"a\":\"1\",\"b\":\"2\"}]"),
            ("basename(\"/a/b\")", "\"b\""),
            ("dirname(\"/a/b\")", "\"/a\""),
            ("semvercmp(\"1.2.3\", \">= 1.2, < 2\")", "true"),
            ("semvercmp(\"v2.0.0\", \"^1.2\")", "false"),
            ("formatdate(\"YYYY-MM-DD'T'hh:mm\", \"2024-01-02T03:04:05Z\")", "\"2024-01-02T03:04\""),
            // A doubled quote is a literal one, alone and within a quoted text (go-cty's `FormatDate`).
            ("formatdate(\"'o''clock' hh ''\", \"2024-01-02T03:04:05Z\")", "\"o'clock 03 '\""),
            (
                "formatdate(\"hh 'o''clock\", \"2024-01-02T03:04:05Z\")",
                "error: function \"formatdate\": a quote in the format does not end",
            ),
            ("timeadd(\"2024-01-02T03:04:05Z\", \"1h\")", "\"2024-01-02T04:04:05Z\""),
            ("try(nothing, \"b\")", "\"b\""),
            ("can(nothing)", "false"),
            ("can(1)", "true"),
            ("max([1, 5, 2]...)", "5"),
            ("md5(\"\")", "error: the function \"md5\" of bake is not in this version of dhow"),
        ] {
            assert_eq!(run(expression), result, "{expression}");
        }
        assert!(run("nosuch(1)").contains("There is no function named \"nosuch\""));
        assert!(run("upper()").contains("too few arguments"));
    }

    #[test]
    fn expressions_of_the_language() {
        for (expression, result) in [
            ("1 + 2 * 3", "7"),
            ("(1 + 2) * 3", "9"),
            ("7 % 4 == 3 && !false", "true"),
            ("\"a\" == \"a\" ? \"yes\" : \"no\"", "\"yes\""),
            ("[for x in [1, 2, 3]: x * 2 if x > 1]", "[4,6]"),
            ("[for i, x in [\"a\"]: \"${i}${x}\"]", "[\"0a\"]"),
            ("{ for k, v in { a = 1 }: upper(k) => v }", "{\"A\":1}"),
            ("{ for v in [\"a\", \"b\", \"a\"]: v => v... }", "{\"a\":[\"a\",\"a\"],\"b\":[\"b\"]}"),
            ("[{ a = 1 }, { a = 2 }][*].a", "[1,2]"),
            ("{ a = { b = [5] } }.a.b[0]", "5"),
            ("\"x-${1 + 1}-y\"", "\"x-2-y\""),
            ("\"a\\n${\"b\"}\"", "\"a\\nb\""),
            ("\"%{ if true }yes%{ else }no%{ endif }\"", "\"yes\""),
            ("\"%{ for x in [1, 2] }${x},%{ endfor }\"", "\"1,2,\""),
            ("\"a  ${~ \"b\" ~}  c\"", "\"abc\""),
            ("\"$${x}\"", "\"${x}\""),
            ("-(3)", "-3"),
        ] {
            assert_eq!(run(expression), result, "{expression}");
        }
        for bad in ["nothing", "1 / 0", "[1][3]", "\"x${null}\"", "1 + \"a\""] {
            assert!(run(bad).starts_with("error: "), "{bad}");
        }
    }
}
