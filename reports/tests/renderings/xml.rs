//! A small check of XML: is it well-formed, and has it only the elements and attributes of a schema?

/// Elements with their attributes, as `junit-10.xsd` of Jenkins' xUnit plugin allows them.
const JUNIT_10: [(&str, &[&str]); 9] = [
    (
        "testsuites",
        &["name", "time", "tests", "failures", "errors"],
    ),
    (
        "testsuite",
        &[
            "name",
            "tests",
            "failures",
            "errors",
            "group",
            "time",
            "skipped",
            "timestamp",
            "hostname",
            "id",
            "package",
            "file",
            "log",
            "url",
        ],
    ),
    ("properties", &[]),
    ("property", &["name", "value"]),
    ("testcase", &["name", "time", "classname", "group"]),
    ("failure", &["type", "message"]),
    ("error", &["type", "message"]),
    ("skipped", &["type", "message"]),
    ("system-out", &[]),
];

/// Which element may stand in which.
fn may_hold(parent: &str, child: &str) -> bool {
    match parent {
        "" => child == "testsuites",
        "testsuites" => child == "testsuite",
        "testsuite" => matches!(child, "properties" | "testcase" | "system-out"),
        "properties" => child == "property",
        "testcase" => matches!(child, "failure" | "error" | "skipped" | "system-out"),
        _ => false,
    }
}

/// Checks a JUnit file. The error says what is wrong, and where.
pub(crate) fn check_junit(xml: &str) -> Result<(), String> {
    if let Some(bad) = xml.chars().find(|c| !is_xml_char(*c)) {
        return Err(format!(
            "U+{:04X} is no character of XML 1.0",
            u32::from(bad)
        ));
    }
    let declaration = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
    let mut rest = xml.strip_prefix(declaration).ok_or("no declaration")?;
    let mut open: Vec<&str> = Vec::new();
    let mut roots = 0;
    while let Some(at) = rest.find('<') {
        check_text(&rest[..at])?;
        if open.is_empty() && !rest[..at].trim().is_empty() {
            return Err(format!("text outside the root: {:?}", &rest[..at]));
        }
        // Attribute values hold no '>' here: the writer escapes it.
        let end = at + rest[at..].find('>').ok_or("a tag without end")?;
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Err(format!("</{name}> closes nothing"));
            }
            continue;
        }
        let (tag, empty) = tag
            .strip_suffix('/')
            .map_or((tag, false), |tag| (tag, true));
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let parent = open.last().copied().unwrap_or_default();
        if !may_hold(parent, name) {
            return Err(format!("<{name}> in <{parent}>"));
        }
        roots += usize::from(parent.is_empty());
        check_attributes(name, attributes)?;
        if !empty {
            open.push(name);
        }
    }
    if !open.is_empty() || roots != 1 || !rest.trim().is_empty() {
        return Err(format!(
            "open at the end: {open:?}, roots: {roots}, after them: {rest:?}"
        ));
    }
    Ok(())
}

fn check_attributes(element: &str, mut rest: &str) -> Result<(), String> {
    let allowed = JUNIT_10
        .iter()
        .find(|(name, _)| *name == element)
        .ok_or(format!("<{element}>"))?
        .1;
    let mut seen = Vec::new();
    while !rest.is_empty() {
        let (name, value) = rest
            .split_once("=\"")
            .ok_or(format!("attributes of {element}: {rest:?}"))?;
        let (value, after) = value
            .split_once('"')
            .ok_or(format!("{element}/@{name} has no end"))?;
        if !allowed.contains(&name) || seen.contains(&name) {
            return Err(format!("{element}/@{name}"));
        }
        seen.push(name);
        check_text(value)?;
        rest = after.trim_start();
    }
    Ok(())
}

/// No bare `<`, `>` or `&`.
fn check_text(text: &str) -> Result<(), String> {
    for (at, c) in text.char_indices() {
        let entity = text[at..].find(';').map(|end| &text[at..=at + end]);
        let known = |entity: &str| {
            matches!(entity, "&amp;" | "&lt;" | "&gt;" | "&quot;" | "&apos;")
                || entity.starts_with("&#")
        };
        if matches!(c, '<' | '>') || (c == '&' && !entity.is_some_and(known)) {
            return Err(format!("a bare {c} in {text:?}"));
        }
    }
    Ok(())
}

/// XML 1.0 §2.2
fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[test]
fn the_check_can_fail() {
    let file =
        |body: &str| check_junit(&format!(r#"<?xml version="1.0" encoding="UTF-8"?>{body}"#));
    assert_eq!(file(r#"<testsuites tests="0"></testsuites>"#), Ok(()));
    for broken in [
        "",
        "<testsuites>",
        "<testsuites></testsuite>",
        r#"<testsuites skipped="0"></testsuites>"#,
        r#"<testsuites name="a & b"></testsuites>"#,
        "<testsuites>\u{1b}</testsuites>",
        "<testsuites>]]></testsuites>",
        "<testsuites><testcase/></testsuites>",
        "<testsuites/><testsuites/>",
    ] {
        assert!(file(broken).is_err(), "{broken}");
    }
}
