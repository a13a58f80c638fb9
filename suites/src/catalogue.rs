//! What is promised: the guarantees, with their sources, and the documented parameters.
//!
//! Comes in: `guarantees.toml`, embedded. Goes out: its entries, in the file's order, which is the catalogue's.
//! Called by reports (statements), by `gauntlet list guarantees`, and by whoever checks that an ID exists.

use std::fmt;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// How binding a guarantee is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// A documented guarantee.
    Must,
    /// A documented consequence that is allowed: a checker bounds it, and does not fail it.
    May,
    /// A documented unsupported operation, whose damage is measured and reported.
    Hazard,
    /// What the documents do not promise, and the reference node does anyway.
    Beyond,
}

impl Level {
    /// The word as the catalogue writes it: `MUST`, `MAY`, `HAZARD`, `BEYOND`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::May => "MAY",
            Self::Hazard => "HAZARD",
            Self::Beyond => "BEYOND",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One promise. Its ID never changes its meaning and is never reused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guarantee {
    /// `SC-01`: the area and a number of two digits.
    pub id: String,
    /// How binding it is.
    pub level: Level,
    /// The ID of its [`Area`], the part of the ID before the hyphen.
    pub area: String,
    /// What is promised, in plain text without a final full stop.
    pub statement: String,
    /// Where it is documented: a [`Source`]'s ID, for an RFC with the section (`5321 §4.2.5`). Empty when it is our own.
    #[serde(rename = "source")]
    pub sources: Vec<String>,
}

impl Guarantee {
    /// The statement's first sentence: what fits on a line of a list.
    pub fn short(&self) -> &str {
        match self.statement.split_once(". ") {
            Some((first, _)) => first,
            None => &self.statement,
        }
    }
}

/// A group of guarantees: a section of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Area {
    /// Two letters: `SC`.
    pub id: String,
    /// `how shadow messages are created`
    pub title: String,
}

/// A documented parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// The documented name; followed by `, receive` or `, send` where two connectors share it.
    pub name: String,
    /// The documented default, in words: `2 min`, `true`.
    pub default: String,
    /// What it does.
    pub meaning: String,
}

/// A document that a guarantee comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// `SR`, or an RFC's number.
    pub id: String,
    /// Its title.
    pub title: String,
}

/// Every guarantee, in the catalogue's order.
pub fn catalogue() -> &'static [Guarantee] {
    &document().guarantee
}

/// The guarantee of this ID, in the ID's exact spelling.
pub fn guarantee(id: &str) -> Option<&'static Guarantee> {
    catalogue().iter().find(|guarantee| guarantee.id == id)
}

/// The catalogue's sections, in its order.
pub fn areas() -> &'static [Area] {
    &document().area
}

/// The documented parameters, in the catalogue's order.
pub fn parameters() -> &'static [Parameter] {
    &document().parameter
}

/// The documents that the guarantees come from.
pub fn sources() -> &'static [Source] {
    &document().source
}

/// The document that a guarantee's source names: `source("5321 §4.2.5")` is RFC 5321.
pub fn source(reference: &str) -> Option<&'static Source> {
    let id = reference.split(' ').next()?;
    sources().iter().find(|source| source.id == id)
}

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    source: Vec<Source>,
    area: Vec<Area>,
    parameter: Vec<Parameter>,
    guarantee: Vec<Guarantee>,
}

fn document() -> &'static Document {
    static DOCUMENT: OnceLock<Document> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        // The text is part of the binary, and every test of this module parses it: it cannot fail in a build that passed them.
        toml::from_str(include_str!("../guarantees.toml"))
            .expect("the embedded catalogue is well-formed")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_id_is_there_once_and_in_order() {
        let counts = [
            ("SC", 19),
            ("TO", 9),
            ("HB", 13),
            ("RO", 6),
            ("SN", 12),
            ("DD", 3),
            ("VZ", 8),
            ("TC", 11),
        ];
        let expected: Vec<String> = counts
            .iter()
            .flat_map(|(area, count)| (1..=*count).map(move |number| format!("{area}-{number:02}")))
            .collect();
        let ids: Vec<&str> = catalogue()
            .iter()
            .map(|guarantee| guarantee.id.as_str())
            .collect();
        assert_eq!(ids, expected);
        let areas: Vec<&str> = areas().iter().map(|area| area.id.as_str()).collect();
        assert_eq!(areas, counts.map(|(area, _)| area));
    }

    #[test]
    fn all_are_musts_but_these() {
        let others: Vec<(&str, Level)> = catalogue()
            .iter()
            .filter(|guarantee| guarantee.level != Level::Must)
            .map(|guarantee| (guarantee.id.as_str(), guarantee.level))
            .collect();
        assert_eq!(
            others,
            [
                ("SC-19", Level::Beyond),
                ("HB-12", Level::Beyond),
                ("HB-13", Level::Beyond),
                ("RO-03", Level::May),
                ("VZ-04", Level::Hazard),
                ("VZ-05", Level::Hazard),
                ("VZ-06", Level::Beyond),
                ("VZ-07", Level::Hazard),
                ("TC-04", Level::May),
            ]
        );
    }

    #[test]
    fn an_area_is_the_ids_first_part() {
        for guarantee in catalogue() {
            assert_eq!(
                guarantee.id.split('-').next(),
                Some(guarantee.area.as_str())
            );
        }
    }

    #[test]
    fn every_source_is_known() {
        for guarantee in catalogue() {
            for reference in &guarantee.sources {
                assert!(source(reference).is_some(), "{}: {reference}", guarantee.id);
            }
        }
        let without: Vec<&str> = catalogue()
            .iter()
            .filter(|guarantee| guarantee.sources.is_empty())
            .map(|guarantee| guarantee.id.as_str())
            .collect();
        assert_eq!(without, ["HB-12"]);
        assert_eq!(
            source("5321 §4.2.5").map(|source| source.id.as_str()),
            Some("5321")
        );
        assert_eq!(source("9999"), None);
    }

    #[test]
    fn statements_are_plain_text() {
        for guarantee in catalogue() {
            let statement = &guarantee.statement;
            assert!(!statement.is_empty(), "{}", guarantee.id);
            assert!(
                !statement.contains(['`', '*', '\n']),
                "{}: {statement}",
                guarantee.id
            );
            assert!(!statement.ends_with('.'), "{}: {statement}", guarantee.id);
            assert_eq!(statement.trim(), statement, "{}", guarantee.id);
        }
    }

    #[test]
    fn a_guarantee_by_its_id() {
        let found = guarantee("SC-01").expect("SC-01 is in the catalogue");
        assert_eq!(
            found.short(),
            "No ack before a different node of the boundary has confirmed its copy"
        );
        assert_eq!(
            guarantee("SC-02").map(Guarantee::short),
            guarantee("SC-02").map(|g| g.statement.as_str())
        );
        assert_eq!(guarantee("sc-01"), None);
        assert_eq!(guarantee("SC-99"), None);
    }

    #[test]
    fn parameters_have_their_documented_defaults() {
        let default = |name: &str| {
            parameters()
                .iter()
                .find(|p| p.name == name)
                .map(|p| p.default.as_str())
        };
        assert_eq!(default("ShadowHeartbeatFrequency"), Some("2 min"));
        assert_eq!(default("ShadowResubmitTimeSpan"), Some("3 h"));
        assert_eq!(default("RejectMessageOnShadowFailure"), Some("false"));
        let names: BTreeSet<&str> = parameters().iter().map(|p| p.name.as_str()).collect();
        assert_eq!((parameters().len(), names.len()), (15, 15));
    }
}
