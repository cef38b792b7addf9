//! Listings: rows as a table, as JSON or through the user's template, by the rules of docker's `--format`.

use serde_json::{Map, Value};

use super::table;
use super::template::{FieldSet, Template};

/// How the rows of a command are printed.
pub(crate) struct Listing<'a> {
    /// The template of a table's row.
    pub(crate) table: &'a str,
    /// The template of a row with `-q`; None if that was not given.
    pub(crate) quiet: Option<&'a str>,
    /// The template of a row with `--format raw`, if the command has one.
    pub(crate) raw: Option<&'a str>,
    /// Column headings by field.
    pub(crate) headers: &'a [(&'a str, &'a str)],
}

/// A listed object.
#[derive(Default)]
pub(crate) struct ListingRow {
    /// The fields by docker's names.
    pub(crate) fields: Map<String, Value>,
    /// The labels, for `.Label "name"`.
    pub(crate) labels: Map<String, Value>,
}

impl ListingRow {
    /// A row with the fields of a JSON object.
    pub(crate) fn new(fields: Value) -> Self {
        match fields {
            Value::Object(fields) => Self { fields, ..Self::default() },
            _ => Self::default(),
        }
    }

    /// Adds the field `name` if it is among the `wanted` ones; only then `value` is called.
    pub(crate) fn field<T: Into<Value>>(
        mut self,
        wanted: &FieldSet,
        name: &str,
        value: impl FnOnce() -> T,
    ) -> Self {
        if wanted.contains(name) {
            self.fields.insert(name.to_owned(), value().into());
        }
        self
    }

    /// Adds the field `Labels`, `NAME=VALUE,…`, and what `.Label "name"` selects from.
    pub(crate) fn with_labels<'a>(
        mut self,
        labels: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Self {
        let mut pairs = Vec::new();
        for (name, value) in labels {
            pairs.push(format!("{name}={value}"));
            self.labels.insert(name.clone(), Value::from(value.as_str()));
        }
        self.fields.insert("Labels".into(), pairs.join(",").into());
        self
    }
}

impl Listing<'_> {
    /// The whole listing. `format` is `table`, `table TEMPLATE`, `json`, `raw` or a template; a table by default.
    pub(crate) fn render(
        &self,
        format: Option<&str>,
        rows: impl IntoIterator<Item = ListingRow>,
    ) -> anyhow::Result<String> {
        self.render_wanted(format, |_| rows)
    }

    /// As [`Listing::render`], for long listings with costly fields: `rows` is told which fields are printed, and may
    /// leave out the others.
    pub(crate) fn render_wanted<R: IntoIterator<Item = ListingRow>>(
        &self,
        format: Option<&str>,
        rows: impl FnOnce(FieldSet) -> R,
    ) -> anyhow::Result<String> {
        let format = format.filter(|format| !format.is_empty()).unwrap_or("table");
        let (template, with_heading) = self.template(format);
        // In a user's format, `\t` and `\n` are two characters, as the shell passes them on.
        let template = template.replace("\\t", "\t").replace("\\n", "\n");
        let template = Template::parse(&template)?;
        let mut text = String::new();
        if with_heading {
            text = template.render_header(&self.heading())? + "\n";
        }
        for row in rows(template.used_fields()) {
            text += &template.render_row(&Value::Object(row.fields), &row.labels)?;
            text.push('\n');
        }
        Ok(if with_heading { table::align_columns(&text) } else { text })
    }

    /// The template that `format` stands for, and whether a heading precedes the rows.
    fn template<'t>(&'t self, format: &'t str) -> (&'t str, bool) {
        match (format, self.quiet, self.raw) {
            // `-q` gives way to a template of the user's.
            ("table", Some(quiet), _) => (quiet, false),
            ("table", None, _) => (self.table, true),
            ("json", ..) => ("{{json .}}", false),
            ("raw", _, Some(raw)) => (raw, false),
            _ => match format.strip_prefix("table") {
                Some(columns) => (columns.trim_matches(' '), true),
                None => (format.trim_matches(' '), false),
            },
        }
    }

    fn heading(&self) -> Value {
        let pairs = self.headers.iter().map(|(field, text)| ((*field).to_owned(), Value::from(*text)));
        Value::Object(pairs.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(format: Option<&str>, quiet: bool) -> String {
        let listing = Listing {
            table: "{{.ID}}\t{{.Name}}",
            quiet: quiet.then_some("{{.ID}}"),
            raw: Some("id: {{.ID}}\n"),
            headers: &[("ID", "THING ID"), ("Name", "NAME")],
        };
        let row = |id: &str, name: &str| {
            let fields = serde_json::json!({"ID": id, "Name": name});
            ListingRow { fields: fields.as_object().unwrap().clone(), labels: Map::new() }
        };
        listing.render(format, vec![row("1", "one"), row("22", "two")]).unwrap()
    }

    #[test]
    fn formats_of_docker() {
        let table = "THING ID   NAME\n1          one\n22         two\n";
        assert_eq!(render(None, false), table);
        assert_eq!(render(Some("table"), false), table);
        assert_eq!(render(None, true), "1\n22\n");
        assert_eq!(render(Some("{{.Name}}"), true), "one\ntwo\n");
        assert_eq!(
            render(Some("table {{.Name}}\\t{{.ID | lower}}"), false),
            "NAME      THING ID\none       1\ntwo       22\n"
        );
        assert_eq!(
            render(Some("json"), false),
            "{\"ID\":\"1\",\"Name\":\"one\"}\n{\"ID\":\"22\",\"Name\":\"two\"}\n"
        );
        assert_eq!(render(Some("raw"), false), "id: 1\n\nid: 22\n\n");
    }
}
