"""RayServices among the metrics."""

from prometheus_client import CollectorRegistry
from tests.unit.plan.rayservices import UID, service

from headstay.controllers.metrics import OperatorMetrics


def test_rayservices_are_shown_as_kuberay_shows_them() -> None:
    registry = CollectorRegistry()
    metrics = OperatorMetrics(registry)
    found = [
        service(conditions=[{"type": "Ready", "status": "True"}, {"type": "UpgradeInProgress", "status": "Unknown"}])
    ]
    metrics.watch_services(lambda: found)
    who = {"name": "svc", "namespace": "default", "uid": UID}
    assert registry.get_sample_value("kuberay_service_info", who) == 1
    assert registry.get_sample_value("kuberay_service_condition_ready", who | {"condition": "true"}) == 1
    upgrading = "kuberay_service_condition_upgrade_in_progress"
    assert registry.get_sample_value(upgrading, who | {"condition": "false"}) == 1
    assert registry.get_sample_value(upgrading, who | {"condition": "true"}) is None
    found.clear()
    assert registry.get_sample_value("kuberay_service_info", who) is None
