//! Values for tests.

use imagefactory_crds::Tenant;
use imagefactory_crds::common::{Subject, SubjectKind};

use crate::settings::Settings;

pub(crate) fn user(name: &str) -> Subject {
    Subject {
        kind: SubjectKind::User,
        name: name.into(),
        namespace: None,
    }
}

pub(crate) fn group(name: &str) -> Subject {
    Subject {
        kind: SubjectKind::Group,
        ..user(name)
    }
}

pub(crate) fn service_account(name: &str, namespace: &str) -> Subject {
    Subject {
        kind: SubjectKind::ServiceAccount,
        namespace: Some(namespace.into()),
        ..user(name)
    }
}

pub(crate) fn tenant() -> Tenant {
    serde_yaml::from_str(
        "
        apiVersion: imagefactory.dev/v1alpha1
        kind: Tenant
        metadata:
          name: acme
          uid: 11111111-2222-3333-4444-555555555555
          generation: 3
          finalizers: [imagefactory.dev/tenant]
        spec:
          owners:
            - {kind: User, name: alice@example.com}
            - {kind: Group, name: acme-leads}
            - {kind: ServiceAccount, name: gitops, namespace: acme-ci}
          serviceAccountNamespaces: [acme-ci]
          policyRef: {name: strict}
        ",
    )
    .unwrap()
}

pub(crate) fn settings() -> Settings {
    serde_yaml::from_str(
        "
        releaseNamespace: image-factory
        workNamespace: image-factory-work
        clusterRolePrefix: image-factory
        operatorServiceAccount: image-factory-operator
        credentialsServiceAccount: image-factory-credentials
        images: {worker: worker, kaniko: kaniko, buildkit: buildkit, trivy: trivy, pullPolicy: IfNotPresent}
        onboarding: {build: true}
        staging: {prefix: registry.example.com/staging, secret: staging, scope: Shared}
        output: {prefix: registry.example.com/images, secret: output, scope: Shared}
        caBundle: |
          -----BEGIN CERTIFICATE-----
          AAAA
          -----END CERTIFICATE-----
        builds:
          defaultTimeout: 1h
          volumeSize: 20Gi
          jobDeadlineSeconds: 900
          jobTtlSeconds: 600
          pendingDeadlineSeconds: 600
        scan: {serverUrl: 'http://scanner', tokenSecret: scanner}
        tenants:
          defaultQuota: {cpu: 8, memory: 16Gi, pods: 20}
          defaultRequests: {cpu: 100m}
          defaultLimits: {cpu: 1, memory: 1Gi}
          egress:
            except: [10.0.0.0/8, 169.254.0.0/16, 'fe80::/10', 'fd00::/8']
            allow:
              - {cidr: 10.1.2.3/32, ports: [443, 5000]}
              - {cidr: 'fd00:1::/64'}
        ",
    )
    .unwrap()
}
