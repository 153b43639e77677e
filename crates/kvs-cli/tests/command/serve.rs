//! `kvs serve`: its start, its words and its end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use crate::child::{Running, Scratch, kvs, refusal, run};

#[test]
fn the_first_start_prints_what_to_paste_and_the_second_no_secret() {
    let folder = Scratch::new("first-start");
    let mut first = Running::serve::<&str>(&folder, &[]);
    let url = first.url();
    assert!(url.starts_with("http://127.0.0.1:") && !url.ends_with(":0"), "{url}");
    let secret = first.line("AWS_SECRET_ACCESS_KEY").trim().split(' ').next_back().unwrap().to_owned();
    assert_eq!(secret.len(), 40);
    let data = folder.data().canonicalize().unwrap();
    assert!(first.line("eval ").contains(&format!("eval \"$(kvs env --data '{}')\"", data.display())));
    for file in ["service.json", "identities.json", "master.key"] {
        let mode = std::fs::metadata(data.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    first.signal(Signal::TERM);
    let (status, said) = first.end();
    assert_eq!(status.code(), Some(0), "{said}");
    assert_eq!(said.matches(&secret).count(), 1, "{said}");
    assert!(!data.join("service.json").exists());

    let second = Running::serve(&folder, &["--log", "trace"]);
    second.signal(Signal::INT);
    let (status, said) = second.end();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(!said.contains(&secret) && !said.contains("AWS_ACCESS_KEY_ID"), "{said}");
}

#[test]
fn a_folder_and_a_port_have_one_service() {
    let folder = Scratch::new("one-service");
    let mut service = Running::serve::<&str>(&folder, &[]);
    let data = folder.data();
    let (url, pid) = (service.url(), service.pid());
    let address = url.strip_prefix("http://").unwrap().to_owned();
    // The same port, as when somebody forgets that it runs, or another.
    for listen in [&*address, "127.0.0.1:0"] {
        let output = run(&folder, &["serve", "--listen", listen, "--data", data.to_str().unwrap()]);
        let said = refusal(&output, 1);
        let expected = format!("in use by the service at {url} (pid {pid})");
        assert_eq!(said, format!("kvs: the data folder {} is {expected}\n", data.display()));
        assert!(output.stdout.is_empty());
    }
    let said = refusal(&run(&folder, &["serve", "--data", "other", "--listen", &address]), 1);
    assert!(said.starts_with(&format!("kvs: cannot listen on {address}: ")), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    // The one that runs was not disturbed.
    assert!(data.join("service.json").exists());
    // And the other's folder is free.
    let mut other = kvs(&folder);
    let mut other = Running::start(other.args(["serve", "--data", "other", "--listen", "127.0.0.1:0"]));
    other.line("eval ");
}

#[test]
fn a_wrong_setting_is_one_line() {
    let folder = Scratch::new("wrong-setting");
    let config = folder.file("kvs.toml", "listen = \"127.0.0.1:0\"\nretention = 3\n");
    let said = refusal(&run(&folder, &["serve", "--config", config.to_str().unwrap()]), 1);
    let begins = format!("kvs: {}: line 2: unknown field `retention`", config.display());
    assert!(said.starts_with(&begins) && said.lines().count() == 1, "{said}");

    let key = folder.file("wrong.key", "default 00\n");
    let serve =
        |arguments: &[&str]| run(&folder, &[&["serve", "--listen", "127.0.0.1:0"], arguments].concat());
    let said = refusal(&serve(&["--key-file", key.to_str().unwrap()]), 1);
    assert!(said.contains("chmod 600") && said.lines().count() == 1, "{said}");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let said = refusal(&serve(&["--key-file", key.to_str().unwrap()]), 1);
    assert!(said.contains("wrong.key: line 1") && said.lines().count() == 1, "{said}");
    let said = refusal(&serve(&["--config", "missing.toml"]), 1);
    assert_eq!(said, "kvs: cannot read missing.toml: No such file or directory (os error 2)\n");
    let said = refusal(&serve(&["--log", "info,=x=y"]), 1);
    assert!(said.starts_with("kvs: the log filter") && said.lines().count() == 1, "{said}");
    let file = folder.file("file", "");
    let said = refusal(&serve(&["--data", file.to_str().unwrap()]), 1);
    assert!(said.contains("make the data folder") && said.lines().count() == 1, "{said}");

    for usage in
        [&["--listen", "nowhere"][..], &["--tls-cert", "x"], &["--frobnicate"], &["--max-bytes", "x"]]
    {
        refusal(&serve(usage), 2);
    }
    refusal(&run::<&str>(&folder, &[]), 2);
}

#[test]
fn a_master_key_of_the_environment_is_never_shown() {
    let folder = Scratch::new("master-key");
    let key = "5a".repeat(32);
    let mut command = kvs(&folder);
    command.args(["serve", "--listen", "127.0.0.1:0", "--log", "trace"]).env("KVS_MASTER_KEY", &key);
    let mut service = Running::start(&mut command);
    service.line("eval ");
    service.signal(Signal::TERM);
    let (status, said) = service.end();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(!said.contains(&key), "{said}");
    assert!(!folder.path().join("kvs-data/master.key").exists());
    // The environment wins over the file of the configuration, and the flag over both.
    let config = folder.file("kvs.toml", "listen = '127.0.0.1:0'\n[keys]\nfile = 'missing.key'\n");
    let mut again = kvs(&folder);
    again.args(["serve", "--config"]).arg(&config).env("KVS_MASTER_KEY", &key);
    drop(Running::start(&mut again).line("eval "));
    let flag = again.args(["--key-file", "also-missing.key"]).output().unwrap();
    assert!(refusal(&flag, 1).starts_with("kvs: also-missing.key: "));
    // Without it, what is there opens for nobody.
    refusal(&run(&folder, &["serve", "--listen", "127.0.0.1:0"]), 1);
    let another = "6b".repeat(32);
    let file = folder.file("another.key", &format!("default {another}\n"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::copy(&file, folder.path().join("kvs-data/master.key")).unwrap();
    for (variable, flags, from) in [
        (Some(&another), &[][..], "the environment (KVS_MASTER_KEY)"),
        (Some(&key), &["--key-file", "another.key"], "another.key"),
        (None, &[], "./kvs-data/master.key"),
    ] {
        for what in [&["serve", "--listen", "127.0.0.1:0"][..], &["verify"]] {
            let mut command = kvs(&folder);
            let output = command.args(what).args(flags).envs(variable.map(|key| ("KVS_MASTER_KEY", key)));
            let said = refusal(&output.output().unwrap(), 1);
            let begins = format!(
                "kvs: the master key of {from} does not open the data folder ./kvs-data, which was made with another"
            );
            assert!(said.starts_with(&begins) && said.lines().count() == 1, "{said}");
            assert!(!said.contains(&another) && !said.contains(&key), "{said}");
        }
    }
    let wrong =
        kvs(&folder).args(["serve", "--listen", "127.0.0.1:0"]).env("KVS_MASTER_KEY", "5a").output().unwrap();
    assert!(refusal(&wrong, 1).starts_with("kvs: KVS_MASTER_KEY: "));
}

#[test]
fn a_log_of_json_is_json() {
    let folder = Scratch::new("json-log");
    let mut service = Running::serve(&folder, &["--json"]);
    service.signal(Signal::HUP);
    let line = service.line("read again");
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&json["level"], &json["message"]), (&"INFO".into(), &"the users are read again".into()));
}

#[test]
fn a_service_that_others_can_reach_without_tls_warns() {
    let folder = Scratch::new("open");
    let mut command = kvs(&folder);
    command.args(["serve", "--listen", "0.0.0.0:0"]);
    let mut service = Running::start(&mut command);
    service.line("nothing is encrypted");
    assert!(service.url().starts_with("http://127.0.0.1:"));
}

#[test]
fn a_killed_service_leaves_a_folder_that_starts_again() {
    let folder = Scratch::new("killed");
    let first = Running::serve::<&str>(&folder, &[]);
    first.signal(Signal::KILL);
    first.end();
    assert!(folder.data().join("service.json").exists());
    let mut second = Running::serve::<&str>(&folder, &[]);
    let url = second.url();
    let said = run(&folder, &["env", "--data", folder.data().to_str().unwrap()]);
    assert!(crate::child::answer(&said).contains(&url));
}

#[test]
fn it_may_open_as_many_files_as_the_system_lets_it() {
    let folder = Scratch::new("open-files");
    let mut command = std::process::Command::new("sh");
    command
        .current_dir(folder.path())
        .args(["-c", "ulimit -S -n 128; exec \"$0\" serve --listen 127.0.0.1:0"]);
    let mut service = Running::start(command.arg(env!("CARGO_BIN_EXE_kvs")));
    service.line("eval ");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", service.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<_> = line.split_whitespace().skip(3).take(2).collect();
    assert!(numbers[0] == numbers[1] && numbers[0] != "128", "{line}");
}

#[test]
fn it_takes_no_more_connections_than_there_are_files_for() {
    let folder = Scratch::new("few-files");
    let mut command = std::process::Command::new("sh");
    command
        .current_dir(folder.path())
        .args(["-c", "ulimit -n 300; exec \"$0\" serve --json --listen 127.0.0.1:0"]);
    let mut service = Running::start(command.arg(env!("CARGO_BIN_EXE_kvs")));
    let line: serde_json::Value = serde_json::from_str(&service.line("fewer connections")).unwrap();
    assert_eq!((&line["connections"], &line["configured"]), (&44.into(), &20_000.into()));
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let folder = Scratch::new("second-signal");
    let mut service = Running::serve(&folder, &["--allow-faults"]);
    let mut request = TcpStream::connect(service.url().strip_prefix("http://").unwrap()).unwrap();
    request
        .write_all(b"POST /faults HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n")
        .unwrap();
    // It waits for a body that does not come, and would finish that first.
    let mut answer = [0; 12];
    request.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    service.signal(Signal::TERM);
    service.line("stopping: once more");
    service.signal(Signal::INT);
    let (status, said) = service.end();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("stopped at once"), "{said}");
}

#[test]
fn a_log_that_nobody_reads_costs_no_answer() {
    for (test, flags) in [("unread", &[][..]), ("unread-json", &["--json"])] {
        let folder = Scratch::new(test);
        let mut command = kvs(&folder);
        command.args(["serve", "--listen", "127.0.0.1:0", "--log", "trace"]).args(flags);
        let mut service = Running::start_unread(&mut command);
        let address = service.url().strip_prefix("http://").unwrap().to_owned();
        for _ in 0..3 {
            let mut call = TcpStream::connect(&address).unwrap();
            call.write_all(b"POST /listStreams HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}").unwrap();
            let mut answer = [0; 12];
            call.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"HTTP/1.1 403");
        }
        service.line("eval ");
        service.signal(Signal::TERM);
        assert_eq!(service.end().0.code(), Some(0), "{flags:?}");
    }
}
