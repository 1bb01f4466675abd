//! Connected regions of a mask: pixels that touch at a side or a corner belong together.
//!
//! Pure. Union-find over one pass (Hoshen and Kopelman 1976), 8-connected as scikit-image labels by default.

/// The regions of one mask.
#[derive(Clone, Debug)]
pub struct Regions {
    /// In row order: 0 outside, else the region from 1.
    labels: Vec<u32>,
    /// Pixels of each region.
    sizes: Vec<usize>,
}

impl Regions {
    /// Of a mask in row order.
    pub fn of(mask: &[bool], width: usize) -> Self {
        let mut parents: Vec<u32> = vec![0];
        let mut labels = vec![0_u32; mask.len()];
        for index in (0..mask.len()).filter(|&index| mask[index]) {
            let (x, y) = (index % width, index / width);
            // Neighbours that were visited: west, north-west, north, north-east.
            let west = (x > 0).then(|| index - 1);
            let north = (y > 0).then(|| index - width);
            let north_west = north.filter(|_| x > 0).map(|at| at - 1);
            let north_east = north.filter(|_| x + 1 < width).map(|at| at + 1);
            let mut label = 0;
            for at in [west, north_west, north, north_east].into_iter().flatten() {
                if labels[at] == 0 {
                    continue;
                }
                let root = root(&mut parents, labels[at]);
                if label == 0 {
                    label = root;
                } else {
                    // The smaller one stays, so that the order of the regions is that of their first pixels.
                    let (low, high) = (label.min(root), label.max(root));
                    parents[high as usize] = low;
                    label = low;
                }
            }
            if label == 0 {
                label = u32::try_from(parents.len()).unwrap_or(u32::MAX);
                parents.push(label);
            }
            labels[index] = label;
        }
        let mut names = vec![0_u32; parents.len()];
        let mut sizes = Vec::new();
        for label in &mut labels {
            if *label == 0 {
                continue;
            }
            let root = root(&mut parents, *label) as usize;
            if names[root] == 0 {
                sizes.push(0);
                names[root] = u32::try_from(sizes.len()).unwrap_or(u32::MAX);
            }
            *label = names[root];
            sizes[*label as usize - 1] += 1;
        }
        Self { labels, sizes }
    }

    /// Pixels of each region, in the order of the regions' first pixels.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// For every pixel in row order its region.
    pub fn of_pixels(&self) -> impl Iterator<Item = Option<usize>> + '_ {
        self.labels.iter().map(|&label| (label as usize).checked_sub(1))
    }
}

/// The region that a label ended up in, shortening the way there.
fn root(parents: &mut [u32], label: u32) -> u32 {
    let mut at = label;
    while parents[at as usize] != at {
        parents[at as usize] = parents[parents[at as usize] as usize];
        at = parents[at as usize];
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_by_hand() {
        let check = |rows: &[&str], expected: &str, sizes: &[usize]| {
            let mask: Vec<bool> = rows.concat().chars().map(|pixel| pixel == '#').collect();
            let regions = Regions::of(&mask, rows[0].len());
            let found: String = regions
                .of_pixels()
                .map(|region| {
                    region.map_or('.', |region| char::from(b'a' + u8::try_from(region).unwrap()))
                })
                .collect();
            assert_eq!(found, expected);
            assert_eq!(regions.sizes, sizes);
        };
        check(&["#.#", "...", "##."], "a.b...cc.", &[1, 1, 2]);
        // Corners touch, and a U is one region though its arms meet last.
        check(&["#..", ".#.", "..#"], "a...a...a", &[3]);
        check(&["#.#", "#.#", "###"], "a.aa.aaaa", &[7]);
        check(&["...", "..."], "......", &[]);
        // The end of a row does not touch the beginning of the next.
        check(&["..#", "...", "#.."], "..a...b..", &[1, 1]);
        check(&["..#", "#.."], "..ab..", &[1, 1]);
    }
}
