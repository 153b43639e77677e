//! `kvs env`, `kvs credentials`, `kvs users`.

use std::process::Command;

use kvs_service::auth::Sessions;
use kvs_service::store::Folder;
use serde_json::Value;

use crate::child::{Running, Scratch, answer, kvs, now, refusal, run, text};

/// Has `sh` evaluate a script of the binary, and print variables.
fn evaluated(folder: &Scratch, script: &str, names: &[&str]) -> Vec<String> {
    let print: String = names.iter().map(|name| format!("printf '%s\\n' \"${{{name}-unset}}\"; ")).collect();
    let binary = env!("CARGO_BIN_EXE_kvs");
    let command = format!("kvs() {{ '{binary}' \"$@\"; }}; eval \"$({script})\"; {print}");
    let output = Command::new("sh")
        .args(["-c", &command])
        .current_dir(folder.path())
        .env("AWS_CA_BUNDLE", "/of/another/tls-ca.pem")
        .env("AWS_PROFILE", "mine")
        .env("AWS_SESSION_TOKEN", "old")
        .env("SHELL", "/bin/sh")
        .output()
        .unwrap();
    answer(&output).lines().map(Into::into).collect()
}

#[test]
fn a_shell_evaluates_what_env_prints() {
    let folder = Scratch::new("it's an env");
    let mut service = Running::serve(&folder, &["--region", "eu-central-1"]);
    let key = service.line("AWS_ACCESS_KEY_ID").trim().split(' ').next_back().unwrap().to_owned();
    let secret = service.line("AWS_SECRET_ACCESS_KEY").trim().split(' ').next_back().unwrap().to_owned();
    // The line that the service says is to be pasted.
    let paste = service.line("eval ").trim().to_owned();
    let script = paste.strip_prefix("eval \"$(").unwrap().strip_suffix(")\"").unwrap();
    let names = [
        "AWS_ENDPOINT_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_CA_BUNDLE",
    ];
    let url = service.url();
    assert_eq!(
        evaluated(&folder, script, &names),
        [&*url, &*key, &*secret, "eu-central-1", "eu-central-1", "unset", "unset", "unset"]
    );
    let temporary = evaluated(&folder, &script.replace("kvs env", "kvs credentials --for 60s"), &names);
    assert_eq!((&*temporary[0], &*temporary[3]), (&*url, "eu-central-1"));
    assert!(temporary[1].starts_with("ASIA") && temporary[5].len() > 40, "{temporary:?}");
}

#[test]
fn env_without_a_service_says_so_and_without_a_folder_fails() {
    let folder = Scratch::new("env-alone");
    let said = refusal(&run(&folder, &["env"]), 1);
    assert_eq!(said, "kvs: no service has run on ./kvs-data yet: start kvs serve --data ./kvs-data\n");
    drop(Running::serve::<&str>(&folder, &[]));
    let data = folder.data();
    let output = run(&folder, &["env", "--shell", "fish", "--data", data.to_str().unwrap()]);
    assert!(answer(&output).contains("set -gx AWS_ENDPOINT_URL 'http://127.0.0.1:4580';\n"));
    assert!(text(&output.stderr).starts_with("# no service runs on "));
    let said = refusal(&run(&folder, &["env", "--user", "eve", "--data", data.to_str().unwrap()]), 1);
    assert_eq!(said, "kvs: there is no user \"eve\"\n");
}

#[test]
fn credentials_open_for_the_service_and_for_no_other() {
    let folder = Scratch::new("credentials");
    let _service = Running::serve::<&str>(&folder, &[]);
    let data = folder.data();
    let make = |arguments: &[&str]| {
        let output = run(&folder, &[&["credentials", "--data", data.to_str().unwrap()], arguments].concat());
        serde_json::from_str::<Value>(&answer(&output)).unwrap()
    };
    let keyring = Folder::read_keyring(&data).unwrap();
    let sessions = Sessions::new(&keyring.derive("sessions").unwrap()).unwrap();
    let others = Sessions::new(&keyring.derive("other").unwrap()).unwrap();
    let now = now();
    let later = |seconds| now.checked_add(std::time::Duration::from_secs(seconds)).unwrap();
    let process = make(&["--for", "60s", "--format", "process"]);
    assert_eq!(process["Version"], 1);
    let container = make(&["--for", "60s", "--format", "container"]);
    let json = make(&["--for", "60s", "--format", "json"]);
    let json = &json["Credentials"];
    for (made, token) in [(&process, "SessionToken"), (&container, "Token"), (json, "SessionToken")] {
        let (key, token) = (made["AccessKeyId"].as_str().unwrap(), made[token].as_str().unwrap());
        assert!(sessions.open(token, key, now).is_ok());
        assert!(sessions.open(token, key, later(70)).is_err());
        assert!(others.open(token, key, now).is_err());
    }
    let data = data.to_str().unwrap();
    let said = refusal(&run(&folder, &["credentials", "--data", data, "--for", "1s"]), 1);
    assert_eq!(said, "kvs: a session lasts 15 seconds to 36 hours\n");
    refusal(&run(&folder, &["credentials", "--data", data, "--for", "60"]), 2);
    let policy = folder.file("policy.json", "{\"Statement\": [{\"Effect\": \"Maybe\"}]}");
    let said =
        refusal(&run(&folder, &["credentials", "--data", data, "--policy", policy.to_str().unwrap()]), 1);
    assert!(said.starts_with("kvs: the session policy: ") && said.lines().count() == 1, "{said}");
}

