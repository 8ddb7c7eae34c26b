//! A forward proxy as companies have them, on this machine's own address: it tells what it was asked, and all that it could
//! read of it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::environment::Environment;
use crate::git::server::near;

/// A host that no name server knows: who has an answer of it asked the proxy.
pub const KNOWN_TO_THE_PROXY: &str = "told.example.test";
/// What it answers in that host's name.
pub const ANSWER: &str = "said by the proxy";
/// Longest that a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest head of a request.
const MAX_HEAD: usize = 16 << 10;
/// What TLS begins with; after it nobody reads along.
const HANDSHAKE: u8 = 0x16;

/// The proxy. It answers until the test's process ends.
pub struct ForwardProxy {
    /// Where it is, as Builds name it.
    pub url: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl ForwardProxy {
    /// Begins, at a port of the address that pods reach this machine at.
    ///
    /// # Panics
    /// Where there is no such address here.
    #[must_use]
    pub fn start(environment: &Environment) -> Self {
        let host = near(environment.host_of("GIT_URL"));
        let listener = TcpListener::bind((host, 0)).expect("listening at this machine's address");
        let address = listener.local_addr().expect("it has an address");
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let served = heard.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let heard = served.clone();
                std::thread::spawn(move || serve(stream, &heard));
            }
        });
        Self {
            url: format!("http://{address}"),
            heard,
        }
    }

    /// Everything that it was told and could read: heads of requests, and what came through a tunnel without TLS.
    #[must_use]
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it was asked for with that method, each once, sorted: hosts and ports for `CONNECT`, else URLs.
    #[must_use]
    pub fn asked(&self, method: &str) -> Vec<String> {
        let heard = self.heard();
        let wanted = heard.iter().filter_map(|head| head.strip_prefix(method));
        let mut targets: Vec<String> = wanted
            .filter_map(|rest| rest.split_whitespace().next().map(str::to_owned))
            .collect();
        targets.sort_unstable();
        targets.dedup();
        targets
    }
}

fn keep(heard: &Mutex<Vec<String>>, said: &[u8]) {
    let said = String::from_utf8_lossy(said).into_owned();
    heard.lock().unwrap_or_else(PoisonError::into_inner).push(said);
}

/// One request, or one tunnel. What can't be served is closed: the build says what it misses.
fn serve(mut client: TcpStream, heard: &Mutex<Vec<String>>) {
    let _ = client.set_read_timeout(Some(PATIENCE));
    let Some(head) = head(&mut client) else { return };
    keep(heard, &head);
    let head = String::from_utf8_lossy(&head);
    let mut words = head.split_whitespace();
    match (words.next(), words.next()) {
        (Some("CONNECT"), Some(target)) => tunnel(client, target, heard),
        (_, Some(url)) if url.starts_with(&format!("http://{KNOWN_TO_THE_PROXY}/")) => answer(client, "200 OK", ANSWER),
        _ => answer(client, "502 Bad Gateway", "nobody but one is reached in the clear"),
    }
}

/// Bytes up to the blank line.
fn head(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.extend(byte);
        if head.len() > MAX_HEAD {
            return None;
        }
    }
    Some(head)
}

fn answer(mut client: TcpStream, status: &str, body: &str) {
    let length = body.len();
    let fields = format!("Content-Length: {length}\r\nContent-Type: text/plain\r\nConnection: close");
    let _ = client.write_all(format!("HTTP/1.1 {status}\r\n{fields}\r\n\r\n{body}").as_bytes());
}

fn tunnel(mut client: TcpStream, target: &str, heard: &Mutex<Vec<String>>) {
    let Ok(mut server) = TcpStream::connect(target) else {
        return answer(client, "502 Bad Gateway", "not reached");
    };
    let first = client
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .and_then(|()| {
            let mut first = vec![0; MAX_HEAD];
            let length = client.read(&mut first)?;
            first.truncate(length);
            server.write_all(&first).map(|()| first)
        });
    let Ok(first) = first else { return };
    if first.first().is_some_and(|byte| *byte != HANDSHAKE) {
        keep(heard, &first);
    }
    let _ = client.set_read_timeout(None);
    let (Ok(mut from_server), Ok(mut to_client)) = (server.try_clone(), client.try_clone()) else {
        return;
    };
    let back = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Write);
    let _ = back.join();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(proxy: &str, words: &str) -> String {
        let mut stream = TcpStream::connect(proxy).unwrap();
        stream.write_all(words.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn it_answers_for_one_host_tunnels_to_others_and_keeps_what_it_could_read() {
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let served = heard.clone();
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| serve(stream, &served)));
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = elsewhere.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = elsewhere.accept().unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).unwrap();
            stream.write_all(format!("heard {said}").as_bytes()).unwrap();
        });

        let url = format!("http://{KNOWN_TO_THE_PROXY}/a");
        assert!(said(&address, &format!("GET {url} HTTP/1.1\r\n\r\n")).ends_with(ANSWER));
        assert!(said(&address, "GET http://127.0.0.1/ HTTP/1.1\r\n\r\n").contains(" 502 "));
        assert!(said(&address, &format!("CONNECT {other} HTTP/1.1\r\n\r\nclear")).ends_with("heard clear"));
        let proxy = ForwardProxy {
            url: String::new(),
            heard,
        };
        assert_eq!(proxy.asked("GET "), ["http://127.0.0.1/", url.as_str()]);
        assert_eq!(proxy.asked("CONNECT "), [other]);
        assert!(proxy.heard().contains(&"clear".to_owned()));
    }
}
