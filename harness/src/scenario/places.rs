//! Where in a file a value stands: a cursor that walks the parsed document beside the model.
//!
//! Comes in: the text of a scenario file. Goes out: byte ranges for error messages. Called by the checks that come
//! after parsing, whose model knows values and not places.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// A value of the document, or, when it was left out there, the nearest one around it.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    value: Option<&'a DeValue<'a>>,
    table: Option<&'a DeTable<'a>>,
    /// Where the value stands.
    pub(crate) span: Range<usize>,
    /// Where the key in front of it stands; the value's own place when it has none.
    pub(crate) key: Range<usize>,
}

impl<'a> Place<'a> {
    /// The whole document.
    pub(crate) fn root(table: &'a DeTable<'a>) -> Self {
        // An error of the whole file points at its first line.
        Self {
            value: None,
            table: Some(table),
            span: 0..0,
            key: 0..0,
        }
    }

    fn table(&self) -> Option<&'a DeTable<'a>> {
        self.table
            .or_else(|| self.value.and_then(DeValue::as_table))
    }

    /// The value behind a key.
    pub(crate) fn key(&self, key: &str) -> Self {
        match self
            .table()
            .and_then(|t| t.iter().find(|(k, _)| k.get_ref() == key))
        {
            Some((k, v)) => Self {
                value: Some(v.get_ref()),
                table: None,
                span: v.span(),
                key: k.span(),
            },
            None => Self {
                value: None,
                table: None,
                span: self.span.clone(),
                key: self.key.clone(),
            },
        }
    }

    /// An element of an array.
    pub(crate) fn index(&self, index: usize) -> Self {
        match self
            .value
            .and_then(DeValue::as_array)
            .and_then(|a| a.get(index))
        {
            Some(v) => Self {
                value: Some(v.get_ref()),
                table: None,
                span: v.span(),
                key: v.span(),
            },
            None => Self {
                value: None,
                table: None,
                span: self.span.clone(),
                key: self.key.clone(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_and_a_missing_one_falls_back_to_what_stands_around_it() {
        let text = "title = 'x'\n[[step]]\ncrash = { node = 'n1' }\n";
        let document = DeTable::parse(text).expect("a valid document");
        let crash = Place::root(document.get_ref())
            .key("step")
            .index(0)
            .key("crash");
        assert_eq!(&text[crash.key.clone()], "crash");
        assert_eq!(&text[crash.key("node").span], "'n1'");
        assert_eq!(&text[crash.key("kind").span], "{ node = 'n1' }");
        assert_eq!(Place::root(document.get_ref()).key("chaos").span, 0..0);
    }
}
