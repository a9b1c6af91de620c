"""Living beside other firewalls, and giving back what was borrowed.

An `accept` in our own table cannot overrule a `drop` in somebody else's: docker sets the policy of iptables'
FORWARD chain to DROP, ufw also that of INPUT. Where iptables holds any rule for those chains, ours go in front of
them, marked by a comment. They let through what comes from or goes to our bridge; what may not reach it from the
outside is dropped earlier, by the `borders` chain of our own table.

Forwarding is switched on for the bridge (gone with it) and for the uplinks that did not have it, which the table
remembers; the machine is not made a router for anything else.
"""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

from headstay.local.config import LocalConfig
from headstay.local.network import machine
from headstay.local.network.commands import attempt, run
from headstay.local.network.rules import LENT_FORWARDING

_WAIT = ("-w", "5")


def _comment(config: LocalConfig) -> str:
    return f"headstay-{config.instance}"


def wanted_rules(config: LocalConfig) -> list[str]:
    """As `iptables -S` prints them."""
    end = f"-m comment --comment {_comment(config)} -j ACCEPT"
    bridge = config.bridge
    return [
        f"-A FORWARD -i {bridge} {end}",
        f"-A FORWARD -o {bridge} {end}",
        f"-A INPUT -i {bridge} -p udp -m udp --dport 53 {end}",
        f"-A INPUT -i {bridge} -p tcp -m tcp --dport 53 {end}",
        f"-A INPUT -i {bridge} -p tcp -m tcp --dport {config.api_port} {end}",
    ]


def missing_rules(listed: list[str], wanted: list[str]) -> list[str]:
    """Those to insert: none for a chain that lets everything through."""
    restricted = {
        chain for chain in ("FORWARD", "INPUT") if any(_restricts(line, chain) for line in listed if line not in wanted)
    }
    return [rule for rule in wanted if rule.split()[1] in restricted and rule not in listed]


def _restricts(line: str, chain: str) -> bool:
    return line.startswith(f"-A {chain} ") or (line.startswith(f"-P {chain} ") and not line.endswith(" ACCEPT"))


async def _listed() -> list[str]:
    """What iptables holds; asking must not load a table that nobody uses."""
    if shutil.which("iptables") is None:
        return []
    if "legacy" in (await run("iptables", "-V")):
        names = Path("/proc/net/ip_tables_names")
        if not _mentions(names, "filter"):
            return []
    outcome = await attempt("iptables", *_WAIT, "-S")
    # A table made by nft in ways iptables cannot express is none of iptables' chains either.
    return outcome.output.splitlines() if outcome.code == 0 else []


def _mentions(path: Path, word: str) -> bool:
    try:
        return word in path.read_text().split()
    except FileNotFoundError:
        return False


async def admit(config: LocalConfig) -> None:
    """Inserts what is missing; does nothing where iptables holds no restriction."""
    for rule in missing_rules(await _listed(), wanted_rules(config)):
        await run("iptables", *_WAIT, "-I", *shlex.split(rule)[1:])


async def withdraw(config: LocalConfig) -> None:
    mark = f"--comment {_comment(config)} "
    for rule in await _listed():
        if rule.startswith("-A ") and mark in rule:
            await run("iptables", *_WAIT, "-D", *shlex.split(rule)[1:])


async def table_exists(config: LocalConfig) -> bool:
    return (await attempt("nft", "-t", "list", "table", "ip", config.nft_table)).code == 0


async def lent_forwarding(config: LocalConfig) -> list[str]:
    """The uplinks whose forwarding an earlier run of this instance switched on."""
    outcome = await attempt("nft", "-j", "list", "set", "ip", config.nft_table, LENT_FORWARDING)
    if outcome.code != 0:
        return []
    found: list[str] = []
    for entry in json.loads(outcome.output).get("nftables", []):
        found += entry.get("set", {}).get("elem", [])
    return found


async def lend_forwarding(already: list[str]) -> list[str]:
    """Switches forwarding on for uplinks without it; all that this instance has switched on so far."""
    fresh = [name for name in await machine.uplinks() if not machine.forwards(name)]
    for name in fresh:
        machine.set_forwarding(name, on=True)
    return sorted({*already, *fresh})


async def remove_table(config: LocalConfig) -> None:
    """Our table, and the forwarding it remembers, unless the whole machine has come to forward meanwhile."""
    if not machine.forwards("all"):
        for name in await lent_forwarding(config):
            machine.set_forwarding(name, on=False)
    if await table_exists(config):
        await run("nft", "delete", "table", "ip", config.nft_table)


async def obstacles(config: LocalConfig) -> list[str]:
    """Chains of others that drop what no rule lets through, and that we cannot get in front of: for people to mend.

    iptables' own tables are not among them: `admit` puts rules there.
    """
    outcome = await attempt("nft", "-j", "list", "chains")
    if outcome.code != 0:
        return []
    return blocking_chains(json.loads(outcome.output), config)


def blocking_chains(listed: dict[str, Any], config: LocalConfig) -> list[str]:
    found = []
    for entry in listed.get("nftables", []):
        chain = entry.get("chain") or {}
        ours = chain.get("table") in {config.nft_table, "filter"} and chain.get("family") == "ip"
        if chain.get("hook") in {"forward", "input"} and chain.get("policy") == "drop" and not ours:
            found.append(f"{chain['family']} {chain['table']} {chain['name']}")
    return found
