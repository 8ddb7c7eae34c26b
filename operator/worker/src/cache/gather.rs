//! Which files of the builder's cache are kept. What belongs together is kept whole or left: Kaniko's cache has a
//! directory for each step, BuildKit's is one OCI layout. What is newest comes first.

use std::io::Read as _;
use std::path::Path;

use super::{CacheError, MAX_DEPTH, MAX_FILES};
use crate::beneath::{Opened, Root};
use crate::registry::{Digest, Hasher};

/// Most entries of one directory, and most that are looked at in all.
const MAX_ENTRIES: usize = 65_536;

/// A file that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) path: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// When it was written, in seconds.
    pub(super) modified: i64,
}

/// Files that belong together.
#[derive(Debug, Default)]
struct Unit {
    /// Path, size, and when it was written.
    files: Vec<(String, u64, i64)>,
    /// Something in it can't be kept, and so none of it.
    broken: bool,
}

impl Unit {
    fn size(&self) -> u64 {
        self.files.iter().fold(0, |sum, (_, size, _)| sum.saturating_add(*size))
    }

    fn newest(&self) -> i64 {
        self.files
            .iter()
            .map(|(_, _, modified)| *modified)
            .max()
            .unwrap_or(i64::MIN)
    }
}

/// The files to keep of a directory, in order of their paths. Blocks.
pub(super) fn gather(folder: &Path, max_bytes: u64) -> Result<Vec<Kept>, CacheError> {
    let root = Root::open(folder)?;
    let mut kept = Vec::new();
    for (path, size, modified) in chosen(units(&root)?, max_bytes) {
        let names: Vec<&str> = path.split('/').collect();
        let opened = root.file(&names)?;
        let digest = hash(opened, size)?;
        kept.push(Kept {
            path,
            digest,
            size,
            modified,
        });
    }
    kept.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(kept)
}

fn units(root: &Root) -> Result<Vec<Unit>, CacheError> {
    let top = root.entries(&[], MAX_ENTRIES)?;
    let mut seen = 0;
    if top
        .iter()
        .any(|entry| matches!(entry.name.as_str(), "index.json" | "blobs"))
    {
        let mut whole = Unit::default();
        walk(root, &mut Vec::new(), &mut whole, &mut seen)?;
        return Ok(vec![whole]);
    }
    let mut units = Vec::new();
    for entry in top.into_iter().filter(|entry| entry.folder) {
        let mut unit = Unit::default();
        let mut names = vec![entry.name];
        if is_name(&names) {
            walk(root, &mut names, &mut unit, &mut seen)?;
            units.push(unit);
        }
    }
    Ok(units)
}

fn walk(root: &Root, names: &mut Vec<String>, unit: &mut Unit, seen: &mut usize) -> Result<(), CacheError> {
    let path: Vec<&str> = names.iter().map(String::as_str).collect();
    for entry in root.entries(&path, MAX_ENTRIES)? {
        *seen += 1;
        names.push(entry.name.clone());
        if *seen > MAX_ENTRIES || names.len() > MAX_DEPTH || !is_name(names) {
            unit.broken = true;
        } else if entry.folder {
            walk(root, names, unit, seen)?;
        } else {
            let path: Vec<&str> = names.iter().map(String::as_str).collect();
            let opened = root.file(&path)?;
            // Locks and the like: they hold nothing.
            if opened.size > 0 {
                unit.files.push((path.join("/"), opened.size, opened.modified()));
            }
        }
        names.pop();
    }
    Ok(())
}

/// Whether the last of the names can be written in a manifest and read back.
fn is_name(names: &[String]) -> bool {
    let plain = |name: &String| name.len() <= 255 && !name.chars().any(char::is_control);
    names.last().is_some_and(plain)
}

/// The newest units that fit. One that does not fit is left, and those after it are looked at.
fn chosen(mut units: Vec<Unit>, max_bytes: u64) -> Vec<(String, u64, i64)> {
    units.retain(|unit| !unit.broken && !unit.files.is_empty());
    units.sort_by_key(|unit| std::cmp::Reverse(unit.newest()));
    let (mut files, mut bytes, found) = (Vec::new(), 0_u64, units.len());
    let mut kept = 0;
    for unit in units {
        let sum = bytes.saturating_add(unit.size());
        if sum <= max_bytes && files.len() + unit.files.len() <= MAX_FILES {
            bytes = sum;
            kept += 1;
            files.extend(unit.files);
        }
    }
    tracing::info!(found, kept, bytes, files = files.len(), "what is kept of the cache");
    files
}

fn hash(opened: Opened, size: u64) -> Result<Digest, CacheError> {
    // One byte too many is enough to notice a file that grows.
    let mut file = opened.file.take(size.saturating_add(1));
    let (mut hasher, mut buffer) = (Hasher::default(), vec![0; 1 << 17]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(buffer.get(..count).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;
    use std::time::{Duration, SystemTime};

    use super::*;

    struct Cache(tempfile::TempDir);

    impl Cache {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        /// A file that was written so many seconds after the epoch.
        fn put(&self, path: &str, size: usize, second: u64) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, vec![b'x'; size]).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_modified(time)
                .unwrap();
        }

        fn kept(&self, max_bytes: u64) -> Vec<String> {
            let kept = gather(self.0.path(), max_bytes).unwrap();
            kept.into_iter().map(|file| file.path).collect()
        }
    }

    #[test]
    fn the_newest_directories_are_kept_whole() {
        let cache = Cache::new();
        for (name, second) in [("k:old", 10), ("k:new", 30), ("k:middle", 20)] {
            cache.put(&format!("{name}/index.json"), 10, 1);
            cache.put(&format!("{name}/blobs/sha256/a"), 90, second);
        }
        cache.put("k:large/blobs/a", 500, 40);
        assert_eq!(
            cache.kept(200),
            [
                "k:middle/blobs/sha256/a",
                "k:middle/index.json",
                "k:new/blobs/sha256/a",
                "k:new/index.json"
            ]
        );
        assert_eq!(cache.kept(10_000).len(), 7);
        assert!(cache.kept(50).is_empty());
    }

    #[test]
    fn a_layout_is_kept_whole_or_not_at_all() {
        let cache = Cache::new();
        cache.put("index.json", 10, 1);
        cache.put("index.json.lock", 0, 1);
        cache.put("blobs/sha256/a", 90, 1);
        cache.put("blobs/sha256/b", 90, 2);
        assert_eq!(cache.kept(190), ["blobs/sha256/a", "blobs/sha256/b", "index.json"]);
        assert!(cache.kept(189).is_empty());
    }

    #[test]
    fn links_are_left_out_and_what_can_not_be_named_takes_its_directory_along() {
        let cache = Cache::new();
        cache.put("k:1/a", 1, 1);
        cache.put("k:2/a\nb", 1, 1);
        cache.put("k:3/1/2/3/4/5/6/7/8/deep", 1, 1);
        cache.put("file", 1, 1);
        symlink("/etc/passwd", cache.0.path().join("k:1/passwd")).unwrap();
        symlink("/etc", cache.0.path().join("k:etc")).unwrap();
        assert_eq!(cache.kept(10_000), ["k:1/a"]);
        let linked = Cache::new();
        symlink("/etc", linked.0.path().join("out")).unwrap();
        assert!(gather(&linked.0.path().join("out"), 10_000).is_err());
    }
}
