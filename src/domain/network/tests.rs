use super::*;

#[test]
fn an_ipv6_customer_is_one() {
    for (address, network) in [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
    ] {
        assert_eq!(network_of(address.parse().unwrap()), network);
    }
}
