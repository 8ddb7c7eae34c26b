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

{{/* Where the operator tells the audit; empty where the release has none. */}}
{{- define "image-factory.operatorAuditUrl" -}}
{{- if .Values.audit.enabled -}}
{{- printf "https://%s-audit.%s.svc:8443" (include "image-factory.fullname" .) .Release.Namespace -}}
{{- end -}}
{{- end -}}

{{/*
What a sender of events needs, as sources of a projected volume: a token for the intake alone, and who signs its certificate.
The authority may come later than the pod: nothing waits for the audit.
*/}}
{{- define "image-factory.auditSenderSources" -}}
- serviceAccountToken: {audience: image-factory-audit, expirationSeconds: 3600, path: token}
{{- if eq .Values.webhook.certificates.mode "certManager" }}
- secret:
    name: {{ include "image-factory.webhookSecret" . }}
    items: [{key: ca.crt, path: ca.crt}]
    optional: true
{{- else }}
- configMap:
    name: {{ include "image-factory.fullname" . }}-ca
    items: [{key: ca.crt, path: ca.crt}]
    optional: true
{{- end }}
{{- end -}}

{{/* User names of those who may send events: the webhook and the operator. */}}
{{- define "image-factory.auditSenders" -}}
- {{ include "image-factory.webhookUser" . }}
- {{ include "image-factory.operatorUser" . }}
{{- end -}}
