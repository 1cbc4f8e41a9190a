//! Moments and victims that nobody can foretell.

/// Draws a number.
pub(crate) fn random(below: u32) -> u32 {
    getrandom::u32().map_or(0, |number| number % below.max(1))
}
