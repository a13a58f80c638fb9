//! The lies: each makes a server of the reference node that breaks the clauses next to it.
//!
//! Together they break every clause of RFC 5321 that the probe has a case for, so that each case is seen to fail.

use std::cell::RefCell;

use crate::proxy::Lies;

/// A server that breaks clauses.
pub(crate) struct Liar {
    /// What it does.
    pub(crate) name: &'static str,
    /// Between the probe and the node.
    pub(crate) front: Lies,
    /// Between the node and the probe's sink.
    pub(crate) back: Lies,
    /// The cases that must fail, each for a lie of this one.
    pub(crate) fails: &'static [&'static str],
}

pub(crate) const LIARS: &[Liar] = &[
    Liar {
        name: "replies have a bad form",
        front: Lies {
            reply: bad_form,
            ..Lies::NONE
        },
        back: Lies::NONE,
        fails: &[
            "rfc5321/4.2/reply-codes",
            "rfc5321/4.2/reply-text-is-ascii",
            "rfc5321/4.2.1/one-code-in-a-multiline-reply",
            "rfc5321/4.2.1/space-after-the-code",
            "rfc5321/4.2/listed-codes-only",
            "rfc5321/4.5.3.1.5/reply-line-length",
            "rfc5321/4.1.1.1/ehlo-keywords",
            "rfc5321/4.1.1.1/ehlo",
            "rfc5321/3.2/helo-is-not-extended",
            "rfc5321/4.1.1.1/ehlo-names-optional-commands",
            "rfc5321/4.2.4/offered-commands-are-implemented",
        ],
    },
    Liar {
        name: "refuses what is right",
        front: Lies {
            reply: refuses,
            ..Lies::NONE
        },
        back: Lies::NONE,
        fails: &[
            "rfc5321/4.1.1.1/helo",
            "rfc5321/4.1.3/ehlo-ipv6-literal",
            "rfc5321/4.1.4/ehlo-name-that-is-not-the-client-s",
            "rfc5321/4.1.1.9/noop-argument",
            "rfc5321/4.1.1.8/help",
            "rfc5321/4.1.1.6/vrfy",
            "rfc5321/3.5.2/expn",
            "rfc5321/4.5.5/null-return-path",
            "rfc5321/4.5.1/postmaster",
            "rfc5321/4.5.1/postmaster-in-any-case",
            "rfc5321/4.5.1/postmaster-of-the-domain",
            "rfc5321/4.1.2/quoted-forms-are-equivalent",
            "rfc5321/4.1.2/quoted-local-part",
            "rfc5321/4.1.2/atoms",
            "rfc5321/4.1.3/ipv4-literal",
            "rfc5321/4.1.3/ipv6-literal",
            "rfc5321/4.1.1.3/source-route",
            "rfc5321/4.1.2/source-route-in-mail",
            "rfc5321/4.1.1.3/source-route-is-ignored",
            "rfc5321/4.5.3.1.1/local-part",
            "rfc5321/4.5.3.1.2/domain",
            "rfc5321/4.5.3.1.3/path",
            "rfc5321/4.5.3.1.4/command-line",
            "rfc5321/4.1.1/trailing-space",
            "rfc5321/4.1.4/noop-before-hello",
            "rfc5321/4.1.4/rset-before-hello",
            "rfc5321/4.1.4/help-before-hello",
            "rfc5321/4.1.4/vrfy-before-hello",
            "rfc5321/4.1.4/expn-before-hello",
            "rfc5321/4.1.1.10/quit-before-hello",
            "rfc5321/3.6.2/relay-refusal",
            "rfc5321/4.5.3.1.10/too-many-recipients",
            "rfc5321/3.5.3/vrfy-verifies",
            "rfc5321/4.2.5/refused-recipient-gets-nothing",
            "rfc5321/4.1.4/bad-mail-is-501",
            "rfc5321/4.1.4/mail-before-hello",
            "rfc5321/4.1.4/ehlo-refused-with-a-code-of-its-own",
        ],
    },
    Liar {
        name: "takes what is wrong",
        front: Lies {
            reply: takes,
            command: bare_cr,
            ..Lies::NONE
        },
        back: Lies::NONE,
        fails: &[
            "rfc5321/3.3/rcpt-before-mail",
            "rfc5321/3.3/data-before-mail",
            "rfc5321/3.3/data-without-recipients",
            "rfc5321/4.1.1.1/ehlo-needs-an-argument",
            "rfc5321/4.1.1.4/transaction-ends-with-its-data",
            "rfc5321/4.1.1.5/rset-ends-the-transaction",
            "rfc5321/4.1.4/ehlo-resets",
            "rfc5321/4.1.1.1/helo-resets",
            "rfc5321/4.1.1.11/unknown-mail-parameter",
            "rfc5321/4.1.1.11/unknown-rcpt-parameter",
            "rfc5321/4.1.2/control-characters-in-a-path",
            "rfc5321/4.1.2/invalid-domain-characters",
            "rfc5321/3.3/no-space-after-the-colon",
            "rfc5321/4.1.2/angle-brackets",
            "rfc5321/4.1.1.3/null-recipient",
            "rfc5321/4.2.4/unknown-command",
            "rfc5321/4.1.5/unknown-private-command",
            "rfc5321/4.2/unknown-command-is-refused",
            "rfc5321/4.2/empty-line",
            "rfc5321/2.4/non-ascii-command",
            "rfc5321/4.3.2/data-with-an-argument",
            "rfc5321/4.3.2/rset-with-an-argument",
            "rfc5321/4.3.2/quit-with-an-argument",
            "rfc5321/4.1.1.6/vrfy-needs-an-argument",
            "rfc5321/2.3.8/bare-lf-ends-no-command",
            "rfc5321/4.1.4/second-mail",
            "rfc5321/3.3/content-without-recipients-is-not-taken",
            "rfc5321/2.3.8/bare-cr-ends-no-command",
        ],
    },
    Liar {
        name: "does something else than it was told",
        front: Lies {
            command: something_else,
            ..Lies::NONE
        },
        back: Lies::NONE,
        fails: &[
            "rfc5321/4.1.1.5/rset-keeps-the-session",
            "rfc5321/4.1.1.9/noop-in-a-transaction",
            "rfc5321/4.1.1.6/vrfy-in-a-transaction",
            "rfc5321/4.1.1.7/expn-in-a-transaction",
            "rfc5321/4.1.1.8/help-in-a-transaction",
            "rfc5321/2.4/ehlo-keywords-in-any-case",
            "rfc5321/2.4/domain-in-any-case",
            "rfc5321/2.4/verbs-in-any-case",
        ],
    },
    Liar {
        name: "greets badly, and talks too much",
        front: Lies {
            reply: talks,
            ..Lies::NONE
        },
        back: Lies::NONE,
        fails: &[
            "rfc5321/4.2/reply-lines-end-with-crlf",
            "rfc5321/4.2/greeting-names-the-host",
            "rfc5321/4.2/greeting-form",
            "rfc5321/4.2/one-reply-per-command",
            "rfc5321/4.1.1.4/no-reply-before-the-end-of-data",
            "rfc5321/4.1.1.10/quit-after-half-a-session",
        ],
    },
    Liar {
        name: "greets twice",
        front: Lies {
            reply: |command, line| match command {
                FIRST => format!("{line}220 again\r\n"),
                _ => line.to_owned(),
            },
            ..Lies::NONE
        },
        back: Lies::NONE,
        fails: &["rfc5321/4.2/one-greeting"],
    },
    Liar {
        name: "takes pieces of lines for lines",
        front: Lies {
            pieces_are_lines: true,
            ..Lies::NONE
        },
        back: Lies::NONE,
        fails: &[
            "rfc5321/4.3.1/no-reply-before-the-command-s-end",
            "rfc5321/4.1.1/command-in-pieces",
            "rfc5321/4.1.1.4/end-of-data-in-pieces",
            "rfc5321/4.5.2/dot-at-segment-borders",
        ],
    },
    Liar {
        name: "never hangs up",
        front: Lies {
            stays_open: true,
            ..Lies::NONE
        },
        back: Lies::NONE,
        fails: &[
            "rfc5321/4.1.1.10/quit-closes",
            "rfc5321/4.1.1.10/quit-in-a-transaction",
        ],
    },
    Liar {
        name: "hangs up at a bad command",
        front: Lies {
            command: |line| {
                let bad = ["GAUNTLETPROBE", "MAILFROM", "RCPT TO:<>"];
                if bad.iter().any(|bad| line.starts_with(bad)) {
                    "QUIT\r\n".into()
                } else {
                    line.to_owned()
                }
            },
            ..Lies::NONE
        },
        back: Lies::NONE,
        fails: &[
            "rfc5321/3.8/bad-commands-do-not-end-the-session",
            "rfc5321/3.8/session-survives-a-refused-message",
        ],
    },
    Liar {
        name: "refuses senders and plain commands",
        front: Lies {
            reply: |command, line| match command {
                "NOOP" | "RSET" | "QUIT" => code("500", line),
                "VRFY BOB@PROBE.EXAMPLE" => "250 yes\r\n".into(),
                _ if command.starts_with("MAIL FROM:<ANN") => code("550", line),
                _ => line.to_owned(),
            },
            ..Lies::NONE
        },
        back: Lies::NONE,
        fails: &[
            "rfc5321/4.1.1.2/mail",
            "rfc5321/4.1.1.9/noop",
            "rfc5321/4.1.1.5/rset",
            "rfc5321/4.1.1.10/quit",
            "rfc5321/3.5.2/vrfy-names-the-mailbox",
        ],
    },
    Liar {
        name: "refuses recipients and a second EHLO",
        front: Lies {
            reply: |command, line| match command {
                "RCPT TO:<BOB@PROBE.EXAMPLE>" => code("550", line),
                "EHLO [127.0.0.1]" => code("503", line),
                _ => line.to_owned(),
            },
            ..Lies::NONE
        },
        back: Lies::NONE,
        fails: &["rfc5321/4.1.1.3/rcpt"],
    },
    Liar {
        name: "refuses DATA",
        front: Lies {
            reply: |command, line| match command {
                "DATA" => code("554", line),
                _ => line.to_owned(),
            },
            ..Lies::NONE
        },
        back: Lies::NONE,
        fails: &[
            "rfc5321/4.1.1.4/data",
            "rfc5321/4.1.1.3/several-recipients",
            "rfc5321/4.5.3.1.10/accepted-recipients-stay",
        ],
    },
    Liar {
        name: "refuses messages",
        front: Lies {
            reply: |command, line| match command {
                "." => code("554", line),
                _ => line.to_owned(),
            },
            content: |line| match line {
                b".one\r\n" => b"..one\r\n".to_vec(),
                _ => line.to_vec(),
            },
            ..Lies::NONE
        },
        back: Lies::NONE,
        fails: &[
            "rfc5321/3.2/helo-transaction",
            "rfc5321/3.3/defects-in-the-header",
            "rfc5321/3.3/resent-fields-that-do-not-match",
            "rfc5321/3.7.2/strange-trace-fields",
            "rfc5321/4.1.1.4/header-section-only",
            "rfc5321/4.1.4/several-transactions",
            "rfc5321/6.3/hundred-received-fields",
        ],
    },
    Liar {
        name: "does what it refuses",
        front: Lies {
            command: |line| match line {
                "EHLO\r\n" | "RCPT TO:<unclosed@gauntlet.invalid\r\n" => "RSET\r\n".into(),
                "MAIL FROM:\r\n" => "MAIL FROM:<>\r\n".into(),
                _ => line.to_owned(),
            },
            reply: |command, line| match command {
                "EHLO" | "RCPT TO:<UNCLOSED@GAUNTLET.INVALID" | "MAIL FROM:" => code("501", line),
                "." if line.starts_with('5') => code("354", line),
                _ => line.to_owned(),
            },
            content: |line| match line {
                b".one\r\n" => b"..one\r\n".to_vec(),
                _ => twice(line),
            },
            ..Lies::NONE
        },
        back: Lies::NONE,
        fails: &[
            "rfc5321/4.1.4/refused-ehlo-changes-nothing",
            "rfc5321/4.1.4/bad-rcpt-keeps-the-transaction",
            "rfc5321/4.1.4/bad-mail-opens-no-transaction",
            "rfc5321/4.5.2/dots-that-are-not-doubled",
            "rfc5321/3.3/one-copy",
        ],
    },
    Liar {
        name: "takes no more than a few recipients, and one EHLO",
        front: Lies {
            command: |line| match line {
                // The second recipient of a transaction in which one is refused, and every hundredth of many.
                "RCPT TO:<cat@probe.example>\r\n" => "RCPT TO:<nobody@nowhere.example>\r\n".into(),
                _ => line.to_owned(),
            },
            reply: |command, line| match command {
                "EHLO [127.0.0.1]" => code("503", line),
                "." => code("354", line),
                _ if command.starts_with("RCPT") && command.contains("NOBODY") => code("550", line),
                "DATA" => code("554", line),
                _ => line.to_owned(),
            },
            ..Lies::NONE
        },
        back: Lies::NONE,
        fails: &[
            "rfc5321/4.1.4/second-ehlo",
            "rfc5321/4.5.3.1.8/hundred-recipients",
            "rfc5321/3.3/one-refused-recipient-of-several",
        ],
    },
    Liar {
        name: "does not see the end of an empty message",
        front: Lies {
            reply: |command, line| match command {
                "." => code("354", line),
                _ => line.to_owned(),
            },
            ..Lies::NONE
        },
        back: Lies::NONE,
        fails: &["rfc5321/4.1.1.4/empty-content"],
    },
    Liar {
        name: "loses mail",
        front: Lies::NONE,
        back: Lies {
            content: lost,
            ..Lies::NONE
        },
        fails: &[
            "rfc5321/4.2.5/accepted-mail-arrives",
            "rfc5321/4.1.1.10/accepted-mail-arrives-without-quit",
            "rfc5321/3.2/helo-mail-arrives",
            "rfc5321/4.1.4/transactions-are-not-mixed",
        ],
    },
    Liar {
        name: "delivers to somebody else",
        front: Lies::NONE,
        back: Lies {
            command: |line| line.replace("bob@", "cat@"),
            ..Lies::NONE
        },
        fails: &["rfc5321/4.1.1.5/recipients-from-before-rset"],
    },
    Liar {
        name: "changes content",
        front: Lies::NONE,
        back: Lies {
            content: changed_content,
            ..Lies::NONE
        },
        fails: &[
            "rfc5321/4.5.2/dot-stuffing",
            "rfc5321/4.5.2/spaces-and-tabs",
            "rfc5321/4.5.2/control-characters",
            "rfc5321/4.5.2/empty-lines-at-the-end",
            "rfc5321/4.5.3.1.6/text-line",
            "rfc5321/4.5.3.1.6/text-line-with-a-dot",
            "rfc5321/4.5.3.1.7/message-content",
            "rfc5321/3.6.3/from-lines",
            "rfc5321/3.6.3/header-fields-in-order",
            "rfc5321/3.6.3/folded-header-fields",
            "rfc5321/4.1.1.4/commands-in-content",
            "rfc5321/4.1.1.4/no-line-is-added",
            "rfc5321/4.4/received-is-added",
            "rfc5321/4.4/received-fields-stay",
        ],
    },
    Liar {
        name: "writes bad trace fields",
        front: Lies::NONE,
        back: Lies {
            content: bad_trace,
            ..Lies::NONE
        },
        fails: &[
            "rfc5321/4.4/received-form",
            "rfc5321/4.4/received-names-the-client",
            "rfc5321/4.4/received-has-the-address",
            "rfc5321/4.4/received-date-has-an-offset",
        ],
    },
    Liar {
        name: "changes envelopes",
        front: Lies::NONE,
        back: Lies {
            command: changed_envelope,
            ..Lies::NONE
        },
        fails: &[
            "rfc5321/2.4/local-part-s-case-stays",
            "rfc5321/4.5.5/null-return-path-stays",
            "rfc5321/4.4/return-path-is-passed-on",
            "rfc5321/3.3/every-recipient-gets-it",
        ],
    },
    Liar {
        name: "delivers what never ended",
        front: Lies {
            completes_cut_content: true,
            ..Lies::NONE
        },
        back: Lies::NONE,
        fails: &[
            "rfc5321/4.1.1.4/closed-before-the-end-of-data",
            "rfc5321/4.1.1.4/half-closed-before-the-end-of-data",
            "rfc5321/4.1.1.4/closed-within-the-end-of-data",
            "rfc5321/4.1.1.4/quit-is-no-end-of-data",
        ],
    },
];

