//! Where a collection ends: the calibration file of a model, with what is in it already.
//!
//! Owns what must hold before it is written: the file is the model's, the operator's rate is supported by the result or
//! allowed not to be, and most frames were taken for the product that they are said to be. Pictures come first, then the
//! file, whole or not at all.

use std::path::{Path, PathBuf};

use bundle::{
    calibration::{Calibration, RejectRate, frames_needed},
    calibration_file::{CalibrationFile, Collected, ForReview, Put, Session},
};
use serde::{Serialize, Serializer};

use super::{
    collection::{Beside, COUNT_MAX, Collection},
    gallery::Gallery,
};
use crate::{
    fault::{Class, Fault, OrFault as _},
    judge::{Recipe, Unrated},
};

/// What a product's calibration is for.
#[derive(Clone, Debug)]
pub struct Aim {
    /// The product.
    pub product: String,
    /// What becomes of the calibration that is there.
    pub how: Put,
    /// The operator's false-reject rate for it.
    pub rate: RejectRate,
    /// What happens when that is not supported.
    pub unrated: Unrated,
}

impl Aim {
    /// The product of a recipe that expects it.
    pub fn new(product: &str, how: Put, recipe: &Recipe, known: &[String]) -> Result<Self, Fault> {
        let refused = |line: String| Err(Fault::new(Class::Configuration, line));
        if !known.iter().any(|name| name == product) {
            let known = known.join(", ");
            return refused(format!("the model knows no product \"{product}\": it knows {known}"));
        }
        if !recipe.expects(product) {
            return refused(format!(
                "\"{product}\" is not among the products that the configuration expects at this camera"
            ));
        }
        let (rate, unrated) = (recipe.rate_of(product), recipe.unrated);
        Ok(Self { product: product.into(), how, rate, unrated })
    }
}

/// A model's calibration file, as it was when it was opened.
#[derive(Clone, Debug)]
pub struct Site {
    path: PathBuf,
    file: CalibrationFile,
    aim: Aim,
}

/// Which rates a calibration supports.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Support {
    /// Frames in it, those that were excluded among them.
    pub frames: usize,
    /// Frames that a person excluded.
    pub excluded: usize,
    /// Frames that were taken for another product.
    pub confused: usize,
    /// The lowest false-reject rate that it supports: (2 + confused + excluded) / (n + 1).
    pub lowest_rate: f64,
    /// The operator's rate.
    pub rate: f64,
    /// Whether that is supported.
    pub is_supported: bool,
    /// Frames that it needs, with as many confused and excluded.
    pub frames_needed: usize,
}

impl Support {
    /// What a calibration supports.
    pub fn of(calibration: &Calibration, rate: RejectRate) -> Self {
        let (excluded, confused) = (calibration.excluded(), calibration.confused());
        Self {
            frames: calibration.count(),
            excluded,
            confused,
            lowest_rate: calibration.smallest_rate(),
            rate: rate.get(),
            is_supported: calibration.limits(rate).is_ok(),
            frames_needed: frames_needed(rate, confused + excluded),
        }
    }
}

/// What is told about a time of collecting.
#[derive(Clone, Debug)]
pub struct Told {
    /// The camera, or the folder.
    pub from: String,
    /// When it began and ended, RFC 3339.
    pub times: [String; 2],
    /// One frame of so many was taken.
    pub every: u64,
    /// Frames that are not in it.
    pub beside: Beside,
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct Written {
    /// The calibration file; to clients its name alone.
    #[serde(serialize_with = "name_alone")]
    pub file: PathBuf,
    /// The folder with the pictures for a person.
    #[serde(serialize_with = "name_alone")]
    pub review: PathBuf,
    /// What the product's calibration supports now.
    pub support: Support,
    /// This time's record.
    pub session: Session,
    /// This time's frames that a person should look at.
    pub for_review: Vec<ForReview>,
}

/// Where something lies is the machine's own affair.
fn name_alone<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&name_of(path))
}

