from collections import defaultdict
from collections.abc import Iterator

from headstay.drill.history import Call
from headstay.drill.reading import Reading
from headstay.drill.verdict import Evidence, Verdict

NAME = "writes-kept"


def writes_kept(reading: Reading) -> Verdict:
    """Every write that the GCS acknowledged is read back afterwards, with its value or a later one's.

    A write that was never answered may appear at any later time, or never. After redis-flush and upgrade only what
    was acknowledged once the cluster had begun afresh is promised.
    """
    puts = _by_key(reading, "kv-put")
    gets = _by_key(reading, "kv-get")
    fresh = _began_afresh(reading)
    promised = {key: [put for put in calls if _acknowledged(put) and put.began >= fresh] for key, calls in puts.items()}
    evidence: list[Evidence] = []
    unread: list[str] = []
    read_back = 0
    for key, acknowledged in promised.items():
        reads = [call for call in gets.get(key, []) if call.outcome == "ok" and call.began >= fresh]
        evidence += _lost(key, reads, acknowledged, puts[key])
        read_back += sum(any(read.began > put.ended for read in reads) for put in acknowledged if put.ended is not None)
        if any(not _looked_for(reading, put, reads) for put in acknowledged):
            unread.append(key)
    if evidence:
        return Verdict(NAME, "invalid", f"Reads that miss an acknowledged write: {len(evidence)}.", tuple(evidence))
    if unread:
        return Verdict(
            NAME, "unknown", f"Acknowledged and never read after the fault: {', '.join(sorted(unread)[:5])}."
        )
    if not read_back and fresh == float("-inf"):
        return Verdict(NAME, "unknown", "No write was acknowledged and read back.")
    return Verdict(NAME, "valid", f"{read_back} acknowledged writes were there afterwards.")


def _by_key(reading: Reading, operation: str) -> dict[str, list[Call]]:
    found: dict[str, list[Call]] = defaultdict(list)
    for call in reading.by_operation.get(operation, []):
        found[call.subject].append(call)
    return dict(found)


def _began_afresh(reading: Reading) -> float:
    """From when on writes are promised again after all was given up on purpose; from ever where it was not."""
    flushes = reading.begun_afresh()
    if not flushes:
        return float("-inf")
    flushed = max(fault.healed or reading.run.ended for fault in flushes)
    starts = [phase.at for phase in reading.phases if phase.name in {"gcs-serving", "head-ready"}]
    starts += [
        at for life in reading.lives if life.pod.role in {"head", "worker"} for at in (*life.restarts, life.first)
    ]
    return max([flushed, *(at for at in starts if at > flushed), reading.back or flushed])


def _acknowledged(put: Call) -> bool:
    return put.outcome == "ok" and put.ended is not None


def _lost(key: str, reads: list[Call], acknowledged: list[Call], puts: list[Call]) -> Iterator[Evidence]:
    for read in reads:
        before = [put for put in acknowledged if put.ended is not None and put.ended < read.began]
        if not before:
            continue
        # What was written and acknowledged before another write began cannot be the value any more, once that one is
        # acknowledged too. All other writes that had begun, and did not certainly fail, can.
        newest = max(put.began for put in before)
        can_be = [
            put
            for put in puts
            if put.began <= (read.ended or read.began)
            and put.outcome != "failed"
            and (put.outcome == "unknown" or put.ended is None or put.ended >= newest)
        ]
        # A write that was never answered may have been recorded without its value: then any value may be its own.
        if read.value is None or not any(put.value is None or str(put.value) == str(read.value) for put in can_be):
            last = max(before, key=lambda put: put.began)
            seen = "nothing" if read.value is None else repr(read.value)
            text = f"{key} was {seen}, although {last.value!r} had been acknowledged before"
            yield Evidence("lost", key, read.ended, text)


def _looked_for(reading: Reading, put: Call, reads: list[Call]) -> bool:
    """Whether it was looked for: after it was acknowledged, and, if made before the fault was over, after the fault.

    What was written when all was over proves nothing about the fault, so nobody has to have read it.
    """
    if reading.injected is None or put.ended is None:
        return False
    over = reading.over or reading.injected
    return put.began > over or any(read.began > max(put.ended, reading.injected) for read in reads)
