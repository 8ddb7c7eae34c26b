//! The line between a process and its API server, which can be cut. One that is cut in silence looks like a network that
//! lost its way: connections stay open and carry nothing, and new ones are taken and not answered.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Duration, sleep};

/// How the line is. Connections that saw it change carry nothing ever again: whatever kept their state has forgotten it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It carries what is begun since.
    Carries,
    /// Nobody answers, and nobody says so.
    Silent,
    /// The port is closed, and so are all connections.
    Closed,
}

/// A line to one port of this machine, from another one.
pub struct Line {
    /// Where it begins.
    pub port: u16,
    state: watch::Sender<State>,
    carries: JoinHandle<()>,
}

impl Line {
    /// One that carries.
    pub async fn to(port: u16) -> Self {
        let state = watch::Sender::new(State::Carries);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let carries = tokio::spawn(open_and_close(listener, address, port, state.subscribe()));
        Self {
            port: address.port(),
            state,
            carries,
        }
    }

    /// Makes it so, and waits until each connection has heard of it. To set `Carries` again ends what there is in silence.
    pub async fn set(&self, state: State) {
        self.state.send_replace(state);
        sleep(Duration::from_millis(300)).await;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.carries.abort();
    }
}

async fn open_and_close(mut listener: TcpListener, address: SocketAddr, to: u16, mut state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => Some(accepted.unwrap().0),
            () = until(&mut state, |state| state == State::Closed) => None,
        };
        if let Some(connection) = accepted {
            connections.spawn(carry(connection, to, state.clone()));
            continue;
        }
        drop(listener);
        connections.shutdown().await;
        until(&mut state, |state| state != State::Closed).await;
        listener = TcpListener::bind(address).await.unwrap();
    }
}

async fn until(state: &mut watch::Receiver<State>, is_so: impl Fn(State) -> bool) {
    // The line lives as long as what watches it.
    let _ = state.wait_for(|state| is_so(*state)).await;
}

/// Carries both ways until the line changes, and then holds on to both ends for ever.
async fn carry(mut near: TcpStream, to: u16, mut state: watch::Receiver<State>) {
    let mut far = None;
    if *state.borrow_and_update() == State::Carries {
        let Ok(connected) = TcpStream::connect(("127.0.0.1", to)).await else {
            return;
        };
        let far = far.insert(connected);
        tokio::select! {
            _ = copy_bidirectional(&mut near, far) => return,
            _ = state.changed() => {}
        }
    }
    std::future::pending::<()>().await;
    drop((near, far));
}
