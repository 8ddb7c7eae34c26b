//! What buildctl is told.

use serde_json::json;

use super::*;

fn arguments(step: serde_json::Value) -> Vec<String> {
    let step: BuildkitStep = serde_json::from_value(step).unwrap();
    build_arguments(&step, &Workdir::new("/state"))
}

#[test]
fn each_value_stays_one_argument_with_its_flag() {
    let told = arguments(json!({
        "context": "/workspace/--output=type=local,dest=/", "dockerfile": "/prepared/Dockerfile",
        "layout": "/layout", "state": "/state", "target": "--frontend=gateway.v0",
        "buildArgs": [{"name": "A", "value": "1,b=2 \"quoted\" --opt=x"}],
        "labels": [{"name": "org.example.note", "value": "a=b,c"}],
        "platforms": ["linux/amd64", "linux/arm64"],
        "secrets": [{"id": "token", "path": "/secrets/token"}],
        "sourcePolicy": "/prepared/source-policy.json",
    }));
    assert_eq!(
        told,
        [
            "--addr=unix:///state/run/buildkitd.sock",
            "build",
            "--progress=plain",
            "--frontend=dockerfile.v0",
            "--local=context=/workspace/--output=type=local,dest=/",
            "--local=dockerfile=/state/dockerfile",
            "--opt=filename=Dockerfile",
            "--output=type=oci,tar=false,dest=/layout",
            "--opt=target=--frontend=gateway.v0",
            "--opt=platform=linux/amd64,linux/arm64",
            "--opt=build-arg:A=1,b=2 \"quoted\" --opt=x",
            "--opt=label:org.example.note=a=b,c",
            "--secret=type=file,id=token,src=/secrets/token",
            "--source-policy-file=/prepared/source-policy.json",
        ]
    );
}

#[test]
fn a_build_argument_counts_before_the_proxy_of_its_name() {
    let told = arguments(json!({
        "context": "/workspace", "dockerfile": "/prepared/Dockerfile", "layout": "/layout", "state": "/state",
        "buildArgs": [{"name": "HTTP_PROXY", "value": "http://mine"}],
        "proxy": {"http": "http://platform"},
    }));
    let last = told
        .iter()
        .rfind(|argument| argument.starts_with("--opt=build-arg:HTTP_PROXY="));
    assert_eq!(last.map(String::as_str), Some("--opt=build-arg:HTTP_PROXY=http://mine"));
    assert!(told.contains(&"--opt=build-arg:http_proxy=http://platform".to_owned()));
}

#[test]
fn a_cache_that_is_not_there_is_not_asked_for() {
    let cache = tempfile::tempdir().unwrap();
    let step = json!({
        "context": "/workspace", "dockerfile": "/prepared/Dockerfile", "layout": "/layout", "state": "/state",
        "cacheImport": cache.path(), "cacheExport": "/cache/out",
    });
    let imports = |told: Vec<String>| told.iter().filter(|a| a.starts_with("--import-cache")).count();
    assert_eq!(imports(arguments(step.clone())), 0);
    std::fs::write(cache.path().join("index.json"), "{}").unwrap();
    assert_eq!(imports(arguments(step.clone())), 1);
    assert!(arguments(step).contains(
        &"--export-cache=type=local,dest=/cache/out,mode=max,image-manifest=true,oci-mediatypes=true,ignore-error=true"
            .to_owned()
    ));
}
