//! A toxic as people write it: type, direction, toxicity, attributes; in JSON as Toxiproxy has it.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The direction that a toxic works on.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// From the one who opened the connection to the one who accepted it.
    Upstream,
    /// The other way.
    #[default]
    Downstream,
}

impl Stream {
    /// Both, in the order in which toxics are listed.
    pub const BOTH: [Self; 2] = [Self::Upstream, Self::Downstream];

    /// `upstream` or `downstream`
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Downstream => "downstream",
        }
    }

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|stream| stream.name() == name)
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a toxic does, with its attributes. An attribute that is not said is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Octets arrive later, by `latency` give or take `jitter`.
    Latency {
        /// Milliseconds.
        latency: u64,
        /// Milliseconds.
        jitter: u64,
    },
    /// So many octets in a second, and no more.
    Bandwidth {
        /// Kilobytes (1000 octets) per second; with 0 nothing gets through.
        rate: u64,
    },
    /// The end of the connection is passed on later.
    SlowClose {
        /// Milliseconds.
        delay: u64,
    },
    /// Octets are dropped; the connection is closed when none came for the time.
    Timeout {
        /// Milliseconds; with 0 it stays open until the toxic is removed.
        timeout: u64,
    },
    /// The connection is reset, so long after the first octets.
    ResetPeer {
        /// Milliseconds.
        timeout: u64,
    },
    /// Octets are cut into small pieces, with a pause after each.
    Slicer {
        /// Octets of a piece.
        average_size: u64,
        /// Octets that a piece may have more or less.
        size_variation: u64,
        /// Microseconds.
        delay: u64,
    },
    /// The connection is closed after so many octets.
    LimitData {
        /// Octets.
        bytes: u64,
    },
}

/// The types of toxics, each with its attributes, and with what it does; for `gauntlet list faults`.
pub fn toxic_types() -> &'static [(&'static str, &'static str)] {
    &[
        (
            "latency",
            "`latency` and `jitter`, ms: octets arrive later by latency, give or take jitter",
        ),
        ("bandwidth", "`rate`, kB/s: no more gets through"),
        (
            "slow_close",
            "`delay`, ms: the end of a connection is passed on later",
        ),
        (
            "timeout",
            "`timeout`, ms: octets are dropped, and the connection is closed after it; with 0 when the toxic is removed",
        ),
        (
            "reset_peer",
            "`timeout`, ms: the connection is reset so long after the first octets",
        ),
        (
            "slicer",
            "`average_size` and `size_variation`, octets, `delay`, µs: octets go on in small pieces",
        ),
        (
            "limit_data",
            "`bytes`: the connection is closed after so many octets",
        ),
    ]
}

impl Kind {
    /// The type of that name, with every attribute 0.
    pub fn of_type(name: &str) -> Option<Self> {
        Some(match name {
            "latency" => Self::Latency {
                latency: 0,
                jitter: 0,
            },
            "bandwidth" => Self::Bandwidth { rate: 0 },
            "slow_close" => Self::SlowClose { delay: 0 },
            "timeout" => Self::Timeout { timeout: 0 },
            "reset_peer" => Self::ResetPeer { timeout: 0 },
            "slicer" => Self::Slicer {
                average_size: 0,
                size_variation: 0,
                delay: 0,
            },
            "limit_data" => Self::LimitData { bytes: 0 },
            _ => return None,
        })
    }

    /// The type's name.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Latency { .. } => "latency",
            Self::Bandwidth { .. } => "bandwidth",
            Self::SlowClose { .. } => "slow_close",
            Self::Timeout { .. } => "timeout",
            Self::ResetPeer { .. } => "reset_peer",
            Self::Slicer { .. } => "slicer",
            Self::LimitData { .. } => "limit_data",
        }
    }

    /// Every attribute, by name.
    pub fn attributes(&self) -> BTreeMap<String, u64> {
        let mut copy = *self;
        copy.fields()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), *value))
            .collect()
    }

    /// Sets attributes; the others stay as they are.
    ///
    /// # Errors
    /// The type has no attribute of that name.
    pub fn set(&mut self, attributes: &BTreeMap<String, u64>) -> Result<(), AttributeError> {
        let type_name = self.type_name();
        for (name, value) in attributes {
            let mut fields = self.fields();
            let known = fields.iter().map(|(known, _)| *known).collect();
            match fields.iter_mut().find(|(known, _)| known == name) {
                Some((_, field)) => **field = *value,
                None => {
                    return Err(AttributeError {
                        type_name,
                        name: name.clone(),
                        known,
                    });
                }
            }
        }
        Ok(())
    }

    fn fields(&mut self) -> Vec<(&'static str, &mut u64)> {
        match self {
            Self::Latency { latency, jitter } => vec![("latency", latency), ("jitter", jitter)],
            Self::Bandwidth { rate } => vec![("rate", rate)],
            Self::SlowClose { delay } => vec![("delay", delay)],
            Self::Timeout { timeout } | Self::ResetPeer { timeout } => vec![("timeout", timeout)],
            Self::Slicer {
                average_size,
                size_variation,
                delay,
            } => vec![
                ("average_size", average_size),
                ("size_variation", size_variation),
                ("delay", delay),
            ],
            Self::LimitData { bytes } => vec![("bytes", bytes)],
        }
    }
}

