//! Parses bake files in HCL or JSON: variables, functions, groups and targets, with unevaluated expressions.

use std::collections::BTreeMap;

use hcl::expr::{Expression, TemplateExpr};
use hcl::structure::{Block, Body, Structure};
use serde_json::Value;

use dhow_error::{Failure, invalid};

pub(crate) type BlockAttributes = BTreeMap<String, Expression>;

/// A user-defined function.
#[derive(Clone, Debug)]
pub(crate) struct BakeFunction {
    pub parameters: Vec<String>,
    /// Takes all further arguments.
    pub(crate) variadic: Option<String>,
    pub result: Expression,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct BakeVariable {
    /// Its value if the environment has none.
    pub default: Option<Expression>,
    pub kind: Option<String>,
    pub description: Option<String>,
    /// Conditions that must hold, each with its error message.
    pub(crate) validations: Vec<(Expression, Option<Expression>)>,
}

/// A group or target with its attributes.
#[derive(Clone, Debug)]
pub(crate) struct BakeBlock {
    pub name: String,
    pub attributes: BlockAttributes,
}

/// The definitions of all files, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct BakeDefinitions {
    /// A variable may be defined again; the last file wins.
    pub variables: BTreeMap<String, BakeVariable>,
    pub functions: BTreeMap<String, BakeFunction>,
    pub groups: Vec<BakeBlock>,
    pub targets: Vec<BakeBlock>,
}

/// A parse error in one line, without the excerpt that `hcl` draws.
fn one_line(why: &hcl::Error) -> String {
    match why {
        hcl::Error::Parse(why) => {
            let at = why.location();
            format!("line {}, column {}: {}", at.line(), at.column(), why.message())
        }
        other => other.to_string(),
    }
}

/// Parses an HCL file.
pub(crate) fn read_hcl(definitions: &mut BakeDefinitions, text: &str) -> Result<(), Failure> {
    let body: Body = text.parse().map_err(|why: hcl::Error| invalid(one_line(&why)))?;
    for structure in body.into_inner() {
        match structure {
            // A top-level attribute is a global variable.
            Structure::Attribute(attribute) => {
                let variable = BakeVariable { default: Some(attribute.expr), ..BakeVariable::default() };
                definitions.variables.insert(attribute.key.to_string(), variable);
            }
            Structure::Block(block) => read_block(definitions, block)?,
        }
    }
    Ok(())
}

fn read_block(definitions: &mut BakeDefinitions, block: Block) -> Result<(), Failure> {
    let kind = block.identifier.to_string();
    let [label] = block.labels.as_slice() else {
        return Err(invalid(format!("a block `{kind}` has one name, as in `{kind} \"app\" {{ … }}`")));
    };
    let name = label.as_str().to_owned();
    match kind.as_str() {
        "variable" => {
            let variable = read_variable(block.body)?;
            merge_variable(definitions, name, variable);
        }
        "function" => {
            let function = read_function(&name, attributes_of(block.body)?)?;
            definitions.functions.insert(name, function);
        }
        "group" => definitions.groups.push(BakeBlock { name, attributes: attributes_of(block.body)? }),
        "target" => definitions.targets.push(BakeBlock { name, attributes: attributes_of(block.body)? }),
        _ => return Err(unknown_block(&kind)),
    }
    Ok(())
}

fn unknown_block(kind: &str) -> Failure {
    invalid(format!("Unsupported block type; Blocks of type {kind:?} are not expected here."))
        .hint("there are: variable, function, group, target")
}

/// Merges a variable: a later file may repeat it without its default.
fn merge_variable(definitions: &mut BakeDefinitions, name: String, variable: BakeVariable) {
    let merged = definitions.variables.entry(name).or_default();
    merged.default = variable.default.or_else(|| merged.default.take());
    merged.kind = variable.kind.or_else(|| merged.kind.take());
    merged.description = variable.description.or_else(|| merged.description.take());
    merged.validations.extend(variable.validations);
}

fn read_variable(body: Body) -> Result<BakeVariable, Failure> {
    let mut variable = BakeVariable::default();
    for structure in body.into_inner() {
        match structure {
            Structure::Attribute(attribute) => match attribute.key.as_str() {
                "default" => variable.default = Some(attribute.expr),
                "type" => variable.kind = Some(word(&attribute.expr)),
                "description" => variable.description = Some(word(&attribute.expr)),
                key => return Err(unexpected(key, "variable")),
            },
            Structure::Block(block) if block.identifier.as_str() == "validation" => {
                let mut attributes = attributes_of(block.body)?;
                let condition = attributes
                    .remove("condition")
                    .ok_or_else(|| invalid("a validation needs a condition"))?;
                variable.validations.push((condition, attributes.remove("error_message")));
            }
            Structure::Block(block) => return Err(unexpected(block.identifier.as_str(), "variable")),
        }
    }
    Ok(variable)
}

fn unexpected(key: &str, kind: &str) -> Failure {
    invalid(format!(
        "Unsupported argument; An argument named {key:?} is not expected in a block of type {kind:?}."
    ))
}

/// An identifier or a string literal, taken as it is.
fn word(expression: &Expression) -> String {
    match expression {
        Expression::String(text) => text.clone(),
        Expression::Variable(name) => name.as_str().to_owned(),
        other => other.to_string(),
    }
}

