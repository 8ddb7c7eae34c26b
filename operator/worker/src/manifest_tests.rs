//! Tests of manifests: what is taken and what is not.

use super::*;

fn digest(seed: &str) -> String {
    Digest::of(seed.as_bytes()).to_string()
}

fn image(extra: &str, layer_type: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"{}","digest":"{}","size":2}},"layers":[{{"mediaType":"{layer_type}","digest":"{}","size":3}}]{extra}}}"#,
        CONFIGS[0],
        digest("config"),
        digest("layer")
    )
}

fn index(entries: &str) -> String {
    format!(r#"{{"schemaVersion":2,"manifests":[{entries}]}}"#)
}

#[test]
fn images_and_indexes_of_both_kinds_are_taken() {
    for layer in LAYERS {
        let read = Document::parse(image("", layer).as_bytes(), OCI_MANIFEST).unwrap();
        assert_eq!(read.blobs().len(), 2);
        assert!(Document::parse(image("", layer).as_bytes(), DOCKER_MANIFEST).is_ok());
    }
    let entry = format!(
        r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":9,"platform":{{"os":"linux","architecture":"amd64"}}}}"#,
        digest("m")
    );
    assert!(
        matches!(Document::parse(index(&entry).as_bytes(), OCI_INDEX), Ok(Document::Index(children)) if children.len() == 1)
    );
    assert!(Document::parse(index(&entry).as_bytes(), DOCKER_INDEX).is_ok());
}

#[test]
fn what_is_not_on_the_list_is_refused() {
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let undistributed = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    for layer in [foreign, undistributed, "text/plain", ""] {
        let read = Document::parse(image("", layer).as_bytes(), OCI_MANIFEST);
        assert!(matches!(read, Err(DocumentError::MediaType(_))), "{layer}");
    }
    let schema_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    assert!(matches!(
        Document::parse(image("", LAYERS[0]).as_bytes(), schema_1),
        Err(DocumentError::MediaType(_))
    ));
}

#[test]
fn a_document_is_one_thing_only() {
    let both = image(r#","manifests":[]"#, LAYERS[0]);
    assert_eq!(Document::parse(both.as_bytes(), OCI_MANIFEST), Err(DocumentError::Both));
    assert_eq!(Document::parse(both.as_bytes(), OCI_INDEX), Err(DocumentError::Both));
    let other = image(&format!(r#","mediaType":"{OCI_INDEX}""#), LAYERS[0]);
    assert!(matches!(
        Document::parse(other.as_bytes(), OCI_MANIFEST),
        Err(DocumentError::Ambiguous { .. })
    ));
    let old = image(r#","fsLayers":[]"#, LAYERS[0]);
    assert_eq!(Document::parse(old.as_bytes(), OCI_MANIFEST), Err(DocumentError::Both));
    // Written twice, a field has two meanings: which one counts would depend on the reader.
    let twice = image(r#","layers":[]"#, LAYERS[0]);
    assert!(matches!(
        Document::parse(twice.as_bytes(), OCI_MANIFEST),
        Err(DocumentError::Malformed(_))
    ));
}

#[test]
fn layers_that_lie_elsewhere_are_refused() {
    let text = image("", LAYERS[1]).replace(r#","size":3"#, r#","size":3,"urls":["https://evil.example.com/layer"]"#);
    assert_eq!(Document::parse(text.as_bytes(), OCI_MANIFEST), Err(DocumentError::Urls));
    let text = text.replace("urls", "URLs");
    assert!(matches!(
        Document::parse(text.as_bytes(), OCI_MANIFEST),
        Err(DocumentError::Malformed(_))
    ));
}

#[test]
fn content_that_stands_beside_its_digest_is_refused() {
    // Scanners read it in the place of the layer, and look at its digest when they have seen enough.
    for data in [r#""YQ==""#, r#""""#] {
        let text = image("", LAYERS[1]).replace(r#","size":3"#, &format!(r#","size":3,"data":{data}"#));
        for parse in [Document::parse, Document::parse_in_place] {
            assert_eq!(parse(text.as_bytes(), OCI_MANIFEST), Err(DocumentError::Data), "{data}");
        }
    }
    let entry = format!(
        r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":9,"data":"e30="}}"#,
        digest("m")
    );
    assert_eq!(
        Document::parse(index(&entry).as_bytes(), OCI_INDEX),
        Err(DocumentError::Data)
    );
}

#[test]
fn an_index_in_an_index_is_refused() {
    let entry = format!(r#"{{"mediaType":"{OCI_INDEX}","digest":"{}","size":9}}"#, digest("m"));
    assert_eq!(
        Document::parse(index(&entry).as_bytes(), OCI_INDEX),
        Err(DocumentError::Depth)
    );
}

#[test]
fn a_layout_names_exactly_one_image() {
    let entry = |kind: &str| format!(r#"{{"mediaType":"{kind}","digest":"{}","size":9}}"#, digest("m"));
    for kind in [OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_INDEX] {
        assert_eq!(
            Document::parse_layout_index(index(&entry(kind)).as_bytes())
                .unwrap()
                .media_type,
            kind
        );
    }
    assert_eq!(
        Document::parse_layout_index(index("").as_bytes()),
        Err(DocumentError::NotOne(0))
    );
    let two = format!("{0},{0}", entry(OCI_MANIFEST));
    assert_eq!(
        Document::parse_layout_index(index(&two).as_bytes()),
        Err(DocumentError::NotOne(2))
    );
    assert_eq!(
        Document::parse(index("").as_bytes(), OCI_INDEX),
        Err(DocumentError::NotOne(0))
    );
}

#[test]
fn entries_are_bounded() {
    let entry = format!(
        r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":9}}"#,
        digest("m")
    );
    let many = vec![entry; 10_000].join(",");
    assert_eq!(
        Document::parse(index(&many).as_bytes(), OCI_INDEX),
        Err(DocumentError::TooMany(MAX_MANIFESTS))
    );
}

#[test]
fn digests_and_sizes_must_be_well_formed() {
    let text = image("", LAYERS[0]);
    for (from, to) in [
        (digest("layer"), "sha256:../../etc/passwd".to_owned()),
        (digest("layer"), digest("layer").to_uppercase()),
        (r#""size":3"#.to_owned(), r#""size":-3"#.to_owned()),
        (r#""size":3"#.to_owned(), r#""size":1e30"#.to_owned()),
        (r#""schemaVersion":2"#.to_owned(), r#""schemaVersion":1"#.to_owned()),
    ] {
        assert!(
            Document::parse(text.replace(&from, &to).as_bytes(), OCI_MANIFEST).is_err(),
            "{to}"
        );
    }
}

#[test]
fn an_artifact_refers_to_its_subject_and_to_nothing_else() {
    let subject = Digest::of(b"image");
    let named = |digest: &str| format!(r#","subject":{{"mediaType":"{OCI_MANIFEST}","digest":"{digest}","size":5}}"#);
    let right = image(&named(subject.as_str()), "application/vnd.cyclonedx+json");
    assert!(Document::parse_artifact(right.as_bytes(), OCI_MANIFEST, &subject).is_ok());
    let wrong = image(&named(&digest("other")), "application/vnd.cyclonedx+json");
    assert!(Document::parse_artifact(wrong.as_bytes(), OCI_MANIFEST, &subject).is_err());
    let none = image("", "application/vnd.cyclonedx+json");
    assert!(Document::parse_artifact(none.as_bytes(), OCI_MANIFEST, &subject).is_err());
}

#[test]
fn an_image_that_is_moved_speaks_of_no_other_and_one_that_is_only_looked_at_may() {
    let subject = format!(
        r#","subject":{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":5}}"#,
        digest("other")
    );
    let kind = r#","artifactType":"application/vnd.imagefactory.report""#;
    let entry = |extra: &str| {
        format!(
            r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":9{extra}}}"#,
            digest("m")
        )
    };
    let index_with =
        |extra: &str| index(&entry("")).replace(r#""schemaVersion":2"#, &format!(r#""schemaVersion":2{extra}"#));
    for (text, media_type, field) in [
        (image(&subject, LAYERS[0]), OCI_MANIFEST, "subject"),
        (image(kind, LAYERS[0]), OCI_MANIFEST, "artifactType"),
        (image(r#","artifactType":"""#, LAYERS[0]), OCI_MANIFEST, "artifactType"),
        (image(r#","artifactType":7"#, LAYERS[0]), OCI_MANIFEST, "artifactType"),
        (image(&subject, LAYERS[0]), DOCKER_MANIFEST, "subject"),
        (index_with(&subject), OCI_INDEX, "subject"),
        (index_with(kind), OCI_INDEX, "artifactType"),
        (index(&entry(kind)), OCI_INDEX, "artifactType"),
        (index(&[entry(""), entry(kind)].join(",")), DOCKER_INDEX, "artifactType"),
    ] {
        let moved = Document::parse(text.as_bytes(), media_type);
        assert_eq!(moved, Err(DocumentError::Evidence(field)), "{text}");
        assert!(Document::parse_in_place(text.as_bytes(), media_type).is_ok(), "{text}");
    }
    // Null is what is not there, and another letter case is no way around.
    let null = image(r#","subject":null,"artifactType":null"#, LAYERS[0]);
    assert!(Document::parse(null.as_bytes(), OCI_MANIFEST).is_ok());
    for spelt in [
        subject.replace("subject", "Subject"),
        kind.replace("artifactType", "ArtifactType"),
    ] {
        assert!(
            Document::parse(image(&spelt, LAYERS[0]).as_bytes(), OCI_MANIFEST).is_err(),
            "{spelt}"
        );
        assert!(Document::parse_in_place(image(&spelt, LAYERS[0]).as_bytes(), OCI_MANIFEST).is_err());
    }
}

proptest::proptest! {
    #[test]
    fn no_document_makes_the_reader_panic(text in ".{0,400}", media_type in "(application/vnd.oci.image.(index|manifest).v1\\+json|.{0,20})") {
        let _ = Document::parse(text.as_bytes(), &media_type);
    }

    #[test]
    fn what_is_taken_names_only_well_formed_blobs(size in proptest::num::u64::ANY, hex in "[0-9a-fA-F]{60,66}", media in proptest::sample::select(vec![LAYERS[0], CONFIGS[0], OCI_INDEX])) {
        let text = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{}","digest":"{}","size":2}},"layers":[{{"mediaType":"{media}","digest":"sha256:{hex}","size":{size}}}]}}"#,
            CONFIGS[0], digest("config"),
        );
        if let Ok(document) = Document::parse(text.as_bytes(), OCI_MANIFEST) {
            for blob in document.blobs() {
                proptest::prop_assert_eq!(blob.digest.hex().len(), 64);
                proptest::prop_assert!(LAYERS.contains(&blob.media_type.as_str()) || CONFIGS.contains(&blob.media_type.as_str()));
            }
        }
    }
}
