"""What the containers of one Pod share: its address, `/etc/hosts`, `/etc/resolv.conf`. Texts are pure functions."""

from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path

from headstay.local.config import CLUSTER_DOMAIN
from headstay.local.node.containerspec import Mount
from headstay.local.node.podspec import PodDocument

_MOST_SEARCH_DOMAINS = 32


def resolv_conf(pod: PodDocument, dns: IPv4Address, host: str) -> str:
    """`host` is the machine's own resolv.conf, for the policy `Default`."""
    policy = pod.spec.get("dnsPolicy") or "ClusterFirst"
    servers: list[str] = []
    searches: list[str] = []
    options: dict[str, str] = {}
    if policy in {"ClusterFirst", "ClusterFirstWithHostNet"}:
        servers = [str(dns)]
        searches = [f"{pod.metadata.namespace}.svc.{CLUSTER_DOMAIN}", f"svc.{CLUSTER_DOMAIN}", CLUSTER_DOMAIN]
        options = {"ndots": "5"}
    elif policy == "Default":
        servers, searches, options = parse_resolv_conf(host)
    own = pod.spec.get("dnsConfig") or {}
    servers = list(dict.fromkeys([*servers, *(own.get("nameservers") or [])]))
    searches = list(dict.fromkeys([*searches, *(own.get("searches") or [])]))[:_MOST_SEARCH_DOMAINS]
    options |= {option["name"]: option.get("value") or "" for option in own.get("options") or []}
    lines = [f"search {' '.join(searches)}"] if searches else []
    lines += [f"nameserver {server}" for server in servers]
    if options:
        lines.append("options " + " ".join(f"{name}:{value}" if value else name for name, value in options.items()))
    return "\n".join(lines) + "\n"


def parse_resolv_conf(text: str) -> tuple[list[str], list[str], dict[str, str]]:
    servers: list[str] = []
    searches: list[str] = []
    options: dict[str, str] = {}
    for line in text.splitlines():
        match line.split():
            case ["nameserver", server, *_]:
                servers.append(server)
            case ["search" | "domain", *names]:
                searches = names
            case ["options", *given]:
                pairs = (option.partition(":") for option in given)
                options |= {name: value for name, _, value in pairs}
    return servers, searches, options


def hosts_file(pod: PodDocument, address: str) -> str:
    lines = [
        "# Kubernetes-managed hosts file.",
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
    ]
    name = pod.hostname
    if subdomain := pod.spec.get("subdomain"):
        name = f"{name}.{subdomain}.{pod.metadata.namespace}.svc.{CLUSTER_DOMAIN}\t{name}"
    lines.append(f"{address}\t{name}")
    aliases = pod.spec.get("hostAliases") or []
    if aliases:
        lines += ["", "# Entries added by HostAliases."]
        lines += [f"{alias['ip']}\t" + "\t".join(alias.get("hostnames") or []) for alias in aliases]
    return "\n".join(lines) + "\n"


def files(pod: PodDocument, address: str, dns: IPv4Address) -> dict[str, str]:
    host = Path("/etc/resolv.conf")
    return {
        "hosts": hosts_file(pod, address),
        "hostname": f"{pod.hostname}\n",
        "resolv.conf": resolv_conf(pod, dns, host.read_text() if host.exists() else ""),
    }


def write_files(directory: Path, files: Mapping[str, str]) -> None:
    """Written in place where they exist: running containers have these very files mounted."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o711)
    for name, text in files.items():
        path = directory / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            path.chmod(0o644)


def mounts(directory: Path) -> list[Mount]:
    return [
        Mount(directory / "hosts", "/etc/hosts"),
        Mount(directory / "resolv.conf", "/etc/resolv.conf"),
        Mount(directory / "hostname", "/etc/hostname"),
    ]
