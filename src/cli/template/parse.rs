//! The parser: from tokens to a tree of nodes.

use serde_json::Value;

use super::token::{Kind, Token, split};
use super::{TemplateError, functions};

/// How deep blocks and parentheses may nest; without a limit, they could exhaust the stack.
const DEEPEST: usize = 100;

/// A node of the tree.
#[derive(Debug)]
pub(super) enum Node {
    /// Literal text.
    Text(String),
    /// An action that prints a value or sets variables.
    Action(Pipeline),
    /// `if`.
    If(Block),
    /// `with`.
    With(Block),
    /// `range`.
    Range(Block),
    /// `break` out of a `range`.
    Break,
    /// `continue` with a `range`'s next element.
    Continue,
}

/// A control structure with its condition.
#[derive(Debug)]
pub(super) struct Block {
    /// The condition, or what `range` iterates over.
    pub(super) pipeline: Pipeline,
    /// The nodes if it is not empty.
    pub(super) body: Vec<Node>,
    /// The nodes if it is empty.
    pub(super) otherwise: Vec<Node>,
}

/// Commands, each of which gets the result of the one before as its last argument.
#[derive(Debug, Default)]
pub(super) struct Pipeline {
    /// The variables that get the result.
    pub(super) variables: Vec<String>,
    /// Whether they exist already (`=` rather than `:=`).
    pub(super) assigns: bool,
    /// The commands, at least one.
    pub(super) commands: Vec<Vec<Operand>>,
}

/// A value and the fields selected from it.
#[derive(Debug)]
pub(super) struct Operand {
    /// What the fields are selected from.
    pub(super) term: Term,
    /// The fields, outermost first.
    pub(super) fields: Vec<String>,
    /// Its byte range in the source.
    pub(super) span: (usize, usize),
}

/// What an operand selects its fields from.
#[derive(Debug)]
pub(super) enum Term {
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
pub(super) fn parse(source: &str) -> Result<Vec<Node>, TemplateError> {
    let tokens = split(source)?;
    let mut parser = Parser { source, tokens, at: 0, variables: vec![String::new()], depth: 0, loops: 0 };
    let (nodes, end) = parser.nodes()?;
    match end {
        Stop::Source => Ok(nodes),
        Stop::End => Err(parser.error("unexpected {{end}}")),
        Stop::Else => Err(parser.error("unexpected {{else}}")),
    }
}

/// What ended a list of nodes.
#[derive(PartialEq)]
enum Stop {
    Source,
    End,
    Else,
}

struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Token>,
    at: usize,
    /// The variables in scope; the first is `$`.
    variables: Vec<String>,
    depth: usize,
    loops: usize,
}

type Parsed<T> = Result<T, TemplateError>;

