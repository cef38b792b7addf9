//! A program that says what it sees of the container it runs in, for tests to compare with what should be there.
//!
//! It is one static file without dependencies, so it runs in a root file system that holds nothing else; the test
//! support compiles it with rustc alone. Usage: `probe SECTION [ARGUMENT…]`, several separated by `--`. Every fact is
//! a line `key=value`, lists repeat the key, and line breaks and backslashes in values are escaped. What cannot be
//! found out is the value `!` and an error number.

mod calls;
mod dns;
mod files;
mod hash;
mod load;
mod spy;
mod net;
mod process;
mod serve;
mod sys;

use std::process::ExitCode;

/// Writes one fact.
fn fact(key: &str, value: impl std::fmt::Display) {
    let value = value.to_string().replace('\\', "\\\\").replace('\n', "\\n");
    println!("{key}={value}");
}

/// A result as a value: what it holds, or `!` and the error number.
fn shown<T: std::fmt::Display>(result: std::io::Result<T>) -> String {
    match result {
        Ok(value) => value.to_string(),
        Err(error) => format!("!{}", error.raw_os_error().unwrap_or(0)),
    }
}

fn section(name: &str, arguments: &[String]) -> bool {
    match name {
        "identity" => process::identity(),
        "capabilities" => process::capabilities(),
        "process" => process::process(),
        "signals" => process::signals(),
        "limits" => process::limits(),
        "environment" => process::environment(),
        "namespaces" => files::namespaces(),
        "descriptors" => files::descriptors(),
        "mounts" => files::mounts(),
        "devices" => files::devices(),
        "network" => files::network(),
        "net" => net::net(arguments),
        "path" => arguments.iter().for_each(|path| files::path(path)),
        "spy" => arguments.iter().for_each(|until| spy::spy(until)),
        "calls" => calls::every(),
        "call" => calls::one(arguments),
        "call32" => calls::one_of_32_bit(arguments),
        _ => return false,
    }
    true
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for part in arguments.split(|argument| argument == "--") {
        let Some((name, rest)) = part.split_first() else { continue };
        if name == "exit" {
            return ExitCode::from(rest.first().and_then(|code| code.parse::<u8>().ok()).unwrap_or(0));
        }
        if !section(name, rest) {
            eprintln!("probe: no section {name}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
