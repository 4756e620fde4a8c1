use std::io::Write;

use super::*;

struct Bench {
    folder: tempfile::TempDir,
    source: PathBuf,
    origins: Vec<Origin>,
}

type Loaded = (Facts, Vec<Vec<u8>>);

fn load(kept: &Kept<'_>) -> Option<Loaded> {
    let (facts, arrays) = kept.load()?;
    Some((facts, arrays.iter().map(|array| array.to_vec()).collect()))
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let source = folder.path().join("source");
        write_atomic(&source, &[b"content"]).expect("written");
        let origins = vec![Origin::File(source.clone())];
        Self {
            folder,
            source,
            origins,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("new/set.runner-cache")
    }

    fn kept(&self) -> Kept<'_> {
        Kept {
            places: vec![self.path()],
            decoder: "v1",
            origins: &self.origins,
            reread: false,
        }
    }

    fn load(&self) -> Option<Loaded> {
        load(&self.kept())
    }

    fn store(&self) -> Loaded {
        let arrays: Vec<Vec<u8>> = vec![vec![1, 2, 3], Vec::new(), vec![4; 5]];
        self.store_all(arrays)
    }

    fn store_all(&self, arrays: Vec<Vec<u8>>) -> Loaded {
        let slices: Vec<&[u8]> = arrays.iter().map(Vec::as_slice).collect();
        let facts = Facts::of(serde_json::json!({"shape": [1]}), &slices);
        let stamps = self
            .origins
            .iter()
            .map(|origin| origin.stamp().expect("readable"));
        self.kept().store(stamps.collect(), &facts, &slices);
        (facts, arrays)
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
    assert_eq!((bench.kept().facts(), bench.load()), (None, None));
    let stored = bench.store();
    assert_eq!(bench.kept().facts().as_ref(), Some(&stored.0));
    assert_eq!(bench.load().as_ref(), Some(&stored));
    bench.touch();
    let before = fs::read(bench.path()).expect("kept");
    assert_eq!(
        bench.kept().facts().as_ref(),
        Some(&stored.0),
        "another time, the same content"
    );
    let after = fs::read(bench.path()).expect("kept");
    assert_ne!(
        before, after,
        "written anew: the next look need not read the source"
    );
    assert_eq!(bench.load(), Some(stored));
    assert_eq!(fs::read(bench.path()).expect("kept"), after);
    write_atomic(&bench.source, &[b"CONTENT"]).expect("written");
    assert_eq!((bench.kept().facts(), bench.load()), (None, None));
}

#[test]
fn a_change_that_keeps_size_and_time_is_seen() {
    let bench = Bench::new();
    let stored = bench.store();
    let modified = fs::metadata(&bench.source)
        .and_then(|metadata| metadata.modified())
        .expect("a time");
    let set = |content: &[u8]| {
        let mut file = File::options().write(true).open(&bench.source).expect("writable");
        file.write_all(content).expect("written");
        file.set_modified(modified).expect("set");
    };
    // Later than the source's last change by more than the kernel's clock ticks.
    std::thread::sleep(Duration::from_millis(20));
    set(b"CONTENT");
    assert_eq!((bench.kept().facts(), bench.load()), (None, None));
    set(b"content");
    assert_eq!(bench.load(), Some(stored));
}

#[test]
fn to_reread_trusts_no_stamp() {
    let mut bench = Bench::new();
    let stored = bench.store();
    let load_anew = |bench: &Bench| {
        load(&Kept {
            reread: true,
            ..bench.kept()
        })
    };
    assert_eq!(load_anew(&bench), Some(stored));
    bench.origins = vec![Origin::Listing {
        root: bench.folder.path().to_path_buf(),
        files: vec![bench.source.clone()],
    }];
    let stored = bench.store();
    assert_eq!(bench.load(), Some(stored));
    assert_eq!(load_anew(&bench), None, "only decoding reads its files");
}

#[test]
fn what_is_of_another_kind_is_not_found() {
    let bench = Bench::new();
    bench.store();
    let other = bench.folder.path().join("other");
    fs::copy(&bench.source, &other).expect("copied");
    let (own, other) = (Origin::File(bench.source.clone()), Origin::File(other));
    let listing = Origin::Listing {
        root: bench.folder.path().to_path_buf(),
        files: vec![bench.source.clone()],
    };
    for (decoder, origins) in [
        ("v2", vec![own.clone()]),
        ("v1", vec![other.clone()]),
        ("v1", vec![own, other]),
        ("v1", vec![listing]),
        ("v1", vec![]),
    ] {
        let kept = Kept {
            decoder,
            origins: &origins,
            ..bench.kept()
        };
        assert_eq!((kept.facts(), load(&kept)), (None, None));
    }
}

#[test]
fn a_listing_is_the_same_while_names_sizes_and_times_are() {
    let mut bench = Bench::new();
    let second = bench.folder.path().join("second");
    write_atomic(&second, &[b"more"]).expect("written");
    let listing = |files: &[&PathBuf]| Origin::Listing {
        root: bench.folder.path().to_path_buf(),
        files: files.iter().map(|file| (*file).clone()).collect(),
    };
    let (both, one) = (listing(&[&bench.source, &second]), listing(&[&second]));
    bench.origins = vec![both];
    let stored = bench.store();
    assert_eq!(bench.load(), Some(stored));
    bench.touch();
    assert_eq!(bench.load(), None, "another time");
    bench.origins = vec![one];
    assert_eq!(bench.load(), None, "another list");
}

#[test]
fn every_piece_of_a_large_array_is_checked() {
    let bench = Bench::new();
    let stored = bench.store_all(vec![
        (0..2 * PIECE + 5).map(|i| (i % 251) as u8).collect(),
        vec![7],
    ]);
    assert_eq!(bench.load().as_ref(), Some(&stored));
    let sound = fs::read(bench.path()).expect("readable");
    for from_end in [1, 2, 7, PIECE, PIECE + 8, 2 * PIECE + 6] {
        let mut bytes = sound.clone();
        let at = bytes.len() - from_end;
        bytes[at] ^= 1;
        write_atomic(&bench.path(), &[&bytes]).expect("written");
        assert_eq!(bench.load(), None, "byte {from_end} from the end");
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
        assert_eq!(bench.load(), None, "byte {at}");
        write_atomic(&path, &[&sound[..at]]).expect("written");
        assert_eq!((bench.kept().facts(), bench.load()), (None, None), "{at} bytes");
    }
    write_atomic(&path, &[&sound, b"!"]).expect("written");
    assert_eq!(bench.load(), None);
    bench.store();
    assert_eq!(bench.load(), Some(stored));
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
    let arrays: [&[u8]; 3] = [&[1, 2, 3], &[], &[4; 5]];
    let stamp = bench.origins[0].stamp().expect("readable");
    kept().store(vec![stamp], &Facts::of(Value::Null, &arrays), &arrays);
    assert!(
        fs::read_dir(&closed).expect("list").next().is_none(),
        "even for the superuser"
    );
    assert_eq!(load(&kept()).expect("kept").1, arrays);
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
