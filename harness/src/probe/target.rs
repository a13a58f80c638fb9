//! `HOST:PORT`, as the command line has it.

use std::{fmt, str::FromStr};

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("`{text}` is no HOST:PORT, such as localhost:25 or [::1]:25");
        let (host, port) = text.rsplit_once(':').ok_or_else(form)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or_else(form)?,
            // An IPv6 address needs its brackets, or nobody knows which colon is before the port.
            None if host.contains(':') => return Err(form()),
            None => host,
        };
        let port = port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(form)?;
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(form());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port() {
        for text in ["localhost:25", "127.0.0.1:2525", "[::1]:25"] {
            assert_eq!(text.parse::<Target>().expect(text).to_string(), text);
        }
        for text in [
            "localhost",
            "::1:25",
            "[::1:25",
            ":25",
            "a:0",
            "a:65536",
            "a:b",
            "",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
