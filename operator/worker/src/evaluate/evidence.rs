//! What the scanner wrote: parsed in full, hashed, and kept open for being attached.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};

use imagefactory_core::scan::{Report, ReportError, Sbom, report, sbom};

use crate::beneath::Root;
use crate::places::{Places, REPORT_FILE, SBOM_FILE};
use crate::registry::{Digest, FileSource, Hasher, chain};

/// A document that was read.
#[derive(Debug)]
pub(super) struct Read<T> {
    pub(super) content: T,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) source: FileSource,
}

/// What could be read, and what could not.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) report: Option<Read<Report>>,
    pub(super) sbom: Option<Read<Sbom>>,
    pub(super) faults: Vec<String>,
}

/// Reads report and SBOM of the image with this number. What can't be read is a fault that makes the verdict Unknown,
/// and no error.
pub(super) async fn gather(places: &Places, number: usize, digest: &Digest) -> Gathered {
    let (folder, number) = (places.reports(), number.to_string());
    let reading = tokio::task::spawn_blocking(move || {
        let mut gathered = Gathered::default();
        match read(&folder, &[&number, REPORT_FILE], |file| report::parse(file)) {
            Ok(read) => gathered.report = Some(read),
            Err(fault) => gathered.faults.push(format!("the scanner's report: {fault}")),
        }
        match read(&folder, &[&number, SBOM_FILE], |file| sbom::parse(file)) {
            Ok(read) => gathered.sbom = Some(read),
            Err(fault) => gathered.faults.push(format!("the SBOM: {fault}")),
        }
        gathered
    });
    let gathered = reading.await.unwrap_or_else(|_| Gathered {
        faults: vec!["reading the scanner's report was ended".to_owned()],
        ..Gathered::default()
    });
    for fault in &gathered.faults {
        tracing::warn!(%digest, fault, "evidence is not whole");
    }
    gathered
}

fn read<T>(
    folder: &std::path::Path,
    names: &[&str],
    parse: impl Fn(&File) -> Result<T, ReportError>,
) -> Result<Read<T>, String> {
    let opened = Root::open(folder)
        .and_then(|root| root.file(names))
        .map_err(|error| chain(&error))?;
    let mut file = opened.file;
    let content = parse(&file).map_err(|error| chain(&error))?;
    // The parser bounds what it reads, and has read to the end: hashing is bounded too.
    let (digest, size) = file
        .rewind()
        .and_then(|()| hash(&file))
        .map_err(|error| error.to_string())?;
    if size != opened.size {
        return Err("it changed while it was read".to_owned());
    }
    Ok(Read {
        content,
        digest,
        size,
        source: FileSource::new(file),
    })
}

fn hash(mut file: &File) -> io::Result<(Digest, u64)> {
    let (mut hasher, mut size, mut buffer) = (Hasher::default(), 0, vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((hasher.finish(), size)),
            count => {
                hasher.update(buffer.get(..count).unwrap_or_default());
                size += count as u64;
            }
        }
    }
}
