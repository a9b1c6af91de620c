"""Turning a live object and a patch into the object to store: the four patch types of the API.

Every function here is pure: the live object and the patch go in untouched, a new object comes out, or a
`StatusError` with Kubernetes' own code and words. What a kind looks like comes in as a `Schema`; nothing here
knows a kind by name.
"""
