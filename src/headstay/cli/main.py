"""The `headstay` command.

Exit codes: 0 ok, 1 the thing asked for failed or was found wanting, 2 usage. Commands import what they need when
they run, so that `headstay status` does not pay for what `headstay up` needs.
"""

from pathlib import Path
from typing import Annotated

import typer

from headstay import __version__
from headstay.cli.output import OUTPUT_OPTION, Output, UserError, console, fail, print_json

app = typer.Typer(
    name="headstay",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="""Keeps Ray clusters alive when their head fails.

    [bold]headstay up[/] starts a Kubernetes on this machine with the operator in it; after that everything is plain
    [bold]kubectl[/]. [bold]headstay quickstart[/] walks through GCS fault tolerance with real Ray and real Redis.""",
)
images_app = typer.Typer(no_args_is_help=True, help="The local node's images.")
app.add_typer(images_app, name="images")
release_app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)

OutputOption = Annotated[Output, OUTPUT_OPTION]


@app.command()
def up() -> None:
    """Start the local Kubernetes and install the operator. A second `up` changes nothing."""
    from headstay.cli import lifecycle

    lifecycle.up()


@app.command()
def down(
    purge: Annotated[bool, typer.Option("--purge", help="Also remove objects, volumes and all other state.")] = False,
    purge_images: Annotated[bool, typer.Option("--purge-images", help="Also remove the image cache.")] = False,
) -> None:
    """Stop the local Kubernetes and take away every process, mount, namespace and link it made.

    Objects and volumes stay for the next `up`, unless --purge. Nothing running is fine.
    """
    from headstay.cli import lifecycle

    lifecycle.down(purge=purge, purge_images=purge_images)


@app.command()
def status(output: OutputOption = Output.text) -> None:
    """Say what runs. Exit code 1 when the local Kubernetes is not up."""
    from headstay.cli import status as status_command

    status_command.show(output)


@app.command()
def kubeconfig() -> None:
    """Print the path of the kubeconfig that `up` writes, for: export KUBECONFIG=$(headstay kubeconfig)."""
    from headstay.local.config import LocalConfig

    typer.echo(LocalConfig.from_environment().kubeconfig)


@app.command()
def doctor(output: OutputOption = Output.text) -> None:
    """Say what this machine lacks for the local Kubernetes, and how to get it."""
    from headstay.cli import doctor as doctor_command

    doctor_command.show(output)


@app.command()
def quickstart(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end.")] = False,
    context: Annotated[str, typer.Option("--context", help="Run against this kubeconfig context instead.")] = "",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="With --context: use this namespace.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --context: do not ask before starting.")] = False,
    output: OutputOption = Output.text,
) -> None:
    """Walk through GCS fault tolerance: a detached actor counts to 1, the GCS is killed, it counts to 2.

    Every command is printed before it runs, so that you could type it yourself. Exit code 0 only if each step came
    out as expected.
    """
    from headstay.cli.quickstart import run

    run.quickstart(run.Options(keep=keep, context=context, namespace=namespace, assume_yes=yes, output=output))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def operator(context: typer.Context) -> None:
    """Run the operator in the foreground, against any cluster (see: headstay operator --help).

    `headstay operator release-finalizers` lets RayClusters go that no operator will clean up after.
    """
    if context.args[:1] == ["release-finalizers"]:
        release_app(context.args[1:], prog_name="headstay operator release-finalizers", standalone_mode=False)
        return
    from headstay.controllers import main as operator_main

    raise SystemExit(operator_main.main(context.args))


@release_app.command()
def release_finalizers(
    *,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="By default the context's.")] = "",
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A", help="In every namespace.")] = False,
    context: Annotated[str, typer.Option("--context", help="Context of the kubeconfig; by default the current.")] = "",
    kubeconfig: Annotated[Path | None, typer.Option("--kubeconfig", help="Kubeconfig to use.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even while an operator is running.")] = False,
    output: OutputOption = Output.text,
) -> None:
    """Take the Redis cleanup finalizer off RayClusters, for when no operator is left to do it.

    Names the storage namespaces whose keys stay in Redis.
    """
    from headstay.cli import release

    release.release_finalizers(
        release.Options(kubeconfig, context, namespace, all_namespaces, assume_yes=yes, force=force, output=output)
    )


@images_app.command("prepare")
def images_prepare(
    references: Annotated[list[str] | None, typer.Argument(help="Image references; the samples' by default.")] = None,
) -> None:
    """Make images ready before any Pod asks for them."""
    from headstay.cli import images

    images.prepare(references or [])


@app.command()
def version(output: OutputOption = Output.text) -> None:
    """Print the version."""
    if output is Output.json:
        print_json({"headstay": __version__})
    else:
        console.print(f"headstay {__version__}")


def main() -> None:
    try:
        app()
    except UserError as error:
        fail(error)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
