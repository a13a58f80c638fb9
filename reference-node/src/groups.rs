//! Distribution groups: an address that stands for others.
//!
//! Comes in: `[[group]]` tables of the configuration. Goes out: whether an address is a group, and who its members
//! are. Called at RCPT, and by the delivery task, which replaces a group by its members.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use serde::Deserialize;
use toml::Spanned;

use crate::smtp::path::mailbox_key;

/// A `[[group]]` of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its address.
    pub address: String,
    /// Its members' addresses; a member may be a group.
    pub members: Vec<String>,
}

/// All groups, by their addresses in lower case.
#[derive(Debug, Clone, Default)]
pub struct Groups(BTreeMap<String, Vec<String>>);

/// What is wrong, where, and what helps.
pub(crate) type Wrong = (String, Range<usize>, &'static str);

impl Groups {
    /// The groups of a configuration; `routed` says whether mail to an address has a route.
    pub(crate) fn new(
        all: Vec<Spanned<Group>>,
        routed: impl Fn(&str) -> bool,
    ) -> Result<Self, Wrong> {
        let mut groups = Self::default();
        let mut spans = BTreeMap::new();
        for group in all {
            let span = group.span();
            let Group { address, members } = group.into_inner();
            let name = mailbox_key(&address);
            if !name.contains('@') {
                let help = "an address has a domain, as in \"team@example.org\"";
                return Err((format!("`{address}` is no group's address"), span, help));
            }
            if members.is_empty() {
                let help = "name its members, or leave the group out";
                return Err((format!("the group `{address}` has no members"), span, help));
            }
            spans.insert(name.clone(), span.clone());
            if groups.0.insert(name, members).is_some() {
                let help = "put all its members into one [[group]]";
                return Err((format!("two groups are called `{address}`"), span, help));
            }
        }
        for (name, span) in spans {
            let members = groups.members(&name);
            if members.is_empty() {
                let help = "a group needs a member that is no group";
                return Err((format!("the group `{name}` has only itself"), span, help));
            }
            if let Some(lost) = members.iter().find(|m| !routed(m)) {
                let help = "add a [[route]] for its domain";
                let message = format!("no route to `{lost}`, a member of `{name}`");
                return Err((message, span, help));
            }
        }
        Ok(groups)
    }

    /// The address is a group's.
    pub fn is_group(&self, address: &str) -> bool {
        self.0.contains_key(&mailbox_key(address))
    }

    /// Who gets what is sent to a group, groups in it replaced by their members; empty for an address that is no
    /// group's. Each once, in the order of the configuration.
    pub fn members(&self, address: &str) -> Vec<String> {
        let mut members = Vec::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![mailbox_key(address)];
        while let Some(name) = open.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            for member in self.0.get(&name).into_iter().flatten() {
                let known = mailbox_key(member);
                if self.0.contains_key(&known) {
                    open.push(known);
                } else if seen.insert(known) {
                    members.push(member.clone());
                }
            }
        }
        members
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const HEAD: &str = "name = \"n1\"\nlisten = \"127.0.0.1:0\"\nsecret = \"s\"\n\
        [[route]]\ndomain = \"x.example\"\nsmart-host = \"h:25\"\n";

    fn parse(groups: &str) -> Result<Config, String> {
        Config::parse(&format!("{HEAD}{groups}")).map_err(|e| e.to_string())
    }

    #[test]
    fn a_group_in_a_group_and_round_again() {
        let config = parse(
            "[[group]]\naddress = \"All@x.example\"\nmembers = [\"a@x.example\", \"team@x.example\"]\n\
             [[group]]\naddress = \"team@x.example\"\nmembers = [\"b@x.example\", \"A@x.example\", \"all@x.example\"]\n",
        )
        .expect("groups");
        assert!(config.groups.is_group("ALL@x.example") && !config.groups.is_group("a@x.example"));
        assert_eq!(
            config.groups.members("all@X.example"),
            ["a@x.example", "b@x.example"]
        );
        assert!(config.groups.members("a@x.example").is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |text: &str| parse(text).expect_err("refused");
        let group = |address: &str, members: &str| {
            format!("[[group]]\naddress = \"{address}\"\nmembers = [{members}]\n")
        };
        assert_eq!(refused(&group("team", "")), "`team` is no group's address");
        assert_eq!(
            refused(&group("t@x.example", "")),
            "the group `t@x.example` has no members"
        );
        assert_eq!(
            refused(&group("t@x.example", "\"t@x.example\"")),
            "the group `t@x.example` has only itself"
        );
        assert_eq!(
            refused(&group("t@x.example", "\"a@y.example\"")),
            "no route to `a@y.example`, a member of `t@x.example`"
        );
        let twice = group("t@x.example", "\"a@x.example\"").repeat(2);
        assert_eq!(refused(&twice), "two groups are called `t@x.example`");
    }
}
