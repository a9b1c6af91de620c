"""The real thing is the judge: the same transcripts on both servers, every difference listed with its class."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.conformance.servers import Server
from tests.conformance.transcript import HERE, allowance, differences, load, load_allowed, play

TRANSCRIPTS = sorted((HERE / "transcripts").glob("*.yaml"))


@pytest.fixture(scope="session")
def counted() -> Iterator[Counter[str]]:
    counter: Counter[str] = Counter()
    yield counter
    print("\nlisted differences met: " + (", ".join(f"{n} {kind}" for kind, n in sorted(counter.items())) or "none"))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_both_servers_answer_alike(
    path: Path, local: Server, judge: Server, tmp_path: Path, counted: Counter[str]
) -> None:
    transcript = load(path)
    with ThreadPoolExecutor(max_workers=2) as pool:
        ours = pool.submit(play, transcript, local, tmp_path / "local")
        theirs = pool.submit(play, transcript, judge, tmp_path / "judge")
        found = differences(transcript, ours.result(), theirs.result())
    allowed = load_allowed()
    unexplained = []
    for difference in found:
        entries = allowance(difference, allowed)
        if not entries:
            unexplained.append(
                f"step {difference.step}: {difference.run}\n--- local\n{difference.local}\n"
                f"--- judge\n{difference.judge}"
            )
        counted.update(entry.kind for entry in entries)
    assert not unexplained, "\n\n".join(unexplained)
