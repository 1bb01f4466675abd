//! `sightline ledger export --evidence`: pictures out of the archive, as a zip file or as a folder to train on.
//!
//! Owns both forms. The ledger says which pictures there are, the frame's own `verdict.json` what they show, and people
//! which rejects were none. What is exported appears whole or not at all.

use std::{
    collections::BTreeSet,
    fs::{self, File as FsFile},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::{cameras, print};
use crate::{
    archive::{names::File, store},
    fault::{Class, Fault},
    frame::FrameId,
    ledger::{
        LedgerError,
        audit::{Audit, Wanted},
        evidence::{KeptRow, Kind},
    },
};

/// Of the good parts of a product, one of so many is kept from training, to measure false rejects with.
const TESTED_EVERY: u8 = 5;
/// What is kept apart for a person to sort: two folders deep, so that no layout of the trainer takes it for a product.
const TO_SORT: &str = "unknown-product/to-sort";

/// What pictures become.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Form {
    /// A zip file with a manifest.
    Zip,
    /// A folder in the layout of MVTec AD, which `sightline-train` reads.
    Mvtec,
}

/// An export.
pub(super) struct Job<'a> {
    pub(super) ledger: &'a Path,
    pub(super) audit: &'a Audit,
    pub(super) wanted: &'a Wanted,
    /// The archive.
    pub(super) root: &'a Path,
    pub(super) out: &'a Path,
}

/// Where the archive of a ledger is when nobody says otherwise.
pub(super) fn beside(ledger: &Path) -> PathBuf {
    ledger.with_file_name("archive")
}

/// A frame's files with their contents.
type Files = Vec<(File, Vec<u8>)>;

/// A frame whose pictures were read.
struct Picked {
    row: KeptRow,
    files: Files,
    verdict: Value,
    is_false_reject: bool,
}

/// What was taken, and what could not be.
#[derive(Default)]
struct Count {
    taken: u64,
    unreadable: u64,
}

