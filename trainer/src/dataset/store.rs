//! Images of the input's size, decoded and fitted once and kept while there is room.
//!
//! Owns the bound on memory: beyond it images are decoded at every use. Decoding is `bundle::still`, fitting is
//! `bundle::geometry`: the code that the inspector runs.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use bundle::{
    geometry::{Geometry, RgbImage},
    still,
};

use super::DataError;

/// 20,000 images of 256 x 256; a trainer has at least 8 GB.
const CACHE_BYTES_MAX: usize = 4 << 30;

/// Images by index.
#[derive(Debug)]
pub struct Store {
    geometry: Geometry,
    paths: Vec<PathBuf>,
    cache: Vec<OnceLock<Arc<Vec<RgbImage>>>>,
    cached_bytes: AtomicUsize,
}

impl Store {
    /// Nothing is read yet.
    pub fn new(geometry: Geometry, paths: Vec<PathBuf>) -> Self {
        let cache = paths.iter().map(|_| OnceLock::new()).collect();
        Self { geometry, paths, cache, cached_bytes: AtomicUsize::new(0) }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// The inputs of one image: one, or one for each tile.
    pub fn get(&self, index: usize) -> Result<Arc<Vec<RgbImage>>, DataError> {
        if let Some(inputs) = self.cache[index].get() {
            return Ok(Arc::clone(inputs));
        }
        let inputs = Arc::new(fitted(&self.geometry, &self.paths[index])?);
        let bytes: usize = inputs.iter().map(|input| input.pixels.len()).sum();
        if self.cached_bytes.fetch_add(bytes, Ordering::Relaxed) < CACHE_BYTES_MAX {
            return Ok(Arc::clone(self.cache[index].get_or_init(|| inputs)));
        }
        self.cached_bytes.fetch_sub(bytes, Ordering::Relaxed);
        Ok(inputs)
    }
}

/// The inputs that the geometry makes of an image file.
pub fn fitted(geometry: &Geometry, path: &Path) -> Result<Vec<RgbImage>, DataError> {
    geometry
        .input_from_frame(&decode(path)?.view())
        .map_err(|source| DataError::Geometry { path: path.to_path_buf(), source })
}

/// An image file as RGB.
pub fn decode(path: &Path) -> Result<RgbImage, DataError> {
    let still = still::read(path)
        .map_err(|source| DataError::Decode { path: path.to_path_buf(), source })?;
    Ok(still.into_rgb())
}
