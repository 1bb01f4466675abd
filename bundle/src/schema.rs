//! The versioned document in a model file's metadata.
//!
//! Owns its JSON form and what makes a document consistent. Strict: an unknown field is an error, because a
//! field that is not understood may decide a verdict. Knows no files.

use serde::{Deserialize, Serialize};

use crate::{
    calibration::Calibration,
    geometry::Geometry,
    golden::{BLOCKS, GoldenFrame, Tolerance},
    precision::Precision,
    prototype::Prototype,
};

/// The key of the document among the ONNX file's `metadata_props`.
pub const KEY: &str = "sightline.bundle";

/// The version of the document that this program reads and writes.
pub const FORMAT: u32 = 1;

/// Everything that decides a verdict beside the network itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`FORMAT`].
    pub format: u32,
    /// What the model is called.
    pub model: ModelName,
    /// [`crate::fingerprint::of_files`] of the training data.
    pub data_fingerprint: String,
    /// How frames become inputs.
    pub geometry: Geometry,
    /// The products.
    pub classes: Vec<Class>,
    /// Known pictures with the expected answers.
    pub golden: Vec<GoldenFrame>,
    /// How far an engine may be off on them.
    pub tolerance: Tolerance,
    /// In which numbers the network keeps its weights. Left out for FP32, so that an earlier Sightline reads the file.
    #[serde(default, skip_serializing_if = "Precision::is_fp32")]
    pub precision: Precision,
    /// The trainer's recipe; shown, never interpreted.
    pub recipe: serde_json::Value,
    /// When the model was exported, RFC 3339.
    pub created: String,
}

/// A model's name and version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelName {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// One product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Unique among the classes.
    pub name: String,
    /// Where its embeddings point.
    pub prototype: Prototype,
    /// How its normal frames score; `None` until it is calibrated.
    pub calibration: Option<Calibration>,
}

/// A document that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Written by another version of Sightline.
    #[error("its metadata has format {found}, this program reads {FORMAT}; {}", if *found > u64::from(FORMAT) { "update Sightline" } else { "export the model again" })]
    Version {
        /// The format it says.
        found: u64,
    },
    /// Not the JSON that it should be.
    #[error("its metadata cannot be read ({0}); export the model again")]
    Json(#[from] serde_json::Error),
    /// Parts that contradict each other.
    #[error("its metadata is inconsistent: {0}; export the model again")]
    Inconsistent(String),
}

impl Document {
    /// The document as one line of JSON.
    pub fn to_json(&self) -> Result<String, SchemaError> {
        self.validate()?;
        Ok(serde_json::to_string(self)?)
    }

    /// Reads a document; the version is looked at first, so that a newer one is told as such.
    pub fn from_json(json: &str) -> Result<Self, SchemaError> {
        #[derive(Deserialize)]
        struct Versioned {
            format: u64,
        }
        let Versioned { format: found } = serde_json::from_str(json)?;
        if found != u64::from(FORMAT) {
            return Err(SchemaError::Version { found });
        }
        let document: Self = serde_json::from_str(json)?;
        document.validate()?;
        Ok(document)
    }

    /// Refuses what contradicts itself.
    pub fn validate(&self) -> Result<(), SchemaError> {
        let wrong = |what: String| Err(SchemaError::Inconsistent(what));
        if let Err(error) = self.geometry.validate() {
            return wrong(error.to_string());
        }
        for (what, text) in self.texts() {
            if text.chars().any(char::is_control) {
                return wrong(format!("{what} has a control character"));
            }
        }
        let Tolerance { score, embedding, map } = self.tolerance;
        // Written so that a NaN is refused; an infinite one would agree with everything.
        if ![score, embedding, map]
            .iter()
            .all(|tolerance| *tolerance >= 0.0 && tolerance.is_finite())
        {
            return wrong("a tolerance is no finite number from 0".into());
        }
        let len = self.classes.first().map_or(0, |class| class.prototype.direction.len());
        for (index, Class { name, prototype, .. }) in self.classes.iter().enumerate() {
            if name.is_empty() {
                return wrong(format!("class {} has no name", index + 1));
            }
            if self.classes[..index].iter().any(|other| other.name == *name) {
                return wrong(format!("two classes are called \"{name}\""));
            }
            let norm: f32 = prototype.direction.iter().map(|value| value * value).sum();
            // Written so that a NaN is refused.
            let is_unit = (norm - 1.0).abs() < 1e-3;
            if prototype.direction.len() != len || !is_unit {
                return wrong(format!(
                    "the prototype of \"{name}\" is no direction of length {len}"
                ));
            }
        }
        for (index, golden) in self.golden.iter().enumerate() {
            if golden.map.len() != BLOCKS * BLOCKS {
                return wrong(format!("the map of golden frame {} has another size", index + 1));
            }
            if !self.classes.is_empty() && golden.embedding.len() != len {
                return wrong(format!(
                    "the embedding of golden frame {} has another length",
                    index + 1
                ));
            }
            let mut answers = golden.map.iter().chain(&golden.embedding).chain([&golden.score]);
            if !answers.all(|value| value.is_finite()) {
                return wrong(format!("an answer of golden frame {} is not finite", index + 1));
            }
        }
        Ok(())
    }

