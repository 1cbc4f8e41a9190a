//! Ids as JSON strings: some readers of JSON have no whole numbers.

use serde::{Deserialize, Deserializer, Serializer};
use std::fmt::Display;

pub(super) fn serialize<T: Display, S: Serializer>(id: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

pub(super) fn deserialize<'de, T: From<i64>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse::<i64>().map(T::from).map_err(serde::de::Error::custom)
}
