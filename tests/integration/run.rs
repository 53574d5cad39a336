//! `cnamed run` as a process: what it does by itself, what it does when it is told, and how it ends.

mod credentials;
mod dawn;
mod ear;
mod idle;
mod lives;
mod lying;
mod reload;
mod room;
mod said;
mod storm;
mod zones;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use cnamed::sandbox::{Action, CLOUDFLARE_TOKENS, Fault, Service};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixDatagram};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::support::Cloud;

/// Nothing that is waited for takes longer, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(60);
const NAME: &str = "jumpstation.example.com";

/// A service at work, and what it has logged.
struct Run {
    child: Child,
    /// Where it shows itself, once it has said so.
    port: watch::Receiver<Option<u16>>,
    lines: mpsc::UnboundedReceiver<String>,
    told: Vec<Value>,
}

impl Run {
    /// Begins one that looks every second, and at labels five times as often.
    async fn begin(cloud: &Cloud) -> Self {
        Self::every(cloud, "1s").await
    }

    async fn every(cloud: &Cloud, interval: &str) -> Self {
        watched(cloud, interval);
        Self::again(cloud, &[])
    }

    /// Begins one on a configuration that is ready for it.
    fn again(cloud: &Cloud, environment: &[(&str, &str)]) -> Self {
        Self::of(Command::new(env!("CARGO_BIN_EXE_cnamed")), cloud, environment)
    }

    /// Begins one where there is no room for files beyond `kib`, as on a full disk, until it is given [`room`](Self::room).
    fn cramped(cloud: &Cloud, kib: u32) -> Self {
        let mut shell = Command::new("bash");
        let script = format!("trap '' XFSZ; ulimit -S -f {kib}; exec \"$0\" \"$@\"");
        shell.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_cnamed"));
        Self::of(shell, cloud, &[])
    }

    /// There is room again.
    async fn room(&self) {
        let pid = self.child.id().unwrap().to_string();
        let given =
            Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited:"]).status().await.unwrap();
        assert!(given.success());
    }

    fn of(mut command: Command, cloud: &Cloud, environment: &[(&str, &str)]) -> Self {
        command
            .arg("--config")
            .arg(&cloud.config)
            .args(["--format", "json", "run"])
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("TMPDIR", cloud.folder.path())
            .envs(environment.iter().copied())
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::unbounded_channel();
        let (listening, port) = watch::channel(None);
        tokio::spawn(async move {
            let mut stderr = stderr.lines();
            while let Ok(Some(line)) = stderr.next_line().await {
                if let Some(port) = port_in(&line) {
                    listening.send_replace(Some(port));
                }
                let _ = sender.send(line);
            }
        });
        Self { child, port, lines, told: Vec::new() }
    }

    /// Waits for a line of the log.
    async fn logs(&mut self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        if let Some(line) = self.told.iter().find(|line| holds(line)) {
            return line.clone();
        }
        let waited = timeout(PATIENCE, async {
            while let Some(line) = self.lines.recv().await {
                let value = parsed(&line);
                self.told.push(value.clone());
                if holds(&value) {
                    return Some(value);
                }
            }
            None
        });
        match waited.await {
            Ok(Some(line)) => line,
            _ => panic!("never logged {what}: {:#?}", self.told),
        }
    }

    async fn round(&mut self, outcome: &str) {
        let outcome = outcome.to_owned();
        self.logs(&outcome, |line| line["message"] == "round" && line["outcome"] == outcome).await;
    }

    /// What the service answers at `path`: the status and the body.
    async fn get(&self, path: &str) -> Option<(u16, String)> {
        let port = (*self.port.borrow())?;
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        let body = answer.split_once("\r\n\r\n")?.1.to_owned();
        Some((status, body))
    }

    /// Whether it is ready, and why not.
    async fn readiness(&self) -> (u16, String) {
        self.get("/readyz").await.expect("it answers")
    }

