"""What every kind's documents look like, built-in and custom, and what the server says when they do not.

node         one node of a schema, whatever it came from
builtin      Kubernetes' own kinds, read from the published definitions
structural   the schema of a CRD, turned into nodes
decode       what Go's JSON decoder would refuse of a built-in kind (quantities: their canonical form)
prune, defaults, validate   the three passes over a custom resource (checks, formats, patterns: rules on one value)
rules        CEL rules, after validation (cel_values, cel_functions: what rules see and may call)
kinds        `KindSchemas`: all of it behind the `Schemas` seam
crd          CustomResourceDefinitions themselves (crd_rules, crd_versions, crd_structural, ...: what they must be)
openapi      the same schemas, published for kubectl (openapi_schemas, openapi_paths)
fields       Kubernetes' words for what is wrong with a field
"""
