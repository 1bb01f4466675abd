//! A site's own calibration, in a file beside the model.
//!
//! It names the model by SHA-256 and overrides the calibration of the classes it lists; the model stays untouched.
//! Beside the values it keeps how they were collected, and which frames a person should look at.
//! Invariants: it never applies to another model than the one it was measured with; it appears whole or not at all;
//! a frame leaves a calibration only because a person excluded it, and is counted on.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{bounded, calibration::Calibration, schema::Class, whole};

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
    /// How a site collected them, by class name; what the trainer measured has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub collected: BTreeMap<String, Collected>,
}

/// How one product's calibration came about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collected {
    /// One after another; their frames are numbered through.
    pub sessions: Vec<Session>,
    /// Frames that a person should look at.
    pub for_review: Vec<ForReview>,
}

/// One time that good parts were collected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The camera, or the folder that images came from.
    pub from: String,
    /// RFC 3339.
    pub began: String,
    /// RFC 3339.
    pub ended: String,
    /// Frames that became part of the calibration, those that were excluded at once among them.
    pub frames: usize,
    /// One frame of so many was taken.
    pub every: u64,
    /// Frames that were to be taken and that nobody could judge.
    pub faults: u64,
    /// Frames that were to be taken and that the collection was too slow for.
    pub missed: u64,
    /// Frames whose score and distance are exactly those of an earlier one: the same picture twice.
    pub repeats: usize,
    /// Suspicious ones among them.
    pub suspicious: usize,
    /// Frames that the limits of before, where there were any, would have refused.
    pub refused_before: Option<usize>,
    /// Their scores.
    pub scores: Quantiles,
    /// Their distances from the product's prototype.
    pub distances: Quantiles,
}

/// Where values lie.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantiles {
    /// The lowest.
    pub lowest: f32,
    /// Half are at most this.
    pub median: f32,
    /// 90 % are at most this.
    pub p90: f32,
    /// 99 % are at most this.
    pub p99: f32,
    /// The highest.
    pub highest: f32,
}

impl Quantiles {
    /// Of ascending values, each the value at rank `ceil(q n)`; `None` of none.
    pub fn of(ascending: &[f32]) -> Option<Self> {
        let (&lowest, &highest) = (ascending.first()?, ascending.last()?);
        let at = |percent: usize| {
            let rank = (ascending.len() * percent).div_ceil(100).max(1);
            ascending.get(rank - 1).copied().unwrap_or(highest)
        };
        Some(Self { lowest, median: at(50), p90: at(90), p99: at(99), highest })
    }
}

