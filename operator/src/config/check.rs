//! What settings must be beyond their types. All problems are found at once, each with the key that it is about.

use std::fmt::{Display, Formatter};
use std::net::IpAddr;

use imagefactory_core::settings::Settings;
use imagefactory_core::sor_record::settings::SorHttpSettings;
use imagefactory_core::tenant::amount::{above, first_of, is_admitted, named};
use imagefactory_crds::common::{DurationText, ResourceList};
use jiff::SignedDuration;

/// A value that can't be, and the key that it stands under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the key, as in `builds.defaultTimeout`.
    pub key: String,
    /// What it must be.
    pub must: &'static str,
}

impl Display for Problem {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} must be {}", self.key, self.must)
    }
}

impl Problem {
    pub(super) fn list(problems: &[Self]) -> String {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }
}

/// Everything about the settings that can't be.
pub(super) fn problems(settings: &Settings) -> Vec<Problem> {
    let mut found = Checks::default();
    found.names(settings);
    found.images(settings);
    found.registries(settings);
    found.builds(settings);
    found.egress(settings);
    found.keeping(settings);
    found.retention(settings);
    found.records(settings);
    found.0
}

#[derive(Default)]
struct Checks(Vec<Problem>);

impl Checks {
    fn need(&mut self, holds: bool, key: impl Into<String>, must: &'static str) {
        if !holds {
            self.0.push(Problem { key: key.into(), must });
        }
    }

    fn names(&mut self, settings: &Settings) {
        for (key, name) in [
            ("releaseNamespace", &settings.release_namespace),
            ("workNamespace", &settings.work_namespace),
            ("clusterRolePrefix", &settings.cluster_role_prefix),
            ("operatorServiceAccount", &settings.operator_service_account),
            ("credentialsServiceAccount", &settings.credentials_service_account),
        ] {
            self.need(is_dns_label(name), key, "a DNS label of at most 63 characters");
        }
        for (key, name) in [
            ("staging.secret", &settings.staging.secret),
            ("output.secret", &settings.output.secret),
            ("scan.tokenSecret", &settings.scan.token_secret),
        ] {
            let is_name = name.len() <= 253 && name.split('.').all(is_dns_label);
            self.need(is_name, key, "the name of a Secret");
        }
        let work = &settings.work_namespace;
        self.need(
            !work.starts_with("tenant-"),
            "workNamespace",
            "no tenant's namespace: its jobs hold the platform's credentials",
        );
    }

    fn images(&mut self, settings: &Settings) {
        let images = &settings.images;
        for (key, image) in [
            ("worker", &images.worker),
            ("kaniko", &images.kaniko),
            ("buildkit", &images.buildkit),
            ("trivy", &images.trivy),
        ] {
            self.need(
                !image.is_empty() && !image.contains(char::is_whitespace),
                format!("images.{key}"),
                "the name of an image",
            );
        }
        let policies = ["IfNotPresent", "Always", "Never"];
        self.need(
            policies.contains(&images.pull_policy.as_str()),
            "images.pullPolicy",
            "IfNotPresent, Always or Never",
        );
    }

    fn registries(&mut self, settings: &Settings) {
        const PREFIX: &str = "a registry's host and a path without scheme, tag, digest or slash at the end, as in registry.example.com/images";
        for (key, prefix) in [
            ("staging.prefix", &settings.staging.prefix),
            ("output.prefix", &settings.output.prefix),
        ] {
            self.need(is_repository(prefix), key, PREFIX);
        }
        self.need(
            settings.staging.prefix != settings.output.prefix,
            "output.prefix",
            "another than staging.prefix: what waits for its verdict must not lie where images are published",
        );
    }

