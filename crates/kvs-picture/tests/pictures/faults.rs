//! What breaks a picture costs that picture.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kvs_wire::Operation;
use serde_json::json;
use tempfile::TempDir;

use super::client::Client;
use super::media::{H264, VP8, encoded};
use super::running::Running;
use super::service::{BASE, WORKER, asking, configured, document, images, media_error, put, started, with};

/// A program in the place of the worker that does something else the first times that it runs.
struct Script {
    folder: TempDir,
    program: PathBuf,
}

impl Script {
    fn new(times: u32, first: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (path, program) = (folder.path().display(), folder.path().join("kvs-picture"));
        let text = format!(
            "#!/bin/sh\necho $$ >> {path}/pids\n\
             if [ $(wc -l < {path}/pids) -le {times} ]; then {first}; fi\nexec {WORKER}\n"
        );
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        Self { folder, program }
    }

    /// The processes that were started, in their order.
    fn pids(&self) -> Vec<u32> {
        let text = std::fs::read_to_string(self.folder.path().join("pids")).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }
}

/// What a worker says first, as the shell prints it.
const HELLO: &str = r"printf '\000\000\000\015kvs-picture 1'";

fn runs(pid: u32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

async fn ended(pid: u32) {
    let gone = async {
        while runs(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the worker goes on");
}

async fn recorded(program: &Path, patience: Duration) -> (Running, Client) {
    let running = Running::start_with(|config| {
        configured(program)(config);
        config.pictures.patience = patience;
    })
    .await;
    let client = running.client();
    client.create("cam", 24).await;
    put(&client, &document(&encoded(H264, 20, (160, 120)), BASE)).await;
    (running, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_costs_the_picture_that_it_was_at() {
    let die = format!("{HELLO}; head -c 100 > /dev/null; kill -9 $$");
    // Once may be because of what it did before; the second one has done nothing else.
    let script = Script::new(2, &die);
    let (running, client) = recorded(&script.program, Duration::from_secs(20)).await;
    let shown = images(&client, asking(BASE, BASE + 600)).await;
    assert_eq!(shown, [media_error(), Ok(5), Ok(10), Ok(15)]);
    assert_eq!(images(&client, asking(BASE, BASE + 600)).await, [0, 5, 10, 15].map(Ok));
    assert_eq!(script.pids().len(), 3, "the third is used again");
    running.stop().await;
    for pid in script.pids() {
        ended(pid).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_every_worker_dies_of_costs_what_comes_behind_it_and_ends() {
    let die = format!("{HELLO}; head -c 100 > /dev/null; kill -9 $$");
    let script = Script::new(4, &die);
    let (running, client) = recorded(&script.program, Duration::from_secs(20)).await;
    let shown = images(&client, asking(BASE, BASE + 600)).await;
    // The first had waited, two were new, and the fragment is given up; the next one loses a picture to the fourth.
    assert_eq!(shown, [media_error(), media_error(), media_error(), Ok(15)]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_hangs_is_ended_and_costs_a_picture() {
    let script = Script::new(1, &format!("{HELLO}; exec sleep 1000"));
    let (running, client) = recorded(&script.program, Duration::from_secs(2)).await;
    let shown = images(&client, asking(BASE, BASE + 600)).await;
    assert_eq!(shown, [media_error(), Ok(5), Ok(10), Ok(15)]);
    ended(script.pids()[0]).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_killed_while_it_waited_costs_nothing() {
    let script = Script::new(0, ":");
    let (running, client) = recorded(&script.program, Duration::from_secs(20)).await;
    for round in 1..=3 {
        assert_eq!(images(&client, asking(BASE, BASE + 200)).await, [Ok(0), Ok(5)]);
        let pids = script.pids();
        assert_eq!(pids.len(), round);
        let killed = std::process::Command::new("kill").arg("-9").arg(pids[round - 1].to_string()).status();
        assert!(killed.unwrap().success());
        ended(pids[round - 1]).await;
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_has_nothing_to_do_is_ended() {
    let script = Script::new(0, ":");
    let running = Running::start_with(|config| {
        configured(&script.program)(config);
        config.pictures.idle = Duration::ZERO;
    })
    .await;
    let client = running.client();
    client.create("cam", 24).await;
    put(&client, &document(&encoded(VP8, 5, (160, 120)), BASE)).await;
    assert_eq!(images(&client, asking(BASE, BASE)).await, [Ok(0)]);
    ended(script.pids()[0]).await;
    assert_eq!(images(&client, asking(BASE, BASE)).await, [Ok(0)]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_the_service_s_end_interrupts_is_cut() {
    let script = Script::new(9, &format!("{HELLO}; exec sleep 1000"));
    let (mut running, client) = recorded(&script.program, Duration::from_secs(2)).await;
    let mut answer = client.media(Operation::GetImages, asking(BASE, BASE + 600)).await;
    assert_eq!(answer.head.status, 200);
    running.begin_to_stop();
    let text = answer.all().await;
    assert!(!text.ends_with(b"}"), "{text:?}");
    running.stop().await;
    for pid in script.pids() {
        ended(pid).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_says_nonsense_is_ended() {
    let script = Script::new(1, &format!(r"{HELLO}; printf '\377\377\377\377'; exec sleep 1000"));
    let (running, client) = recorded(&script.program, Duration::from_secs(20)).await;
    assert_eq!(images(&client, asking(BASE, BASE + 200)).await, [media_error(), Ok(5)]);
    ended(script.pids()[0]).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_no_worker_is_refused() {
    for (program, word) in [("/bin/true", "ended"), ("/etc/hostname", "start")] {
        let (running, client) = recorded(Path::new(program), Duration::from_secs(20)).await;
        let answer = client.call(Operation::GetImages, asking(BASE, BASE)).await;
        assert_eq!((answer.head.status, answer.exception()), (503, "ServiceUnavailable"));
        let said = answer.json();
        assert!(said["message"].as_str().unwrap().contains(word), "{program}: {said}");
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_workers_are_started_than_there_may_be() {
    let script = Script::new(0, ":");
    let running = Running::start_with(|config| {
        configured(&script.program)(config);
        config.pictures.workers = 2;
    })
    .await;
    let client = running.client();
    client.create("cam", 24).await;
    put(&client, &document(&encoded(VP8, 20, (160, 120)), BASE)).await;
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { images(&client, asking(BASE, BASE + 600)).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), [0, 5, 10, 15].map(Ok));
    }
    assert!(script.pids().len() <= 2, "{:?}", script.pids());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_media_costs_the_pictures_that_are_made_of_it() {
    let (running, client) = started().await;
    put(&client, &document(&encoded(VP8, 20, (160, 120)), BASE)).await;
    // The start code of the first key frame.
    let fault = json!({ "times": 1, "what": { "damage_media": { "at": 3 } } });
    running.service.faults().set(fault.to_string().as_bytes()).unwrap();
    let shown = images(&client, asking(BASE, BASE + 600)).await;
    assert_eq!(shown, [media_error(), media_error(), Ok(10), Ok(15)]);
    assert_eq!(images(&client, asking(BASE, BASE + 600)).await, [0, 5, 10, 15].map(Ok));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_were_never_pictures_are_media_errors() {
    let (running, client) = started().await;
    let mut broken = encoded(H264, 20, (160, 120));
    for (number, _, payload) in &mut broken.frames {
        if *number < 10 {
            *payload = b"nothing that decodes".to_vec();
        }
    }
    put(&client, &document(&broken, BASE)).await;
    let shown = images(&client, asking(BASE, BASE + 600)).await;
    assert_eq!(shown, [media_error(), media_error(), Ok(10), Ok(15)]);
    // A fragment in which decoding cannot begin.
    let mut keyless = encoded(VP8, 10, (160, 120));
    let (_, first) = (keyless.frames.remove(0), &mut keyless.frames[0]);
    first.1 = true;
    put(&client, &document(&keyless, BASE + 10_000)).await;
    let request = with(asking(BASE + 10_040, BASE + 10_240), json!({ "Format": "PNG" }));
    assert_eq!(images(&client, request).await, [media_error(), media_error()]);
    running.stop().await;
}