    /// Waits until `/status.json` is as asked for.
    async fn shows(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = match self.get("/status.json").await {
                Some((_, body)) => serde_json::from_str(&body).unwrap_or(Value::Null),
                None => Value::Null,
            };
            if holds(&shown) {
                return shown;
            }
            assert!(Instant::now() < deadline, "never shown {what}: {shown:#}\n{:#?}", self.told);
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn in_sync(&self) -> Value {
        let well = |shown: &Value| matches!(shown["last"]["outcome"].as_str(), Some("in-sync" | "changed"));
        self.shows("in sync", well).await
    }

    async fn signal(&self, signal: &str) {
        let pid = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().await.unwrap();
        assert!(sent.success());
    }

    /// Ends it, and tells what it ended with and how long that took.
    async fn end(self) -> (i32, Duration, Vec<Value>) {
        self.end_by("-TERM").await
    }

    async fn end_by(mut self, signal: &str) -> (i32, Duration, Vec<Value>) {
        self.signal(signal).await;
        let asked = Instant::now();
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap();
        let took = asked.elapsed();
        while let Some(line) = self.lines.recv().await {
            self.told.push(parsed(&line));
        }
        (status.code().unwrap_or(-1), took, self.told)
    }
}

/// A line of a log that is JSON from its beginning to its end.
fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

/// Lets the service look so often, and show what it sees at a port that nobody else has.
fn watched(cloud: &Cloud, interval: &str) {
    cloud.append(&format!(
        "\n[watch]\ninterval = \"{interval}\"\nlabel_interval = \"200ms\"\n\n[http]\nlisten = \"127.0.0.1:0\"\n"
    ));
}

/// The port that a line of the log says the service listens at.
fn port_in(line: &str) -> Option<u16> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = line["address"].as_str().filter(|_| line["message"] == "service")?;
    Some(address.parse::<SocketAddr>().ok()?.port())
}

/// Lets name servers be asked for half a second only, so that what is not in sync is not ready within a few.
fn impatient(cloud: &Cloud) {
    cloud.replace("[verify]", "[verify]\ntimeout = \"600ms\"");
}

#[tokio::test]
async fn it_does_what_sync_does_and_then_writes_nothing() {
    let cloud = Cloud::start().await;
    let mut run = Run::begin(&cloud).await;
    run.round("changed").await;
    run.in_sync().await;
    assert_eq!(run.get("/readyz").await.unwrap().0, 200);
    cloud.sandbox.forget_requests();
    run.shows("three more rounds", |_| cloud.requests().len() > 12).await;
    assert!(cloud.writes().is_empty(), "{:?}", cloud.writes());
    let (code, took, _) = run.end().await;
    assert_eq!(code, 0);
    assert!(took < Duration::from_secs(2), "{took:?}");
    cloud.sandbox.forget_requests();
    cloud.run(&["sync"]).await.exits(0);
    assert!(cloud.writes().is_empty(), "{:?}", cloud.writes());
}

#[tokio::test]
async fn a_public_ip_that_is_made_anew_is_told_with_how_it_was_noticed_and_who_agreed() {
    let cloud = Cloud::start().await;
    let run = Run::every(&cloud, "1h").await;
    run.in_sync().await;
    cloud.sandbox.control().recreate_public_ip("pip-jump").unwrap();
    let shown = run
        .shows("an event that everybody agreed to", |shown| {
            let happening = |entry: &Value| {
                entry["entry"] == "happening" && entry["agreed"].as_array().unwrap().len() == 3
            };
            shown["history"].as_array().is_some_and(|history| history.iter().any(happening))
        })
        .await;
    let history = shown["history"].as_array().unwrap();
    let noticed = history.iter().any(|entry| entry["noticed"] == "label");
    assert!(noticed, "{history:#?}");
    run.end().await;
    cloud.run(&["history"]).await.exits(0).says("jump");
}

