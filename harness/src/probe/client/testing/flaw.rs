//! What can be wrong with the test's client.

/// A flaw. What is said of a verb holds of the reply to it; `END` is the end of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    // Replies.
    /// A reply ends with its first line.
    OneLineReplies,
    /// A reply needs a text.
    NeedsText,
    /// A code that is not known is a failure for ever.
    UnknownIsPermanent,
    /// A code that is not known is a failure for now.
    UnknownIsTransient,
    /// A code in the text counts.
    ReadsText,
    /// The enhanced code counts.
    TrustsEnhancedCodes,
    /// A reply line has at most 500 octets.
    ShortReplyLines,
    /// A reply line comes in one piece, or not at all.
    NeedsWholeReplies,
    /// The last reply to RCPT is that to all of them.
    LastReplyForAll,
    // Greeting and hello.
    /// EHLO does not wait for the greeting.
    SpeaksFirst,
    /// The greeting does not matter.
    IgnoresGreeting,
    /// The replies to EHLO and HELO do not matter.
    IgnoresHello,
    /// Never HELO.
    NoHelo,
    /// HELO, then EHLO.
    HeloFirst,
    /// Neither EHLO nor HELO.
    NoHello,
    /// This is what it calls itself.
    Name(&'static str),
    /// SIZE after HELO.
    SizeAfterHelo,
    /// A keyword that is not known ends the session.
    KnownKeywordsOnly,
    /// A keyword has no parameters, but for SIZE.
    BareKeywordsOnly,
    /// A reply to EHLO has at most 50 lines.
    FewKeywords,
    /// Keywords stand in upper case.
    UpperCaseKeywords,
    // Extensions.
    /// This is used, offered or not: SIZE, 8BITMIME, DSN, SMTPUTF8, CHUNKING, STARTTLS.
    Assumes(&'static str),
    /// The limit does not matter.
    NoLimit,
    /// Without a number above zero the limit is nothing.
    LimitOfZero(&'static str),
    /// What cannot be sent is dropped.
    DropsWhatCannotBeSent,
    /// SIZE has this value.
    SizeValue(&'static str),
    /// Octets above 127 go anywhere.
    EightBitAnywhere,
    /// Addresses with octets above 127 go anywhere.
    Utf8AddressAnywhere,
    /// Header sections with octets above 127 go anywhere.
    Utf8HeaderAnywhere,
    /// A parameter that begins so is left out.
    LeavesOut(&'static str),
    /// Octets above 127 of an address are question marks.
    ManglesUtf8,
    // Content.
    /// No dot is added.
    NoStuffing,
    /// The trace field has an LF of its own.
    BareLfInTrace,
    /// In the content this stands as that.
    Content(&'static str, &'static str),
    /// Lines are at most so long.
    WrapsLines(usize),
    /// Content is at most so long.
    CutsContent(usize),
    /// No trace field.
    NoTrace,
    /// This stands below the trace field.
    AddsField(&'static str),
    // Envelope.
    /// In the paths this stands as that.
    Path(&'static str, &'static str),
    /// Local parts are in lower case.
    LowersLocalParts,
    /// A null return path becomes postmaster's.
    NullBecomesPostmaster,
    /// At most so many recipients; the others are lost.
    LosesRecipientsAfter(usize),
    /// A transaction for each recipient.
    OneByOne,
    /// In the commands this stands as that.
    Command(&'static str, &'static str),
    // Order.
    /// All commands go at once, whatever is offered.
    PipelinesAlways,
    /// Content goes along with DATA.
    ContentWithData,
    /// RCPT comes before MAIL as well.
    RcptFirst,
    /// MAIL within a transaction whose recipients were refused.
    MailWithinTransaction,
    /// No QUIT.
    NoQuit,
    /// The connection ends with QUIT.
    ClosesWithQuit,
    /// NOOP after QUIT.
    NoopAfterQuit,
    /// The reply to DATA does not matter.
    IgnoresDataReply,
    /// NOOP within a group.
    NoopInGroup,
    /// Content for nobody.
    ContentForNobody,
    /// The reply to MAIL does not matter when there are more.
    IgnoresMailReply,
    // Failures.
    /// 4yz is a failure for ever.
    TransientIsPermanent(&'static str),
    /// 5yz is a failure for now.
    PermanentIsTransient(&'static str),
    /// 5yz leads to no notification.
    DropsRefused(&'static str),
    /// 5yz leads to a notification and to another attempt.
    ReturnsAndRetries(&'static str),
    /// Another attempt at once.
    RetriesAtOnce,
    /// Notifications come from postmaster.
    NotifiesAsPostmaster,
    /// Notifications for nobody go to the address in From.
    NotifiesNobody,
    /// One recipient refused, all refused.
    OneRefusedAllRefused,
    /// A notification names all recipients.
    NamesAllRecipients,
    /// Another attempt is for all recipients.
    RetriesForAll,
    /// 552 to RCPT is a failure for ever.
    TooManyIsPermanent,
    // 421 and lost connections.
    /// After 421 the session goes on.
    GoesOnAfter421(&'static str),
    /// 421 is a failure for ever.
    ClosingIsPermanent,
    /// A lost connection is a failure for ever.
    LostIsPermanent,
    /// After a connection was lost within the content only the rest is sent.
    ResumesContent,
    /// A connection that was lost behind the content has brought it.
    LostIsTaken,
    /// Half a reply is one.
    HalfAReplyCounts,
    // Chunks.
    /// A chunk's size is one less.
    ShortChunkSize,
    /// DATA after BDAT.
    DataAfterChunks,
    // TLS.
    /// No EHLO under TLS.
    NoHelloUnderTls,
    /// The offers before TLS count.
    KeepsOffers,
    /// STARTTLS under TLS.
    TlsTwice,
    /// NOOP along with STARTTLS.
    NoopWithStarttls,
    /// What came in plain text is read under TLS.
    KeepsPlainText,
    /// Without TLS the message is dropped.
    DropsWithoutTls,
}
