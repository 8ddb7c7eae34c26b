//! Where the chart has the audit stored: on a volume that is never lost, by one process; or in PostgreSQL, by more.

use crate::support::render;
use imagefactory_tests::chart::Chart;
use imagefactory_tests::chart::object::{find, list, of_kind, text};
use serde_json::{Value, json};

const NAME: &str = "image-factory-audit";
/// Of mode files.
const AUTHORITY: &str = "image-factory-given-ca";

fn audit(values: &str) -> Vec<Value> {
    render(&Chart::minimal().set("audit.enabled=true").set(values))
}

fn deployment(objects: &[Value]) -> &Value {
    find(objects, "Deployment", NAME).unwrap()
}

fn database(objects: &[Value]) -> &Value {
    let variables = list(deployment(objects), "/spec/template/spec/containers/0/env");
    variables
        .iter()
        .find(|variable| variable["name"] == "DATABASE_URL")
        .unwrap()
}

#[test]
fn a_file_has_one_writer_and_a_volume_that_outlives_the_release() {
    let objects = audit("audit.persistence.size=7Gi");
    let deployment = deployment(&objects);
    assert_eq!(deployment["spec"]["replicas"], 1);
    assert_eq!(deployment["spec"]["strategy"]["type"], "Recreate");
    let claim = find(&objects, "PersistentVolumeClaim", NAME).unwrap();
    assert_eq!(claim["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "7Gi");
    let mounts = list(deployment, "/spec/template/spec/containers/0/volumeMounts");
    let mount = mounts.iter().find(|mount| mount["name"] == "audit").unwrap();
    let url = text(database(&objects), "/value");
    assert!(
        url.starts_with(&format!("sqlite://{}/", text(mount, "/mountPath"))),
        "{url}"
    );
    assert!(find(&objects, "PodDisruptionBudget", NAME).is_none());
    let error = Chart::minimal()
        .set("audit.enabled=true,audit.replicas=2")
        .render()
        .unwrap_err();
    assert!(error.to_string().contains("audit.replicas"), "{error}");
}

#[test]
fn a_given_claim_is_used_and_none_is_made() {
    let objects = audit("audit.persistence.existingClaim=mine");
    assert!(find(&objects, "PersistentVolumeClaim", NAME).is_none());
    let volumes = list(deployment(&objects), "/spec/template/spec/volumes");
    assert!(
        volumes
            .iter()
            .any(|volume| volume["persistentVolumeClaim"]["claimName"] == "mine")
    );
}

#[test]
fn postgresql_takes_more_replicas_and_its_url_comes_from_a_secret() {
    let objects = audit("audit.database.existingSecret=db,audit.replicas=2");
    let deployment = deployment(&objects);
    assert_eq!(deployment["spec"]["replicas"], 2);
    assert!(deployment["spec"].get("strategy").is_none());
    assert!(find(&objects, "PersistentVolumeClaim", NAME).is_none());
    let reference = json!({"secretKeyRef": {"name": "db", "key": "url"}});
    assert_eq!(database(&objects)["valueFrom"], reference);
    assert!(find(&objects, "PodDisruptionBudget", NAME).is_some());
}

#[test]
fn only_webhook_and_operator_may_send() {
    let objects = audit("audit.foldRate=20");
    let arguments = list(deployment(&objects), "/spec/template/spec/containers/0/args");
    let allowed: Vec<&str> = arguments
        .iter()
        .filter_map(|argument| argument.as_str()?.strip_prefix("--allow="))
        .collect();
    let account = |name: &str| format!("system:serviceaccount:image-factory-system:image-factory-{name}");
    assert_eq!(allowed, [account("webhook"), account("operator")]);
    assert!(arguments.contains(&json!("--fold-rate=20")));
    let policy = find(&objects, "NetworkPolicy", NAME).unwrap();
    let rules = list(policy, "/spec/ingress");
    assert_eq!(
        (
            rules[0]["from"].as_array().unwrap().len(),
            &rules[0]["ports"][0]["port"]
        ),
        (2, &json!(8443))
    );
}

/// The operator's arguments, and the sources of the volume that it speaks to the audit with.
fn operator(objects: &[Value]) -> (Vec<Value>, Vec<Value>) {
    let deployment = find(objects, "Deployment", "image-factory-operator").unwrap();
    let arguments = list(deployment, "/spec/template/spec/containers/0/args").to_vec();
    let volumes = list(deployment, "/spec/template/spec/volumes");
    let audit = volumes.iter().find(|volume| volume["name"] == "audit");
    let sources = audit.map(|audit| list(audit, "/projected/sources").to_vec());
    (arguments, sources.unwrap_or_default())
}

#[test]
fn the_operator_has_a_token_for_the_intake_alone_and_starts_before_its_authority_is_known() {
    let (arguments, sources) = operator(&audit("webhook.enabled=true"));
    let url = "--audit-url=https://image-factory-audit.image-factory-system.svc:8443";
    assert!(arguments.contains(&json!(url)), "{arguments:?}");
    assert_eq!(sources[0]["serviceAccountToken"]["audience"], "image-factory-audit");
    let authority = &sources[1]["configMap"];
    assert_eq!(
        (&authority["name"], &authority["optional"]),
        (&json!("image-factory-ca"), &json!(true))
    );
    let of_cert_manager = "webhook.certificates.mode=certManager,webhook.certificates.issuer.name=ca";
    let (_, sources) = operator(&audit(of_cert_manager));
    assert_eq!(trusted(&sources), ("secret", "image-factory-audit-tls".to_owned()));
    let items = &sources[1]["secret"]["items"];
    assert_eq!(items, &json!([{"key": "ca.crt", "path": "ca.crt"}]), "and no key");
}

/// What holds the authority among a sender's sources.
fn trusted(sources: &[Value]) -> (&'static str, String) {
    let named = |source: &Value| {
        let of = |kind: &'static str, name: &str| Some((kind, source[kind][name].as_str()?.to_owned()));
        of("secret", "name").or_else(|| of("configMap", "name"))
    };
    sources.iter().find_map(named).unwrap()
}

/// The webhook's arguments, and the sources of the volume that it speaks to the audit with.
fn webhook(objects: &[Value]) -> (Vec<Value>, Vec<Value>) {
    let deployment = find(objects, "Deployment", "image-factory-webhook").unwrap();
    let arguments = list(deployment, "/spec/template/spec/containers/0/args").to_vec();
    let volumes = list(deployment, "/spec/template/spec/volumes");
    let audit = volumes.iter().find(|volume| volume["name"] == "audit").unwrap();
    (arguments, list(audit, "/projected/sources").to_vec())
}

/// Where the intake's process takes its certificate from.
fn served(objects: &[Value]) -> String {
    let volumes = list(deployment(objects), "/spec/template/spec/volumes");
    let tls = volumes.iter().find(|volume| volume["name"] == "tls").unwrap();
    text(tls, "/secret/secretName").to_owned()
}

const HOST: &str = "image-factory-audit.image-factory-system.svc";

#[test]
fn by_itself_the_webhook_makes_the_intakes_certificate_and_trusts_what_it_made() {
    let objects = audit("webhook.certificates.mode=self");
    let role = find(&objects, "Role", "image-factory-webhook").unwrap();
    let made = list(role, "/rules").iter().any(|rule| {
        rule["resourceNames"]
            .as_array()
            .is_some_and(|names| names.contains(&json!(served(&objects))))
    });
    assert!(made, "it may write {}", served(&objects));
    let (arguments, sources) = webhook(&objects);
    assert!(arguments.contains(&json!(format!("--audit-url=https://{HOST}:8443"))));
    assert!(
        arguments.contains(&json!("--prefix=image-factory")),
        "which is what it names the intake by"
    );
    assert!(
        !arguments
            .iter()
            .any(|argument| argument.as_str().unwrap().starts_with("--audit-ca"))
    );
    assert_eq!(sources.len(), 1, "a token alone: {sources:?}");
}

#[test]
fn cert_manager_is_asked_for_the_intakes_certificate_and_all_who_tell_it_trust_who_signed_that() {
    let objects = audit("webhook.certificates.mode=certManager,webhook.certificates.issuer.name=house");
    let certificate = find(&objects, "Certificate", NAME).unwrap();
    assert_eq!(text(certificate, "/spec/secretName"), served(&objects));
    assert!(list(certificate, "/spec/dnsNames").contains(&json!(HOST)));
    assert_eq!(certificate["spec"]["issuerRef"]["name"], "house");
    let (arguments, sources) = webhook(&objects);
    assert!(arguments.contains(&json!("--audit-ca=/var/run/image-factory/audit/ca.crt")));
    assert_eq!(trusted(&sources), ("secret", served(&objects)));
    assert_eq!(
        sources[1]["secret"]["items"],
        json!([{"key": "ca.crt", "path": "ca.crt"}]),
        "and no key"
    );
    assert_eq!(trusted(&operator(&objects).1), ("secret", served(&objects)));
    let elsewhere =
        "webhook.certificates.mode=certManager,webhook.certificates.issuer.name=a,webhook.audit.url=https://a:1";
    let (_, sources) = webhook(&audit(elsewhere));
    assert_eq!(
        trusted(&sources),
        ("secret", "image-factory-webhook-tls".to_owned()),
        "of an intake elsewhere nothing else is known"
    );
}

#[test]
fn a_given_certificate_is_served_and_trusted_by_the_given_authority() {
    const GIVEN: &str =
        "webhook.certificates.mode=files,webhook.certificates.secret=hook,webhook.certificates.caBundle=PEM";
    let objects = audit(&format!("{GIVEN},audit.certificate.secret=intake"));
    assert_eq!(served(&objects), "intake");
    assert!(find(&objects, "Certificate", NAME).is_none());
    // The webhook's own of mode self stays when the mode changes, and Helm takes over nothing without its marks.
    assert!(find(&objects, "ConfigMap", "image-factory-ca").is_none());
    let map = find(&objects, "ConfigMap", AUTHORITY).unwrap();
    assert_eq!(text(map, "/data/ca.crt"), "PEM");
    let (arguments, sources) = webhook(&objects);
    assert!(arguments.contains(&json!("--audit-ca=/var/run/image-factory/audit/ca.crt")));
    for sources in [sources, operator(&objects).1] {
        assert_eq!(trusted(&sources), ("configMap", AUTHORITY.to_owned()));
    }
    let without_webhook = audit(&format!("{GIVEN},webhook.enabled=false"));
    assert_eq!(
        served(&without_webhook),
        "image-factory-audit-tls",
        "by its own name where none is given"
    );
    assert!(find(&without_webhook, "ConfigMap", AUTHORITY).is_some());
}

#[test]
fn given_certificates_without_their_authority_are_refused_where_there_is_an_audit() {
    let given = Chart::minimal().set("webhook.certificates.mode=files,webhook.certificates.secret=hook");
    let error = given.clone().set("audit.enabled=true").render().unwrap_err();
    assert!(error.to_string().contains("webhook.certificates.caBundle"), "{error}");
    let objects = render(&given.set("audit.enabled=false"));
    assert!(find(&objects, "ConfigMap", AUTHORITY).is_some());
}

/// In mode self the webhook makes it.
#[test]
fn an_audit_whose_certificate_nobody_makes_is_refused() {
    let alone = Chart::minimal().set("audit.enabled=true,webhook.enabled=false");
    let error = alone.clone().render().unwrap_err().to_string();
    assert!(
        [
            "webhook.enabled=true",
            "audit.enabled=false",
            "webhook.certificates.mode=certManager"
        ]
        .iter()
        .all(|way| error.contains(way)),
        "{error}"
    );
    let issued = alone.set("webhook.certificates.mode=certManager,webhook.certificates.issuer.name=house");
    let objects = render(&issued);
    assert!(find(&objects, "Certificate", NAME).is_some());
}

#[test]
fn who_may_send_follows_the_accounts_names() {
    let objects = audit("webhook.enabled=true,webhook.serviceAccount.name=hook");
    let arguments = list(deployment(&objects), "/spec/template/spec/containers/0/args");
    assert!(arguments.contains(&json!("--allow=system:serviceaccount:image-factory-system:hook")));
}

#[test]
fn without_it_nothing_of_it_is_rendered() {
    let objects = render(&Chart::minimal().set("audit.enabled=false"));
    let (arguments, sources) = operator(&objects);
    assert_eq!((arguments.len(), sources.len()), (2, 0), "{arguments:?}");
    for kind in [
        "Deployment",
        "Service",
        "ServiceAccount",
        "PersistentVolumeClaim",
        "NetworkPolicy",
        "ClusterRole",
    ] {
        let found = of_kind(&objects, kind).filter(|object| text(object, "/metadata/name") == NAME);
        assert_eq!(found.count(), 0, "{kind}");
    }
}
