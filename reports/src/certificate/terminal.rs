//! The certificate's heart for the person at the keyboard: the levels, and what became of the mail.

use std::fmt::Write;

use super::Certificate;
use crate::text::{fit, one_line, wrap};

/// Reasons of a level that are shown.
const SHOWN: usize = 4;

/// The levels with their reasons, and the mail in a line. `width` is that of the terminal, in columns.
pub fn terminal(certificate: &Certificate, width: usize) -> String {
    let mut out = String::new();
    let subject = &certificate.subject;
    let version = subject.version.as_ref().map(|v| format!(", {v}"));
    let title = format!("{}{}", subject.title, version.unwrap_or_default());
    line(&mut out, "", &title, width);
    for level in &certificate.levels {
        let word = if level.reached { "reached" } else { "no" };
        let mut head = format!("{word:<8} {:<17}", level.level.name());
        for reason in level.reasons.iter().take(SHOWN) {
            line(&mut out, &head, reason, width);
            head = " ".repeat(head.len());
        }
        if level.reasons.len() > SHOWN {
            let more = format!("and {} more", level.reasons.len() - SHOWN);
            line(&mut out, &head, &more, width);
        }
    }
    let l = &certificate.ledger;
    let promised = match l.promised {
        1 => "1 promised delivery".to_owned(),
        n => format!("{n} promised deliveries"),
    };
    let mail = format!(
        "{promised}: {} delivered, {} bounced, {} lost, {} late, {} more than once (at most {})",
        l.delivered, l.bounced, l.lost, l.late, l.duplicated, l.most_copies
    );
    for part in wrap(&mail, width) {
        line(&mut out, "", &part, width);
    }
    out
}

fn line(out: &mut String, head: &str, text: &str, width: usize) {
    let room = width.saturating_sub(head.len() + 1).max(20);
    let space = if head.is_empty() { "" } else { " " };
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{head}{space}{}", fit(&one_line(text), room));
}
