//! Flaws of a server, and the cases that fail on them.

use crate::probe::testing::Flaw;
use Flaw::{Answer, Delivery, EndOfDataReply, Keyword};

/// Flaws, and the cases that fail on them. Of each standard that is named all cases are run, so that no other one fails.
pub(super) type Row = (&'static [Flaw], &'static [&'static str]);

/// All of them.
pub(super) const ROWS: &[Row] = &[
    // RFC 5321bis
    (
        &[Answer("@relay.example", "451 4.3.0 later")],
        &["rfc5321bis/4.1.1/source-route"],
    ),
    (
        &[Answer("SOML", "250 2.0.0 ok")],
        &["rfc5321bis/4.1.1/obsolete-commands"],
    ),
    (
        &[Flaw::ConvertsBareLineEnds],
        &["rfc5321bis/2.3.8/bare-line-ends"],
    ),
    // RFC 1870
    (
        &[Keyword("SIZE 1000000", "SIZE big")],
        &["rfc1870/3/keyword"],
    ),
    (
        &[
            Answer("SIZE=1000$", "555 5.5.4 no"),
            Answer("SIZE=1000001", "250 2.1.0 ok"),
        ],
        &["rfc1870/6/declared-size", "rfc1870/6.1/above-the-limit"],
    ),
    (&[Answer("SIZE=0", "552 5.3.4 no")], &["rfc1870/6/zero"]),
    (
        &[Answer("sIzE", "555 5.5.4 no")],
        &["rfc1870/6/parameter-in-any-case"],
    ),
    (
        &[Answer("SIZE=12a", "250 2.1.0 ok")],
        &["rfc1870/3/no-number"],
    ),
    (&[Answer("SIZE=$", "250 2.1.0 ok")], &["rfc1870/3/no-value"]),
    (
        &[Answer("SIZE=-1", "250 2.1.0 ok")],
        &["rfc1870/3/negative"],
    ),
    (
        &[Answer("SIZE=999999", "250 2.1.0 ok")],
        &["rfc1870/6.1/twenty-digits"],
    ),
    (
        &[EndOfDataReply("552 5.3.4 no")],
        &["rfc1870/6.3/exactly-as-declared"],
    ),
    (&[Flaw::NoLimit], &["rfc1870/4/limit-holds"]),
    // RFC 2034
    (
        &[Keyword("ENHANCEDSTATUSCODES", "ENHANCEDSTATUSCODES 2")],
        &["rfc2034/3/keyword"],
    ),
    (
        &[Answer("RCPT TO:<bob@probe.example>$", "250 ok")],
        &["rfc2034/4/envelope"],
    ),
    (
        &[Answer("RCPT TO:<bob@probe.example>$", "250 5.1.5 ok")],
        &["rfc2034/4/envelope"],
    ),
    (&[EndOfDataReply("250 taken")], &["rfc2034/4/end-of-data"]),
    (&[Answer("RSET", "250 ok")], &["rfc2034/4/rset-and-noop"]),
    (&[Answer("QUIT", "221 bye")], &["rfc2034/4/quit"]),
    (&[Answer("VRFY", "252 perhaps")], &["rfc2034/4/vrfy"]),
    (
        &[Answer("GAUNTLET", "500 what?")],
        &["rfc2034/4/unknown-command"],
    ),
    (
        &[Answer("MAIL TO", "501 FROM")],
        &["rfc2034/4/bad-arguments"],
    ),
    (&[Answer("DATA", "503 no")], &["rfc2034/4/bad-order"]),
    (
        &[Answer("HELP", "214-2.0.0 no\r\n214 help")],
        &["rfc2034/4/every-line"],
    ),
    (
        &[Keyword("PIPELINING", "2.0.0 PIPELINING")],
        &["rfc2034/4/none-with-ehlo"],
    ),
    (
        &[Answer("DATA", "354 3.0.0 go on")],
        &["rfc2034/4/none-with-354"],
    ),
    // RFC 2920
    (
        &[Keyword("PIPELINING", "PIPELINING 2")],
        &["rfc2920/2/keyword"],
    ),
    (
        &[Flaw::LosesInput],
        &[
            "rfc2920/3.2/replies-in-order",
            "rfc2920/3.2/nothing-is-lost",
            "rfc2920/3.2/pending-replies",
            "rfc2920/3.2/behind-the-content",
            "rfc2920/3.2/quit-is-last",
            "rfc2920/3.2/next-message-behind-the-content",
        ],
    ),
    (&[Flaw::HoldsReplies], &["rfc2920/3.2/pending-replies"]),
    (
        &[Answer("DATA", "354 go on")],
        &["rfc2920/3.2/data-without-recipients"],
    ),
    (
        &[Flaw::OneBadRecipientSpoilsAll],
        &["rfc2920/3.2/one-of-two-recipients"],
    ),
    // RFC 3030
    (&[Keyword("CHUNKING", "CHUNKING 2")], &["rfc3030/2/keyword"]),
    (
        &[Answer("BDAT", "500 5.5.1 what?")],
        &[
            "rfc3030/2/one-chunk",
            "rfc3030/2/a-reply-per-chunk",
            "rfc3030/2/content-arrives",
            "rfc3030/2/cut-anywhere",
            "rfc3030/3/binary-content-arrives",
        ],
    ),
    (
        &[Answer("BDAT 0 LAST", "501 5.5.4 no")],
        &["rfc3030/2/empty-last-chunk"],
    ),
    (
        &[Answer("bdat", "500 5.5.1 what?")],
        &["rfc3030/2/any-case"],
    ),
    (
        &[Flaw::UnstuffsChunks],
        &[
            "rfc3030/2/content-arrives",
            "rfc3030/2/cut-anywhere",
            "rfc3030/3/binary-content-arrives",
        ],
    ),
    (
        &[Flaw::ExecutesRefusedChunks],
        &["rfc3030/2/without-mail", "rfc3030/2/without-recipients"],
    ),
    (
        &[Flaw::ChunkRefusal("554 5.5.1 no")],
        &["rfc3030/2/after-last"],
    ),
    (
        &[Answer("DATA", "354 go on")],
        &[
            "rfc3030/2/data-after-bdat",
            "rfc3030/3/binarymime-with-data",
        ],
    ),
    (&[Flaw::KeepsChunks], &["rfc3030/2/rset-clears-chunks"]),
    (&[Answer("BDAT$", "250 2.0.0 ok")], &["rfc3030/2/no-size"]),
    (
        &[Answer("BDAT -1", "250 2.0.0 ok")],
        &["rfc3030/2/size-no-number"],
    ),
    (
        &[Answer("BDAT 0 FIRST", "250 2.0.0 ok")],
        &["rfc3030/2/unknown-end-marker"],
    ),
    (
        &[Flaw::NoDataAfterChunks],
        &["rfc3030/2/mixed-in-a-session"],
    ),
    (
        &[Keyword("BINARYMIME", "BINARYMIME 2")],
        &["rfc3030/3/binarymime-keyword"],
    ),
    (&[Keyword("CHUNKING", "")], &["rfc3030/3/with-chunking"]),
    (
        &[Answer("BODY=BINARYMIME", "555 5.5.4 no")],
        &["rfc3030/3/body-binarymime"],
    ),
    (&[Flaw::CutsAtNul], &["rfc3030/3/binary-content-arrives"]),
    // RFC 3207
    (&[Keyword("STARTTLS", "STARTTLS 2")], &["rfc3207/2/keyword"]),
    (
        &[Answer("STARTTLS$", "454 4.7.0 no")],
        &["rfc3207/4/handshake"],
    ),
    (
        &[Answer("STARTTLS now", "220 2.0.0 go on")],
        &["rfc3207/4/no-parameters"],
    ),
    (
        &[Flaw::GreetsUnderTls],
        &[
            "rfc3207/4/handshake",
            "rfc3207/4.2/no-greeting",
            "rfc3207/4.2/hello-is-forgotten",
            "rfc3207/4.2/transaction-is-forgotten",
        ],
    ),
    (
        &[Flaw::OffersTlsUnderTls],
        &["rfc3207/4.2/not-offered-again"],
    ),
    (&[Flaw::AcceptsTlsUnderTls], &["rfc3207/4.2/not-twice"]),
    (
        &[Flaw::KeepsHelloOverTls],
        &["rfc3207/4.2/hello-is-forgotten"],
    ),
    (
        &[Flaw::KeepsTransactionOverTls],
        &["rfc3207/4.2/transaction-is-forgotten"],
    ),
    (&[Flaw::NoDataUnderTls], &["rfc3207/4/mail-under-tls"]),
    (
        &[Flaw::KeepsInputOverTls],
        &["security/starttls-command-injection"],
    ),
    (
        &[Flaw::KeepsInputOverTls, Flaw::KeepsHelloOverTls],
        &[
            "rfc3207/4.2/hello-is-forgotten",
            "security/starttls-command-injection",
            "security/starttls-transaction-injection",
        ],
    ),
    (
        &[Flaw::ServesPlainText],
        &[
            "security/starttls-command-injection",
            "security/starttls-injection-behind-the-reply",
            "security/starttls-without-handshake",
        ],
    ),
    // RFC 3461
    (&[Keyword("DSN", "DSN 2")], &["rfc3461/4/keyword"]),
    (
        &[Answer("NOTIFY=NEVER$", "555 5.5.4 no")],
        &[
            "rfc3461/4.1/notify-never",
            "rfc3461/4.5/with-the-null-return-path",
        ],
    ),
    (
        &[Answer("NOTIFY=DELAY,FAILURE,SUCCESS", "555 5.5.4 no")],
        &["rfc3461/4.1/notify-list"],
    ),
    (
        &[Answer("notify=", "555 5.5.4 no")],
        &["rfc3461/4.1/notify-in-any-case"],
    ),
    (
        &[Answer("NOTIFY=NEVER,FAILURE", "250 2.1.5 ok")],
        &["rfc3461/4.1/never-stands-alone"],
    ),
    (
        &[Answer("SOMETIMES", "250 2.1.5 ok")],
        &["rfc3461/4.1/unknown-notify"],
    ),
    (
        &[Answer("NOTIFY=$", "250 2.1.5 ok")],
        &["rfc3461/4.1/empty-notify"],
    ),
    (
        &[Answer("NOTIFY=FAILURE NOTIFY", "250 2.1.5 ok")],
        &["rfc3461/4.1/notify-twice"],
    ),
    (
        &[Answer("bob+2Btag", "555 5.5.4 no")],
        &["rfc3461/4.2/orcpt"],
    ),
    (
        &[Answer("x400", "501 5.5.4 no")],
        &["rfc3461/4.2/orcpt-of-another-type"],
    ),
    (
        &[Answer("ORCPT=bob@", "250 2.1.5 ok")],
        &["rfc3461/4.2/orcpt-without-type"],
    ),
    (
        &[Answer("bob+2@", "250 2.1.5 ok")],
        &["rfc3461/4.2/orcpt-no-xtext"],
    ),
    (
        &[Answer("ORCPT=rfc822;a@", "250 2.1.5 ok")],
        &["rfc3461/4.2/orcpt-twice"],
    ),
    (
        &[Answer("RET=FULL$", "555 5.5.4 no")],
        &["rfc3461/4.3/ret-full"],
    ),
    (&[Answer("ret=", "555 5.5.4 no")], &["rfc3461/4.3/ret-hdrs"]),
    (
        &[Answer("RET=SOME", "250 2.1.0 ok")],
        &["rfc3461/4.3/unknown-ret"],
    ),
    (
        &[Answer("RET=FULL RET", "250 2.1.0 ok")],
        &["rfc3461/4.3/ret-twice"],
    ),
    (&[Answer("QQ", "501 5.5.4 no")], &["rfc3461/4.4/envid"]),
    (
        &[Answer("eeeeeeee", "501 5.5.4 no")],
        &["rfc3461/4.4/envid-of-100-octets"],
    ),
    (
        &[Answer("a+zz", "250 2.1.0 ok")],
        &["rfc3461/4.4/envid-no-xtext"],
    ),
    (
        &[Answer("ENVID=one", "250 2.1.0 ok")],
        &["rfc3461/4.4/envid-twice"],
    ),
    (
        &[Answer("ann@probe.example> NOTIFY", "250 2.1.0 ok")],
        &["rfc3461/4/notify-with-mail"],
    ),
    (
        &[Answer("bob@probe.example> RET=FULL", "250 2.1.5 ok")],
        &["rfc3461/4/ret-with-rcpt"],
    ),
    (
        &[Answer("MAIL FROM:<> RET", "501 5.5.4 no")],
        &["rfc3461/4.5/with-the-null-return-path"],
    ),
    (&[Flaw::NoNotification], &["rfc3461/5.2.2/success-is-told"]),
    (
        &[Flaw::AlwaysNotifies],
        &["rfc3461/5.2/success-is-not-told-unasked"],
    ),
    (
        &[Delivery(
            "Return-Path: <>",
            "Return-Path: <postmaster@fake.example>",
        )],
        &["rfc3461/6.1/null-return-path"],
    ),
    (&[Flaw::ReturnsBody], &["rfc3461/4.3/header-section-only"]),
    (
        &[Delivery(
            "Original-Envelope-Id: ",
            "Original-Envelope-Id: x",
        )],
        &["rfc3461/6.3/original-envelope-id"],
    ),
    (
        &[Delivery("Original-Recipient: ", "Original-Recipient: x")],
        &["rfc3461/6.3/original-recipient"],
    ),
    // RFC 3462, 3464
    (
        &[Delivery("multipart/report", "multipart/mixed")],
        &["rfc3462/1/report-type"],
    ),
    (
        &[Delivery(
            "--b\r\nContent-Type: text/plain\r\n\r\nIt was delivered.\r\n",
            "",
        )],
        &["rfc3464/2/delivery-status-is-second"],
    ),
    (
        &[Delivery("Reporting-MTA: dns;", "Reporting-MTA:")],
        &["rfc3464/2.2.2/reporting-mta"],
    ),
    (
        &[Delivery("rfc822; bob@", "rfc822; ann@")],
        &["rfc3464/2.3.2/final-recipient"],
    ),
    (
        &[Delivery("Action: delivered", "Action: failed")],
        &["rfc3464/2.3.3/action"],
    ),
    (
        &[Delivery("Status: 2.0.0", "Status: 5.0.0")],
        &["rfc3464/2.3.4/status"],
    ),
    // RFC 3463
    (&[Answer("NOOP", "250 2.0.00 ok")], &["rfc3463/2/form"]),
    (
        &[Answer("RCPT TO:<bob@probe.example>$", "250 2.1.0 ok")],
        &["rfc3463/3.2/valid-destination", "rfc3463/3.6/bad-order"],
    ),
    (
        &[Answer("GAUNTLET", "500 5.3.0 what?")],
        &["rfc3463/3.6/unknown-command"],
    ),
    (
        &[Answer("MAIL FROM:<a b", "501 5.0.0 what?")],
        &["rfc3463/3.6/bad-arguments"],
    ),
    // RFC 4954
    (
        &[Keyword("AUTH PLAIN LOGIN", "AUTH PLAIN login")],
        &["rfc4954/3/keyword"],
    ),
    (
        &[Answer("X-GAUNTLET", "501 5.5.4 no")],
        &["rfc4954/4/unknown-mechanism"],
    ),
    (&[Answer("AUTH$", "334 ")], &["rfc4954/4/no-mechanism"]),
    (
        &[Flaw::AuthInTransaction],
        &["rfc4954/4/not-in-a-transaction"],
    ),
    (
        &[Answer("AUTH PLAIN$", "334 go on!")],
        &[
            "rfc4954/4/challenge",
            "rfc4954/4/not-in-a-transaction",
            "rfc4954/4/not-twice",
        ],
    ),
    (&[Answer("*$", "535 5.7.0 no")], &["rfc4954/4/cancel"]),
    (
        &[Answer("!no base64!", "535 5.7.8 no")],
        &["rfc4954/4/no-base64"],
    ),
    (
        &[Answer("AUTH PLAIN !!!!", "535 5.7.8 no")],
        &["rfc4954/4/initial-response-no-base64"],
    ),
    (&[Flaw::LimitsAuthLines], &["rfc4954/4/long-response"]),
    (&[Flaw::AnyCredentials], &["rfc4954/6/wrong-credentials"]),
    (
        &[Answer("AUTH=<>", "555 5.5.4 no")],
        &["rfc4954/5/mail-parameter"],
    ),
    (
        &[Answer("AUTH=a+zz", "250 2.1.0 ok")],
        &["rfc4954/5/mail-parameter-no-xtext"],
    ),
    (
        &[Answer("AGFubgBzZWNyZXQ=", "535 5.7.8 no")],
        &["rfc4954/4/success"],
    ),
    (&[Flaw::AuthTwice], &["rfc4954/4/not-twice"]),
    // RFC 6152
    (&[Keyword("8BITMIME", "8BITMIME 2")], &["rfc6152/2/keyword"]),
    (
        &[Answer("ann@probe.example> BODY=8BITMIME", "555 5.5.4 no")],
        &["rfc6152/2/body-8bitmime"],
    ),
    (
        &[Answer("BODY=7BIT", "555 5.5.4 no")],
        &["rfc6152/2/body-7bit"],
    ),
    (
        &[Answer("body=8BitMime", "555 5.5.4 no")],
        &["rfc6152/2/body-in-any-case"],
    ),
    (
        &[Answer("BODY=9BITMIME", "250 2.1.0 ok")],
        &["rfc6152/2/unknown-body"],
    ),
    (
        &[Answer("BODY=$", "250 2.1.0 ok")],
        &["rfc6152/2/body-without-value"],
    ),
    (
        &[Answer("bob@probe.example> BODY", "250 2.1.5 ok")],
        &["rfc6152/2/body-on-rcpt"],
    ),
    (&[Flaw::StripsHighBits], &["rfc6152/3/all-bits-arrive"]),
    // RFC 6531
    (
        &[Keyword("SMTPUTF8", "SMTPUTF8 2")],
        &["rfc6531/3.1/keyword"],
    ),
    (&[Keyword("8BITMIME", "")], &["rfc6531/3.1/with-8bitmime"]),
    (
        &[Answer("ann@probe.example> SMTPUTF8$", "555 5.5.4 no")],
        &["rfc6531/3.4/mail-parameter"],
    ),
    (
        &[Answer("SMTPUTF8=yes", "250 2.1.0 ok")],
        &["rfc6531/3.4/parameter-with-value"],
    ),
    (
        &[Answer("MAIL FROM:<пошта", "501 5.1.7 no")],
        &["rfc6531/3.3/sender"],
    ),
    (
        &[Answer("RCPT TO:<пошта", "501 5.1.3 no")],
        &["rfc6531/3.3/local-part"],
    ),
    (
        &[Answer("à la carte", "501 5.1.3 no")],
        &["rfc6531/3.3/quoted-local-part"],
    ),
    (&[Answer("bücher", "501 5.1.3 no")], &["rfc6531/3.3/domain"]),
    (
        &[Answer("\\xff", "250 2.1.5 ok")],
        &["rfc6531/3.3/malformed-utf-8"],
    ),
    (
        &[Answer("MAIL FROM:<grün", "250 2.1.0 ok")],
        &["rfc6531/3.4/sender-without-the-parameter"],
    ),
    (
        &[Answer("RCPT TO:<grün", "250 2.1.5 ok")],
        &["rfc6531/3.4/recipient-without-the-parameter"],
    ),
    (
        &[Answer("bob@probe.example> SMTPUTF8", "250 2.1.5 ok")],
        &["rfc6531/3.4/rcpt-has-no-parameter"],
    ),
    (
        &[Answer("VRFY grün", "501 5.5.4 no")],
        &["rfc6531/3.7.4.2/vrfy"],
    ),
    (
        &[Answer("RCPT TO:<grün", "553 5.6.7 nicht grün")],
        &["rfc6531/3.7.4.1/ascii-replies"],
    ),
    (&[Flaw::StripsHighBits], &["rfc6531/3.2/content-arrives"]),
    (
        &[Delivery("with UTF8SMTP", "with ESMTP")],
        &["rfc6531/4.3/with-utf8smtp"],
    ),
    // Security
    (
        &[Flaw::AnyXtext],
        &[
            "security/crlf-in-original-recipient",
            "security/crlf-in-envelope-id",
        ],
    ),
    (
        &[Flaw::CutsContentLines(1000)],
        &["security/dot-behind-an-over-long-line"],
    ),
    (&[Flaw::CutsAtNul], &["security/nul-in-content"]),
    (
        &[Flaw::EndOfDataInOnePiece],
        &["security/end-of-data-cut-by-the-network"],
    ),
    (&[Flaw::DeliversCutContent], &["security/content-cut-off"]),
    (
        &[Flaw::ExecutesRefusedContent],
        &["security/refused-content-is-no-command"],
    ),
    (&[Flaw::CountsIn32Bits], &["security/bdat-size-overflow"]),
    (
        &[Flaw::LfEndsCommands],
        &["security/lf-in-a-command", "security/lf-in-the-recipient"],
    ),
    (&[Flaw::CrEndsCommands], &["security/cr-in-a-command"]),
    (
        &[Flaw::DropsNul],
        &[
            "security/nul-in-a-verb",
            "security/nul-in-hello",
            "security/nul-in-the-sender",
            "security/nul-in-the-recipient",
        ],
    ),
    (
        &[Flaw::CutsCommandsAtNul],
        &["security/nul-behind-a-verb", "security/nul-in-hello"],
    ),
    (
        &[Flaw::AllowsControlOctets],
        &[
            "security/nul-in-hello",
            "security/nul-in-the-sender",
            "security/nul-in-the-recipient",
            "security/cr-in-the-recipient",
            "security/escape-in-the-recipient",
            "security/delete-in-the-recipient",
        ],
    ),
    (
        &[Flaw::JoinsQuotedLines],
        &["security/crlf-in-a-quoted-local-part"],
    ),
    (
        &[Flaw::Echoes],
        &["security/replies-do-not-echo-control-octets"],
    ),
    (
        &[Flaw::CutsCommandLines(1024)],
        &[
            "security/over-long-command",
            "security/over-long-verb",
            "security/over-long-hello",
            "security/over-long-path",
            "security/over-long-parameters",
            "security/endless-line",
        ],
    ),
    (&[Flaw::AnswersBeforeGreeting], &["security/early-talker"]),
    (&[Flaw::ServesHttp], &["security/http-request"]),
    (
        &[Answer("\\x16\\x03", "250 2.0.0 ok")],
        &["security/tls-in-plain-text"],
    ),
    (
        &[Flaw::GoesOnBehindQuit],
        &["security/commands-behind-quit"],
    ),
    (
        &[Answer("GAUNTLET x", "250 2.0.0 ok")],
        &["security/many-bad-commands"],
    ),
    (
        &[Answer("\\x01\\x02", "250 2.0.0 ok")],
        &["security/binary-garbage"],
    ),
    (
        &[Answer("TURN", "250 2.0.0 ok")],
        &["security/unauthenticated-turn"],
    ),
    (
        &[Flaw::DiesOfRecipients(1500)],
        &["security/recipient-flood"],
    ),
    (&[Flaw::DiesOfConnections], &["security/connection-flood"]),
    (
        &[Flaw::OneClientAtATime],
        &[
            "security/half-sent-commands",
            "security/half-sent-content",
            "security/unread-replies",
        ],
    ),
];
