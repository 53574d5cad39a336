use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use tempfile::TempDir;

use super::*;
use crate::journal::Noticed;
use crate::model::plan::{RecordChange, Verb};
use crate::model::record::{Content, Data, Ttl};
use crate::model::sight::{Happening, HappeningKind};
use crate::model::state::RecordKey;

fn change(name: &str, outcome: &str) -> Change {
    let key = RecordKey { name: Fqdn::parse(name).unwrap(), account: Handle::parse("cf").unwrap() };
    let target = Fqdn::parse("jump.westeurope.cloudapp.azure.com").unwrap();
    let after = Content { data: Data::Cname(target), ttl: Ttl::DEFAULT, proxied: false };
    Change {
        kind: "record".into(),
        name: name.into(),
        account: Some(key.account.clone()),
        endpoint: None,
        verb: Verb::Create,
        outcome: outcome.into(),
        before: None,
        after: Some(after.to_string()),
        reason: "follows jump".into(),
        error: None,
        requests: vec!["r-1".into()],
        record: Some(RecordChange { key, before: Vec::new(), after: Some(after) }),
    }
}

fn applied(name: &str) -> What {
    What::Change(change(name, APPLIED))
}

fn released() -> What {
    let (before, after) = (Some("203.0.113.7".into()), None);
    let happening = Happening { kind: HappeningKind::Released, before, after };
    What::Happening { endpoint: Handle::parse("jump").unwrap(), happening, noticed: Noticed::Label }
}

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000 + seconds).unwrap()
}

fn ids(entries: &[Entry]) -> Vec<i64> {
    entries.iter().map(|entry| entry.id).collect()
}

fn open(folder: &TempDir) -> Journal {
    let (journal, mended) = Journal::open(folder.path()).unwrap();
    assert_eq!(mended, None);
    journal
}

#[test]
fn what_was_written_is_read_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let (first, second) = (applied("jump.example.com"), released());
    assert_eq!(journal.record(at(0), &first).unwrap(), 1);
    assert_eq!(journal.record(at(1), &second).unwrap(), 2);
    let agreed = |who: &str, after| Agreed { who: who.into(), after: Duration::from_millis(after) };
    journal.agreed(1, &agreed("resolvers", 2500)).unwrap();
    journal.agreed(1, &agreed("cf", 40)).unwrap();
    journal.agreed(1, &agreed("cf", 9000)).unwrap();
    journal.agreed(77, &agreed("cf", 1)).unwrap();
    let written = vec![
        Entry { id: 1, at: at(0), what: first, agreed: vec![agreed("cf", 40), agreed("resolvers", 2500)] },
        Entry { id: 2, at: at(1), what: second, agreed: Vec::new() },
    ];
    assert_eq!(journal.entries(&Filter::default()).unwrap(), written);
    drop(journal);
    let journal = Journal::look(folder.path()).unwrap().unwrap();
    assert_eq!(journal.entries(&Filter::default()).unwrap(), written);
    assert_eq!(journal.extent().unwrap(), (2, Some(at(0))));
    let mode = journal.path().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn entries_are_found_by_name_time_and_number() {
    let journal = Journal::in_memory().unwrap();
    journal.record(at(0), &applied("a.example.com")).unwrap();
    journal.record(at(10), &applied("b.example.com")).unwrap();
    journal.record(at(20), &released()).unwrap();
    journal.record(at(30), &applied("a.example.com")).unwrap();
    let found = |filter: Filter| ids(&journal.entries(&filter).unwrap());
    let all = Filter::default;
    assert_eq!(found(Filter { newest_first: true, ..all() }), [4, 3, 2, 1]);
    assert_eq!(found(Filter { limit: Some(2), ..all() }), [3, 4]);
    assert_eq!(found(Filter { since: Some(at(10)), until: Some(at(30)), ..all() }), [2, 3]);
    for name in ["a.example.com", "A.Example.Com", "a.example.com."] {
        assert_eq!(found(Filter { name: Some(name.into()), ..all() }), [1, 4], "{name}");
    }
    assert_eq!(found(Filter { name: Some("jump".into()), ..all() }), [3]);
    assert_eq!(found(Filter { name: Some("c.example.com".into()), ..all() }), [0; 0]);
}