#[test]
fn users_change_while_the_service_runs() {
    let folder = Scratch::new("users");
    let mut service = Running::serve::<&str>(&folder, &[]);
    let data = folder.data();
    let users = |arguments: &[&str]| {
        run(&folder, &[&["users", "--data", data.to_str().unwrap()], arguments].concat())
    };
    let made = answer(&users(&["add", "camera"]));
    assert!(
        made.starts_with("AWS_ACCESS_KEY_ID=AKIA") && made.contains("\nAWS_SECRET_ACCESS_KEY="),
        "{made}"
    );
    service.line("the users are read again");
    let second = answer(&users(&["key", "camera"]));
    let id = |made: &str| made.lines().next().unwrap().split_once('=').unwrap().1.to_owned();
    assert_eq!(
        refusal(&users(&["key", "camera"]), 1),
        "kvs: the user \"camera\" has 2 keys, and no user has more; revoke one first: \
         kvs users key camera --revoke ID\n"
    );
    assert!(
        refusal(&users(&["add", "Camera"]), 1).starts_with("kvs: there is a user \"Camera\" already, or ")
    );
    assert_eq!(
        refusal(&users(&["add", "my camera"]), 1),
        "kvs: \"my camera\" is no name: a name is 1 to 64 letters, digits or any of _+=,.@-\n"
    );
    answer(&users(&["key", "camera", "--revoke", &id(&made)]));
    assert!(refusal(&users(&["key", "camera", "--revoke", &id(&made)]), 1).contains("has no key"));

    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kinesisvideo:*","Resource":"*"}]}"#;
    let file = folder.file("policy.json", policy);
    answer(&users(&["policy", "camera", "all", file.to_str().unwrap()]));
    assert_eq!(answer(&users(&["policy", "camera", "all"])).trim(), policy);
    let list: Value = serde_json::from_str(&answer(&users(&["list", "--json"]))).unwrap();
    assert_eq!(list["Users"][0]["Name"], "root");
    assert_eq!(list["Users"][1]["AccessKeyIds"], serde_json::json!([id(&second)]));
    assert_eq!(list["Users"][1]["Policies"], serde_json::json!(["all"]));
    assert!(answer(&users(&["list"])).contains("camera"));
    for (arguments, said) in [
        (&["add", "root"][..], "root is there from the start; one more key of it: kvs users key root"),
        (&["remove", "root"], "root cannot be removed; a key of it can: kvs users key root --revoke ID"),
        (&["policy", "root", "all", file.to_str().unwrap()], "root may do everything, and has no policies"),
    ] {
        assert_eq!(refusal(&users(arguments), 1), format!("kvs: {said}\n"));
    }
    let named = refusal(&users(&["policy", "camera", "a b", file.to_str().unwrap()]), 1);
    assert!(named.starts_with("kvs: \"a b\" is no name: "), "{named}");
    answer(&users(&["policy", "camera", "all", "--remove"]));
    assert!(refusal(&users(&["policy", "camera", "all"]), 1).contains("has no policy"));

    let wrong = folder.file("wrong.json", "{}");
    let said = refusal(&users(&["policy", "camera", "all", wrong.to_str().unwrap()]), 1);
    assert!(said.contains("wrong.json: ") && said.lines().count() == 1, "{said}");
    answer(&users(&["remove", "camera"]));
    assert!(refusal(&users(&["remove", "camera"]), 1).contains("no user"));
}

#[test]
fn without_credentials_it_says_where_they_come_from() {
    let folder = Scratch::new("no-credentials");
    for arguments in [&["streams"][..], &["fragments", "cam1"]] {
        let said = refusal(&run(&folder, arguments), 1);
        assert!(said.contains("no Region is set") && said.contains("eval \"$(kvs env)\""), "{said}");
        let said = refusal(&kvs(&folder).args(arguments).env("AWS_REGION", "eu-west-1").output().unwrap(), 1);
        assert!(said.contains("no credentials are set") && said.contains("eval \"$(kvs env)\""), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
