//! Tells at the end what the container used: in its log, and in its termination message if it ended well. Of one that did
//! not, the kubelet puts the log's end there, which says why.

use std::fs;

use imagefactory_core::step::usage;

use crate::line;

const TERMINATION_LOG: &str = "/dev/termination-log";

/// Tells it, where the kernel does.
pub fn tell(code: u8) {
    let Some(used) = usage::measure(|path| fs::read_to_string(path).ok()) else {
        return;
    };
    line(&used.line());
    if code == 0 {
        // Informs and decides nothing: an image that was built is not lost for it.
        let _ = fs::write(TERMINATION_LOG, used.line());
    }
}
