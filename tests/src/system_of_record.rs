//! A system of record as operators find them: a small HTTPS service with a token, on this machine's own address.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::cluster::{install_crypto, unique};

/// Longest that a client may take for one line.
const PATIENCE: Duration = Duration::from_secs(10);

/// How it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answers {
    /// With its records, or that nothing has changed.
    #[default]
    Well,
    /// 503, whatever is asked.
    Unavailable,
    /// 200 and half a document.
    CutOff,
    /// Elsewhere: a redirect to another path of its own.
    Elsewhere,
}

/// What it was asked, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Answers with all records.
    pub told: u32,
    /// Answers that nothing has changed.
    pub unmodified: u32,
    /// Requests without its token, or for another path.
    pub refused: u32,
    /// Requests while it answered otherwise than well.
    pub in_vain: u32,
    /// Connections that ended before there was a request: its certificate was not trusted.
    pub distrusted: u32,
}

#[derive(Default)]
struct State {
    records: Vec<Value>,
    version: u32,
    answers: Answers,
    asked: Asked,
}

/// The service. It answers until the test's process ends.
pub struct SystemOfRecord {
    /// Where its list is.
    pub url: String,
    /// PEM certificate of its authority.
    pub authority: String,
    /// What a client has to send as a bearer token.
    pub token: String,
    state: Arc<Mutex<State>>,
}

impl SystemOfRecord {
    /// Begins, at a port of that address.
    ///
    /// # Panics
    /// Where there is no such address here.
    #[must_use]
    pub fn at(host: &str) -> Self {
        install_crypto();
        let (authority, config) = certified(host);
        let listener = TcpListener::bind((host, 0)).expect("listening at this machine's address");
        let address: SocketAddr = listener.local_addr().expect("it has an address");
        let state = Arc::<Mutex<State>>::default();
        let token = unique("token");
        let (served, wanted) = (state.clone(), format!("Bearer {token}"));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, served, wanted) = (config.clone(), served.clone(), wanted.clone());
                std::thread::spawn(move || converse(stream, config, &served, &wanted));
            }
        });
        Self {
            url: format!("https://{address}/records"),
            authority,
            token,
            state,
        }
    }

    /// It has these records from now on.
    pub fn has(&self, records: Vec<Value>) {
        let mut state = held(&self.state);
        state.records = records;
        state.version += 1;
    }

    /// It answers so from now on.
    pub fn answers(&self, how: Answers) {
        held(&self.state).answers = how;
    }

    /// What it was asked so far.
    #[must_use]
    pub fn asked(&self) -> Asked {
        held(&self.state).asked
    }
}

fn held(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The authority's certificate, and what a server of that host presents.
fn certified(host: &str) -> (String, Arc<ServerConfig>) {
    let mut params = CertificateParams::new(Vec::new()).expect("an authority needs no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let key = KeyPair::generate().expect("making a key");
    let authority = params.self_signed(&key).expect("signing its own certificate");
    let issuer = Issuer::new(params, key);
    let leaf = KeyPair::generate().expect("making a key");
    let params = CertificateParams::new(vec![host.to_owned()]).expect("the host is a name or an address");
    let certificate = params.signed_by(&leaf, &issuer).expect("signing");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf.serialize_der()));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("key and certificate belong together");
    (authority.pem(), Arc::new(config))
}

/// One request, one answer.
fn converse(stream: TcpStream, config: Arc<ServerConfig>, state: &Mutex<State>, wanted: &str) {
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let Ok(connection) = ServerConnection::new(config) else {
        return;
    };
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let Some(head) = head(&mut stream) else {
        held(state).asked.distrusted += 1;
        return;
    };
    let answer = answer(&mut held(state), &head, wanted);
    let mut stream = stream.into_inner();
    let _ = stream.write_all(answer.as_bytes());
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

/// Lines of a request up to the blank one.
fn head(stream: &mut impl BufRead) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        match stream.read_line(&mut line) {
            Err(_) | Ok(0) => return None,
            Ok(_) => match line.trim_end() {
                "" => return Some(lines),
                line => lines.push(line.to_owned()),
            },
        }
    }
}

fn header<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    let mut fields = head.iter().filter_map(|line| line.split_once(':'));
    fields.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value.trim()))
}

fn answer(state: &mut State, head: &[String], wanted: &str) -> String {
    let is_asked_well = head.first().is_some_and(|line| line.starts_with("GET /records "));
    if !is_asked_well || header(head, "authorization") != Some(wanted) {
        state.asked.refused += 1;
        return said("401 Unauthorized", "", "{}");
    }
    if state.answers != Answers::Well {
        state.asked.in_vain += 1;
    }
    let tag = format!("\"v{}\"", state.version);
    match state.answers {
        Answers::Unavailable => said("503 Service Unavailable", "", "later"),
        Answers::CutOff => said("200 OK", "", "{\"records\": [{\"id\": "),
        Answers::Elsewhere => said("302 Found", "Location: /elsewhere\r\n", ""),
        Answers::Well if header(head, "if-none-match") == Some(&tag) => {
            state.asked.unmodified += 1;
            said("304 Not Modified", "", "")
        }
        Answers::Well => {
            state.asked.told += 1;
            let records = json!({"records": state.records}).to_string();
            said("200 OK", &format!("ETag: {tag}\r\n"), &records)
        }
    }
}

fn said(status: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{fields}\r\n{body}")
}
