//! Which addresses a backend may be at: public ones, and those in the networks that the operator has allowed (CWE-918).
//! Asked when a backend is added and again at each connection, since a name can come to mean something else.
//! Source: the IANA registries of special-purpose addresses, "IPv4 Special-Purpose Address Registry" and its IPv6 twin.
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What to do about a refused address that is meant, for every message that names one.
pub const REMEDY: &str = "if that is meant, list its network in backends.allow_networks";

/// Whether the gateway may connect to `address`: it is public, or the operator allowed its network.
pub fn is_allowed(address: IpAddr, allow: &[IpNet]) -> bool {
    let address = unwrap(address);
    is_public(address) || allow.iter().any(|network| network.contains(&address))
}

/// The IPv4 address inside an IPv6 one, where it is only a wrapping: mapped, compatible, NAT64, 6to4.
fn unwrap(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let inner = match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => Some((g, h)),
        (0, 0, 0, 0, 0, 0) if g != 0 => Some((g, h)),
        (0x2002, high, low, ..) => Some((high, low)),
        _ => None,
    };
    inner.map_or(address, |(high, low)| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d).into()
    })
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19)))
}

/// Only global unicast, 2000::/3, without what is reserved in it for protocols and documentation.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    a & 0xe000 == 0x2000 && !(a == 0x2001 && b < 0x200) && !(a == 0x2001 && b == 0xdb8) && !(a == 0x3fff && b < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn be_07_only_public_addresses_are_allowed_by_themselves() {
        for (what, inside, neighbours) in [
            ("this network", &["0.0.0.0", "0.255.255.255"][..], &["1.0.0.0"][..]),
            ("private", &["10.0.0.0", "10.255.255.255"], &["9.255.255.255", "11.0.0.0"]),
            ("private", &["172.16.0.0", "172.31.255.255"], &["172.15.255.255", "172.32.0.0"]),
            ("private", &["192.168.0.0", "192.168.255.255"], &["192.167.255.255", "192.169.0.0"]),
            ("carrier-grade NAT", &["100.64.0.0", "100.127.255.255"], &["100.63.255.255", "100.128.0.0"]),
            ("loopback", &["127.0.0.1", "127.255.255.255"], &["126.255.255.255", "128.0.0.0"]),
            ("link-local", &["169.254.0.1", "169.254.169.254"], &["169.253.255.255", "169.255.0.0"]),
            ("protocols", &["192.0.0.1", "192.88.99.1"], &["192.0.1.0", "192.88.98.255"]),
            ("benchmarks", &["198.18.0.0", "198.19.255.255"], &["198.17.255.255", "198.20.0.0"]),
            ("documentation", &["192.0.2.1", "198.51.100.1", "203.0.113.1"], &["192.0.3.0"]),
            ("multicast", &["224.0.0.1", "239.255.255.255"], &["223.255.255.255"]),
            ("reserved and broadcast", &["240.0.0.1", "255.255.255.255"], &[]),
            ("unspecified and loopback", &["::", "::1"], &[]),
            ("mapped", &["::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::ffff:10.0.0.1"], &["::ffff:1.1.1.1"]),
            ("compatible", &["::127.0.0.1"], &["::1.1.1.1"]),
            ("NAT64", &["64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"], &["64:ff9b::101:101"]),
            ("6to4", &["2002:7f00:1::", "2002:a9fe:a9fe::1"], &["2002:101:101::1"]),
            ("Teredo", &["2001::1"], &["2001:200::1"]),
            ("documentation", &["2001:db8::1", "3fff::1"], &["2001:db9::1", "3fff:1000::1"]),
            ("unique local", &["fc00::1", "fdff::1", "fd00:ec2::254"], &[]),
            ("link-local", &["fe80::1", "febf::1"], &[]),
            ("site-local and multicast", &["fec0::1", "ff02::1", "ff0e::1"], &[]),
            ("discard", &["100::1"], &["2000::1"]),
        ] {
            for (addresses, want) in [(inside, false), (neighbours, true)] {
                for address in addresses {
                    assert_eq!(is_allowed(address.parse().expect(address), &[]), want, "{what}: {address}");
                }
            }
        }
    }

    #[test]
    fn an_allowed_network_is_allowed_in_every_wrapping_and_no_other_is() {
        let allow: Vec<IpNet> = ["10.20.0.0/16", "fd00:1::/32"].iter().map(|n| n.parse().expect(n)).collect();
        for (address, want) in [
            ("10.20.0.9", true),
            ("::ffff:10.20.0.9", true),
            ("64:ff9b::a14:9", true),
            ("10.21.0.9", false),
            ("::ffff:10.21.0.9", false),
            ("fd00:1::9", true),
            ("fd00:2::9", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(is_allowed(address.parse().expect(address), &allow), want, "{address}");
        }
    }

    proptest! {
        #[test]
        fn a_wrapped_address_is_judged_as_the_bare_one(bits: u32) {
            let bare = Ipv4Addr::from_bits(bits);
            prop_assert_eq!(is_allowed(bare.to_ipv6_mapped().into(), &[]), is_allowed(bare.into(), &[]));
        }
    }
}
