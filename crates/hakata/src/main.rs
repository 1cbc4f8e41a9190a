//! The Hakata binary.

fn main() {}
