//! A Dockerfile that looks around: what the container that runs tenant code holds, and what it can't reach.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use imagefactory_tests::TestTenant;
use imagefactory_tests::dockerfile::{BASE, files, git, inline};
use imagefactory_tests::git::GitRepository;
use serde_json::json;

use super::buildkit::probes::PROBES;
use super::custom_builders::by_shell;

/// Credentials that the build may see: those of its own pull secret.
const PULL_PASSWORD: &str = "marker-of-the-pull-secret";

/// Says everything that a container can find out about itself. Each line has a title.
const LOOK_AROUND: &str = r#"
say() { while IFS= read -r line; do printf 'FOUND %s: %s\n' "$1" "$line"; done; }
cat /proc/self/uid_map | say uid_map
cat /proc/self/gid_map | say gid_map
grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | say status
awk '{print $5, $6}' /proc/self/mountinfo | say mount
for each in /proc/[0-9]*/environ; do tr '\0' '\n' < "$each" 2>/dev/null; done | say environment
for each in /proc/[0-9]*/cmdline; do tr '\0' ' ' < "$each" 2>/dev/null; echo; done | say process
find / -xdev \( -path /proc -o -path /sys \) -prune -o -type f -newermt '2020-01-01' \
  \( -name '*.json' -o -name 'token' -o -name 'password' -o -name '.netrc' -o -name '.git-credentials' -o -name 'config' \
  -o -name '.dockerconfigjson' \) -print 2>/dev/null | grep -v '^/usr/share\|^/var/lib' > /found
for folder in /prepared /workspace /layout /credentials /ca /var/run/secrets /run/secrets /kaniko /root /home /tmp /reports; do
  find "$folder" -type f 2>/dev/null
done >> /found
sort -u /found | while IFS= read -r file; do
  size=$(stat -c %s "$file"); [ "$size" -lt 20000 ] || continue
  echo "$file" | say file
  base64 -w 0 < "$file" 2>/dev/null | sed 's/$/\n/' | say content
done
"#;

fn decoded(log: &str) -> String {
    let contents = log.lines().filter_map(|line| line.split_once("FOUND content: "));
    contents
        .filter_map(|(_, text)| BASE64_STANDARD.decode(text.trim()).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned() + "\n")
        .collect()
}

fn found<'a>(log: &'a str, title: &str) -> Vec<&'a str> {
    let begin = format!("FOUND {title}: ");
    log.lines()
        .filter_map(|line| line.split_once(begin.as_str()))
        .map(|(_, rest)| rest)
        .collect()
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_dockerfile_that_looks_for_credentials_finds_only_those_for_pulling() {
    let tenant = TestTenant::create("looks").await;
    let environment = &tenant.cluster.environment;
    tenant
        .registry_secret("pull", "registry.example.com", "puller", PULL_PASSWORD)
        .await;
    let credentials = json!({"username": environment.get("GIT_USER"), "password": environment.get("GIT_PASSWORD")});
    tenant.secret("git", "kubernetes.io/basic-auth", credentials).await;
    let repository = GitRepository::create(environment, "private/");
    let dockerfile = format!("FROM {BASE}\nCOPY look-around.sh /\nRUN bash /look-around.sh\n");
    repository.commit(&[("Dockerfile", &dockerfile), ("look-around.sh", LOOK_AROUND)]);
    repository.push();
    let mut source = git(&repository.url(environment.get("GIT_TLS_URL")), None);
    source["git"]["secretRef"] = json!({"name": "git"});
    let build = tenant
        .succeeds("looks", json!({"source": source, "pullSecrets": [{"name": "pull"}]}))
        .await;
    let log = tenant.log(&tenant.pod_of("looks").await, "build").await;
    assert!(found(&log, "file").len() > 2, "the search itself works: {log}");

    let everything = format!("{log}\n{}", decoded(&log));
    let basic = |user: &str, password: &str| BASE64_STANDARD.encode(format!("{user}:{password}"));
    let registry = (environment.get("REGISTRY_USER"), environment.get("REGISTRY_PASSWORD"));
    let git = (environment.get("GIT_USER"), environment.get("GIT_PASSWORD"));
    for (whose, (user, password)) in [("staging's and output's", registry), ("Git's", git)] {
        assert!(!everything.contains(password), "{whose} password is in reach");
        assert!(
            !everything.contains(&basic(user, password)),
            "{whose} credential is in reach"
        );
    }
    let pull = [PULL_PASSWORD.to_owned(), basic("puller", PULL_PASSWORD)];
    assert!(
        pull.iter().any(|pull| everything.contains(pull)),
        "the pull credential is there: {everything}"
    );
    assert!(
        !everything.contains("serviceaccount/token") && !everything.contains("eyJhbGciOi"),
        "no token: {everything}"
    );
    assert!(!everything.contains("PRIVATE KEY"), "{everything}");
    is_in_a_user_namespace(&log);
    sees_only_its_own_mounts(&log);
    let told = serde_json::to_string(&build).unwrap();
    assert!(!told.contains(PULL_PASSWORD) && !told.contains(git.1));
}

