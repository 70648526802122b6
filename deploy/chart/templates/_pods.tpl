{{- /* What the two DaemonSets have in common. Both templates change what they are given, and render nothing. */ -}}

{{- /* (context, DaemonSet): a DaemonSet of deploy/daemonset, with what the values say of any. */ -}}
{{- define "locket.daemonset" -}}
{{- $c := index . 0 }}
{{- $daemonset := index . 1 }}
{{- $linux := $c.Values.linux }}
{{- $template := $daemonset.spec.template }}
{{- $pod := $template.spec }}
{{- $labels := fromYaml (include "locket.labels" $c) }}
{{- $own := $template.metadata.labels }}

{{- $_ := set $daemonset.metadata "labels" (merge (dict) $own $labels) }}
{{- with $linux.daemonsetAnnotations }}{{ $_ := set $daemonset.metadata "annotations" . }}{{ end }}
{{- $_ := set $template.metadata "labels" (merge (dict) $own $labels ($linux.podLabels | default dict)) }}
{{- $annotations := merge (dict) ($linux.podAnnotations | default dict) ($template.metadata.annotations | default dict) }}
{{- with $annotations }}{{ $_ := set $template.metadata "annotations" . }}{{ end }}

{{- $_ := set $pod "affinity" $linux.affinity }}
{{- $_ := set $pod "nodeSelector" (merge (dict) $pod.nodeSelector ($linux.nodeSelector | default dict)) }}
{{- $_ := set $pod "tolerations" $linux.tolerations }}
{{- $_ := set $pod "priorityClassName" $linux.priorityClassName }}
{{- with $c.Values.imagePullSecrets }}{{ $_ := set $pod "imagePullSecrets" . }}{{ end }}
{{- range $pod.containers }}
{{- $_ := set . "imagePullPolicy" $linux.image.pullPolicy }}
{{- $container := . }}
{{- with concat (.env | default list) ($linux.env | default list) }}{{ $_ := set $container "env" . }}{{ end }}
{{- end }}
{{- end -}}

{{- /* (context, pod, its container): the provider, in whichever pod it is. */ -}}
{{- define "locket.provider" -}}
{{- $values := (index . 0).Values }}
{{- $pod := index . 1 }}
{{- $provider := index . 2 }}
{{- $args := without $provider.args "--stores=vault" }}
{{- $args = concat $args (list (printf "--stores=%s" $values.locket.provider.stores)) }}
{{- $args = concat $args (include "locket.log" $values | fromYamlArray) }}
{{- with $values.locket.provider.keySecret }}
{{- $args = append $args "--hmac-key-file=/etc/locket/keys/versions" }}
{{- $keys := dict "secretName" . "items" (list (dict "key" "versions" "path" "versions")) }}
{{- $_ := set $pod "volumes" (append $pod.volumes (dict "name" "keys" "secret" $keys)) }}
{{- $mount := dict "name" "keys" "mountPath" "/etc/locket/keys" "readOnly" true }}
{{- $_ := set $provider "volumeMounts" (append $provider.volumeMounts $mount) }}
{{- end }}
{{- if $values.locket.openshift }}
{{- $_ := set $provider.securityContext "seLinuxOptions" (dict "type" "spc_t") }}
{{- end }}
{{- $_ := set $provider "args" (concat $args $values.locket.provider.args) }}
{{- $_ := set $provider "resources" $values.locket.provider.resources }}
{{- end -}}

{{- /* (values): the flags of each program for its log. */ -}}
{{- define "locket.log" -}}
{{- $log := list }}
{{- with .logVerbosity }}{{ $log = append $log (printf "-v=%v" .) }}{{ end }}
{{- if .logFormatJSON }}{{ $log = append $log "--log-format-json" }}{{ end }}
{{- toYaml $log }}
{{- end -}}

{{- /* (context): "true" where the provider is a container beside the driver. */ -}}
{{- define "locket.beside" -}}
{{- if and .Values.locket.provider.enabled (not .Values.locket.provider.separate) }}true{{ end }}
{{- end -}}

{{- /* (context): "true" where the provider has pods of its own. */ -}}
{{- define "locket.separate" -}}
{{- if and .Values.linux.enabled .Values.locket.provider.enabled .Values.locket.provider.separate }}true{{ end }}
{{- end -}}

{{- /* (context, NetworkPolicy): lets it ask for names where they are told; renders nothing. */ -}}
{{- define "locket.names" -}}
{{- $egress := (index . 1).spec.egress }}
{{- if and $egress (index . 0).Values.locket.openshift }}
{{- $names := index $egress 0 }}
{{- range list "UDP" "TCP" }}
{{- $_ := set $names "ports" (append $names.ports (dict "protocol" . "port" 5353)) }}
{{- end }}
{{- end }}
{{- end -}}
