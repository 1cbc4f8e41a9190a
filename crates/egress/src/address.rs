//! Which addresses are nobody's business from outside.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is refused unless the allow-list names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forbidden {
    /// This machine.
    Loopback,
    /// "This network", or no address at all.
    Unspecified,
    /// A private network, or a unique local address.
    Private,
    /// Shared by the customers of a carrier (RFC 6598).
    CarrierGrade,
    /// Valid on one link only; metadata services of clouds live there.
    LinkLocal,
    /// The services of a cloud at an address outside of the private ranges.
    Metadata,
    /// A group, or everybody.
    Multicast,
    /// Set aside for documents, measurements, protocols or the future.
    Reserved,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "loopback",
            Self::Unspecified => "unspecified",
            Self::Private => "private",
            Self::CarrierGrade => "carrier-grade",
            Self::LinkLocal => "link-local",
            Self::Metadata => "metadata service",
            Self::Multicast => "multicast",
            Self::Reserved => "reserved",
        })
    }
}

/// Tells why an address must not be connected to; `None`: it is on the public internet.
///
/// An IPv6 address that carries an IPv4 one (mapped, NAT64, 6to4, ISATAP) is judged by both.
/// Source: the IANA special-purpose address registries for IPv4 and IPv6.
pub fn forbidden(address: IpAddr) -> Option<Forbidden> {
    match address {
        IpAddr::V4(address) => forbidden_v4(address),
        IpAddr::V6(address) => forbidden_v6(address),
    }
}

/// Networks as first address and length, with the reason.
const V4: [(Ipv4Addr, u32, Forbidden); 18] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, Forbidden::Unspecified),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Forbidden::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Forbidden::CarrierGrade),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Forbidden::Loopback),
    // The wire server of Azure.
    (Ipv4Addr::new(168, 63, 129, 16), 32, Forbidden::Metadata),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Forbidden::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Forbidden::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Forbidden::Reserved),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Forbidden::Reserved),
    (Ipv4Addr::new(192, 31, 196, 0), 24, Forbidden::Reserved),
    (Ipv4Addr::new(192, 52, 193, 0), 24, Forbidden::Reserved),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Forbidden::Reserved),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Forbidden::Private),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Forbidden::Reserved),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Forbidden::Reserved),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Forbidden::Reserved),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Forbidden::Multicast),
    (Ipv4Addr::new(240, 0, 0, 0), 4, Forbidden::Reserved),
];

/// As [`V4`]; what is outside of 2000::/3 and in none of these is reserved.
const V6: [(Ipv6Addr, u32, Forbidden); 12] = [
    (Ipv6Addr::UNSPECIFIED, 128, Forbidden::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, Forbidden::Loopback),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, Forbidden::Private),
    // Teredo, ORCHID, benchmarking: protocols' own.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, Forbidden::Reserved),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, Forbidden::Reserved),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48, Forbidden::Reserved),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, Forbidden::Reserved),
    // Amazon's and Oracle's metadata services are among the unique local ones.
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, Forbidden::Private),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, Forbidden::LinkLocal),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, Forbidden::Private),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, Forbidden::Multicast),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 8, Forbidden::Reserved),
];

fn forbidden_v4(address: Ipv4Addr) -> Option<Forbidden> {
    let found = V4.iter().find(|(first, length, _)| in_v4(address, *first, *length));
    found.map(|(_, _, why)| *why)
}

fn forbidden_v6(address: Ipv6Addr) -> Option<Forbidden> {
    if let Some(carried) = address.to_ipv4_mapped() {
        return forbidden_v4(carried);
    }
    let segments = address.segments();
    let last = Ipv4Addr::from_bits((u32::from(segments[6]) << 16) | u32::from(segments[7]));
    if segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        return forbidden_v4(last);
    }
    if let Some((_, _, why)) = V6.iter().find(|(first, length, _)| in_v6(address, *first, *length)) {
        return Some(*why);
    }
    if segments[0] & 0xe000 != 0x2000 {
        return Some(Forbidden::Reserved);
    }
    if segments[0] == 0x2002 {
        let carried = (u32::from(segments[1]) << 16) | u32::from(segments[2]);
        return forbidden_v4(Ipv4Addr::from_bits(carried));
    }
    let is_isatap = segments[4] & 0xfdff == 0 && segments[5] == 0x5efe;
    if is_isatap { forbidden_v4(last) } else { None }
}

/// Tells whether an address lies in the network of the first `length` bits of `first`.
pub(crate) fn in_v4(address: Ipv4Addr, first: Ipv4Addr, length: u32) -> bool {
    (address.to_bits() ^ first.to_bits()).leading_zeros() >= length
}

/// As [`in_v4`].
pub(crate) fn in_v6(address: Ipv6Addr, first: Ipv6Addr, length: u32) -> bool {
    (address.to_bits() ^ first.to_bits()).leading_zeros() >= length
}

#[cfg(test)]
mod tests;
