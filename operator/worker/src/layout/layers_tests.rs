//! Tests of layers: what is packed honestly passes, and what lies, overflows or breaks off does not.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::json;

use super::*;
use crate::layout::{Layout, LayoutError};

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Media type, packed bytes, what the configuration says they unpack to.
type Layer<'a> = (&'a str, &'a [u8], &'a [u8]);

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn blob(folder: &Path, bytes: &[u8], media_type: &str) -> serde_json::Value {
    let digest = Digest::of(bytes);
    fs::write(folder.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
    json!({ "mediaType": media_type, "digest": digest.as_str(), "size": bytes.len() })
}

fn image(folder: &Path, layers: &[Layer<'_>]) -> serde_json::Value {
    let diff_ids: Vec<_> = layers
        .iter()
        .map(|(_, _, content)| Digest::of(content).to_string())
        .collect();
    let config =
        json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": diff_ids } });
    let config = blob(folder, config.to_string().as_bytes(), CONFIG);
    let layers: Vec<_> = layers
        .iter()
        .map(|(media_type, packed, _)| blob(folder, packed, media_type))
        .collect();
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": layers });
    blob(folder, manifest.to_string().as_bytes(), MANIFEST)
}

/// A layout with these images.
fn layout(images: &[&[Layer<'_>]]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir_all(path.join("blobs/sha256")).unwrap();
    fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let images: Vec<_> = images.iter().map(|layers| image(path, layers)).collect();
    let index = json!({ "schemaVersion": 2, "manifests": images }).to_string();
    let top = blob(path, index.as_bytes(), INDEX);
    let index = json!({ "schemaVersion": 2, "manifests": [top] }).to_string();
    fs::write(path.join("index.json"), index).unwrap();
    folder
}

/// What becomes of it.
fn check_images(images: &[&[Layer<'_>]], bounds: &Bounds) -> Result<(), LayoutError> {
    Layout::read(layout(images).path(), 1 << 30)?.check_layers(bounds)
}

fn check(layers: &[Layer<'_>]) -> Result<(), LayoutError> {
    check_images(&[layers], &Bounds::IMAGES)
}

fn fault(layers: &[Layer<'_>]) -> LayerFault {
    match check(layers) {
        Err(LayoutError::Layer { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

/// Bytes that fill several buffers and blocks and do not repeat soon.
fn long() -> Vec<u8> {
    (0..400_000_u32)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect()
}

#[test]
fn honest_layers_pass_however_they_are_packed() {
    let long = long();
    for content in [b"".as_slice(), b"content", &long] {
        check(&[(TAR, content, content)]).unwrap();
        check(&[(GZIP, &gzip(content), content)]).unwrap();
        check(&[(ZSTD, &zstd(content), content)]).unwrap();
    }
    check(&[]).unwrap();
    let (one, two) = (gzip(b"one"), zstd(b"two"));
    let layers: &[Layer<'_>] = &[(GZIP, &one, b"one"), (ZSTD, &two, b"two"), (GZIP, &one, b"one")];
    check_images(&[layers, layers], &Bounds::IMAGES).unwrap();
}

#[test]
fn diff_ids_that_lie_or_change_places_are_refused() {
    let (one, two) = (gzip(b"one"), zstd(b"two"));
    assert!(matches!(fault(&[(GZIP, &one, b"other")]), LayerFault::DiffId { .. }));
    assert!(matches!(fault(&[(TAR, b"one", b"other")]), LayerFault::DiffId { .. }));
    assert!(matches!(
        fault(&[(GZIP, &one, b"two"), (ZSTD, &two, b"one")]),
        LayerFault::DiffId { .. }
    ));
    // In the second image of an index, too.
    let images: [&[Layer<'_>]; 2] = [&[(GZIP, &one, b"one")], &[(ZSTD, &two, b"other")]];
    assert!(matches!(
        check_images(&images, &Bounds::IMAGES),
        Err(LayoutError::Layer { .. })
    ));
}

#[test]
fn one_layer_with_two_claims_is_refused() {
    let one = gzip(b"one");
    for second in [(GZIP, one.as_slice(), b"two".as_slice()), (TAR, &one, b"one")] {
        let layers = [(GZIP, one.as_slice(), b"one".as_slice()), second];
        assert!(matches!(check(&layers), Err(LayoutError::TwoClaims(_))), "{second:?}");
        let images: [&[Layer<'_>]; 2] = [&layers[..1], &layers[1..]];
        assert!(matches!(
            check_images(&images, &Bounds::IMAGES),
            Err(LayoutError::TwoClaims(_))
        ));
    }
}

#[test]
fn all_members_and_frames_count() {
    let parts = [b"one".as_slice(), b"", b"two"];
    let members: Vec<u8> = parts.iter().flat_map(|part| gzip(part)).collect();
    check(&[(GZIP, &members, b"onetwo")]).unwrap();
    assert!(matches!(fault(&[(GZIP, &members, b"one")]), LayerFault::DiffId { .. }));
    let frames: Vec<u8> = parts.iter().flat_map(|part| zstd(part)).collect();
    check(&[(ZSTD, &frames, b"onetwo")]).unwrap();
    assert!(matches!(fault(&[(ZSTD, &frames, b"one")]), LayerFault::DiffId { .. }));
    let skipped = b"\x5f\x2a\x4d\x18\x03\0\0\0abc";
    let between = [zstd(b"one"), skipped.to_vec(), zstd(b"two"), skipped.to_vec()].concat();
    check(&[(ZSTD, &between, b"onetwo")]).unwrap();
    let broken = [zstd(b"one"), b"\x5f\x2a\x4d\x18\x04\0\0\0abc".to_vec()].concat();
    assert!(matches!(fault(&[(ZSTD, &broken, b"one")]), LayerFault::Unpack(_)));
}

#[test]
fn what_trails_or_lacks_is_refused() {
    for (media_type, packed) in [(GZIP, gzip(b"content")), (ZSTD, zstd(b"content"))] {
        for tail in [
            b"\0".as_slice(),
            b"\x1f",
            b"\x1f\x8b",
            b"\x28\xb5\x2f\xfd",
            b"garbage garbage garbage",
            &[0; 512],
        ] {
            let trailing = [packed.as_slice(), tail].concat();
            let found = fault(&[(media_type, &trailing, b"content")]);
            assert!(
                matches!(found, LayerFault::Unpack(_)),
                "{media_type} {tail:?}: {found:?}"
            );
        }
        for length in 5..packed.len() {
            let found = fault(&[(media_type, &packed[..length], b"content")]);
            assert!(
                matches!(found, LayerFault::Unpack(_)),
                "{media_type} {length}: {found:?}"
            );
        }
    }
}

#[test]
fn first_bytes_must_be_those_of_the_media_type() {
    let (gzip, zstd) = (gzip(b"content"), zstd(b"content"));
    let skipped_first = [b"\x50\x2a\x4d\x18\0\0\0\0".as_slice(), &zstd].concat();
    for (media_type, packed) in [
        (GZIP, b"content".as_slice()),
        (GZIP, b""),
        (GZIP, &zstd),
        (ZSTD, &gzip),
        (ZSTD, b"content"),
        (ZSTD, &skipped_first),
        (TAR, &gzip),
        (TAR, &zstd),
        (TAR, &skipped_first),
        (TAR, b"BZh91AY"),
        (TAR, b"\xfd7zXZ\0"),
    ] {
        assert!(
            matches!(fault(&[(media_type, packed, b"content")]), LayerFault::Packing),
            "{media_type} {packed:?}"
        );
    }
}

#[test]
fn a_bomb_is_left_at_its_bound() {
    let zeros = vec![0; 1 << 20];
    let bounds = |total, floor, ratio| Bounds { total, floor, ratio };
    for (media_type, packed) in [(GZIP, gzip(&zeros)), (ZSTD, zstd(&zeros)), (TAR, zeros.clone())] {
        let layers: &[Layer<'_>] = &[(media_type, &packed, &zeros)];
        let size = packed.len() as u64;
        let exact = zeros.len() as u64;
        check_images(&[layers], &bounds(exact, exact, 1)).unwrap();
        check_images(&[layers], &bounds(exact, 0, exact.div_ceil(size))).unwrap();
        let mut tight = vec![bounds(exact - 1, exact, 1)];
        if media_type != TAR {
            tight.extend([bounds(exact, exact - 1, 1), bounds(exact, 0, (exact - 1) / size)]);
        }
        for bounds in tight {
            let found = check_images(&[layers], &bounds).unwrap_err();
            let too_large = matches!(
                found,
                LayoutError::Layer {
                    fault: LayerFault::TooLarge { .. },
                    ..
                }
            );
            assert!(too_large, "{media_type} {bounds:?}: {found:?}");
        }
    }
}

#[test]
fn the_total_is_of_all_layers_together() {
    let (one, two) = (gzip(b"12345"), gzip(b"67890"));
    let layers: &[Layer<'_>] = &[(GZIP, &one, b"12345"), (GZIP, &two, b"67890")];
    let bounds = |total| Bounds {
        total,
        floor: 100,
        ratio: 1,
    };
    check_images(&[layers], &bounds(10)).unwrap();
    assert!(check_images(&[layers], &bounds(9)).is_err());
    assert_eq!(Bounds::IMAGES.of(u64::MAX, 7), 7);
}

#[test]
fn bytes_that_are_not_their_digest_s_are_refused_though_they_unpack_right() {
    let mut packed = gzip(b"content");
    let folder = layout(&[&[(GZIP, &packed, b"content")]]);
    let file = folder.path().join("blobs/sha256").join(Digest::of(&packed).hex());
    // The system that wrote it, which no reader cares for.
    packed[9] ^= 1;
    check(&[(GZIP, &packed, b"content")]).unwrap();
    fs::write(file, &packed).unwrap();
    let found = Layout::read(folder.path(), 1 << 30)
        .unwrap()
        .check_layers(&Bounds::IMAGES);
    assert!(matches!(found, Err(LayoutError::Digest { .. })), "{found:?}");
}