fn attributes_of(body: Body) -> Result<BlockAttributes, Failure> {
    let mut attributes = BlockAttributes::new();
    for structure in body.into_inner() {
        match structure {
            Structure::Attribute(attribute) => {
                attributes.insert(attribute.key.to_string(), attribute.expr);
            }
            Structure::Block(block) => {
                let name = block.identifier;
                return Err(invalid(format!(
                    "Unsupported block type; Blocks of type \"{name}\" are not expected here."
                ))
                .hint(format!("an attribute is written `{name} = …`")));
            }
        }
    }
    Ok(attributes)
}

fn read_function(name: &str, mut attributes: BlockAttributes) -> Result<BakeFunction, Failure> {
    let result =
        attributes.remove("result").ok_or_else(|| invalid(format!("the function {name:?} has no result")))?;
    let parameters = match attributes.remove("params") {
        Some(Expression::Array(items)) => items.iter().map(word).collect(),
        None => Vec::new(),
        Some(_) => return Err(invalid(format!("params of the function {name:?} is a list of names"))),
    };
    let variadic = attributes.remove("variadic_params").or_else(|| attributes.remove("variadic_param"));
    match attributes.keys().next() {
        Some(key) => Err(unexpected(key, "function")),
        None => Ok(BakeFunction { parameters, variadic: variadic.as_ref().map(word), result }),
    }
}

/// Parses a JSON file, whose strings are templates too.
pub(crate) fn read_json(definitions: &mut BakeDefinitions, text: &str) -> Result<(), Failure> {
    let value: Value = serde_json::from_str(text).map_err(|why| invalid(why.to_string()))?;
    let Value::Object(top) = value else { return Err(invalid("an object is expected")) };
    for (kind, value) in top {
        let entries = match (kind.as_str(), value) {
            ("variable" | "function" | "group" | "target", Value::Object(entries)) => entries,
            ("variable" | "function" | "group" | "target", _) => {
                return Err(invalid(format!("{kind:?} is an object of names")));
            }
            // Other top-level keys are global variables, as attributes are in HCL.
            (_, value) => {
                let variable = BakeVariable { default: Some(expression(value)), ..BakeVariable::default() };
                definitions.variables.insert(kind, variable);
                continue;
            }
        };
        for (name, value) in entries {
            let Value::Object(fields) = value else {
                return Err(invalid(format!("{kind} {name:?} is an object of attributes")));
            };
            read_entry(definitions, &kind, name, fields)?;
        }
    }
    Ok(())
}

fn read_entry(
    definitions: &mut BakeDefinitions,
    kind: &str,
    name: String,
    mut fields: serde_json::Map<String, Value>,
) -> Result<(), Failure> {
    let validations = if kind == "variable" { fields.remove("validation") } else { None };
    let mut attributes: BlockAttributes =
        fields.into_iter().map(|(name, value)| (name, expression(value))).collect();
    match kind {
        "variable" => {
            let variable = BakeVariable {
                kind: attributes.remove("type").as_ref().map(word),
                description: attributes.remove("description").as_ref().map(word),
                default: attributes.remove("default"),
                validations: read_validations(validations),
            };
            merge_variable(definitions, name, variable);
        }
        "function" => {
            let function = read_function(&name, attributes)?;
            definitions.functions.insert(name, function);
        }
        "group" => definitions.groups.push(BakeBlock { name, attributes }),
        _ => definitions.targets.push(BakeBlock { name, attributes }),
    }
    Ok(())
}

fn read_validations(value: Option<Value>) -> Vec<(Expression, Option<Expression>)> {
    let items = match value {
        Some(Value::Array(items)) => items,
        Some(item) => vec![item],
        None => Vec::new(),
    };
    let read = |value: Value| {
        let Value::Object(mut fields) = value else { return None };
        let condition = expression(fields.remove("condition")?);
        Some((condition, fields.remove("error_message").map(expression)))
    };
    items.into_iter().filter_map(read).collect()
}

/// Converts a JSON value to an expression; strings are templates.
fn expression(value: Value) -> Expression {
    match value {
        Value::String(text) if text.contains("${") || text.contains("%{") => {
            Expression::TemplateExpr(Box::new(TemplateExpr::QuotedString(text)))
        }
        Value::Array(items) => Expression::Array(items.into_iter().map(expression).collect()),
        Value::Object(map) => {
            let key = |key: String| hcl::expr::ObjectKey::Expression(Expression::String(key));
            Expression::Object(map.into_iter().map(|(name, value)| (key(name), expression(value))).collect())
        }
        other => literal(other),
    }
}

/// Converts a JSON value to a literal expression.
pub(super) fn literal(value: Value) -> Expression {
    match value {
        Value::Null => Expression::Null,
        Value::Bool(value) => Expression::Bool(value),
        Value::String(text) => Expression::String(text),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Expression::Number(whole.into()),
            (None, float) => {
                float.and_then(hcl::Number::from_f64).map_or(Expression::Null, Expression::Number)
            }
        },
        Value::Array(items) => Expression::Array(items.into_iter().map(literal).collect()),
        Value::Object(map) => {
            let key = |key: String| hcl::expr::ObjectKey::Expression(Expression::String(key));
            Expression::Object(map.into_iter().map(|(name, value)| (key(name), literal(value))).collect())
        }
    }
}