#[tokio::test]
async fn it_ends_within_two_seconds_also_in_the_middle_of_a_long_operation_and_says_what_was_under_way() {
    let cloud = Cloud::with(|options| options.operation_delay = Duration::from_secs(30)).await;
    let mut run = Run::begin(&cloud).await;
    run.logs("the service", |line| line["message"] == "service").await;
    let deadline = Instant::now() + PATIENCE;
    // What was accepted is polled.
    while !cloud.writes().iter().any(|write| write.status.is_some()) {
        assert!(Instant::now() < deadline, "nothing is begun");
        sleep(Duration::from_millis(20)).await;
    }
    let (code, took, told) = run.end().await;
    assert_eq!(code, 0, "{told:#?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    let said = |line: &&Value| line["message"] == "change" && line["outcome"] == "unconfirmed";
    let said: Vec<&Value> = told.iter().filter(said).collect();
    let [left] = said.as_slice() else { panic!("{told:#?}") };
    assert_eq!(
        (&left["verb"], &left["name"], &left["level"]),
        (&json!("create"), &json!("jump"), &json!("ERROR"))
    );
}

#[tokio::test]
async fn it_ends_within_two_seconds_also_while_nobody_takes_what_it_tells_and_shows() {
    let cloud = Cloud::start().await;
    let begun = cloud.folder.path().join("begun");
    cloud.append(&format!(
        "\n[[notify]]\nname = \"deaf\"\nkind = \"command\"\ntimeout = \"1m\"\nevents = [\"change\"]\n\
         command = [\"/bin/sh\", \"-c\", \"echo > {}; exec sleep 60\"]\n",
        begun.display()
    ));
    let run = Run::begin(&cloud).await;
    run.shows("that somebody is told", |_| begun.exists()).await;
    let port = run.port.borrow().expect("it listens");
    let mut slow = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: loc").await.unwrap();
    // Whoever comes later is answered once the first was taken.
    run.readiness().await;
    let (code, took, told) = run.end().await;
    assert_eq!(code, 0, "{told:#?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(told.iter().any(|line| line["undelivered"].is_u64()), "{told:#?}");
}

#[tokio::test]
async fn a_bad_configuration_is_not_taken_a_good_one_is_and_a_signal_begins_a_round() {
    let cloud = Cloud::start().await;
    let mut run = Run::every(&cloud, "1h").await;
    run.in_sync().await;
    let good = std::fs::read_to_string(&cloud.config).unwrap();
    cloud.replace("owner = \"demo\"", "owner = \"no owner\"");
    run.signal("-HUP").await;
    run.shows("the trouble", |shown| shown["troubles"].to_string().contains("was not taken")).await;
    assert_eq!(run.get("/healthz").await.unwrap().0, 200);

    std::fs::write(&cloud.config, good.replace("accounts = [\"azure\", \"cf\"]", "accounts = [\"azure\"]"))
        .unwrap();
    run.signal("-HUP").await;
    run.shows("a round of the new one", |shown| shown["last"]["trigger"] == "reload").await;
    let left = run.shows("the withdrawal", |shown| {
        shown["history"]
            .as_array()
            .is_some_and(|history| history.iter().any(|entry| entry["verb"] == "delete"))
    });
    left.await;

    let before = run.get("/status.json").await.unwrap().1;
    run.signal("-USR1").await;
    run.shows("a round by signal", |shown| shown["last"]["trigger"] == "signal").await;
    assert!(!before.contains("\"trigger\":\"signal\""));
    run.round("changed").await;
    run.end().await;
}

#[tokio::test]
async fn two_services_on_one_state_directory_refuse_each_other() {
    let cloud = Cloud::start().await;
    let run = Run::begin(&cloud).await;
    run.in_sync().await;
    let pid = run.child.id().unwrap().to_string();
    cloud.run(&["run"]).await.exits(1).says(&pid);
    let second = cloud.run(&["--format", "json", "run"]).await.exits(1);
    let why: Vec<Value> = second.err.lines().map(parsed).collect();
    assert!(matches!(why.as_slice(), [one] if one["error"].to_string().contains(&pid)), "{why:#?}");
    assert!(second.json()["error"].to_string().contains(&pid), "{}", second.out);
    assert_eq!(run.get("/healthz").await.unwrap().0, 200, "the first goes on");
    run.end().await;
}

#[tokio::test]
async fn whoever_undoes_beside_a_service_is_told_who_does_it_again_and_when() {
    let cloud = Cloud::start().await;
    let run = Run::every(&cloud, "5m").await;
    run.in_sync().await;
    let pid = run.child.id().unwrap();
    let asked = cloud.run(&["undo"]).await.exits(2);
    asked.says(&format!("the service (process {pid}) does it again within about 5m. Take {NAME} out"));
    run.end().await;
    cloud.run(&["undo"]).await.exits(2).says("the next sync does it again");
}

#[tokio::test]
async fn a_service_whose_state_directory_is_deleted_holds_the_one_that_it_makes_anew() {
    let cloud = Cloud::start().await;
    let mut run = Run::begin(&cloud).await;
    run.in_sync().await;
    std::fs::remove_dir_all(cloud.folder.path().join("state")).unwrap();
    run.logs("that it begins another journal", |line| line.to_string().contains("another one is begun"))
        .await;
    let pid = run.child.id().unwrap().to_string();
    cloud.run(&["run"]).await.exits(1).says(&pid);
    run.end().await;
}

#[tokio::test]
async fn a_service_manager_is_told_of_readiness_reload_life_and_the_end() {
    let cloud = Cloud::start().await;
    cloud.append("\n[watch]\ninterval = \"1s\"\n\n[http]\nlisten = \"127.0.0.1:0\"\n");
    let path: PathBuf = cloud.folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut heard = String::new();
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "400000")];
    let run = Run::again(&cloud, &environment);
    hear(&socket, &mut heard, "READY=1").await;
    hear(&socket, &mut heard, "STATUS=In sync").await;
    for _ in 0..3 {
        heard.clear();
        hear(&socket, &mut heard, "WATCHDOG=1").await;
    }
    heard.clear();
    run.signal("-HUP").await;
    hear(&socket, &mut heard, "RELOADING=1").await;
    hear(&socket, &mut heard, "MONOTONIC_USEC=").await;
    hear(&socket, &mut heard, "READY=1").await;
    run.signal("-TERM").await;
    hear(&socket, &mut heard, "STOPPING=1").await;
}

async fn hear(socket: &UnixDatagram, heard: &mut String, what: &str) {
    let mut buffer = vec![0; 4096];
    let waited = timeout(PATIENCE, async {
        while !heard.contains(what) {
            let length = socket.recv(&mut buffer).await.unwrap();
            heard.push_str(&String::from_utf8_lossy(&buffer[..length]));
            heard.push('\n');
        }
    });
    assert!(waited.await.is_ok(), "never heard {what}:\n{heard}");
}

#[tokio::test]
async fn a_damaged_journal_is_moved_aside_and_said_and_the_work_goes_on() {
    let cloud = Cloud::start().await;
    let state = cloud.folder.path().join("state");
    std::fs::create_dir_all(&state).unwrap();
    std::fs::write(state.join("journal.sqlite3"), vec![7; 9000]).unwrap();
    let ear = ear::Ear::of(&cloud);
    let mut run = Run::begin(&cloud).await;
    run.logs("the mending", |line| line.to_string().contains("corrupt")).await;
    ear.hears("service", "the journal was damaged").await;
    let shown = run.in_sync().await;
    let history = shown["history"].as_array().unwrap();
    assert!(!history.is_empty() && history.iter().all(|entry| entry.get("record").is_none()), "{history:#?}");
    assert_eq!(ear.times("service", "the journal was damaged"), 1, "{:#?}", ear.heard("service"));
    run.end().await;
    let aside = std::fs::read_dir(&state).unwrap();
    let names: Vec<String> = aside.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().any(|name| name.contains("corrupt")), "{names:?}");
}

