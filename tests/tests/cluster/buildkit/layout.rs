//! Reads what `look.sh` found in a layout.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

/// A layout.
pub struct Layout {
    json: BTreeMap<String, Value>,
    layers: BTreeMap<String, Vec<String>>,
}

impl Layout {
    /// Every blob is there under its own digest, or the test ends.
    pub fn read(found: &str) -> Self {
        assert!(found.ends_with("END\n"), "the layout could not be read: {found}");
        assert!(!found.contains("WRONG "), "{found}");
        let (mut json, mut layers) = (BTreeMap::new(), BTreeMap::<_, Vec<_>>::new());
        for line in found.lines() {
            let mut words = line.splitn(3, ' ');
            let (kind, name, rest) = (words.next(), words.next().unwrap_or(""), words.next().unwrap_or(""));
            match kind {
                Some("JSON") => {
                    let bytes = BASE64_STANDARD.decode(rest).unwrap();
                    json.insert(name.to_owned(), serde_json::from_slice(&bytes).unwrap());
                }
                Some("LAYER") => layers.entry(name.to_owned()).or_default().push(rest.to_owned()),
                _ => {}
            }
        }
        Self { json, layers }
    }

    /// The images of the index, by platform. A second index below the first is followed; whatever is neither image nor
    /// index, as an attestation, ends the test.
    pub fn images(&self) -> BTreeMap<String, Image<'_>> {
        let mut descriptors = self.manifests(&self.json["index.json"]);
        if let [one] = descriptors[..]
            && one["mediaType"] == "application/vnd.oci.image.index.v1+json"
        {
            descriptors = self.manifests(self.blob(one));
        }
        descriptors
            .into_iter()
            .map(|descriptor| {
                assert_eq!(descriptor["mediaType"], "application/vnd.oci.image.manifest.v1+json");
                assert!(
                    descriptor["annotations"].get("vnd.docker.reference.type").is_none(),
                    "{descriptor}"
                );
                let platform = &descriptor["platform"];
                let name = format!(
                    "{}/{}",
                    platform["os"].as_str().unwrap(),
                    platform["architecture"].as_str().unwrap()
                );
                (name, self.image(self.blob(descriptor)))
            })
            .collect()
    }

    fn manifests<'a>(&self, index: &'a Value) -> Vec<&'a Value> {
        index["manifests"].as_array().unwrap().iter().collect()
    }

    fn image<'a>(&'a self, manifest: &'a Value) -> Image<'a> {
        let layers = manifest["layers"].as_array().unwrap().iter();
        Image {
            config: self.blob(&manifest["config"]),
            files: layers
                .flat_map(|layer| {
                    self.layers
                        .get(hex(layer))
                        .unwrap_or_else(|| panic!("{layer} is not there"))
                })
                .map(String::as_str)
                .collect(),
        }
    }

    fn blob(&self, descriptor: &Value) -> &Value {
        self.json
            .get(hex(descriptor))
            .unwrap_or_else(|| panic!("{descriptor} is not there"))
    }
}

fn hex(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap()
}

/// An image of one platform.
pub struct Image<'a> {
    /// Its configuration.
    pub config: &'a Value,
    /// Its files, as tar lists them.
    pub files: Vec<&'a str>,
}

impl Image<'_> {
    /// Mode, owner and target of a file: `-rw-r----- 1000/1000` or `lrwxrwxrwx 0/0 -> hello`.
    pub fn file(&self, path: &str) -> Option<String> {
        self.files.iter().find_map(|line| {
            let mut words = line.split_whitespace();
            let (mode, owner) = (words.next()?, words.next()?);
            let (name, target) = line.rsplit_once(" -> ").unwrap_or((line, ""));
            let name = name.rsplit(' ').next()?;
            let target = if target.is_empty() {
                String::new()
            } else {
                format!(" -> {target}")
            };
            (name == path).then(|| format!("{mode} {owner}{target}"))
        })
    }
}
