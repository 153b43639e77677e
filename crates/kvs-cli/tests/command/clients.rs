//! `kvs streams`, `kvs fragments`, `kvs faults`: against a service that runs.

use std::process::Output;

use kvs_media::time::Utc;
use rustix::process::Signal;
use serde_json::Value;

use crate::child::{Running, Scratch, answer, kvs, now, refusal, run};
use crate::record::record;

/// Runs a command with what `kvs env` or `kvs credentials` prints.
fn with(folder: &Scratch, script: &str, arguments: &[&str]) -> Output {
    let mut command = kvs(folder);
    for line in script.lines() {
        if let Some((name, value)) = line.strip_prefix("export ").and_then(|line| line.split_once('=')) {
            command.env(name, value.trim_matches('\''));
        }
    }
    command.args(arguments).output().unwrap()
}

fn env(folder: &Scratch) -> String {
    answer(&run(folder, &["env", "--data", folder.data().to_str().unwrap()]))
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&answer(output)).unwrap()
}

#[test]
fn streams_are_made_shown_and_deleted() {
    let folder = Scratch::new("streams");
    let _service = Running::serve::<&str>(&folder, &[]);
    let env = env(&folder);
    let call = |arguments: &[&str]| with(&folder, &env, arguments);
    let arn =
        answer(&call(&["streams", "create", "cam1", "--retention", "48h", "--media-type", "video/h264"]));
    assert!(arn.starts_with("arn:aws:kinesisvideo:us-west-2:111122223333:stream/cam1/"), "{arn}");
    answer(&call(&["streams", "create", "cam2", "--retention", "0h"]));
    let said = refusal(&call(&["streams", "create", "cam1"]), 1);
    assert!(said.starts_with("kvs: ResourceInUseException: ") && said.lines().count() == 1, "{said}");

    let table = answer(&call(&["streams"]));
    let rows: Vec<Vec<_>> =
        table.lines().map(|line| line.split("  ").filter(|cell| !cell.is_empty()).collect()).collect();
    assert_eq!(rows.len(), 3, "{table}");
    assert_eq!(
        rows[1].iter().map(|cell| cell.trim()).filter(|cell| !cell.starts_with("20")).collect::<Vec<_>>(),
        ["cam1", "ACTIVE", "48 h", "video/h264", "-"]
    );
    let streams = json(&call(&["streams", "--json"]));
    assert_eq!(streams["Streams"][0]["StreamARN"], arn.trim());
    assert_eq!(streams["Streams"][1]["DataRetentionInHours"], 0);

    assert_eq!(
        refusal(&call(&["streams", "delete", "cam1"]), 1),
        "kvs: nobody can be asked here: say --yes\n"
    );
    answer(&call(&["streams", "delete", "cam1", "--yes"]));
    let said = refusal(&call(&["streams", "delete", "cam1", "--yes"]), 1);
    assert!(said.starts_with("kvs: ResourceNotFoundException: "), "{said}");
    assert!(refusal(&call(&["fragments", "cam1"]), 1).starts_with("kvs: ResourceNotFoundException: "));
}

