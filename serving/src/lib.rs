//! What Image Factory's processes have alike, the webhook's and the operator's: how they begin and are asked to end, the
//! port of metrics and health, TLS with a certificate that changes, what a watch brings, and the ways to the API server and to the
//! audit's intake.
//! It decides nothing.
//!
//! | module | does |
//! |---|---|
//! | [`api_server`] | how the API server is asked |
//! | [`gates`] | named gates: whether the process is ready, and what it waits for |
//! | [`connections`] | a port's connections, plain or over TLS: how many, and for how long |
//! | [`bodies`] | bodies of requests, for so long and so many bytes together |
//! | [`exposition`] | the registry of what is counted, as text |
//! | [`guarded`] | an object of a watch, or why it does not parse |
//! | [`plain`] | the plain port: /metrics, /livez, /healthz, /readyz |
//! | [`tls`] | the certificate that a secure port serves |
//! | [`audit`] | events to the audit's intake |
//! | [`logging`], [`signals`], [`chain`](mod@chain) | the log, SIGTERM, errors as text |

pub mod api_server;
pub mod audit;
pub mod bodies;
pub mod chain;
pub mod connections;
pub mod exposition;
pub mod gates;
pub mod guarded;
pub mod logging;
pub mod plain;
pub mod signals;
pub mod tls;

pub use chain::chain;
pub use exposition::Exposition;
pub use gates::{GateState, Gates};
pub use guarded::Guarded;
