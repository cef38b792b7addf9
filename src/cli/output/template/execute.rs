//! Executes a parsed template.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::error::TemplateError;
use super::functions;
use super::parse::{ControlBlock, Operand, OperandBase, Pipeline, TemplateNode};
use super::value::{format_value, is_truthy, null_field_text, type_name};

/// What a template is rendered for.
pub(crate) enum RenderMode<'a> {
    /// A single value.
    Plain,
    /// A row of a listing, with the labels of the object in it.
    Row(&'a Map<String, Value>),
    /// The heading above the rows: functions return what they get.
    Header,
}

/// Renders `nodes`, parsed from `source`, on `data`.
pub(crate) fn execute<'a>(
    source: &'a str,
    nodes: &[TemplateNode],
    data: &'a Value,
    mode: &'a RenderMode<'a>,
) -> Result<String, TemplateError> {
    let mut runner = TemplateRunner {
        source,
        mode,
        variables: vec![(String::new(), Cow::Borrowed(data))],
        printed: String::new(),
    };
    runner.nodes(nodes, data)?;
    Ok(runner.printed)
}

/// How a list of nodes ended.
#[derive(PartialEq)]
enum LoopFlow {
    Proceed,
    Break,
    Continue,
}

struct TemplateRunner<'a> {
    source: &'a str,
    mode: &'a RenderMode<'a>,
    /// Names and values, innermost last; the first is `$`.
    variables: Vec<(String, Cow<'a, Value>)>,
    printed: String,
}

type ExecuteResult<T> = Result<T, TemplateError>;

