# Values for the local cluster. deploy.sh fills in what .cluster/env and .cluster/images.env say.
images:
  # What the cluster brings and what was built here lies on the node already; there is nowhere to pull it from.
  pullPolicy: Never
  operator: ${OPERATOR_IMAGE}
  worker: ${WORKER_IMAGE}
  webhook: ${WEBHOOK_IMAGE}
  kaniko: ${KANIKO_IMAGE}
  buildkit: ${BUILDKIT_IMAGE}
  trivy: ${TRIVY_IMAGE}

# As the chart has them: on.
webhook:
  resources: {requests: {cpu: 10m, memory: 32Mi}}
  # One API server, which follows to another pod at once; tests wait until a pod has ended.
  terminationGracePeriodSeconds: 25
audit:
  resources: {requests: {cpu: 10m, memory: 32Mi}}

seccomp:
  kubeletDirectory: ${KUBELET_DIR}

# The local registry knows one user, who may do everything.
staging:
  prefix: ${REGISTRY}/staging
  scope: Shared
output:
  prefix: ${REGISTRY}/output
  scope: Shared
mirrors:
  - {registry: docker.io, mirror: "${MIRROR}"}

# deploy.sh makes it, with the Secrets in it.
workNamespace:
  create: false

platformAdmins:
  groups: [platform-administrators]
securityTeam:
  groups: [platform-security]
gitops:
  accounts: ["system:serviceaccount:gitops:controller"]

# One small node.
builds:
  defaultTimeout: 10m
  defaultResources:
    requests: {cpu: 100m, memory: 256Mi, ephemeralStorage: 1Gi}
    limits: {memory: 2Gi, ephemeralStorage: 8Gi}
  stepResources:
    requests: {cpu: 10m, memory: 32Mi, ephemeralStorage: 64Mi}
    limits: {memory: 512Mi, ephemeralStorage: 8Gi}
  volumeSize: 4Gi
  jobDeadlineSeconds: 600
  pendingDeadlineSeconds: 120
  # The mirror has what docker.io/library would have, and tests pull what they published themselves.
  pullPrefixes: [docker.io/library, "${MIRROR}"]
tenants:
  defaultQuota: {cpu: "8", memory: 16Gi, ephemeralStorage: 40Gi, pods: 12}
  maxLimits: {memory: 64Gi}
  resyncSeconds: 10
  egress:
    # Registry, mirror and Git server run on the node, whose range is closed otherwise.
    allow: ${EGRESS}

scan:
  clientResources:
    requests: {cpu: 50m, memory: 128Mi, ephemeralStorage: 64Mi}
    limits: {memory: 1Gi, ephemeralStorage: 8Gi}
  database:
    repositories: ["${TRIVY_DB_REPOSITORY}"]
  javaDatabase:
    enabled: true
    repositories: ["${TRIVY_JAVA_DB_REPOSITORY}"]
    size: 1Gi
  server:
    resources:
      requests: {cpu: 50m, memory: 128Mi}
      limits: {memory: 1Gi}
operator:
  # Two, so that taking over is tried every day.
  replicas: 2
  resources:
    requests: {cpu: 20m, memory: 64Mi}
    limits: {memory: 512Mi}
