//! Rows as aligned columns, and text cut into lines.

/// Rows under their headings; every column but the last is as wide as its widest cell, and the last one is wrapped.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>], width: usize) -> String {
    let columns = headings.len();
    let widths: Vec<usize> = (0..columns)
        .map(|c| {
            rows.iter()
                .filter_map(|r| r.get(c))
                .map(|cell| cell.chars().count())
                .chain([headings[c].len()])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let indent: usize = widths
        .iter()
        .take(columns.saturating_sub(1))
        .map(|w| w + 2)
        .sum();
    let mut text = String::new();
    let headings: Vec<String> = headings.iter().map(|h| h.to_uppercase()).collect();
    for row in std::iter::once(&headings).chain(rows) {
        let mut line = String::new();
        for (c, cell) in row.iter().enumerate() {
            if c + 1 < columns {
                line.push_str(&format!("{cell:<width$}  ", width = widths[c]));
            } else {
                line.push_str(&wrap(cell, width.saturating_sub(indent).max(30), indent));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Breaks text at spaces; every line but the first begins after `indent` columns.
pub(super) fn wrap(text: &str, width: usize, indent: usize) -> String {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        // There is always a last line.
        let Some(line) = lines.last_mut() else { break };
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join(&format!("\n{:indent$}", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_the_last_one_is_wrapped() {
        let rows = [
            ["a", "one two three four five six seven eight"],
            ["long-name", "x"],
        ]
        .map(|r| r.map(String::from).to_vec());
        insta::assert_snapshot!(table(&["name", "text"], &rows, 42), @r"
        NAME       TEXT
        a          one two three four five six
                   seven eight
        long-name  x
        ");
    }

    #[test]
    fn a_word_longer_than_the_line_stands_alone() {
        assert_eq!(wrap("a bbbbbbbb c", 4, 1), "a\n bbbbbbbb\n c");
        assert_eq!(wrap("", 4, 1), "");
    }
}
