//! The HTTP API's paths.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;

use super::{ApiError, Collection, ProxyView, input::body};
use crate::toxics::Toxic;

/// The API version that clients may ask for, and who it is that serves it.
const VERSION: &str = concat!("2.12.0+gauntlet.", env!("CARGO_PKG_VERSION"));

type Proxies = State<Arc<Collection>>;

/// Toxiproxy's API over these proxies.
pub fn router(proxies: Arc<Collection>) -> Router {
    Router::new()
        .route("/proxies", get(index).post(create))
        .route("/populate", post(populate))
        .route("/reset", post(reset))
        .route(
            "/proxies/{proxy}",
            get(show).post(update).patch(update).delete(delete),
        )
        .route("/proxies/{proxy}/toxics", get(toxics).post(add_toxic))
        .route(
            "/proxies/{proxy}/toxics/{toxic}",
            get(toxic)
                .post(change_toxic)
                .patch(change_toxic)
                .delete(remove_toxic),
        )
        .route("/version", get(version))
        .route("/metrics", get(metrics))
        .layer(middleware::from_fn(no_browsers))
        .with_state(proxies)
}

/// A page in a browser must not reach into what is tested.
async fn no_browsers(request: Request, next: Next) -> Response {
    let agent = request.headers().get(header::USER_AGENT);
    if agent.is_some_and(|agent| agent.as_bytes().starts_with(b"Mozilla/")) {
        return (StatusCode::FORBIDDEN, "User agent not allowed\n").into_response();
    }
    next.run(request).await
}

async fn index(State(proxies): Proxies) -> impl IntoResponse {
    Json(proxies.all().await)
}

async fn create(
    State(proxies): Proxies,
    octets: Bytes,
) -> Result<(StatusCode, Json<ProxyView>), ApiError> {
    let view = proxies.create(&body(&octets)?).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// What was made, and what went wrong with the rest.
#[derive(Serialize)]
struct Populated {
    #[serde(flatten)]
    error: Option<ApiError>,
    proxies: Vec<ProxyView>,
}

async fn populate(State(proxies): Proxies, octets: Bytes) -> (StatusCode, Json<Populated>) {
    let (proxies, done) = proxies.populate(&octets).await;
    let error = done.err();
    let status = error
        .as_ref()
        .map_or(StatusCode::CREATED, ApiError::status_code);
    (status, Json(Populated { error, proxies }))
}

async fn reset(State(proxies): Proxies) -> Result<StatusCode, ApiError> {
    proxies.reset().await.map(|()| StatusCode::NO_CONTENT)
}

async fn show(
    State(proxies): Proxies,
    Path(proxy): Path<String>,
) -> Result<Json<ProxyView>, ApiError> {
    proxies.show(&proxy).await.map(Json)
}

async fn update(
    State(proxies): Proxies,
    Path(proxy): Path<String>,
    octets: Bytes,
) -> Result<Json<ProxyView>, ApiError> {
    // Whether there is such a proxy comes before what the body says.
    proxies.show(&proxy).await?;
    proxies.update(&proxy, &body(&octets)?).await.map(Json)
}

async fn delete(
    State(proxies): Proxies,
    Path(proxy): Path<String>,
) -> Result<StatusCode, ApiError> {
    proxies.delete(&proxy).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn toxics(
    State(proxies): Proxies,
    Path(proxy): Path<String>,
) -> Result<Json<Vec<Toxic>>, ApiError> {
    proxies.toxics(&proxy).await.map(Json)
}

async fn add_toxic(
    State(proxies): Proxies,
    Path(proxy): Path<String>,
    octets: Bytes,
) -> Result<Json<Toxic>, ApiError> {
    proxies.add_toxic(&proxy, &octets).await.map(Json)
}

async fn toxic(
    State(proxies): Proxies,
    Path((proxy, toxic)): Path<(String, String)>,
) -> Result<Json<Toxic>, ApiError> {
    proxies.toxic(&proxy, &toxic).await.map(Json)
}

async fn change_toxic(
    State(proxies): Proxies,
    Path((proxy, toxic)): Path<(String, String)>,
    octets: Bytes,
) -> Result<Json<Toxic>, ApiError> {
    let changed = proxies.change_toxic(&proxy, &toxic, &octets).await;
    changed.map(Json)
}

async fn remove_toxic(
    State(proxies): Proxies,
    Path((proxy, toxic)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    proxies.remove_toxic(&proxy, &toxic).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn version() -> impl IntoResponse {
    let json = [(header::CONTENT_TYPE, "application/json;charset=utf-8")];
    (json, format!("{{\"version\": \"{VERSION}\"}}\n"))
}

async fn metrics(State(proxies): Proxies) -> impl IntoResponse {
    let text = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (text, proxies.metrics().await)
}