/// Any reply's first line gets this code; further lines are left out.
fn code(code: &str, line: &str) -> String {
    if line.as_bytes().get(3) == Some(&b'-') {
        String::new()
    } else {
        format!("{code} {}", line.get(4..).unwrap_or("\r\n"))
    }
}

/// The first EHLO of a session has this before it.
const FIRST: &str = "(before EHLO) ";

fn talks(command: &str, line: &str) -> String {
    match command.trim_start_matches(FIRST) {
        "" => "220 !nobody\n".into(),
        "NOOP" => format!("{line}250 again\r\n"),
        "DATA" if line.starts_with("354") => format!("{line}250 thank you\r\n"),
        "QUIT" => format!("{line}250 and goodbye\r\n"),
        _ => line.to_owned(),
    }
}

/// `NOOP<CR>MAIL` becomes two commands.
fn bare_cr(line: &str) -> String {
    let text = line.trim_end_matches(['\r', '\n']);
    format!("{}{}", text.replace('\r', "\r\n"), &line[text.len()..])
}

thread_local! {
    /// The token of the message that is under way; a connection has a thread.
    static TOKEN: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The message whose body is `once` is sent again, in a transaction of its own. Its replies are taken for those of the next one.
fn twice(line: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    if text.starts_with("X-Gauntlet-Probe:") {
        TOKEN.with(|token| *token.borrow_mut() = text.clone().into_owned());
    }
    if text != "once\r\n" {
        return line.to_vec();
    }
    let field = TOKEN.with(|token| token.borrow().clone());
    format!(
        "once\r\n.\r\nMAIL FROM:<ann@probe.example>\r\nRCPT TO:<bob@probe.example>\r\nDATA\r\n{field}\r\nonce\r\n"
    )
    .into_bytes()
}

/// Every message but the probe's first one loses its name, so that it never arrives.
fn lost(line: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    if text.starts_with("X-Gauntlet-Probe:") && !text.trim_end().ends_with("-0") {
        b"X-Gauntlet-Probe: lost\r\n".to_vec()
    } else {
        line.to_vec()
    }
}

fn bad_form(command: &str, line: &str) -> String {
    match command.trim_start_matches(FIRST) {
        hello if hello.starts_with("EHLO") => line
            .replace("250-n1 greets", "250-!n1 greets")
            .replace("250-DSN", "250-DSN\r\n250-NO_KEYWORD!\r\n250-EXPN")
            .replace("250-HELP\r\n", "")
            .replace("250-8BITMIME", "251-8BITMIME"),
        hello if hello.starts_with("HELO") => format!("250-x\r\n250-PIPELINING\r\n{line}"),
        "RSET" => "250\r\n".into(),
        "HELP" => format!("214 {}\u{1}\r\n", "x".repeat(600)),
        "DATA" if line.starts_with('5') => "691 x\r\n".into(),
        _ => line.to_owned(),
    }
}

fn refuses(command: &str, line: &str) -> String {
    let before = command.starts_with(FIRST);
    let command = command.trim_start_matches(FIRST);
    let long = command.len() > 200;
    let refused = match command {
        "NOOP" | "RSET" | "HELP" | "VRFY POSTMASTER" | "EXPN POSTMASTER" if before => Some("503"),
        "QUIT" if before => Some("500"),
        _ if command.starts_with("MAIL") && before => Some("550"),
        "EHLO" => Some("503"),
        _ if command.starts_with("HELO") => Some("500"),
        _ if command.starts_with("EHLO [IPV6")
            || command.starts_with("EHLO NOT-THIS")
            || command.starts_with("EHLO") && long =>
        {
            Some("501")
        }
        _ if command.starts_with("NOOP ") && (long || command != "NOOP X") => Some("500"),
        _ if command.starts_with("HELP") => Some("502"),
        _ if command.starts_with("VRFY") && command.contains("NOBODY") => Some("250"),
        _ if command.starts_with("VRFY") => Some("501"),
        _ if command.starts_with("EXPN") => Some("500"),
        "MAIL FROM:<>" | "MAIL FROM:" => Some("550"),
        _ if command.contains("POSTMASTER") => Some("550"),
        _ if ["\"", "[127", "[IPV6", "<@", "!#", "LLLLLLLLLLLLLLLLLLLL"]
            .iter()
            .any(|odd| command.contains(odd))
            && !command.starts_with("EHLO") =>
        {
            Some("501")
        }
        _ if command.contains("ELSEWHERE") => Some("554"),
        // Taken by the node, all the same.
        _ if command.starts_with("RCPT") && command.contains("NOBODY") => Some("550"),
        _ if line.starts_with("452") => Some("552"),
        _ => None,
    };
    match refused {
        Some(refusal) => code(refusal, line),
        None => line.to_owned(),
    }
}

fn takes(command: &str, line: &str) -> String {
    let command = command.trim_start_matches(FIRST);
    let verb = command.split([' ', ':']).next().unwrap_or_default();
    let refusal = line.starts_with('5') || line.starts_with("252");
    match verb {
        _ if !refusal => line.to_owned(),
        "DATA" => code("354", line),
        _ => code("250", line),
    }
}

fn something_else(line: &str) -> String {
    if ["ehlo", "eHlO", "nOoP", "mail"]
        .iter()
        .any(|verb| line.starts_with(verb))
    {
        return "GAUNTLETPROBE\r\n".into();
    }
    if ["@PROBE.EXAMPLE", "@PrObE"]
        .iter()
        .any(|domain| line.contains(domain))
    {
        return "RCPT TO:<nobody@nowhere.example>\r\n".into();
    }
    match line.trim_end().to_uppercase().as_str() {
        "NOOP" | "HELP" => "RSET\r\n".into(),
        "RSET" => "QUIT\r\n".into(),
        word if word.starts_with("VRFY") || word.starts_with("EXPN") => "RSET\r\n".into(),
        _ => line.to_owned(),
    }
}

fn changed_content(line: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches(['\r', '\n']);
    let changed = match text {
        _ if text.to_ascii_lowercase().starts_with("received:") => return Vec::new(),
        _ if text.starts_with("\tby ") || text.starts_with("\tTue") => return Vec::new(),
        _ if text.starts_with("From ") => format!(">{text}"),
        _ if text.starts_with("X-Gauntlet: b") => return Vec::new(),
        _ if text.starts_with("  two") => "\t two".to_owned(),
        _ if text.starts_with("..") => text[1..].to_owned(),
        _ if text.len() > 900 => text[..900].to_owned(),
        _ if text.starts_with("cccc") => "c".to_owned(),
        "QUIT" => "QUIT!".to_owned(),
        "the last line" => "the last line\r\n".to_owned(),
        "text" => "text\r\n".to_owned(),
        _ => text
            .trim_end()
            .chars()
            .filter(|c| !c.is_control() || *c == '\t')
            .collect(),
    };
    format!("{changed}\r\n").into_bytes()
}

fn bad_trace(line: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    if text.starts_with("Received: from [127") || text.starts_with("Received: from probe") {
        b"Received: by nobody;\r\n".to_vec()
    } else if text.starts_with("\tby ") {
        Vec::new()
    } else if text.starts_with('\t') && text.contains("+0000") {
        text.replace("+0000", "GMT").into_bytes()
    } else {
        line.to_vec()
    }
}

fn changed_envelope(line: &str) -> String {
    if line.starts_with("MAIL FROM:") {
        "MAIL FROM:<somebody@else.example>\r\n".into()
    } else {
        // Everything is for one recipient.
        line.replace("cat@", "bob@")
    }
}
