//! The comparers that come with Wellspring, and which of them reads the token states of a model.

use std::path::PathBuf;
use std::sync::Arc;

use super::manifest::Manifest;
use crate::error::{Error, ErrorKind, Result};
use crate::onnx;
use crate::verify::Calibration;

/// Their folders.
const COMPARERS: [&str; 2] = [super::BUNDLED_COMPARER, "multilingual-comparer"];

/// The file beside a comparer that turns its logits into probabilities.
const CALIBRATION_FILE: &str = "calibration.json";

/// A comparer in its folder.
pub(super) struct Bundled {
    pub(super) folder: PathBuf,
    manifest: Manifest,
}

impl Bundled {
    /// The comparer for `encoder`, a model's `name@revision`; none if there is none for it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if no comparer is found at all, which means that files are missing, or if a
    /// manifest is not sound.
    pub(super) fn of(encoder: &str) -> Result<Option<Self>> {
        let mut missing = None;
        let mut is_any = false;
        for name in COMPARERS {
            match onnx::bundled(name) {
                Ok(folder) => {
                    let manifest = Manifest::read(&folder)?;
                    if manifest.details.encoder == encoder {
                        return Ok(Some(Self { folder, manifest }));
                    }
                    is_any = true;
                }
                Err(error) => missing = missing.or(Some(error)),
            }
        }
        missing.filter(|_| !is_any).map_or(Ok(None), Err)
    }

    /// The comparer's name and revision.
    pub(super) fn name(&self) -> String {
        self.manifest.fingerprint()
    }

    /// Its calibration: the one that is compiled in, if that is for this comparer, or else the one in its
    /// folder; none if there is none yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if it cannot be read, or if it was made for another comparer.
    pub(super) fn calibration(&self) -> Result<Option<Arc<Calibration>>> {
        let (compiled_in, name) = (Calibration::bundled(), self.name());
        if compiled_in.scorer.as_ref() == Some(&name) {
            return Ok(Some(compiled_in));
        }
        let path = self.folder.join(CALIBRATION_FILE);
        let broken = |what: &str| Error::new(ErrorKind::Model, format!("{} {what}", path.display()));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(broken("cannot be read").with_source(error)),
        };
        let calibration = Calibration::from_json(&text)
            .map_err(|error| broken("is not a calibration").with_source(error))?;
        match &calibration.scorer {
            Some(scorer) if *scorer == name => Ok(Some(Arc::new(calibration))),
            scorer => {
                let made_for = scorer.as_deref().unwrap_or("a comparer that it does not name");
                Err(broken(&format!("was made for scores of {made_for}, not of {name}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The manifest of the multilingual comparer in its own folder.
    fn comparer(folder: &Path) -> Bundled {
        let described = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/multilingual-comparer");
        let manifest = Manifest::read(&described).unwrap();
        Bundled { folder: folder.to_path_buf(), manifest }
    }

    #[test]
    fn a_calibration_counts_as_soon_as_it_lies_beside_its_comparer() {
        let folder = tempfile::tempdir().unwrap();
        let comparer = comparer(folder.path());
        assert!(comparer.calibration().unwrap().is_none());
        let mut calibration = Calibration::default();
        calibration.scorer = Some(comparer.name());
        fs::write(folder.path().join(CALIBRATION_FILE), calibration.to_json()).unwrap();
        assert_eq!(*comparer.calibration().unwrap().unwrap(), calibration);
    }

    #[test]
    fn a_calibration_for_another_comparer_or_none_at_all_is_reported_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let comparer = comparer(folder.path());
        for (text, detected) in [
            (Calibration::default().to_json(), "was made for scores of question-comparer@"),
            ("{}".to_owned(), "is not a calibration"),
        ] {
            fs::write(folder.path().join(CALIBRATION_FILE), text).unwrap();
            let error = comparer.calibration().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Model);
            let error = error.to_string();
            assert!(error.contains(CALIBRATION_FILE) && error.contains(detected), "{error}");
        }
    }

    #[test]
    fn a_comparer_is_found_by_the_model_that_it_reads() {
        let manifest = comparer(Path::new("")).manifest;
        let found = Bundled::of(&manifest.details.encoder).unwrap().unwrap();
        assert_eq!(found.name(), manifest.fingerprint());
        for other in ["multilingual-encoder", "multilingual-encoder@000000000000", "all-MiniLM-L6-v2@1"] {
            assert!(Bundled::of(other).unwrap().is_none(), "{other}");
        }
    }
}
