//! Lays layers out in a directory, one over the other. Nobody else writes there meanwhile, so that what was looked at
//! stays so; no link is ever gone through, so that nothing lands outside.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{self, BufReader, Read, Seek as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::Limits;
use super::manifest::Content;
use super::tar::{Archive, Entry, Kind, TarError};
use crate::layout::packing::Packing;

const MAX_PATH: usize = 4096;
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// Why a layer can't be laid out.
#[derive(Debug, thiserror::Error)]
pub(in crate::prepare) enum LayOutError {
    /// The tar file itself.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// It is packed otherwise than its media type says.
    #[error("its first bytes are not those of its media type")]
    Packing,
    /// An entry that is not taken.
    #[error("{path:?} {problem}")]
    Entry {
        /// Its path, cut.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// More than is taken.
    #[error("the source is too large: more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much is taken.
        limit: u64,
    },
    /// The disk.
    #[error("the workspace can't be written")]
    Disk(#[source] io::Error),
}

/// A directory that layers are laid out in.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    limits: Limits,
    bytes: u64,
    entries: u64,
    links: Vec<PathBuf>,
    /// What the layer at hand wrote, with all above it: its own whiteouts do not take that away.
    touched: BTreeSet<PathBuf>,
}

impl Tree {
    pub(super) fn new(root: &Path, limits: Limits) -> Self {
        Self {
            root: root.to_owned(),
            limits,
            bytes: 0,
            entries: 0,
            links: Vec::new(),
            touched: BTreeSet::new(),
        }
    }

    /// Lays a layer out over what is there. Blocks.
    pub(super) fn add(&mut self, content: &Content, mut file: File) -> Result<(), LayOutError> {
        self.touched.clear();
        file.rewind().map_err(LayOutError::Disk)?;
        match content {
            Content::File(path) => {
                let path = relative(path.as_bytes())?.ok_or_else(|| refuse(path.as_bytes(), "names no file"))?;
                self.count()?;
                self.write(&path, 0o644, &mut file)
            }
            Content::Tar(packing) => self.unpack(*packing, file),
        }
    }

    fn unpack(&mut self, packing: Packing, mut file: File) -> Result<(), LayOutError> {
        let mut start = Vec::new();
        (&mut file).take(8).read_to_end(&mut start).map_err(LayOutError::Disk)?;
        file.rewind().map_err(LayOutError::Disk)?;
        if !packing.begins(&start) {
            return Err(LayOutError::Packing);
        }
        let mut archive = Archive::new(packing.reader(BufReader::new(file)));
        while let Some(entry) = archive.next()? {
            self.count()?;
            // A bomb is found by what it says before it is unpacked.
            self.room(archive.size())?;
            self.entry(&entry, &mut archive)?;
        }
        Ok(())
    }

    fn entry<R: Read>(&mut self, entry: &Entry, archive: &mut Archive<R>) -> Result<(), LayOutError> {
        let Some(path) = relative(&entry.path)? else {
            return Ok(());
        };
        if let Some(name) = path.file_name().and_then(|name| name.to_str())
            && let Some(hidden) = name.strip_prefix(WHITEOUT)
        {
            return self.whiteout(&path, name, hidden);
        }
        match entry.kind {
            Kind::File => self.write(&path, entry.mode, &mut archive.content()),
            Kind::Directory => self.directory(&path),
            Kind::Symlink => self.link(&path, &entry.link),
            Kind::Hardlink => {
                let of = relative(&entry.link)?.ok_or_else(|| refuse(&entry.link, "is linked to and no file"))?;
                let of = self.existing(&of)?;
                let found = fs::symlink_metadata(&of).ok().filter(fs::Metadata::is_file);
                let found = found.ok_or_else(|| refuse(&entry.link, "is linked to and no file"))?;
                self.room(found.len())?;
                let mut content = File::open(&of).map_err(LayOutError::Disk)?;
                self.write(&path, found.permissions().mode(), &mut content)
            }
            Kind::Special => Err(refuse(&entry.path, "is a device or a pipe")),
        }
    }

    fn write(&mut self, path: &Path, mode: u32, content: &mut impl Read) -> Result<(), LayOutError> {
        let place = self.place(path)?;
        remove(&place)?;
        let mut file = File::create_new(&place).map_err(LayOutError::Disk)?;
        let room = self.limits.files.saturating_sub(self.bytes);
        let written = io::copy(&mut content.take(room.saturating_add(1)), &mut file).map_err(TarError::Read)?;
        self.bytes = self.bytes.saturating_add(written);
        self.room(0)?;
        // Everybody may read it: what builds may run as anybody. Never a set-uid bit.
        let mode = mode & 0o755 | 0o644;
        file.set_permissions(Permissions::from_mode(mode))
            .map_err(LayOutError::Disk)
    }

    fn directory(&mut self, path: &Path) -> Result<(), LayOutError> {
        let place = self.place(path)?;
        if fs::symlink_metadata(&place).is_ok_and(|found| found.is_dir()) {
            return Ok(());
        }
        remove(&place)?;
        fs::create_dir(&place).map_err(LayOutError::Disk)
    }

