//! XML files: which kind one is, and how its parts are found.
//!
//! Comes in: a file that begins with `<`. Goes out: a domain or a storage volume, to the reader of its kind. A document type
//! definition is refused: neither kind has one, and it is how XML files grow without bounds.

use std::sync::Arc;

use roxmltree::{Document, Node};

use super::{
    FileName, Input, LintError, XmlError, domain,
    facts::{Facts, Place, Stated},
    quantity, volume,
};

/// Reads the file into the facts.
pub(super) fn read(input: &Input, facts: &mut Facts) -> Result<(), LintError> {
    let document = Document::parse(&input.text).map_err(|error| {
        let pos = error.pos();
        let at = offset(&input.text, pos.row, pos.col);
        let message = format!("not valid XML: {error}");
        Box::new(XmlError::new(input, at, message, "here", None))
    })?;
    let root = document.root_element();
    let file = File {
        document: &document,
        name: input.name.as_str().into(),
    };
    match root.tag_name().name() {
        "domain" => facts.guests.push(domain::read(&file, root)),
        "volume" => facts.volumes.extend(volume::read(&file, root)),
        other => {
            let help =
                "`virsh dumpxml GUEST` prints a domain, `virsh vol-dumpxml` a storage volume";
            let message = format!("`<{other}>` is neither a libvirt domain nor a storage volume");
            let error = XmlError::new(
                input,
                root.range().start,
                message,
                "not known",
                Some(help.into()),
            );
            return Err(Box::new(error).into());
        }
    }
    Ok(())
}

/// Where a row and a column (both from 1, the column in characters) are.
fn offset(text: &str, row: u32, column: u32) -> usize {
    let row = usize::try_from(row).unwrap_or(1).max(1);
    let before: usize = text.split_inclusive('\n').take(row - 1).map(str::len).sum();
    let line = text[before..].split('\n').next().unwrap_or_default();
    let within = line
        .char_indices()
        .nth(usize::try_from(column).unwrap_or(1).max(1) - 1);
    before + within.map_or(line.len(), |(at, _)| at)
}

/// A parsed file.
pub(super) struct File<'d, 'i> {
    document: &'d Document<'i>,
    name: FileName,
}

impl<'d> File<'d, '_> {
    /// The line that an element begins on.
    pub(super) fn place(&self, node: Node<'_, '_>) -> Place {
        let pos = self.document.text_pos_at(node.range().start);
        Place {
            file: Arc::clone(&self.name),
            line: pos.row,
        }
    }

    /// A whole number in an element.
    pub(super) fn number(&self, node: Node<'d, '_>) -> Option<Stated<u32>> {
        let value = node.text()?.trim().parse().ok()?;
        Some(self.place(node).states(value))
    }

    /// An amount in an element, with its attribute `unit`.
    pub(super) fn amount(&self, node: Node<'d, '_>, default: u64) -> Option<Stated<u64>> {
        let value = quantity::libvirt(node.text()?, node.attribute("unit"), default)?;
        Some(self.place(node).states(value))
    }
}

/// The child element of that name.
pub(super) fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// A child's text, without the space around it; `None` when there is none.
pub(super) fn text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    let text = child(node, name)?.text()?.trim();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_and_never_beyond_the_text() {
        let text = "<a>\n <ü/>x\n";
        assert_eq!(&text[offset(text, 2, 3)..][..2], "ü");
        assert_eq!(offset(text, 1, 99), 3);
        assert_eq!(offset(text, 99, 99), text.len());
        assert_eq!(offset("", 0, 0), 0);
    }
}
