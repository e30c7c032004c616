//! Flame graphs of benchmarks, drawn by `--profile-time`.

use std::fs::File;
use std::path::{Path, PathBuf};

use criterion::profiler::Profiler;
use pprof::{ProfilerGuard, ProfilerGuardBuilder};

/// Samples a second; no divisor of what may happen at regular times.
const FREQUENCY: i32 = 997;

/// Draws what a benchmark spends its time on to `target/profile/`.
#[derive(Default)]
pub(crate) struct FlameGraphs(Option<ProfilerGuard<'static>>);

impl Profiler for FlameGraphs {
    fn start_profiling(&mut self, _: &str, _: &Path) {
        // A stack cannot be walked from within these on every system.
        let builder = ProfilerGuardBuilder::default().frequency(FREQUENCY);
        let builder = builder.blocklist(&["libc", "libgcc", "pthread", "vdso"]);
        self.0 = Some(builder.build().expect("a profiler"));
    }

    fn stop_profiling(&mut self, id: &str, criterion: &Path) {
        let Some(guard) = self.0.take() else { return };
        let report = guard.report().build().expect("a report");
        let path = folder(criterion).join(file_name(id));
        std::fs::create_dir_all(folder(criterion)).expect("a folder");
        report.flamegraph(File::create(&path).expect("a file")).expect("a picture");
        eprintln!("{}", path.display());
    }
}

/// Beside the folder that criterion keeps its own results in.
fn folder(criterion: &Path) -> PathBuf {
    let is_criterion = |path: &&Path| path.file_name().is_some_and(|name| name == "criterion");
    let target = criterion.ancestors().find(is_criterion).and_then(Path::parent);
    target.unwrap_or(Path::new("target")).join("profile")
}

fn file_name(id: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let words: Vec<String> =
        id.split(|c| plain(c) == '-').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    words.join("-") + ".svg"
}
