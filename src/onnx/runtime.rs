//! Finds the ONNX Runtime library, and keeps the process's one environment.
//!
//! Guarantees that a missing, foreign or too old library is reported as an error, although `ort` panics on
//! first use without one. Also guarantees that the runtime's telemetry, which official builds send by
//! default, is off.
//!
//! Deliberately does not look into the current folder: anyone who can write there could make the process run
//! their code.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ort::environment::{Environment, EnvironmentBuilder};

use crate::error::{Error, ErrorKind, Result};

/// The process's ONNX Runtime environment, created on the first call. None if another user of fastembed in
/// this process has already created one, which fastembed then shares.
///
/// # Errors
///
/// [`ErrorKind::Model`] if no usable library is found, or if the process has an environment that fastembed
/// does not know.
pub(crate) fn environment() -> Result<Option<Environment>> {
    static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);
    // Poison is harmless: the value is written in one step, after everything that can fail.
    let mut environment = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if environment.is_none() {
        // Telemetry off: a cache sees the questions of its users. The runtime still reports its own start,
        // unless `ORT_DISABLE_TELEMETRY=1` is in the environment; setting it from here would be a data race.
        match load()?.builder.with_name("wellspring").with_telemetry(false).build() {
            Ok(built) => *environment = Some(built),
            Err(error) if error.message().contains("only one environment") => return Ok(None),
            Err(error) => {
                let message = "cannot start ONNX Runtime: fetch the pinned library with `make setup`";
                return Err(Error::new(ErrorKind::Model, message).with_source(error));
            }
        }
    }
    Ok(environment.clone())
}

/// The library, which is loaded if it was not; none if it is part of this program.
///
/// # Errors
///
/// [`ErrorKind::Model`] if no usable library is found.
pub(crate) fn library() -> Result<Option<PathBuf>> {
    load().map(|loaded| loaded.library)
}

/// What an environment is built with.
struct Loaded {
    builder: EnvironmentBuilder,
    /// The file of the library; none if it is part of this program.
    library: Option<PathBuf>,
}

#[cfg(not(feature = "onnx"))]
#[expect(clippy::unnecessary_wraps, reason = "loading at run time, the other form, can fail")]
fn load() -> Result<Loaded> {
    Ok(Loaded { builder: ort::init(), library: None })
}

#[cfg(feature = "onnx")]
fn load() -> Result<Loaded> {
    search::load(&search::Places::of_this_process())
}

#[cfg(feature = "onnx")]
mod search {
    use std::env;
    use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
    use std::path::{Path, PathBuf};

    use super::Loaded;
    use crate::error::{Error, ErrorKind, Result};

    /// The variable that names the library; `ort` and fastembed use it too.
    const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

    /// Where to look, separate from the process's state so that tests can set it.
    #[derive(Debug, Default)]
    pub(super) struct Places {
        /// Named by the user: only this one is tried.
        named: Option<PathBuf>,
        folders: Vec<PathBuf>,
        /// Ask the system's loader last.
        system: bool,
    }

    impl Places {
        pub(super) fn of_this_process() -> Self {
            let named = env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
            Self { named, folders: folders(crate::onnx::executable_folder().as_deref()), system: true }
        }

        /// The libraries to try, best first.
        fn candidates(&self) -> Vec<PathBuf> {
            if let Some(named) = &self.named {
                return vec![named.clone()];
            }
            let mut candidates: Vec<PathBuf> =
                self.folders.iter().flat_map(|folder| libraries(folder)).collect();
            if self.system {
                candidates.push(PathBuf::from(format!("{DLL_PREFIX}onnxruntime{DLL_SUFFIX}")));
            }
            candidates
        }

        /// The places that are searched, for people.
        fn searched(&self) -> String {
            let folders = self.folders.iter().map(|folder| folder.display().to_string());
            let system = self.system.then(|| "the folders of the system".into());
            folders.chain(system).collect::<Vec<_>>().join(", ")
        }
    }

    /// The folders of a program in the folder `beside`, best first.
    fn folders(beside: Option<&Path>) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> = beside.iter().map(PathBuf::from).collect();
        if let Some(prefix) = beside.and_then(Path::parent) {
            folders.extend([prefix.join("lib/wellspring"), prefix.join("lib")]);
            // The root of a checkout, seen from target/release/ and from target/debug/deps/.
            folders.extend(prefix.ancestors().skip(1).take(2).map(|root| root.join(".deps/onnxruntime")));
        }
        folders.push(Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/onnxruntime"));
        folders
    }

