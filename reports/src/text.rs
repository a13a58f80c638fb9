//! Text from outside, made fit to be shown: replies, file names and panics may hold anything.

/// `text` in which every character shows: control characters, direction marks and non-characters become escapes (`\x1b`,
/// `\u{202e}`), a tab becomes a space. Line ends stay, as `\n`. What is left is valid in XML 1.0 and harmless to a terminal.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' => out.push('\n'),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' => out.push_str("\\r"),
            '\t' => out.push(' '),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if is_hidden(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// [`visible`], on one line: white space, line ends included, becomes single spaces.
pub(crate) fn one_line(text: &str) -> String {
    visible(text)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// Characters that change what is seen around them, and code points that are no characters.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fdd0}'..='\u{fdef}')
        || u32::from(c) & 0xfffe == 0xfffe
}

/// At most `width` characters of `text`; what is cut off is replaced by `…`, at a space where one is near.
pub(crate) fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    let kept = match kept.rfind(' ') {
        Some(at) if kept.len() - at <= 15 => &kept[..at],
        _ => kept.as_str(),
    };
    format!("{}…", kept.trim_end_matches([' ', ',', ';', ':']))
}

/// `text` in lines of at most `width` characters, broken at white space; a longer word stands alone.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let word_length = word.chars().count();
        if length > 0 && length + 1 + word_length > width {
            lines.push(std::mem::take(&mut line));
            length = 0;
        }
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        line.push_str(word);
        length += word_length;
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// A duration in the two units that matter: `850 ms`, `3.2 s`, `14 min 5 s`, `3 h 4 min`, `2 d 6 h`. `ms` is milliseconds.
pub fn duration(ms: u64) -> String {
    let (seconds, minutes, hours, days) = (ms / 1000, ms / 60_000, ms / 3_600_000, ms / 86_400_000);
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{seconds}.{} s", ms % 1000 / 100),
        60_000..3_600_000 => two_units(minutes, "min", seconds % 60, "s"),
        3_600_000..86_400_000 => two_units(hours, "h", minutes % 60, "min"),
        86_400_000.. => two_units(days, "d", hours % 24, "h"),
    }
}

fn two_units(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large} {large_unit}")
    } else {
        format!("{large} {large_unit} {small} {small_unit}")
    }
}

/// `1 scenario`, `2 scenarios`.
pub(crate) fn plural(count: u64, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

/// `1 copy`, `2 copies`.
pub(crate) fn copies(count: u64) -> String {
    if count == 1 {
        "1 copy".into()
    } else {
        format!("{count} copies")
    }
}

/// `record 3`, `records 3, 5, 9`; nothing for none.
pub(crate) fn records(records: &[u64]) -> Option<String> {
    let list = records
        .iter()
        .map(u64::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    match records.len() {
        0 => None,
        1 => Some(format!("record {list}")),
        _ => Some(format!("records {list}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_show_is_escaped() {
        assert_eq!(
            visible("a\x1b[31mb\x07\r\nc\rd\te\u{9b}"),
            "a\\x1b[31mb\\x07\nc\\rd e\\x9b"
        );
        assert_eq!(
            visible("\u{202e}x\u{feff}\u{fffe}\u{1ffff}"),
            "\\u{202e}x\\u{feff}\\u{fffe}\\u{1ffff}"
        );
        assert_eq!(visible("Grüße ✉ 你好"), "Grüße ✉ 你好");
        assert_eq!(one_line("  a\n\n b\tc "), "a b c");
    }

    #[test]
    fn durations_have_two_units() {
        let shown: Vec<String> = [
            0,
            999,
            1_000,
            3_249,
            60_000,
            845_000,
            3_600_000,
            11_040_000,
            86_400_000,
            194_400_000,
            u64::MAX,
        ]
        .map(duration)
        .to_vec();
        assert_eq!(
            shown,
            [
                "0 ms",
                "999 ms",
                "1.0 s",
                "3.2 s",
                "1 min",
                "14 min 5 s",
                "1 h",
                "3 h 4 min",
                "1 d",
                "2 d 6 h",
                "213503982334 d 14 h",
            ]
        );
    }

    #[test]
    fn fit_cuts_at_a_near_space() {
        assert_eq!(fit("one two three", 13), "one two three");
        assert_eq!(fit("one two, three", 12), "one two…");
        assert_eq!(fit("abcdefghijklmnopqrstuvwxyz", 10), "abcdefghi…");
        assert_eq!(fit("ab", 0), "…");
    }

    #[test]
    fn wrap_breaks_at_white_space() {
        assert_eq!(wrap("aa bb  cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("abcdefgh i", 3), ["abcdefgh", "i"]);
        assert_eq!(wrap(" \n ", 3), Vec::<String>::new());
    }
}
