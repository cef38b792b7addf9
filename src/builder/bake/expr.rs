//! Evaluates HCL expressions and templates.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use hcl::expr::{
    BinaryOperator, Expression, ForExpr, FuncCall, ObjectKey, Operation, TraversalOperator, UnaryOperator,
};
use hcl::template::{Directive, Element, Strip, Template};
use serde_json::{Map, Value};

use super::definition::BakeFunction;
use super::functions;
use super::value::{
    as_bool, as_number, as_text, from_hcl_number, index_value, key_values, number_value, values_equal,
};
use dhow_error::{Failure, invalid};

/// The deepest nesting of expressions, across function calls.
const MAX_DEPTH: u32 = 100;
/// The most expressions one [`ExprEvaluator`] may evaluate.
const MAX_STEPS: u64 = 1_000_000;

/// Resolves names that are not bound locally.
pub(crate) trait NameResolver {
    /// `None` if there is no such variable.
    fn variable(&self, name: &str) -> Option<Result<Value, Failure>>;
    /// A user-defined function.
    fn function(&self, name: &str) -> Option<&BakeFunction>;
}

/// Names bound by a loop, a call or a matrix, which shadow outer ones.
#[derive(Default)]
pub(crate) struct LocalScope<'a> {
    names: BTreeMap<String, Value>,
    outer: Option<&'a LocalScope<'a>>,
}

impl<'a> LocalScope<'a> {
    /// A scope without an outer one.
    pub(super) fn new(names: BTreeMap<String, Value>) -> Self {
        Self { names, outer: None }
    }

    fn nested(names: BTreeMap<String, Value>, outer: &'a LocalScope<'a>) -> Self {
        Self { names, outer: Some(outer) }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.names.get(name).or_else(|| self.outer?.get(name))
    }
}

pub(crate) struct ExprEvaluator<'n, N> {
    names: &'n N,
    depth: Cell<u32>,
    steps: Cell<u64>,
    templates: RefCell<BTreeMap<String, Template>>,
}

impl<'n, N: NameResolver> ExprEvaluator<'n, N> {
    pub(super) fn new(names: &'n N) -> Self {
        Self { names, depth: Cell::new(0), steps: Cell::new(0), templates: RefCell::default() }
    }

    /// Evaluates `expression`.
    pub(super) fn value(&self, expression: &Expression, scope: &LocalScope<'_>) -> Result<Value, Failure> {
        self.steps.set(self.steps.get() + 1);
        // Definitions may be remote, so neither recursion nor work is unbounded.
        if self.depth.get() > MAX_DEPTH || self.steps.get() > MAX_STEPS {
            return Err(invalid("the definitions of the build call each other without end"));
        }
        self.depth.set(self.depth.get() + 1);
        let value = self.evaluate(expression, scope);
        self.depth.set(self.depth.get() - 1);
        value
    }

    fn evaluate(&self, expression: &Expression, scope: &LocalScope<'_>) -> Result<Value, Failure> {
        match expression {
            Expression::Null => Ok(Value::Null),
            Expression::Bool(value) => Ok(Value::Bool(*value)),
            Expression::Number(number) => Ok(from_hcl_number(number)),
            Expression::String(text) => Ok(Value::String(text.clone())),
            Expression::Array(items) => {
                items.iter().map(|item| self.value(item, scope)).collect::<Result<_, _>>().map(Value::Array)
            }
            Expression::Object(object) => {
                let mut map = Map::new();
                for (key, value) in object.iter() {
                    let key = match key {
                        ObjectKey::Identifier(name) => name.as_str().to_owned(),
                        ObjectKey::Expression(key) => as_text(&self.value(key, scope)?)?,
                        _ => return Err(invalid("a key of an object is no text")),
                    };
                    map.insert(key, self.value(value, scope)?);
                }
                Ok(Value::Object(map))
            }
            Expression::TemplateExpr(template) => self.template(&template.to_string(), scope),
            Expression::Variable(name) => self.variable(name.as_str(), scope),
            Expression::Traversal(traversal) => {
                let start = self.value(&traversal.expr, scope)?;
                self.traverse(start, &traversal.operators, scope)
            }
            Expression::FuncCall(call) => self.call(call, scope),
            Expression::Parenthesis(inner) => self.value(inner, scope),
            Expression::Conditional(conditional) => {
                let chosen = if as_bool(&self.value(&conditional.cond_expr, scope)?)? {
                    &conditional.true_expr
                } else {
                    &conditional.false_expr
                };
                self.value(chosen, scope)
            }
            Expression::Operation(operation) => self.operation(operation, scope),
            Expression::ForExpr(each) => self.for_expr(each, scope),
            _ => Err(invalid("this expression of HCL is not known here")),
        }
    }

    fn variable(&self, name: &str, scope: &LocalScope<'_>) -> Result<Value, Failure> {
        if let Some(value) = scope.get(name) {
            return Ok(value.clone());
        }
        self.names.variable(name).unwrap_or_else(|| {
            Err(invalid(format!("Unknown variable; There is no variable named {name:?}.")))
        })
    }