    fn link(&mut self, path: &Path, target: &[u8]) -> Result<(), LayOutError> {
        let leads_out = || refuse(target, "is the target of a link and leads out of the source");
        let text = std::str::from_utf8(target).map_err(|_| leads_out())?;
        if text.is_empty() || text.len() > MAX_PATH || text.contains('\0') || text.starts_with('/') {
            return Err(leads_out());
        }
        let mut depth = path.components().count().saturating_sub(1);
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => depth = depth.checked_sub(1).ok_or_else(leads_out)?,
                _ => depth += 1,
            }
        }
        let place = self.place(path)?;
        remove(&place)?;
        symlink(text, &place).map_err(LayOutError::Disk)?;
        self.links.push(place);
        Ok(())
    }

    /// Takes away what layers before wrote: one name, or all that a directory holds.
    fn whiteout(&mut self, path: &Path, name: &str, hidden: &str) -> Result<(), LayOutError> {
        if name == OPAQUE {
            let Some(folder) = path.parent() else { return Ok(()) };
            let place = self.existing(folder)?;
            return match fs::symlink_metadata(&place) {
                Ok(found) if found.is_dir() => self.clear(&place),
                _ => Ok(()),
            };
        }
        if hidden.is_empty() || hidden == "." || hidden == ".." {
            return Err(refuse(name.as_bytes(), "takes nothing away"));
        }
        let place = self.existing(&path.with_file_name(hidden))?;
        if self.touched.contains(&place) {
            Ok(())
        } else {
            remove(&place)
        }
    }

    /// Removes what this layer did not write.
    fn clear(&self, folder: &Path) -> Result<(), LayOutError> {
        for found in fs::read_dir(folder).map_err(LayOutError::Disk)? {
            let found = found.map_err(LayOutError::Disk)?;
            let path = found.path();
            match (
                self.touched.contains(&path),
                found.file_type().map_err(LayOutError::Disk)?.is_dir(),
            ) {
                (true, true) => self.clear(&path)?,
                (true, false) => {}
                (false, _) => remove(&path)?,
            }
        }
        Ok(())
    }

    /// Where a path lies, the directories above it made. No part of the way is a link or a file.
    fn place(&mut self, path: &Path) -> Result<PathBuf, LayOutError> {
        let place = self.existing(path)?;
        let mut above = self.root.clone();
        for part in path.parent().into_iter().flat_map(Path::components) {
            above.push(part);
            if !above.is_dir() {
                fs::create_dir(&above).map_err(LayOutError::Disk)?;
                self.count()?;
            }
            self.touched.insert(above.clone());
        }
        self.touched.insert(place.clone());
        Ok(place)
    }

    /// The same without making anything.
    fn existing(&self, path: &Path) -> Result<PathBuf, LayOutError> {
        let mut above = self.root.clone();
        for part in path.parent().into_iter().flat_map(Path::components) {
            above.push(part);
            match fs::symlink_metadata(&above) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => {
                    return Err(refuse(
                        path.as_os_str().as_encoded_bytes(),
                        "lies behind a link or a file",
                    ));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(LayOutError::Disk(error)),
            }
        }
        Ok(self.root.join(path))
    }

    /// Whether no link leads out, now that all are there: a link may lead through another.
    pub(super) fn check_links(&self) -> Result<(), LayOutError> {
        let root = self.root.canonicalize().map_err(LayOutError::Disk)?;
        for link in &self.links {
            if link.canonicalize().is_ok_and(|real| !real.starts_with(&root)) {
                let shown = link.strip_prefix(&self.root).unwrap_or(link);
                return Err(refuse(
                    shown.as_os_str().as_encoded_bytes(),
                    "is a link that leads out of the source",
                ));
            }
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), LayOutError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            let (what, limit) = ("files, links and directories", self.limits.entries);
            return Err(LayOutError::TooLarge { what, limit });
        }
        Ok(())
    }

    fn room(&self, more: u64) -> Result<(), LayOutError> {
        if self.bytes.saturating_add(more) > self.limits.files {
            let (what, limit) = ("bytes in files", self.limits.files);
            return Err(LayOutError::TooLarge { what, limit });
        }
        Ok(())
    }
}

/// A path as it is written in a layer, if it is plain and stays inside; none for the directory itself.
fn relative(path: &[u8]) -> Result<Option<PathBuf>, LayOutError> {
    let text = std::str::from_utf8(path).map_err(|_| refuse(path, "is not UTF-8"))?;
    if text.starts_with('/') || text.contains('\0') || text.len() > MAX_PATH {
        return Err(refuse(path, "is not a relative path"));
    }
    let mut relative = PathBuf::new();
    for part in text.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." || part.len() > 255 {
            return Err(refuse(path, "is not a plain path"));
        }
        relative.push(part);
    }
    Ok((!relative.as_os_str().is_empty()).then_some(relative))
}

fn remove(place: &Path) -> Result<(), LayOutError> {
    let removed = match fs::symlink_metadata(place) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(place),
        Ok(_) => fs::remove_file(place),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.map_err(LayOutError::Disk)
}

fn refuse(path: &[u8], problem: &'static str) -> LayOutError {
    LayOutError::Entry {
        path: String::from_utf8_lossy(path).chars().take(160).collect(),
        problem,
    }
}
