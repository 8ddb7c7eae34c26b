//! How layers are packed: not, by gzip, or by zstd. Media type and first bytes must say the same, because of the tools
//! that read layers some go by the one and some by the other.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Gzip, zstd, bzip2 and xz: what one or another tool unpacks unasked.
const PACKED: [&[u8]; 4] = [&[0x1f, 0x8b], &ZSTD, b"BZh", &[0xfd, b'7', b'z', b'X', b'Z', 0]];
/// Largest window of a zstd frame, which is held in memory: eight times what the format recommends readers to take.
const WINDOW: u64 = 64 << 20;

/// How a layer is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Packing {
    /// As one of the media types that layers may have says.
    pub(crate) fn of(media_type: &str) -> Self {
        if media_type.ends_with("+zstd") {
            Self::Zstd
        } else if media_type.ends_with("+gzip") || media_type.ends_with(".gzip") {
            Self::Gzip
        } else {
            Self::None
        }
    }

    /// Whether something that is packed so may begin so.
    pub(crate) fn begins(self, start: &[u8]) -> bool {
        match self {
            Self::Gzip => start.starts_with(&GZIP),
            // Not by a frame to be skipped: some readers know zstd only by this number.
            Self::Zstd => start.starts_with(&ZSTD),
            Self::None => {
                let skippable = start.first_chunk().is_some_and(|magic| is_skippable(*magic));
                !skippable && !PACKED.iter().any(|magic| start.starts_with(magic))
            }
        }
    }

    /// The unpacked bytes. They end where `packed` ends, or with an error.
    pub(crate) fn reader<'a>(self, packed: impl BufRead + 'a) -> Box<dyn Read + 'a> {
        match self {
            Self::None => Box::new(packed),
            Self::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Self::Zstd => Box::new(Frames::new(packed)),
        }
    }
}

fn is_skippable(magic: [u8; 4]) -> bool {
    u32::from_le_bytes(magic) & 0xffff_fff0 == 0x184d_2a50
}

/// The frames of a zstd file, one after the other.
struct Frames<R> {
    packed: R,
    decoder: FrameDecoder,
}

impl<R: BufRead> Frames<R> {
    fn new(packed: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW);
        Self { packed, decoder }
    }

    /// Goes into the next frame, or past it if it is to be skipped; false at the end.
    fn next_frame(&mut self) -> io::Result<bool> {
        if self.packed.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let mut magic = [0; 4];
        self.packed.read_exact(&mut magic)?;
        if is_skippable(magic) {
            let mut length = [0; 4];
            self.packed.read_exact(&mut length)?;
            let length = u64::from(u32::from_le_bytes(length));
            let skipped = io::copy(&mut (&mut self.packed).take(length), &mut io::sink())?;
            return if skipped == length {
                Ok(true)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
        let header = magic.as_slice().chain(&mut self.packed);
        self.decoder.reset(header).map_err(io::Error::other)?;
        Ok(true)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.decoder.can_collect() == 0 {
            if !self.decoder.is_finished() {
                // Block by block, so that no more than a window and a block is held.
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder
                    .decode_blocks(&mut self.packed, one)
                    .map_err(io::Error::other)?;
            } else if !self.next_frame()? {
                return Ok(0);
            }
        }
        self.decoder.read(buffer)
    }
}
