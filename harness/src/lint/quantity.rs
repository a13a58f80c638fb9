//! Amounts of memory and disk: read, and put in words.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// Octets, as a deployment description has them: `"16GiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Octets(pub(super) u64);

const UNITS: [(&str, u64); 6] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
];

impl FromStr for Octets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            format!(
                "`{text}`: write an amount such as \"16GiB\"; the units are MB, GB, TB (of 1000) and MiB, GiB, TiB (of 1024)"
            )
        };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let (_, size) = UNITS
            .into_iter()
            .find(|(name, _)| *name == unit.trim_start())
            .ok_or_else(wrong)?;
        number.checked_mul(size).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&words(self.0))
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Octets {
    fn schema_name() -> Cow<'static, str> {
        "Octets".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "An amount of memory or disk, such as \"16GiB\" or \"40GB\"",
            "pattern": "^[0-9]+ *([MGT]B|[MGT]iB)$",
        })
    }
}

/// `16 GiB`, `31 GB`, `1536 MiB`: in the unit in which it is a whole number, or in gigabytes with one digit.
pub(super) fn words(octets: u64) -> String {
    let units = UNITS.into_iter().filter(|(_, size)| octets >= *size);
    let whole = units.clone().find(|(_, size)| octets.is_multiple_of(*size));
    match whole {
        Some((unit, size)) => format!("{} {unit}", octets / size),
        None if octets >= 100_000_000 => {
            let tenths = u128::from(octets) * 10 / 1_000_000_000;
            format!("{}.{} GB", tenths / 10, tenths % 10)
        }
        None => format!("{octets} octets"),
    }
}

/// Octets of a libvirt amount. Its units are those of its documentation; KiB when left out (`default`).
pub(super) fn libvirt(number: &str, unit: Option<&str>, default: u64) -> Option<u64> {
    let number: u64 = number.trim().parse().ok()?;
    let size = match unit {
        None => default,
        Some("b" | "bytes") => 1,
        Some("KB") => 1000,
        Some("k" | "KiB") => 1 << 10,
        Some("MB") => 1_000_000,
        Some("M" | "MiB") => 1 << 20,
        Some("GB") => 1_000_000_000,
        Some("G" | "GiB") => 1 << 30,
        Some("TB") => 1_000_000_000_000,
        Some("T" | "TiB") => 1 << 40,
        Some("PB") => 1_000_000_000_000_000,
        Some("P" | "PiB") => 1 << 50,
        Some("EB") => 1_000_000_000_000_000_000,
        Some("E" | "EiB") => 1 << 60,
        Some(_) => return None,
    };
    number.checked_mul(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_their_units_and_nothing_else_is() {
        let read = |text: &str| text.parse::<Octets>().map(|o| o.0).ok();
        assert_eq!(read("16GiB"), Some(16 << 30));
        assert_eq!(read("40 GB"), Some(40_000_000_000));
        for bad in [
            "",
            "16",
            "GB",
            "1.5GB",
            "-1GB",
            "16gb",
            "99999999999999999999GB",
            "99999999TiB",
            "16GB ",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(libvirt(" 8388608 ", None, 1 << 10), Some(8 << 30));
        assert_eq!(libvirt("8", Some("GiB"), 1), Some(8 << 30));
        assert_eq!(libvirt("8", Some("gib"), 1), None);
        assert_eq!(libvirt("18446744073709551615", Some("EiB"), 1), None);
    }

    #[test]
    fn amounts_are_said_in_whole_units() {
        let said = [16 << 30, 31_000_000_000, 1536 << 20, 32_179_869_184, 5].map(words);
        assert_eq!(said, ["16 GiB", "31 GB", "1536 MiB", "32.1 GB", "5 octets"]);
    }
}