impl Job<'_> {
    pub(super) fn export(&self, form: Form) -> Result<(), Fault> {
        if !self.root.is_dir() {
            let line = format!(
                "archive {} is not there; name it with --archive (archive.path in the configuration)",
                self.root.display()
            );
            return Err(Fault::new(Class::Data, line));
        }
        let is_taken = self.out.exists() && fs::remove_dir(self.out).is_err();
        if is_taken {
            let line = format!("{} is there already; name another", self.out.display());
            return Err(Fault::new(Class::Output, line));
        }
        // Without a slash at its end.
        let unfinished = with_suffix(&self.out.components().collect::<PathBuf>(), ".unfinished");
        if unfinished.exists() {
            let line = format!(
                "{} is there, of an export that did not come to its end: remove it first",
                unfinished.display()
            );
            return Err(Fault::new(Class::Output, line));
        }
        let exported = match form {
            Form::Zip => self.zip(&unfinished),
            Form::Mvtec => self.mvtec(&unfinished),
        };
        let exported = exported.and_then(|count| {
            fs::rename(&unfinished, self.out).map_err(|error| self.failed(&error))?;
            Ok(count)
        });
        match exported {
            Ok(Count { taken, unreadable }) => {
                let lost = match unreadable {
                    0 => String::new(),
                    lost => format!("; of {lost} more the pictures could not be read"),
                };
                print::note(&format!("{taken} frames in {}{lost}", self.out.display()));
                Ok(())
            }
            Err(fault) => {
                // Nobody takes a part for the whole.
                drop(
                    fs::remove_file(&unfinished).or_else(|_folder| fs::remove_dir_all(&unfinished)),
                );
                Err(fault)
            }
        }
    }

    /// Gives each frame whose pictures can be read to `each`.
    fn each(&self, mut each: impl FnMut(Picked) -> io::Result<()>) -> Result<Count, Fault> {
        let wrong = |error| cameras::ledger_failed(self.ledger, &error);
        let marked = self.audit.false_rejects().map_err(wrong)?;
        let false_rejects: BTreeSet<FrameId> = marked.into_iter().map(|(id, _)| id).collect();
        let mut count = Count::default();
        let walked = self.audit.kept(self.wanted, |row| {
            let Ok((files, verdict)) = self.read(&row.id) else {
                // It may have been removed a moment ago: the line runs beside.
                count.unreadable += 1;
                return Ok(());
            };
            let is_false_reject = false_rejects.contains(&row.id);
            each(Picked { row, files, verdict, is_false_reject }).map_err(Wrong::Out)?;
            count.taken += 1;
            Ok(())
        });
        match walked {
            Ok(()) if count.taken == 0 => {
                let line = format!(
                    "there are no pictures of that time and camera in {} ({} could not be read)",
                    self.root.display(),
                    count.unreadable
                );
                Err(Fault::new(Class::Data, line))
            }
            Ok(()) => Ok(count),
            Err(Wrong::Ledger(error)) => Err(wrong(error)),
            Err(Wrong::Out(error)) => Err(self.failed(&error)),
        }
    }

    fn failed(&self, error: &io::Error) -> Fault {
        let line = format!("{} cannot be written: {error}", self.out.display());
        Fault::new(Class::Output, line)
    }

    /// Pictures under their names in the archive, and a manifest; nothing is packed, for pictures are already.
    fn zip(&self, out: &Path) -> Result<Count, Fault> {
        let failed = |error: io::Error| self.failed(&error);
        let file = FsFile::create(out).map_err(failed)?;
        let mut zip = ZipWriter::new(BufWriter::new(file));
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        let mut manifest = csv::Writer::from_writer(Vec::new());
        manifest.write_record(COLUMNS).map_err(|error| failed(io::Error::other(error)))?;
        let count = self.each(|picked| {
            let id = &picked.row.id;
            for (file, bytes) in &picked.files {
                let name = format!("{}/{}/{}/{}", id.camera, id.epoch, id.number, file.name());
                zip.start_file(name, stored)?;
                zip.write_all(bytes)?;
            }
            manifest.write_record(picked.manifest())?;
            Ok(())
        })?;
        let finish = || -> io::Result<()> {
            zip.start_file("manifest.csv", stored)?;
            let bytes =
                manifest.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
            zip.write_all(&bytes)?;
            zip.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
        };
        finish().map_err(failed)?;
        Ok(count)
    }

    /// What passed, and what was refused wrongly, to train on and to test with; what was refused as defects with the
    /// model's masks; what nobody knows to be sorted.
    fn mvtec(&self, out: &Path) -> Result<Count, Fault> {
        let mut good = BTreeSet::new();
        let mut products = BTreeSet::new();
        let count = self.each(|picked| {
            let product = folder_name(picked.text("product"));
            let is_good = picked.row.kind == Kind::Pass || picked.is_false_reject;
            let place = if is_good {
                good.insert(product.clone());
                let is_tested = is_tested(&picked.row.id);
                format!("{product}/{}/good", if is_tested { "test" } else { "train" })
            } else if picked.row.kind == Kind::UnknownProduct {
                TO_SORT.to_owned()
            } else {
                format!("{product}/test/defect")
            };
            if place != TO_SORT {
                products.insert(product.clone());
            }
            let id = &picked.row.id;
            let stem = format!("{}-{}-{}", id.camera, id.epoch, id.number);
            for (file, bytes) in &picked.files {
                match file {
                    File::Frame => write(&out.join(&place).join(format!("{stem}.jpg")), bytes)?,
                    File::Mask if place.ends_with("/defect") => {
                        let masks = out.join(&product).join("ground_truth").join("defect");
                        write(&masks.join(format!("{stem}_mask.png")), bytes)?;
                    }
                    File::Mask | File::Heat | File::Verdict => {}
                }
            }
            Ok(())
        })?;
        for product in products.iter().filter(|product| !good.contains(*product)) {
            print::note(&format!(
                "{product}: no good parts among these, and nothing can be trained without: widen the time, or record some with sightline capture"
            ));
        }
        Ok(count)
    }

    /// A frame's files, all of them before any is given on, and its verdict.
    fn read(&self, id: &FrameId) -> io::Result<(Files, Value)> {
        let mut files = Vec::new();
        let mut verdict = Value::Null;
        for file in File::ALL {
            match store::bytes(self.root, id, file) {
                Ok(bytes) => {
                    if file == File::Verdict {
                        verdict = serde_json::from_slice(&bytes)?;
                    }
                    files.push((file, bytes));
                }
                // Never there: a frame without a threshold has no mask.
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound
                        && matches!(file, File::Heat | File::Mask) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((files, verdict))
    }
}

/// Whether a good part is kept from training. By its name: it stays where it is in every later export, so that a model
/// that is trained further is never tested with what it has seen.
fn is_tested(id: &FrameId) -> bool {
    let digest = Sha256::digest(id.to_string().as_bytes());
    digest.first().is_some_and(|byte| byte.is_multiple_of(TESTED_EVERY))
}

const COLUMNS: [&str; 12] = [
    "folder",
    "camera",
    "epoch",
    "frame",
    "time",
    "decision",
    "false_reject",
    "product",
    "score",
    "p_value",
    "threshold",
    "resolution",
];

impl Picked {
    fn text(&self, field: &str) -> &str {
        self.verdict.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    fn manifest(&self) -> [String; COLUMNS.len()] {
        let id = &self.row.id;
        let number = |field| match self.verdict.get(field) {
            Some(Value::Number(number)) => number.to_string(),
            Some(_) | None => String::new(),
        };
        let resolution = self.verdict.pointer("/evidence/resolution").and_then(Value::as_str);
        [
            id.to_string(),
            id.camera.to_string(),
            id.epoch.to_string(),
            id.number.to_string(),
            self.text("time").into(),
            self.row.kind.name().into(),
            self.is_false_reject.to_string(),
            self.text("product").into(),
            number("score"),
            number("p_value"),
            number("threshold"),
            resolution.unwrap_or_default().into(),
        ]
    }
}

/// A product's name as that of a folder: whatever the model calls it, it leads nowhere else.
fn folder_name(product: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "-_ .".contains(c) { c } else { '_' };
    let name: String = product.chars().map(plain).collect();
    if name.is_empty() || name.starts_with('.') { format!("_{name}") } else { name }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// What may go wrong between a row and its pictures.
enum Wrong {
    Ledger(LedgerError),
    Out(io::Error),
}

impl From<LedgerError> for Wrong {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_products_name_leads_nowhere_else() {
        let check = |product: &str, name: &str| assert_eq!(folder_name(product), name);
        check("cap", "cap");
        check("M8 screw_v1.2", "M8 screw_v1.2");
        check("../../etc", "_.._.._etc");
        check("/etc/passwd", "_etc_passwd");
        check("", "_");
        check("..", "_..");
    }
}
