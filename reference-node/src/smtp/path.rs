//! Paths: `<` source route, mailbox `>` (RFC 5321 §4.1.2, §4.1.3).
//!
//! Comes in: the text after `FROM:` or `TO:`. Goes out: the mailbox, as it was written, without the
//! angle brackets and the source route. Called by [`parameter`](super::parameter).

use std::net::{Ipv4Addr, Ipv6Addr};

/// RFC 5321 §4.5.3.1.3: octets of a path, punctuation counted.
const MAX_PATH: usize = 256;
/// RFC 5321 §4.5.3.1.1: octets of a local part.
const MAX_LOCAL_PART: usize = 64;
/// RFC 5321 §4.5.3.1.2: octets of a domain.
const MAX_DOMAIN: usize = 255;
/// RFC 1035 §2.3.4: octets of a label.
const MAX_LABEL: usize = 63;

/// What is wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPath {
    #[error("the path must stand in angle brackets, with no space before")]
    Brackets,
    #[error("a space must follow the path")]
    AfterPath,
    #[error("the path is longer than {MAX_PATH} octets")]
    TooLong,
    #[error("the source route is wrong")]
    SourceRoute,
    #[error("the local part is wrong")]
    LocalPart,
    #[error("the local part is longer than {MAX_LOCAL_PART} octets")]
    LocalPartTooLong,
    #[error("the domain is missing")]
    NoDomain,
    #[error("the domain is wrong")]
    Domain,
    #[error("the path is empty")]
    Empty,
    #[error("a non-ASCII address needs SMTPUTF8")]
    NonAscii,
}

/// Splits `<path> parameters` into the path and what follows it, with the space that must be there.
pub(crate) fn split(text: &str) -> Result<(&str, &str), BadPath> {
    let inner = text.strip_prefix('<').ok_or(BadPath::Brackets)?;
    let mut quoted = false;
    let mut escaped = false;
    for (at, octet) in inner.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => {
                let rest = &inner[at + 1..];
                return if rest.is_empty() || rest.starts_with(' ') {
                    Ok((&inner[..at], rest))
                } else {
                    Err(BadPath::AfterPath)
                };
            }
            _ => {}
        }
    }
    Err(BadPath::Brackets)
}

/// The return path within angle brackets: a mailbox, or empty (RFC 5321 §4.5.5).
pub(crate) fn reverse(path: &str, smtputf8: bool) -> Result<&str, BadPath> {
    if path.is_empty() {
        Ok(path)
    } else {
        mailbox(path, smtputf8)
    }
}

/// A recipient within angle brackets: a mailbox, or `postmaster` alone (RFC 5321 §4.1.1.3).
pub(crate) fn forward(path: &str, smtputf8: bool) -> Result<&str, BadPath> {
    match path {
        "" => Err(BadPath::Empty),
        _ if path.eq_ignore_ascii_case("postmaster") => Ok(path),
        _ => mailbox(path, smtputf8),
    }
}

fn mailbox(path: &str, smtputf8: bool) -> Result<&str, BadPath> {
    if path.len() + 2 > MAX_PATH {
        return Err(BadPath::TooLong);
    }
    // RFC 6531 §3.4: only a MAIL with SMTPUTF8 allows it.
    if !smtputf8 && !path.is_ascii() {
        return Err(BadPath::NonAscii);
    }
    let mailbox = without_source_route(path)?;
    let local_end = if mailbox.starts_with('"') {
        quoted_string_end(mailbox).ok_or(BadPath::LocalPart)?
    } else {
        let end = mailbox.find('@').unwrap_or(mailbox.len());
        if !is_dot_string(&mailbox[..end]) {
            return Err(BadPath::LocalPart);
        }
        end
    };
    if local_end > MAX_LOCAL_PART {
        return Err(BadPath::LocalPartTooLong);
    }
    let rest = &mailbox[local_end..];
    match rest.strip_prefix('@') {
        None if rest.is_empty() => Err(BadPath::NoDomain),
        None => Err(BadPath::LocalPart),
        Some(domain) if is_domain(domain) || is_address_literal(domain) => Ok(mailbox),
        Some(_) => Err(BadPath::Domain),
    }
}

