//! The `dhow` executable: hands its arguments to the command line layer and ends with its exit code.

fn main() -> std::process::ExitCode {
    dhow::cli::main()
}
