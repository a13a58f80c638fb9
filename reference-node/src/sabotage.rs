//! Deliberately broken behaviours: for each guarantee at least one that breaks it, so that every checker
//! is proven able to fail.
//!
//! Compiled in only with the feature `sabotage`; without it [`active`] is a constant `false` and the
//! broken branches are gone from the binary.

macro_rules! sabotages {
    ($($variant:ident = $name:literal breaks [$($id:literal),+]: $text:literal;)+) => {
        /// A deliberately broken behaviour.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Sabotage {
            $(#[doc = $text] $variant,)+
        }

        impl Sabotage {
            /// All of them, in the catalogue's order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Its name on the command line and in configurations.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What the broken node does, in words.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The guarantees that it breaks.
            pub const fn breaks(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($id),+],)+ }
            }

            /// The one of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|s| s.name() == name)
            }
        }
    };
}

sabotages! {
    AckBeforeCopy = "ack-before-copy" breaks ["SC-01"]: "acks when its own copy is safe, and makes the shadow copy afterwards";
    CopyOnlyForEhlo = "copy-only-for-ehlo" breaks ["SC-02"]: "makes no shadow copy for a client that said HELO";
    CloseAfterAck = "close-after-ack" breaks ["SC-03"]: "closes the sender's session after the ack";
    ShadowOnSelf = "shadow-on-self" breaks ["SC-04"]: "sends the shadow copy to itself";
    LocalFirst = "local-first" breaks ["SC-05"]: "asks the local site before the remote ones although the preference is PreferRemote";
    OneAttemptTooMany = "one-attempt-too-many" breaks ["SC-05", "SC-06", "SC-07", "SC-08"]: "asks one server more in each site than it may";
    TooFewAttempts = "too-few-attempts" breaks ["SC-05", "SC-06", "SC-07", "SC-08"]: "gives up one attempt too early in each site";
    FallBackToLocal = "fall-back-to-local" breaks ["SC-06"]: "asks the local site although the preference is RemoteOnly";
    RemoteWhenLocalOnly = "remote-when-local-only" breaks ["SC-07"]: "asks remote sites although the preference is LocalOnly";
    PreferenceEverywhere = "preference-everywhere" breaks ["SC-08"]: "heeds the preference outside of DAGs over several sites, too";
    RejectAlways = "reject-always" breaks ["SC-09", "TO-01"]: "refuses what it cannot copy although RejectMessageOnShadowFailure is false";
    AcceptUnshadowed = "accept-unshadowed" breaks ["SC-10", "SC-17"]: "accepts what it cannot copy although RejectMessageOnShadowFailure is true";
    KeepRefused = "keep-refused" breaks ["SC-10", "TC-11"]: "keeps and delivers a message that it refused with 451 4.4.0";
    CopyWhenDisabled = "copy-when-disabled" breaks ["SC-11"]: "makes shadow copies although ShadowRedundancyEnabled is false";
    NoCopyForOtherBoundaries = "no-copy-for-other-boundaries" breaks ["SC-13"]: "makes no shadow copy of what comes from another boundary";
    DeliverAcrossBoundaries = "deliver-across-boundaries" breaks ["SC-13"]: "delivers to a mailbox server of another boundary as if it were in its own";
    RefuseWhenAlone = "refuse-when-alone" breaks ["SC-17"]: "refuses mail when no other server may hold a copy, although RejectMessageOnShadowFailure is false";
    ResubmitExternal = "resubmit-external" breaks ["SC-14"]: "resubmits from Safety Net what was acknowledged outside the boundary";
    FrontEndAcksEarly = "front-end-acks-early" breaks ["SC-15"]: "a front end acks as soon as it has passed the end of data on";
    DiscardAtFirstSuccess = "discard-at-first-success" breaks ["SC-12"]: "lets the shadow of a message go once the first of its next hops is done";
    SingleRole = "single-role" breaks ["SC-16"]: "refuses to be shadow server while it is primary for a message";
    WaitForeverForCopy = "wait-forever-for-copy" breaks ["TO-01"]: "never gives up a session to a shadow server";
    DropWhenClientGone = "drop-when-client-gone" breaks ["TO-02", "TO-03"]: "drops a message when the sender's session is lost before the ack";
    OneShadowPerMessageId = "one-shadow-per-message-id" breaks ["TO-05"]: "makes no second copy for a Message-ID that it has copied before";
    NoInactivityTimeout = "no-inactivity-timeout" breaks ["TO-06"]: "never closes an idle session";
    EarlyInactivityTimeout = "early-inactivity-timeout" breaks ["TO-06"]: "closes an idle session after half of ConnectionInactivityTimeout";
    NoConnectionTimeout = "no-connection-timeout" breaks ["TO-07"]: "lets an inbound session last for as long as data flows";
    EarlyConnectionTimeout = "early-connection-timeout" breaks ["TO-07"]: "ends an inbound session after half of ConnectionTimeout";
    AcceptAnyTimeouts = "accept-any-timeouts" breaks ["TO-08"]: "accepts ConnectionInactivityTimeout above ConnectionTimeout";
    NoOutboundTimeout = "no-outbound-timeout" breaks ["TO-09"]: "waits for a next hop that says nothing for a year";
    EarlyOutboundTimeout = "early-outbound-timeout" breaks ["TO-09"]: "gives an outbound session up after half of the send connector's ConnectionInactivityTimeOut";
    NoDiscardInSession = "no-discard-in-session" breaks ["HB-01"]: "asks for discard notifications in heartbeats only";
    SlowHeartbeat = "slow-heartbeat" breaks ["HB-02"]: "waits three times ShadowHeartbeatFrequency";
    DiscardForEveryone = "discard-for-everyone" breaks ["HB-03"]: "answers XQDISCARD with the notifications of all servers";
    DropShadowUnasked = "drop-shadow-unasked" breaks ["HB-04"]: "drops its shadow messages at the first heartbeat that is answered";
    DiscardBeforeSideEffects = "discard-before-side-effects" breaks ["HB-05"]: "lets the shadow of a message go while its DSN or its forked copy is still on its way";
    ForgetDiscardsOnRestart = "forget-discards-on-restart" breaks ["HB-06"]: "keeps discard events in memory only";
    DropDiscardsEarly = "drop-discards-early" breaks ["HB-07"]: "drops discard events after half of ShadowMessageAutoDiscardInterval";
    KeepDiscardsForever = "keep-discards-forever" breaks ["HB-07"]: "never drops a discard event";
    NeverPromote = "never-promote" breaks ["HB-08", "RO-04"]: "never takes ownership of the shadow messages of a primary that stays away";
    PromoteTooEarly = "promote-too-early" breaks ["HB-09", "RO-05"]: "promotes after half of ShadowResubmitTimeSpan";
    AddUpOutages = "add-up-outages" breaks ["HB-09"]: "adds up the times of several short outages";
    IgnoreDatabaseId = "ignore-database-id" breaks ["HB-10", "RO-01"]: "does not notice that a primary came back with another database";
    NoCopyAfterPromotion = "no-copy-after-promotion" breaks ["HB-12"]: "makes no copy of a message that it has promoted";
    IgnoreLogPosition = "ignore-log-position" breaks ["HB-13", "VZ-06"]: "does not notice that a primary server's database went back to an earlier state";
    ExpireSilently = "expire-silently" breaks ["HB-11"]: "drops an expired message without a DSN";
    NeverExpire = "never-expire" breaks ["HB-11"]: "keeps messages in its queues for ever";
    ForgetQueueOnRestart = "forget-queue-on-restart" breaks ["RO-05", "RO-06", "TC-01", "VZ-01", "VZ-02"]: "starts with empty queues";
    NoPrimarySafetyNet = "no-primary-safety-net" breaks ["SN-01", "SN-11"]: "forgets a message once it is processed";
    NoShadowSafetyNet = "no-shadow-safety-net" breaks ["SN-02"]: "forgets a shadow message once it is discarded";
    ShortSafetyNet = "short-safety-net" breaks ["SN-03"]: "keeps Safety Net for half of SafetyNetHoldTime";
    EndlessSafetyNet = "endless-safety-net" breaks ["SN-03"]: "never lets a message leave Safety Net";
    ShadowNeverExpires = "shadow-never-expires" breaks ["SN-04"]: "keeps a shadow message that nobody acknowledges for ever";
    ShadowSafetyNetWhenDisabled = "shadow-safety-net-when-disabled" breaks ["SN-11"]: "makes copies, and keeps them in a shadow Safety Net, although ShadowRedundancyEnabled is false";
    SafetyNetSizeLimit = "safety-net-size-limit" breaks ["SN-12"]: "keeps no more than the newest hundred messages in Safety Net";
    NoDuplicateDetection = "no-duplicate-detection" breaks ["DD-01", "TO-04", "RO-02"]: "delivers to mailboxes whatever comes";
    SuppressByMessageId = "suppress-by-message-id" breaks ["DD-02"]: "takes messages with the same Message-ID for duplicates, whatever their submit time";
    ForgetDeliveredOnRestart = "forget-delivered-on-restart" breaks ["DD-03"]: "forgets at a restart what it has delivered";
    AdvertiseXshadowTo2010 = "advertise-xshadow-to-2010" breaks ["SC-18"]: "advertises XSHADOW to everybody";
    ResubmitTo2010 = "resubmit-to-2010" breaks ["SC-18"]: "resubmits from Safety Net what a 2010-style hub has acknowledged";
    ReleaseBeforeHubAcks = "release-before-hub-acks" breaks ["SC-18"]: "lets the shadow of a message for a 2010-style hub go before the hub has acknowledged it";
    NoDelayedAck = "no-delayed-ack" breaks ["SC-19"]: "a 2010-style hub acks as soon as the message is stored";
    DeleteBeforeReport = "delete-before-report" breaks ["SC-19"]: "a 2010-style hub deletes a message when the next hop has taken it";
    AckBeforeCommit = "ack-before-commit" breaks ["TC-01"]: "acks before its own copy is written";
    NoFsync = "no-fsync" breaks ["TC-02", "VZ-01"]: "never syncs its database";
    DeliverCutData = "deliver-cut-data" breaks ["TC-03"]: "takes the end of the connection for the end of the data";
    DeliverTwice = "deliver-twice" breaks ["RO-03", "TC-04"]: "sends every message to its next hop twice";
    NoRetry = "no-retry" breaks ["TC-05"]: "drops a message whose next hop says 4yz or cannot be reached";
    NoDsn = "no-dsn" breaks ["TC-06", "TC-09"]: "sends no delivery status notifications";
    DsnToNull = "dsn-to-null" breaks ["TC-06"]: "answers a failed message with a null return path with a DSN to the sender's postmaster";
    AckWhenFull = "ack-when-full" breaks ["TC-07"]: "acks mail that finds no room on the disk";
    StayFull = "stay-full" breaks ["TC-07"]: "goes on refusing mail when its disk has room again";
    AlterContent = "alter-content" breaks ["TC-08"]: "adds a line to the body";
    EndlessLoop = "endless-loop" breaks ["TC-09"]: "takes a message however many Received fields it has";
    PromoteOnReturn = "promote-on-return" breaks ["VZ-02"]: "promotes when a primary server is back after an outage, however short";
    ImpatientSessions = "impatient-sessions" breaks ["VZ-03"]: "gives a session to another server of the organization up when an answer takes longer than 35 ms";
    BareLfEndsData = "bare-lf-ends-data" breaks ["TC-10"]: "takes <LF>.<LF> for the end of the data";
    DeliverRefused = "deliver-refused" breaks ["TC-11"]: "delivers to recipients that it refused";
}

/// Whether the running node shall behave so. Without the feature this is never.
#[inline]
pub fn active(configured: Option<Sabotage>, sabotage: Sabotage) -> bool {
    cfg!(feature = "sabotage") && configured == Some(sabotage)
}