    fn builds(&mut self, settings: &Settings) {
        let builds = &settings.builds;
        let timeout = builds.default_timeout.parse::<SignedDuration>().ok();
        let in_bounds = |timeout| timeout >= SignedDuration::from_secs(10) && timeout <= SignedDuration::from_hours(24);
        self.need(
            timeout.is_some_and(in_bounds),
            "builds.defaultTimeout",
            "a duration between 10s and 24h, as in 30m",
        );
        self.need(
            builds.job_deadline_seconds > 0,
            "builds.jobDeadlineSeconds",
            "more than 0",
        );
        self.need(
            builds.pending_deadline_seconds > 0,
            "builds.pendingDeadlineSeconds",
            "more than 0",
        );
        self.need(builds.job_ttl_seconds >= 0, "builds.jobTtlSeconds", "0 or more");
        self.need(
            !builds.volume_size.is_empty(),
            "builds.volumeSize",
            "a quantity, as in 20Gi",
        );
        self.need(
            builds.retries.backoff_seconds > 0,
            "builds.retries.backoffSeconds",
            "more than 0",
        );
        self.need(settings.dispatch.max_builds > 0, "dispatch.maxBuilds", "more than 0");
        self.need(
            settings.dispatch.ageing_seconds > 0,
            "dispatch.ageingSeconds",
            "more than 0",
        );
        self.need(
            settings.tenants.resync_seconds > 0,
            "tenants.resyncSeconds",
            "more than 0",
        );
        self.amounts(settings);
        let server = &settings.scan.server_url;
        self.need(
            server.starts_with("http://") || server.starts_with("https://"),
            "scan.serverUrl",
            "a URL",
        );
    }

    /// A container that asks for more than it may use, or may use more than the namespace lets any, is made by nobody. An amount
    /// that no Build could name can't be recorded in one.
    fn amounts(&mut self, settings: &Settings) {
        const STEPS: &str = "builds.stepResources";
        let none = ResourceList::default();
        let (builds, tenants) = (&settings.builds, &settings.tenants);
        for (key, resources) in [
            ("builds.defaultResources", &builds.default_resources),
            (STEPS, &builds.step_resources),
        ] {
            let requests = resources.requests.as_ref().unwrap_or(&none);
            let limits = resources.limits.as_ref().unwrap_or(&none);
            // Where it names no limit, the namespace's is its limit; a build's is raised to what it asks for.
            let of_namespace = if key == STEPS { &tenants.default_limits } else { &none };
            let holds = first_of(limits, of_namespace);
            self.need(
                above(requests, &holds).is_none(),
                format!("{key}.requests"),
                "at most its limits",
            );
            for (list, amounts) in [("requests", requests), ("limits", limits)] {
                let is_admitted = named(amounts).all(|(_, amount)| is_admitted(amount));
                self.need(
                    is_admitted,
                    format!("{key}.{list}"),
                    "amounts that a Build may name, as in 500m and 20Gi",
                );
                let fits = above(amounts, &tenants.max_limits).is_none();
                self.need(fits, format!("{key}.{list}"), "at most tenants.maxLimits");
            }
        }
        for (key, amounts) in [
            ("tenants.defaultRequests", &tenants.default_requests),
            ("tenants.defaultLimits", &tenants.default_limits),
        ] {
            self.need(
                above(amounts, &tenants.max_limits).is_none(),
                key,
                "at most tenants.maxLimits",
            );
        }
        self.need(
            above(&tenants.default_requests, &tenants.default_limits).is_none(),
            "tenants.defaultRequests",
            "at most tenants.defaultLimits",
        );
    }

    fn retention(&mut self, settings: &Settings) {
        let retention = &settings.builds.retention;
        let in_bounds = |age| (SignedDuration::from_hours(1)..=SignedDuration::from_hours(8760)).contains(&age);
        let is_age = |age: &DurationText| age.parse::<SignedDuration>().is_ok_and(in_bounds);
        self.need(
            retention.max_age.as_ref().is_none_or(is_age),
            "builds.retention.maxAge",
            "a duration between 1h and 8760h, as in 720h",
        );
        self.need(
            retention.max_builds.is_none_or(|most| (1..=10_000).contains(&most)),
            "builds.retention.maxBuilds",
            "from 1 to 10000",
        );
    }