fn is_in_a_user_namespace(log: &str) {
    for map in ["uid_map", "gid_map"] {
        let lines = found(log, map);
        let [line] = lines[..] else {
            panic!("{map} has one line: {lines:?}")
        };
        let numbers: Vec<u64> = line
            .split_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect();
        assert!(
            numbers.len() == 3 && numbers[0] == 0 && numbers[1] != 0 && numbers[2] <= 65_536,
            "{map}: {line}"
        );
    }
    let status = found(log, "status").join("\n");
    assert!(status.contains("Seccomp:\t2"), "a filter is in force: {status}");
    let bounding = status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:\t"))
        .unwrap_or_default();
    let bounding = u64::from_str_radix(bounding, 16).unwrap();
    for (name, bit) in [
        ("NET_RAW", 13),
        ("SYS_ADMIN", 21),
        ("SYS_PTRACE", 19),
        ("MKNOD", 27),
        ("SYS_MODULE", 16),
        ("NET_ADMIN", 12),
    ] {
        assert_eq!(bounding & (1 << bit), 0, "no capability {name}: {status}");
    }
}

fn sees_only_its_own_mounts(log: &str) {
    for mount in found(log, "mount") {
        let path = mount.split_whitespace().next().unwrap_or_default();
        let is_foreign = [
            "/credentials",
            "/var/run/secrets",
            "/run/secrets",
            "/source-config",
            "/reports",
            "/host",
        ]
        .iter()
        .any(|foreign| path.starts_with(foreign));
        assert!(!is_foreign, "{mount}");
        if ["/workspace", "/prepared"].contains(&path) {
            assert!(mount.contains(" ro"), "{mount}");
        }
    }
    let environment = found(log, "environment");
    for word in ["IMAGEFACTORY_STEP", "PASSWORD", "TRIVY_TOKEN"] {
        assert!(
            !environment.iter().any(|line| line.contains(word)),
            "{word} is in the environment: {environment:?}"
        );
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_step_of_any_method_reaches_neither_the_kernel_nor_the_node() {
    let tenant = TestTenant::create("reaches").await;
    let dockerfile = format!("FROM {BASE}\nCOPY probes.sh /\nRUN bash /probes.sh\n");
    let source = files(&[("Dockerfile", &dockerfile), ("probes.sh", PROBES)]);
    let methods = ["kaniko", "docker", "buildx"];
    for method in methods {
        tenant.start(method, json!({"method": method, "source": source})).await;
    }
    let custom = by_shell(&tenant, &source, "bash /workspace/probes.sh; touch probed");
    tenant.start("custom", custom).await;
    for method in methods.into_iter().chain(["custom"]) {
        tenant.has_succeeded(method).await;
        let log = tenant.log(&tenant.pod_of(method).await, "build").await;
        let said = |word: &str| -> Vec<String> {
            let lines = log.lines().filter_map(|line| line.split_once(word));
            lines.map(|(_, what)| what.trim().to_owned()).collect()
        };
        assert_eq!(
            said(" CAN "),
            ["write its own root", "run a shell in its own root"],
            "{method}: {log}"
        );
        assert!(said(" CANNOT ").len() >= 20, "{method}: every probe was made: {log}");
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_step_that_plants_an_analysis_at_the_scanner_is_refused() {
    let tenant = TestTenant::create("plants").await;
    let work = tenant.cluster.installation.work_namespace();
    let url = tenant.cluster.installation.text("/scan/serverUrl").to_owned();
    let host = url
        .trim_start_matches("http://")
        .split(':')
        .next()
        .unwrap_or_default()
        .to_owned();
    let port = url.rsplit(':').next().unwrap_or_default();
    assert!(host.contains(work), "{host}");
    let script = format!(
        "body='{{\"artifact_id\": \"sha256:0\", \"artifact_info\": {{\"schema_version\": 1}}}}'\n\
         for path in PutArtifact MissingBlobs PutBlob; do\n\
         if ! exec 3<>/dev/tcp/{host}/{port}; then echo \"ANSWER $path: unreachable\"; continue; fi\n\
         printf 'POST /twirp/trivy.cache.v1.Cache/%s HTTP/1.1\\r\\nHost: {host}\\r\\nContent-Type: application/json\\r\\n\
Connection: close\\r\\nContent-Length: %s\\r\\n\\r\\n%s' $path ${{#body}} \"$body\" >&3\n\
         read -r -t 10 line <&3; echo \"ANSWER $path: ${{line:-nothing}}\"; exec 3>&-\n\
         done\n"
    );
    let files = files(&[
        (
            "Dockerfile",
            &format!("FROM {BASE}\nCOPY plant.sh /\nRUN bash /plant.sh\n"),
        ),
        ("plant.sh", &script),
    ]);
    tenant.succeeds("plants", json!({"source": files})).await;
    let log = tenant.log(&tenant.pod_of("plants").await, "build").await;
    let answers: Vec<_> = log
        .lines()
        .filter_map(|line| line.split_once("ANSWER "))
        .map(|(_, rest)| rest.trim())
        .collect();
    assert_eq!(answers.len(), 3, "{log}");
    for answer in answers {
        assert!(answer.contains(" 401 ") || answer.ends_with("unreachable"), "{answer}");
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_a_step_leaves_in_the_layout_does_not_come_through() {
    let tenant = TestTenant::create("layout").await;
    let before = "mkdir -p /layout/blobs/sha256; cd /layout; printf '{\"imageLayoutVersion\":\"1.0.0\"}' > oci-layout; \
        ln -s /etc/passwd blobs/sha256/$(printf 0%.0s $(seq 64)); \
        printf '{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
\"digest\":\"sha256:%s\",\"size\":2}]}' $(printf 0%.0s $(seq 64)) > index.json";
    // It outlives its step, and strikes when the builder has written its layout.
    let after = "while ! ls /layout/blobs/sha256/* >/dev/null 2>&1 || ! grep -q sha256 /layout/index.json 2>/dev/null; do :; done; \
        for each in /layout/blobs/sha256/*; do mv $each /layout/kept; ln -s /prepared/docker/config.json $each; break; done";
    let dockerfiles = [
        ("before", format!("FROM {BASE}\nLABEL honest=yes\nRUN {before}\n")),
        (
            "after",
            format!("FROM {BASE}\nLABEL honest=yes\nRUN (setsid sh -c '{after}' >/dev/null 2>&1 </dev/null &)\n"),
        ),
    ];
    for (name, dockerfile) in &dockerfiles {
        tenant.start(name, json!({"source": inline(dockerfile)})).await;
    }
    for (name, _) in dockerfiles {
        let build = tenant.settled(name).await;
        match imagefactory_tests::phase_of(&build) {
            "Succeeded" => {
                let (repository, tag) = tenant.default_output(name);
                let config = tenant.cluster.registry().config(&repository, &tag).await;
                assert_eq!(
                    config.pointer("/config/Labels/honest"),
                    Some(&json!("yes")),
                    "{name}: {config}"
                );
            }
            _ => assert_eq!(imagefactory_tests::reason_of(&build), "Build", "{name}"),
        }
    }
}