    fn traverse(
        &self,
        mut value: Value,
        operators: &[TraversalOperator],
        scope: &LocalScope<'_>,
    ) -> Result<Value, Failure> {
        let mut rest = operators.iter();
        while let Some(operator) = rest.next() {
            value = match operator {
                TraversalOperator::GetAttr(name) => index_value(&value, &Value::from(name.as_str()))?,
                TraversalOperator::Index(index) => index_value(&value, &self.value(index, scope)?)?,
                TraversalOperator::LegacyIndex(index) => index_value(&value, &Value::from(*index))?,
                TraversalOperator::AttrSplat | TraversalOperator::FullSplat => {
                    // As in HCL, null becomes an empty list and a single value a list of one.
                    let each = match value {
                        Value::Array(items) => items,
                        Value::Null => Vec::new(),
                        single => vec![single],
                    };
                    let tail = rest.as_slice();
                    let items = each.into_iter().map(|item| self.traverse(item, tail, scope));
                    return items.collect::<Result<_, _>>().map(Value::Array);
                }
            };
        }
        Ok(value)
    }

    fn call(&self, call: &FuncCall, scope: &LocalScope<'_>) -> Result<Value, Failure> {
        let name = call.name.name.as_str();
        match name {
            // These two accept arguments that fail.
            "try" => {
                let values = call.args.iter().map(|argument| self.value(argument, scope));
                let value = values.filter_map(Result::ok).next();
                return value.ok_or_else(|| invalid("try: no expression succeeded"));
            }
            "can" => {
                let fails = call.args.iter().any(|argument| self.value(argument, scope).is_err());
                return Ok(Value::Bool(!fails));
            }
            _ => {}
        }
        let mut arguments =
            call.args.iter().map(|argument| self.value(argument, scope)).collect::<Result<Vec<_>, _>>()?;
        if call.expand_final {
            match arguments.pop() {
                Some(Value::Array(items)) => arguments.extend(items),
                _ => return Err(invalid(format!("{name}: `...` stands behind a list"))),
            }
        }
        match self.names.function(name) {
            Some(function) => self.call_user_function(name, function, arguments),
            None => functions::call(name, &arguments),
        }
    }

    /// Calls a user-defined function. Its body sees only its parameters and global names.
    fn call_user_function(
        &self,
        name: &str,
        function: &BakeFunction,
        arguments: Vec<Value>,
    ) -> Result<Value, Failure> {
        let expected = function.parameters.len();
        if arguments.len() < expected || (arguments.len() > expected && function.variadic.is_none()) {
            let message =
                format!("function {name:?} takes {expected} arguments and is given {}", arguments.len());
            return Err(invalid(message));
        }
        let mut arguments = arguments.into_iter();
        let mut names: BTreeMap<String, Value> =
            function.parameters.iter().cloned().zip(arguments.by_ref()).collect();
        if let Some(rest) = &function.variadic {
            names.insert(rest.clone(), arguments.collect());
        }
        self.value(&function.result, &LocalScope::new(names))
    }

    fn operation(&self, operation: &Operation, scope: &LocalScope<'_>) -> Result<Value, Failure> {
        use BinaryOperator as B;
        let binary = match operation {
            Operation::Unary(unary) => {
                let value = self.value(&unary.expr, scope)?;
                return match unary.operator {
                    UnaryOperator::Not => Ok(Value::Bool(!as_bool(&value)?)),
                    UnaryOperator::Neg => Ok(number_value(-as_number(&value)?)),
                };
            }
            Operation::Binary(binary) => binary,
        };
        let left = self.value(&binary.lhs_expr, scope)?;
        // Both sides are evaluated, as in HCL.
        let right = self.value(&binary.rhs_expr, scope)?;
        let numbers = || Ok::<_, Failure>((as_number(&left)?, as_number(&right)?));
        Ok(match binary.operator {
            B::Eq => Value::Bool(values_equal(&left, &right)),
            B::NotEq => Value::Bool(!values_equal(&left, &right)),
            B::And => Value::Bool(as_bool(&left)? && as_bool(&right)?),
            B::Or => Value::Bool(as_bool(&left)? || as_bool(&right)?),
            B::LessEq => numbers().map(|(a, b)| Value::Bool(a <= b))?,
            B::GreaterEq => numbers().map(|(a, b)| Value::Bool(a >= b))?,
            B::Less => numbers().map(|(a, b)| Value::Bool(a < b))?,
            B::Greater => numbers().map(|(a, b)| Value::Bool(a > b))?,
            B::Plus => numbers().map(|(a, b)| number_value(a + b))?,
            B::Minus => numbers().map(|(a, b)| number_value(a - b))?,
            B::Mul => numbers().map(|(a, b)| number_value(a * b))?,
            B::Div | B::Mod if as_number(&right)? == 0.0 => return Err(invalid("Division by zero")),
            B::Div => numbers().map(|(a, b)| number_value(a / b))?,
            B::Mod => numbers().map(|(a, b)| number_value(a % b))?,
        })
    }