#[test]
fn an_endpoint_is_found_with_everything_behind_it() {
    let journal = Journal::in_memory().unwrap();
    let part = |name: &str, endpoint: &str| {
        let endpoint = Some(Handle::parse(endpoint).unwrap());
        let (kind, name) = ("nat-rule".to_owned(), name.to_owned());
        let record = change("jump.example.com", APPLIED);
        What::Change(Change { kind, name, account: None, endpoint, record: None, ..record })
    };
    for (second, what) in [
        part("lb-jump", "jump"),
        part("cnamed_ops_rdp", "jump"),
        part("cnamed_ops_rdp", "other"),
        applied("jump.example.com"),
        released(),
    ]
    .iter()
    .enumerate()
    {
        journal.record(at(i64::try_from(second).unwrap()), what).unwrap();
    }
    let named =
        |name: &str| ids(&journal.entries(&Filter { name: Some(name.into()), ..Filter::default() }).unwrap());
    for name in ["jump", "Jump"] {
        assert_eq!(named(name), [1, 2, 5], "{name}");
    }
    assert_eq!(named("other"), [3]);
    assert_eq!(named("cnamed_ops_rdp"), [2, 3]);
    assert_eq!(named("jump.example.com"), [4]);
}

#[test]
fn a_journal_of_the_first_version_is_taken_over_with_all_that_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    connection.execute_batch(super::super::file::MIGRATIONS[0]).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    let insert = "INSERT INTO entries (at, name, account, what, undoable) VALUES (?1, ?2, ?3, ?4, ?5)";
    let what = applied("a.example.com");
    connection
        .execute(insert, params![milliseconds(at(0)), "a.example.com", "cf", json(&what).unwrap(), true])
        .unwrap();
    drop(connection);
    let journal = open(&folder);
    assert_eq!(journal.record(at(1), &released()).unwrap(), 2);
    let entries = journal.entries(&Filter::default()).unwrap();
    assert_eq!((ids(&entries), &entries[0].what), (vec![1, 2], &what));
    assert_eq!(journal.last_undoable().unwrap().map(|entry| entry.id), Some(1));
}

/// Whether `directory` could be given to somebody else: root alone can.
fn given(directory: &Path) -> bool {
    std::os::unix::fs::chown(directory, Some(SOMEBODY), Some(SOMEBODY)).is_ok()
}

fn owners(directory: &Path) -> Vec<(String, u32, u32)> {
    let mut owners: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let is = fs::symlink_metadata(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), is.uid(), is.gid())
        })
        .collect();
    owners.sort();
    owners
}

#[test]
fn what_root_makes_in_the_directory_of_a_service_belongs_to_the_service() {
    let folder = tempfile::tempdir().unwrap();
    if !given(folder.path()) {
        return;
    }
    let journal = open(&folder);
    journal.record(at(0), &applied("a.example.com")).unwrap();
    let lock = Lock::take(folder.path()).unwrap();
    let names = ["journal.sqlite3", "journal.sqlite3-shm", "journal.sqlite3-wal", "lock"];
    assert_eq!(owners(folder.path()), names.map(|name| (name.to_owned(), SOMEBODY, SOMEBODY)));
    drop((journal, lock));

    // Whoever looks leaves nothing behind, also while nobody else has it open.
    let left = owners(folder.path());
    let journal = Journal::look(folder.path()).unwrap().unwrap();
    assert_eq!(journal.entries(&Filter::default()).unwrap().len(), 1);
    assert!(owners(folder.path()).iter().all(|(_, user, group)| (*user, *group) == (SOMEBODY, SOMEBODY)));
    drop(journal);
    assert_eq!(owners(folder.path()), left);

    // One that is begun anew in the place of a damaged one.
    fs::write(folder.path().join(FILE), "x".repeat(9000)).unwrap();
    let (journal, mended) = Journal::open(folder.path()).unwrap();
    assert!(mended.is_some());
    drop(journal);
    assert!(
        owners(folder.path()).iter().all(|(_, user, _)| *user == SOMEBODY),
        "{:?}",
        owners(folder.path())
    );
}

