//! The manual pages and the completions of the shells, as the packages install them.
//!
//! Owns nothing at run time: a test writes them from the command line's own table, and holds them against it.

use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Arguments;

/// Where they lie in the repository, and what each is to be.
fn pages() -> Vec<(PathBuf, Vec<u8>)> {
    let mut command = Arguments::command();
    command.build();
    let mut pages = Vec::new();
    manual(&command, &mut pages);
    for (shell, name) in [
        (Shell::Bash, "sightline.bash"),
        (Shell::Zsh, "_sightline"),
        (Shell::Fish, "sightline.fish"),
    ] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Arguments::command(), "sightline", &mut script);
        pages.push((Path::new("cross/completions").join(name), script));
    }
    pages
}

/// A page for the command and for each below it, but for `help`, which says what they say.
fn manual(command: &clap::Command, pages: &mut Vec<(PathBuf, Vec<u8>)>) {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).replace(' ', "-");
    // No day and no version: a page changes when what it says does.
    let page =
        clap_mangen::Man::new(command.clone()).title(name.to_uppercase()).source("Sightline");
    let mut text = Vec::new();
    page.render(&mut text).unwrap();
    pages.push((Path::new("cross/man").join(format!("{name}.1")), text));
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        manual(below, pages);
    }
}

#[test]
fn manual_pages_and_completions_are_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = pages();
    assert!(pages.len() > 10, "{}", pages.len());
    for (path, expected) in &pages {
        let file = root.join(path);
        if std::env::var_os("SIGHTLINE_BLESS").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, expected).unwrap();
        }
        let is_fresh = std::fs::read(&file).is_ok_and(|found| found == *expected);
        let shown = path.display();
        assert!(is_fresh, "{shown} is stale: SIGHTLINE_BLESS=1 cargo test -p sightline pages");
    }
    for folder in ["cross/man", "cross/completions"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = Path::new(folder).join(entry.unwrap().file_name());
            let is_known = pages.iter().any(|(page, _)| *page == path);
            assert!(is_known, "{} belongs to no command any more: remove it", path.display());
        }
    }
}
