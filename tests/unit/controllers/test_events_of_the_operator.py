"""Events name KubeRay's controller as their reporter, so that filters on it go on working."""

from prometheus_client import CollectorRegistry

from headstay.controllers.main import Operator, Options
from headstay.gcs.dashboard import HttpDashboard
from headstay.local.server.assembly import build_api
from headstay.local.server.inprocess import InProcessClient
from headstay.plan.raycluster.settings import Settings
from headstay.runtime.metrics import Metrics


def test_events_are_reported_by_the_controller_of_their_kind() -> None:
    options = Options(
        kubeconfig=None,
        context="",
        insecure=False,
        namespaces=(),
        metrics_address="",
        leader_election=False,
        lease_namespace="",
        workers=1,
    )
    client = InProcessClient(build_api())
    operator = Operator(
        client,
        None,
        Settings(),
        options,
        Metrics(CollectorRegistry()),
        dashboard=HttpDashboard(),
        debt_namespace="headstay-system",
    )
    assert operator._events._component == "raycluster-controller"
    assert operator._service_events._component == "rayservice-controller"