#[test]
fn what_was_there_is_given_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let theirs = elsewhere.path().join("theirs");
    fs::write(&theirs, "").unwrap();
    let before = owners(elsewhere.path());
    if !given(folder.path()) {
        return;
    }
    // Whoever owns the directory could have put it there, to be given something by root.
    std::os::unix::fs::symlink(&theirs, folder.path().join("lock")).unwrap();
    drop(Lock::take(folder.path()));
    std::os::unix::fs::symlink(&theirs, folder.path().join(FILE)).unwrap();
    drop(Journal::open(folder.path()));
    assert_eq!(owners(elsewhere.path()).iter().find(|(name, ..)| name == "theirs"), before.first());
}

#[test]
fn the_last_write_is_offered_until_it_is_put_back() {
    let journal = Journal::in_memory().unwrap();
    let offered = || journal.last_undoable().unwrap().map(|entry| entry.id);
    assert_eq!(offered(), None);
    journal.record(at(0), &applied("a.example.com")).unwrap();
    journal.record(at(1), &applied("b.example.com")).unwrap();
    journal.record(at(2), &What::Change(change("c.example.com", FAILED))).unwrap();
    journal.record(at(3), &released()).unwrap();
    journal
        .record(at(4), &What::Change(Change { record: None, ..change("lb.example.com", APPLIED) }))
        .unwrap();
    assert_eq!(offered(), Some(2));
    let failed = What::Change(change("b.example.com", FAILED));
    journal.record_undo(at(5), &failed, 2).unwrap();
    assert_eq!(offered(), Some(2), "it was not put back");
    journal.record_undo(at(6), &applied("b.example.com"), 2).unwrap();
    assert_eq!(offered(), Some(1), "neither what was put back nor what put it back");
    journal.record(at(7), &applied("b.example.com")).unwrap();
    assert_eq!(offered(), Some(8));
}

#[test]
fn a_failure_is_written_once_while_it_lasts() {
    let journal = Journal::in_memory().unwrap();
    let failed =
        |error: &str| What::Change(Change { error: Some(error.into()), ..change("a.example.com", FAILED) });
    assert_eq!(journal.record(at(0), &failed("request id 1")).unwrap(), 1);
    assert_eq!(journal.record(at(1), &applied("b.example.com")).unwrap(), 2);
    assert_eq!(journal.record(at(2), &failed("request id 2")).unwrap(), 1);
    assert_eq!(journal.record(at(3), &applied("a.example.com")).unwrap(), 3);
    assert_eq!(journal.record(at(4), &applied("a.example.com")).unwrap(), 4);
    assert_eq!(journal.record(at(5), &failed("request id 3")).unwrap(), 5);
}

#[test]
fn the_number_of_entries_is_bounded_and_room_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    // As if very many had been written in between: the numbers count, and so does their room.
    for _ in 0..200 {
        let long = Change { reason: "x".repeat(20_000), ..change("a.example.com", APPLIED) };
        journal.record(at(0), &What::Change(long)).unwrap();
    }
    journal.agreed(200, &Agreed { who: "cf".into(), after: Duration::ZERO }).unwrap();
    let sql = "UPDATE sqlite_sequence SET seq = 10199 WHERE name = 'entries'";
    journal.file().connection.execute(sql, []).unwrap();
    journal.file().connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let before = journal.path().metadata().unwrap().len();
    journal.record(at(1), &applied("b.example.com")).unwrap();
    assert_eq!(ids(&journal.entries(&Filter::default()).unwrap()), [10_200]);
    journal.file().connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let after = journal.path().metadata().unwrap().len();
    assert!(before > 4_000_000 && after < 300_000, "{before} and then {after} bytes");
    let left: i64 =
        (journal.file().connection).query_row("SELECT count(*) FROM agreed", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0, "agreement goes with its entry");
}

