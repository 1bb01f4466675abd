//! `sightline-train data check`, and the `--data` arguments of every command that reads a data set.
//!
//! Owns how bad files are told: the first one ends the command, or all are listed and skipped.

use std::{collections::BTreeSet, fmt, path::PathBuf};

use bundle::geometry::Geometry;

use super::bars;
use crate::{
    dataset::{
        self, DataError, Dataset,
        audit::Audit,
        screen::{self, Needed},
        survey,
    },
    recipe::Recipe,
};

/// Skipped files that are listed; more would hide what comes after them.
const LISTED_MAX: usize = 20;

/// Where the data set is.
#[derive(Debug, clap::Args)]
pub(super) struct DataArguments {
    /// The data set, in any layout of docs/data-sets.md; several make one set.
    #[arg(long = "data", value_name = "DIR", required = true)]
    roots: Vec<PathBuf>,

    /// Goes on without the images that cannot be decoded, and lists them.
    #[arg(long)]
    skip_bad: bool,
}

impl fmt::Display for DataArguments {
    /// As they are typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roots: Vec<String> =
            self.roots.iter().map(|root| format!("--data {}", root.display())).collect();
        let skip_bad = if self.skip_bad { " --skip-bad" } else { "" };
        write!(f, "{}{skip_bad}", roots.join(" "))
    }
}

impl DataArguments {
    /// What the folders hold; no image is decoded.
    pub(super) fn read(&self) -> Result<Dataset, DataError> {
        dataset::read(&self.roots)
    }

    /// The data set after every image that is needed was decoded: all of them can be used, or it is an error.
    pub(super) fn screened(
        &self,
        data: Dataset,
        needed: Needed,
        geometry: &Geometry,
    ) -> Result<Dataset, DataError> {
        let bar = bars::bar("decode");
        if !self.skip_bad {
            return match screen::first(&data, needed, geometry, &bar) {
                Some(bad) => Err(bad.error),
                None => Ok(data),
            };
        }
        let bad = screen::all(&data, needed, geometry, &bar);
        for bad in bad.iter().take(LISTED_MAX) {
            bars::note(&format!("skipped: {}", bad.error));
        }
        if !bad.is_empty() {
            bars::note(&format!("{} files skipped", bad.len()));
        }
        let bad: BTreeSet<PathBuf> = bad.into_iter().map(|bad| bad.path.to_path_buf()).collect();
        data.without(&bad)
    }
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Counts a data set and looks for what spoils its figures: leaks, duplicates, masks that do not fit, bad files.
    Check {
        /// Its folders, in any layout of docs/data-sets.md.
        #[arg(required = true, value_name = "DIR")]
        roots: Vec<PathBuf>,
        /// All findings, as JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    let Command::Check { roots, json } = command;
    let data = dataset::read(roots)?;
    let survey = survey::survey(&data, &bars::bar("decode"));
    let audit = Audit::of(&data, &survey, Recipe::default().calibration_share);
    bars::result(&if *json { serde_json::to_string_pretty(&audit)? } else { audit.to_string() })?;
    if audit.usable {
        return Ok(());
    }
    Err(DataError::Unusable { roots: data.place(), errors: audit.errors.len() }.into())
}
