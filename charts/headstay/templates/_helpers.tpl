{{- define "headstay.fullname" -}}
{{- $name := default "headstay-operator" .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What selects the Pods. It can never change in a Deployment, so neither version nor chart is in it. */}}
{{- define "headstay.selectorLabels" -}}
app.kubernetes.io/name: {{ include "headstay.fullname" . }}
app.kubernetes.io/component: {{ default "operator" .Values.componentOverride }}
{{- end }}

{{- define "headstay.labels" -}}
{{ include "headstay.selectorLabels" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "headstay.serviceAccountName" -}}
{{- if .Values.serviceAccount.name }}
{{- .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create }}
{{- include "headstay.fullname" . }}
{{- else }}default
{{- end }}
{{- end }}

{{/* The namespaces to act in, as JSON {"names": [...]}; none means all. */}}
{{- define "headstay.namespaces" -}}
{{- if .Values.watchNamespace }}
{{- dict "names" (uniq .Values.watchNamespace) | toJson }}
{{- else if .Values.singleNamespaceInstall }}
{{- dict "names" (list .Release.Namespace) | toJson }}
{{- else }}
{{- dict "names" list | toJson }}
{{- end }}
{{- end }}

{{/* The operator's configuration file. What is a flag of the operator has a value of its own in the chart. */}}
{{- define "headstay.configuration" -}}
apiVersion: config.ray.io/v1alpha1
kind: Configuration
{{- range $field, $value := omit .Values.configuration "enabled" }}
{{- if $value }}
{{ $field }}: {{ toJson $value }}
{{- end }}
{{- end }}
{{- end }}

{{/* KubeRay's feature gates, and whether what they switch is on here, as JSON. */}}
{{- define "headstay.gates" -}}
{"RayClusterStatusConditions": true, "RayMultiHostIndexing": true, "RayJobDeletionPolicy": true,
 "RayServiceIncrementalUpgrade": false, "RayCronJob": false, "SidecarSubmitterRestart": false,
 "RayClusterNetworkPolicy": false, "GCSFaultToleranceEmbeddedStorage": false, "RayClusterMTLS": false,
 "RayClusterHistoryServer": false, "KubernetesWAS": false}
{{- end }}

{{/* What the operator could not do, said before anything is installed. */}}
{{- define "headstay.refusals" -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.leaderElectionEnabled) }}
{{- fail "replicas: more than one operator without leaderElectionEnabled would act at once; use replicas=1, or switch it on" }}
{{- end }}
{{- if contains "kuberay/operator" .Values.image.repository }}
{{- fail (printf "image.repository=%s is KubeRay's operator: name an image of Headstay, or remove the value" .Values.image.repository) }}
{{- end }}
{{- if or .Values.batchScheduler.enabled .Values.batchScheduler.name }}
{{- fail "batchScheduler: Headstay has no gang scheduling; remove the value, or stay with KubeRay for these clusters" }}
{{- end }}
{{- range .Values.configuration.defaultContainerEnvs }}
{{- if has .name (list "RAY_REDIS_ADDRESS" "RAY_external_storage_namespace") }}
{{- fail (printf "configuration.defaultContainerEnvs: clusters that share %s destroy each other's tables; remove it, and set gcsFaultToleranceOptions in each RayCluster" .name) }}
{{- end }}
{{- end }}
{{- if and .Values.admissionPolicy.enabled .Values.singleNamespaceInstall }}
{{- fail "admissionPolicy: a policy is cluster-wide, and singleNamespaceInstall makes nothing that is; set one of them to false" }}
{{- end }}
{{- $gates := include "headstay.gates" . | fromJson }}
{{- range .Values.featureGates }}
{{- if not (hasKey $gates .name) }}
{{- fail (printf "featureGates: there is no gate %s; known are %s" .name (keys $gates | sortAlpha | join ", ")) }}
{{- end }}
{{- end }}
{{- range .Values.env }}
{{- if has .name (list "POD_NAME" "POD_UID" "POD_NAMESPACE" "HEADSTAY_REDIS_ACCESS") }}
{{- fail (printf "env: the chart sets %s itself; remove it (Redis access has its own value, redisAccess.enabled)" .name) }}
{{- end }}
{{- end }}
{{- end }}
