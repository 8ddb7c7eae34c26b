{{/*
Names, labels, images and pieces that several pods share.
*/}}

{{/* Prefix of all names, ClusterRoles included. Room is left for what is added. */}}
{{- define "image-factory.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "image-factory.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "image-factory.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "image-factory.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: image-factory
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* Labels of one component. Takes a list: root, component. */}}
{{- define "image-factory.componentLabels" -}}
{{ include "image-factory.labels" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* What selects the pods of one component. Takes a list: root, component. */}}
{{- define "image-factory.selector" -}}
app.kubernetes.io/name: {{ include "image-factory.name" (index . 0) }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Name of an image. Takes a list: root, key in .Values.images. A digest wins over a tag. */}}
{{- define "image-factory.image" -}}
{{- $root := index . 0 -}}
{{- $image := index $root.Values.images (index . 1) -}}
{{- $registry := default $image.registry $root.Values.global.imageRegistry -}}
{{- $name := ternary $image.repository (printf "%s/%s" $registry $image.repository) (empty $registry) -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default $root.Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "image-factory.operatorServiceAccount" -}}
{{- default (printf "%s-operator" (include "image-factory.fullname" .)) .Values.operator.serviceAccount.name -}}
{{- end -}}

{{- define "image-factory.credentialsServiceAccount" -}}
{{- default (printf "%s-credentials" (include "image-factory.fullname" .)) .Values.credentials.serviceAccount.name -}}
{{- end -}}

{{/* User names of the factory's own service accounts, as the API server knows them. */}}
{{- define "image-factory.operatorUser" -}}
{{- printf "system:serviceaccount:%s:%s" .Release.Namespace (include "image-factory.operatorServiceAccount" .) -}}
{{- end -}}

{{- define "image-factory.credentialsUser" -}}
{{- printf "system:serviceaccount:%s:%s" .Values.workNamespace.name (include "image-factory.credentialsServiceAccount" .) -}}
{{- end -}}

{{/*
Another repository or another Trivy is another database and gets another claim: Trivy would keep what lies in the old one
for days.
*/}}
{{- define "image-factory.javaDatabaseClaim" -}}
{{- $source := list (include "image-factory.image" (list . "trivy")) .Values.scan.javaDatabase.repositories | toJson -}}
{{- printf "%s-java-database-%s" (include "image-factory.fullname" .) ($source | sha256sum | trunc 8) -}}
{{- end -}}

{{/* Pod security: passes the profile "restricted". */}}
{{- define "image-factory.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "image-factory.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Where a pod runs. Takes one component's values. */}}
{{- define "image-factory.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "image-factory.pullSecrets" -}}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Annotations of a Service that Prometheus reads. */}}
{{- define "image-factory.scrapeAnnotations" -}}
{{- if .Values.metrics.scrapeAnnotations }}
annotations:
  prometheus.io/scrape: "true"
  prometheus.io/port: "8080"
  prometheus.io/path: /metrics
{{- end }}
{{- end -}}

{{/* Probes of the operator's image, in both of its roles. */}}
{{- define "image-factory.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 10
  failureThreshold: 3
  timeoutSeconds: 3
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 3
{{- end -}}

{{/* What a pod of the operator's image is told, in both of its roles. */}}
{{- define "image-factory.environment" -}}
- name: RUST_LOG
  value: {{ .Values.log.filter | quote }}
- name: POD_NAME
  valueFrom:
    fieldRef: {fieldPath: metadata.name}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef: {fieldPath: metadata.namespace}
# The name that events carry as their reporter.
- name: CONTROLLER_POD_NAME
  valueFrom:
    fieldRef: {fieldPath: metadata.name}
# One heap for all threads: what a list of thousands of objects leaves behind is used again (docs/benchmarks.md).
- name: MALLOC_ARENA_MAX
  value: "1"
{{- end -}}
