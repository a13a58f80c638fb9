//! What can be wrong with the test's server.

/// A flaw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// In the reply to EHLO this line stands as that one; empty: not at all.
    Keyword(&'static str, &'static str),
    /// A line that contains this (as dialogues show it; a `$` means its end) is answered so, and has that answer's effect.
    Answer(&'static str, &'static str),
    /// The end of data is answered so.
    EndOfDataReply(&'static str),
    /// What is delivered has this text as that one.
    Delivery(&'static str, &'static str),
    /// This ends the data as well.
    EndOfData(&'static [u8]),
    /// A line of content is cut after so many octets.
    CutsContentLines(usize),
    /// The end of data is only seen when it comes in one piece.
    EndOfDataInOnePiece,
    /// Content is delivered although the connection ended before the end of data.
    DeliversCutContent,
    /// Content ends at a NUL.
    CutsAtNul,
    /// Content loses the high bits.
    StripsHighBits,
    /// A CR or LF of its own becomes CRLF.
    ConvertsBareLineEnds,
    /// Content may have any size.
    NoLimit,
    /// Content above the limit is refused at once, and its rest is taken for commands.
    ExecutesRefusedContent,
    /// What has come in one piece with a command is lost.
    LosesInput,
    /// Replies wait until all input is used.
    HoldsReplies,
    /// One refused recipient spoils a transaction.
    OneBadRecipientSpoilsAll,
    /// QUIT does not end the session.
    GoesOnBehindQuit,
    /// An LF of its own ends a command.
    LfEndsCommands,
    /// A CR of its own ends a command.
    CrEndsCommands,
    /// NUL disappears from commands.
    DropsNul,
    /// A command ends at a NUL.
    CutsCommandsAtNul,
    /// Arguments may have any octets.
    AllowsControlOctets,
    /// A line end within quotes ends no command.
    JoinsQuotedLines,
    /// An unknown command is repeated in the reply, with all its octets.
    Echoes,
    /// A command line is cut after so many octets.
    CutsCommandLines(usize),
    /// What comes before the greeting is answered before it.
    AnswersBeforeGreeting,
    /// HTTP is nothing special.
    ServesHttp,
    /// At the recipient of this number the connection ends.
    DiesOfRecipients(usize),
    /// More than sixty connections at once are the end.
    DiesOfConnections,
    /// A client waits until the one before it is gone.
    OneClientAtATime,
    /// A refused chunk is taken for commands.
    ExecutesRefusedChunks,
    /// A refused chunk is answered so.
    ChunkRefusal(&'static str),
    /// Dots are taken away from chunks.
    UnstuffsChunks,
    /// RSET keeps the chunks that have come.
    KeepsChunks,
    /// A session that has used BDAT may use no DATA.
    NoDataAfterChunks,
    /// A chunk's size is counted in 32 bits.
    CountsIn32Bits,
    /// No notification of success.
    NoNotification,
    /// Always a notification of success.
    AlwaysNotifies,
    /// A notification returns the whole message.
    ReturnsBody,
    /// Any octet may be in an xtext.
    AnyXtext,
    /// What came in one piece with STARTTLS is executed after the handshake.
    KeepsInputOverTls,
    /// What was said in EHLO before the handshake counts after it.
    KeepsHelloOverTls,
    /// A transaction from before the handshake goes on after it.
    KeepsTransactionOverTls,
    /// A greeting after the handshake.
    GreetsUnderTls,
    /// STARTTLS is offered under TLS.
    OffersTlsUnderTls,
    /// STARTTLS is accepted under TLS.
    AcceptsTlsUnderTls,
    /// No message is taken under TLS.
    NoDataUnderTls,
    /// Commands in place of a handshake are executed.
    ServesPlainText,
    /// AUTH within a transaction.
    AuthInTransaction,
    /// AUTH after AUTH.
    AuthTwice,
    /// An answer to a challenge is a command line, with its limit.
    LimitsAuthLines,
    /// Any credentials are right.
    AnyCredentials,
}
