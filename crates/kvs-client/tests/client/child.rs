//! A test that runs in a process of its own, with an environment of its own: AWS's libraries read that by themselves.

use std::process::Command;

const MARK: &str = "KVS_CLIENT_TEST_CHILD";

/// False in the process that the test runner has started: then the test was run in another one, and was good.
pub(crate) fn is_child(test: &str, environment: &[(&str, &str)]) -> bool {
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env_clear()
        .env(MARK, "1")
        // Nothing of the machine is found by chance.
        .env("HOME", "/nowhere")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "there is no test {test:?}: {said}");
    false
}
