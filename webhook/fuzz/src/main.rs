//! The fuzzer: one program for all targets. `FUZZ_TARGET` says which, `FUZZ_SEEDS` names a folder for its first inputs.
#![no_main]

use std::path::Path;
use std::sync::OnceLock;

static TARGET: OnceLock<String> = OnceLock::new();

fn begin() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let target = std::env::var("FUZZ_TARGET").unwrap_or_else(|_| imagefactory_fuzz::REVIEW.to_owned());
    if let Ok(folder) = std::env::var("FUZZ_SEEDS") {
        for (number, bytes) in imagefactory_fuzz::seeds::inputs(&target).iter().enumerate() {
            std::fs::write(Path::new(&folder).join(format!("seed-{number:03}")), bytes).expect("seeds are written");
        }
    }
    let _ = TARGET.set(target);
}

libfuzzer_sys::fuzz_target!(init: begin(), |bytes: &[u8]| {
    imagefactory_fuzz::run(TARGET.get().map_or(imagefactory_fuzz::REVIEW, String::as_str), bytes);
});
