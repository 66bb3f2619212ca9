use super::*;

const LOCAL: Facts = Facts {
    allowed: true,
    tunnelled: false,
    from_loopback: true,
    from_proxy: false,
    forwarded: false,
    to_local_name: true,
    from_foreign_page: false,
};

#[test]
fn a_request_is_local_only_if_nothing_speaks_against_it() {
    assert_eq!(LOCAL.check(), Ok(()));
    for (facts, reason) in [
        (Facts { allowed: false, ..LOCAL }, NotLocal::NotAllowed),
        (Facts { tunnelled: true, ..LOCAL }, NotLocal::Tunnel),
        (Facts { from_loopback: false, ..LOCAL }, NotLocal::Elsewhere),
        (Facts { from_proxy: true, ..LOCAL }, NotLocal::Proxy),
        (Facts { forwarded: true, ..LOCAL }, NotLocal::Proxy),
        (Facts { to_local_name: false, ..LOCAL }, NotLocal::Host),
        (Facts { from_foreign_page: true, ..LOCAL }, NotLocal::ForeignPage),
    ] {
        assert_eq!(facts.check(), Err(reason), "{facts:?}");
    }
}