    /// The runtime's libraries in `folder`, the unversioned name first, then the newest.
    fn libraries(folder: &Path) -> Vec<PathBuf> {
        let Ok(entries) = folder.read_dir() else { return Vec::new() };
        let mut found: Vec<(Vec<u32>, PathBuf)> = entries
            .filter_map(|entry| {
                Some((version(entry.as_ref().ok()?.file_name().to_str()?)?, entry.ok()?.path()))
            })
            .collect();
        found.sort_by(|(a, _), (b, _)| a.is_empty().cmp(&b.is_empty()).then_with(|| a.cmp(b)).reverse());
        found.into_iter().map(|(_, path)| path).collect()
    }

    /// The version in a library's file name, empty if it has none; none if it is another file.
    /// The version stands after `.so` on Linux and before `.dylib` on macOS.
    fn version(file_name: &str) -> Option<Vec<u32>> {
        let rest = file_name.strip_prefix(DLL_PREFIX)?.strip_prefix("onnxruntime")?;
        let version = match rest.strip_suffix(DLL_SUFFIX) {
            Some(before) => before,
            None => rest.strip_prefix(DLL_SUFFIX)?,
        };
        version.split('.').filter(|part| !part.is_empty()).map(|part| part.parse().ok()).collect()
    }

    /// Loads the first usable library.
    pub(super) fn load(places: &Places) -> Result<Loaded> {
        let mut unusable = None;
        for candidate in places.candidates() {
            match ort::init_from(&candidate) {
                Ok(builder) => return Ok(Loaded { builder, library: Some(candidate) }),
                // The system's loader reports only that it found none; our own message is at least as good.
                Err(error) if candidate.is_absolute() || places.named.is_some() => {
                    unusable.get_or_insert((candidate, error));
                }
                Err(_) => {}
            }
        }
        Err(match unusable {
            Some((path, error)) => Error::new(
                ErrorKind::Model,
                format!(
                    "ONNX Runtime library {} cannot be loaded: run `make setup`, or set {LIBRARY_VARIABLE} to \
                     libonnxruntime {} or newer",
                    path.display(),
                    oldest(),
                ),
            )
            .with_source(error),
            None => Error::new(
                ErrorKind::Model,
                format!(
                    "no ONNX Runtime library found in {}: run `make setup` in a checkout, or set {LIBRARY_VARIABLE} to \
                     lib/wellspring/libonnxruntime of an unpacked release, or to onnxruntime/capi/libonnxruntime of \
                     the PyPI wheel onnxruntime 1.31.1",
                    places.searched(),
                ),
            ),
        })
    }

    fn oldest() -> String {
        format!("1.{}", ort::MINOR_VERSION)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn in_folder(folder: &Path) -> Places {
            Places { folders: vec![folder.to_path_buf()], ..Places::default() }
        }

        fn touch(folder: &Path, name: &str) {
            std::fs::write(folder.join(name), b"not a library").unwrap();
        }

        #[test]
        fn a_missing_library_is_one_sentence_on_how_to_get_it() {
            let folder = tempfile::tempdir().unwrap();
            let error = load(&in_folder(folder.path())).err().unwrap();
            assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
            assert_eq!(error.kind(), ErrorKind::Model);
            assert!(error.to_string().contains("make setup"), "{error}");
            assert!(error.to_string().contains("ORT_DYLIB_PATH"), "{error}");
        }

        #[cfg(target_os = "linux")]
        #[test]
        fn the_unversioned_name_comes_first_then_the_newest() {
            let folder = tempfile::tempdir().unwrap();
            for name in [
                "libonnxruntime.so.1.9.0",
                "libonnxruntime.so.1.31.1",
                "libonnxruntime.so",
                "libonnxruntime_providers_shared.so",
                "libonnxruntime.so.sha256",
                "libother.so",
            ] {
                touch(folder.path(), name);
            }
            let names: Vec<_> = in_folder(folder.path())
                .candidates()
                .iter()
                .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
                .collect();
            assert_eq!(names, ["libonnxruntime.so", "libonnxruntime.so.1.31.1", "libonnxruntime.so.1.9.0"]);
        }

        #[test]
        fn a_library_beside_the_program_comes_before_that_of_the_source_tree() {
            let folders = folders(Some(Path::new("/opt/wellspring/bin")));
            assert_eq!(
                folders[..3],
                [
                    Path::new("/opt/wellspring/bin"),
                    Path::new("/opt/wellspring/lib/wellspring"),
                    Path::new("/opt/wellspring/lib"),
                ]
            );
            assert!(folders[3..].contains(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/onnxruntime")));
        }

        #[test]
        fn a_named_library_is_the_only_one_tried() {
            let places =
                Places { named: Some("/nowhere/libonnxruntime.so".into()), ..Places::of_this_process() };
            assert_eq!(places.candidates(), [Path::new("/nowhere/libonnxruntime.so")]);
        }
    }
}
