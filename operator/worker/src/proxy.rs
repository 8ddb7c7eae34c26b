//! The proxy that a Build names, and what is reached without it. Exceptions mean what they mean to the programs of the
//! builder, which are written in Go: a host that is excepted there is excepted here.

use std::net::IpAddr;
use std::sync::Arc;

use imagefactory_crds::build::Proxy;
use reqwest::Url;

/// Why a proxy can't be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the proxy {url:?} is not an http or https URL")]
pub struct ProxyError {
    /// As written, cut.
    url: String,
}

/// How our clients reach others: by a proxy or without. The default is without; the environment is never asked.
#[derive(Clone, Debug, Default)]
pub struct Route(Option<Arc<Proxies>>);

#[derive(Debug)]
struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    exceptions: Vec<Exception>,
}

#[derive(Debug)]
enum Exception {
    All,
    Range(IpAddr, u8),
    Address(IpAddr, Option<u16>),
    /// A domain with its subdomains, or with a dot before it the subdomains alone.
    Domain(String, Option<u16>),
}

impl Route {
    /// By these proxies.
    ///
    /// # Errors
    /// One of them is no URL of a proxy.
    pub fn by(proxy: &Proxy) -> Result<Self, ProxyError> {
        let url = |text: &str| {
            let parsed = Url::parse(text).ok();
            let usable = parsed.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            usable.ok_or_else(|| ProxyError {
                url: text.chars().take(256).collect(),
            })
        };
        let optional = |text: Option<&str>| text.map(url).transpose();
        Ok(Self(Some(Arc::new(Proxies {
            http: optional(proxy.http.as_deref())?,
            https: optional(proxy.https.as_deref())?,
            exceptions: proxy.exceptions.iter().map(|text| Exception::parse(text)).collect(),
        }))))
    }

    /// A client that goes this way.
    pub(crate) fn client(&self, builder: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
        let builder = builder.no_proxy();
        match self.intercept() {
            Some(proxy) => builder.proxy(proxy),
            None => builder,
        }
    }

    /// The same of a client that blocks.
    pub(crate) fn blocking(&self, builder: reqwest::blocking::ClientBuilder) -> reqwest::blocking::ClientBuilder {
        let builder = builder.no_proxy();
        match self.intercept() {
            Some(proxy) => builder.proxy(proxy),
            None => builder,
        }
    }

    fn intercept(&self) -> Option<reqwest::Proxy> {
        let proxies = Arc::clone(self.0.as_ref()?);
        Some(reqwest::Proxy::custom(move |url| proxies.of(url)))
    }
}

impl Proxies {
    /// The proxy for a URL, if it is not excepted.
    fn of(&self, url: &Url) -> Option<Url> {
        let proxy = match url.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        }?;
        let host = url
            .host_str()?
            .trim_matches(['[', ']'])
            .trim_end_matches('.')
            .to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        let own = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        let port = url.port_or_known_default();
        let excepted = self
            .exceptions
            .iter()
            .any(|exception| exception.holds(&host, address, port));
        (!own && !excepted).then(|| proxy.clone())
    }
}

impl Exception {
    fn parse(text: &str) -> Self {
        let text = text.trim().to_ascii_lowercase();
        if text == "*" {
            return Self::All;
        }
        if let Some((address, length)) = text.split_once('/')
            && let (Ok(address), Ok(length)) = (address.parse(), length.parse())
        {
            return Self::Range(address, length);
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse() {
            return Self::Address(address, None);
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => (host, port.parse().ok()),
            _ => (text.as_str(), None),
        };
        match host.trim_matches(['[', ']']).parse() {
            Ok(address) => Self::Address(address, port),
            Err(_) => Self::Domain(host.strip_prefix('*').unwrap_or(host).to_owned(), port),
        }
    }

    fn holds(&self, host: &str, address: Option<IpAddr>, port: Option<u16>) -> bool {
        match self {
            Self::All => true,
            Self::Range(network, length) => address.is_some_and(|address| in_range(address, *network, *length)),
            Self::Address(own, at) => address == Some(*own) && at.is_none_or(|at| port == Some(at)),
            Self::Domain(domain, at) => {
                let below = match domain.strip_prefix('.') {
                    Some(_) => host.ends_with(domain.as_str()),
                    None => {
                        host == domain
                            || host
                                .strip_suffix(domain.as_str())
                                .is_some_and(|rest| rest.ends_with('.'))
                    }
                };
                below && at.is_none_or(|at| port == Some(at))
            }
        }
    }
}

fn in_range(address: IpAddr, network: IpAddr, length: u8) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let ((address, family), (network, other)) = (bits(address), bits(network));
    if family != other || u32::from(length) > family {
        return false;
    }
    let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
    address & mask == network & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(exceptions: &[&str]) -> Arc<Proxies> {
        let proxy = Proxy {
            http: Some("http://plain.example.com:3128".into()),
            https: Some("http://secure.example.com:3128".into()),
            exceptions: exceptions.iter().map(|text| (*text).into()).collect(),
        };
        Route::by(&proxy).unwrap().0.unwrap()
    }

    fn by_proxy(exceptions: &[&str], url: &str) -> bool {
        proxies(exceptions).of(&Url::parse(url).unwrap()).is_some()
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let host = |url: &str| {
            let proxy = proxies(&[]).of(&Url::parse(url).unwrap());
            proxy.and_then(|proxy| proxy.host_str().map(str::to_owned))
        };
        assert_eq!(host("https://git.example.org/a").as_deref(), Some("secure.example.com"));
        assert_eq!(host("http://git.example.org/a").as_deref(), Some("plain.example.com"));
        for own in ["http://localhost:5000", "https://127.0.0.1", "https://[::1]:8443"] {
            assert_eq!(host(own), None, "{own}");
        }
    }

    #[test]
    fn what_is_excepted_is_reached_without_a_proxy() {
        for (exception, url, by) in [
            ("example.org", "https://example.org", false),
            ("example.org", "https://a.example.org", false),
            ("example.org", "https://badexample.org", true),
            (".example.org", "https://example.org", true),
            (".example.org", "https://a.example.org", false),
            ("*.example.org", "https://a.example.org", false),
            ("Example.org:8443", "https://example.org:8443", false),
            ("example.org:8443", "https://example.org", true),
            ("10.0.0.0/8", "https://10.1.2.3", false),
            ("10.0.0.0/8", "https://11.1.2.3", true),
            ("0.0.0.0/0", "https://11.1.2.3", false),
            ("10.0.0.0/8", "https://[2001:db8::1]", true),
            ("2001:db8::/32", "https://[2001:db8::1]", false),
            ("10.0.0.1", "https://10.0.0.1:5000", false),
            ("10.0.0.1:80", "https://10.0.0.1", true),
            ("10.0.0.0/99", "https://10.0.0.1", true),
            ("*", "https://anything.example", false),
        ] {
            assert_eq!(by_proxy(&[exception], url), by, "{exception} {url}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        for url in ["proxy", "socks5://proxy", "http://", ""] {
            let proxy = Proxy {
                http: Some(url.into()),
                ..Proxy::default()
            };
            assert!(Route::by(&proxy).is_err(), "{url:?}");
        }
    }
}
