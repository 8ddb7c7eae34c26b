//! The API server's client, with every request counted.

use std::sync::Arc;
use std::time::Duration;

use imagefactory_serving::api_server;
use kube::client::ClientBuilder;
use kube::{Client, Config};

use super::StartupError;
use crate::metrics::Metrics;
use crate::metrics::requests::CountRequests;

/// Longest that opening a connection to something else may take.
const CONNECT: Duration = Duration::from_secs(10);

pub(super) async fn connect(metrics: Arc<Metrics>) -> Result<Client, StartupError> {
    let config = api_server::config(concat!("image-factory-operator/", env!("CARGO_PKG_VERSION"))).await?;
    let builder = ClientBuilder::try_from(config).map_err(StartupError::Client)?;
    Ok(builder.with_layer(&CountRequests::new(metrics)).build())
}

/// A client of something else than the API server, without any credential.
pub(super) fn to(url: &str) -> Result<Client, StartupError> {
    let mut config = Config::new(url.parse()?);
    config.connect_timeout = Some(CONNECT);
    Client::try_from(config).map_err(StartupError::Client)
}
