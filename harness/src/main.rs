//! The binary: see [`gauntlet::cli`].

fn main() -> std::process::ExitCode {
    gauntlet::cli::main(std::env::args_os()).into()
}
