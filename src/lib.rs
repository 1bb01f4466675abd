//! Sightline inspects every frame of a production-line camera on the edge device itself.
