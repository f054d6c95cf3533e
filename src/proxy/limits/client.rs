//! Whose counter a request is counted by.
//!
//! Pure, and its own file, because whoever can choose his own counter has no limit: an address is believed only as far as
//! trusted proxies vouch for it, and a name only when it was proven.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    Tenant,
    User,
    ApiKey,
    Ip,
}

impl By {
    /// As the configuration has it.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("tenant", Self::Tenant),
        ("user", Self::User),
        ("api_key", Self::ApiKey),
        ("ip", Self::Ip),
    ];

    pub fn as_str(self) -> &'static str {
        let word = Self::WORDS.iter().find(|(_, by)| *by == self);
        word.map_or("ip", |(word, _)| word)
    }
}

/// What is known of who asks; nothing in it is only claimed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    pub tenant: Option<i64>,
    pub user: Option<&'a str>,
    pub api_key: Option<&'a str>,
    pub tier: Option<&'a str>,
}

/// One counter's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner<'a> {
    Tenant(i64),
    /// A user's id is one tenant's own.
    User(Option<i64>, &'a str),
    ApiKey(&'a str),
    Address(IpAddr),
}

impl Owner<'_> {
    /// The same in every process and every version.
    pub fn spelt(&self) -> String {
        match self {
            Self::Tenant(tenant) => format!("tenant {tenant}"),
            Self::User(Some(tenant), user) => format!("user {tenant} {user}"),
            Self::User(None, user) => format!("user - {user}"),
            Self::ApiKey(key) => format!("key {key}"),
            Self::Address(address) => format!("ip {address}"),
        }
    }
}

impl<'a> Known<'a> {
    /// By what is asked for, else by the tenant, else by the address, which is only then worked out.
    pub fn owner(&self, by: By, address: impl FnOnce() -> IpAddr) -> Owner<'a> {
        let own = match by {
            By::User => self.user.map(|user| Owner::User(self.tenant, user)),
            By::ApiKey => self.api_key.map(Owner::ApiKey),
            By::Tenant => None,
            By::Ip => return Owner::Address(prefix(address())),
        };
        own.or(self.tenant.map(Owner::Tenant))
            .unwrap_or_else(|| Owner::Address(prefix(address())))
    }
}

/// An IPv6 client has at least a /64 of addresses (RFC 6177), so that is one client.
fn prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let bits = v6.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        v4 => v4,
    }
}

/// The client's address: the peer, or where that is trusted, the right-most address of `x-forwarded-for` that is not.
/// What stands left of it is the client's own invention. `lines` are the field's, in order.
pub fn client_address<'a>(
    peer: Option<IpAddr>,
    lines: impl DoubleEndedIterator<Item = &'a str>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    // Without an address, everybody is one client.
    let Some(mut last) = peer else {
        return IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    };
    let mut entries = lines.rev().flat_map(|line| line.rsplit(','));
    while is_trusted(last) {
        let Some(address) = entries.next().and_then(read_address) else {
            break;
        };
        last = address;
    }
    last
}

/// Balancers write the port too, some of them.
fn read_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>();
    let with_port = || text.parse::<SocketAddr>().map(|a| a.ip());
    address
        .or_else(|_| with_port())
        .ok()
        .map(|a| a.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn client(peer: &str, lines: &[&str]) -> IpAddr {
        let ours = |address: IpAddr| matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 10);
        client_address(Some(ip(peer)), lines.iter().copied(), ours)
    }

    #[test]
    fn the_client_is_the_right_most_address_that_is_not_ours() {
        for (peer, lines, expected) in [
            ("192.0.2.1", &["198.51.100.7"][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.7"], "198.51.100.7"),
            (
                "10.0.0.1",
                &["1.1.1.1, 198.51.100.7 , 10.0.0.2"],
                "198.51.100.7",
            ),
            (
                "10.0.0.1",
                &["1.1.1.1", "198.51.100.7", "10.0.0.2"],
                "198.51.100.7",
            ),
            ("10.0.0.1", &["10.9.9.9, 10.0.0.2"], "10.9.9.9"),
            ("10.0.0.1", &["1.1.1.1, nonsense, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["::ffff:198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &[""], "10.0.0.1"),
        ] {
            assert_eq!(client(peer, lines), ip(expected), "{peer} {lines:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_a_client_writes_changes_who_it_is(invented in "[0-9a-f:., ]{0,40}") {
            let line = format!("{invented}, 198.51.100.7");
            prop_assert_eq!(client("10.0.0.1", &[&line]), ip("198.51.100.7"));
        }
    }

    #[test]
    fn what_is_not_known_is_counted_by_what_is() {
        let nobody = Known::default();
        let tenant = Known {
            tenant: Some(7),
            ..nobody
        };
        let user = Known {
            user: Some("u1"),
            ..tenant
        };
        let address = || ip("192.0.2.1");
        let elsewhere = Owner::Address(ip("192.0.2.1"));
        for (known, by, expected) in [
            (nobody, By::Tenant, elsewhere),
            (nobody, By::User, elsewhere),
            (nobody, By::ApiKey, elsewhere),
            (tenant, By::Tenant, Owner::Tenant(7)),
            (tenant, By::User, Owner::Tenant(7)),
            (tenant, By::ApiKey, Owner::Tenant(7)),
            (tenant, By::Ip, elsewhere),
            (user, By::User, Owner::User(Some(7), "u1")),
            (user, By::Tenant, Owner::Tenant(7)),
        ] {
            assert_eq!(known.owner(by, address), expected, "{known:?} {by:?}");
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let owner = |text: &str| Known::default().owner(By::Ip, || ip(text));
        assert_eq!(owner("2001:db8:1:2:3::4"), owner("2001:db8:1:2:ffff::"));
        assert_ne!(owner("2001:db8:1:2::"), owner("2001:db8:1:3::"));
        assert_eq!(owner("::ffff:192.0.2.1"), owner("192.0.2.1"));
        assert_ne!(owner("192.0.2.1"), owner("192.0.2.2"));
    }
}