/// RFC 5321 §4.1.1.3, appendix C: a source route is accepted and ignored.
fn without_source_route(path: &str) -> Result<&str, BadPath> {
    if !path.starts_with('@') {
        return Ok(path);
    }
    let (route, mailbox) = path.split_once(':').ok_or(BadPath::SourceRoute)?;
    let known = |hop: &str| hop.strip_prefix('@').is_some_and(is_domain);
    if route.split(',').all(known) {
        Ok(mailbox)
    } else {
        Err(BadPath::SourceRoute)
    }
}

/// Where the quoted string at the beginning of `text` ends (the octet after its closing quote).
fn quoted_string_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            ' '..='~' if escaped => escaped = false,
            '\\' if !escaped => escaped = true,
            '"' => return Some(at + 1),
            ' '..='~' => {}
            _ if !escaped && is_utf8_extra(c) => {}
            _ => return None,
        }
    }
    None
}

/// The name by which a mailbox is known: in lower case, and without quotes that its local part does not need. RFC 5321 §4.1.2:
/// all quoted forms are equivalent.
pub(crate) fn mailbox_key(path: &str) -> String {
    let known = match quoted_string_end(path).filter(|_| path.starts_with('"')) {
        None => path.to_owned(),
        Some(end) => {
            let mut local = String::new();
            let mut escaped = false;
            for c in path[1..end - 1].chars() {
                escaped = c == '\\' && !escaped;
                if !escaped {
                    local.push(c);
                }
            }
            if !is_dot_string(&local) {
                let quoted = local.replace('\\', "\\\\").replace('"', "\\\"");
                local = format!("\"{quoted}\"");
            }
            local + &path[end..]
        }
    };
    known.to_ascii_lowercase()
}

fn is_dot_string(text: &str) -> bool {
    text.split('.')
        .all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// RFC 5322 §3.2.3, RFC 6532 §3.2
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_utf8_extra(c)
}

/// Non-ASCII that an internationalized address may have; the caller has seen to SMTPUTF8.
fn is_utf8_extra(c: char) -> bool {
    !c.is_ascii() && !c.is_control()
}

/// RFC 5321 §4.1.2 `Domain`, with U-labels where non-ASCII is allowed (RFC 6531 §3.3).
pub(crate) fn is_domain(text: &str) -> bool {
    text.len() <= MAX_DOMAIN
        && text.split('.').all(|label| {
            let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || is_utf8_extra(c);
            !label.is_empty()
                && label.len() <= MAX_LABEL
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(inner)
        })
}

