//! Each schedule has a tenant of its own, and its operator sees that tenant alone: what it asks of the whole cluster is
//! asked of the tenant. So many schedules run on one API server, and what one does wakes no other.

use http::Uri;
use imagefactory_crds::names::{LABEL_BUILD_UID, LABEL_TENANT, tenant_namespace};
use tower::BoxError;

/// The same request for one tenant alone; at a version, if one is given.
pub fn narrow(uri: &Uri, tenant: &str, version: Option<&str>) -> Result<Uri, BoxError> {
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    let namespace = tenant_namespace(tenant);
    let crds = "/apis/imagefactory.dev/v1alpha1";
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let mut query = query.to_owned();
    let mut add = |parameter: &str| {
        let and = if query.is_empty() { "" } else { "&" };
        query = format!("{query}{and}{parameter}");
    };
    let mut narrowed = path.to_owned();
    let is_kind = |name: &str| path == format!("{crds}/{name}");
    if is_kind("tenants") {
        add(&format!("fieldSelector=metadata.name%3D{tenant}"));
    } else if path == "/api/v1/namespaces" && !query_is_empty_post(uri) {
        add(&format!("fieldSelector=metadata.name%3D{namespace}"));
    } else if is_kind("imagepolicies") {
        add("fieldSelector=metadata.name%3Ddefault");
    } else if is_kind("sorrecords") {
        // No scenario has one.
        add("fieldSelector=metadata.name%3Dnone");
    } else if is_kind("quarantinerequests")
        || is_kind("imagescans")
        || is_kind("builds")
        || is_kind("projects")
        || is_kind("tenantsettings")
    {
        narrowed = path.replace(crds, &format!("{crds}/namespaces/{namespace}"));
    } else if path == format!("{rbac}/rolebindings") {
        narrowed = path.replace(rbac, &format!("{rbac}/namespaces/{namespace}"));
    } else if path == "/api/v1/pods" || path == "/apis/batch/v1/jobs" {
        query = query.replace(
            "labelSelector=",
            &format!("labelSelector={LABEL_TENANT}%3D{tenant}%2C").replace('/', "%2F"),
        );
    }
    // What is asked for one run alone, to settle a doubt, the API server answers from its newest state: it is the lists that
    // fill a cache which may come from an older one.
    let decoded = query.replace("%2F", "/").replace("%3D", "=");
    let is_of_one_run = decoded.contains(&format!("{LABEL_BUILD_UID}="));
    if let Some(version) = version
        && !query.contains("continue=")
        && !is_of_one_run
    {
        query = format!("{query}&resourceVersion={version}&resourceVersionMatch=Exact");
    }
    let text = if query.is_empty() {
        narrowed
    } else {
        format!("{narrowed}?{query}")
    };
    Ok(match uri.authority() {
        Some(authority) => format!("{}://{authority}{text}", uri.scheme_str().unwrap_or("https")).parse()?,
        None => text.parse()?,
    })
}

/// A namespace is created at the path that lists all; such a request has no limit and no watch.
fn query_is_empty_post(uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    !query.contains("limit=") && !query.contains("watch=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str, version: Option<&str>) -> String {
        narrow(&uri.parse().unwrap(), "t1", version).unwrap().to_string()
    }

    #[test]
    fn what_is_asked_of_the_cluster_is_asked_of_the_tenant() {
        let base = "/apis/imagefactory.dev/v1alpha1";
        assert_eq!(
            of(&format!("{base}/builds?&limit=500"), Some("7")),
            format!("{base}/namespaces/tenant-t1/builds?&limit=500&resourceVersion=7&resourceVersionMatch=Exact")
        );
        assert_eq!(
            of("/api/v1/pods?labelSelector=a%2Fb", None),
            "/api/v1/pods?labelSelector=imagefactory.dev%2Ftenant%3Dt1%2Ca%2Fb"
        );
        let of_one_run = "/api/v1/namespaces/tenant-t1/pods?&labelSelector=imagefactory.dev%2Fbuild-uid%3Du";
        assert_eq!(of(of_one_run, Some("7")), of_one_run, "is never older than it is");
        let of_all = "/apis/batch/v1/namespaces/a/jobs?&labelSelector=imagefactory.dev%2Fbuild-uid&limit=500";
        assert!(of(of_all, Some("7")).ends_with("&resourceVersion=7&resourceVersionMatch=Exact"));
        let one = format!("{base}/namespaces/tenant-t1/builds/b/status?force=true");
        assert_eq!(of(&one, None), one);
        assert_eq!(
            of("/api/v1/namespaces?fieldManager=f", None),
            "/api/v1/namespaces?fieldManager=f"
        );
    }
}
