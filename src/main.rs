//! The `lockgate` program: everything is in the library.

/// Per-thread heaps: workers allocate and free on their own thread, which is what mimalloc is fastest at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    lockgate::cli::main()
}