/// A file's name without its folders.
pub fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Site {
    /// Opens the file at `path`, which need not be there, for the model with that SHA-256.
    pub fn open(path: &Path, model_sha256: &str, aim: Aim) -> Result<Self, Fault> {
        CalibrationFile::check_writable(path).or_fault(Class::Output)?;
        let file = if path.exists() {
            let file = CalibrationFile::read(path).or_fault(Class::Model)?;
            if file.model_sha256 != model_sha256 {
                let line = format!(
                    "calibration file {} belongs to another model (SHA-256 {}); move it away, or name another file",
                    path.display(),
                    file.model_sha256
                );
                return Err(Fault::new(Class::Model, line));
            }
            file
        } else {
            CalibrationFile::of_model(model_sha256.into())
        };
        Ok(Self { path: path.to_path_buf(), file, aim })
    }

    /// The product's calibration that new frames are added to.
    fn before(&self) -> Option<&Calibration> {
        let before = self.file.classes.get(&self.aim.product);
        before.filter(|_| self.aim.how == Put::Add)
    }

    /// What it is for.
    pub fn aim(&self) -> &Aim {
        &self.aim
    }

    /// The file as it was opened.
    pub fn file(&self) -> &CalibrationFile {
        &self.file
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of the first new frame.
    pub fn first_id(&self) -> usize {
        self.before().map_or(0, Calibration::count) + 1
    }

    /// New frames that the operator's rate needs, where all of them are taken for what they are.
    pub fn frames_needed(&self) -> usize {
        let refused = self.before().map_or(0, |it| it.confused() + it.excluded());
        let have = self.before().map_or(0, Calibration::count);
        frames_needed(self.aim.rate, refused).saturating_sub(have)
    }

    /// How many frames to collect: those that were asked for, or those that the rate needs.
    pub fn count(&self, asked: Option<usize>) -> Result<usize, Fault> {
        let need = self.frames_needed();
        let refused = |line: String| Err(Fault::new(Class::Configuration, line));
        let rate = self.aim.rate.get();
        match asked {
            Some(0) => Err(Fault::new(Class::Usage, "0 frames calibrate nothing; ask for more")),
            Some(count) if count > COUNT_MAX => {
                let line =
                    format!("{count} frames are more than {COUNT_MAX}, the most that are taken");
                Err(Fault::new(Class::Usage, line))
            }
            Some(count) if count < need && self.aim.unrated == Unrated::Refused => {
                refused(format!(
                    "{count} frames are too few: a false-reject rate of {rate} for \"{}\" needs {need}{}; collect more, \
                 or choose a higher rate, or allow it to be unrated",
                    self.aim.product,
                    if self.before().is_some() { " beside those that are there" } else { "" }
                ))
            }
            Some(count) => Ok(count),
            None if need > COUNT_MAX => refused(format!(
                "a false-reject rate of {rate} needs {need} frames, more than {COUNT_MAX}, the most that are taken; \
                 choose a higher one"
            )),
            None => Ok(need.max(1)),
        }
    }

    /// The product's calibration as it would be with these frames.
    pub fn with(&self, collection: &Collection, source: &str) -> Option<Calibration> {
        let new = collection.calibration(source).ok()?;
        Some(match self.before() {
            Some(before) => before.clone().joined(new, source),
            None => new,
        })
    }

    /// Writes the pictures, then the file; nothing of the file where anything is wrong.
    pub fn write(
        &self,
        collection: &Collection,
        gallery: &Gallery,
        told: Told,
    ) -> Result<Written, Fault> {
        // As it is now: meanwhile another product may have been calibrated.
        let mut site = Self::open(&self.path, &self.file.model_sha256, self.aim.clone())?;
        let Aim { product, how, rate, unrated } = &self.aim;
        if site.first_id() != self.first_id() {
            let line = format!(
                "calibration file {} was changed meanwhile, for \"{product}\" too; nothing is written, collect again",
                self.path.display()
            );
            return Err(Fault::new(Class::Output, line));
        }
        let Told { from, times, every, beside } = told;
        let source = format!("{from}, {} to {}", times[0], times[1]);
        let ended = times[1].clone();
        let Some((session, merged)) =
            collection.session(&from, times, every, beside).zip(site.with(collection, &source))
        else {
            let line = format!("no frame of \"{product}\" was collected; nothing is written");
            return Err(Fault::new(Class::Data, line));
        };
        let new = collection.calibration(&source).or_fault(Class::Data)?;
        if 2 * new.confused() > collection.count() {
            let line = format!(
                "{} of {} frames are nearer to another product than to \"{product}\": is it that one? Nothing is written",
                new.confused(),
                collection.count()
            );
            return Err(Fault::new(Class::Data, line));
        }
        let support = Support::of(&merged, *rate);
        if !support.is_supported && *unrated == Unrated::Refused {
            let line = format!(
                "{} frames of \"{product}\", {} of them taken for another product and {} excluded, support a false-reject \
                 rate of {:.2e}, not {}, which needs {}; nothing is written: collect more, choose a higher rate, or \
                 allow it to be unrated",
                support.frames,
                support.confused,
                support.excluded,
                support.lowest_rate,
                support.rate,
                support.frames_needed
            );
            return Err(Fault::new(Class::Configuration, line));
        }
        let review = review_folder(&self.path);
        let doubtful: Vec<usize> =
            collection.doubtful().iter().map(|doubtful| doubtful.part.id).collect();
        let stem = file_stem(product, &ended);
        let pictures = gallery.write(&review, doubtful, |id| format!("{stem}-{id:06}.png"))?;
        let for_review = collection.listed(&pictures);
        let collected =
            Collected { sessions: vec![session.clone()], for_review: for_review.clone() };
        site.file.put(product, new, collected, *how);
        site.file.write(&self.path).or_fault(Class::Output)?;
        Ok(Written { file: self.path.clone(), review, support, session, for_review })
    }
}

/// The folder beside a calibration file that keeps the pictures for a person.
pub fn review_folder(path: &Path) -> PathBuf {
    path.with_extension("review")
}

/// Product and time in letters that any file system takes.
fn file_stem(product: &str, time: &str) -> String {
    let plain = |text: &str| -> String {
        text.chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { '_' }).collect()
    };
    format!("{}-{}", plain(product), plain(&time.replace([':', '-'], "")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{calibration::collection::Shown, judge::appearance::Appearance};

    fn aim(how: Put, rate: f64) -> Aim {
        let rate = RejectRate::new(rate).unwrap();
        Aim { product: "cap".into(), how, rate, unrated: Unrated::Refused }
    }

    fn collected(site: &Site, count: u16, distance: f32) -> Collection {
        let mut collection = Collection::new("cap", 1000, site.first_id());
        for number in 0..count {
            let look = Some(Appearance { brightness: 100.0, focus: 5.0 });
            let score = 1.0 + f32::from(number) / 1000.0;
            let shown = Shown { score, distance, taken_for: None, is_refused: None, look };
            collection.add(format!("top/1/{number}"), shown);
        }
        collection
    }

    fn told() -> Told {
        Told {
            from: "camera top".into(),
            times: ["2026-01-01T00:00:00Z".into(), "2026-01-01T01:00:00Z".into()],
            every: 1,
            beside: Beside::default(),
        }
    }

    #[test]
    fn a_product_is_added_to_or_replaced_and_the_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("line.calibration.json");
        let other = Calibration::new(vec![1.0], vec![0.1], "by hand").unwrap();
        let mut file = CalibrationFile::of_model("aa".into());
        file.classes.insert("gear".into(), other.clone());
        file.write(&path).unwrap();
        let write = |how, count| {
            let site = Site::open(&path, "aa", aim(how, 0.02)).unwrap();
            site.write(&collected(&site, count, 0.1), &Gallery::default(), told())
        };
        let first = write(Put::Add, 99).unwrap().support;
        assert_eq!((first.frames, first.lowest_rate, first.is_supported), (99, 0.02, true));
        let second = write(Put::Add, 100).unwrap().support;
        assert_eq!((second.frames, second.lowest_rate), (199, 0.01));
        let file = CalibrationFile::read(&path).unwrap();
        assert_eq!(file.classes["gear"], other);
        assert_eq!(file.collected["cap"].sessions.len(), 2);
        assert_eq!(file.classes["cap"].brightness().unwrap().frames, 199);
        // Too few in its place would take a promise back.
        let refused = write(Put::Replace, 98).unwrap_err();
        assert_eq!(refused.class, Class::Configuration);
        assert_eq!(CalibrationFile::read(&path).unwrap(), file);
        assert_eq!(write(Put::Replace, 120).unwrap().support.frames, 120);
        let file = CalibrationFile::read(&path).unwrap();
        assert_eq!((file.classes.len(), file.collected["cap"].sessions.len()), (2, 1));
    }

    #[test]
    fn how_many_frames_follows_from_the_rate() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("line.calibration.json");
        let open = |how, rate| Site::open(&path, "aa", aim(how, rate)).unwrap();
        assert_eq!(open(Put::Replace, 0.01).count(None).unwrap(), 199);
        assert_eq!(open(Put::Replace, 0.01).count(Some(500)).unwrap(), 500);
        for (asked, class) in
            [(0, Class::Usage), (COUNT_MAX + 1, Class::Usage), (198, Class::Configuration)]
        {
            assert_eq!(open(Put::Replace, 0.01).count(Some(asked)).unwrap_err().class, class);
        }
        assert!(open(Put::Replace, 1e-6).count(None).is_err());
        let allowed = Aim { unrated: Unrated::Allowed, ..aim(Put::Replace, 0.01) };
        assert_eq!(Site::open(&path, "aa", allowed).unwrap().count(Some(5)).unwrap(), 5);
        let site = open(Put::Replace, 0.02);
        site.write(&collected(&site, 99, 0.1), &Gallery::default(), told()).unwrap();
        assert_eq!(open(Put::Add, 0.01).count(None).unwrap(), 100);
        assert_eq!(open(Put::Add, 0.01).first_id(), 100);
        assert_eq!(open(Put::Replace, 0.01).first_id(), 1);
        assert!(Site::open(&path, "bb", aim(Put::Add, 0.02)).is_err());
    }

    #[test]
    fn another_product_and_nothing_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("line.calibration.json");
        let site = Site::open(&path, "aa", aim(Put::Replace, 0.02)).unwrap();
        let none = site.write(&collected(&site, 0, 0.1), &Gallery::default(), told());
        assert_eq!(none.unwrap_err().class, Class::Data);
        let confused = collected(&site, 99, bundle::calibration::CONFUSED);
        let confused = site.write(&confused, &Gallery::default(), told()).unwrap_err();
        assert!(confused.to_string().contains("99 of 99 frames are nearer"), "{confused}");
        assert!(!path.exists());
    }

    #[test]
    fn the_page_says_how_many_parts_a_rate_needs() {
        let page = include_str!("../../docs/calibrate.md");
        for (shown, rate) in
            [("10", 0.1), ("5", 0.05), ("2", 0.02), ("1", 0.01), ("0.5", 0.005), ("0.1", 0.001)]
        {
            let rate = RejectRate::new(rate).unwrap();
            let [none, one, five] = [0, 1, 5].map(|refused| {
                let need = frames_needed(rate, refused);
                if need < 1000 {
                    need.to_string()
                } else {
                    format!("{},{:03}", need / 1000, need % 1000)
                }
            });
            let row = format!("| {shown} % | {none} | {one} | {five} |");
            assert!(page.contains(&row), "docs/calibrate.md lacks `{row}`");
        }
    }

    #[test]
    fn names_of_pictures_are_plain() {
        assert_eq!(file_stem("a/b c", "2026-01-01T00:00:00Z"), "a_b_c-20260101T000000Z");
    }
}
