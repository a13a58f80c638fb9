//! What tests on a real machine share.

/// What a test needs of the machine is there. Where it is missing a user's machine skips the test and says so; in CI
/// that is a failure.
pub(crate) fn have(what: Result<(), String>) -> bool {
    let Err(missing) = what else { return true };
    assert!(
        std::env::var_os("CI").is_none(),
        "CI must have what this test needs: {missing}"
    );
    eprintln!("skipped: {missing}");
    false
}
