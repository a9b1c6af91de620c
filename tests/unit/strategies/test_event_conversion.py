import pytest

from headstay.local.server.conversion import CORE, EVENTS, convert_event
from headstay.model.objects import Obj

CORE_EVENT: Obj = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"name": "e", "namespace": "n"},
    "involvedObject": {"kind": "Pod", "name": "p"},
    "reason": "Started",
    "message": "Started container",
    "source": {"component": "kubelet", "host": "h"},
    "firstTimestamp": "2026-01-02T03:04:05Z",
    "lastTimestamp": "2026-01-02T03:04:06Z",
    "count": 2,
    "type": "Normal",
    "eventTime": None,
    "reportingComponent": "kubelet",
    "reportingInstance": "h",
    "related": {"kind": "Node"},
    "series": {"count": 3},
    "action": "a",
}


def test_a_core_event_reads_as_an_events_event() -> None:
    assert convert_event(CORE_EVENT, EVENTS) == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "n"},
        "regarding": {"kind": "Pod", "name": "p"},
        "reason": "Started",
        "note": "Started container",
        "deprecatedSource": {"component": "kubelet", "host": "h"},
        "deprecatedFirstTimestamp": "2026-01-02T03:04:05Z",
        "deprecatedLastTimestamp": "2026-01-02T03:04:06Z",
        "deprecatedCount": 2,
        "type": "Normal",
        "eventTime": None,
        "reportingController": "kubelet",
        "reportingInstance": "h",
        "related": {"kind": "Node"},
        "series": {"count": 3},
        "action": "a",
    }


def test_the_way_there_and_back_loses_nothing() -> None:
    assert convert_event(convert_event(CORE_EVENT, EVENTS), CORE) == CORE_EVENT
    assert convert_event(CORE_EVENT, CORE) is CORE_EVENT


def test_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match=r"events.k8s.io/v1beta1"):
        convert_event(CORE_EVENT, "events.k8s.io/v1beta1")
