"""ValidatingAdmissionPolicy: rules in CEL over requests.

https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/

matching   which requests a policy and its binding are about
policy     one policy, compiled, and what it has against a request
plugin     all policies and bindings that are stored, applied to a write
strategies what the two kinds look like: defaults, and refusal of what this server does not have
"""