/// A frame that a person should look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForReview {
    /// Its number among the frames of the product's calibration, from 1.
    pub id: usize,
    /// Which frame of the camera it was, or which file.
    pub frame: String,
    /// Its score.
    pub score: f32,
    /// Its distance from the product's prototype.
    pub distance: f32,
    /// What is suspicious about it, or why else it is listed.
    pub why: String,
    /// Its picture's file name in the folder for review, where one was kept.
    pub picture: Option<String>,
    /// A person has looked at it, and it is no good part.
    pub excluded: bool,
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
    /// Not writable, or the disk is full; what was there before is there still.
    #[error("calibration file {} cannot be written: {source}; what was there before is untouched", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A class that the file does not have.
    #[error("the calibration file has no product \"{class}\": it has {known}")]
    NoClass {
        /// The class.
        class: String,
        /// Those it has.
        known: String,
    },
    /// A frame that is not listed for review.
    #[error("product \"{class}\" has no frame {id} for review: it has {known}")]
    NoFrame {
        /// The class.
        class: String,
        /// The frame.
        id: usize,
        /// Those it has.
        known: String,
    },
    /// The list of frames for review and the values do not belong together, or nothing would be left.
    #[error("product \"{class}\" cannot do without frame {id}: {why}")]
    NotExcludable {
        /// The class.
        class: String,
        /// The frame.
        id: usize,
        /// Why.
        why: &'static str,
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

    /// For a model, without any calibration yet.
    pub fn of_model(model_sha256: String) -> Self {
        let (classes, collected) = Default::default();
        Self { format: FORMAT, model_sha256, classes, collected }
    }

    /// Takes the values of listed frames out of a product's calibration, for a person has looked at them; their
    /// number stays (see [`crate::calibration::Limits`]). Frames that are excluded already stay so. All or nothing.
    pub fn exclude(&mut self, class: &str, ids: &[usize]) -> Result<(), CalibrationFileError> {
        let listed = |names: Vec<String>| {
            if names.is_empty() { "none".into() } else { names.join(", ") }
        };
        let (Some(calibration), Some(collected)) =
            (self.classes.get(class), self.collected.get(class))
        else {
            let known = listed(self.collected.keys().cloned().collect());
            return Err(CalibrationFileError::NoClass { class: class.into(), known });
        };
        let (mut calibration, mut collected) = (calibration.clone(), collected.clone());
        for &id in ids {
            let Some(frame) = collected.for_review.iter_mut().find(|frame| frame.id == id) else {
                let known = collected.for_review.iter().map(|frame| frame.id.to_string());
                let known = listed(known.collect());
                return Err(CalibrationFileError::NoFrame { class: class.into(), id, known });
            };
            if frame.excluded {
                continue;
            }
            frame.excluded = true;
            calibration =
                calibration.excluding(&[(frame.score, frame.distance)]).ok_or_else(|| {
                    let why =
                        "it is the last one, or the file was changed by hand; calibrate again";
                    CalibrationFileError::NotExcludable { class: class.into(), id, why }
                })?;
        }
        self.classes.insert(class.into(), calibration);
        self.collected.insert(class.into(), collected);
        Ok(())
    }

    /// Puts another calibration in a product's place, or adds it to what is there.
    pub fn put(&mut self, class: &str, calibration: Calibration, collected: Collected, how: Put) {
        let before = match how {
            Put::Add => self.classes.remove(class),
            Put::Replace => None,
        };
        let Some(before) = before else {
            self.classes.insert(class.into(), calibration);
            self.collected.insert(class.into(), collected);
            return;
        };
        let source = calibration.source().to_owned();
        self.classes.insert(class.into(), before.joined(calibration, source));
        let of_class = self.collected.entry(class.into()).or_default();
        of_class.sessions.extend(collected.sessions);
        of_class.for_review.extend(collected.for_review);
    }

    /// Writes it whole or not at all: beside `path`, synced, renamed into place, and the folder synced.
    pub fn write(&self, path: &Path) -> Result<(), CalibrationFileError> {
        let failed = |source| CalibrationFileError::Write { path: path.to_path_buf(), source };
        let bytes = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        whole::write(path, &bytes).map_err(failed)
    }

    /// Whether [`Self::write`] could write there, asked before hours of collecting.
    pub fn check_writable(path: &Path) -> Result<(), CalibrationFileError> {
        let failed = |source| CalibrationFileError::Write { path: path.to_path_buf(), source };
        whole::check_writable(path).map_err(failed)
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

/// What becomes of a product's calibration that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The new one comes in its place.
    Replace,
    /// The new frames are added to it.
    Add,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schema::tests::document;

    fn listed(id: usize, score: f32) -> ForReview {
        ForReview {
            id,
            frame: format!("top/1/{id}"),
            score,
            distance: score / 10.0,
            why: "test".into(),
            picture: None,
            excluded: false,
        }
    }

    fn of(scores: &[f32]) -> Calibration {
        let distances = scores.iter().map(|score| score / 10.0).collect();
        Calibration::new(scores.to_vec(), distances, "site").unwrap()
    }

    #[test]
    fn a_confirmed_exclusion_takes_the_value_out_and_leaves_the_number() {
        let mut file = CalibrationFile::of_model("aa".into());
        let seen =
            Collected { sessions: Vec::new(), for_review: vec![listed(2, 5.0), listed(3, 9.0)] };
        file.put("cap", of(&[1.0, 5.0, 9.0]), seen, Put::Replace);
        let whole = file.clone();
        for (ids, word) in [(&[3, 4][..], "no frame 4 for review: it has 2, 3"), (&[3, 2], "")] {
            match file.exclude("cap", ids) {
                Ok(()) => assert_eq!(word, ""),
                Err(error) => {
                    assert!(error.to_string().contains(word), "{error}");
                    assert_eq!(file, whole);
                }
            }
        }
        let cap = &file.classes["cap"];
        assert_eq!((cap.scores(), cap.count(), cap.excluded()), (&[1.0][..], 3, 2));
        // Once more is no more.
        file.exclude("cap", &[3]).unwrap();
        assert_eq!(file.classes["cap"].excluded(), 2);
        assert!(file.exclude("lid", &[1]).unwrap_err().to_string().contains("it has cap"));
        // The last value of a product stays.
        let seen = Collected { sessions: Vec::new(), for_review: vec![listed(1, 5.0)] };
        file.put("cap", of(&[5.0]), seen, Put::Replace);
        assert!(file.exclude("cap", &[1]).is_err());
        assert_eq!(file.classes["cap"].count(), 1);
    }

    #[test]
    fn quantiles_are_values_that_were_there() {
        let check = |n: u16, expected: [f32; 5]| {
            let values: Vec<f32> = (1..=n).map(f32::from).collect();
            let [lowest, median, p90, p99, highest] = expected;
            let expected = Quantiles { lowest, median, p90, p99, highest };
            assert_eq!(Quantiles::of(&values), Some(expected));
        };
        check(1, [1.0; 5]);
        check(200, [1.0, 100.0, 180.0, 198.0, 200.0]);
        assert_eq!(Quantiles::of(&[]), None);
    }

    #[test]
    fn what_cannot_be_written_leaves_the_file_before_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.calibration.json");
        let file = CalibrationFile::of_model("aa".into());
        file.write(&path).unwrap();
        CalibrationFile::check_writable(&path).unwrap();
        assert_eq!(CalibrationFile::read(&path).unwrap(), file);
        // Not even root can put a file below a file, or a file in a folder's place.
        for bad in [path.join("below.json"), folder.path().to_path_buf()] {
            assert!(CalibrationFile::check_writable(&bad).is_err());
            let error = file.write(&bad).unwrap_err().to_string();
            assert!(error.contains("cannot be written"), "{error}");
        }
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(CalibrationFile::read(&path).unwrap(), file);
    }

    proptest! {
        /// Sessions that are added or replaced and frames that are excluded, in any order, through the file.
        #[test]
        fn no_frame_is_ever_lost_from_the_number(
            steps in prop::collection::vec(
                (any::<bool>(), prop::collection::vec(0.0_f32..10.0, 2..20), 0_usize..25), 1..8,
            ),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("site.json");
            let mut file = CalibrationFile::of_model("aa".into());
            let mut count = 0;
            for (is_added, scores, excluded) in steps {
                let how = if is_added { Put::Add } else { Put::Replace };
                let first = if is_added { count } else { 0 };
                let numbered = scores.iter().enumerate();
                let for_review = numbered.map(|(index, &score)| listed(first + index + 1, score));
                let seen = Collected { sessions: Vec::new(), for_review: for_review.collect() };
                count = first + scores.len();
                file.put("cap", of(&scores), seen, how);
                // It may be unknown, or the last one: then nothing changes.
                let before = file.clone();
                if file.exclude("cap", &[excluded]).is_err() {
                    prop_assert_eq!(&before, &file);
                }
                let cap = &file.classes["cap"];
                let gone = file.collected["cap"].for_review.iter().filter(|f| f.excluded).count();
                prop_assert_eq!((cap.count(), cap.excluded()), (count, gone));
                file.write(&path).unwrap();
                prop_assert_eq!(&CalibrationFile::read(&path).unwrap(), &file);
            }
        }

        #[test]
        fn any_bytes_are_a_file_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("site.json");
            std::fs::write(&path, bytes).unwrap();
            prop_assert!(CalibrationFile::read(&path).is_err());
        }
    }

    #[test]
    fn it_overrides_the_classes_of_its_own_model_only() {
        let site = Calibration::new(vec![0.2, 0.3], vec![0.1, 0.1], "site").unwrap();
        let file = |class: &str| CalibrationFile {
            classes: BTreeMap::from([(class.to_owned(), site.clone())]),
            ..CalibrationFile::of_model("aa".into())
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
        let file = CalibrationFile::of_model("aa".into());
        std::fs::write(&path, serde_json::to_vec(&file).unwrap()).unwrap();
        assert_eq!(CalibrationFile::read(&path).unwrap(), file);
        std::fs::write(&path, "{").unwrap();
        assert!(CalibrationFile::read(&path).unwrap_err().to_string().contains("site.calibration"));
    }
}
