//! A real PostgreSQL server on a directory of its own, reached by its socket alone.

use std::ffi::OsStr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Directory with `initdb` and `postgres`.
pub const BINARIES: &str = "IMAGEFACTORY_POSTGRES";
/// `nobody`: the server refuses root.
const NOBODY: u32 = 65534;

pub struct Server {
    folder: tempfile::TempDir,
    process: Child,
}

impl Server {
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("if-pg-").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        if is_root() {
            chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let made = run(binaries().join("initdb"))
            .args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
            ])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let process = serve(folder.path());
        Self { folder, process }
    }

    pub fn url(&self, database: &str) -> String {
        let socket = self.folder.path().display();
        format!("postgres://postgres@localhost/{database}?host={socket}")
    }

    /// An empty database.
    pub async fn database(&self, name: &str) -> String {
        let pool = sqlx::PgPool::connect(&self.url("postgres")).await.unwrap();
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(create).execute(&pool).await.unwrap();
        pool.close().await;
        self.url(name)
    }

    pub fn stop(&mut self) {
        std::fs::write(self.folder.path().join("keep"), "").unwrap();
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }

    pub fn start_again(&mut self) {
        self.process = serve(self.folder.path());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One for all tests of this process. It ends when the process does.
pub fn shared() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

/// Ends the server when our end of its input is closed, by us or by the kernel, and tidies up.
const KEEPER: &str = r#"
folder=$1 && shift
"$@" & server=$!
read -r _ || true
kill -INT $server && wait $server
[ -e "$folder/keep" ] || rm -rf "$folder"
"#;

fn serve(folder: &Path) -> Child {
    let _ = std::fs::remove_file(folder.join("keep"));
    let mut process = run("sh")
        .args(["-c", KEEPER, "keeper"])
        .arg(folder)
        .arg(binaries().join("postgres"))
        .args([
            "-c",
            "listen_addresses=",
            "-c",
            "max_connections=200",
            "-c",
            "fsync=off",
            "-k",
        ])
        .arg(folder)
        .arg("-D")
        .arg(folder.join("data"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(folder.join("log")).unwrap())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !answers(folder) {
        let ended = process.try_wait().unwrap();
        let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(ended.is_none() && Instant::now() < deadline, "no PostgreSQL: {log}");
        std::thread::sleep(Duration::from_millis(50));
    }
    process
}

fn answers(folder: &Path) -> bool {
    let mut ask = Command::new(binaries().join("pg_isready"));
    ask.arg("-h")
        .arg(folder)
        .stdout(Stdio::null())
        .status()
        .unwrap()
        .success()
}

/// As another user where we are root.
fn run(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    command.arg("--").arg(program).current_dir("/");
    command
}

fn binaries() -> PathBuf {
    PathBuf::from(std::env::var_os(BINARIES).unwrap_or_else(|| panic!("{BINARIES} is not set")))
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}