#[tokio::test]
async fn with_one_provider_down_the_other_is_kept_right_and_it_is_not_ready() {
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    let run = Run::begin(&cloud).await;
    run.in_sync().await;
    let body = json!({"error": "down"});
    let down = || {
        Fault::on(
            Service::Cloudflare,
            Action::Status { status: 503, headers: Vec::new(), body: body.clone() },
        )
    };
    control.fault(down().always());
    run.shows("an account at rest", |shown| shown["resting"][0]["account"] == "cf").await;
    cloud.sandbox.forget_requests();
    let drifted = json!({
        "name": NAME, "type": "CNAME", "values": ["elsewhere.example.net"], "ttl": 30,
        "metadata": {"managed-by": "cnamed", "owner": "demo"},
    });
    control.set_record_azure(&serde_json::from_value(drifted).unwrap()).unwrap();
    run.shows("the healing", |_| cloud.writes().iter().any(|write| write.service == Service::Arm)).await;
    run.end().await;
}

#[tokio::test]
async fn a_token_that_is_rotated_on_disk_is_taken_without_a_restart() {
    let cloud = Cloud::start().await;
    let token = std::fs::read_dir(cloud.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let token = token.into_iter().find(|path| path.ends_with("cloudflare-token")).unwrap();
    let good = std::fs::read_to_string(&token).unwrap();
    std::fs::write(&token, CLOUDFLARE_TOKENS.expired).unwrap();
    let run = Run::begin(&cloud).await;
    run.shows("that it is denied", |shown| shown["resting"][0]["account"] == "cf").await;
    std::fs::write(&token, good).unwrap();
    run.in_sync().await;
    run.end().await;
}

#[tokio::test]
async fn what_it_warns_of_in_its_configuration_is_in_its_log_once() {
    let cloud = Cloud::start().await;
    let token = cloud.folder.path().join("cloudflare-token");
    std::fs::set_permissions(token, std::fs::Permissions::from_mode(0o644)).unwrap();
    let run = Run::begin(&cloud).await;
    run.in_sync().await;
    let (_, _, told) = run.end().await;
    let warnings = told.iter().filter(|line| line["message"] == "configuration").count();
    assert_eq!(warnings, 1, "{told:#?}");
}
