//! How fields look in MessagePack and in JSON.
//!
//! In MessagePack bytes are bytes; the old raw type, which today's readers take for text, is read as well. In JSON,
//! which people write, oids are hexadecimal, names and contents are text, `base64:…` where they are no UTF-8, and
//! enumerations are words.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserializer, Serializer};

/// Marks bytes in JSON that are no text.
const BASE64: &str = "base64:";

/// Reads bytes, whatever type they came as, with a reading for text.
struct BytesVisitor(fn(&str) -> Result<Bytes, String>);

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes::copy_from_slice(bytes))
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
        Ok(bytes.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
        self.0(text).map_err(E::custom)
    }

    /// Rust's MessagePack writers make arrays of numbers of bytes unless told otherwise.
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Bytes, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = sequence.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes.into())
    }
}

fn verbatim(text: &str) -> Result<Bytes, String> {
    Ok(Bytes::copy_from_slice(text.as_bytes()))
}

fn from_text(text: &str) -> Result<Bytes, String> {
    match text.strip_prefix(BASE64) {
        Some(coded) => STANDARD.decode(coded).map(Bytes::from).map_err(|error| error.to_string()),
        None => verbatim(text),
    }
}

fn to_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.starts_with(BASE64) => text.to_owned(),
        _ => format!("{BASE64}{}", STANDARD.encode(bytes)),
    }
}

fn from_hex(text: &str) -> Result<Bytes, String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect::<Option<Vec<_>>>().map(Bytes::from).ok_or_else(|| format!("{text:?} is not hexadecimal"))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        let _ = fmt::Write::write_fmt(&mut hex, format_args!("{byte:02x}"));
        hex
    })
}

/// One form of bytes: how text is read and written where people read it.
struct Form {
    read: fn(&str) -> Result<Bytes, String>,
    write: fn(&[u8]) -> String,
}

const TEXT: Form = Form { read: from_text, write: to_text };
const HEX: Form = Form { read: from_hex, write: to_hex };

impl Form {
    fn serialize<S: Serializer>(&self, bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&(self.write)(bytes))
        } else {
            serializer.serialize_bytes(bytes)
        }
    }

    fn deserialize<'de, D: Deserializer<'de>>(&self, deserializer: D) -> Result<Bytes, D::Error> {
        let read = if deserializer.is_human_readable() { self.read } else { verbatim };
        deserializer.deserialize_any(BytesVisitor(read))
    }
}

/// Makes the module that serde asks for, of one form, for one value and for many.
macro_rules! form {
    ($one:ident, $many:ident, $form:expr) => {
        pub(crate) mod $one {
            use bytes::Bytes;
            use serde::{Deserializer, Serializer};

            pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
                $form.serialize(bytes, serializer)
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
                $form.deserialize(deserializer)
            }
        }

        pub(crate) mod $many {
            use bytes::Bytes;
            use serde::{Deserialize, Deserializer, Serialize, Serializer};

            struct One<B>(B);

            impl Serialize for One<&Bytes> {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    $form.serialize(self.0, serializer)
                }
            }

            impl<'de> Deserialize<'de> for One<Bytes> {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    $form.deserialize(deserializer).map(Self)
                }
            }

            pub(crate) fn serialize<S: Serializer>(all: &[Bytes], serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(all.iter().map(One))
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Vec<Bytes>, D::Error> {
                let all = Vec::<One<Bytes>>::deserialize(deserializer)?;
                Ok(all.into_iter().map(|one| one.0).collect())
            }
        }
    };
}

form!(text, texts, crate::wire::TEXT);
form!(oid, oids, crate::wire::HEX);

/// An enumeration: a number in MessagePack, its name in JSON, and read in both ways everywhere.
pub(crate) struct Named<E>(PhantomData<E>);

/// An enumeration of the contract.
pub(crate) trait Words: Sized {
    /// Names a value.
    fn word(number: i32) -> Option<&'static str>;
    /// Finds a value by its name.
    fn number(word: &str) -> Option<i32>;
}

impl<E: Words> Named<E> {
    pub(crate) fn serialize<S: Serializer>(number: &i32, serializer: S) -> Result<S::Ok, S::Error> {
        match E::word(*number) {
            Some(word) if serializer.is_human_readable() => serializer.serialize_str(word),
            _ => serializer.serialize_i32(*number),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
        deserializer.deserialize_any(NamedVisitor::<E>(PhantomData))
    }
}

struct NamedVisitor<E>(PhantomData<E>);

impl<E: Words> Visitor<'_> for NamedVisitor<E> {
    type Value = i32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a name of the enumeration")
    }

    fn visit_i64<Er: Error>(self, number: i64) -> Result<i32, Er> {
        i32::try_from(number).map_err(Er::custom)
    }

    fn visit_u64<Er: Error>(self, number: u64) -> Result<i32, Er> {
        i32::try_from(number).map_err(Er::custom)
    }

    fn visit_str<Er: Error>(self, word: &str) -> Result<i32, Er> {
        E::number(word).ok_or_else(|| Er::custom(format!("there is no {word}")))
    }
}

#[cfg(test)]
mod tests;