    /// Every text that is told to people and machines: in lines, on terminals, as labels.
    fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let fixed = [
            ("the model's name", &self.model.name),
            ("the model's version", &self.model.version),
            ("the data's fingerprint", &self.data_fingerprint),
            ("the time of creation", &self.created),
        ];
        let classes = self.classes.iter().map(|class| ("a class's name", &class.name));
        let golden = self.golden.iter().map(|golden| ("a golden frame's class", &golden.class));
        let sources = self.classes.iter().filter_map(|class| class.calibration.as_ref());
        let sources = sources.map(|calibration| ("a calibration's source", calibration.source()));
        let texts = fixed.into_iter().chain(classes).chain(golden);
        texts.map(|(what, text)| (what, text.as_str())).chain(sources)
    }

    /// The class of that name.
    pub fn class(&self, name: &str) -> Option<&Class> {
        self.classes.iter().find(|class| class.name == name)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::geometry::{RgbImage, Size};

    pub(crate) fn document() -> Document {
        let size = Size { width: 4, height: 4 };
        let image = RgbImage { size, pixels: vec![7; 48] };
        Document {
            format: FORMAT,
            model: ModelName { name: "demo".into(), version: "1".into() },
            data_fingerprint: "0".repeat(64),
            geometry: Geometry::square(4),
            classes: vec![Class {
                name: "cap".into(),
                prototype: Prototype { direction: vec![0.6, 0.8] },
                calibration: Some(Calibration::new(vec![0.1], vec![0.01], "line").unwrap()),
            }],
            golden: vec![
                GoldenFrame::encode("cap", &image, 0.1, vec![0.6, 0.8], vec![0.0; 256]).unwrap(),
            ],
            tolerance: Tolerance::default(),
            precision: Precision::Fp32,
            recipe: serde_json::json!({"seed": 42}),
            created: "2026-11-23T00:00:00Z".into(),
        }
    }

    #[test]
    fn a_document_survives_json() {
        let json = document().to_json().unwrap();
        assert_eq!(Document::from_json(&json).unwrap(), document());
    }

    #[test]
    fn a_precision_is_recorded_and_an_older_document_is_fp32() {
        let mut before = document();
        assert!(!before.to_json().unwrap().contains("precision"));
        before.precision = Precision::Int8(crate::precision::Int8::default());
        let json = before.to_json().unwrap();
        assert_eq!(Document::from_json(&json).unwrap(), before);
    }

    #[test]
    fn mistakes_are_told() {
        let check = |from: &str, to: &str, expected: &str| {
            let json = document().to_json().unwrap();
            assert!(json.contains(from), "{json}");
            let error = Document::from_json(&json.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("\"format\":1", "\"format\":2", "format 2, this program reads 1; update Sightline");
        check("\"format\":1", "\"format\":0", "export the model again");
        check("\"created\"", "\"made\"", "unknown field `made`");
        check("0.8]},", "0.9]},", "prototype of \"cap\"");
        check("\"name\":\"cap\"", "\"name\":\"\"", "has no name");
        check("\"width\":4", "\"width\":0", "inconsistent");
        check(
            "\"name\":\"cap\"",
            "\"name\":\"c\\u001bap\"",
            "class's name has a control character",
        );
        // Beyond f32, which serde rounds to infinity.
        check("\"tolerance\":{\"score\":0.001", "\"tolerance\":{\"score\":1e39", "tolerance");
        check("\"tolerance\":{\"score\":0.001", "\"tolerance\":{\"score\":-1", "tolerance");
        check("\"score\":0.1,", "\"score\":1e39,", "golden frame 1 is not finite");
        check(
            "\"embedding\":[0.6,0.8]",
            "\"embedding\":[0.6]",
            "golden frame 1 has another length",
        );
    }

    proptest! {
        #[test]
        fn documents_survive_json(
            name in "\\PC{0,12}",
            angle in 0.0_f32..6.0,
            scores in prop::collection::vec(0.0_f32..2.0, 1..40),
            side in 1_u32..2000,
            map in prop::collection::vec(0.0_f32..2.0, 256),
        ) {
            let mut before = document();
            before.model.name = name;
            before.geometry = Geometry::square(side);
            before.classes[0].prototype.direction = vec![angle.cos(), angle.sin()];
            before.classes[0].calibration =
                Some(Calibration::new(scores.clone(), scores, "p").unwrap());
            before.golden[0].map = map;
            let after = Document::from_json(&before.to_json().unwrap()).unwrap();
            prop_assert_eq!(after, before);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC*") {
            prop_assert!(Document::from_json(&text).is_err());
        }
    }
}
