//! Flaws of a client, and the cases that fail on them.

use crate::probe::client::testing::Flaw;

/// Flaws, and the cases that fail on them, without `client/`. All cases are run, so that no other one fails.
pub(super) type Row = (&'static [Flaw], &'static [&'static str]);

/// All of them.
pub(super) const ROWS: &[Row] = &[
    // Replies
    (
        &[Flaw::OneLineReplies],
        &[
            "rfc5321/4.2.1/multi-line-replies",
            "rfc5321/4.2.1/multi-line-greeting",
            "rfc5321/3.8/half-a-reply",
        ],
    ),
    (
        &[Flaw::NeedsText],
        &[
            "rfc5321/4.2/codes-without-text",
            "rfc5321/4.2/greeting-without-text",
        ],
    ),
    (
        &[Flaw::UnknownIsPermanent],
        &[
            "rfc5321/4.2/unknown-positive-codes",
            "rfc5321/4.2/unknown-transient-codes",
        ],
    ),
    (
        &[Flaw::UnknownIsTransient],
        &[
            "rfc5321/4.2/unknown-positive-codes",
            "rfc5321/4.2/unknown-permanent-codes",
        ],
    ),
    (&[Flaw::ReadsText], &["rfc5321/4.2/text-does-not-matter"]),
    (
        &[Flaw::TrustsEnhancedCodes],
        &["rfc2034/3/basic-code-counts"],
    ),
    (
        &[Flaw::ShortReplyLines],
        &["rfc5321/4.5.3.1.5/reply-line-of-512"],
    ),
    (
        &[Flaw::NeedsWholeReplies],
        &["rfc2920/3.1/replies-octet-by-octet"],
    ),
    (
        &[Flaw::LastReplyForAll],
        &[
            "rfc2920/3.1/every-reply-is-checked",
            "rfc5321/3.6.3/returned-for-the-refused-one",
            "rfc5321/4.5.4.1/retry-for-who-is-left",
            "rfc5321/4.5.3.1.10/552-to-rcpt-is-transient",
        ],
    ),
    // Greeting and hello
    (
        &[Flaw::SpeaksFirst],
        &["rfc5321/4.3.1/waits-for-the-greeting"],
    ),
    (
        &[Flaw::IgnoresGreeting, Flaw::IgnoresHello],
        &[
            "rfc5321/3.1/no-mail-after-554",
            "rfc5321/4.2/no-mail-after-what-is-no-reply",
            "rfc5321/4.1.4/no-mail-without-hello",
            "rfc5321/3.8/nothing-after-421-as-greeting",
        ],
    ),
    (
        &[Flaw::IgnoresHello],
        &["rfc5321/4.1.4/no-mail-without-hello"],
    ),
    (
        &[Flaw::GoesOnAfter421("greeting")],
        &["rfc5321/3.8/nothing-after-421-as-greeting"],
    ),
    (
        &[Flaw::NoHelo],
        &["rfc5321/3.2/helo-after-500", "rfc5321/3.2/helo-after-502"],
    ),
    (
        &[Flaw::HeloFirst],
        &["rfc5321/4.1.1.1/ehlo-first", "rfc3207/4.2/ehlo-again"],
    ),
    (
        &[Flaw::NoHello],
        &[
            "rfc5321/4.1.1.1/hello-before-mail",
            "rfc5321/4.1.1.1/ehlo-first",
            "rfc5321/4.1.4/order-of-commands",
        ],
    ),
    (&[Flaw::Name("localhost")], &["rfc5321/2.3.5/name-in-hello"]),
    (
        &[Flaw::SizeAfterHelo],
        &["rfc5321/4.1.1.2/no-parameters-after-helo"],
    ),
    (
        &[Flaw::KnownKeywordsOnly],
        &["rfc5321/2.2.1/unknown-keywords"],
    ),
    (
        &[Flaw::BareKeywordsOnly],
        &["rfc5321/4.1.1.1/parameters-of-keywords"],
    ),
    (&[Flaw::FewKeywords], &["rfc5321/4.1.1.1/many-keywords"]),
    (
        &[Flaw::UpperCaseKeywords],
        &["rfc5321/4.1.1.1/keywords-in-any-case"],
    ),
    // Extensions
    (
        &[Flaw::Assumes("SIZE")],
        &[
            "rfc1870/3/only-when-offered",
            "rfc5321/4.1.1.2/no-parameters-after-helo",
            "rfc3207/4.2/offers-are-forgotten",
        ],
    ),
    (
        &[Flaw::Assumes("8BITMIME")],
        &["rfc6152/2/only-when-offered", "rfc6152/3/no-8-bit-content"],
    ),
    (
        &[Flaw::Assumes("DSN")],
        &[
            "rfc3461/4/only-when-offered",
            "rfc3207/4.2/offers-are-forgotten",
        ],
    ),
    (
        &[Flaw::Assumes("SMTPUTF8")],
        &[
            "rfc6531/3.4/only-when-offered",
            "rfc6531/3.2/no-utf8-address",
            "rfc6531/3.2/no-utf8-header",
            "rfc6531/3.2/returned-when-it-cannot-be-sent",
        ],
    ),
    (
        &[Flaw::Assumes("CHUNKING")],
        &["rfc3030/2/only-when-offered"],
    ),
    (
        &[Flaw::Assumes("STARTTLS")],
        &["rfc3207/4/only-when-offered"],
    ),
    (&[Flaw::NoLimit], &["rfc1870/4/limit"]),
    (
        &[Flaw::LimitOfZero("SIZE 0")],
        &["rfc1870/4/zero-is-no-limit"],
    ),
    (
        &[Flaw::LimitOfZero("SIZE")],
        &["rfc1870/4/no-number-is-no-limit"],
    ),
    (
        &[Flaw::DropsWhatCannotBeSent],
        &[
            "rfc1870/4/larger-than-the-limit-is-returned",
            "rfc6531/3.2/returned-when-it-cannot-be-sent",
        ],
    ),
    (&[Flaw::SizeValue("1")], &["rfc1870/3/size-value"]),
    (&[Flaw::EightBitAnywhere], &["rfc6152/3/no-8-bit-content"]),
    (
        &[Flaw::Utf8AddressAnywhere],
        &[
            "rfc6531/3.2/no-utf8-address",
            "rfc6531/3.2/returned-when-it-cannot-be-sent",
        ],
    ),
    (&[Flaw::Utf8HeaderAnywhere], &["rfc6531/3.2/no-utf8-header"]),
    (
        &[Flaw::LeavesOut("BODY=8BITMIME")],
        &["rfc6152/2/8-bit-is-declared"],
    ),
    (
        &[Flaw::LeavesOut("BODY=BINARYMIME")],
        &["rfc3030/3/binary-is-declared"],
    ),
    (
        &[Flaw::LeavesOut("SMTPUTF8")],
        &[
            "rfc6531/3.4/utf8-address-is-declared",
            "rfc6531/3.4/utf8-header-is-declared",
        ],
    ),
    (
        &[Flaw::LeavesOut("NOTIFY")],
        &["rfc3461/5.2.1/notify-passed-on"],
    ),
    (
        &[Flaw::LeavesOut("ORCPT")],
        &["rfc3461/5.2.1/orcpt-passed-on"],
    ),
    (&[Flaw::LeavesOut("RET")], &["rfc3461/5.2.1/ret-passed-on"]),
    (
        &[Flaw::LeavesOut("ENVID")],
        &["rfc3461/5.2.1/envid-passed-on"],
    ),
    (
        &[Flaw::ManglesUtf8],
        &[
            "rfc6531/3.2/utf8-address-kept",
            "rfc6531/3.4/utf8-address-is-declared",
            "rfc6531/3.2/returned-when-it-cannot-be-sent",
        ],
    ),
    // Content
    (
        &[Flaw::NoStuffing],
        &[
            "rfc5321/4.5.2/dot-stuffing",
            "rfc5321/4.1.1.4/nothing-behind-the-end-of-data",
        ],
    ),
    (
        &[Flaw::BareLfInTrace],
        &["rfc5321/2.3.8/lines-end-with-crlf"],
    ),
    (
        &[Flaw::Content("   \r\n", "\r\n")],
        &["rfc5321/3.6.3/content-unchanged"],
    ),
    (
        &[Flaw::Content("X-Odd:no", "X-Odd: no")],
        &["rfc5321/3.6.3/content-unchanged"],
    ),
    (
        &[Flaw::Content("\r\n\r\n\r\n\r\n", "\r\n")],
        &["rfc5321/3.6.3/empty-lines-at-the-end"],
    ),
    (
        &[Flaw::Content("by b.example; Mon", "by b.example ; Mon")],
        &["rfc5321/4.4/received-fields-kept"],
    ),
    (&[Flaw::WrapsLines(500)], &["rfc5321/4.5.3.1.6/line-of-998"]),
    (
        &[Flaw::CutsContent(500_000)],
        &["rfc5321/4.5.3.1.7/large-message"],
    ),
    (&[Flaw::NoTrace], &["rfc5321/4.4/received-on-top"]),
    (
        &[Flaw::AddsField("Return-Path: <x@y.example>\r\n")],
        &["rfc5321/4.4/no-return-path"],
    ),
    // Envelope
    (
        &[Flaw::Path("ann+", "bounces+ann+")],
        &["rfc5321/4.1.1.2/return-path"],
    ),
    (
        &[Flaw::NullBecomesPostmaster],
        &["rfc5321/4.5.5/null-return-path"],
    ),
    (&[Flaw::LowersLocalParts], &["rfc5321/2.4/local-part-case"]),
    (
        &[Flaw::Path("\"", "")],
        &["rfc5321/4.1.2/quoted-local-part"],
    ),
    (
        &[Flaw::LosesRecipientsAfter(50)],
        &["rfc5321/4.5.3.1.8/hundred-recipients"],
    ),
    (&[Flaw::OneByOne], &["rfc5321/4.5.4.1/one-copy-for-many"]),
    (
        &[Flaw::Command("MAIL FROM:<", "MAIL FROM: <")],
        &["rfc5321/3.3/no-space-in-mail-and-rcpt"],
    ),
    (
        &[Flaw::Command("QUIT\r\n", "QUIT\n")],
        &["rfc5321/4.1.1/command-lines-end-with-crlf"],
    ),
    (
        &[Flaw::Command("DATA\r\n", "DATA now\r\n")],
        &["rfc5321/4.1.1/no-arguments-where-there-are-none"],
    ),
    (
        &[Flaw::Name(LONG_NAME)],
        &["rfc5321/4.5.3.1.4/short-command-lines"],
    ),
    // Order
    (
        &[Flaw::PipelinesAlways],
        &["rfc5321/4.3.1/waits-for-replies"],
    ),
    (
        &[Flaw::RcptFirst],
        &[
            "rfc5321/4.1.4/order-of-commands",
            "rfc5321/4.1.4/no-mail-within-a-transaction",
        ],
    ),
    (
        &[Flaw::MailWithinTransaction],
        &["rfc5321/4.1.4/no-mail-within-a-transaction"],
    ),
    (&[Flaw::NoQuit], &["rfc5321/4.1.1.10/quit-at-the-end"]),
    (
        &[Flaw::ClosesWithQuit],
        &["rfc5321/4.1.1.10/waits-for-the-reply-to-quit"],
    ),
    (
        &[Flaw::NoopAfterQuit],
        &["rfc5321/4.1.1.10/nothing-after-quit"],
    ),
    (
        &[Flaw::IgnoresDataReply],
        &[
            "rfc5321/3.3/no-content-without-354",
            "rfc5321/3.3/no-content-after-5yz",
        ],
    ),
    (&[Flaw::NoopInGroup], &["rfc2920/3.1/groups"]),
    (
        &[Flaw::ContentForNobody],
        &["rfc2920/3.1/no-content-for-nobody"],
    ),
    (
        &[Flaw::IgnoresMailReply],
        &[
            "rfc2920/3.1/refused-mail-ends-it",
            "rfc5321/4.5.4.1/retry-after-4yz-to-mail",
        ],
    ),
    // Failures
    (
        &[Flaw::TransientIsPermanent("MAIL")],
        &[
            "rfc5321/4.5.4.1/retry-after-4yz-to-mail",
            "rfc2920/3.1/refused-mail-ends-it",
        ],
    ),
    (
        &[Flaw::TransientIsPermanent("RCPT")],
        &[
            "rfc5321/4.5.4.1/retry-after-4yz-to-rcpt",
            "rfc5321/4.5.4.1/retry-is-delayed",
            "rfc5321/4.5.4.1/retry-for-who-is-left",
            "rfc5321/4.2/unknown-transient-codes",
        ],
    ),
    (
        &[Flaw::TransientIsPermanent("DATA")],
        &["rfc5321/4.5.4.1/retry-after-4yz-to-data"],
    ),
    (
        &[Flaw::TransientIsPermanent("END")],
        &[
            "rfc5321/4.5.4.1/retry-after-4yz-to-content",
            "rfc3030/2/refused-chunks-are-tried-again",
        ],
    ),
    (
        &[Flaw::RetriesAtOnce],
        &["rfc5321/4.5.4.1/retry-is-delayed"],
    ),
    (
        &[Flaw::DropsRefused("MAIL")],
        &["rfc5321/3.6.3/returned-after-5yz-to-mail"],
    ),
    (
        &[Flaw::DropsRefused("RCPT")],
        &[
            "rfc5321/3.6.3/returned-after-5yz-to-rcpt",
            "rfc5321/3.6.3/returned-for-the-refused-one",
            "rfc5321/3.6.3/notification-from-nobody",
            "rfc5321/4.2/unknown-permanent-codes",
            "rfc2920/3.1/every-reply-is-checked",
        ],
    ),
    (
        &[Flaw::DropsRefused("DATA")],
        &["rfc5321/3.6.3/returned-after-5yz-to-data"],
    ),
    (
        &[Flaw::DropsRefused("END")],
        &["rfc5321/3.6.3/returned-after-5yz-to-content"],
    ),
    (
        &[Flaw::ReturnsAndRetries("MAIL")],
        &["rfc5321/4.2.1/no-retry-after-5yz-to-mail"],
    ),
    (
        &[Flaw::ReturnsAndRetries("RCPT")],
        &["rfc5321/4.2.1/no-retry-after-5yz-to-rcpt"],
    ),
    (
        &[Flaw::ReturnsAndRetries("END")],
        &["rfc5321/4.2.5/no-retry-after-5yz-to-content"],
    ),
    (
        &[Flaw::NotifiesAsPostmaster],
        &["rfc5321/3.6.3/notification-from-nobody"],
    ),
    (
        &[Flaw::NotifiesNobody],
        &["rfc5321/4.5.5/no-notification-to-nobody"],
    ),
    (
        &[Flaw::OneRefusedAllRefused],
        &[
            "rfc5321/3.3/refused-recipient-beside-others",
            "rfc5321/3.6.3/returned-for-the-refused-one",
            "rfc5321/4.5.4.1/retry-for-who-is-left",
            "rfc2920/3.1/every-reply-is-checked",
        ],
    ),
    (
        &[Flaw::LosesRecipientsAfter(2)],
        &[
            "rfc5321/4.1.1.3/every-recipient",
            "rfc5321/4.5.3.1.8/hundred-recipients",
            "rfc5321/4.5.4.1/one-copy-for-many",
            "rfc5321/3.3/refused-recipient-beside-others",
        ],
    ),
    (
        &[Flaw::NamesAllRecipients],
        &["rfc5321/3.6.3/returned-for-the-refused-one"],
    ),
    (
        &[Flaw::RetriesForAll],
        &["rfc5321/4.5.4.1/retry-for-who-is-left"],
    ),
    (
        &[Flaw::TooManyIsPermanent],
        &["rfc5321/4.5.3.1.10/552-to-rcpt-is-transient"],
    ),
    // 421 and lost connections
    (
        &[Flaw::GoesOnAfter421("MAIL")],
        &["rfc5321/3.8/nothing-after-421-to-mail"],
    ),
    (
        &[Flaw::GoesOnAfter421("RCPT")],
        &["rfc5321/3.8/nothing-after-421-to-rcpt"],
    ),
    (
        &[Flaw::GoesOnAfter421("DATA")],
        &["rfc5321/3.8/nothing-after-421-to-data"],
    ),
    (
        &[Flaw::GoesOnAfter421("END")],
        &["rfc5321/3.8/nothing-after-421-to-content"],
    ),
    (
        &[Flaw::ClosingIsPermanent],
        &[
            "rfc5321/4.5.4.1/retry-after-421-to-mail",
            "rfc5321/4.5.4.1/retry-after-421-to-content",
            "rfc5321/4.5.4.1/retry-after-421-as-greeting",
            "rfc5321/4.5.4.1/retry-after-421-to-ehlo",
        ],
    ),
    (
        &[Flaw::LostIsPermanent],
        &[
            "rfc5321/3.8/lost-after-mail",
            "rfc5321/3.8/lost-after-data",
            "rfc5321/3.8/lost-within-the-content",
            "rfc5321/3.8/lost-behind-the-content",
            "rfc5321/3.8/half-a-reply",
            "rfc5321/3.8/closed-before-the-greeting",
            "rfc5321/3.8/closed-after-ehlo",
            "rfc3207/6/failed-handshake",
        ],
    ),
    (
        &[Flaw::ResumesContent],
        &[
            "rfc5321/3.8/lost-within-the-content",
            "rfc5321/3.8/lost-behind-the-content",
            "rfc5321/3.8/lost-after-mail",
            "rfc5321/3.8/lost-after-data",
            "rfc5321/3.8/half-a-reply",
            "rfc5321/4.5.4.1/retry-after-421-to-mail",
            "rfc5321/4.5.4.1/retry-after-421-to-content",
        ],
    ),
    (
        &[Flaw::LostIsTaken],
        &[
            "rfc5321/3.8/lost-behind-the-content",
            "rfc5321/3.8/half-a-reply",
        ],
    ),
    (&[Flaw::HalfAReplyCounts], &["rfc5321/3.8/half-a-reply"]),
    // Chunks
    (
        &[Flaw::ShortChunkSize],
        &[
            "rfc3030/2/chunks-add-up",
            "rfc3030/3/binary-is-declared",
            "rfc3030/2/refused-chunks-are-tried-again",
        ],
    ),
    (
        &[Flaw::DataAfterChunks],
        &["rfc3030/2/no-data-beside-chunks"],
    ),
    // TLS
    (&[Flaw::NoHelloUnderTls], &["rfc3207/4.2/ehlo-again"]),
    (&[Flaw::KeepsOffers], &["rfc3207/4.2/offers-are-forgotten"]),
    (&[Flaw::TlsTwice], &["rfc3207/4.2/not-twice"]),
    (&[Flaw::NoopWithStarttls], &["rfc3207/4/last-in-a-group"]),
    (
        &[Flaw::KeepsPlainText],
        &["security/plain-text-behind-starttls"],
    ),
    (
        &[Flaw::DropsWithoutTls],
        &["rfc3207/4/refused-starttls", "rfc3207/6/failed-handshake"],
    ),
    // Early content, and what comes of it.
    (
        &[Flaw::ContentWithData],
        &[
            "rfc5321/4.1.1.4/no-content-before-354",
            "rfc2920/3.1/content-waits",
            "rfc5321/3.3/no-content-without-354",
            "rfc5321/3.3/no-content-after-5yz",
        ],
    ),
    (
        &[Flaw::PermanentIsTransient("MAIL")],
        &[
            "rfc5321/3.6.3/returned-after-5yz-to-mail",
            "rfc5321/4.2.1/no-retry-after-5yz-to-mail",
        ],
    ),
    (
        &[Flaw::Content(
            "gauntlet.invalid>\r\n\r\n",
            "gauntlet.invalid>\r\n\r\n\r\n",
        )],
        &["rfc5321/3.6.3/no-body"],
    ),
];

/// Fully-qualified, and longer than a command line.
const LONG_NAME: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc.dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd.eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee.ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff.gggggggggggggggggggggggggggggggggggggggggggggggggggggggggggg.hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh.iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii.example";
