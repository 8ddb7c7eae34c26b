//! Who may do what: asked of the API server's authorizer, and tried for real without effect.

use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::{DynamicObject, GroupVersionKind, ObjectMeta, PostParams};
use kube::{Api, Client, discovery};
use serde_json::Value;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    /// Name, as the API server's authentication gives it.
    pub user: &'a str,
    /// Groups.
    pub groups: &'a [&'a str],
}

impl<'a> Person<'a> {
    /// Somebody of no group but the one that everybody is of.
    #[must_use]
    pub fn named(user: &'a str) -> Self {
        Self {
            user,
            groups: &["system:authenticated"],
        }
    }

    /// A service account, by its whole user name.
    #[must_use]
    pub fn service_account(user: &'a str) -> Self {
        Self {
            user,
            groups: &["system:authenticated", "system:serviceaccounts"],
        }
    }
}

/// Whether RBAC lets somebody do that. `resource` is as in `pods/log` or `builds.imagefactory.dev`; an empty
/// `namespace` means all of them.
///
/// # Panics
/// Where the API server does not answer.
pub async fn may(client: &Client, who: Person<'_>, verb: &str, resource: &str, namespace: &str) -> bool {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let attributes = ResourceAttributes {
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: Some(subresource.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..ResourceAttributes::default()
    };
    ask(
        client,
        who,
        SubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        },
    )
    .await
}

/// Whether RBAC lets somebody do that with a path that is no resource.
///
/// # Panics
/// Where the API server does not answer.
pub async fn may_path(client: &Client, who: Person<'_>, verb: &str, path: &str) -> bool {
    let attributes = NonResourceAttributes {
        verb: Some(verb.to_owned()),
        path: Some(path.to_owned()),
    };
    let spec = SubjectAccessReviewSpec {
        non_resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    };
    ask(client, who, spec).await
}

async fn ask(client: &Client, who: Person<'_>, spec: SubjectAccessReviewSpec) -> bool {
    let spec = SubjectAccessReviewSpec {
        user: Some(who.user.to_owned()),
        groups: Some(who.groups.iter().map(|group| (*group).to_owned()).collect()),
        ..spec
    };
    let review = SubjectAccessReview {
        metadata: ObjectMeta::default(),
        spec,
        status: None,
    };
    let answer = Api::<SubjectAccessReview>::all(client.clone())
        .create(&PostParams::default(), &review)
        .await;
    answer
        .expect("the API server answers")
        .status
        .is_some_and(|status| status.allowed)
}

/// Tries to create an object, whatever it holds, as far as storing it: admission is asked, nothing stays.
///
/// # Errors
/// The API server's refusal, in its own words.
///
/// # Panics
/// Where the API server does not know the kind.
pub async fn try_create(client: &Client, namespace: Option<&str>, object: &Value) -> Result<(), String> {
    let post = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    create_with(client, namespace, object, &post).await.map(|_| ())
}

/// Creates an object, whatever it holds.
///
/// # Errors
/// The API server's refusal, in its own words.
///
/// # Panics
/// Where the API server does not know the kind.
pub async fn create(client: &Client, namespace: Option<&str>, object: &Value) -> Result<DynamicObject, String> {
    create_with(client, namespace, object, &PostParams::default()).await
}

async fn create_with(
    client: &Client,
    namespace: Option<&str>,
    object: &Value,
    post: &PostParams,
) -> Result<DynamicObject, String> {
    let api = dynamic(client, namespace, object).await;
    let object = serde_json::from_value(object.clone()).expect("the object has apiVersion, kind and metadata");
    api.create(post, &object).await.map_err(|error| refusal(&error))
}

/// The API of an object's kind.
async fn dynamic(client: &Client, namespace: Option<&str>, object: &Value) -> Api<DynamicObject> {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
    let kind = GroupVersionKind::gvk(group, version, text("kind"));
    let (resource, _) = discovery::pinned_kind(client, &kind)
        .await
        .expect("the API server knows the kind");
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// What the API server says against something.
#[must_use]
pub fn refusal(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} {}: {}", status.code, status.reason, status.message),
        other => format!("no answer: {other}"),
    }
}
