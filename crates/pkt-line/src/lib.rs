//! pkt-line, the framing of Git's protocols, without IO.
//!
//! ```text
//!  0   1   2   3   4                     n
//! +---+---+---+---+---------------------+
//! | length, hex   | payload, n - 4 bytes|      0000 flush   0001 delim   0002 response-end
//! +---+---+---+---+---------------------+
//! ```
//!
//! The crate never reads or writes a stream and knows no command. Source: gitprotocol-common(5),
//! gitprotocol-v2(5).
//!
//! ```
//! use bytes::BytesMut;
//! use hakata_pkt_line::{Packet, decode, encode};
//!
//! let mut wire = Vec::new();
//! encode(b"done\n", &mut wire);
//! assert_eq!(wire, b"0009done\n");
//! let mut buffer = BytesMut::from(&wire[..]);
//! assert_eq!(decode(&mut buffer)?, Some(Packet::Data("done\n".into())));
//! # Ok::<(), hakata_pkt_line::DecodeError>(())
//! ```

mod decode;
mod encode;
mod side_band;

pub use decode::{DecodeError, Packet, decode};
pub use encode::{DELIM, FLUSH, RESPONSE_END, encode, encode_header, encode_parts, encode_text};
pub use side_band::{Band, MAX_BAND_PAYLOAD, encode_band, encode_band_header};

/// Longest pkt-line in bytes, its 4-byte length included. Source: gitprotocol-common(5).
pub const MAX_PKT_LINE: usize = 65_520;

/// Longest payload of a pkt-line in bytes.
pub const MAX_PAYLOAD: usize = MAX_PKT_LINE - 4;