#[test]
fn fragments_are_listed_in_order_with_their_gaps() {
    let folder = Scratch::new("fragments");
    let service = Running::serve::<&str>(&folder, &[]);
    let first_env = env(&folder);
    answer(&with(&folder, &first_env, &["streams", "create", "cam1", "--retention", "24h"]));
    assert_eq!(answer(&with(&folder, &first_env, &["fragments", "cam1"])), "0 fragments\n");
    service.signal(Signal::TERM);
    let (status, said) = service.end();
    assert_eq!(status.code(), Some(0), "{said}");
    // A page has a thousand.
    let count = 2_100_i64;
    let start = now().millis() - 5_000_000;
    let times = (0..count).map(|step| start + 2_000 * step + if step < 1_000 { 0 } else { 30_000 });
    record(&folder.data(), times.map(|millis| Utc::from_millis(millis).unwrap()), 100);

    // Two pages a second, so that the third has to wait.
    let config = folder.file("kvs.toml", "[limits]\nfragment_metadata_points = 2000\n");
    let _service = Running::serve(&folder, &["--config", config.to_str().unwrap()]);
    let env = env(&folder);
    let all = json(&with(&folder, &env, &["fragments", "cam1", "--json"]));
    assert_eq!(all["Count"], count);
    let numbers: Vec<_> = all["Fragments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["FragmentNumber"].as_str().unwrap())
        .collect();
    assert!(numbers.is_sorted_by(|a, b| a.len() == b.len() && a < b));
    assert_eq!(all["Gaps"].as_array().unwrap().len(), 1, "{}", all["Gaps"]);
    let text = answer(&with(&folder, &env, &["fragments", "cam1", "--limit", "3"]));
    assert_eq!(text.lines().count(), 5, "{text}");
    assert!(
        text.starts_with("NUMBER ") && text.lines().last().unwrap().starts_with("3 fragments, "),
        "{text}"
    );
    assert!(text.contains(numbers[2_099]) && !text.contains(numbers[2_096]));

    let from = Utc::from_millis(start + 4_000).unwrap().to_string();
    let to = ((start + 8_000) / 1_000).to_string();
    let some = json(&with(&folder, &env, &["fragments", "cam1", "--json", "--from", &from, "--to", &to]));
    let expected = if start % 1_000 == 0 { 3 } else { 2 };
    assert_eq!(some["Count"], expected, "{some}");
    let none = answer(&with(&folder, &env, &["fragments", "cam1", "--from", "-2h", "--to", "-100min"]));
    assert_eq!(none, "0 fragments\n");
    let newest = json(&with(&folder, &env, &["streams", "--json"]));
    assert_eq!(newest["Streams"][0]["LastFragment"]["FragmentNumber"], numbers[2_099]);
}

#[test]
fn whoever_may_not_is_told_so() {
    let folder = Scratch::new("may-not");
    let mut service = Running::serve::<&str>(&folder, &[]);
    let data = folder.data();
    let data = data.to_str().unwrap();
    answer(&run(&folder, &["users", "--data", data, "add", "camera"]));
    service.line("the users are read again");
    let camera = answer(&run(&folder, &["env", "--data", data, "--user", "camera"]));
    let said = refusal(&with(&folder, &camera, &["streams"]), 1);
    assert!(
        said.starts_with("kvs: AccessDeniedException: User: arn:aws:iam::111122223333:user/camera "),
        "{said}"
    );

    let credentials = |more: &[&str]| {
        answer(&run(&folder, &[&["credentials", "--data", data, "--for", "15min"], more].concat()))
    };
    answer(&with(&folder, &credentials(&[]), &["streams", "create", "cam1"]));
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kinesisvideo:Describe*","Resource":"*"}]}"#;
    let policy = folder.file("policy.json", policy);
    let narrow = credentials(&["--policy", policy.to_str().unwrap()]);
    let said = refusal(&with(&folder, &narrow, &["streams"]), 1);
    assert!(said.starts_with("kvs: AccessDeniedException: "), "{said}");
}

#[test]
fn faults_strike_where_they_are_allowed() {
    let folder = Scratch::new("faults");
    let data = folder.data();
    let faults = |arguments: &[&str]| {
        run(&folder, &[&["faults", "--data", data.to_str().unwrap()], arguments].concat())
    };
    assert!(refusal(&faults(&["clear"]), 1).starts_with("kvs: no service runs on "));
    let strict = Running::serve::<&str>(&folder, &[]);
    assert!(refusal(&faults(&["clear"]), 1).contains("--allow-faults"));
    strict.signal(Signal::TERM);
    strict.end();
    let _service = Running::serve(&folder, &["--allow-faults"]);
    let env = env(&folder);
    let refuse = r#"{"what":{"refuse":{"operation":"ListFragments","status":403}}}"#;
    answer(&with(&folder, &env, &["streams", "create", "cam1"]));
    answer(&faults(&["set", refuse]));
    refusal(&with(&folder, &env, &["fragments", "cam1"]), 1);
    answer(&faults(&["clear"]));
    answer(&with(&folder, &env, &["fragments", "cam1"]));
    let said = refusal(&faults(&["set", "{}"]), 1);
    assert!(said.starts_with("kvs: not a fault: ") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_container_gets_its_credentials_from_the_service() {
    let folder = Scratch::new("container");
    let _service = Running::serve::<&str>(&folder, &[]);
    let data = folder.data();
    let make = |more: &[&str]| {
        let arguments = ["credentials", "--data", data.to_str().unwrap(), "--format", "container-env"];
        run(&folder, &[&arguments, more].concat())
    };
    let script = answer(&make(&["--for", "60s"]));
    assert!(
        script.contains("/credentials?for=60'\n") && !script.contains("export AWS_ACCESS_KEY_ID"),
        "{script}"
    );
    answer(&with(&folder, &script, &["streams", "create", "cam1"]));
    let wrong = script
        .replace("AWS_CONTAINER_AUTHORIZATION_TOKEN='root.", "AWS_CONTAINER_AUTHORIZATION_TOKEN='root.A");
    assert_ne!(wrong, script);
    refusal(&with(&folder, &wrong, &["streams"]), 1);
}

#[test]
fn a_self_signed_service_is_trusted_by_who_evaluates_env() {
    let folder = Scratch::new("self-signed");
    let mut service = Running::serve(&folder, &["--tls-self-signed", "--allow-faults"]);
    assert!(service.url().starts_with("https://127.0.0.1:"));
    let ca = service.line("  CA ").trim().strip_prefix("CA").unwrap().trim().to_owned();
    let script = env(&folder);
    assert!(script.contains(&format!("export AWS_CA_BUNDLE='{ca}'\n")), "{script}");
    answer(&with(&folder, &script, &["streams", "create", "cam1"]));
    // The address of GetDataEndpoint is HTTPS too.
    assert_eq!(answer(&with(&folder, &script, &["fragments", "cam1"])), "0 fragments\n");
    let data = folder.data();
    let faults = |word: &str| run(&folder, &["faults", "--data", data.to_str().unwrap(), word]);
    answer(&faults("clear"));
    let stranger: String =
        script.lines().filter(|line| !line.contains("CA_BUNDLE")).map(|line| format!("{line}\n")).collect();
    let said = refusal(&with(&folder, &stranger, &["streams"]), 1);
    assert!(said.lines().count() == 1 && said.contains("certificate"), "{said}");

    // Somebody puts another certificate there: it is shown from the next connection on.
    for file in ["tls-cert.pem", "tls-key.pem", "tls-ca.pem", "tls-ca-key.pem"] {
        std::fs::remove_file(data.join(file)).unwrap();
    }
    service.signal(Signal::HUP);
    service.line("the certificate is read again");
    answer(&with(&folder, &script, &["streams"]));
}

#[test]
fn whoever_cannot_be_reached_is_named() {
    let folder = Scratch::new("unreachable");
    let mut service = Running::serve::<&str>(&folder, &[]);
    let (env, url) = (env(&folder), service.url());
    service.signal(Signal::TERM);
    service.end();
    for arguments in [
        &["streams"][..],
        &["streams", "create", "cam1"],
        &["streams", "delete", "cam1", "--yes"],
        &["fragments", "cam1"],
    ] {
        let said = refusal(&with(&folder, &env, arguments), 1);
        let expected = "Connection refused (os error 111); start it with kvs serve, or point this shell at the one \
                        that runs: eval \"$(kvs env)\"\n";
        assert_eq!(said, format!("kvs: cannot reach {url}: {expected}"));
    }
}
