//! Who counts as one when many addresses may be one person's.

use std::net::IpAddr;

/// The network of an address: an IPv4 address by itself, and the /64 of an IPv6 address, which is what one customer has at
/// least (RFC 6177).
#[must_use]
pub fn network_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests;
