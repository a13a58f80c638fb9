//! The toxics of a link, by name and direction, in the order in which they were added.

use std::sync::Arc;

use super::{Active, Stream, Toxic};

/// The toxics of a link. A clone is cheap, and equal lists of one direction are the same one until a toxic changes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ToxicList {
    upstream: Arc<Vec<Active>>,
    downstream: Arc<Vec<Active>>,
    last_id: u64,
}

/// There is a toxic of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("toxic already exists")]
pub struct ToxicExists;

impl ToxicList {
    /// The toxics of one direction.
    pub fn of(&self, stream: Stream) -> &Arc<Vec<Active>> {
        match stream {
            Stream::Upstream => &self.upstream,
            Stream::Downstream => &self.downstream,
        }
    }

    fn of_mut(&mut self, stream: Stream) -> &mut Vec<Active> {
        Arc::make_mut(match stream {
            Stream::Upstream => &mut self.upstream,
            Stream::Downstream => &mut self.downstream,
        })
    }

    /// All of them: those of the upstream first.
    pub fn all(&self) -> impl Iterator<Item = &Toxic> {
        let all = self.upstream.iter().chain(self.downstream.iter());
        all.map(|active| &active.toxic)
    }

    /// The toxic of that name.
    pub fn find(&self, name: &str) -> Option<&Toxic> {
        self.all().find(|toxic| toxic.name == name)
    }

    /// Adds a toxic at the end of its direction.
    ///
    /// # Errors
    /// The link has one of that name.
    pub fn add(&mut self, toxic: Toxic) -> Result<(), ToxicExists> {
        if self.find(&toxic.name).is_some() {
            return Err(ToxicExists);
        }
        self.last_id += 1;
        let id = self.last_id;
        self.of_mut(toxic.stream).push(Active {
            id,
            version: 0,
            toxic,
        });
        Ok(())
    }

    /// Changes the toxic of that name: its attributes, its toxicity. `None`: there is none.
    pub fn change(&mut self, name: &str, change: impl FnOnce(&mut Toxic)) -> Option<&Toxic> {
        let stream = self.find(name)?.stream;
        let active = self
            .of_mut(stream)
            .iter_mut()
            .find(|active| active.toxic.name == name)?;
        active.version += 1;
        change(&mut active.toxic);
        Some(&active.toxic)
    }

    /// Removes the toxic of that name; `false`: there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(stream) = self.find(name).map(|toxic| toxic.stream) else {
            return false;
        };
        self.of_mut(stream)
            .retain(|active| active.toxic.name != name);
        true
    }

    /// Makes these its toxics. Those that it has already work on undisturbed.
    pub fn become_these(&mut self, toxics: &[&Toxic]) {
        let gone: Vec<String> = self
            .all()
            .filter(|had| !toxics.contains(had))
            .map(|had| had.name.clone())
            .collect();
        for name in gone {
            self.remove(&name);
        }
        for toxic in toxics {
            // Those that stayed are refused.
            let _ = self.add((*toxic).clone());
        }
    }

    /// Removes all.
    pub fn clear(&mut self) {
        Stream::BOTH
            .into_iter()
            .for_each(|stream| self.of_mut(stream).clear());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toxics::Kind;

    #[test]
    fn names_are_told_apart_over_both_directions() {
        let mut list = ToxicList::default();
        let limit = |stream| Toxic::new(Kind::LimitData { bytes: 1 }, stream);
        assert_eq!(list.add(limit(Stream::Downstream)), Ok(()));
        assert_eq!(list.add(limit(Stream::Downstream)), Err(ToxicExists));
        assert_eq!(list.add(limit(Stream::Upstream)), Ok(()));
        let names: Vec<&str> = list.all().map(|toxic| toxic.name.as_str()).collect();
        assert_eq!(names, ["limit_data_upstream", "limit_data_downstream"]);
        let before = list.clone();
        assert!(
            list.change("limit_data_upstream", |t| t.toxicity = 0.5)
                .is_some()
        );
        let other = Stream::Downstream;
        assert!(Arc::ptr_eq(list.of(other), before.of(other)));
        assert_eq!(list.of(Stream::Upstream)[0].version, 1);
        assert!(list.remove("limit_data_upstream") && !list.remove("limit_data_upstream"));
        let id = list.of(other)[0].id;
        list.clear();
        assert_eq!(list.add(limit(other)), Ok(()));
        assert_ne!(list.of(other)[0].id, id, "a new toxic is another one");
    }
}
