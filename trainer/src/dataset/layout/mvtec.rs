//! Reads the folder layout of MVTec AD (Bergmann et al., CVPR 2019).
//!
//! `CLASS/train/good/*`, `CLASS/test/good/*`, `CLASS/test/DEFECT/*`, `CLASS/ground_truth/DEFECT/STEM_mask.png`.
//! Only `train/good` must be there: a plant that captured good parts has nothing else yet.

use std::path::{Path, PathBuf};

use super::{DataError, Dataset, ProductFolder, TestImage};

/// What the `image` crate is built to decode here.
const EXTENSIONS: [&str; 6] = ["png", "jpg", "jpeg", "bmp", "tif", "tiff"];

/// The data set in a folder; products and images in the order of their names.
pub fn read(root: &Path) -> Result<Dataset, DataError> {
    let mut classes = Vec::new();
    for folder in entries(root)?.into_iter().filter(|path| path.is_dir()) {
        let good = folder.join("train").join("good");
        if !good.is_dir() {
            continue;
        }
        let name = file_name(&folder);
        let good_images = images(&good)?;
        if good_images.is_empty() {
            return Err(DataError::NoImages(good));
        }
        classes.push(ProductFolder { name, good: good_images, test: test_images(&folder)? });
    }
    if classes.is_empty() {
        return Err(DataError::NoClasses(root.to_path_buf()));
    }
    Ok(Dataset { root: root.to_path_buf(), classes })
}

fn test_images(class: &Path) -> Result<Vec<TestImage>, DataError> {
    let test = class.join("test");
    if !test.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for folder in entries(&test)?.into_iter().filter(|path| path.is_dir()) {
        let kind = file_name(&folder);
        let defect = (kind != "good").then(|| kind.clone());
        for path in images(&folder)? {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let mask = class.join("ground_truth").join(&kind).join(format!("{stem}_mask.png"));
            let mask = (defect.is_some() && mask.is_file()).then_some(mask);
            found.push(TestImage { path, defect: defect.clone(), mask });
        }
    }
    Ok(found)
}

fn images(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let is_image = |path: &PathBuf| {
        path.extension().and_then(|extension| extension.to_str()).is_some_and(|extension| {
            EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
        })
    };
    Ok(entries(folder)?.into_iter().filter(is_image).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |source| DataError::Read { path: folder.to_path_buf(), source };
    let mut paths = std::fs::read_dir(folder)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_read_and_gaps_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert!(matches!(read(root), Err(DataError::NoClasses(_))));
        for path in [
            "cap/train/good/1.png",
            "cap/train/good/0.JPG",
            "cap/test/good/a.png",
            "cap/test/dent/b.jpg",
            "cap/test/dent/c.jpg",
            "cap/ground_truth/dent/b_mask.png",
            "notes/readme.txt",
        ] {
            std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            std::fs::write(root.join(path), "").unwrap();
        }
        let dataset = read(root).unwrap();
        assert_eq!(dataset.names(), ["cap"]);
        let cap = &dataset.classes[0];
        assert_eq!(cap.good.len(), 2);
        let seen: Vec<_> =
            cap.test.iter().map(|image| (image.defect.as_deref(), image.mask.is_some())).collect();
        assert_eq!(seen, [(Some("dent"), true), (Some("dent"), false), (None, false)]);
        std::fs::create_dir_all(root.join("gear/train/good")).unwrap();
        assert!(matches!(read(root), Err(DataError::NoImages(_))));
    }
}
