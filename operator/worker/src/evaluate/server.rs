//! Asks the scanner's server which vulnerability database it has. No credential goes there.

use std::time::Duration;

use imagefactory_core::scan::{ServerVersion, server};

use crate::ca::Roots;
use crate::registry::chain;

const TRIES: u32 = 4;
const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ANSWER: usize = 64 << 10;

/// Version of the server and of its database. The error is a sentence for the verdict.
pub(super) async fn version(url: &str, roots: &Roots) -> Result<ServerVersion, String> {
    let told = |why: String| format!("the scanner's server did not say which database it has: {why}");
    let client = roots
        .client()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build();
    let client = client.map_err(|error| told(chain(&error)))?;
    let url = format!("{}/version", url.trim_end_matches('/'));
    let mut tried = 0;
    loop {
        tried += 1;
        match ask(&client, &url).await {
            Ok(body) => {
                return server::parse(body.as_slice()).map_err(|error| told(chain(&error)));
            }
            Err(why) if tried == TRIES => return Err(told(why)),
            Err(why) => {
                tracing::warn!(why, "scanner's server is asked again");
                tokio::time::sleep(Duration::from_millis(250 << tried)).await;
            }
        }
    }
}

async fn ask(client: &reqwest::Client, url: &str) -> Result<Vec<u8>, String> {
    let error = |error: reqwest::Error| chain(&error.without_url());
    let mut response = client.get(url).send().await.map_err(error)?;
    if !response.status().is_success() {
        return Err(format!("it answered {}", response.status()));
    }
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(error)? {
        body.extend_from_slice(&piece);
        if body.len() > MAX_ANSWER {
            return Err("its answer is too long".to_owned());
        }
    }
    Ok(body)
}