impl Parser<'_> {
    fn nodes(&mut self) -> Parsed<(Vec<Node>, Stop)> {
        let mut nodes = Vec::new();
        loop {
            match self.next().map(|token| token.kind) {
                None => return Ok((nodes, Stop::Source)),
                Some(Kind::Text(text)) => nodes.push(Node::Text(text)),
                Some(_) => match self.keyword().as_deref() {
                    Some("end") => {
                        self.at += 1;
                        self.close("end")?;
                        return Ok((nodes, Stop::End));
                    }
                    Some("else") => {
                        self.at += 1;
                        return Ok((nodes, Stop::Else));
                    }
                    Some(word) => nodes.push(self.control(word)?),
                    None => nodes.push(Node::Action(self.action()?)),
                },
            }
        }
    }

    /// The keyword that starts the action.
    fn keyword(&self) -> Option<String> {
        match self.peek() {
            Some(Kind::Word(word)) if KEYWORDS.contains(&word.as_str()) => Some(word.clone()),
            _ => None,
        }
    }

    fn control(&mut self, word: &str) -> Parsed<Node> {
        self.at += 1;
        match word {
            "if" => Ok(Node::If(self.block("if")?)),
            "with" => Ok(Node::With(self.block("with")?)),
            "range" => Ok(Node::Range(self.block("range")?)),
            "break" | "continue" if self.loops == 0 => {
                Err(self.error(format!("{{{{{word}}}}} outside {{{{range}}}}")))
            }
            "break" => self.close("break").map(|()| Node::Break),
            "continue" => self.close("continue").map(|()| Node::Continue),
            _ => Err(self.error(format!("{{{{{word}}}}} is not possible in a format"))),
        }
    }

    fn block(&mut self, word: &'static str) -> Parsed<Block> {
        self.descend()?;
        let visible = self.variables.len();
        let pipeline = self.pipeline(word)?;
        if pipeline.variables.len() > 1 && word != "range" {
            return Err(self.error(format!("too many declarations in {word}")));
        }
        self.close(word)?;
        // `break` and `continue` are allowed in the body, not behind `{{else}}`.
        let looping = usize::from(word == "range");
        self.loops += looping;
        let (body, end) = self.nodes()?;
        self.loops -= looping;
        let otherwise = match end {
            Stop::Source => return Err(self.error("unexpected EOF")),
            Stop::End => Vec::new(),
            Stop::Else => self.otherwise(word)?,
        };
        // Variables declared in the block end with it.
        self.variables.truncate(visible);
        self.depth -= 1;
        Ok(Block { pipeline, body, otherwise })
    }

    /// Parses what follows `{{else`: nodes up to the common `end`, or another condition.
    fn otherwise(&mut self, word: &'static str) -> Parsed<Vec<Node>> {
        if let Some(next) = self.keyword().filter(|next| next == word && word != "range") {
            self.at += 1;
            return Ok(vec![if next == "if" {
                Node::If(self.block("if")?)
            } else {
                Node::With(self.block("with")?)
            }]);
        }
        self.close("else")?;
        match self.nodes()? {
            (nodes, Stop::End) => Ok(nodes),
            (_, Stop::Else) => Err(self.error("expected end; found {{else}}")),
            (_, Stop::Source) => Err(self.error("unexpected EOF")),
        }
    }

    fn action(&mut self) -> Parsed<Pipeline> {
        let pipeline = self.pipeline("command")?;
        self.close("command")?;
        Ok(pipeline)
    }

    fn pipeline(&mut self, context: &str) -> Parsed<Pipeline> {
        let mut pipeline = Pipeline::default();
        self.declaration(&mut pipeline, context)?;
        loop {
            let command = self.command()?;
            if command.is_empty() {
                return Err(self.error(format!("missing value for {context}")));
            }
            // As in Go: only functions and fields can take the result of the command before.
            let constant = matches!(command.first(), Some(Operand { term: Term::Constant(_) | Term::Dot, fields, .. }) if fields.is_empty());
            if constant && !pipeline.commands.is_empty() {
                return Err(self.error("non executable command in pipeline"));
            }
            pipeline.commands.push(command);
            if self.peek() != Some(&Kind::Sign("|")) {
                return Ok(pipeline);
            }
            self.at += 1;
        }
    }

    /// Parses `$x :=`, `$x =` or, for a range, `$i, $x :=` in front of a pipeline.
    fn declaration(&mut self, pipeline: &mut Pipeline, context: &str) -> Parsed<()> {
        let kind = |ahead: usize| self.tokens.get(self.at + ahead).map(|token| &token.kind);
        let (names, sign) = match (kind(0), kind(1), kind(2), kind(3)) {
            (Some(Kind::Variable(one)), Some(Kind::Sign(sign @ (":=" | "="))), ..) => {
                (vec![one.clone()], *sign)
            }
            (
                Some(Kind::Variable(one)),
                Some(Kind::Sign(",")),
                Some(Kind::Variable(two)),
                Some(Kind::Sign(sign @ (":=" | "="))),
            ) if context == "range" => (vec![one.clone(), two.clone()], *sign),
            _ => return Ok(()),
        };
        self.at += names.len() * 2;
        pipeline.assigns = sign == "=";
        if pipeline.assigns {
            names.iter().try_for_each(|name| self.known(name))?;
        } else {
            self.variables.extend(names.iter().cloned());
        }
        pipeline.variables = names;
        Ok(())
    }

    fn known(&self, name: &str) -> Parsed<()> {
        match self.variables.iter().any(|known| known == name) {
            true => Ok(()),
            false => Err(self.error(format!("undefined variable \"${name}\""))),
        }
    }

    fn command(&mut self) -> Parsed<Vec<Operand>> {
        let mut operands: Vec<Operand> = Vec::new();
        while let Some(operand) = self.operand()? {
            operands.push(operand);
        }
        Ok(operands)
    }

    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(token) = self.tokens.get(self.at).cloned() else { return Ok(None) };
        let mut fields = Vec::new();
        let term = match token.kind {
            Kind::Field(name) => {
                fields.push(name);
                Term::Dot
            }
            Kind::Sign(".") => Term::Dot,
            Kind::Constant(value) => Term::Constant(value),
            Kind::Variable(name) => self.known(&name).map(|()| Term::Variable(name))?,
            Kind::Word(word) => self.word(word)?,
            Kind::Sign("(") => return self.group(token.start).map(Some),
            _ => return Ok(None),
        };
        self.at += 1;
        self.chain(term, fields, token.start).map(Some)
    }

    fn word(&self, word: String) -> Parsed<Term> {
        match word.as_str() {
            "true" | "false" => Ok(Term::Constant((word == "true").into())),
            "nil" => Ok(Term::Constant(Value::Null)),
            name if functions::exists(name) => Ok(Term::Function(word)),
            name if KEYWORDS.contains(&name) => Err(self.error(format!("unexpected <{name}> in command"))),
            name => Err(self.error(format!("function {name:?} not defined"))),
        }
    }

    fn group(&mut self, start: usize) -> Parsed<Operand> {
        self.descend()?;
        self.at += 1;
        let pipeline = self.pipeline("parenthesized pipeline")?;
        if self.peek() != Some(&Kind::Sign(")")) {
            return Err(self.unexpected("right paren"));
        }
        self.at += 1;
        self.depth -= 1;
        self.chain(Term::Group(pipeline), Vec::new(), start)
    }

    /// Adds the fields that follow without a space.
    fn chain(&mut self, term: Term, mut fields: Vec<String>, start: usize) -> Parsed<Operand> {
        while let Some(Token { kind: Kind::Field(name), spaced: false, .. }) = self.tokens.get(self.at) {
            fields.push(name.clone());
            self.at += 1;
        }
        if !fields.is_empty() && matches!(term, Term::Constant(_)) {
            return Err(self.error("unexpected . after term"));
        }
        let end =
            self.at.checked_sub(1).and_then(|last| self.tokens.get(last)).map_or(start, |last| last.end);
        Ok(Operand { term, fields, span: (start, end) })
    }

    fn close(&mut self, context: &str) -> Parsed<()> {
        match self.next().map(|token| token.kind) {
            Some(Kind::Close) => Ok(()),
            _ => {
                self.at -= 1;
                Err(self.unexpected(context))
            }
        }
    }

    fn unexpected(&self, context: &str) -> TemplateError {
        let piece = self.tokens.get(self.at).and_then(|token| self.source.get(token.start..token.end));
        self.error(format!("unexpected {:?} in {context}", piece.unwrap_or("EOF")))
    }

    fn descend(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > DEEPEST { Err(self.error("too deeply nested")) } else { Ok(()) }
    }

    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn next(&mut self) -> Option<Token> {
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
