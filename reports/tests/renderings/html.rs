//! HTML: one page, with nothing from elsewhere.

use gauntlet_reports::html;

use crate::fixture;

#[test]
fn every_answer() {
    insta::with_settings!({filters => vec![(r"(?s)<style>.*</style>", "<style>…</style>")]}, {
        insta::assert_snapshot!(html(&fixture::report(), &fixture::statement));
    });
}

#[test]
fn nothing_from_elsewhere_and_nothing_unescaped() {
    let page = html(&fixture::report(), &fixture::statement);
    for foreign in [
        "http:",
        "https:",
        "//",
        "@import",
        "url(",
        "<script",
        "<img",
        "<link",
        "\u{1b}",
        "\u{202e}",
        "javascript:",
    ] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.contains("&lt;script&gt;"));
    assert!(page.contains("\\x1b[31mred"));
}

#[test]
fn elements_are_closed() {
    for report in [
        fixture::report(),
        fixture::green(),
        gauntlet_reports::RunReport::new("", ""),
    ] {
        let page = html(&report, &|_| None);
        let mut open: Vec<&str> = Vec::new();
        for tag in page
            .split('<')
            .skip(1)
            .filter_map(|part| part.split('>').next())
        {
            let name = tag.split(' ').next().unwrap_or_default();
            if let Some(name) = name.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "in {page}");
            } else if !["!DOCTYPE", "meta", "br", "input"].contains(&name) {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }
}

#[test]
fn links_lead_somewhere() {
    let page = html(&fixture::report(), &fixture::statement);
    let mut links = 0;
    for link in page
        .split("href=\"#")
        .skip(1)
        .filter_map(|part| part.split('"').next())
    {
        assert!(page.contains(&format!("id=\"{link}\"")), "{link}");
        links += 1;
    }
    assert!(links > 10, "{links}");
}

#[test]
fn a_thousand_seeds_make_one_column() {
    let mut report = fixture::green();
    let one = report.scenarios[0].clone();
    report.scenarios = vec![one; 1000];
    let page = html(&report, &fixture::statement);
    assert_eq!(page.matches("scope=\"col\"").count(), 1);
    assert!(page.contains("SC-03 in sc-03-session-stays-open: holds (1000 runs)"));
    assert!(page.contains("and 975 more runs"));
}