    fn records(&mut self, settings: &Settings) {
        let window = settings.sor.expiring_window.parse::<SignedDuration>().ok();
        let in_bounds = |window| (SignedDuration::ZERO..=SignedDuration::from_hours(8760)).contains(&window);
        self.need(
            window.is_some_and(in_bounds),
            "sor.expiringWindow",
            "a duration from 0s to 8760h, as in 720h",
        );
        if let Some(http) = &settings.sor.http {
            self.system_of_record(http);
        }
    }

    fn system_of_record(&mut self, http: &SorHttpSettings) {
        let is_url = http.url.starts_with("https://") || http.url.starts_with("http://");
        self.need(is_url && http.url.len() <= 2048, "sor.http.url", "a URL");
        self.need(
            http.token_file.is_none() || http.url.starts_with("https://"),
            "sor.http.url",
            "one that begins with https://, since a token is sent",
        );
        let mut within = |text: &DurationText, key, least: SignedDuration, most, must| {
            let found = text.parse::<SignedDuration>().ok();
            self.need(found.is_some_and(|found| (least..=most).contains(&found)), key, must);
        };
        let (second, day) = (SignedDuration::from_secs(1), SignedDuration::from_hours(24));
        within(&http.interval, "sor.http.interval", second * 10, day, "from 10s to 24h");
        within(&http.timeout, "sor.http.timeout", second, second * 60, "from 1s to 60s");
        let (least, most) = (http.interval() * 2, SignedDuration::from_hours(8760));
        within(
            &http.greatest_age,
            "sor.http.greatestAge",
            least,
            most,
            "from two intervals to 8760h",
        );
    }

    fn keeping(&mut self, settings: &Settings) {
        self.need(
            settings.builds.pod_ttl_seconds >= 0,
            "builds.podTtlSeconds",
            "0 or more",
        );
        self.need(settings.staging_ttl_seconds >= 0, "stagingTtlSeconds", "0 or more");
        // Above the whole of what is marked where a log is cut.
        self.need(
            (1024..=1 << 30).contains(&settings.logs.max_bytes),
            "logs.maxBytes",
            "from 1024 to 1073741824",
        );
        self.need(
            settings.object_store.url.len() <= 512,
            "objectStore.url",
            "at most 512 characters long",
        );
    }

    fn egress(&mut self, settings: &Settings) {
        let egress = &settings.tenants.egress;
        let dns = &egress.dns;
        self.need(
            is_dns_label(&dns.namespace),
            "tenants.egress.dns.namespace",
            "a DNS label of at most 63 characters",
        );
        // A rule without ports opens all of them.
        self.need(
            !dns.ports.is_empty() && !dns.ports.contains(&0),
            "tenants.egress.dns.ports",
            "one port at least, each from 1 to 65535",
        );
        for (index, range) in dns.addresses.iter().enumerate() {
            self.need(
                is_cidr(range),
                format!("tenants.egress.dns.addresses[{index}]"),
                "an address range, as in 169.254.20.10/32",
            );
        }
        for (index, range) in egress.except.iter().enumerate() {
            self.need(
                is_cidr(range),
                format!("tenants.egress.except[{index}]"),
                "an address range, as in 10.0.0.0/8",
            );
        }
        for (index, rule) in egress.allow.iter().enumerate() {
            self.need(
                is_cidr(&rule.cidr),
                format!("tenants.egress.allow[{index}].cidr"),
                "an address range, as in 10.0.0.0/8",
            );
        }
    }
}

/// A DNS label, as names of namespaces, Secrets and service accounts are made of.
pub(crate) fn is_dns_label(name: &str) -> bool {
    let bytes = name.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    !name.is_empty() && name.len() <= 63 && bytes.iter().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

fn is_repository(prefix: &str) -> bool {
    let (host, path) = prefix.split_once('/').unwrap_or((prefix, ""));
    let names_host = host.contains('.') || host.contains(':') || host == "localhost";
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let is_segment = |segment: &str| !segment.is_empty() && segment.chars().all(allowed) && !segment.starts_with('.');
    names_host && !host.is_empty() && !prefix.contains("://") && !path.is_empty() && path.split('/').all(is_segment)
}

fn is_cidr(range: &str) -> bool {
    let Some((address, bits)) = range.split_once('/') else {
        return false;
    };
    let longest = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= longest)
}
