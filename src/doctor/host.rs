//! This host: its clock, the state directory, the address to listen on.

use std::fs::DirBuilder;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use crate::journal::{Journal, Trouble};
use crate::model::checkup::{Check, Health, Topic};

/// Whether this host's clock agrees with a service's, which is `ahead` of it by so many seconds.
#[must_use]
pub fn clock(service: &str, ahead: i64) -> Check {
    let check = |health, detail: String| Check::new(Topic::Clock, service, health, detail);
    let off = ahead.unsigned_abs();
    if off <= TOLERABLE {
        return check(Health::Ok, "agrees with this host's".into());
    }
    let side = if ahead > 0 { "behind" } else { "ahead" };
    let span = humantime::format_duration(Duration::from_secs(off));
    let health = if off > TOO_FAR { Health::Failed } else { Health::Warning };
    let harm = if off > TOO_FAR { ": tokens count as expired, or as not valid yet" } else { "" };
    check(health, format!("this host's clock is {span} {side}{harm}"))
        .next("set the clock: timedatectl set-ntp true, or check the time service")
}

/// Whether the service can keep its journal in `directory`: a file is written, flushed, and taken away again, and a
/// journal that is there is read.
#[must_use]
pub fn state(directory: &Path) -> Check {
    let check = |health, detail: String| Check::new(Topic::State, directory.display(), health, detail);
    match std::fs::metadata(directory) {
        Ok(metadata) if !metadata.is_dir() => {
            return check(Health::Failed, "is no directory".into()).next("name another in state.directory");
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return missing(directory),
        Err(error) => {
            return check(Health::Failed, format!("cannot be looked at: {error}"))
                .next("let the user that runs the service into it, or name another in state.directory");
        }
    }
    if let Err(error) = tried(directory) {
        let step = "let the user that runs the service write there, or name another in state.directory";
        return unusable(directory, "cannot be written", &error, step);
    }
    let writable = format!("can be written, and has room for {ROOM} MiB");
    match Journal::check(directory) {
        Ok(false) => check(Health::Ok, writable),
        Ok(true) => check(Health::Ok, format!("{writable}; its journal is whole")),
        Err(error) => {
            let (health, harm) = match error.trouble() {
                // Whoever writes at the moment has it, and does not let go for long.
                Trouble::Busy => (Health::NotAsked, ""),
                // The service begins, or goes on; these do not until somebody acts.
                Trouble::Damaged => (Health::Failed, "; history and undo fail until then"),
                _ => (Health::Failed, ""),
            };
            check(health, error.causes()).next(format!("{}{harm}", error.step()))
        }
    }
}

/// A directory that is not there, which the service makes when it begins: whether it can.
fn missing(directory: &Path) -> Check {
    // A link that leads nowhere is there as well, and nothing can be made below it.
    let there = directory.ancestors().find(|path| path.symlink_metadata().is_ok()).unwrap_or(Path::new("."));
    let trial = there.join(trial_name());
    // Modes alone do not tell: nobody makes anything in /proc.
    let made = DirBuilder::new().mode(0o700).create(&trial);
    // Whatever came of it, the directory goes again.
    match made.and_then(|()| tried(&trial).and(std::fs::remove_dir(&trial))) {
        Ok(()) => {
            let detail = format!("is not there yet, and the service makes it; there is room for {ROOM} MiB");
            Check::new(Topic::State, directory.display(), Health::Ok, detail)
        }
        Err(error) => {
            let what = format!("is not there, and cannot be made in {}", there.display());
            let make = format!(
                "make it, for the user that runs the service: install -d -m 0700 {}; or name another in state.directory",
                directory.display()
            );
            unusable(directory, &what, &error, &make)
        }
    }
}

fn unusable(directory: &Path, what: &str, error: &io::Error, step: &str) -> Check {
    let check = |detail| Check::new(Topic::State, directory.display(), Health::Failed, detail);
    if is_full(error) {
        return check(format!("has no room for {ROOM} MiB: {error}")).next("make room on that disk");
    }
    check(format!("{what}: {error}")).next(step)
}

/// Writes a file in `directory`; whatever was written goes again.
fn tried(directory: &Path) -> io::Result<()> {
    let trial = directory.join(trial_name());
    let written = write(&trial);
    let removed = std::fs::remove_file(&trial);
    written.and(removed)
}

fn trial_name() -> String {
    format!(".cnamed-doctor-{}", std::process::id())
}

/// Whether `listen` is free, or already a service of ours.
#[must_use]
pub fn listen(listen: SocketAddr) -> Check {
    let check = |health, detail: String| Check::new(Topic::Listen, listen, health, detail);
    match TcpListener::bind(listen) {
        Ok(_) => check(Health::Ok, "is free".into()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => match answer(listen) {
            Ok(true) => check(Health::Ok, "is held by cnamed itself".into()),
            Ok(false) => check(Health::Failed, "is held by another program".into())
                .next("stop that program, or name another address in http.listen"),
            Err(error) => {
                check(Health::Failed, format!("is held by a program that does not answer: {error}"))
                    .next("see who holds it with ss -ltnp, or name another address in http.listen")
            }
        },
        Err(error) => check(Health::Failed, format!("cannot be listened on: {error}"))
            .next("name an address of this host and a port from 1024 up in http.listen"),
    }
}

fn write(trial: &Path) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(trial)?;
    // No two pages alike, so that no file system stores them as one.
    let mut page = [0_u8; 4096];
    for number in 0..ROOM * 256 {
        page[..8].copy_from_slice(&(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        file.write_all(&page)?;
    }
    file.sync_data()
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether whoever listens there says that it is cnamed.
fn answer(listen: SocketAddr) -> io::Result<bool> {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(ip, listen.port());
    let mut stream = TcpStream::connect_timeout(&address, MOMENT)?;
    stream.set_read_timeout(Some(MOMENT))?;
    stream.set_write_timeout(Some(MOMENT))?;
    let host = format!("GET /status.json HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(host.as_bytes())?;
    let mut heard = Vec::new();
    // The beginning is enough, and an endless answer is nobody's of ours.
    match stream.take(ANSWER).read_to_end(&mut heard) {
        Err(error) if heard.is_empty() => return Err(error),
        _ => {}
    }
    let heard = String::from_utf8_lossy(&heard);
    // All three come before what grows with the number of names.
    Ok(["\"owner\"", "\"program\"", "\"started\""].iter().all(|word| heard.contains(word)))
}

/// Seconds that no service minds.
const TOLERABLE: u64 = 30;
/// Seconds beyond which Microsoft Entra ID and Azure refuse tokens (RFC 7519, 4.1.4 leaves it to them: five minutes).
const TOO_FAR: u64 = 300;
/// MiB that are written to see whether they fit: more than a journal grows by in a month.
const ROOM: usize = 4;
/// How long a service on this host may take to answer.
const MOMENT: Duration = Duration::from_secs(2);
/// As much as is read of an answer.
const ANSWER: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_judged_by_what_it_breaks() {
        for (ahead, health) in [
            (0, Health::Ok),
            (30, Health::Ok),
            (-31, Health::Warning),
            (300, Health::Warning),
            (301, Health::Failed),
            (i64::MIN, Health::Failed),
        ] {
            assert_eq!(clock("s", ahead).health, health, "{ahead}");
        }
        assert!(clock("s", 600).detail.contains("10m behind"), "{}", clock("s", 600).detail);
    }

    #[test]
    fn a_directory_is_tried_and_left_as_it_was() {
        let folder = tempfile::TempDir::new().unwrap();
        assert_eq!(state(folder.path()).health, Health::Ok);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        // The service makes one that is not there, and what lies above it.
        assert_eq!(state(&folder.path().join("none/below")).health, Health::Ok);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(state(&file).health, Health::Failed);
        // Whoever runs this, root too, is let into no directory below a file, and writes none into /proc.
        assert_eq!(state(&file.join("below")).health, Health::Failed);
        if Path::new("/proc/self").exists() {
            assert_eq!(state(Path::new("/proc/self")).health, Health::Failed);
            let refused = state(Path::new("/proc/none/state"));
            assert!(
                refused.health == Health::Failed && refused.detail.contains("made in /proc:"),
                "{refused:?}"
            );
        }
        let nowhere = folder.path().join("nowhere");
        std::os::unix::fs::symlink(folder.path().join("none"), &nowhere).unwrap();
        assert_eq!(state(&nowhere).health, Health::Failed);
    }

    #[test]
    fn a_journal_is_well_only_where_the_service_and_history_can_use_it() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("journal.sqlite3");
        drop(Journal::open(folder.path()).unwrap());
        let well = state(folder.path());
        assert!(well.health == Health::Ok && well.detail.ends_with("its journal is whole"), "{well:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

        rusqlite::Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let newer = state(folder.path());
        assert!(newer.health == Health::Failed && newer.detail.contains("version 99"), "{newer:?}");
        assert!(newer.next_step.unwrap().contains("update this program"));

        std::fs::write(&file, "no journal").unwrap();
        let damaged = state(folder.path());
        assert!(damaged.health == Health::Failed && damaged.detail.contains("not a database"), "{damaged:?}");
        let step = damaged.next_step.unwrap();
        assert!(step.contains("moved aside") && step.contains("history and undo"), "{step}");
        assert_eq!(std::fs::read(&file).unwrap(), b"no journal");
    }

    #[test]
    fn an_address_is_free_or_somebody_s() {
        let held = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = held.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let of_many_names = "x".repeat(4 << 20);
            let started = r#""owner":"ops","program":"0.1.0","started":"2026-08-21T10:00:00Z""#;
            let ours = format!(r#"{{"version":1,{started},"last":"{of_many_names}","converged":null}}"#);
            for body in ["hello", &ours] {
                let (mut stream, _) = held.accept().unwrap();
                let mut asked = [0; 512];
                assert!(stream.read(&mut asked).unwrap() > 0);
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                // Whoever has heard enough hangs up in the middle of it.
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        assert_eq!(listen(address).detail, "is held by another program");
        assert_eq!(listen(address).detail, "is held by cnamed itself");
        server.join().unwrap();
        assert_eq!(listen(SocketAddr::from(([127, 0, 0, 1], 0))).health, Health::Ok);
        assert_eq!(listen(SocketAddr::from(([192, 0, 2, 1], 9953))).health, Health::Failed);
    }
}
