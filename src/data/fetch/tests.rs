use std::net::TcpListener;

use png::ColorType;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::download::hex;
use super::server::{Answer, Server};
use super::*;
use crate::data::fixtures::{HUB as COLUMNS, Row, parquet, planes, png};
use crate::data::{DatasetSettings, Sets};

const TREE: &str = "/api/datasets/slegroux/tiny-imagenet-200-clean/tree/main?recursive=true";
const FILES: &str = "/datasets/slegroux/tiny-imagenet-200-clean/resolve/main/data";

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn shard(labels: &[i64]) -> Vec<u8> {
    let image = |row: usize| png(&planes(64, row as u8), 64, ColorType::Rgb);
    let rows: Vec<Row> = (0..)
        .zip(labels)
        .map(|(row, &label)| (Some(image(row)), Some(label)))
        .collect();
    parquet(COLUMNS, &rows, 9)
}

/// A repository of the hub with these files; `known` says whether their checksums are listed.
fn hub(files: &[(&str, Answer)], known: bool) -> Vec<(String, Answer)> {
    let entries = files.iter().map(|(name, answer)| {
        let lfs = known.then(|| serde_json::json!({"oid": sha256(&answer.body), "size": answer.body.len()}));
        serde_json::json!({"type": "file", "path": format!("data/{name}"), "size": answer.body.len(), "lfs": lfs})
    });
    let list = entries.collect::<serde_json::Value>().to_string();
    let body = |body: Vec<u8>| Answer {
        body,
        ..Answer::default()
    };
    let files = files
        .iter()
        .map(|(name, answer)| (format!("{FILES}/{name}"), answer.clone()));
    files
        .chain([(TREE.to_owned(), body(list.into_bytes()))])
        .collect()
}

const TRAIN: &str = "train-00000-of-00001.parquet";
const TEST: &str = "test-00000-of-00001.parquet";

fn plain(body: &[u8]) -> Answer {
    Answer {
        body: body.to_vec(),
        ..Answer::default()
    }
}

