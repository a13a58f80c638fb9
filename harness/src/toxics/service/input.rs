//! What clients write: proxies and toxics as JSON, with Toxiproxy's defaults.
//!
//! Unknown fields are passed over and `null` is as good as nothing, as in Toxiproxy.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::ApiError;
use crate::toxics::{Kind, Stream, Toxic};

/// A proxy, for `POST /proxies`, `/populate` and the config file. `toxics` is ours: with it a proxy and its toxics
/// are made in one call.
#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "a proxy")]
pub(super) struct ProxyInput {
    pub(super) name: Option<String>,
    pub(super) listen: Option<String>,
    pub(super) upstream: Option<String>,
    pub(super) enabled: Option<bool>,
    pub(super) toxics: Option<Vec<ToxicInput>>,
}

/// A toxic.
#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "a toxic")]
pub(super) struct ToxicInput {
    name: Option<String>,
    #[serde(rename = "type")]
    type_name: Option<String>,
    stream: Option<String>,
    toxicity: Option<f32>,
    attributes: Option<Map<String, Value>>,
}

/// The first JSON value of a body.
pub(super) fn body<T: DeserializeOwned>(octets: &[u8]) -> Result<T, ApiError> {
    let mut values = serde_json::Deserializer::from_slice(octets).into_iter();
    match values.next() {
        None => Err(ApiError::bad_body("EOF")),
        Some(value) => value.map_err(ApiError::bad_body),
    }
}

impl ToxicInput {
    /// The toxic that it describes.
    pub(super) fn toxic(&self) -> Result<Toxic, ApiError> {
        let stream = match self.stream.as_deref() {
            None => Stream::Downstream,
            Some(name) => Stream::from_name(name).ok_or_else(ApiError::invalid_stream)?,
        };
        let type_name = self.type_name.as_deref().unwrap_or_default();
        let mut kind = Kind::of_type(type_name).ok_or_else(ApiError::invalid_type)?;
        self.set(&mut kind)?;
        let toxic = Toxic::new(kind, stream);
        let name = self.name.clone().filter(|name| !name.is_empty());
        Ok(Toxic {
            name: name.unwrap_or_else(|| toxic.name.clone()),
            toxicity: self.toxicity.unwrap_or(toxic.toxicity),
            ..toxic
        })
    }

    /// Changes a toxic to what is said here, as far as something is. Name, type and direction stay.
    pub(super) fn change(&self, toxic: &Toxic) -> Result<Toxic, ApiError> {
        let mut changed = toxic.clone();
        self.set(&mut changed.kind)?;
        changed.toxicity = self.toxicity.unwrap_or(toxic.toxicity);
        Ok(changed)
    }

    fn set(&self, kind: &mut Kind) -> Result<(), ApiError> {
        for name in kind.attributes().into_keys() {
            let value = self.attributes.as_ref().and_then(|all| all.get(&name));
            let value = match value {
                None | Some(Value::Null) => continue,
                Some(value) => value.as_u64().ok_or_else(|| {
                    ApiError::bad_body(format_args!(
                        "attribute `{name}` is {value}, and not a whole number from 0"
                    ))
                })?,
            };
            // It is one of its own.
            let _ = kind.set(&[(name, value)].into());
        }
        Ok(())
    }
}
