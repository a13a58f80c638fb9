//! Markdown: what a job summary shows.

use gauntlet_reports::markdown;

use crate::fixture;

#[test]
fn every_answer() {
    insta::assert_snapshot!(markdown(&fixture::report(), &fixture::statement));
}

#[test]
fn a_green_run() {
    insta::assert_snapshot!(markdown(&fixture::green(), &fixture::statement), @r#"
    # Gauntlet: all that was tested holds

    **1 guarantee: 1 holds · 1 scenario · 40 ms · 3 h 4 min simulated**

    `gauntlet run --only SC-03`, version 0.1.0

    ## Guarantees

    | | ID | guarantee | put to the test | scenarios |
    |---|---|---|--:|--:|
    | holds | SC-03 | The copy travels in a new session, opened while the sender's session is still open; the sender's session stays usable after the ack | 1 | 1 |

    <details><summary>What was proven, scenario by scenario</summary>

    **SC-03** holds

    - `sc-03-session-stays-open` (sim, seed 7), holds: 1 of 1 copies travelled in a session of their own

    </details>
    "#);
}

#[test]
fn a_thousand_seeds_stay_short() {
    let mut report = fixture::green();
    let one = report.scenarios[0].clone();
    report.scenarios = vec![one; 1000];
    let text = markdown(&report, &fixture::statement);
    assert!(text.contains("and 990 more runs"));
    assert!(text.len() < 4096, "{}", text.len());
}