/// Any bytes: what is downloaded is not decoded.
fn content() -> Vec<u8> {
    (0..200_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

fn fetch_as(name: &str, size: Option<usize>, folder: &TempDir, url: &str) -> Result<Fetched, FetchError> {
    let fetch = Fetch {
        name,
        size,
        data_dir: folder.path(),
        from: None,
        hub: url,
    };
    let mut done = std::collections::BTreeMap::new();
    fetch.run(&mut |progress| {
        done.insert(progress.file.to_owned(), progress.done);
        assert!(progress.total.is_none_or(|total| progress.done <= total));
    })
}

fn fetch(folder: &TempDir, server: &Server) -> Result<Fetched, FetchError> {
    fetch_as("tiny-imagenet", None, folder, &server.url)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("temporary folder")
}

fn read(folder: &TempDir, name: &str) -> Vec<u8> {
    std::fs::read(folder.path().join("tiny-imagenet").join(name)).expect("there")
}

fn put(folder: &TempDir, name: &str, bytes: &[u8]) {
    let path = folder.path().join("tiny-imagenet");
    std::fs::create_dir_all(&path).expect("folder");
    crate::files::write_atomic(&path.join(name), &[bytes]).expect("written");
}

/// Names of all files, hidden ones too.
fn names(folder: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path().join("tiny-imagenet")).expect("a folder");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

#[test]
fn files_are_downloaded_once_and_are_the_data_set() {
    let (train, test) = (shard(&[3, 199, 0]), shard(&[5]));
    let server = Server::new(hub(&[(TRAIN, plain(&train)), (TEST, plain(&test))], true));
    let folder = folder();
    let fetched = fetch(&folder, &server).expect("fetched");
    assert_eq!((fetched.new.len(), fetched.kept.len()), (2, 0));
    assert_eq!(
        (read(&folder, TRAIN), read(&folder, TEST)),
        (train.clone(), test.clone())
    );
    let sums = format!("{}  {TEST}\n{}  {TRAIN}\n", sha256(&test), sha256(&train));
    assert_eq!(
        String::from_utf8(read(&folder, "SHA256SUMS")).expect("text"),
        sums
    );
    let set = Sets::new(Some(folder.path()), None).load(&DatasetSettings::named("tiny-imagenet"));
    assert_eq!(set.expect("sound").train.labels(), [3, 199, 0]);

    let again = fetch(&folder, &server).expect("there");
    assert_eq!((again.new.len(), again.kept.len()), (0, 2));
    put(&folder, TRAIN, b"damaged");
    let mended = fetch(&folder, &server).expect("mended");
    assert_eq!(
        (mended.new, mended.kept),
        (vec![TRAIN.to_owned()], vec![TEST.to_owned()])
    );
    assert_eq!(read(&folder, TRAIN), train);
    assert_eq!(server.ranges(TRAIN), [None, None]);
}

#[test]
fn a_transfer_that_breaks_off_is_continued() {
    let body = content();
    let broken = Answer {
        cuts: vec![70_000, 30_000],
        ..plain(&body)
    };
    let server = Server::new(hub(&[(TRAIN, broken)], true));
    let folder = folder();
    fetch(&folder, &server).expect("fetched");
    assert_eq!(read(&folder, TRAIN), body);
    assert_eq!(server.ranges(TRAIN), [None, Some(70_000), Some(100_000)]);
    assert_eq!(names(&folder), ["SHA256SUMS", TRAIN]);
}

#[test]
fn a_download_that_was_ended_is_continued_by_the_next() {
    let body = content();
    let part = format!(".{TRAIN}.{}.part", &sha256(&body)[..16]);
    for (have, no_ranges, asked) in [
        (body[..123].to_vec(), false, vec![Some(123)]),
        // The server begins again.
        (body[..123].to_vec(), true, vec![Some(123)]),
        // All is there but the name.
        (body.clone(), false, vec![]),
        // Longer than the file: it is another one.
        ([&body[..], b"more"].concat(), false, vec![Some(200_004), None]),
    ] {
        let server = Server::new(hub(
            &[(
                TRAIN,
                Answer {
                    no_ranges,
                    ..plain(&body)
                },
            )],
            true,
        ));
        let folder = folder();
        put(&folder, &part, &have);
        fetch(&folder, &server).expect("fetched");
        assert_eq!(read(&folder, TRAIN), body);
        assert_eq!(server.ranges(TRAIN), asked);
        assert_eq!(names(&folder), ["SHA256SUMS", TRAIN]);
    }
}

#[test]
fn a_server_that_always_breaks_off_leaves_what_it_sent() {
    let body = content();
    let broken = Answer {
        cuts: vec![10; 9],
        ..plain(&body)
    };
    let server = Server::new(hub(&[(TRAIN, broken)], true));
    let folder = folder();
    let error = fetch(&folder, &server).expect_err("broken");
    assert!(
        matches!(error, FetchError::Broken { received: 40, .. }),
        "{error}"
    );
    assert!(
        error
            .hint()
            .expect("a hint")
            .contains("goes on where this one stopped")
    );
    let part = format!(".{TRAIN}.{}.part", &sha256(&body)[..16]);
    assert_eq!(read(&folder, &part), body[..40]);
    assert_eq!(names(&folder), [part]);
}

#[test]
fn other_content_than_published_is_deleted() {
    let mut answers = hub(&[(TRAIN, plain(&content()))], true);
    let mut forged = content();
    forged[1000] ^= 1;
    let expected = sha256(&content());
    answers[0].1.body.clone_from(&forged);
    let server = Server::new(answers);
    let folder = folder();
    put(&folder, TRAIN, b"old");
    let error = fetch(&folder, &server).expect_err("another file");
    let text = error.to_string();
    assert!(
        text.ends_with(&format!(
            "has an unexpected checksum: expected {expected}, found {}",
            sha256(&forged)
        )),
        "{text}"
    );
    assert_eq!(names(&folder), [TRAIN]);
    assert_eq!(read(&folder, TRAIN), b"old", "what was there is left alone");
}

#[test]
fn a_file_without_published_checksum_is_recorded_and_never_continued() {
    let body = content();
    let server = Server::new(hub(&[(TRAIN, plain(&body))], false));
    let folder = folder();
    put(&folder, &format!(".{TRAIN}.unknown.part"), b"of another day");
    assert_eq!(fetch(&folder, &server).expect("fetched").new, [TRAIN]);
    assert_eq!(read(&folder, TRAIN), body);
    assert!(
        String::from_utf8(read(&folder, "SHA256SUMS"))
            .expect("text")
            .starts_with(&sha256(&body))
    );
    assert_eq!(fetch(&folder, &server).expect("there").kept, [TRAIN]);
    put(&folder, TRAIN, b"changed since");
    assert_eq!(fetch(&folder, &server).expect("mended").new, [TRAIN]);
    assert_eq!(server.ranges(TRAIN), [None, None]);
}

#[test]
fn redirections_are_followed_with_the_range() {
    let body = content();
    let elsewhere = "/cdn/file".to_owned();
    let mut answers = hub(&[(TRAIN, plain(&body))], true);
    answers[0].1.elsewhere = Some(elsewhere.clone());
    let real = Answer {
        cuts: vec![500],
        ..plain(&body)
    };
    answers.push((elsewhere, real));
    let server = Server::new(answers);
    let folder = folder();
    fetch(&folder, &server).expect("fetched");
    assert_eq!(read(&folder, TRAIN), body);
    assert_eq!(server.ranges("/cdn/file"), [None, Some(500)]);
}

#[test]
fn what_cannot_be_had_says_why() {
    let folder = folder();
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        format!("http://{}", listener.local_addr().expect("an address"))
    };
    let error = fetch_as("tiny-imagenet", None, &folder, &nobody).expect_err("nobody there");
    assert!(
        error
            .to_string()
            .starts_with(&format!("cannot reach `{nobody}/api/")),
        "{error}"
    );
    assert!(error.hint().expect("a hint").contains("--from URL"));

    let server = Server::new(vec![(TREE.to_owned(), plain(b"<html>"))]);
    let error = fetch(&folder, &server).expect_err("no list");
    assert!(error.to_string().contains("is of no use: "), "{error}");
    let error = fetch_as("cifar10", None, &folder, &server.url).expect_err("no such repository");
    assert!(error.to_string().ends_with("answers with status 404"), "{error}");
    assert!(error.hint().expect("a hint").contains("may have moved"));
    let error = fetch_as("digits", None, &folder, &server.url).expect_err("embedded");
    assert!(error.to_string().contains("nothing to fetch"), "{error}");
    let error = fetch_as("cifra10", None, &folder, &server.url).expect_err("unknown");
    assert_eq!(error.hint().expect("a hint"), "did you mean `cifar10`?");
    let error = fetch_as("bloodmnist", Some(65), &folder, &server.url).expect_err("no such size");
    assert!(
        error.to_string().contains("28, 64, 128 and 224 pixels, not 65"),
        "{error}"
    );
    assert!(fetch_as("mnist", Some(28), &folder, &server.url).is_err());
}

/// Files with a checksum in our own table, from a server that has others.
#[test]
fn mirrors_are_held_to_the_published_checksums() {
    let server = Server::new(vec![(
        "/mirror/bloodmnist_64.npz".to_owned(),
        plain(b"another file"),
    )]);
    let folder = folder();
    let from = format!("{}/mirror/", server.url);
    let fetch = Fetch {
        name: "bloodmnist",
        size: None,
        data_dir: folder.path(),
        from: Some(&from),
        hub: "http://unused",
    };
    let error = fetch.run(&mut |_| {}).expect_err("another file").to_string();
    assert!(
        error.contains("expected 2b94928a2ae4916078ca51e05b6b800b, found "),
        "{error}"
    );
}

#[test]
fn two_downloads_of_a_file_do_not_mix() {
    let body = content();
    let server = Server::new(hub(&[(TRAIN, plain(&body))], true));
    let folder = folder();
    let part = format!(".{TRAIN}.{}.part", &sha256(&body)[..16]);
    put(&folder, &part, b"");
    let held = std::fs::File::open(folder.path().join("tiny-imagenet").join(&part)).expect("there");
    held.lock().expect("locks");
    let error = fetch(&folder, &server).expect_err("busy");
    assert!(
        error
            .to_string()
            .ends_with("is being downloaded by another process"),
        "{error}"
    );
    drop(held);
    fetch(&folder, &server).expect("free again");
}

#[test]
fn bodies_without_an_end_or_longer_than_published_are_refused() {
    let endless = Answer {
        endless: true,
        ..Answer::default()
    };
    let long = Answer {
        body: vec![0; 30_000_000],
        ..Answer::default()
    };
    for answer in [endless.clone(), long] {
        let file = "/train-images-idx3-ubyte.gz".to_owned();
        let server = Server::new(vec![(file, answer)]);
        let folder = folder();
        let fetch = Fetch {
            name: "mnist",
            size: None,
            data_dir: folder.path(),
            from: Some(&server.url),
            hub: HUB,
        };
        let error = fetch.run(&mut |_| {}).expect_err("too long");
        assert!(
            matches!(error, FetchError::TooLong { limit: 9_912_422, .. }),
            "{error}"
        );
        let left: Vec<_> = std::fs::read_dir(folder.path().join("mnist"))
            .expect("a folder")
            .collect();
        assert_eq!(left.len(), 0);
    }
    // The hub's list says how long files are, and itself has an end.
    let mut listed = hub(&[(TRAIN, plain(b"ten bytes."))], true);
    listed[0].1 = endless.clone();
    let folder = folder();
    let error = fetch(&folder, &Server::new(listed)).expect_err("too long");
    assert!(matches!(error, FetchError::TooLong { limit: 10, .. }), "{error}");
    let list = vec![(TREE.to_owned(), endless)];
    let error = fetch(&folder, &Server::new(list)).expect_err("too long");
    assert!(matches!(error, FetchError::TooLong { .. }), "{error}");
    let claims = format!(
        r#"[{{"type": "file", "path": "data/{TRAIN}", "size": {}}}]"#,
        1_u64 << 50
    );
    let list = vec![(TREE.to_owned(), plain(claims.as_bytes()))];
    let error = fetch(&folder, &Server::new(list)).expect_err("too large");
    assert!(matches!(error, FetchError::Listing { .. }), "{error}");
}
