//! Which fields of its data a template may use, so that nobody works out the others.

use std::collections::BTreeSet;

use super::parse::{ControlBlock, Operand, OperandBase, Pipeline, TemplateNode};

/// Names of fields, or all there are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    /// Whether a value is used as a whole (`{{json .}}`), and so every field of it.
    all: bool,
    names: BTreeSet<String>,
}

impl FieldSet {
    pub(crate) fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// The fields that `nodes` select from any value. That value may be a part of the data (in a `range`) or a variable:
    /// the set is never too small, but may be too large.
    pub(super) fn of(nodes: &[TemplateNode]) -> Self {
        let mut fields = Self::default();
        fields.add_nodes(nodes);
        fields
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.all || self.names.contains(name)
    }

    fn add_nodes(&mut self, nodes: &[TemplateNode]) {
        for node in nodes {
            match node {
                TemplateNode::Action(pipeline) => self.add_pipeline(pipeline),
                TemplateNode::If(block) | TemplateNode::With(block) | TemplateNode::Range(block) => {
                    self.add_block(block);
                }
                TemplateNode::Text(_) | TemplateNode::Break | TemplateNode::Continue => {}
            }
        }
    }

    fn add_block(&mut self, block: &ControlBlock) {
        self.add_pipeline(&block.pipeline);
        self.add_nodes(&block.body);
        self.add_nodes(&block.otherwise);
    }

    fn add_pipeline(&mut self, pipeline: &Pipeline) {
        pipeline.commands.iter().flatten().for_each(|operand| self.add_operand(operand));
    }

    fn add_operand(&mut self, operand: &Operand) {
        match &operand.term {
            OperandBase::Group(pipeline) => self.add_pipeline(pipeline),
            OperandBase::Dot | OperandBase::Variable(_) if operand.fields.is_empty() => self.all = true,
            OperandBase::Dot
            | OperandBase::Variable(_)
            | OperandBase::Function(_)
            | OperandBase::Constant(_) => {}
        }
        self.names.extend(operand.fields.first().cloned());
    }
}

#[cfg(test)]
mod tests {
    use crate::output::template::Template;

    #[test]
    fn fields_of_templates() {
        for (source, used) in [
            ("", ""),
            ("plain", ""),
            ("{{.ID}}\t{{.Name | upper}}", "ID Name"),
            (
                "{{if .A}}{{.B.C}}{{else if eq .D \"x\"}}{{$.E}}{{else}}{{with .F}}{{.G}}{{end}}{{end}}",
                "A B D E F G",
            ),
            ("{{range $i, $e := .List}}{{$e.Name}}{{end}}", "List Name"),
            ("{{(index .List 1).Name}}{{.Label \"x\"}}", "Label List Name"),
            ("{{json .}}", "*"),
            ("{{.A}}{{with $x := .}}{{$x.B}}{{end}}", "*"),
            ("{{printf \"%v\" $}}", "*"),
        ] {
            let fields = Template::parse(source).unwrap().used_fields();
            let names: Vec<&str> = fields.names.iter().map(String::as_str).collect();
            assert_eq!(if fields.all { "*".to_owned() } else { names.join(" ") }, used, "{source}");
        }
    }
}
