//! `--secret id=…,src=…|env=…` and `--ssh default|ID=PATH`.

use std::fs;
use std::path::PathBuf;

use super::ClientEnv;
use crate::request::{MAX_SECRET, SecretFrom, SecretSource, SshSource};
use dhow_error::{Failure, invalid, not_found};
use dhow_model::flags::csv;

#[derive(Default)]
struct SecretFields {
    id: String,
    kind: String,
    file: String,
    variable: String,
}

/// Parses one `--secret`.
pub fn parse_secret(text: &str, client: &ClientEnv) -> Result<SecretSource, Failure> {
    let mut fields = parse_fields(text)?;
    // With `type=env`, `src` names the variable.
    if fields.kind == "env" && fields.variable.is_empty() {
        fields.variable = std::mem::take(&mut fields.file);
    }
    if fields.id.is_empty() {
        return Err(invalid(format!("secret missing ID: `{}`", text.escape_debug())));
    }
    // `id=X` alone is the variable X, else the file X, as in buildx.
    if fields.variable.is_empty() && fields.file.is_empty() {
        match client.environment.raw(&fields.id) {
            Some(_) => fields.variable = fields.id.clone(),
            None => fields.file = fields.id.clone(),
        }
    }
    let from = if fields.file.is_empty() {
        variable(&fields.variable, client)?
    } else {
        SecretFrom::File(file(&fields, client)?)
    };
    Ok(SecretSource { id: fields.id, from })
}

fn parse_fields(text: &str) -> Result<SecretFields, Failure> {
    let mut fields = SecretFields::default();
    for field in csv::fields(text)? {
        let (key, value) = field
            .split_once('=')
            .ok_or_else(|| invalid(format!("invalid field '{field}' must be a key=value pair")))?;
        match key.to_lowercase().as_str() {
            "type" if value != "file" && value != "env" => {
                return Err(invalid(format!("unsupported secret type {value:?}")));
            }
            "type" => fields.kind = value.to_owned(),
            "id" => fields.id = value.to_owned(),
            "source" | "src" => fields.file = value.to_owned(),
            "env" => fields.variable = value.to_owned(),
            key => return Err(invalid(format!("unexpected key '{key}' in '{field}'"))),
        }
    }
    Ok(fields)
}

/// An unset variable is an empty secret, as in BuildKit: the step decides whether it is required.
fn variable(name: &str, client: &ClientEnv) -> Result<SecretFrom, Failure> {
    use std::os::unix::ffi::OsStrExt as _;
    let value = client.environment.raw(name).map(|value| value.as_bytes().to_vec()).unwrap_or_default();
    if value.len() as u64 > MAX_SECRET {
        return Err(too_big(name));
    }
    Ok(SecretFrom::Value(value))
}

fn file(fields: &SecretFields, client: &ClientEnv) -> Result<PathBuf, Failure> {
    let path = client.absolute(&fields.file);
    let metadata =
        fs::metadata(&path).map_err(|why| not_found(format!("failed to stat {}: {why}", fields.file)))?;
    if metadata.len() > MAX_SECRET {
        return Err(too_big(&fields.id));
    }
    Ok(path)
}

fn too_big(id: &str) -> Failure {
    invalid(format!("secret {} too big. max size 500KB", id.escape_debug()))
}

/// Parses one `--ssh`: `default`, `ID=SOCKET` or `ID=KEY[,KEY]`.
pub fn parse_ssh(text: &str, client: &ClientEnv) -> Result<SshSource, Failure> {
    let (id, paths) = text.split_once('=').map_or((text, None), |(id, paths)| (id, Some(paths)));
    let paths: Vec<&str> =
        paths.into_iter().flat_map(|paths| paths.split(',')).filter(|path| !path.is_empty()).collect();
    if paths.is_empty() {
        let agent = client
            .environment
            .path("SSH_AUTH_SOCK")
            .ok_or_else(|| invalid("invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set"))?;
        return Ok(SshSource { id: id.to_owned(), paths: vec![client.absolute(agent)] });
    }
    let paths = paths.into_iter().map(|path| ssh_path(path, client)).collect::<Result<_, _>>()?;
    Ok(SshSource { id: id.to_owned(), paths })
}

fn ssh_path(path: &str, client: &ClientEnv) -> Result<PathBuf, Failure> {
    let absolute = client.absolute(path);
    match fs::metadata(&absolute) {
        Ok(_) => Ok(absolute),
        Err(why) => Err(not_found(format!("failed to open {path}: {why}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_model::environment::Environment;

    fn client() -> ClientEnv {
        let environment = Environment::from_iter([("TOKEN", "s3"), ("EMPTY", "")]);
        ClientEnv { environment, dir: "/etc".into() }
    }

    fn from(text: &str) -> Result<SecretFrom, String> {
        parse_secret(text, &client()).map(|secret| secret.from).map_err(|why| why.to_string())
    }

    #[test]
    fn secrets() {
        assert_eq!(from("id=a,src=passwd"), Ok(SecretFrom::File("/etc/passwd".into())));
        assert_eq!(from("type=file,id=a,source=/etc/passwd"), Ok(SecretFrom::File("/etc/passwd".into())));
        assert_eq!(from("id=a,env=TOKEN"), Ok(SecretFrom::Value(b"s3".into())));
        assert_eq!(from("id=a,type=env,src=TOKEN"), Ok(SecretFrom::Value(b"s3".into())));
        assert_eq!(from("id=TOKEN"), Ok(SecretFrom::Value(b"s3".into())));
        assert_eq!(from("id=EMPTY"), Ok(SecretFrom::Value(Vec::new())));
        assert_eq!(from("id=passwd"), Ok(SecretFrom::File("/etc/passwd".into())));
        assert!(from("id=a,src=/no/such").unwrap_err().starts_with("failed to stat /no/such"));
        assert_eq!(from("a"), Err("invalid field 'a' must be a key=value pair".into()));
        assert_eq!(from("id=a,x=y"), Err("unexpected key 'x' in 'x=y'".into()));
        assert_eq!(from("type=vault,id=a"), Err("unsupported secret type \"vault\"".into()));
        assert!(from("src=passwd").unwrap_err().starts_with("secret missing ID"));
    }

    #[test]
    fn agents() {
        assert!(parse_ssh("default", &client()).unwrap_err().to_string().contains("SSH_AUTH_SOCK"));
        let mut client = client();
        client.environment = client.environment.with("SSH_AUTH_SOCK", "/run/agent");
        assert_eq!(parse_ssh("default", &client).unwrap().paths, [PathBuf::from("/run/agent")]);
        let source = parse_ssh("git=passwd,group", &client).unwrap();
        assert_eq!((source.id.as_str(), source.paths.len()), ("git", 2));
        assert!(parse_ssh("git=/no/such", &client).is_err());
    }
}
