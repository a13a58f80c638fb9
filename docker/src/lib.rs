//! Target files, images, and the container engine.