/// RFC 5321 §4.1.3
pub(crate) fn is_address_literal(text: &str) -> bool {
    let Some(inner) = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
    else {
        return false;
    };
    match inner.split_once(':') {
        None => inner.parse::<Ipv4Addr>().is_ok(),
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6") => {
            address.parse::<Ipv6Addr>().is_ok()
        }
        // General-address-literal: a Standardized-tag that we do not know.
        Some((tag, content)) => {
            let dcontent = |c: char| matches!(c, '!'..='Z' | '^'..='~');
            is_domain(tag)
                && !tag.contains('.')
                && !content.is_empty()
                && content.chars().all(dcontent)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_forms_are_one_mailbox() {
        for (path, key) in [
            ("Bob@X.example", "bob@x.example"),
            ("\"bob\"@x.example", "bob@x.example"),
            ("\"\\b\\o\\b\"@x.example", "bob@x.example"),
            ("\"a b\"@x.example", "\"a b\"@x.example"),
            ("\"\\a\\ b\"@x.example", "\"a b\"@x.example"),
            ("\"a\\\"\\\\b\"@x.example", "\"a\\\"\\\\b\"@x.example"),
            ("\"\"@x.example", "\"\"@x.example"),
            ("\"a@b\"@x.example", "\"a@b\"@x.example"),
            ("Postmaster", "postmaster"),
        ] {
            assert_eq!(mailbox_key(path), key, "{path}");
        }
    }

    #[test]
    fn paths_that_are_accepted() {
        let long_local = format!("{}@example.org", "l".repeat(64));
        for (path, mailbox) in [
            ("a@example.org", "a@example.org"),
            ("a.b+c@x.example.org", "a.b+c@x.example.org"),
            (
                "!#$%&'*+-/=?^_`{|}~@example.org",
                "!#$%&'*+-/=?^_`{|}~@example.org",
            ),
            (r#""a b>c@d"@example.org"#, r#""a b>c@d"@example.org"#),
            (r#""a\"b\\"@example.org"#, r#""a\"b\\"@example.org"#),
            (r#"""@example.org"#, r#"""@example.org"#),
            ("a@[192.0.2.1]", "a@[192.0.2.1]"),
            ("a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"),
            ("a@[x-tag:some.thing]", "a@[x-tag:some.thing]"),
            (
                "@relay.example,@other.example:a@example.org",
                "a@example.org",
            ),
            ("a@localhost", "a@localhost"),
            (&long_local, &long_local),
        ] {
            let line = format!("<{path}> SIZE=1");
            assert_eq!(split(&line), Ok((path, " SIZE=1")), "{path}");
            assert_eq!(forward(path, false), Ok(mailbox), "{path}");
            assert_eq!(reverse(path, false), Ok(mailbox), "{path}");
        }
        assert_eq!(reverse("", false), Ok(""));
        assert_eq!(forward("PostMaster", false), Ok("PostMaster"));
        assert_eq!(
            forward("käthe@müller.example", true),
            Ok("käthe@müller.example")
        );
    }

    #[test]
    fn paths_that_are_refused() {
        let long_local = format!("{}@example.org", "l".repeat(65));
        let long_path = format!("a@{}", vec!["d".repeat(62); 5].join("."));
        for (path, error) in [
            ("a", BadPath::NoDomain),
            ("a@", BadPath::Domain),
            ("@example.org", BadPath::SourceRoute),
            ("@bad_route:a@example.org", BadPath::SourceRoute),
            ("@relay.example:", BadPath::LocalPart),
            (".a@example.org", BadPath::LocalPart),
            ("a..b@example.org", BadPath::LocalPart),
            ("a b@example.org", BadPath::LocalPart),
            (r#""a"b@example.org"#, BadPath::LocalPart),
            (r#""a@example.org"#, BadPath::LocalPart),
            ("a@b@example.org", BadPath::Domain),
            ("a@-example.org", BadPath::Domain),
            ("a@example-.org", BadPath::Domain),
            ("a@example..org", BadPath::Domain),
            ("a@exam_ple.org", BadPath::Domain),
            ("a@[192.0.2.256]", BadPath::Domain),
            ("a@[IPv6:::g]", BadPath::Domain),
            ("a@[]", BadPath::Domain),
            ("käthe@example.org", BadPath::NonAscii),
            (&long_local, BadPath::LocalPartTooLong),
            (&long_path, BadPath::TooLong),
        ] {
            assert_eq!(forward(path, false), Err(error), "{path}");
            assert_eq!(reverse(path, false), Err(error), "{path}");
        }
        assert_eq!(forward("", false), Err(BadPath::Empty));
        assert_eq!(reverse("postmaster", false), Err(BadPath::NoDomain));
        assert_eq!(
            forward("a\u{85}b@example.org", true),
            Err(BadPath::LocalPart)
        );
    }

    #[test]
    fn a_path_needs_its_brackets() {
        assert_eq!(split("a@b"), Err(BadPath::Brackets));
        assert_eq!(split(" <a@b>"), Err(BadPath::Brackets));
        assert_eq!(split("<a@b"), Err(BadPath::Brackets));
        assert_eq!(split(r#"<"a>@b"#), Err(BadPath::Brackets));
        assert_eq!(split("<a@b>SIZE=1"), Err(BadPath::AfterPath));
        assert_eq!(split("<>"), Ok(("", "")));
    }
}
