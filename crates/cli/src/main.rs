//! The `wellspring` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[expect(
        unsafe_code,
        reason = "ONNX Runtime reads from the environment whether it may report to its maker"
    )]
    // SAFETY: no other thread is running yet that could read the environment.
    unsafe {
        std::env::set_var("ORT_DISABLE_TELEMETRY", "1");
    }
    wellspring_cli::run()
}
