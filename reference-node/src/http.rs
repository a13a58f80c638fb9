//! The read-only HTTP endpoint, for loopback: `/ready`, `/view`, `/mailboxes`, and single messages.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
    serve::Listener,
};
use serde::Serialize;

use crate::{env::Timestamp, member::Member, store::StoreError};

#[derive(Serialize)]
struct Ready<'a> {
    node: &'a str,
    database: &'a str,
    listening: &'a str,
    poisoned: Option<&'a str>,
}

#[derive(Serialize)]
struct Mailbox {
    address: String,
    messages: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    delivered_at_ms: Timestamp,
    from: String,
    size: usize,
}

/// Serves the endpoint until the process ends.
///
/// # Errors
/// The listener failed.
pub async fn serve<L>(node: Member, listener: L) -> std::io::Result<()>
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    let app = Router::new()
        .route("/ready", get(ready))
        .route("/view", get(view))
        .route("/mailboxes", get(mailboxes))
        .route("/mailboxes/{address}/{index}", get(message))
        .with_state(node);
    axum::serve(listener, app).await
}

async fn ready(State(node): State<Member>) -> Response {
    let poisoned = node.failure();
    let status = if poisoned.is_some() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    let body = Ready {
        node: &node.config().name,
        database: node.database_id(),
        listening: node.address(),
        poisoned,
    };
    (status, Json(body)).into_response()
}

async fn view(State(node): State<Member>) -> Response {
    match node.view() {
        Ok(view) => Json(view).into_response(),
        Err(error) => failed(&error),
    }
}

async fn mailboxes(State(node): State<Member>) -> Response {
    match node.mailboxes() {
        Ok(all) => {
            let list = all.into_iter().map(|(address, messages)| Mailbox {
                address,
                messages: messages
                    .into_iter()
                    .map(|m| Entry {
                        delivered_at_ms: m.delivered,
                        from: m.from,
                        size: m.content.len(),
                    })
                    .collect(),
            });
            Json(list.collect::<Vec<_>>()).into_response()
        }
        Err(error) => failed(&error),
    }
}

/// The `index`-th message of a mailbox, from 0, as octets.
async fn message(
    State(node): State<Member>,
    Path((address, index)): Path<(String, usize)>,
) -> Response {
    match node.mailboxes() {
        Ok(all) => {
            let found = all
                .into_iter()
                .find(|(a, _)| *a == address)
                .and_then(|(_, messages)| messages.into_iter().nth(index));
            match found {
                Some(message) => {
                    ([(header::CONTENT_TYPE, "message/rfc822")], message.content).into_response()
                }
                None => (StatusCode::NOT_FOUND, "no such message\n").into_response(),
            }
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &StoreError) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
}