#[test]
fn the_age_of_entries_is_bounded_though_the_clock_may_jump() {
    let journal = Journal::in_memory().unwrap();
    for second in 0..100 {
        journal.record(at(second), &applied("a.example.com")).unwrap();
    }
    let later = at(0) + time::Duration::days(401);
    journal.record(later, &applied("a.example.com")).unwrap();
    let left = journal.extent().unwrap().0;
    assert_eq!(left, 85, "one wrong clock takes a few");
    for _ in 0..10 {
        journal.record(later, &applied("a.example.com")).unwrap();
    }
    assert_eq!(journal.extent().unwrap(), (11, Some(later)));
}

/// Gives the journal room for so many pages.
fn pages(journal: &Journal, limit: i64) {
    let set = journal.file().connection.pragma_update_and_check(None, "max_page_count", limit, |_| Ok(()));
    set.unwrap();
}

#[test]
fn a_full_disk_loses_nothing_and_is_written_to_again_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    journal.record(at(0), &applied("a.example.com")).unwrap();
    pages(&journal, 12);
    let long = What::Change(Change { reason: "x".repeat(200_000), ..change("b.example.com", APPLIED) });
    let error = journal.record(at(1), &long).unwrap_err();
    assert_eq!(error.trouble(), Trouble::Full);
    let text = error.chain();
    assert!(text.starts_with("could not write to the journal "), "{text}");
    assert!(text.contains("journal.sqlite3: database or disk is full; make room there"), "{text}");
    assert_eq!(ids(&journal.entries(&Filter::default()).unwrap()), [1]);
    pages(&journal, 10_000);
    assert_eq!(journal.record(at(2), &long).unwrap(), 2);
    drop(journal);
    assert_eq!(ids(&open(&folder).entries(&Filter::default()).unwrap()), [1, 2]);
}

#[test]
fn that_there_is_room_again_is_found_out_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    journal.record(at(0), &applied("a.example.com")).unwrap();
    pages(&journal, 12);
    assert_eq!(journal.touch().unwrap_err().trouble(), Trouble::Full);
    // An entry may well be small enough, and the next need not be.
    journal.record(at(1), &applied("b.example.com")).unwrap();
    pages(&journal, 10_000);
    journal.touch().unwrap();
    assert_eq!(journal.sights().unwrap(), BTreeMap::new());
    assert_eq!(ids(&journal.entries(&Filter::default()).unwrap()), [1, 2]);
}

#[test]
fn a_damaged_journal_is_kept_aside_and_a_new_one_begun() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..5 {
        fs::write(folder.path().join(FILE), "this is no database, and never was one".repeat(100)).unwrap();
        let unread = Journal::look(folder.path()).unwrap_err();
        assert_eq!(unread.trouble(), Trouble::Damaged);
        let (journal, mended) = Journal::open(folder.path()).unwrap();
        let mended = mended.unwrap();
        assert!(mended.to_string().contains("file is not a database"), "{mended}");
        assert!(mended.moved_to.display().to_string().contains("journal.sqlite3.corrupt-20"), "{mended}");
        assert!(fs::read_to_string(&mended.moved_to).unwrap().starts_with("this is no database"));
        assert_eq!(mended.deleted, usize::from(round > 2), "{mended}");
        assert_eq!(journal.record(at(0), &applied("a.example.com")).unwrap(), 1, "in round {round}");
    }
    let kept = fs::read_dir(folder.path()).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().contains("corrupt")
    });
    assert_eq!(kept.count(), 3, "none takes the place of another, and the first ones go");
}

