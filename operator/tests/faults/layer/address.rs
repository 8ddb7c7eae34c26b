//! What a request is called in a schedule: the same in every run of a scenario.

use http::{Method, Uri};

/// Verb and path without API group, namespaces, and what differs between runs: `POST pods`, `PATCH builds/b/status`,
/// `LIST builds`, `WATCH builds`.
pub fn address(method: &Method, uri: &Uri, tenant: &str) -> String {
    let query = uri.query().unwrap_or_default();
    let segments: Vec<&str> = uri.path().split('/').filter(|segment| !segment.is_empty()).collect();
    let rest = match segments.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        all => all,
    };
    let rest = match rest {
        ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
        rest => rest,
    };
    let verb = match *method {
        Method::GET if query.contains("watch=true") => "WATCH",
        Method::GET if query.contains("phase") => "LIST live",
        Method::GET if rest.len() == 1 => "LIST",
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        _ => "DELETE",
    };
    format!("{verb} {}", steady(&rest.join("/"), tenant))
}

/// The text with uids and the tenant's name replaced.
pub fn steady(text: &str, tenant: &str) -> String {
    const LENGTH: usize = 36;
    let text = text.replace(tenant, "TENANT");
    let mut steady = String::new();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        match rest.get(..LENGTH).filter(|word| is_uid(word)) {
            Some(_) => {
                steady.push_str("UID");
                rest = rest.get(LENGTH..).unwrap_or_default();
            }
            None => {
                steady.push(first);
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
    }
    steady
}

fn is_uid(word: &str) -> bool {
    word.bytes().enumerate().all(|(index, byte)| match index {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &Method, uri: &str) -> String {
        address(method, &uri.parse().unwrap(), "t1x")
    }

    #[test]
    fn an_address_is_the_same_in_every_run() {
        let base = "/apis/imagefactory.dev/v1alpha1";
        assert_eq!(of(&Method::GET, &format!("{base}/builds?limit=500")), "LIST builds");
        assert_eq!(of(&Method::GET, &format!("{base}/builds?watch=true")), "WATCH builds");
        let status = format!("{base}/namespaces/tenant-t1x/builds/b/status");
        assert_eq!(of(&Method::PATCH, &status), "PATCH builds/b/status");
        let job = "/apis/batch/v1/namespaces/w/jobs/scan-5bd7f1f0-5a9a-4f4b-a7de-0f9ac6f1f2c1-1";
        assert_eq!(of(&Method::DELETE, job), "DELETE jobs/scan-UID-1");
        assert_eq!(
            of(&Method::GET, "/api/v1/namespaces/tenant-t1x"),
            "GET namespaces/tenant-TENANT"
        );
        let live = "/api/v1/pods?fieldSelector=status.phase%21%3DFailed";
        assert_eq!(of(&Method::GET, live), "LIST live pods");
    }
}
