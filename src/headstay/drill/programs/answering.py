"""The Serve application that a drill asks: an answer names the proxy that took the request, and the replica's Pod."""

from __future__ import annotations

import os
from typing import Any

from ray import serve


class Answer:
    def __call__(self, request: Any) -> str:
        # The proxy's own socket: behind a Service only the proxy knows which one it is.
        return "%s %s" % (request.scope["server"][0], os.environ["HOSTNAME"])


app = serve.deployment(Answer).bind()