#[test]
fn one_that_is_damaged_while_it_is_at_work_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::begin(folder.path()).unwrap();
    journal.record(at(0), &applied("a.example.com")).unwrap();
    assert_eq!(journal.take_mended(), None);
    for entry in fs::read_dir(folder.path()).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    fs::write(journal.path(), "this is no database, and never was one".repeat(100)).unwrap();
    journal.record(at(1), &applied("b.example.com")).unwrap();
    assert!(journal.take_mended().is_some());
    assert_eq!(journal.take_mended(), None);
}

#[test]
fn damage_inside_is_found_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for second in 0..200 {
        journal.record(at(second), &applied("a.example.com")).unwrap();
    }
    drop(journal);
    let mut bytes = fs::read(folder.path().join(FILE)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0xff);
    fs::write(folder.path().join(FILE), bytes).unwrap();
    let (_, mended) = Journal::open(folder.path()).unwrap();
    assert!(mended.is_some());
}

#[test]
fn a_later_version_is_refused_and_left() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    journal.record(at(0), &applied("a.example.com")).unwrap();
    journal.file().connection.pragma_update(None, "user_version", 7).unwrap();
    drop(journal);
    let error = Journal::open(folder.path()).unwrap_err();
    assert_eq!(error.trouble(), Trouble::Newer);
    let text = error.chain();
    assert!(text.ends_with("it is of version 7, and this program knows 2; update this program, or set [state] directory to another one"), "{text}");
    assert!(folder.path().join(FILE).exists());
}

#[test]
fn one_that_was_taken_away_is_begun_anew_and_its_heir_is_not_harmed() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    journal.record(at(0), &applied("a.example.com")).unwrap();
    for entry in fs::read_dir(folder.path()).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    // Another process came first.
    let other = open(&folder);
    other.record(at(1), &applied("b.example.com")).unwrap();
    journal.record(at(2), &applied("c.example.com")).unwrap();
    let written = || {
        let journal = Journal::look(folder.path()).unwrap().unwrap();
        let entries = journal.entries(&Filter::default()).unwrap();
        entries.iter().map(|entry| entry.at).collect::<Vec<_>>()
    };
    assert_eq!(written(), [at(1), at(2)], "the log of the new one is still there");
    drop(journal);
    drop(other);
    assert_eq!(written(), [at(1), at(2)]);
}

#[test]
fn several_begin_and_write_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let write = || {
        let (journal, _) = Journal::open(folder.path()).unwrap();
        for second in 0..20 {
            journal.record(at(second), &applied("a.example.com")).unwrap();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(write);
        }
    });
    assert_eq!(open(&folder).extent().unwrap().0, 80);
}

#[test]
fn looks_at_endpoints_are_remembered_and_forgotten() {
    let journal = Journal::in_memory().unwrap();
    let (jump, build) = (Handle::parse("jump").unwrap(), Handle::parse("build").unwrap());
    let sight = Sight { exists: true, address: Some([203, 0, 113, 7].into()), ..Sight::default() };
    journal.remember(&jump, &Sight::default()).unwrap();
    journal.remember(&jump, &sight).unwrap();
    journal.remember(&build, &sight).unwrap();
    assert_eq!(journal.sights().unwrap(), [(jump.clone(), sight.clone()), (build, sight.clone())].into());
    journal.forget_all_but([&jump]).unwrap();
    assert_eq!(journal.sights().unwrap(), [(jump, sight)].into());
}

#[test]
fn there_may_be_none_yet() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Journal::look(folder.path()).unwrap().is_none());
    assert!(Journal::look(&folder.path().join("nowhere")).unwrap().is_none());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "looking leaves nothing behind");
}

/// A user and a group that nobody has.
const SOMEBODY: u32 = 64_321;
