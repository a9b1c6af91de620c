"""Network cuts: what one Pod sends to some addresses vanishes, for a while.

Done by the `hands`, a container with NET_ADMIN that a drill puts into the Pods it makes: a Pod that somebody else made
has none, and one cannot be added to a Pod that runs. They use the image that the Pod has already.
"""

from headstay.drill.faults.kind import HANDS, REDIS, Broken, Kind, Scene, hand
from headstay.drill.healing import wait_or_now
from headstay.drill.kube import ExecError
from headstay.drill.onlooker import Role


async def _refusal(scene: Scene) -> str:
    return "" if scene.own else "its head Pod has no container that may change its network (the drill did not make it)"


async def _cut_from(scene: Scene, role: Role, hosts: list[str], seconds: float) -> Broken:
    """`hosts` are names that have addresses of their own: a Service's is not the Pod's."""
    head = scene.head()
    addresses = [pod.address for pod in scene.onlooker.of(role) if pod.address]
    if not addresses:
        raise ExecError(f"there is no {role} Pod to cut the head off from")
    order = {"do": "cut", "hosts": hosts, "addresses": addresses, "seconds": seconds}
    at, cut = await hand(scene, head, order, container=HANDS)

    async def join() -> None:
        await hand(scene, head, {"do": "join", "addresses": cut}, container=HANDS)

    detail = f"nothing from {head.seen.name} reaches {', '.join(cut)} for {seconds:g} s"
    return Broken(head.seen.name, at, wait_or_now(at + seconds, join), detail)


def _cut(name: str, whom: str, role: Role, hosts: list[str]) -> Kind:
    return Kind(
        name,
        f"The head is cut off from {whom} for the seconds given: packets vanish without an error.",
        "the network of the head Pod that the drill made",
        lambda scene, seconds: _cut_from(scene, role, hosts, seconds),
        _refusal,
        settle=5.0,
        default=5,
        most=300,
        needs_hands=True,
        own_only=True,
    )


KINDS = (
    _cut("network-cut-redis", "Redis", "redis", [REDIS]),
    _cut("network-cut-workers", "all workers", "worker", []),
)
