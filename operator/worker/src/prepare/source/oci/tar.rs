//! Reads tar files that hostile code wrote, entry by entry: POSIX with its extended headers, GNU's long names. What is
//! held in memory is bounded. What we do not know is an error, never skipped: others might know it.

use std::io::{self, Read};

const BLOCK: usize = 512;
/// Largest extended header that is read.
const MAX_EXTENSION: u64 = 1 << 20;

/// Why a tar file can't be read.
#[derive(Debug, thiserror::Error)]
pub(in crate::prepare) enum TarError {
    /// It is cut, or can't be unpacked.
    #[error("it can't be unpacked")]
    Read(#[from] io::Error),
    /// It is no tar file, or one that nobody would make.
    #[error("it is not a tar file that can be read: {0}")]
    Malformed(&'static str),
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink,
    Hardlink,
    /// A device or a pipe.
    Special,
}

/// An entry. Paths are as they are written.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) mode: u32,
}

/// A tar file that is read.
pub(super) struct Archive<R> {
    inner: R,
    /// What is left of the entry's content, and of the block that it ends in.
    left: u64,
    padding: u64,
}

/// What an extended header says of the entry after it.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<R: Read> Archive<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            left: 0,
            padding: 0,
        }
    }

    /// The next entry; none at the end. What was not read of the last one is skipped.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, TarError> {
        let mut extension = Extension::default();
        loop {
            self.skip()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let kind = *field(&header, 156, 1).first().unwrap_or(&0);
            let size = number(field(&header, 124, 12))?;
            self.expect(
                extension
                    .size
                    .filter(|_| !matches!(kind, b'x' | b'g' | b'L' | b'K'))
                    .unwrap_or(size),
            );
            match kind {
                b'x' => extension.take(&self.extended()?)?,
                b'g' => drop(self.extended()?),
                b'L' => extension.path = Some(text(&self.extended()?)),
                b'K' => extension.link = Some(text(&self.extended()?)),
                _ => return self.entry(&header, kind, extension).map(Some),
            }
        }
    }

    /// The content of the entry that was last returned.
    pub(super) fn content(&mut self) -> impl Read {
        Content(self)
    }

    /// Size of that content.
    pub(super) fn size(&self) -> u64 {
        self.left
    }

    fn entry(&mut self, header: &[u8; BLOCK], kind: u8, extension: Extension) -> Result<Entry, TarError> {
        let mut path = text(field(header, 0, 100));
        // GNU's own format has other things where POSIX has the prefix.
        if field(header, 257, 6) == b"ustar\0" {
            let prefix = text(field(header, 345, 155));
            if !prefix.is_empty() {
                path = [prefix.as_slice(), b"/", &path].concat();
            }
        }
        let path = extension.path.unwrap_or(path);
        let kind = match kind {
            b'0' | 0 if path.ends_with(b"/") => Kind::Directory,
            b'0' | b'7' | 0 => Kind::File,
            b'1' => Kind::Hardlink,
            b'2' => Kind::Symlink,
            b'5' => Kind::Directory,
            b'3' | b'4' | b'6' => Kind::Special,
            _ => return Err(TarError::Malformed("an entry is of an unknown kind")),
        };
        // Links and directories have no content, whatever their header says of its size.
        if kind != Kind::File && self.left > 0 {
            return Err(TarError::Malformed("an entry that is no file has content"));
        }
        Ok(Entry {
            path,
            link: extension.link.unwrap_or_else(|| text(field(header, 157, 100))),
            kind,
            mode: u32::try_from(number(field(header, 100, 8))? & 0o7777).unwrap_or(0),
        })
    }

    fn expect(&mut self, size: u64) {
        self.left = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    fn skip(&mut self) -> Result<(), TarError> {
        let rest = self.left.saturating_add(self.padding);
        let skipped = io::copy(&mut (&mut self.inner).take(rest), &mut io::sink())?;
        (self.left, self.padding) = (0, 0);
        if skipped == rest {
            Ok(())
        } else {
            Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
        }
    }

    /// The next header; none at the end of the file or at an empty block.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut block = Vec::with_capacity(BLOCK);
        (&mut self.inner).take(BLOCK as u64).read_to_end(&mut block)?;
        if block.is_empty() || block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let Ok(block) = <[u8; BLOCK]>::try_from(block) else {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        };
        let said = number(field(&block, 148, 8))?;
        let blank = 8 * u64::from(b' ');
        let sum = block.iter().map(|byte| u64::from(*byte)).sum::<u64>()
            - field(&block, 148, 8).iter().map(|byte| u64::from(*byte)).sum::<u64>()
            + blank;
        if sum == said {
            Ok(Some(block))
        } else {
            Err(TarError::Malformed("a header's checksum is wrong"))
        }
    }

    fn extended(&mut self) -> Result<Vec<u8>, TarError> {
        if self.left > MAX_EXTENSION {
            return Err(TarError::Malformed("an extended header is larger than 1 MiB"));
        }
        let mut bytes = Vec::new();
        self.content().read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

struct Content<'a, R>(&'a mut Archive<R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self(archive) = self;
        let count = (&mut archive.inner).take(archive.left).read(buffer)?;
        if count == 0 && archive.left > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        archive.left -= count as u64;
        Ok(count)
    }
}

impl Extension {
    /// Takes in the records `<length> <key>=<value>\n` of a POSIX extended header.
    fn take(&mut self, mut records: &[u8]) -> Result<(), TarError> {
        let malformed = || TarError::Malformed("an extended header");
        while !records.is_empty() {
            let space = records.iter().position(|byte| *byte == b' ').ok_or_else(malformed)?;
            let length = std::str::from_utf8(records.get(..space).unwrap_or_default()).ok();
            let length: usize = length.and_then(|text| text.parse().ok()).ok_or_else(malformed)?;
            let record = records.get(space + 1..length).ok_or_else(malformed)?;
            let record = record.strip_suffix(b"\n").ok_or_else(malformed)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
            let (key, value) = (
                record.get(..equals).unwrap_or_default(),
                record.get(equals + 1..).unwrap_or_default(),
            );
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    self.size = Some(size.ok_or_else(malformed)?);
                }
                key if key.starts_with(b"GNU.sparse") => {
                    return Err(TarError::Malformed("sparse files are not taken"));
                }
                _ => {}
            }
            records = records.get(length..).unwrap_or_default();
        }
        Ok(())
    }
}

fn field(block: &[u8; BLOCK], start: usize, length: usize) -> &[u8] {
    block.get(start..start + length).unwrap_or_default()
}

/// Text up to its NUL.
fn text(field: &[u8]) -> Vec<u8> {
    field.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

/// A number in octal digits, or by GNU in bytes after a first one of 128.
fn number(field: &[u8]) -> Result<u64, TarError> {
    let malformed = TarError::Malformed("a number in a header");
    if let Some((0x80, bytes)) = field.split_first().map(|(first, rest)| (*first, rest)) {
        let (high, low) = bytes.split_at(bytes.len().saturating_sub(8));
        if high.iter().any(|byte| *byte != 0) {
            return Err(malformed);
        }
        return Ok(low.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    }
    let digits = field.iter().copied().skip_while(|byte| *byte == b' ');
    let mut sum = 0_u64;
    for byte in digits.take_while(|byte| !matches!(byte, 0 | b' ')) {
        if !matches!(byte, b'0'..=b'7') {
            return Err(malformed);
        }
        sum = sum << 3 | u64::from(byte - b'0');
    }
    Ok(sum)
}
