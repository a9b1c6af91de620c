"""`kubectl headstay`: the part of the command line that is about a cluster, under the name where kubectl looks."""

from pathlib import Path
from typing import Annotated

import typer

from headstay.cli.output import OUTPUT_OPTION, Output, UserError, fail

app = typer.Typer(
    name="kubectl headstay",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="GCS fault tolerance of RayClusters.",
)


@app.callback()
def _commands() -> None:
    """Makes `status` a command of its own, with others to come beside it."""


@app.command()
def status(
    *,
    cluster: Annotated[str, typer.Argument(help="Name of the RayCluster.")],
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="By default the context's.")] = "",
    context: Annotated[str, typer.Option("--context", help="Context of the kubeconfig; by default the current.")] = "",
    kubeconfig: Annotated[Path | None, typer.Option("--kubeconfig", help="Kubeconfig to use.")] = None,
    output: Annotated[Output, OUTPUT_OPTION] = Output.text,
) -> None:
    """Show a RayCluster's head, GCS, Redis, workers and last recoveries."""
    from headstay.cli import cluster_status

    cluster_status.show(cluster_status.Options(cluster, kubeconfig, context, namespace, output))


def main() -> None:
    try:
        app(prog_name="kubectl headstay")
    except UserError as error:
        fail(error)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
