//! The scanner's token: made if it is absent, never read, never changed.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use imagefactory_crds::names::{FIELD_MANAGER_CREDENTIALS, LABEL_MANAGED_BY, MANAGED_BY};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use rand::TryRngCore;
use rand::rngs::OsRng;
use tracing::info;

/// Key in the Secret.
const KEY: &str = "token";

/// The token could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    /// The system has no random numbers.
    #[error("could not get random bits")]
    Random(#[source] rand::rand_core::OsError),
    /// The API server refuses it.
    #[error("could not create the Secret {name}")]
    Create {
        /// Name of the Secret.
        name: String,
        /// What the client said.
        source: kube::Error,
    },
}

/// Makes the Secret with a new token, unless one is there.
pub(super) async fn make(client: &Client, namespace: &str, name: &str) -> Result<(), TokenError> {
    let mut bits = [0_u8; 32];
    OsRng.try_fill_bytes(&mut bits).map_err(TokenError::Random)?;
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(BTreeMap::from([(LABEL_MANAGED_BY.to_owned(), MANAGED_BY.to_owned())])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(
            KEY.to_owned(),
            ByteString(URL_SAFE_NO_PAD.encode(bits).into_bytes()),
        )])),
        ..Secret::default()
    };
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER_CREDENTIALS.to_owned()),
        ..PostParams::default()
    };
    match Api::<Secret>::namespaced(client.clone(), namespace)
        .create(&params, &secret)
        .await
    {
        Ok(_) => {
            info!(namespace, secret = name, "scanner's token made");
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(source) => Err(TokenError::Create {
            name: name.to_owned(),
            source,
        }),
    }
}
