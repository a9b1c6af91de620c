import aiohttp
from prometheus_client import CollectorRegistry, Counter

from headstay.runtime.serving import serving


async def fetch(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text()


async def test_metrics_health_and_readiness_are_served() -> None:
    registry = CollectorRegistry()
    Counter("made", "Things made", registry=registry).inc(3)
    problem = {"text": "the caches are not synced"}
    checks = {"caches": lambda: problem["text"], "lease": lambda: ""}
    async with serving(registry, host="127.0.0.1", port=0, ready=checks) as port:
        status, text = await fetch(port, "/metrics")
        assert status == 200
        assert "made_total 3.0" in text
        assert await fetch(port, "/healthz") == (200, "ok")
        assert await fetch(port, "/readyz") == (
            500,
            "[-]caches failed: the caches are not synced\n[+]lease ok\n",
        )
        problem["text"] = ""
        assert await fetch(port, "/readyz") == (200, "ok")
        assert (await fetch(port, "/other"))[0] == 404
