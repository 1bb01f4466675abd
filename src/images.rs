//! Finds and decodes the images that a person points at.
//!
//! Owns the order of files and the messages about those that cannot be read; which files are images and how they are
//! decoded is `bundle::still`, the trainer's own.

use std::path::{Path, PathBuf};

use bundle::{
    geometry::RgbImage,
    still::{self, EXTENSIONS},
};

use crate::fault::{Class, Fault};

/// A bound against a folder that links to itself.
const DEPTH_MAX: usize = 32;

/// An image file, and its path below the argument that led to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Image {
    /// Where it is.
    pub path: PathBuf,
    /// Where it is below the argument.
    pub below: PathBuf,
}

/// The images of files and folders, each folder's sorted by path.
pub fn find(arguments: &[PathBuf]) -> Result<Vec<Image>, Fault> {
    let mut images = Vec::new();
    for argument in arguments {
        let fault = |line: String| Fault::new(Class::Data, line);
        let path = argument.display();
        if let Some(pattern) =
            argument.to_str().filter(|text| is_pattern(text) && !argument.exists())
        {
            images.append(&mut matches(pattern)?);
            continue;
        }
        let kind = std::fs::metadata(argument)
            .map_err(|error| fault(format!("{path} cannot be read: {error}")))?;
        if !kind.is_dir() {
            let below = argument.file_name().map(PathBuf::from).unwrap_or_default();
            images.push(Image { path: argument.clone(), below });
            continue;
        }
        let mut found = Vec::new();
        collect(argument, argument, DEPTH_MAX, &mut found)
            .map_err(|error| fault(format!("folder {path} cannot be read: {error}")))?;
        if found.is_empty() {
            let known = EXTENSIONS.join(", ");
            return Err(fault(format!("folder {path} has no images (looked for {known})")));
        }
        found.sort();
        images.append(&mut found);
    }
    Ok(images)
}

/// Whether a path is a pattern for several.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn matches(pattern: &str) -> Result<Vec<Image>, Fault> {
    let fault = |cause: &dyn std::fmt::Display| {
        Fault::new(Class::Data, format!("pattern {pattern}: {cause}"))
    };
    let mut found = Vec::new();
    // In alphabetical order, as the crate promises.
    for path in glob::glob(pattern).map_err(|error| fault(&error))? {
        let path = path.map_err(|error| fault(&error))?;
        if path.is_file() && is_image(&path) {
            let below = path.file_name().map(PathBuf::from).unwrap_or_default();
            found.push(Image { path, below });
        }
    }
    if found.is_empty() {
        return Err(fault(&format!("no images match (looked for {})", EXTENSIONS.join(", "))));
    }
    Ok(found)
}

fn collect(root: &Path, folder: &Path, depth: usize, into: &mut Vec<Image>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if depth > 0 {
                collect(root, &path, depth - 1, into)?;
            }
        } else if is_image(&path) {
            let below = path.strip_prefix(root).unwrap_or(&path).to_path_buf();
            into.push(Image { path, below });
        }
    }
    Ok(())
}

/// Whether its name says that it is an image.
pub fn is_image(path: &Path) -> bool {
    still::is_named_as_image(path)
}

/// Decodes an image to RGB; the message is for a person and does not repeat the path.
pub fn decode(path: &Path) -> Result<RgbImage, String> {
    let still = still::read(path).map_err(|error| crate::fault::one_line(&error))?;
    Ok(still.into_rgb())
}

/// Encodes an image as PNG.
pub fn png(image: &RgbImage) -> Result<Vec<u8>, String> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::write_buffer_with_format(
        &mut bytes,
        &image.pixels,
        image.size.width,
        image.size.height,
        image::ExtendedColorType::Rgb8,
        image::ImageFormat::Png,
    )
    .map_err(|error| error.to_string())?;
    Ok(bytes.into_inner())
}

/// Encodes an image as PNG and puts it at `path`, whole or not at all.
pub fn write_png(path: &Path, image: &RgbImage) -> Result<(), Fault> {
    let fault =
        |error| Fault::new(Class::Output, format!("{} cannot be written: {error}", path.display()));
    write_whole(path, &png(image).map_err(fault)?)
}

/// Puts a picture's bytes at `path` by renaming, so that no half picture is ever there.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let fault = |error: &dyn std::fmt::Display| {
        Fault::new(Class::Output, format!("{} cannot be written: {error}", path.display()))
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| fault(&error))?;
    }
    let unfinished = path.with_extension("png.tmp");
    std::fs::write(&unfinished, bytes).and_then(|()| std::fs::rename(&unfinished, path)).map_err(
        |error| {
            // A full disk leaves half of it.
            drop(std::fs::remove_file(&unfinished));
            fault(&error)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_searched_in_order_and_other_files_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::create_dir(path.join("good")).unwrap();
        for name in ["good/002.png", "good/001.JPG", "readme.txt", "b.bmp"] {
            std::fs::write(path.join(name), "").unwrap();
        }
        let below: Vec<_> =
            find(&[path.to_path_buf()]).unwrap().into_iter().map(|i| i.below).collect();
        assert_eq!(below, ["b.bmp", "good/001.JPG", "good/002.png"].map(PathBuf::from));
    }
}
