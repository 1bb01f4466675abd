//! A site's own calibration, in a file beside the model.
//!
//! It names the model by SHA-256 and overrides the calibration of the classes it lists; the model stays untouched.
//! Invariant: it never applies to another model than the one it was measured with.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{bounded, calibration::Calibration, schema::Class};

/// The version of the file that this program reads and writes.
pub const FORMAT: u32 = 1;

/// Some ten million frames.
pub const BYTES_MAX: u64 = 1 << 28;

/// The file's content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationFile {
    /// [`FORMAT`].
    pub format: u32,
    /// SHA-256 of the model file.
    pub model_sha256: String,
    /// Calibrations by class name.
    pub classes: BTreeMap<String, Calibration>,
}

/// A calibration file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationFileError {
    /// Not there, or not readable.
    #[error("calibration file {} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Not the JSON that it should be.
    #[error("calibration file {} is not valid ({source}); calibrate again", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// Of another version.
    #[error("calibration file {} has format {found}, this program reads {FORMAT}; calibrate again", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The format it says.
        found: u32,
    },
    /// Measured with another model.
    #[error(
        "the calibration file belongs to the model with SHA-256 {expected}, not to {found}; calibrate this model, or remove the file"
    )]
    OtherModel {
        /// The model it names.
        expected: String,
        /// The model at hand.
        found: String,
    },
    /// A class that the model does not have.
    #[error("the calibration file has the class \"{class}\", which the model does not know")]
    UnknownClass {
        /// The class.
        class: String,
    },
}

impl CalibrationFile {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, CalibrationFileError> {
        let bytes = bounded::bytes(path, BYTES_MAX)
            .map_err(|source| CalibrationFileError::Read { path: path.to_path_buf(), source })?;
        Self::parse(path, &bytes)
    }

    /// The content of the file at `path`, which errors name.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, CalibrationFileError> {
        let file: Self = serde_json::from_slice(bytes)
            .map_err(|source| CalibrationFileError::Json { path: path.to_path_buf(), source })?;
        if file.format != FORMAT {
            let path = path.to_path_buf();
            return Err(CalibrationFileError::Version { path, found: file.format });
        }
        Ok(file)
    }

    /// Lays it over the classes of the model with that SHA-256: all of it, or an error and nothing.
    pub fn apply(
        &self,
        model_sha256: &str,
        classes: &mut [Class],
    ) -> Result<(), CalibrationFileError> {
        if self.model_sha256 != model_sha256 {
            let expected = self.model_sha256.clone();
            return Err(CalibrationFileError::OtherModel { expected, found: model_sha256.into() });
        }
        let is_known = |name: &&String| classes.iter().any(|class| class.name == **name);
        if let Some(name) = self.classes.keys().find(|name| !is_known(name)) {
            return Err(CalibrationFileError::UnknownClass { class: name.clone() });
        }
        for class in classes {
            if let Some(calibration) = self.classes.get(&class.name) {
                class.calibration = Some(calibration.clone());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::tests::document;

    #[test]
    fn it_overrides_the_classes_of_its_own_model_only() {
        let site = Calibration::new(vec![0.2, 0.3], vec![0.1, 0.1], "site").unwrap();
        let file = |class: &str| CalibrationFile {
            format: FORMAT,
            model_sha256: "aa".into(),
            classes: BTreeMap::from([(class.to_owned(), site.clone())]),
        };
        let mut classes = document().classes;
        file("cap").apply("aa", &mut classes).unwrap();
        assert_eq!(classes[0].calibration, Some(site.clone()));
        let error = file("cap").apply("bb", &mut classes).unwrap_err();
        assert!(matches!(error, CalibrationFileError::OtherModel { .. }));
        let error = file("lid").apply("aa", &mut classes).unwrap_err().to_string();
        assert!(error.contains("\"lid\""), "{error}");
        // Nor is the half of it applied that the model knows.
        let mut half = file("cap");
        half.classes.insert("lid".into(), site);
        let before = document().classes;
        let mut classes = before.clone();
        assert!(half.apply("aa", &mut classes).is_err());
        assert_eq!(classes, before);
    }

    #[test]
    fn a_file_survives_and_a_broken_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.calibration.json");
        let file =
            CalibrationFile { format: FORMAT, model_sha256: "aa".into(), classes: BTreeMap::new() };
        std::fs::write(&path, serde_json::to_vec(&file).unwrap()).unwrap();
        assert_eq!(CalibrationFile::read(&path).unwrap(), file);
        std::fs::write(&path, "{").unwrap();
        assert!(CalibrationFile::read(&path).unwrap_err().to_string().contains("site.calibration"));
    }
}
