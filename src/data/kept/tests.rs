use super::*;

const LENGTHS: [u64; 3] = [3, 0, 5];

struct Bench {
    folder: tempfile::TempDir,
    source: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let source = folder.path().join("source");
        write_atomic(&source, &[b"content"]).expect("written");
        Self { folder, source }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("new/set.runner-cache")
    }

    fn kept(&self) -> Kept<'_> {
        Kept {
            places: vec![self.path()],
            decoder: "v1",
            sources: vec![&self.source],
            lengths: &LENGTHS,
        }
    }

    fn store(&self) -> Arrays {
        let arrays: Vec<Vec<u8>> = vec![vec![1, 2, 3], Vec::new(), vec![4; 5]];
        let hashes: Vec<String> = arrays.iter().map(|array| hash_of(array)).collect();
        let content = fs::read(&self.source).expect("readable");
        let source = Source::new(&self.source, Source::modified(&self.source), &content);
        let slices: Vec<&[u8]> = arrays.iter().map(Vec::as_slice).collect();
        self.kept().store(vec![source], &slices, &hashes);
        Arrays { arrays, hashes }
    }

    fn touch(&self) {
        let file = File::options().append(true).open(&self.source).expect("writable");
        file.set_modified(SystemTime::now() - Duration::from_hours(24))
            .expect("set");
    }
}

#[test]
fn what_is_stored_is_found_while_the_source_is_the_same() {
    let bench = Bench::new();
    assert_eq!((bench.kept().hashes(), bench.kept().load()), (None, None));
    let stored = bench.store();
    assert_eq!(bench.kept().hashes().as_ref(), Some(&stored.hashes));
    assert_eq!(bench.kept().load().as_ref(), Some(&stored));
    bench.touch();
    assert_eq!(
        bench.kept().load(),
        Some(stored),
        "another time, the same content"
    );
    write_atomic(&bench.source, &[b"CONTENT"]).expect("written");
    assert_eq!((bench.kept().hashes(), bench.kept().load()), (None, None));
}

#[test]
fn what_is_of_another_kind_is_not_found() {
    let bench = Bench::new();
    bench.store();
    let other = bench.folder.path().join("other");
    fs::copy(&bench.source, &other).expect("copied");
    for kept in [
        Kept {
            decoder: "v2",
            ..bench.kept()
        },
        Kept {
            lengths: &[3, 1, 4],
            ..bench.kept()
        },
        Kept {
            lengths: &[3, 0],
            ..bench.kept()
        },
        Kept {
            sources: vec![&other],
            ..bench.kept()
        },
        Kept {
            sources: vec![&bench.source, &other],
            ..bench.kept()
        },
    ] {
        assert_eq!((kept.hashes(), kept.load()), (None, None));
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let bench = Bench::new();
    let stored = bench.store();
    let path = bench.path();
    let sound = fs::read(&path).expect("readable");
    for at in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 1 << (at % 8);
        write_atomic(&path, &[&bytes]).expect("written");
        assert_eq!(bench.kept().load(), None, "byte {at}");
        write_atomic(&path, &[&sound[..at]]).expect("written");
        assert_eq!(
            (bench.kept().hashes(), bench.kept().load()),
            (None, None),
            "{at} bytes"
        );
    }
    write_atomic(&path, &[&sound, b"!"]).expect("written");
    assert_eq!(bench.kept().load(), None);
    bench.store();
    assert_eq!(bench.kept().load(), Some(stored));
}

#[test]
fn the_next_place_is_taken_where_the_first_is_read_only() {
    let bench = Bench::new();
    let closed = bench.folder.path().join("closed");
    fs::create_dir(&closed).expect("folder");
    let open = fs::metadata(&closed).expect("there").permissions();
    let mut permissions = open.clone();
    permissions.set_readonly(true);
    fs::set_permissions(&closed, permissions).expect("set");
    let kept = || Kept {
        places: vec![closed.join("set"), bench.path()],
        ..bench.kept()
    };
    let source = Source::new(&bench.source, Source::modified(&bench.source), b"content");
    let arrays: [&[u8]; 3] = [&[1, 2, 3], &[], &[4; 5]];
    kept().store(vec![source], &arrays, &arrays.map(hash_of));
    assert!(
        fs::read_dir(&closed).expect("list").next().is_none(),
        "even for the superuser"
    );
    assert_eq!(kept().load().expect("kept").arrays, arrays);
    fs::set_permissions(&closed, open).expect("set");
}

#[test]
fn what_a_killed_writer_left_is_swept_once_it_is_old() {
    let bench = Bench::new();
    bench.store();
    let folder = bench.folder.path().join("new");
    let left = |name: &str, age| {
        let path = folder.join(name);
        write_atomic(&path, &[b"part"]).expect("written");
        let file = File::options().append(true).open(&path).expect("writable");
        file.set_modified(SystemTime::now() - age).expect("set");
        path
    };
    let old = left(".tmp-1-0-set.runner-cache", Duration::from_hours(2));
    let young = left(".tmp-2-0-set.runner-cache", Duration::ZERO);
    let foreign = left(".tmp-1-0-other", Duration::from_hours(2));
    bench.store();
    assert_eq!(
        [old, young, foreign].map(|path| path.exists()),
        [false, true, true]
    );
}
