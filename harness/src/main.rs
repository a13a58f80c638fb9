//! The binary: see [`gauntlet::cli`].

// Small allocations by the million, on several threads: the system's allocator takes a fifth of a simulated run.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    gauntlet::cli::main(std::env::args_os()).into()
}
