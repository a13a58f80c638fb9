//! Both clients against a server that follows a script.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex},
    task::JoinHandle,
    time::Instant,
};

use super::*;
use crate::workload::{lettre_client::LettreSession, testing::plain_content};

const PATIENCE: Duration = Duration::from_secs(600);

/// What the server does at a command.
#[derive(Clone, Copy)]
enum Do {
    /// Says this.
    Say(&'static str),
    /// Says this and closes.
    Close(&'static str),
    /// Says nothing for ever.
    Hang,
}

/// Answers the first command that begins with a script line's word with what stands there; everything else as
/// usual. `.` stands for the end of data, `+` for the greeting, `~` for the content (before a single octet of it is
/// read). Returns all that it read.
fn serve(mut stream: DuplexStream, script: Vec<(&'static str, Do)>) -> JoinHandle<String> {
    tokio::spawn(async move {
        let mut script: Vec<_> = script.into_iter().map(Some).collect();
        let mut take = move |line: &str| {
            let at = script
                .iter()
                .position(|s| s.is_some_and(|(word, _)| line.starts_with(word)))?;
            script[at].take().map(|(_, what)| what)
        };
        let mut heard = String::new();
        let mut act = Some(take("+").unwrap_or(Do::Say("220 n1")));
        let (read, mut write) = tokio::io::split(&mut stream);
        let mut read = BufReader::new(read);
        let mut in_data = false;
        loop {
            match act.take() {
                Some(Do::Say(reply)) => write
                    .write_all(format!("{reply}\r\n").as_bytes())
                    .await
                    .unwrap_or(()),
                Some(Do::Close(reply)) => {
                    if !reply.is_empty() {
                        write
                            .write_all(format!("{reply}\r\n").as_bytes())
                            .await
                            .unwrap_or(());
                    }
                    return heard;
                }
                Some(Do::Hang) => {
                    std::future::pending::<()>().await;
                }
                None => {}
            }
            if in_data && let Some(wanted) = take("~") {
                act = Some(wanted);
                continue;
            }
            let mut line = Vec::new();
            if read.read_until(b'\n', &mut line).await.unwrap_or(0) == 0 {
                return heard;
            }
            let line = String::from_utf8_lossy(&line).into_owned();
            heard.push_str(&line);
            if in_data {
                in_data = line != ".\r\n";
                if !in_data {
                    act = Some(take(".").unwrap_or(Do::Say("250 taken")));
                }
                continue;
            }
            if let Some(rest) = line.strip_prefix("BDAT ") {
                let size = rest
                    .split_whitespace()
                    .next()
                    .and_then(|n| n.parse().ok())
                    .unwrap_or(0);
                let mut chunk = vec![0; size];
                let got = read.read_exact(&mut chunk).await;
                heard.push_str(&format!("<{size} octets>\r\n"));
                if got.is_err() {
                    return heard;
                }
            }
            let usual = match line.split_whitespace().next().unwrap_or_default() {
                "EHLO" => "250-n1\r\n250-SIZE\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 CHUNKING",
                "DATA" => "354 go",
                "QUIT" => "221 bye",
                _ => "250 ok",
            };
            let wanted = take(&line).unwrap_or(Do::Say(usual));
            in_data =
                line == "DATA\r\n" && matches!(wanted, Do::Say(reply) if reply.starts_with("354"));
            act = Some(wanted);
        }
    })
}

fn to() -> Vec<String> {
    vec!["a@mailbox.example".into(), "b@external.example".into()]
}

fn mail<'a>(content: &'a Content, recipients: &'a [String]) -> Mail<'a> {
    Mail {
        from: "s@t.example",
        recipients,
        content,
        transfer: Transfer::Data,
        cut: None,
    }
}

/// One message with our own client: what came of it, how often the end of data was told, what the server heard.
async fn raw(
    script: Vec<(&'static str, Do)>,
    hello: Hello,
    mail: Mail<'_>,
) -> (Submitted, u32, String) {
    let (near, far) = duplex(4096);
    let server = serve(far, script);
    let mut told = 0;
    let submitted = match Session::open(Box::new(near), "client-1", hello, PATIENCE).await {
        Ok(mut session) => {
            let submitted = session.submit(mail, &mut || told += 1).await;
            session.quit(Duration::from_secs(1)).await;
            submitted
        }
        Err(why) => Submitted::not_opened(why),
    };
    // Of a server that hangs, what it heard is not known.
    let heard = timeout(Duration::from_secs(1), server).await;
    (
        submitted,
        told,
        heard.map_or_else(
            |_| "[hangs]".into(),
            |heard| heard.expect("the server does not panic"),
        ),
    )
}

/// The same with lettre's.
async fn lettre(script: Vec<(&'static str, Do)>, mail: Mail<'_>) -> (Submitted, u32, String) {
    let (near, far) = duplex(4096);
    let server = serve(far, script);
    let told = Arc::new(AtomicU32::new(0));
    let submitted = match LettreSession::open(Box::new(near), "client-1", PATIENCE).await {
        Ok(mut session) => {
            let count = told.clone();
            let sent = Box::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
            });
            let submitted = session.submit(mail, sent).await;
            session.quit(Duration::from_secs(1)).await;
            submitted
        }
        Err(why) => Submitted::not_opened(why),
    };
    let heard = timeout(Duration::from_secs(1), server).await;
    let heard = heard.map_or_else(
        |_| "[hangs]".into(),
        |heard| heard.expect("the server does not panic"),
    );
    (submitted, told.load(Ordering::Relaxed), heard)
}

fn summary(submitted: &Submitted, told: u32) -> String {
    let reply = submitted
        .reply
        .as_ref()
        .map_or_else(|| "no reply".into(), |r| format!("{} {}", r.code, r.text));
    let refused: Vec<_> = submitted
        .refused
        .iter()
        .map(|(to, reply)| format!("{to}: {}", reply.code))
        .collect();
    format!(
        "{:?}, {reply}, refused [{}], {}, data sent {told}",
        submitted.outcome,
        refused.join(", "),
        submitted.error.as_deref().unwrap_or("no error")
    )
}

#[tokio::test(start_paused = true)]
async fn a_transaction_as_it_is_on_the_wire() {
    let (content, to) = (plain_content(), to());
    let script = vec![("RCPT TO:<b", Do::Say("550-5.1.1 no\r\n550 5.1.1 such user"))];
    let (submitted, told, heard) = raw(script.clone(), Hello::Ehlo, mail(&content, &to)).await;
    assert_eq!(
        summary(&submitted, told),
        "Acked, 250 taken, refused [b@external.example: 550], no error, data sent 1"
    );
    assert_eq!(
        submitted.refused["b@external.example"].text,
        "5.1.1 no\n5.1.1 such user"
    );
    insta::assert_snapshot!(heard.replace("\r\n", "\n"), @"
    EHLO client-1
    MAIL FROM:<s@t.example> SIZE=52
    RCPT TO:<a@mailbox.example>
    RCPT TO:<b@external.example>
    DATA
    X-Gauntlet-Message: 1.1
    Message-ID: <1@t>

    ..dot
    .
    QUIT
    ");

    // lettre gives up at the first refusal, and sends nothing.
    let (submitted, told, heard) = lettre(script, mail(&content, &to)).await;
    assert_eq!(
        summary(&submitted, told),
        "Refused, 550 5.1.1 no\n5.1.1 such user, refused [b@external.example: 550], no error, data sent 0"
    );
    assert!(
        heard.ends_with("RCPT TO:<b@external.example>\r\nQUIT\r\n"),
        "{heard}"
    );
}

#[tokio::test(start_paused = true)]
async fn both_clients_send_the_same_content() {
    let to = to();
    let mut content = plain_content();
    content.octets = "X-Gauntlet-Message: 1.1\r\n\r\n..\r\n.é\r\n\r\n".into();
    let (_, _, raw) = raw(vec![], Hello::Ehlo, mail(&content, &to)).await;
    let (submitted, told, lettre) = lettre(vec![], mail(&content, &to)).await;
    assert_eq!(
        summary(&submitted, told),
        "Acked, 250 taken, refused [], no error, data sent 1"
    );
    let data = |heard: &str| {
        heard
            .split_once("DATA\r\n")
            .map(|(_, rest)| rest.to_owned())
    };
    assert_eq!(data(&raw), data(&lettre));
    assert!(
        raw.contains("MAIL FROM:<s@t.example> SIZE=38 BODY=8BITMIME\r\n"),
        "{raw}"
    );
    assert!(raw.contains("\r\n\r\n...\r\n..é\r\n\r\n.\r\nQUIT"), "{raw}");
}

/// Every way to end a transaction, with both clients.
#[tokio::test(start_paused = true)]
async fn outcomes() {
    let to = to();
    let mut content = plain_content();
    // More than the stream takes at once.
    content.octets.extend_from_slice(&b"line\r\n".repeat(4000));
    let cases = [
        (
            "the greeting refuses",
            vec![("+", Do::Close("554 go away"))],
        ),
        ("no greeting", vec![("+", Do::Close(""))]),
        ("EHLO is refused", vec![("EHLO", Do::Say("550 no"))]),
        ("MAIL is refused", vec![("MAIL", Do::Say("452 full"))]),
        (
            "all recipients are refused",
            vec![("RCPT", Do::Say("450 a")), ("RCPT", Do::Say("550 b"))],
        ),
        ("DATA is refused", vec![("DATA", Do::Say("451 later"))]),
        ("closed at DATA", vec![("DATA", Do::Close(""))]),
        ("closed in the content", vec![("~", Do::Close(""))]),
        ("421 in the content", vec![("~", Do::Close("421 too long"))]),
        ("silence in the content", vec![("~", Do::Hang)]),
        (
            "refused at the end",
            vec![(
                ".",
                Do::Say("451 4.4.0 Message failed to be made redundant"),
            )],
        ),
        ("closed at the end", vec![(".", Do::Close(""))]),
        ("silence at the end", vec![(".", Do::Hang)]),
        ("nonsense at the end", vec![(".", Do::Say("what?"))]),
        ("354 at the end", vec![(".", Do::Say("354 more"))]),
        ("acked and closed", vec![(".", Do::Close("250 taken"))]),
    ];
    let mut table = String::new();
    for (name, script) in cases {
        let (ours, told, _) = raw(script.clone(), Hello::Ehlo, mail(&content, &to)).await;
        table.push_str(&format!("{name}\n  raw    {}\n", summary(&ours, told)));
        let (theirs, told, _) = lettre(script, mail(&content, &to)).await;
        table.push_str(&format!("  lettre {}\n", summary(&theirs, told)));
    }
    insta::assert_snapshot!(table, @"
    the greeting refuses
      raw    Refused, 554 go away, refused [], no error, data sent 0
      lettre Refused, 554 go away, refused [], no error, data sent 0
    no greeting
      raw    Unsent, no reply, refused [], the connection was closed, data sent 0
      lettre Unsent, no reply, refused [], response error: incomplete response, data sent 0
    EHLO is refused
      raw    Refused, 550 no, refused [], no error, data sent 0
      lettre Refused, 550 no, refused [], no error, data sent 0
    MAIL is refused
      raw    Refused, 452 full, refused [], no error, data sent 0
      lettre Refused, 452 full, refused [], no error, data sent 0
    all recipients are refused
      raw    Refused, 550 b, refused [a@mailbox.example: 450, b@external.example: 550], no error, data sent 0
      lettre Refused, 450 a, refused [a@mailbox.example: 450], no error, data sent 0
    DATA is refused
      raw    Refused, 451 later, refused [], no error, data sent 0
      lettre Refused, 451 later, refused [], no error, data sent 0
    closed at DATA
      raw    Unsent, no reply, refused [], the connection was closed, data sent 0
      lettre Unsent, no reply, refused [], response error: incomplete response, data sent 0
    closed in the content
      raw    Unsent, no reply, refused [], broken pipe, data sent 0
      lettre Unsent, no reply, refused [], network error: broken pipe, data sent 0
    421 in the content
      raw    Refused, 421 too long, refused [], no error, data sent 0
      lettre Unsent, no reply, refused [], network error: broken pipe, data sent 0
    silence in the content
      raw    Unsent, no reply, refused [], no room to write within 600s, data sent 0
      lettre Unsent, no reply, refused [], network error: nothing moved within 600s, data sent 0
    refused at the end
      raw    Refused, 451 4.4.0 Message failed to be made redundant, refused [], no error, data sent 1
      lettre Refused, 451 4.4.0 Message failed to be made redundant, refused [], no error, data sent 1
    closed at the end
      raw    Indeterminate, no reply, refused [], the connection was closed, data sent 1
      lettre Indeterminate, no reply, refused [], response error: incomplete response, data sent 1
    silence at the end
      raw    Indeterminate, no reply, refused [], no reply to the end of data within 600s, data sent 1
      lettre Indeterminate, no reply, refused [], network error: nothing moved within 600s, data sent 1
    nonsense at the end
      raw    Indeterminate, no reply, refused [], no SMTP reply: what?, data sent 1
      lettre Indeterminate, no reply, refused [], response error: error Tag at: what?, data sent 1
    354 at the end
      raw    Indeterminate, 354 more, refused [], the reply has a code that fits nothing, data sent 1
      lettre Indeterminate, 354 more, refused [], the reply has a code that fits nothing, data sent 1
    acked and closed
      raw    Acked, 250 taken, refused [], no error, data sent 1
      lettre Acked, 250 taken, refused [], no error, data sent 1
    ");
}

#[tokio::test(start_paused = true)]
async fn patience_ends_at_its_time() {
    let (content, to) = (plain_content(), to());
    for kind in ["raw", "lettre"] {
        let began = Instant::now();
        let script = vec![(".", Do::Hang)];
        let (submitted, told, _) = match kind {
            "raw" => raw(script, Hello::Ehlo, mail(&content, &to)).await,
            _ => lettre(script, mail(&content, &to)).await,
        };
        assert_eq!(
            (submitted.outcome, told),
            (Outcome::Indeterminate, 1),
            "{kind}"
        );
        let waited = began.elapsed();
        // The server is waited for one second more.
        assert!(
            (PATIENCE..PATIENCE + Duration::from_secs(3)).contains(&waited),
            "{kind}: {waited:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn cuts_are_exact() {
    let (content, to) = (plain_content(), to());
    let mut ends = String::new();
    for transfer in [Transfer::Data, Transfer::Bdat] {
        for cut in [Cut::MidData, Cut::BeforeEndOfData, Cut::AfterEndOfData] {
            let mail = Mail {
                cut: Some(cut),
                transfer,
                ..mail(&content, &to)
            };
            let (submitted, told, heard) = raw(vec![], Hello::Ehlo, mail).await;
            let heard = heard
                .split_once("RCPT TO:<b@external.example>\r\n")
                .map_or(heard.as_str(), |(_, rest)| rest);
            ends.push_str(&format!(
                "{transfer:?} {cut:?}: {}\n  {heard:?}\n",
                summary(&submitted, told)
            ));
        }
    }
    insta::assert_snapshot!(ends, @r#"
    Data MidData: Unsent, no reply, refused [], the client broke off in the middle of the content, data sent 0
      "DATA\r\nX-Gauntlet-Message: 1.1\r\nM"
    Data BeforeEndOfData: Unsent, no reply, refused [], the client broke off before the end of data, data sent 0
      "DATA\r\nX-Gauntlet-Message: 1.1\r\nMessage-ID: <1@t>\r\n\r\n..dot\r\n"
    Data AfterEndOfData: Indeterminate, no reply, refused [], the client broke off after the end of data, data sent 1
      "DATA\r\nX-Gauntlet-Message: 1.1\r\nMessage-ID: <1@t>\r\n\r\n..dot\r\n.\r\n"
    Bdat MidData: Unsent, no reply, refused [], the client broke off in the middle of the content, data sent 0
      "BDAT 52 LAST\r\n<52 octets>\r\n"
    Bdat BeforeEndOfData: Unsent, no reply, refused [], the client broke off before the end of data, data sent 0
      "BDAT 52\r\n<52 octets>\r\n"
    Bdat AfterEndOfData: Indeterminate, no reply, refused [], the client broke off after the end of data, data sent 1
      "BDAT 52 LAST\r\n<52 octets>\r\n"
    "#);
}

#[tokio::test(start_paused = true)]
async fn large_messages_go_in_chunks() {
    let to = to();
    let mut content = plain_content();
    content.octets = vec![b'x'; 150 * 1024];
    let mail = Mail {
        transfer: Transfer::Bdat,
        ..mail(&content, &to)
    };
    let (submitted, told, heard) = raw(vec![], Hello::Ehlo, mail).await;
    assert_eq!(
        summary(&submitted, told),
        "Acked, 250 ok, refused [], no error, data sent 1"
    );
    assert!(
        heard.ends_with(
            "BDAT 65536\r\n<65536 octets>\r\nBDAT 65536\r\n<65536 octets>\r\nBDAT 22528 LAST\r\n<22528 octets>\r\nQUIT\r\n"
        ),
        "{heard}"
    );
    let (submitted, told, _) = raw(vec![("BDAT", Do::Say("452 full"))], Hello::Ehlo, mail).await;
    assert_eq!(
        summary(&submitted, told),
        "Refused, 452 full, refused [], no error, data sent 0"
    );
}

#[tokio::test(start_paused = true)]
async fn helo_knows_no_extensions() {
    let (content, to) = (plain_content(), to());
    let mail = Mail {
        transfer: Transfer::Bdat,
        ..mail(&content, &to)
    };
    let (_, _, heard) = raw(vec![], Hello::Helo, mail).await;
    assert!(
        heard.starts_with("HELO client-1\r\nMAIL FROM:<s@t.example>\r\nRCPT"),
        "{heard}"
    );
    assert!(heard.contains("DATA\r\n"), "{heard}");
    let utf8 = vec!["é@mailbox.example".to_owned()];
    let (submitted, told, _) = raw(
        vec![],
        Hello::Helo,
        Mail {
            recipients: &utf8,
            ..mail
        },
    )
    .await;
    assert_eq!(
        summary(&submitted, told),
        "Unsent, no reply, refused [], an address needs SMTPUTF8, which the server does not offer, data sent 0"
    );
    let (_, _, heard) = raw(
        vec![],
        Hello::Ehlo,
        Mail {
            recipients: &utf8,
            ..mail
        },
    )
    .await;
    assert!(
        heard.contains("MAIL FROM:<s@t.example> SIZE=52 SMTPUTF8\r\n"),
        "{heard}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_on_after_refusals() {
    let (content, to) = (plain_content(), to());
    let (near, far) = duplex(4096);
    let script = vec![
        ("RCPT", Do::Say("550 a")),
        ("RCPT", Do::Say("550 b")),
        (".", Do::Say("451 not now")),
        ("NOOP", Do::Say("250 still here")),
    ];
    let server = serve(far, script);
    let mut session = Session::open(Box::new(near), "client-1", Hello::Ehlo, PATIENCE)
        .await
        .expect("it opens");
    let outcomes = Mutex::new(Vec::new());
    for _ in 0..3 {
        let submitted = session.submit(mail(&content, &to), &mut || {}).await;
        outcomes.lock().expect("no panic").push(submitted.outcome);
        assert!(session.probe().await);
    }
    session.quit(PATIENCE).await;
    assert_eq!(
        *outcomes.lock().expect("no panic"),
        [Outcome::Refused, Outcome::Refused, Outcome::Acked]
    );
    let heard = server.await.expect("the server does not panic");
    assert_eq!(
        heard.matches("RSET\r\n").count(),
        1,
        "only after a transaction that was left open: {heard}"
    );
}

#[tokio::test(start_paused = true)]
async fn unasked_replies_are_heard() {
    let (near, mut far) = duplex(4096);
    let server = tokio::spawn(async move {
        far.write_all(b"220 n1\r\n250 n1\r\n")
            .await
            .expect("it is open");
        tokio::time::sleep(Duration::from_secs(300)).await;
        far.write_all(b"421 idle\r\n").await.expect("it is open");
    });
    let mut session = Session::open(Box::new(near), "c", Hello::Helo, PATIENCE)
        .await
        .expect("it opens");
    assert_eq!(session.unasked(Duration::from_secs(299)).await, Ok(None));
    let reply = session.unasked(Duration::from_secs(2)).await;
    assert_eq!(
        reply,
        Ok(Some(Reply {
            code: 421,
            text: "idle".into()
        }))
    );
    server.await.expect("the server does not panic");
    assert_eq!(
        session.unasked(Duration::from_secs(2)).await,
        Err(Broken::Closed)
    );
}
