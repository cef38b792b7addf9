//! The parser: from tokens to a tree of nodes.

use serde_json::Value;

use super::error::TemplateError;
use super::functions;
use super::lexer::{TemplateToken, TemplateTokenKind, tokenize};

/// How deep blocks and parentheses may nest; without a limit, they could exhaust the stack.
const MAX_DEPTH: usize = 100;

/// A node of the tree.
#[derive(Debug)]
pub(crate) enum TemplateNode {
    /// Literal text.
    Text(String),
    /// An action that prints a value or sets variables.
    Action(Pipeline),
    /// `if`.
    If(ControlBlock),
    /// `with`.
    With(ControlBlock),
    /// `range`.
    Range(ControlBlock),
    /// `break` out of a `range`.
    Break,
    /// `continue` with a `range`'s next element.
    Continue,
}

/// A control structure with its condition.
#[derive(Debug)]
pub(crate) struct ControlBlock {
    /// The condition, or what `range` iterates over.
    pub(crate) pipeline: Pipeline,
    /// The nodes if it is not empty.
    pub(crate) body: Vec<TemplateNode>,
    /// The nodes if it is empty.
    pub(crate) otherwise: Vec<TemplateNode>,
}

/// Commands, each of which gets the result of the one before as its last argument.
#[derive(Debug, Default)]
pub(crate) struct Pipeline {
    /// The variables that get the result.
    pub(crate) variables: Vec<String>,
    /// Whether they exist already (`=` rather than `:=`).
    pub(crate) assigns: bool,
    /// The commands, at least one.
    pub(crate) commands: Vec<Vec<Operand>>,
}

/// A value and the fields selected from it.
#[derive(Debug)]
pub(crate) struct Operand {
    /// What the fields are selected from.
    pub(crate) term: OperandBase,
    /// The fields, outermost first.
    pub(crate) fields: Vec<String>,
    /// Its byte range in the source.
    pub(crate) span: (usize, usize),
}

/// What an operand selects its fields from.
#[derive(Debug)]
pub(crate) enum OperandBase {
    /// The current value.
    Dot,
    /// A constant.
    Constant(Value),
    /// `$name`.
    Variable(String),
    /// The name of a function.
    Function(String),
    /// A pipeline in parentheses.
    Group(Pipeline),
}

/// Parses a whole template.
pub(crate) fn parse_template(source: &str) -> Result<Vec<TemplateNode>, TemplateError> {
    let tokens = tokenize(source)?;
    let mut parser =
        // `$`, the data of the template, is always in scope.
        TemplateParser { source, tokens, at: 0, variables: vec![String::new()], depth: 0, loops: 0 };
    let (nodes, end) = parser.nodes()?;
    match end {
        NodeListEnd::Source => Ok(nodes),
        NodeListEnd::End => Err(parser.error("unexpected {{end}}")),
        NodeListEnd::Else => Err(parser.error("unexpected {{else}}")),
    }
}

/// What ended a list of nodes.
#[derive(PartialEq)]
enum NodeListEnd {
    Source,
    End,
    Else,
}

struct TemplateParser<'a> {
    source: &'a str,
    tokens: Vec<TemplateToken>,
    at: usize,
    /// The variables in scope; the first is `$`.
    variables: Vec<String>,
    depth: usize,
    loops: usize,
}

type ParseResult<T> = Result<T, TemplateError>;

