"""How objects look to people: the columns of `kubectl get`, computed on the server as Kubernetes does."""