impl TemplateRunner<'_> {
    fn nodes(&mut self, nodes: &[TemplateNode], dot: &Value) -> ExecuteResult<LoopFlow> {
        for node in nodes {
            let flow = match node {
                TemplateNode::Text(text) => {
                    self.printed.push_str(text);
                    LoopFlow::Proceed
                }
                TemplateNode::Action(pipeline) => self.action(pipeline, dot)?,
                TemplateNode::If(block) => self.scoped(|this| this.condition(block, dot, false))?,
                TemplateNode::With(block) => self.scoped(|this| this.condition(block, dot, true))?,
                TemplateNode::Range(block) => self.scoped(|this| this.range(block, dot))?,
                TemplateNode::Break => LoopFlow::Break,
                TemplateNode::Continue => LoopFlow::Continue,
            };
            if flow != LoopFlow::Proceed {
                return Ok(flow);
            }
        }
        Ok(LoopFlow::Proceed)
    }

    fn scoped(&mut self, work: impl FnOnce(&mut Self) -> ExecuteResult<LoopFlow>) -> ExecuteResult<LoopFlow> {
        let scope_start = self.variables.len();
        let flow = work(self);
        // Variables that a block declares end with it.
        self.variables.truncate(scope_start);
        flow
    }

    fn action(&mut self, pipeline: &Pipeline, dot: &Value) -> ExecuteResult<LoopFlow> {
        // Most of what tables consist of; printed without copying it.
        if let Some(field) = single_field(pipeline)
            && let Value::String(text) = self.path(field, dot)?
        {
            self.printed.push_str(text);
            return Ok(LoopFlow::Proceed);
        }
        let value = self.pipeline(pipeline, dot)?;
        if pipeline.variables.is_empty() {
            let printed = match (&value, pipeline.commands.as_slice()) {
                (Value::Null, [command]) => null_result_text(command).into(),
                (Value::Null, _) => NO_VALUE.into(),
                (value, _) => format_value(value),
            };
            self.printed.push_str(&printed);
        }
        Ok(LoopFlow::Proceed)
    }

    fn condition(&mut self, block: &ControlBlock, dot: &Value, with: bool) -> ExecuteResult<LoopFlow> {
        let value = self.pipeline(&block.pipeline, dot)?;
        if is_truthy(&value) {
            self.nodes(&block.body, if with { &value } else { dot })
        } else {
            self.nodes(&block.otherwise, dot)
        }
    }

    fn range(&mut self, block: &ControlBlock, dot: &Value) -> ExecuteResult<LoopFlow> {
        // The variables are set for each element below, not to the whole.
        let value = self.commands(&block.pipeline, dot)?;
        let elements: Vec<(Value, Value)> = match value {
            Value::Null => Vec::new(),
            Value::Array(list) => list.into_iter().enumerate().map(|(at, item)| (at.into(), item)).collect(),
            Value::Object(map) => map.into_iter().map(|(key, item)| (key.into(), item)).collect(),
            other => {
                let message = format!("range can't iterate over {}", format_value(&other));
                return Err(self.error(span(&block.pipeline), message));
            }
        };
        if elements.is_empty() {
            return self.nodes(&block.otherwise, dot);
        }
        let scope_start = self.variables.len();
        for (key, item) in elements {
            self.bind(&block.pipeline, key, &item);
            let flow = self.nodes(&block.body, &item)?;
            self.variables.truncate(scope_start);
            if flow == LoopFlow::Break {
                break;
            }
        }
        Ok(LoopFlow::Proceed)
    }

    fn bind(&mut self, pipeline: &Pipeline, key: Value, item: &Value) {
        match pipeline.variables.as_slice() {
            [one] => self.set(one, item.clone(), pipeline.assigns),
            [one, two] => {
                self.set(one, key, pipeline.assigns);
                self.set(two, item.clone(), pipeline.assigns);
            }
            _ => {}
        }
    }

    fn set(&mut self, name: &str, value: Value, assigns: bool) {
        // The innermost variable of that name.
        let variable = self.variables.iter_mut().rev().find(|(variable, _)| variable == name);
        match variable.filter(|_| assigns) {
            Some((_, old)) => *old = Cow::Owned(value),
            None => self.variables.push((name.to_owned(), Cow::Owned(value))),
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> ExecuteResult<Value> {
        let value = self.commands(pipeline, dot)?;
        if let Some(name) = pipeline.variables.first() {
            self.set(name, value.clone(), pipeline.assigns);
        }
        Ok(value)
    }

    fn commands(&mut self, pipeline: &Pipeline, dot: &Value) -> ExecuteResult<Value> {
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, last, dot)?);
        }
        Ok(last.unwrap_or_default())
    }

    /// `piped` is the result of the command before, which becomes the last argument.
    fn command(&mut self, operands: &[Operand], piped: Option<Value>, dot: &Value) -> ExecuteResult<Value> {
        let Some((first, arguments)) = operands.split_first() else { return Ok(Value::Null) };
        match &first.term {
            OperandBase::Function(name) if matches!(name.as_str(), "and" | "or") => {
                let value = self.and_or(name == "and", first, arguments, piped, dot)?;
                self.fields(first, value)
            }
            OperandBase::Function(name) => {
                let mut values = self.arguments(arguments, dot)?;
                values.extend(piped);
                let value = self.call(name, &values, first)?;
                self.fields(first, value)
            }
            _ if arguments.is_empty() && piped.is_none() => self.operand(first, dot),
            _ => {
                let mut values = self.arguments(arguments, dot)?;
                values.extend(piped);
                self.label(first, &values)
            }
        }
    }

    fn arguments(&mut self, operands: &[Operand], dot: &Value) -> ExecuteResult<Vec<Value>> {
        operands.iter().map(|operand| self.argument(operand, dot)).collect()
    }

    fn argument(&mut self, operand: &Operand, dot: &Value) -> ExecuteResult<Value> {
        match &operand.term {
            // As an argument, a function takes none of its own; a call with some is in parentheses.
            OperandBase::Function(_) => self.command(std::slice::from_ref(operand), None, dot),
            _ => self.operand(operand, dot),
        }
    }

    /// `and` and `or` evaluate no more arguments than they need.
    fn and_or(
        &mut self,
        and: bool,
        function: &Operand,
        operands: &[Operand],
        piped: Option<Value>,
        dot: &Value,
    ) -> ExecuteResult<Value> {
        let mut value = None;
        for operand in operands {
            let next = self.argument(operand, dot)?;
            if is_truthy(&next) != and {
                return Ok(next);
            }
            value = Some(next);
        }
        let missing = || self.error(function.span, "wrong number of args: want at least 1 got 0");
        // The piped value is the last argument: it is the result if all before it did not decide.
        piped.or(value).ok_or_else(missing)
    }

    fn call(&self, name: &str, values: &[Value], function: &Operand) -> ExecuteResult<Value> {
        // `{{.ID | upper}}` has the heading of `.ID`.
        if let (RenderMode::Header, false) = (self.mode, HEADER_FUNCTIONS.contains(&name)) {
            return Ok(values.iter().find(|value| value.is_string()).cloned().unwrap_or_default());
        }
        functions::call_function(name, values).map_err(|why| self.error(function.span, why))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> ExecuteResult<Value> {
        let value = match &operand.term {
            OperandBase::Dot if operand.fields.is_empty() => return Ok(dot.clone()),
            OperandBase::Dot => return self.path(operand, dot).cloned(),
            OperandBase::Constant(value) => value.clone(),
            OperandBase::Variable(name) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                known.map(|(_, value)| value.as_ref().clone()).unwrap_or_default()
            }
            OperandBase::Group(pipeline) => self.pipeline(pipeline, dot)?,
            OperandBase::Function(_) => return self.command(std::slice::from_ref(operand), None, dot),
        };
        self.fields(operand, value)
    }

    fn fields(&self, operand: &Operand, value: Value) -> ExecuteResult<Value> {
        if operand.fields.is_empty() { Ok(value) } else { self.path(operand, &value).cloned() }
    }

    fn path<'v>(&self, operand: &Operand, start: &'v Value) -> ExecuteResult<&'v Value> {
        let mut value = start;
        for name in &operand.fields {
            value = match value {
                Value::Object(map) => match map.get(name) {
                    Some(field) => field,
                    // Fields of docker's structs begin with a capital; other names are keys of maps, which
                    // may be missing.
                    None if matches!(self.mode, RenderMode::Header)
                        || name.starts_with(char::is_lowercase) =>
                    {
                        return Ok(&Value::Null);
                    }
                    None => {
                        return Err(self.error(operand.span, format!("map has no entry for key {name:?}")));
                    }
                },
                Value::Null => return Ok(&Value::Null),
                other => {
                    let message = format!("can't evaluate field {name} in type {}", type_name(other));
                    return Err(self.error(operand.span, message));
                }
            };
        }
        Ok(value)
    }

    /// The one field that takes an argument: `.Label "name"`.
    fn label(&self, operand: &Operand, values: &[Value]) -> ExecuteResult<Value> {
        let is_label = matches!(operand.term, OperandBase::Dot | OperandBase::Variable(_))
            && operand.fields.last().is_some_and(|name| name == "Label");
        match (self.mode, values) {
            (RenderMode::Row(labels), [Value::String(name)]) if is_label => {
                Ok(labels.get(name).cloned().unwrap_or_else(|| "".into()))
            }
            (RenderMode::Header, [Value::String(name)]) if is_label => {
                let segment = name.rsplit('.').next().unwrap_or(name);
                Ok(segment.replace(['-', '_'], " ").into())
            }
            _ => Err(self.error(operand.span, "it takes no arguments")),
        }
    }

    fn error(&self, span: (usize, usize), message: impl Into<String>) -> TemplateError {
        TemplateError::executing(self.source, span, message)
    }
}

/// The operand of an action that only prints a field of the current value.
fn single_field(pipeline: &Pipeline) -> Option<&Operand> {
    let [command] = pipeline.commands.as_slice() else { return None };
    let [operand] = command.as_slice() else { return None };
    let is_field = matches!(operand.term, OperandBase::Dot) && !operand.fields.is_empty();
    (is_field && pipeline.variables.is_empty()).then_some(operand)
}

const NO_VALUE: &str = "<no value>";

/// Functions that are evaluated for headings too.
const HEADER_FUNCTIONS: &[&str] =
    &["eq", "ge", "gt", "le", "len", "lt", "ne", "not", "print", "printf", "println"];

/// What is printed if `command` yields null.
fn null_result_text(command: &[Operand]) -> &'static str {
    match command {
        [operand] => operand.fields.last().and_then(|name| null_field_text(name)).unwrap_or(NO_VALUE),
        _ => NO_VALUE,
    }
}

fn span(pipeline: &Pipeline) -> (usize, usize) {
    let operands = || pipeline.commands.iter().flatten();
    let start = operands().next().map_or(0, |first| first.span.0);
    (start, operands().last().map_or(start, |last| last.span.1))
}
