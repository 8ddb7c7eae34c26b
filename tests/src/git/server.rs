//! A Git server of a test's own, with a certificate authority that nobody knows yet.

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::GitRepository;
use crate::environment::Environment;

/// The cluster's Git server program once more, over TLS alone, for one repository.
pub struct OwnGitServer {
    process: Child,
    folder: TempDir,
    address: String,
}

impl OwnGitServer {
    /// Serves the repository, on the address of this machine that the cluster's own servers are near to.
    ///
    /// # Panics
    /// Where openssl, git or the server's program is missing.
    #[must_use]
    pub fn serve(environment: &Environment, repository: &GitRepository) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("root");
        std::fs::create_dir_all(&root).expect("making a folder");
        repository.clone_bare(&root.join("repository.git"));
        let host = near(environment.host_of("GIT_URL"));
        make_certificates(folder.path(), &host);
        let port = free_port(&host);
        let address = format!("{host}:{port}");
        let process = Command::new(environment.tool("gitserver"))
            .arg("-root")
            .arg(&root)
            .args(["-listen", "127.0.0.1:0", "-listen-tls", &address])
            .arg("-cert")
            .arg(folder.path().join("server.crt"))
            .arg("-key")
            .arg(folder.path().join("server.key"))
            .env("GIT_PUSH_ACCOUNT", "nobody:knows")
            .env("GIT_READ_ACCOUNT", "nobody:knows")
            .stderr(Stdio::null())
            .spawn()
            .expect("running the Git server");
        Self {
            process,
            folder,
            address,
        }
    }

    /// URL of the repository.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}/repository", self.address)
    }

    /// The authority's certificate, as PEM.
    ///
    /// # Panics
    /// Where it can't be read.
    #[must_use]
    pub fn authority(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("ca.crt")).expect("reading the authority")
    }
}

impl Drop for OwnGitServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The address of this machine from which it would speak to `peer`.
pub(crate) fn near(peer: &str) -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket.connect(peer).expect("an address to speak to");
    socket
        .local_addr()
        .expect("an address of this machine")
        .ip()
        .to_string()
}

fn free_port(host: &str) -> u16 {
    let listener = std::net::TcpListener::bind((host, 0)).expect("a free port");
    listener.local_addr().expect("a port").port()
}

fn make_certificates(folder: &Path, host: &str) {
    let extension = format!("subjectAltName=IP:{host}\nbasicConstraints=critical,CA:FALSE\n");
    std::fs::write(folder.join("extensions"), extension).expect("writing a file");
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let authority = [
        "req",
        "-x509",
        "-days",
        "2",
        "-subj",
        "/CN=a-test",
        "-keyout",
        "ca.key",
        "-out",
        "ca.crt",
    ];
    let request = [
        "req",
        "-subj",
        "/CN=server",
        "-keyout",
        "server.key",
        "-out",
        "server.csr",
    ];
    let sign = [
        "x509",
        "-req",
        "-days",
        "2",
        "-in",
        "server.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-extfile",
        "extensions",
        "-out",
        "server.crt",
    ];
    for arguments in [
        [&authority[..], &key].concat(),
        [&request[..], &key].concat(),
        sign.to_vec(),
    ] {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(folder)
            .output()
            .expect("running openssl");
        assert!(
            output.status.success(),
            "openssl: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
