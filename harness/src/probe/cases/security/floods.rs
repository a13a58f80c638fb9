//! Too much at once, or too little for too long.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::probe::{
    case::{Case, Need},
    connection::Heard,
    context::{Context, HELLO, connect},
    outcome::{Checked, Stop},
};

const SOURCE: &str = "RFC 5321 §7.8";

pub(super) const CASES: &[Case] = &[
    Case::security(
        "security/recipient-flood",
        "RFC 5321 §4.5.3.1.8, §4.5.3.1.10, §7.8",
        "Each of 3,000 recipients is answered, at the latest with 452 or 421, and the session can be reset.",
        |c| Box::pin(recipient_flood(c)),
    )
    .needs(&[Need::Alone]),
    Case::security(
        "security/connection-flood",
        SOURCE,
        "One hundred connections at once are greeted or refused, and when they are gone a new one is served.",
        |c| Box::pin(connection_flood(c)),
    )
    .needs(&[Need::Alone]),
    Case::security(
        "security/half-sent-commands",
        SOURCE,
        "Forty clients that have sent half a command keep nobody else from being served.",
        |c| Box::pin(half_sent_commands(c)),
    )
    .needs(&[Need::Alone]),
    Case::security(
        "security/half-sent-content",
        SOURCE,
        "Twenty clients that stopped in the middle of their content keep nobody else from being served.",
        |c| Box::pin(half_sent_content(c)),
    )
    .needs(&[Need::Alone]),
    Case::security(
        "security/unread-replies",
        SOURCE,
        "A client that sends commands and reads no reply keeps nobody else from being served.",
        |c| Box::pin(unread_replies(c)),
    )
    .needs(&[Need::Alone]),
    Case::security(
        "security/slow-client",
        "RFC 5321 §4.5.3.2.7, §7.8",
        "A client that sends an octet every two seconds for two minutes is answered, or its session is ended with 421; others are served meanwhile.",
        |c| Box::pin(slow_client(c)),
    )
    .needs(&[Need::Slow]),
];

/// Somebody else is greeted, and EHLO is answered.
async fn others_are_served(c: &Context, meanwhile: &str) -> Checked {
    let served = async {
        let mut s = c.connect().await?;
        s.reply().await?.expect("220")?;
        s.ask(format!("EHLO {HELLO}")).await?.expect("250")?;
        s.quit().await;
        Ok(())
    };
    served.await.map_err(|stop: Stop| match stop {
        // A 421 to the others is what the flood wanted.
        Stop::Inconclusive(why) => Stop::failed(format!("service for others {meanwhile}"), why),
        other => other.with(&format!("others are served {meanwhile}")),
    })
}

async fn recipient_flood(c: &mut Context) -> Checked {
    const RECIPIENTS: usize = 3000;
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    let rcpt = format!("RCPT TO:<{}>\r\n", c.to());
    // RFC 2920 §3.1: in one piece only where that is offered.
    let pipelined = s.offers("PIPELINING");
    if pipelined {
        for _ in 0..RECIPIENTS {
            s.owe("RCPT");
        }
        s.send(rcpt.repeat(RECIPIENTS)).await;
    }
    for number in 1..=RECIPIENTS {
        if !pipelined {
            s.owe("RCPT");
            s.send(&rcpt).await;
        }
        let reply = match s.hear(s.timeout()).await {
            Heard::Reply(reply) => reply,
            // An end without a word is no answer, but after one that says so it is.
            other => {
                return Err(Stop::failed(
                    format!("a reply to recipient {number} of {RECIPIENTS}"),
                    format!("{other:?}"),
                ));
            }
        };
        if reply.is("421|521") {
            return others_are_served(c, "after a flood of recipients").await;
        }
        reply.expect("250|251|4yz|5yz")?;
    }
    s.ask("RSET").await?.expect("250")?;
    s.quit().await;
    Ok(())
}

