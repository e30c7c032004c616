#![expect(clippy::unwrap_used, reason = "a failed assumption of a test is a failed test")]
fn main() {}
