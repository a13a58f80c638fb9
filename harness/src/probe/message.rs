//! Test messages that can be found again, and what was delivered of them.

use crate::workload::dialogue::stuff;

/// The header field that names a test message.
pub const TOKEN_FIELD: &str = "X-Gauntlet-Probe";

/// The name of one test message, unique over all probes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(String);

impl Token {
    /// A token of this text; it should be letters, digits and hyphens.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A header section of a well formed message (RFC 5322), with the empty line after it.
    pub fn header(&self, from: &str, to: &str) -> String {
        let token = &self.0;
        format!(
            "From: <{from}>\r\nTo: <{to}>\r\nSubject: gauntlet probe {token}\r\n\
             Date: Mon, 01 Jan 2024 00:00:00 +0000\r\nMessage-ID: <{token}@gauntlet.invalid>\r\n\
             {TOKEN_FIELD}: {token}\r\n\r\n"
        )
    }

    /// A well formed message with this body.
    pub fn message(&self, from: &str, to: &str, body: &str) -> Vec<u8> {
        format!("{}{body}", self.header(from, to)).into_bytes()
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Content as DATA transfers it: dots doubled at the beginning of lines, then the end of data (RFC 5321 §4.5.2).
pub fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut out = stuff(content);
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

/// A message that was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Its octets. A maildir may have LF for CRLF.
    pub content: Vec<u8>,
    /// The return path, where the proof shows it: without brackets.
    pub from: Option<String>,
    /// The envelope's recipients, where the proof shows them.
    pub recipients: Vec<String>,
}

impl Arrived {
    /// The header section and the body, with LF for CRLF. Trace fields and all.
    pub fn parts(&self) -> (String, Vec<u8>) {
        let content = with_line_feeds(&self.content);
        let end = content
            .windows(2)
            .position(|two| two == b"\n\n")
            .map_or(content.len(), |at| at + 1);
        let header = String::from_utf8_lossy(&content[..end]).into_owned();
        let body = content.get(end + 1..).unwrap_or_default().to_vec();
        (header, body)
    }

    /// The header fields, unfolded, in order: name and value.
    pub fn fields(&self) -> Vec<(String, String)> {
        let (header, _) = self.parts();
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in header.lines() {
            match (line.starts_with([' ', '\t']), fields.last_mut()) {
                (true, Some((_, value))) => {
                    value.push(' ');
                    value.push_str(line.trim());
                }
                _ => {
                    let (name, value) = line.split_once(':').unwrap_or((line, ""));
                    fields.push((name.trim().to_owned(), value.trim().to_owned()));
                }
            }
        }
        fields
    }

    /// The values of a header field.
    pub fn field(&self, name: &str) -> Vec<String> {
        let mut fields = self.fields();
        fields.retain(|(n, _)| n.eq_ignore_ascii_case(name));
        fields.into_iter().map(|(_, value)| value).collect()
    }

    /// Whether it is the test message of that token: its own header section says so. A notification that quotes it is not.
    pub fn is(&self, token: &Token) -> bool {
        self.field(TOKEN_FIELD)
            .iter()
            .any(|value| value == token.as_str())
    }

    /// Whether the token stands anywhere in it, and not as the beginning of a longer one.
    pub fn mentions(&self, token: &Token) -> bool {
        let token = token.as_str().as_bytes();
        memchr::memmem::find_iter(&self.content, token).any(|at| {
            let next = self.content.get(at + token.len());
            !next.is_some_and(u8::is_ascii_alphanumeric)
        })
    }
}

/// CRLF becomes LF; a CR of its own stays.
pub fn with_line_feeds(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    for (at, octet) in octets.iter().enumerate() {
        if *octet != b'\r' || octets.get(at + 1) != Some(&b'\n') {
            out.push(*octet);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_doubled_where_a_line_begins() {
        assert_eq!(stuffed(b".a\r\n..\r\nb.\r\n"), b"..a\r\n...\r\nb.\r\n.\r\n");
        assert_eq!(stuffed(b"a"), b"a\r\n.\r\n");
        assert_eq!(stuffed(b""), b".\r\n");
        assert_eq!(
            stuffed(b"a\n.b\r\n"),
            b"a\n.b\r\n.\r\n",
            "an LF of its own begins no line"
        );
    }

    #[test]
    fn a_message_is_known_by_its_own_header_section() {
        let (token, other) = (Token::new("t1"), Token::new("u-12"));
        let mut content = b"Received: from x\r\n\tby y\r\n".to_vec();
        content.extend(token.message("a@x", "b@y", &other.header("a@x", "b@y")));
        let arrived = Arrived {
            content,
            from: None,
            recipients: Vec::new(),
        };
        assert!(arrived.is(&token) && !arrived.is(&other) && arrived.mentions(&other));
        let beginning = Token::new("u-1");
        assert!(!arrived.is(&beginning) && !arrived.mentions(&beginning));
        assert_eq!(arrived.field("received"), ["from x by y"]);
        let (header, body) = arrived.parts();
        assert!(header.ends_with("X-Gauntlet-Probe: t1\n"), "{header}");
        assert!(body.starts_with(b"From: <a@x>\n"));
    }
}
