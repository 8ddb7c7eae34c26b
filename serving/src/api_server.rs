//! How the API server is asked, so that nothing waits for ever on a connection that died in silence: its node is gone, or a
//! firewall forgot it, and nobody says so. By default kube waits five minutes for a watch, and without end for any other
//! answer.

use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use kube::Config;
use kube::config::InferConfigError;

/// Longest that opening a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest silence of a connection that an answer is awaited on: a watch that kube still waits for is not cut short.
const SILENCE: Duration = Duration::from_secs(300);

/// Where the API server is and who we are, as the kubelet or a kubeconfig says it.
///
/// # Errors
/// When neither does.
pub async fn config(agent: &'static str) -> Result<Config, InferConfigError> {
    let mut config = Config::infer().await?;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    // Counted from a request on, and not from when its connection fell idle.
    config.reset_reader_on_write = true;
    config.headers.push((USER_AGENT, HeaderValue::from_static(agent)));
    Ok(config)
}
