{{- define "image-factory.auditServiceAccount" -}}
{{- default (printf "%s-audit" (include "image-factory.fullname" .)) .Values.audit.serviceAccount.name -}}
{{- end -}}

{{/* Not empty where the audit is a file on a volume. */}}
{{- define "image-factory.auditOnVolume" -}}
{{- if not .Values.audit.database.existingSecret -}}yes{{- end -}}
{{- end -}}

{{- define "image-factory.auditClaim" -}}
{{- default (printf "%s-audit" (include "image-factory.fullname" .)) .Values.audit.persistence.existingClaim -}}
{{- end -}}

{{/* User names of those who may send events: the webhook and the operator. */}}
{{- define "image-factory.auditSenders" -}}
- {{ printf "system:serviceaccount:%s:%s-webhook" .Release.Namespace (include "image-factory.fullname" .) }}
- {{ include "image-factory.operatorUser" . }}
{{- end -}}
