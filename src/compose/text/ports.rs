//! The short syntax of ports: `[[IP:]HOST:]CONTAINER[/PROTOCOL]`, with ranges.

use std::net::IpAddr;

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::compose) struct Port {
    /// Address; empty for all.
    pub(in crate::compose) host_ip: String,
    /// Port or range on the host; empty lets the Engine choose.
    pub(in crate::compose) published: String,
    /// In the container.
    pub(in crate::compose) target: u32,
    /// `tcp`, `udp`, `sctp`.
    pub(in crate::compose) protocol: String,
}

/// Reads a port. The message says what is wrong with it.
///
/// Compose Specification, `ports`, "Short syntax". YAML 1.1 read `56:22` as a number to the base of sixty; that is why
/// the Specification asks for quotes. Here files are YAML 1.2, and both ways mean the port.
pub(in crate::compose) fn parse(text: &str) -> Result<Vec<Port>, String> {
    let (spec, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol {
        "" => "tcp".to_owned(),
        protocol => protocol.to_ascii_lowercase(),
    };
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("{protocol:?} is not a protocol: tcp, udp or sctp"));
    }
    let (host_ip, host, container) = split(spec)?;
    if container.is_empty() {
        return Err(format!("no container port in {text:?}"));
    }
    let (first, last) = range(container)?;
    if host.is_empty() {
        return Ok(expand(first, last, &protocol, |_| (host_ip.clone(), String::new())));
    }
    let (host_first, host_last) = range(host)?;
    if host_last - host_first != last - first {
        if first != last {
            return Err(format!("the ranges {host} and {container} are not equally long"));
        }
        let published = format!("{host_first}-{host_last}");
        return Ok(expand(first, last, &protocol, |_| (host_ip.clone(), published.clone())));
    }
    Ok(expand(first, last, &protocol, |offset| {
        (host_ip.clone(), (host_first + offset).to_string())
    }))
}

/// One line a port: `3000-3002:8000-8002` is three, and a range of the host for one port of the container is one that the Engine
/// chooses from.
fn expand(
    first: u32,
    last: u32,
    protocol: &str,
    host: impl Fn(u32) -> (String, String),
) -> Vec<Port> {
    let mut ports: Vec<Port> = (first..=last)
        .map(|target| {
            let (host_ip, published) = host(target - first);
            Port { host_ip, published, target, protocol: protocol.to_owned() }
        })
        .collect();
    ports.sort_by_key(|port| port.target.to_string());
    ports
}

/// Address, host port and container port; the address without brackets.
///
/// From the right, since an IPv6 address on the left is full of colons: `[::1]:8080:80`.
fn split(spec: &str) -> Result<(String, &str, &str), String> {
    let Some((before, container)) = spec.rsplit_once(':') else {
        return Ok((String::new(), "", spec));
    };
    if before.ends_with(']') && before.starts_with('[') {
        return Ok((address(before)?, "", container));
    }
    let Some((ip, host)) = before.rsplit_once(':') else {
        return Ok((String::new(), before, container));
    };
    Ok((address(ip)?, host, container))
}

/// An address of the host, IPv6 with or without brackets.
///
/// A name is refused as the Engine refuses it: it binds to addresses only.
fn address(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    match bare.parse::<IpAddr>() {
        Ok(_) => Ok(bare.to_owned()),
        Err(_) => Err(format!("{bare:?} is not an IP address")),
    }
}

/// A number, or two with `-` between them, the first not above the second.
fn range(text: &str) -> Result<(u32, u32), String> {
    let port = |text: &str| match text.parse::<u16>() {
        Ok(port) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(u32::from(port)),
        _ => Err(format!("{text:?} is not a port: a number from 0 to 65535")),
    };
    match text.split_once('-') {
        None => port(text).map(|port| (port, port)),
        Some((first, last)) => {
            let (first, last) = (port(first)?, port(last)?);
            if last < first {
                return Err(format!("the range {text} ends before it begins"));
            }
            Ok((first, last))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        match parse(text) {
            Ok(ports) => ports
                .iter()
                .map(|p| format!("{}|{}|{}/{}", p.host_ip, p.published, p.target, p.protocol))
                .collect::<Vec<_>>()
                .join(" "),
            Err(message) => message,
        }
    }

    #[test]
    fn ports_expand() {
        assert_eq!(said("80"), "||80/tcp");
        assert_eq!(said("127.0.0.1::80/udp"), "127.0.0.1||80/udp");
        assert_eq!(said("[::1]:1-2:3-4"), "::1|1|3/tcp ::1|2|4/tcp");
        assert_eq!(said("8000-8002:80"), "|8000-8002|80/tcp");
        assert_eq!(said("1-2:80-82"), "the ranges 1-2 and 80-82 are not equally long");
        assert_eq!(said("99999"), "\"99999\" is not a port: a number from 0 to 65535");
    }
}