    fn for_expr(&self, each: &ForExpr, scope: &LocalScope<'_>) -> Result<Value, Failure> {
        let mut list = Vec::new();
        let mut map = Map::new();
        for (key, value) in key_values(self.value(&each.collection_expr, scope)?)? {
            let mut names = BTreeMap::from([(each.value_var.as_str().to_owned(), value)]);
            names.extend(each.key_var.as_ref().map(|name| (name.as_str().to_owned(), key)));
            let inner = LocalScope::nested(names, scope);
            if let Some(condition) = &each.cond_expr
                && !as_bool(&self.value(condition, &inner)?)?
            {
                continue;
            }
            let value = self.value(&each.value_expr, &inner)?;
            let Some(key) = &each.key_expr else {
                list.push(value);
                continue;
            };
            let key = as_text(&self.value(key, &inner)?)?;
            if !each.grouping {
                map.insert(key, value);
            } else if let Value::Array(group) = map.entry(key).or_insert_with(|| Value::Array(Vec::new())) {
                group.push(value);
            }
        }
        Ok(if each.key_expr.is_some() { Value::Object(map) } else { Value::Array(list) })
    }

    /// Renders a template. A single interpolation without text around it keeps its type.
    pub(super) fn template(&self, source: &str, scope: &LocalScope<'_>) -> Result<Value, Failure> {
        // Loops render the same template many times, so it is parsed only once.
        let parsed = self.templates.borrow().get(source).cloned();
        let template = match parsed {
            Some(template) => template,
            None => {
                let template: Template =
                    source.parse().map_err(|why| invalid(format!("in the text {source:?}: {why}")))?;
                self.templates.borrow_mut().insert(source.to_owned(), template.clone());
                template
            }
        };
        if let [Element::Interpolation(only)] = template.elements() {
            return self.value(&only.expr, scope);
        }
        let mut out = String::new();
        self.render(&template, scope, Strip::None, Strip::None, &mut out)?;
        Ok(Value::String(out))
    }

    fn render(
        &self,
        template: &Template,
        scope: &LocalScope<'_>,
        before: Strip,
        after: Strip,
        out: &mut String,
    ) -> Result<(), Failure> {
        let elements = template.elements();
        for (at, element) in elements.iter().enumerate() {
            let previous = at.checked_sub(1).and_then(|at| elements.get(at)).map_or(before, strip_of);
            let next = elements.get(at + 1).map_or(after, strip_of);
            match element {
                Element::Literal(literal) => out.push_str(stripped(literal, previous, next)),
                Element::Interpolation(inner) => *out += &as_text(&self.value(&inner.expr, scope)?)?,
                Element::Directive(directive) => self.directive(directive, scope, out)?,
            }
        }
        Ok(())
    }

    fn directive(
        &self,
        directive: &Directive,
        scope: &LocalScope<'_>,
        out: &mut String,
    ) -> Result<(), Failure> {
        match directive {
            Directive::If(choice) => {
                if as_bool(&self.value(&choice.cond_expr, scope)?)? {
                    let other = choice.false_template.is_some();
                    let after = if other { choice.else_strip } else { choice.endif_strip };
                    self.render(&choice.true_template, scope, choice.if_strip, after, out)
                } else if let Some(other) = &choice.false_template {
                    self.render(other, scope, choice.else_strip, choice.endif_strip, out)
                } else {
                    Ok(())
                }
            }
            Directive::For(each) => {
                for (key, value) in key_values(self.value(&each.collection_expr, scope)?)? {
                    let mut names = BTreeMap::from([(each.value_var.as_str().to_owned(), value)]);
                    names.extend(each.key_var.as_ref().map(|name| (name.as_str().to_owned(), key)));
                    let inner = LocalScope::nested(names, scope);
                    self.render(&each.template, &inner, each.for_strip, each.endfor_strip, out)?;
                }
                Ok(())
            }
        }
    }
}

fn strip_of(element: &Element) -> Strip {
    match element {
        Element::Literal(_) => Strip::None,
        Element::Interpolation(inner) => inner.strip,
        Element::Directive(directive) => match directive.as_ref() {
            Directive::If(choice) => directive_strip(choice.if_strip, choice.endif_strip),
            Directive::For(each) => directive_strip(each.for_strip, each.endfor_strip),
        },
    }
}

/// How a directive strips its neighbours: before its opening tag and after its closing tag.
fn directive_strip(first: Strip, last: Strip) -> Strip {
    let starts = matches!(first, Strip::Start | Strip::Both);
    let ends = matches!(last, Strip::End | Strip::Both);
    match (starts, ends) {
        (true, true) => Strip::Both,
        (true, false) => Strip::Start,
        (false, true) => Strip::End,
        (false, false) => Strip::None,
    }
}

fn stripped(literal: &str, previous: Strip, next: Strip) -> &str {
    let mut text = literal;
    if matches!(previous, Strip::End | Strip::Both) {
        text = text.trim_start();
    }
    if matches!(next, Strip::Start | Strip::Both) {
        text = text.trim_end();
    }
    text
}
