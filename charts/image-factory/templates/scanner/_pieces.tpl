{{/*
What the scanner's server and the job that fetches the Java database have in common.
*/}}
{{- define "image-factory.scannerEnvironment" -}}
- {name: TMPDIR, value: /tmp}
- {name: TRIVY_NO_PROGRESS, value: "true"}
- {name: TRIVY_SKIP_VERSION_CHECK, value: "true"}
- {name: TRIVY_DISABLE_TELEMETRY, value: "true"}
{{- if .Values.caBundle }}
# Beside the public authorities, which Go still reads from the image's directory.
- {name: SSL_CERT_FILE, value: /ca/platform/ca.crt}
{{- end }}
{{- if .Values.scan.database.secret }}
- {name: DOCKER_CONFIG, value: /docker}
{{- end }}
{{- end -}}

{{- define "image-factory.scannerMounts" -}}
- {name: scratch, mountPath: /tmp}
{{- if .Values.caBundle }}
- {name: platform-ca, mountPath: /ca/platform, readOnly: true}
{{- end }}
{{- if .Values.scan.database.secret }}
- {name: docker, mountPath: /docker, readOnly: true}
{{- end }}
{{- end -}}

{{- define "image-factory.scannerVolumes" -}}
- name: scratch
  emptyDir:
    sizeLimit: 5Gi
{{- if .Values.caBundle }}
- name: platform-ca
  configMap:
    name: imagefactory-ca
{{- end }}
{{- with .Values.scan.database.secret }}
- name: docker
  secret:
    secretName: {{ . }}
    items: [{key: .dockerconfigjson, path: config.json}]
{{- end }}
{{- end -}}
