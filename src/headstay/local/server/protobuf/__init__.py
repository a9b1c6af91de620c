"""Request bodies in Kubernetes' protobuf encoding, which typed clients (kubectl create, controllers in Go) prefer.

Answers are JSON: every such client accepts it.
"""
