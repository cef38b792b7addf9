//! Build script: compiles docker's default profile to BPF, so that launching a container need not.
//!
//! It shares compiler and profile with the program, which compiles other profiles at run time, and writes the result
//! as Rust constants.

#![allow(clippy::print_stdout, reason = "a build script talks to cargo through its standard output")]
#![allow(clippy::disallowed_methods, reason = "a build script gets its arguments from the environment")]
#![allow(unreachable_pub, dead_code, reason = "the modules are the program's")]

#[path = "seccomp/bpf.rs"]
mod bpf;
#[path = "seccomp/compile.rs"]
mod compile;
#[path = "seccomp/emulation.rs"]
mod emulation;
#[path = "seccomp/profile.rs"]
mod profile;
#[path = "seccomp/rule.rs"]
mod rule;
#[path = "seccomp/syscalls.rs"]
mod syscalls;

use std::fmt::Write as _;
use std::path::PathBuf;

use rule::SyscallFilter;
use syscalls::Arch;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    for file in ["bpf", "compile", "emulation", "profile", "rule", "syscalls"] {
        println!("cargo:rerun-if-changed=seccomp/{file}.rs");
    }
    let native = match std::env::var("CARGO_CFG_TARGET_ARCH")?.as_str() {
        "x86_64" => Arch::X86_64,
        "aarch64" => Arch::Aarch64,
        other => {
            return Err(format!("dhow has no system call table for {other}: only x86_64 and aarch64").into());
        }
    };
    let mut text = String::new();
    write_program(&mut text, "DEFAULT", &profile::default_profile(native, profile::DEFAULT_CAPABILITIES))?;
    write_program(&mut text, "EMULATION", &emulation::filter(native))?;
    write_program(&mut text, "REMEMBERING", &emulation::remembering(native))?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo set no OUT_DIR")?);
    std::fs::write(out.join("seccomp.rs"), text)?;
    Ok(())
}

fn write_program(
    text: &mut String,
    name: &str,
    filter: &SyscallFilter,
) -> Result<(), Box<dyn std::error::Error>> {
    let code = compile::compile(filter);
    if code.len() > compile::MAX_INSTRUCTIONS {
        return Err(format!("the filter {name} has {} instructions", code.len()).into());
    }
    writeln!(text, "static {name}: [Instruction; {}] = [", code.len())?;
    for instruction in code {
        writeln!(
            text,
            "Instruction {{ code: {}, jt: {}, jf: {}, k: {} }},",
            instruction.code, instruction.jt, instruction.jf, instruction.k
        )?;
    }
    writeln!(text, "];")?;
    Ok(())
}
