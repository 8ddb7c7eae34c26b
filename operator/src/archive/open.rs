//! From a URL to a store. Options of the settings win over the environment; an option that is unknown is refused, a
//! variable that is unknown is somebody else's.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use imagefactory_core::keeping::ObjectStoreSettings;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Certificate, ClientOptions, ObjectStore, RetryConfig};

use super::ArchiveError;

const CONNECT: Duration = Duration::from_secs(5);
const REQUEST: Duration = Duration::from_secs(30);
/// A store that is down is found out soon; whoever writes tries again later.
const RETRIES: usize = 2;
const RETRY_FOR: Duration = Duration::from_secs(20);

pub(super) fn open(
    settings: &ObjectStoreSettings,
    ca_bundle: Option<&str>,
    environment: &[(String, String)],
) -> Result<(Arc<dyn ObjectStore>, Path), ArchiveError> {
    let url = settings.url.trim_end_matches('/');
    let invalid = || ArchiveError::Url { url: url.to_owned() };
    let (scheme, rest) = url.split_once("://").ok_or_else(invalid)?;
    if scheme == "file" {
        return directory(rest).map(|store| (store, Path::default()));
    }
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let root = Path::parse(prefix).map_err(|_| invalid())?;
    if bucket.is_empty() || bucket.contains(['?', '#', '@']) {
        return Err(invalid());
    }
    let client = client(ca_bundle)?;
    let of_cloud = |prefix: &str| {
        let ours = environment.iter().filter(|(key, _)| key.starts_with(prefix));
        ours.map(|(key, value)| (key.to_ascii_lowercase(), value.clone()))
            .collect()
    };
    let options = &settings.options;
    let store: Arc<dyn ObjectStore> = match scheme {
        "s3" => {
            let builder = AmazonS3Builder::new().with_client_options(client).with_retry(retry());
            let builder = builder.with_bucket_name(bucket);
            let configured = configure(builder, of_cloud("AWS_"), options, AmazonS3Builder::with_config)?;
            Arc::new(configured.build().map_err(ArchiveError::Open)?)
        }
        "gs" => {
            let builder = GoogleCloudStorageBuilder::new()
                .with_client_options(client)
                .with_retry(retry());
            let builder = builder.with_bucket_name(bucket);
            let configured = configure(
                builder,
                of_cloud("GOOGLE_"),
                options,
                GoogleCloudStorageBuilder::with_config,
            )?;
            Arc::new(configured.build().map_err(ArchiveError::Open)?)
        }
        "az" => {
            let builder = MicrosoftAzureBuilder::new()
                .with_client_options(client)
                .with_retry(retry());
            let builder = builder.with_container_name(bucket);
            let configured = configure(builder, of_cloud("AZURE_"), options, MicrosoftAzureBuilder::with_config)?;
            Arc::new(configured.build().map_err(ArchiveError::Open)?)
        }
        _ => return Err(invalid()),
    };
    Ok((store, root))
}

/// Applies what the environment and the settings say, the settings last.
fn configure<B, K: FromStr>(
    builder: B,
    environment: Vec<(String, String)>,
    options: &std::collections::BTreeMap<String, String>,
    set: impl Fn(B, K, String) -> B,
) -> Result<B, ArchiveError> {
    let builder = environment
        .into_iter()
        .filter_map(|(key, value)| Some((key.parse::<K>().ok()?, value)))
        .fold(builder, |builder, (key, value)| set(builder, key, value));
    options.iter().try_fold(builder, |builder, (name, value)| {
        let key = name.parse().map_err(|_| ArchiveError::Option { key: name.clone() })?;
        Ok(set(builder, key, value.clone()))
    })
}

/// Written through to the disk: what was said to be kept is not lost with the node's power.
fn directory(path: &str) -> Result<Arc<dyn ObjectStore>, ArchiveError> {
    if !path.starts_with('/') {
        return Err(ArchiveError::Url {
            url: format!("file://{path}"),
        });
    }
    std::fs::create_dir_all(path).map_err(|source| ArchiveError::Directory {
        path: path.to_owned(),
        source,
    })?;
    let store = LocalFileSystem::new_with_prefix(path).map_err(ArchiveError::Open)?;
    Ok(Arc::new(store.with_automatic_cleanup(true).with_fsync(true)))
}

fn client(ca_bundle: Option<&str>) -> Result<ClientOptions, ArchiveError> {
    let certificates = Certificate::from_pem_bundle(ca_bundle.unwrap_or_default().as_bytes());
    let options = ClientOptions::new().with_connect_timeout(CONNECT).with_timeout(REQUEST);
    Ok(certificates
        .map_err(ArchiveError::Open)?
        .into_iter()
        .fold(options, ClientOptions::with_root_certificate))
}

fn retry() -> RetryConfig {
    RetryConfig {
        max_retries: RETRIES,
        retry_timeout: RETRY_FOR,
        ..RetryConfig::default()
    }
}
