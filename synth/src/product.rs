//! The products of the demo factory, and how one part differs from the next.
//!
//! Owns names, the physical tolerances of normal parts, and which look belongs to which product.

use rand::RngExt as _;
use serde::{Deserialize, Serialize};

use crate::{
    field::{Colour, Place, at},
    objects,
    seeds::{Purpose, stream},
    textures,
};

/// What the factory makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Product {
    /// Blue plain-woven cloth.
    Weave,
    /// A planed board.
    Wood,
    /// Perforated sheet metal.
    Grid,
    /// Embossed leather.
    Leather,
    /// A fluted bottle cap with a printed star.
    Cap,
    /// A steel gear wheel.
    Gear,
    /// A populated circuit board.
    Board,
    /// A blister card with capsules.
    Blister,
}

impl Product {
    /// Every product.
    pub const ALL: [Self; 8] = [
        Self::Weave,
        Self::Wood,
        Self::Grid,
        Self::Leather,
        Self::Cap,
        Self::Gear,
        Self::Board,
        Self::Blister,
    ];

    /// Its name in folders, models and verdicts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weave => "weave",
            Self::Wood => "wood",
            Self::Grid => "grid",
            Self::Leather => "leather",
            Self::Cap => "cap",
            Self::Gear => "gear",
            Self::Board => "board",
            Self::Blister => "blister",
        }
    }

    /// The product of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|product| product.name() == name)
    }

    /// Whether it fills the frame.
    pub const fn is_texture(self) -> bool {
        matches!(self, Self::Weave | Self::Wood | Self::Grid | Self::Leather)
    }

    /// Parts that can be missing.
    pub(crate) const fn pieces(self) -> usize {
        match self {
            Self::Weave | Self::Wood | Self::Grid | Self::Leather | Self::Cap => 0,
            Self::Gear => objects::TEETH,
            Self::Board => objects::COMPONENTS,
            Self::Blister => objects::CAPSULES,
        }
    }
}

/// How a normal part varies within its tolerances.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variation {
    /// For whatever is irregular in the material.
    pub(crate) seed: u64,
    /// Where the part lies.
    pub(crate) offset: Place,
    /// How it is turned, in radians.
    pub(crate) angle: f32,
    /// Its size.
    pub(crate) scale: f32,
    /// The lamp's brightness.
    pub(crate) gain: f32,
    /// Brightness per unit across and down.
    pub(crate) slope: Place,
    /// The batch's colour.
    pub(crate) tint: Colour,
    /// Two tolerances of its own, from -1 to 1.
    pub(crate) tolerance: [f32; 2],
}

impl Variation {
    pub(crate) fn of(product: Product, seed: u64) -> Self {
        let mut rng = stream(seed, Purpose::Variation, 0);
        let mut within = |limit: f32| rng.random_range(-limit..=limit);
        let (shift, turn) = match product {
            // A web runs through: any phase, hardly any turn.
            Product::Weave | Product::Wood | Product::Grid | Product::Leather => (0.5, 0.02),
            // Wheels lie as they fall.
            Product::Gear => (0.04, std::f32::consts::PI),
            Product::Cap | Product::Board | Product::Blister => (0.04, 0.06),
        };
        Self {
            offset: at(within(shift), within(shift)),
            angle: within(turn),
            scale: 1.0 + within(0.015),
            gain: 1.0 + within(0.05),
            slope: at(within(0.03), within(0.03)),
            tint: [1.0 + within(0.012), 1.0 + within(0.012), 1.0 + within(0.012)],
            tolerance: [within(1.0), within(1.0)],
            seed: rng.random(),
        }
    }
}

/// What differs from a good part while it is drawn; overlays come later.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flaw {
    /// The piece that is not there.
    pub(crate) missing: Option<usize>,
    /// How far the print is off, in product coordinates, and its turn.
    pub(crate) print: Option<(Place, f32)>,
}

/// Colour and coverage of a part at a place of its own coordinates.
pub(crate) fn look(product: Product, p: Place, v: &Variation, flaw: &Flaw) -> (Colour, f32) {
    match product {
        Product::Weave => (textures::weave(p, v), 1.0),
        Product::Wood => (textures::wood(p, v), 1.0),
        Product::Grid => (textures::grid(p, v), 1.0),
        Product::Leather => (textures::leather(p, v), 1.0),
        Product::Cap => objects::cap(p, v, flaw),
        Product::Gear => objects::gear(p, v, flaw),
        Product::Board => objects::board(p, v, flaw),
        Product::Blister => objects::blister(p, v, flaw),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_products() {
        for product in Product::ALL {
            assert_eq!(Product::from_name(product.name()), Some(product));
        }
    }
}