async fn connection_flood(c: &mut Context) -> Checked {
    let mut connections = Vec::new();
    for _ in 0..100 {
        // One that is not accepted is refused: that is the server's good right, too.
        if let Ok(connection) = c.connect().await {
            connections.push(connection);
        }
    }
    let patience = c.probe().timeout.min(Duration::from_secs(2));
    for connection in &mut connections {
        match connection.hear(patience).await {
            Heard::Reply(reply) if reply.is("220|421|4yz|5yz") => {}
            // Refused, or kept waiting: a bound on sessions may do either.
            Heard::Closed(rest) | Heard::Silence(rest) if rest.is_empty() => {}
            Heard::Broken(_) => {}
            other => {
                return Err(Stop::failed(
                    "a greeting, a refusal or the end",
                    format!("{other:?}"),
                ));
            }
        }
    }
    drop(connections);
    served_again(c).await
}

/// The flood is over: within the patience for a reply somebody is served again.
async fn served_again(c: &Context) -> Checked {
    let mut last = Ok(());
    for _ in 0..10 {
        last = others_are_served(c, "after the flood").await;
        if last.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    last
}

async fn half_sent_commands(c: &mut Context) -> Checked {
    let mut connections = Vec::new();
    for _ in 0..40 {
        let mut s = match c.greeted().await {
            Ok(s) => s,
            Err(stop) if connections.is_empty() => return Err(stop),
            // Whether the next one is served is asked below.
            Err(_) => break,
        };
        s.send("EHLO exam").await;
        connections.push(s);
    }
    let served = others_are_served(c, "beside forty half-sent commands").await;
    drop(connections);
    served
}

async fn half_sent_content(c: &mut Context) -> Checked {
    let mut connections = Vec::new();
    for _ in 0..20 {
        let mut s = match c.in_data().await {
            Ok(s) => s,
            Err(stop) if connections.is_empty() => return Err(stop),
            Err(_) => break,
        };
        s.send(c.message(&c.token(), "never ended")).await;
        connections.push(s);
    }
    let served = others_are_served(c, "beside twenty half-sent messages").await;
    drop(connections);
    served
}

async fn unread_replies(c: &mut Context) -> Checked {
    // Not a `Connection`, which reads while it sends.
    let mut stream = connect(c.probe(), c.probe().timeout)
        .await
        .map_err(|error| Stop::inconclusive(format!("no connection: {error}")))?;
    // The greeting is read, so that the server is at work on this client. Replies of two hundred octets to commands of
    // eighteen are more than all buffers on the way hold.
    let greeted = timeout(c.probe().timeout, stream.read(&mut [0; 512])).await;
    if !matches!(greeted, Ok(Ok(1..))) {
        return Err(Stop::inconclusive("the server does not greet"));
    }
    let piece = format!("EHLO {HELLO}\r\n").repeat(3000);
    for _ in 0..20 {
        // A server that does not read on until it could write is right.
        let sent = timeout(
            Duration::from_millis(500),
            stream.write_all(piece.as_bytes()),
        )
        .await;
        if !matches!(sent, Ok(Ok(()))) {
            break;
        }
    }
    let served = others_are_served(c, "beside a client that reads nothing").await;
    drop(stream);
    served
}

async fn slow_client(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.owe("NOOP");
    let line = format!("NOOP {}\r\n", "x".repeat(53));
    for (number, octet) in line.bytes().enumerate() {
        s.send([octet]).await;
        match s.hear(Duration::from_secs(2)).await {
            Heard::Silence(_) => {}
            Heard::Reply(reply) if reply.is("421|451") => return Ok(()),
            Heard::Reply(reply) if number + 1 == line.len() => return reply.expect("250"),
            Heard::Closed(_) | Heard::Broken(_) => {
                return Err(Stop::failed(
                    "a reply of 421 before the end of a session",
                    "the end without a word",
                ));
            }
            Heard::Reply(reply) => {
                return Err(reply.unexpected("no reply before the end of the line"));
            }
        }
        if number % 15 == 0 {
            others_are_served(c, "beside a slow client").await?;
        }
    }
    s.reply().await?.expect("250")
}
