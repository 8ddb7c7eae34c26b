{{/* Not empty where the object store is a directory on a volume. */}}
{{- define "image-factory.archiveOnVolume" -}}
{{- if hasPrefix "file://" .Values.objectStore.url -}}yes{{- end -}}
{{- end -}}

{{- define "image-factory.archiveClaim" -}}
{{- default (printf "%s-archive" (include "image-factory.fullname" .)) .Values.objectStore.volume.existingClaim -}}
{{- end -}}

{{/* Not empty where the operator has a volume that one node at a time can mount. */}}
{{- define "image-factory.archiveOnOneNode" -}}
{{- if and (include "image-factory.archiveOnVolume" .) (not (has "ReadWriteMany" .Values.objectStore.volume.accessModes)) -}}yes{{- end -}}
{{- end -}}

{{/* Not empty where replicas of the operator have to run on one node, since they share such a volume. */}}
{{- define "image-factory.operatorsTogether" -}}
{{- if and (include "image-factory.archiveOnOneNode" .) (gt (int .Values.operator.replicas) 1) -}}yes{{- end -}}
{{- end -}}

{{/*
Where the operator runs: what its values say, and together on one node where replicas share a volume that only one node can
mount. Without that a second replica would wait for the volume for ever, and an upgrade with it. One replica alone is bound to
no node: after a loss of its node it would wait beside a pod that never comes back.
*/}}
{{- define "image-factory.operatorPlacement" -}}
{{- $placement := deepCopy .Values.operator -}}
{{- if and (include "image-factory.operatorsTogether" .) (has "ReadWriteOncePod" .Values.objectStore.volume.accessModes) -}}
{{- fail "objectStore.volume.accessModes: ReadWriteOncePod is for one replica of the operator" -}}
{{- end -}}
{{- if include "image-factory.operatorsTogether" . -}}
{{- $selector := include "image-factory.selector" (list . "operator") | fromYaml -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" $selector) -}}
{{- $affinity := default dict $placement.affinity -}}
{{- $pods := default dict $affinity.podAffinity -}}
{{- $terms := append (default list $pods.requiredDuringSchedulingIgnoredDuringExecution) $term -}}
{{- $_ := set $pods "requiredDuringSchedulingIgnoredDuringExecution" $terms -}}
{{- $_ := set $affinity "podAffinity" $pods -}}
{{- $_ := set $placement "affinity" $affinity -}}
{{- end -}}
{{- toYaml (pick $placement "nodeSelector" "tolerations" "affinity" "priorityClassName") -}}
{{- end -}}
