//! The values of a target file that are more than text: each is checked where it stands, so that an error has its place.
//!
//! Comes in: TOML strings and lists. Goes out: types that cannot hold anything else. Called by [`model`](super::model).

use std::{borrow::Cow, fmt, time};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Implements [`JsonSchema`] for a type that is a string in the file.
macro_rules! string_schema {
    ($type:ident, $pattern:expr, $description:expr) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $description })
            }
        }
    };
}

/// A target's name: small letters, digits and hyphens, a letter first. Images and containers are named after it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

string_schema!(
    Name,
    "^[a-z][a-z0-9-]*$",
    "Small letters, digits and hyphens, a letter first"
);

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let good = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.len() <= 40
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        match good {
            true => Ok(Self(name)),
            false => Err(format!(
                "`{name}` is no name: write small letters, digits and hyphens, a letter first, at most 40"
            )),
        }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A duration with its unit: `1s`, `400s`, `1h 30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration(pub time::Duration);

string_schema!(
    Duration,
    "^ *([0-9]+ *[a-z]+ *)+$",
    "A duration with its unit, such as `500ms`, `2s`, `1h 30m`"
);

impl TryFrom<String> for Duration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = humantime::parse_duration(&text);
        let duration = read.map_err(|error| {
            format!("`{text}` is no duration ({error}): write a number and a unit, such as `2s`")
        })?;
        if duration.is_zero() {
            return Err(format!("`{text}` is no time at all: it must be longer"));
        }
        Ok(Self(duration))
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> Self {
        humantime::format_duration(duration.0).to_string()
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// An absolute path within the container, without `.` and `..`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerPath(String);

string_schema!(
    ContainerPath,
    "^/.+$",
    "An absolute path within the container"
);

impl ContainerPath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ContainerPath {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        let parts = || path.split('/').skip(1);
        let good = path.starts_with('/')
            && path.len() > 1
            && parts().all(|part| !matches!(part, "" | "." | ".."));
        match good {
            true => Ok(Self(path)),
            false => Err(format!(
                "`{path}` is no path in the container: it must begin with `/`, be more than that, and have no `.`, `..` or \
                 empty part"
            )),
        }
    }
}

impl From<ContainerPath> for String {
    fn from(path: ContainerPath) -> Self {
        path.0
    }
}

/// Permissions in octal, as `chmod` has them: `0755`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mode(pub u32);

string_schema!(Mode, "^[0-7]{3,4}$", "Permissions in octal, such as `0755`");

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let octal =
            (3..=4).contains(&text.len()) && text.bytes().all(|c| (b'0'..=b'7').contains(&c));
        match u32::from_str_radix(&text, 8) {
            Ok(mode) if octal => Ok(Self(mode)),
            _ => Err(format!(
                "`{text}` are no permissions: write three or four octal digits, such as `0755`"
            )),
        }
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> Self {
        format!("{:04o}", mode.0)
    }
}

/// A program with its arguments, run within the container without a shell; `["sh", "-c", "…"]` has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Program(Vec<String>);

impl JsonSchema for Program {
    fn schema_name() -> Cow<'static, str> {
        "Program".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "items": { "type": "string" },
            "minItems": 1,
            "description": "A program with its arguments, run within the container without a shell"
        })
    }
}

impl Program {
    /// The program, then its arguments; never empty.
    pub fn words(&self) -> &[String] {
        &self.0
    }
}

impl TryFrom<Vec<String>> for Program {
    type Error = String;

    fn try_from(words: Vec<String>) -> Result<Self, String> {
        match words.first() {
            Some(program) if !program.is_empty() => Ok(Self(words)),
            _ => Err("a command without a program: write `[\"program\", \"argument\"]`".into()),
        }
    }
}

impl From<Program> for Vec<String> {
    fn from(program: Program) -> Self {
        program.0
    }
}

/// Text with `{smart-host}` and `{smart-port}` in it, in whose place the harness puts address and port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template(String);

string_schema!(
    Template,
    "^[^{}]*(\\{smart-(host|port)\\}[^{}]*)*$",
    "Text in which `{smart-host}` and `{smart-port}` stand for address and port"
);

const HOST: &str = "{smart-host}";
const PORT: &str = "{smart-port}";

impl Template {
    /// The address is in it.
    pub fn has_host(&self) -> bool {
        self.0.contains(HOST)
    }

    /// The port is in it.
    pub fn has_port(&self) -> bool {
        self.0.contains(PORT)
    }

    /// With that address and port.
    pub fn fill(&self, host: &str, port: u16) -> String {
        self.0.replace(HOST, host).replace(PORT, &port.to_string())
    }
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let rest = text.replace(HOST, "").replace(PORT, "");
        match rest.contains(['{', '}']) {
            false => Ok(Self(text)),
            true => Err(format!(
                "`{text}` has a brace that belongs to no placeholder: there are `{HOST}` and `{PORT}`"
            )),
        }
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.0
    }
}