/// An attribute that a type does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a toxic `{type_name}` has no attribute `{name}`; it has `{}`", known.join("`, `"))]
pub struct AttributeError {
    /// The toxic's type.
    pub type_name: &'static str,
    /// The attribute.
    pub name: String,
    /// Those that it has.
    pub known: Vec<&'static str>,
}

/// A toxic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Toxic {
    /// `<type>_<stream>` unless it was given one.
    pub name: String,
    /// The direction.
    pub stream: Stream,
    /// The share of connections that it is applied to: 0 none, 1 all.
    pub toxicity: f32,
    /// What it does.
    pub kind: Kind,
}

impl Toxic {
    /// A toxic for every connection, with the name that it has when none is given.
    pub fn new(kind: Kind, stream: Stream) -> Self {
        Self {
            name: format!("{}_{stream}", kind.type_name()),
            stream,
            toxicity: 1.0,
            kind,
        }
    }
}

impl fmt::Display for Toxic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.kind.type_name())?;
        for (name, value) in self.kind.attributes() {
            write!(f, "{name} {value}, ")?;
        }
        write!(f, "{}", self.stream)?;
        if self.toxicity < 1.0 {
            write!(f, ", toxicity {}", self.toxicity)?;
        }
        write!(f, ")")
    }
}

/// A toxic of a link, as its connections tell it from others.
#[derive(Debug, Clone, PartialEq)]
pub struct Active {
    /// Never given twice on one link.
    pub id: u64,
    /// Grows when the toxic is changed: its toxicity is then drawn again.
    pub version: u64,
    /// The toxic.
    pub toxic: Toxic,
}

/// A toxic's JSON.
#[derive(Serialize, Deserialize)]
struct Written {
    attributes: BTreeMap<String, u64>,
    name: String,
    #[serde(rename = "type")]
    type_name: String,
    stream: Stream,
    toxicity: f32,
}

impl From<Toxic> for Written {
    fn from(toxic: Toxic) -> Self {
        Self {
            attributes: toxic.kind.attributes(),
            name: toxic.name,
            type_name: toxic.kind.type_name().to_owned(),
            stream: toxic.stream,
            toxicity: toxic.toxicity,
        }
    }
}

impl TryFrom<Written> for Toxic {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let mut kind = Kind::of_type(&written.type_name)
            .ok_or_else(|| format!("there is no toxic `{}`", written.type_name))?;
        kind.set(&written.attributes)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            name: written.name,
            stream: written.stream,
            toxicity: written.toxicity,
            kind,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_attributes_and_survives_json() {
        for (name, meaning) in toxic_types() {
            let mut kind = Kind::of_type(name).expect("a known type");
            assert_eq!(kind.type_name(), *name);
            let attributes: BTreeMap<_, _> = kind.attributes().into_keys().zip(7..).collect();
            for attribute in attributes.keys() {
                assert!(meaning.contains(&format!("`{attribute}`")), "{name}");
            }
            kind.set(&attributes).expect("its own attributes");
            assert_eq!(kind.attributes(), attributes);
            let toxic = Toxic::new(kind, Stream::Upstream);
            let json = serde_json::to_string(&toxic).expect("written");
            assert_eq!(serde_json::from_str::<Toxic>(&json).expect("read"), toxic);
        }
        assert_eq!(Kind::of_type("lag"), None);
    }

    #[test]
    fn json_is_toxiproxys() {
        let kind = Kind::Latency {
            latency: 1000,
            jitter: 50,
        };
        let json = serde_json::to_string(&Toxic::new(kind, Stream::Downstream)).expect("written");
        insta::assert_snapshot!(json, @r#"{"attributes":{"jitter":50,"latency":1000},"name":"latency_downstream","type":"latency","stream":"downstream","toxicity":1.0}"#);
    }

    #[test]
    fn errors_say_what_there_is() {
        let mut kind = Kind::of_type("slicer").expect("a known type");
        let error = kind
            .set(&BTreeMap::from([("size".into(), 1)]))
            .expect_err("no such attribute");
        insta::assert_snapshot!(error, @"a toxic `slicer` has no attribute `size`; it has `average_size`, `size_variation`, `delay`");
    }
}
