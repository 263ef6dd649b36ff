//! What the environment says of proxies, read as curl and Git read it: which proxy an address is reached through.
//!
//! A `proxy` in the settings has the last word. Addresses of this machine itself are never reached through a proxy that
//! only the environment names.

use crate::model::Secret;

use super::remote::{RemoteUrl, Transport};

/// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, or the same in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxyVariables {
    /// For https addresses.
    pub https: Option<Secret<String>>,
    /// For http addresses.
    pub http: Option<Secret<String>>,
    /// For whatever has no variable of its own.
    pub all: Option<Secret<String>>,
    /// Hosts that are reached without: names, `.example.com` or `example.com` for all below it, addresses, networks such
    /// as `10.0.0.0/8`, each with or without a port; `*` for all.
    pub none: String,
}

impl ProxyVariables {
    /// The proxy on the way to an address; `None` where there is none, or the address is not one of http.
    ///
    /// # Errors
    /// The proxy is not one of http or https. What is said holds no password.
    pub(super) fn on_the_way_to(&self, url: &RemoteUrl) -> Result<Option<RemoteUrl>, String> {
        let (own, usual_port) = match url.transport() {
            Transport::Https => (&self.https, 443),
            Transport::Http => (&self.http, 80),
            Transport::Ssh | Transport::Git | Transport::Local => return Ok(None),
        };
        let Some(text) = own.as_ref().or(self.all.as_ref()) else { return Ok(None) };
        let (host, port) = host_and_port(url);
        if is_this_machine(&host) || self.leaves_out(&host, port.unwrap_or(usual_port)) {
            return Ok(None);
        }
        let text = text.reveal().trim();
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let proxy = RemoteUrl::parse(text.trim_end_matches('/'));
        match proxy {
            Ok(proxy) if matches!(proxy.transport(), Transport::Http | Transport::Https) => {
                Ok(Some(proxy))
            }
            _ => Err(format!(
                "expected a proxy that begins with http:// or https://, on the way to {url}"
            )),
        }
    }

    fn leaves_out(&self, host: &str, port: u16) -> bool {
        let words = self.none.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty());
        words.into_iter().any(|word| matches(&word.to_ascii_lowercase(), host, port))
    }
}

/// The host in lower case, without the brackets of an IPv6 address, and the port where it is written.
fn host_and_port(url: &RemoteUrl) -> (String, Option<u16>) {
    let shown = url.to_string();
    let rest = shown.split_once("://").map_or(shown.as_str(), |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    let (host, port) = split_port(address);
    (host.to_ascii_lowercase(), port)
}

/// `host:port`, `[::1]:port`, `::1` or `host`.
fn split_port(address: &str) -> (&str, Option<u16>) {
    if let Some((host, rest)) = address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match address.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, port.parse().ok()),
        _ => (address, None),
    }
}

fn is_this_machine(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|it| it.is_loopback())
}

/// Whether a word of `NO_PROXY` means a host and port.
fn matches(word: &str, host: &str, port: u16) -> bool {
    if word == "*" {
        return true;
    }
    if let Some((network, bits)) = word.split_once('/') {
        return is_within(host, network, bits).unwrap_or(false);
    }
    let (name, only) = split_port(word);
    if only.is_some_and(|only| only != port) {
        return false;
    }
    let name = name.trim_start_matches("*.").trim_start_matches('.');
    let below = host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
    !name.is_empty() && (host == name || below)
}

/// Whether an address lies in a network of so many leading bits; `None` when one of the three is not such a thing.
fn is_within(host: &str, network: &str, bits: &str) -> Option<bool> {
    use std::net::IpAddr::{V4, V6};
    let bits: u32 = bits.parse().ok()?;
    Some(match (host.parse().ok()?, network.parse().ok()?) {
        (V4(host), V4(network)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            host.to_bits() & mask == network.to_bits() & mask
        }
        (V6(host), V6(network)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            host.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(none: &str) -> ProxyVariables {
        let secret = |text: &str| Some(Secret::new(text.to_owned()));
        ProxyVariables {
            https: secret("http://bob:p%40ss@proxy:3128/"),
            http: secret("plain:3128"),
            all: None,
            none: none.to_owned(),
        }
    }

    fn proxy(none: &str, url: &str) -> Option<String> {
        let url = RemoteUrl::parse(url).unwrap();
        let found = variables(none).on_the_way_to(&url).unwrap();
        found.map(|proxy| proxy.reveal().to_owned())
    }

    #[test]
    fn each_scheme_has_its_own_proxy_and_ssh_has_none() {
        let secure = Some("http://bob:p%40ss@proxy:3128".to_owned());
        assert_eq!(proxy("", "https://git.example.com/a/b.git"), secure);
        assert_eq!(proxy("", "http://git.example.com/a/b"), Some("http://plain:3128".to_owned()));
        for direct in ["git@git.example.com:a/b", "git://git.example.com/a", "/srv/fleet.git"] {
            assert_eq!(proxy("", direct), None, "{direct}");
        }
        for own in ["https://localhost:3000/a", "http://127.0.0.9/a", "https://[::1]:3000/a"] {
            assert_eq!(proxy("", own), None, "{own}");
        }
        let all =
            ProxyVariables { all: Some(Secret::new("all:1".to_owned())), ..Default::default() };
        let url = RemoteUrl::parse("https://git.example.com/a").unwrap();
        assert_eq!(all.on_the_way_to(&url).unwrap().unwrap().reveal(), "http://all:1");
        let socks = Some(Secret::new("socks5://u:hunter22@s:1".to_owned()));
        let socks = ProxyVariables { https: socks, ..Default::default() };
        let problem = socks.on_the_way_to(&url).unwrap_err();
        assert!(problem.contains("git.example.com") && !problem.contains("hunter22"), "{problem}");
        assert!(!format!("{:?}", variables("")).contains("p%40ss"));
    }

    #[test]
    fn no_proxy_names_hosts_domains_networks_and_ports() {
        let left_out = [
            ("*", "https://git.example.com/a"),
            ("git.example.com", "https://git.example.com/a"),
            ("other, EXAMPLE.com", "https://Git.example.com/a"),
            (".example.com", "https://git.example.com/a"),
            ("*.example.com", "https://git.example.com/a"),
            (".example.com", "https://example.com/a"),
            ("git.example.com:443", "https://git.example.com/a"),
            ("git.example.com:8443", "https://git.example.com:8443/a"),
            ("10.0.0.0/8", "https://10.20.30.40/a"),
            ("10.20.30.40", "https://10.20.30.40:8443/a"),
            ("fd00::/8", "https://[fd12::1]:8443/a"),
            ("0.0.0.0/0", "https://192.0.2.1/a"),
        ];
        for (none, url) in left_out {
            assert_eq!(proxy(none, url), None, "{none} and {url}");
        }
        let kept = [
            ("ample.com", "https://git.example.com/a"),
            ("git.example.com:8443", "https://git.example.com/a"),
            ("10.0.0.0/8", "https://11.20.30.40/a"),
            ("10.0.0.0/8", "https://git.example.com/a"),
            ("10.0.0.0/99", "https://10.20.30.40/a"),
            (", ,", "https://git.example.com/a"),
        ];
        for (none, url) in kept {
            assert!(proxy(none, url).is_some(), "{none} and {url}");
        }
    }
}