impl TemplateParser<'_> {
    fn nodes(&mut self) -> ParseResult<(Vec<TemplateNode>, NodeListEnd)> {
        let mut nodes = Vec::new();
        loop {
            match self.next().map(|token| token.kind) {
                None => return Ok((nodes, NodeListEnd::Source)),
                Some(TemplateTokenKind::Text(text)) => nodes.push(TemplateNode::Text(text)),
                Some(_) => match self.keyword().as_deref() {
                    Some("end") => {
                        self.at += 1;
                        self.close("end")?;
                        return Ok((nodes, NodeListEnd::End));
                    }
                    Some("else") => {
                        self.at += 1;
                        // Not closed here: a condition may follow, as in `{{else if}}`.
                        return Ok((nodes, NodeListEnd::Else));
                    }
                    Some(word) => nodes.push(self.control(word)?),
                    None => nodes.push(TemplateNode::Action(self.action()?)),
                },
            }
        }
    }

    /// The keyword that starts the action.
    fn keyword(&self) -> Option<String> {
        match self.peek() {
            Some(TemplateTokenKind::Word(word)) if KEYWORDS.contains(&word.as_str()) => Some(word.clone()),
            _ => None,
        }
    }

    fn control(&mut self, word: &str) -> ParseResult<TemplateNode> {
        self.at += 1;
        match word {
            "if" => Ok(TemplateNode::If(self.block("if")?)),
            "with" => Ok(TemplateNode::With(self.block("with")?)),
            "range" => Ok(TemplateNode::Range(self.block("range")?)),
            "break" | "continue" if self.loops == 0 => {
                Err(self.error(format!("{{{{{word}}}}} outside {{{{range}}}}")))
            }
            "break" => self.close("break").map(|()| TemplateNode::Break),
            "continue" => self.close("continue").map(|()| TemplateNode::Continue),
            _ => Err(self.error(format!("{{{{{word}}}}} is not possible in a format"))),
        }
    }

    fn block(&mut self, word: &'static str) -> ParseResult<ControlBlock> {
        self.descend()?;
        let scope_start = self.variables.len();
        let pipeline = self.pipeline(word)?;
        if pipeline.variables.len() > 1 && word != "range" {
            return Err(self.error(format!("too many declarations in {word}")));
        }
        self.close(word)?;
        // `break` and `continue` are allowed in the body, not behind `{{else}}`.
        let added_loops = usize::from(word == "range");
        self.loops += added_loops;
        let (body, end) = self.nodes()?;
        self.loops -= added_loops;
        let otherwise = match end {
            NodeListEnd::Source => return Err(self.error("unexpected EOF")),
            NodeListEnd::End => Vec::new(),
            NodeListEnd::Else => self.otherwise(word)?,
        };
        // Variables declared in the block end with it.
        self.variables.truncate(scope_start);
        self.depth -= 1;
        Ok(ControlBlock { pipeline, body, otherwise })
    }

    /// Parses what follows `{{else`: nodes up to the common `end`, or another condition.
    fn otherwise(&mut self, word: &'static str) -> ParseResult<Vec<TemplateNode>> {
        if let Some(next) = self.keyword().filter(|next| next == word && word != "range") {
            self.at += 1;
            // The one `{{end}}` belongs to the inner block, and ends all of the chain.
            return Ok(vec![if next == "if" {
                TemplateNode::If(self.block("if")?)
            } else {
                TemplateNode::With(self.block("with")?)
            }]);
        }
        self.close("else")?;
        match self.nodes()? {
            (nodes, NodeListEnd::End) => Ok(nodes),
            (_, NodeListEnd::Else) => Err(self.error("expected end; found {{else}}")),
            (_, NodeListEnd::Source) => Err(self.error("unexpected EOF")),
        }
    }

    fn action(&mut self) -> ParseResult<Pipeline> {
        let pipeline = self.pipeline("command")?;
        self.close("command")?;
        Ok(pipeline)
    }

    fn pipeline(&mut self, context: &str) -> ParseResult<Pipeline> {
        let mut pipeline = Pipeline::default();
        self.declaration(&mut pipeline, context)?;
        loop {
            let command = self.command()?;
            if command.is_empty() {
                return Err(self.error(format!("missing value for {context}")));
            }
            // As in Go: only functions and fields can take the result of the command before.
            let constant = matches!(command.first(), Some(Operand { term: OperandBase::Constant(_) | OperandBase::Dot, fields, .. }) if fields.is_empty());
            if constant && !pipeline.commands.is_empty() {
                return Err(self.error("non executable command in pipeline"));
            }
            pipeline.commands.push(command);
            if self.peek() != Some(&TemplateTokenKind::Sign("|")) {
                return Ok(pipeline);
            }
            self.at += 1;
        }
    }

    /// Parses `$x :=`, `$x =` or, for a range, `$i, $x :=` in front of a pipeline.
    fn declaration(&mut self, pipeline: &mut Pipeline, context: &str) -> ParseResult<()> {
        // Only the sign after it tells a declaration from a value that begins with `$x`.
        let kind = |ahead: usize| self.tokens.get(self.at + ahead).map(|token| &token.kind);
        let (names, sign) = match (kind(0), kind(1), kind(2), kind(3)) {
            (
                Some(TemplateTokenKind::Variable(one)),
                Some(TemplateTokenKind::Sign(sign @ (":=" | "="))),
                ..,
            ) => (vec![one.clone()], *sign),
            (
                Some(TemplateTokenKind::Variable(one)),
                Some(TemplateTokenKind::Sign(",")),
                Some(TemplateTokenKind::Variable(two)),
                Some(TemplateTokenKind::Sign(sign @ (":=" | "="))),
            ) if context == "range" => (vec![one.clone(), two.clone()], *sign),
            _ => return Ok(()),
        };
        self.at += names.len() * 2;
        pipeline.assigns = sign == "=";
        if pipeline.assigns {
            names.iter().try_for_each(|name| self.require_variable(name))?;
        } else {
            self.variables.extend(names.iter().cloned());
        }
        pipeline.variables = names;
        Ok(())
    }

    fn require_variable(&self, name: &str) -> ParseResult<()> {
        match self.variables.iter().any(|variable| variable == name) {
            true => Ok(()),
            false => Err(self.error(format!("undefined variable \"${name}\""))),
        }
    }

    fn command(&mut self) -> ParseResult<Vec<Operand>> {
        let mut operands: Vec<Operand> = Vec::new();
        while let Some(operand) = self.operand()? {
            operands.push(operand);
        }
        Ok(operands)
    }

    fn operand(&mut self) -> ParseResult<Option<Operand>> {
        let Some(token) = self.tokens.get(self.at).cloned() else { return Ok(None) };
        let mut fields = Vec::new();
        let term = match token.kind {
            TemplateTokenKind::Field(name) => {
                fields.push(name);
                OperandBase::Dot
            }
            TemplateTokenKind::Sign(".") => OperandBase::Dot,
            TemplateTokenKind::Constant(value) => OperandBase::Constant(value),
            TemplateTokenKind::Variable(name) => {
                self.require_variable(&name).map(|()| OperandBase::Variable(name))?
            }
            TemplateTokenKind::Word(word) => self.word(word)?,
            TemplateTokenKind::Sign("(") => return self.group(token.start).map(Some),
            _ => return Ok(None),
        };
        self.at += 1;
        self.chain(term, fields, token.start).map(Some)
    }

    fn word(&self, word: String) -> ParseResult<OperandBase> {
        match word.as_str() {
            "true" | "false" => Ok(OperandBase::Constant((word == "true").into())),
            "nil" => Ok(OperandBase::Constant(Value::Null)),
            name if functions::is_function(name) => Ok(OperandBase::Function(word)),
            name if KEYWORDS.contains(&name) => Err(self.error(format!("unexpected <{name}> in command"))),
            name => Err(self.error(format!("function {name:?} not defined"))),
        }
    }

    fn group(&mut self, start: usize) -> ParseResult<Operand> {
        self.descend()?;
        self.at += 1;
        let pipeline = self.pipeline("parenthesized pipeline")?;
        if self.peek() != Some(&TemplateTokenKind::Sign(")")) {
            return Err(self.unexpected("right paren"));
        }
        self.at += 1;
        self.depth -= 1;
        self.chain(OperandBase::Group(pipeline), Vec::new(), start)
    }

    /// Adds the fields that follow without a space.
    fn chain(&mut self, term: OperandBase, mut fields: Vec<String>, start: usize) -> ParseResult<Operand> {
        while let Some(TemplateToken { kind: TemplateTokenKind::Field(name), spaced: false, .. }) =
            self.tokens.get(self.at)
        {
            fields.push(name.clone());
            self.at += 1;
        }
        if !fields.is_empty() && matches!(term, OperandBase::Constant(_)) {
            return Err(self.error("unexpected . after term"));
        }
        let end =
            self.at.checked_sub(1).and_then(|last| self.tokens.get(last)).map_or(start, |last| last.end);
        Ok(Operand { term, fields, span: (start, end) })
    }

    fn close(&mut self, context: &str) -> ParseResult<()> {
        match self.next().map(|token| token.kind) {
            Some(TemplateTokenKind::Close) => Ok(()),
            _ => {
                // Back to the token that the error is about.
                self.at -= 1;
                Err(self.unexpected(context))
            }
        }
    }

    fn unexpected(&self, context: &str) -> TemplateError {
        let piece = self.tokens.get(self.at).and_then(|token| self.source.get(token.start..token.end));
        self.error(format!("unexpected {:?} in {context}", piece.unwrap_or("EOF")))
    }

    fn descend(&mut self) -> ParseResult<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(self.error("too deeply nested")) } else { Ok(()) }
    }

    fn peek(&self) -> Option<&TemplateTokenKind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn next(&mut self) -> Option<TemplateToken> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn error(&self, message: impl Into<String>) -> TemplateError {
        let at = self.tokens.get(self.at).map_or(self.source.len(), |token| token.start);
        TemplateError::at(self.source, at, message)
    }
}

const KEYWORDS: &[&str] =
    &["if", "else", "end", "range", "with", "break", "continue", "define", "template", "block"];
