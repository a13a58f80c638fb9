//! Only `<CRLF>.<CRLF>` ends the data (TC-10): whatever else looks like an end makes one message into two, and the second
//! one is the attacker's, with the sender's good name.

use crate::probe::{
    case::{Case, Need},
    cases::extensions::{all_replies, ends_service, shown},
    context::Context,
    outcome::{Checked, Stop},
};

const SOURCE: &str = "RFC 5321 §4.1.1.4, §2.3.8";
const POSTFIX_SENDMAIL_EXIM: &str =
    "RFC 5321 §4.1.1.4, §2.3.8; CVE-2023-51764, CVE-2023-51765, CVE-2023-51766";

/// A case per sequence, and for the tests the list of them.
macro_rules! no_ends {
    ($($name:literal, $source:expr, $words:literal, $octets:literal;)*) => {
        pub(super) const CASES: &[Case] = &[$(
            Case::security(
                concat!("security/end-of-data-", $name),
                $source,
                concat!($words, " does not end the data, and what follows it is no command."),
                |c| Box::pin(no_end(c, $octets)),
            )
            .needs(&[Need::Arrival]),
        )*];

        /// The cases' IDs, and what does not end the data.
        #[cfg(test)]
        pub(crate) const SEQUENCES: &[(&str, &[u8])] =
            &[$((concat!("security/end-of-data-", $name), $octets)),*];
    };
}

no_ends! {
    "lf-dot-lf", POSTFIX_SENDMAIL_EXIM, "LF . LF", b"\n.\n";
    "lf-dot-crlf", POSTFIX_SENDMAIL_EXIM, "LF . CRLF", b"\n.\r\n";
    "crlf-dot-lf", POSTFIX_SENDMAIL_EXIM, "CRLF . LF", b"\r\n.\n";
    "cr-dot-cr", SOURCE, "CR . CR", b"\r.\r";
    "cr-dot-crlf", SOURCE, "CR . CRLF", b"\r.\r\n";
    "cr-dot-lf", SOURCE, "CR . LF", b"\r.\n";
    "crlf-dot-cr", SOURCE, "CRLF . CR", b"\r\n.\r";
    "lf-dot-cr", SOURCE, "LF . CR", b"\n.\r";
    "lfcr-dot-lfcr", SOURCE, "LF CR . LF CR", b"\n\r.\n\r";
    "lf-dot-crcrlf", SOURCE, "LF . CR CRLF", b"\n.\r\r\n";
    "crlf-dot-crcrlf", SOURCE, "CRLF . CR CRLF", b"\r\n.\r\r\n";
    "crcrlf-dot-crcrlf", SOURCE, "CR CRLF . CR CRLF", b"\r\r\n.\r\r\n";
    "crlf-dot-nul-crlf", SOURCE, "CRLF . NUL CRLF", b"\r\n.\0\r\n";
    "crlf-nul-dot-crlf", SOURCE, "CRLF NUL . CRLF", b"\r\n\0.\r\n";
    "crlf-dot-cr-nul-lf", SOURCE, "CRLF . CR NUL LF", b"\r\n.\r\0\n";
    "cr-nul-lf-dot-cr-nul-lf", SOURCE, "CR NUL LF . CR NUL LF", b"\r\0\n.\r\0\n";
    "nul-dot-nul", SOURCE, "NUL . NUL", b"\0.\0";
    "crlf-dot-space-crlf", SOURCE, "CRLF . SP CRLF", b"\r\n. \r\n";
    "crlf-dot-tab-crlf", SOURCE, "CRLF . HT CRLF", b"\r\n.\t\r\n";
    "crlf-space-dot-crlf", SOURCE, "CRLF SP . CRLF", b"\r\n .\r\n";
    "crlf-dot-dot-crlf", SOURCE, "CRLF . . CRLF, a line with a dot that was quoted,", b"\r\n..\r\n";
    "vt-dot-vt", SOURCE, "VT . VT", b"\x0b.\x0b";
    "ff-dot-ff", SOURCE, "FF . FF", b"\x0c.\x0c";
    "nel-dot-nel", SOURCE, "NEL . NEL (U+0085)", b"\xc2\x85.\xc2\x85";
    "nel-octet-dot", SOURCE, "the octet 85 . 85 (NEL in ISO 8859)", b"\x85.\x85";
    "line-separator-dot", SOURCE, "U+2028 . U+2028, line separators,", b"\xe2\x80\xa8.\xe2\x80\xa8";
    "high-bit-crlf-dot", SOURCE, "CRLF . CRLF with the high bit set", b"\x8d\x8a.\x8d\x8a";
}

/// Sends a message in which `sequence` stands where a careless server ends the data, with a second transaction behind it.
/// Both are one message, which may be taken or refused; the second one must never arrive.
async fn no_end(c: &mut Context, sequence: &[u8]) -> Checked {
    let (first, second) = (c.token(), c.token());
    let mut s = c.in_data().await?;
    let (from, to) = (c.from().to_owned(), c.to().to_owned());
    let smuggled = format!(
        "MAIL FROM:<{from}>\r\nRCPT TO:<{to}>\r\nDATA\r\n{}smuggled\r\n.\r\n",
        second.header(&from, &to)
    );
    s.owe("the end of data");
    let content = [&c.message(&first, "before"), sequence, smuggled.as_bytes()].concat();
    let mut replies = all_replies(&mut s, &content).await;
    // A server that ends the session because of what it saw is right.
    if replies.last().is_some_and(ends_service) {
        replies.pop();
    }
    if replies.len() > 1 {
        return Err(Stop::failed(
            "one reply to one end of data",
            shown(&replies),
        ));
    }
    c.none_arrives(&[&second], "the smuggled message does not arrive")
        .await
}
