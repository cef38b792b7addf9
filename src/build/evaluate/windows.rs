//! What is different in images for Windows: paths, the default shell, and no `PATH`. None of their programs run
//! here, but `COPY` and the configuration make images of them.

use dhow_error::{Failure, invalid};

/// The shell of commands in shell form.
const SHELL: [&str; 3] = ["cmd", "/S", "/C"];

pub(super) fn default_shell(os: &str) -> Vec<String> {
    let shell: &[&str] = if os == "windows" { &SHELL } else { &["/bin/sh", "-c"] };
    shell.iter().map(|word| (*word).to_owned()).collect()
}

/// `path` with slashes and without the system drive `C:`, the only one an image has.
pub(super) fn slashed(os: &str, path: &str) -> Result<String, Failure> {
    if os != "windows" {
        return Ok(path.to_owned());
    }
    let path = path.replace('\\', "/");
    match path.split_once(':') {
        Some((drive, rest)) if drive.eq_ignore_ascii_case("c") => {
            Ok(format!("/{}", rest.trim_start_matches('/')))
        }
        Some((drive, _)) if drive.len() == 1 => {
            Err(invalid("The specified path is not on the system drive (C:)"))
        }
        _ => Ok(path),
    }
}

/// A path with slashes, as the configuration names it.
pub(super) fn configured(os: &str, path: &str) -> String {
    if os == "windows" { path.replace('/', "\\") } else { path.to_owned() }
}
