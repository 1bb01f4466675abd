//! Writes `sightline.example.toml` and `docs/configuration.md` from the table of keys.
//!
//! Pure. The tests say when either file is stale; `SIGHTLINE_BLESS=1 cargo test` writes them anew.

use std::fmt::Write as _;

use super::keys::{self, Default, Key, TABLES};

/// A configuration with every key and its meaning; it can be read back.
pub fn example_file() -> String {
    let mut text = String::from(
        "# Every key of Sightline's configuration. A key that is commented out shows its default or an example.\n",
    );
    for (table, meaning) in TABLES {
        // Nobody needs a recipe: what must be there is so where there is one.
        let out = if table == "recipe" { "# " } else { "" };
        let meaning = meaning.replace('\n', "\n# ");
        line(&mut text, format_args!("\n# {meaning}\n{out}{}", head(table)));
        for key in keys::of(table) {
            for sentence in key.meaning.lines() {
                line(&mut text, format_args!("# {sentence}"));
            }
            let mark = match key.default {
                Default::Required => out,
                Default::Value => "# ",
                Default::Words(words) => {
                    line(&mut text, format_args!("# Left out: {words}."));
                    "# "
                }
            };
            line(&mut text, format_args!("{mark}{} = {}", key.name, key.value));
        }
    }
    text
}

/// The reference page of every key.
pub fn reference_page() -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         One TOML file, read once at the start and read strictly: a key that does not exist is an error with its path and a suggestion.\n\
         `sightline.example.toml` holds every key with its default; `sightline check CONFIG` says whether a file, its model and its pipelines hold together.\n\
         Relative paths start at the folder of the configuration file.\n\
         This page and the example are written from the table in `src/config/keys.rs`; a test fails when they are stale.\n",
    );
    for (table, meaning) in TABLES {
        line(
            &mut text,
            format_args!(
                "\n## `{}`\n\n{meaning}\n\n| key | default | meaning |\n| --- | --- | --- |",
                head(table)
            ),
        );
        for key in keys::of(table) {
            line(
                &mut text,
                format_args!(
                    "| `{}` | {} | {} |",
                    key.name,
                    default(&key),
                    key.meaning.replace('\n', " ")
                ),
            );
        }
    }
    text
}

/// How a table begins; cameras and recipes may be several.
fn head(table: &str) -> String {
    match table {
        "camera" | "recipe" => format!("[[{table}]]"),
        _ => format!("[{table}]"),
    }
}

fn default(key: &Key) -> String {
    match key.default {
        Default::Value => format!("`{}`", key.value),
        Default::Required => "required".into(),
        Default::Words(words) => words.into(),
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _infallible: std::fmt::Result = writeln!(text, "{arguments}");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn check_fresh(path: &str, expected: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        if std::env::var_os("SIGHTLINE_BLESS").is_some() {
            std::fs::write(&file, expected).unwrap();
        }
        let found = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            found == expected,
            "{path} is stale: SIGHTLINE_BLESS=1 cargo test -p sightline example"
        );
    }

    #[test]
    fn the_written_pages_are_fresh() {
        check_fresh("sightline.example.toml", &example_file());
        check_fresh("docs/configuration.md", &reference_page());
    }

    #[test]
    fn the_example_can_be_read_with_every_key_in_force() {
        let all: String = example_file()
            .lines()
            .map(|line| {
                let uncommented = line.strip_prefix("# ").unwrap_or(line);
                let is_key = uncommented == head("recipe")
                    || keys::all().any(|key| uncommented.starts_with(&format!("{} = ", key.name)));
                format!("{}\n", if is_key { uncommented } else { line })
            })
            .collect();
        for text in [&all, &example_file()] {
            crate::config::read(text, Path::new("/line")).unwrap();
        }
        assert_eq!(
            all.lines()
                .filter(|line| keys::all().any(|key| line.starts_with(&format!("{} = ", key.name))))
                .count(),
            keys::all().count()
        );
    }

    #[test]
    fn the_defaults_in_the_table_are_the_defaults_in_force() {
        let camera = "[[camera]]\nname = \"top\"\npreset = \"files\"\n";
        let with = |key: &Key| match key.table {
            "camera" => format!("{camera}{} = {}\n", key.name, key.value),
            table => format!("{camera}[{table}]\n{} = {}\n", key.name, key.value),
        };
        let read =
            |text: &str| format!("{:?}", crate::config::read(text, Path::new("/line")).unwrap());
        for key in keys::all().filter(|key| key.default == Default::Value) {
            assert_eq!(read(&with(&key)), read(camera), "{}.{}", key.table, key.name);
        }
    }
}
