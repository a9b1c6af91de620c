{{/*
All that the operator may do, and the only place that says it: config/ and `headstay up` are rendered from here
(`python config/generate.py` after a change). Least privilege: no Secret unless redisAccess.enabled asks for it, and
of what users wrote, RayClusters and RayServices, it changes nothing but metadata and status.
*/}}

{{/* In every namespace it acts in. */}}
{{- define "headstay.rules.watched" -}}
# RayClusters are made and deleted for RayServices alone.
- apiGroups: [ray.io]
  resources: [rayclusters]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [ray.io]
  resources: [rayservices]
  verbs: [get, list, watch, patch]
- apiGroups: [ray.io]
  resources: [rayclusters/status, rayservices/status]
  verbs: [patch]
# Needed where admission enforces permissions on owner references that block deletion.
- apiGroups: [ray.io]
  resources: [rayclusters/finalizers, rayservices/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch]
# The keeper of heads whose GCS recovers in place; nobody's ConfigMaps are read.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch, create, patch]
# On OpenShift, in place of Ingresses. Elsewhere nothing is of that group.
- apiGroups: [route.openshift.io]
  resources: [routes]
  verbs: [get, list, watch, create]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# Whether a KubeRay operator leads: it renews this Lease. Looked for by name alone.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [ray-operator-leader]
  verbs: [get, list]
{{- if .Values.redisAccess.enabled }}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
# A Redis address or an authority's certificate may be in one.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
{{- end }}
{{- end }}

{{/* In its own namespace. */}}
{{- define "headstay.rules.own" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [headstay-operator-leader]
  verbs: [get, update]
# Debts: what may be left in Redis of clusters that are gone. And which storage namespace a RayService used last.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
