//! Packs that are fine, and packs that are not.

mod packs;
mod proofs;
mod pushes;
