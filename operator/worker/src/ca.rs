//! Certificate authorities: the public ones, the platform's and the build's own become one list for our clients,
//! and one file for what reads `SSL_CERT_FILE` (Git's transport here, the builder and the scanner elsewhere).

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use imagefactory_core::step::paths;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::places::Places;
use crate::proxy::Route;

/// Variable that names the file to write.
pub const CERT_FILE_VARIABLE: &str = "SSL_CERT_FILE";

const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";
const CA_KEY: &str = "ca.crt";
const MAX_FILE: u64 = 4 << 20;

/// Why certificate authorities can't be had.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file can't be read.
    #[error("certificate authorities can't be read from {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is larger than any bundle.
    #[error("{path} is larger than {MAX_FILE} bytes")]
    TooLarge {
        /// The file.
        path: String,
    },
    /// The platform's bundle has something in it that is no certificate, or nothing at all.
    #[error("the platform's CA bundle holds no certificate, or one that can't be read")]
    Platform,
    /// The same of the bundle that the build names.
    #[error("the build's CA bundle holds no certificate, or one that can't be read")]
    Build,
    /// The file for other programs can't be written.
    #[error("certificate authorities can't be written to {path}")]
    Write {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

type Certificates = Vec<CertificateDer<'static>>;

/// Certificate authorities that our clients trust, and the way that they go.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    certificates: Certificates,
    route: Route,
}

impl Roots {
    /// Public and platform authorities, and with `build` the build's own; each where it is mounted. A public
    /// one that can't be read is left out, as every system does; a given one that can't is an error.
    ///
    /// # Errors
    /// A file can't be read, or holds something else than certificates.
    pub fn collect(places: &Places, build: bool) -> Result<Self, CaError> {
        let mut found = certificates(&places.path(SYSTEM))?.flatten().unwrap_or_default();
        found.retain(is_usable);
        let platform = (paths::PLATFORM_CA, CaError::Platform);
        let own = (paths::BUILD_CA, CaError::Build);
        for (folder, malformed) in std::iter::once(platform).chain(build.then_some(own)) {
            match certificates(&places.path(folder).join(CA_KEY))? {
                None => {}
                Some(Some(given)) if !given.is_empty() && given.iter().all(is_usable) => found.extend(given),
                Some(_) => return Err(malformed),
            }
        }
        Ok(Self {
            certificates: found,
            route: Route::default(),
        })
    }

    /// A client's builder that trusts these authorities and no others; those of the system where there are none.
    pub fn client(&self) -> reqwest::ClientBuilder {
        let builder = self.route.client(reqwest::Client::builder());
        if self.certificates.is_empty() {
            return builder;
        }
        builder.tls_certs_only(
            self.certificates
                .iter()
                .filter_map(|der| reqwest::Certificate::from_der(der).ok()),
        )
    }

    /// The same authorities for clients that go another way.
    #[must_use]
    pub fn by(self, route: Route) -> Self {
        Self { route, ..self }
    }

    /// The way that clients go.
    #[must_use]
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// The certificates as PEM, and nothing else that the files held.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let mut pem = String::new();
        for der in &self.certificates {
            pem.push_str("-----BEGIN CERTIFICATE-----\n");
            let text = STANDARD.encode(der);
            for line in text.as_bytes().chunks(64) {
                pem.push_str(&String::from_utf8_lossy(line));
                pem.push('\n');
            }
            pem.push_str("-----END CERTIFICATE-----\n");
        }
        pem
    }

    /// Writes them to `file`.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write(&self, file: &Path) -> Result<(), CaError> {
        let failed = |source| CaError::Write {
            path: file.display().to_string(),
            source,
        };
        fs::write(file, self.to_pem()).map_err(failed)
    }
}

/// Collects the authorities and writes them where `SSL_CERT_FILE` says, if it says so. First act of every step, before any TLS.
///
/// # Errors
/// A file can't be read or written, or holds something else than certificates.
pub fn install(places: &Places, build: bool) -> Result<Roots, CaError> {
    let roots = Roots::collect(places, build)?;
    if let Some(file) = std::env::var_os(CERT_FILE_VARIABLE).map(PathBuf::from) {
        roots.write(&file)?;
        tracing::debug!(file = %file.display(), certificates = roots.certificates.len(), "certificate authorities written");
    }
    Ok(roots)
}

/// A file's certificates; the inner none where it is not PEM, the outer where there is no file.
fn certificates(path: &Path) -> Result<Option<Option<Certificates>>, CaError> {
    let shown = || path.display().to_string();
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CaError::Read { path: shown(), source }),
    }
    if bytes.len() as u64 > MAX_FILE {
        return Err(CaError::TooLarge { path: shown() });
    }
    Ok(Some(
        CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().ok(),
    ))
}

fn is_usable(certificate: &CertificateDer<'static>) -> bool {
    RootCertStore::empty().add(certificate.clone()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(files: &[(&str, &str)]) -> (tempfile::TempDir, Places) {
        let root = tempfile::tempdir().unwrap();
        let places = Places::below(root.path());
        for (path, text) in files {
            let path = places.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        (root, places)
    }

    fn authority(name: &str) -> String {
        rcgen::generate_simple_self_signed([name.to_owned()])
            .unwrap()
            .cert
            .pem()
    }

    #[test]
    fn the_bundle_holds_each_mounted_authority_and_nothing_else() {
        let (system, platform, build) = (authority("s"), authority("p"), authority("b"));
        let noise = format!("comment\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n{build}");
        let (_root, places) = places(&[
            (SYSTEM, &system),
            ("/ca/platform/ca.crt", &platform),
            ("/ca/build/ca.crt", &noise),
        ]);
        let with_build = Roots::collect(&places, true).unwrap();
        assert_eq!(with_build.certificates.len(), 3);
        assert!(!with_build.to_pem().contains("PRIVATE KEY") && !with_build.to_pem().contains("comment"));
        let again = CertificateDer::pem_slice_iter(with_build.to_pem().as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .unwrap();
        assert_eq!(again, with_build.certificates);
        assert_eq!(Roots::collect(&places, false).unwrap().certificates.len(), 2);
    }

    #[test]
    fn nothing_mounted_is_no_authority() {
        let (_root, places) = places(&[]);
        assert!(Roots::collect(&places, true).unwrap().certificates.is_empty());
    }

    #[test]
    fn a_given_bundle_that_holds_no_certificate_is_refused() {
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in [
            "",
            "not pem",
            broken,
            "-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n",
        ] {
            let (_root, places) = places(&[("/ca/build/ca.crt", text)]);
            assert!(matches!(Roots::collect(&places, true), Err(CaError::Build)), "{text:?}");
            assert!(Roots::collect(&places, false).is_ok());
        }
    }
}
