//! Which pixels of a measured image count, and what the map says of each.
//!
//! Owns the space that maps and masks are compared in: the network's input, and where an image is tiled the looked-at
//! part of the frame, onto which the tiles are stitched as they are for a person.

use bundle::geometry::{Fit, Geometry, GeometryError, Map, Region, Size};

use crate::{
    dataset::{DataError, TestImage, mask, store},
    detector::Answer,
    metrics::Scores,
};

/// Adds an image's pixels where it is known which of them are defective: in good parts and in masked ones.
pub(super) fn add(
    geometry: &Geometry,
    image: &TestImage,
    tiles: &[Answer],
    scores: &mut Scores,
) -> Result<(), DataError> {
    if image.defect.is_some() && image.mask.is_none() {
        return Ok(());
    }
    if geometry.tiles.is_some() {
        return add_stitched(geometry, image, tiles, scores);
    }
    for Answer { map, .. } in tiles {
        match &image.mask {
            Some(mask) if image.defect.is_some() => {
                let marked = mask::in_inputs(geometry, mask)?;
                scores.add_map(&map.values, &marked, map.size.width as usize);
            }
            _ => scores.add_normal_map(&map.values),
        }
    }
    Ok(())
}

/// Tiles overlap and a defect may lie in several, so that a pixel or a defect of the tiles would count more than once.
fn add_stitched(
    geometry: &Geometry,
    image: &TestImage,
    tiles: &[Answer],
    scores: &mut Scores,
) -> Result<(), DataError> {
    let frame = store::decode(&image.path)?.size;
    let maps: Vec<Map> = tiles.iter().map(|tile| tile.map.clone()).collect();
    let whole = geometry.frame_from_map(&maps, frame);
    let looked_at =
        geometry.region.unwrap_or(Region { x: 0, y: 0, width: frame.width, height: frame.height });
    let map = cut(&whole.values, frame, looked_at);
    match &image.mask {
        Some(path) if image.defect.is_some() => {
            let marked = mask::read(path)
                .map_err(|source| DataError::Decode { path: path.clone(), source })
                .and_then(|mask| {
                    at_size(&mask, frame)
                        .map_err(|source| DataError::Geometry { path: path.clone(), source })
                })?;
            scores.add_map(&map, &cut(&marked, frame, looked_at), looked_at.width as usize);
        }
        _ => scores.add_normal_map(&map),
    }
    Ok(())
}

/// A mask at the size of its image, for some data sets draw at another.
fn at_size(mask: &mask::Mask, size: Size) -> Result<Vec<bool>, GeometryError> {
    let stretch = Geometry {
        input: size,
        fit: Fit::Stretch,
        region: None,
        tiles: None,
        ..Geometry::square(1)
    };
    Ok(stretch.input_from_mask(mask.size, &mask.defective)?.concat())
}

/// The values of a part of a frame, rows first.
fn cut<T: Copy>(values: &[T], frame: Size, part: Region) -> Vec<T> {
    let rows = values.chunks_exact(frame.width as usize);
    let rows = rows.skip(part.y as usize).take(part.height as usize);
    rows.flat_map(|row| &row[part.x as usize..(part.x + part.width) as usize]).copied().collect()
}

#[cfg(test)]
mod tests {
    use bundle::geometry::Tiles;

    use super::*;

    #[test]
    fn a_defect_on_the_seam_of_two_tiles_is_one_defect_and_each_pixel_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let (width, height) = (40_u32, 20_u32);
        let save = |name: &str, value: &dyn Fn(u32, u32) -> u8| {
            let path = folder.path().join(name);
            let picture =
                image::GrayImage::from_fn(width, height, |x, y| image::Luma([value(x, y)]));
            picture.save(&path).unwrap();
            path
        };
        let path = save("part.png", &|_, _| 90);
        // Within the overlap, which both tiles see.
        let is_defective = |x: u32, y: u32| (18..22).contains(&x) && (5..9).contains(&y);
        let mask = save("mask.png", &|x, y| u8::from(is_defective(x, y)));
        let tiles = Tiles { columns: 2, rows: 1, overlap: 0.4 };
        let all = Geometry { tiles: Some(tiles), ..Geometry::square(16) };
        let region = Region { x: 4, y: 0, width: 32, height: 16 };
        for geometry in [all.clone(), Geometry { region: Some(region), ..all }] {
            let answer = || Answer {
                map: Map { size: geometry.input, values: vec![0.5; 256] },
                score: 0.5,
                embedding: vec![1.0],
            };
            let looked_at =
                geometry.region.map_or(width * height, |region| region.width * region.height);
            let mut scores = Scores::default();
            let defect = Some("dent".to_owned());
            let image = TestImage { path: path.clone(), defect, mask: Some(mask.clone()) };
            add(&geometry, &image, &[answer(), answer()], &mut scores).unwrap();
            assert_eq!(scores.rank().unwrap().counts(), (16, u64::from(looked_at) - 16, 1));
        }
    }

    #[test]
    fn a_mask_of_another_size_than_its_image_covers_the_same_share() {
        let mask = mask::Mask {
            size: Size { width: 4, height: 2 },
            defective: [true, false, false, false].repeat(2),
        };
        let marked = at_size(&mask, Size { width: 8, height: 4 }).unwrap();
        assert_eq!(marked.iter().filter(|marked| **marked).count(), 8);
    }
}
