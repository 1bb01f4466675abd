//! Procedural products, their defects, and the line that carries them.
//!
//! Everything is a function of explicit seeds, so that a data set, a clip and its truth can be rendered again on
//! any machine. Owns what a product looks like; must not know how it is judged. Depends on nothing of ours but
//! `bundle`'s pictures.
//!
//! Space: *product* coordinates, in which the frame spans -1 to 1 across and down at rest.

pub mod product;
pub mod defect;
pub mod render;
pub mod line;
pub mod clip;
pub mod dataset;
pub mod formula;

mod field;
mod objects;
mod seeds;
mod textures;
