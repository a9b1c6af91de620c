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
def status(
    *,
    cluster: Annotated[str, typer.Argument(help="A RayCluster, on whatever Kubernetes the kubeconfig names.")] = "",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="By default the context's.")] = "",
    context: Annotated[str, typer.Option("--context", help="Context of the kubeconfig; by default the current.")] = "",
    kubeconfig: Annotated[Path | None, typer.Option("--kubeconfig", help="Kubeconfig to use.")] = None,
    output: OutputOption = Output.text,
) -> None:
    """Say what runs here, or how a RayCluster is and how it recovered.

    Without a name: exit code 1 when the local Kubernetes is not up.
    """
    if cluster:
        from headstay.cli import cluster_status

        cluster_status.show(cluster_status.Options(cluster, kubeconfig, context, namespace, output))
        return
    if namespace or context or kubeconfig:
        raise UserError("-n, --context and --kubeconfig go with the name of a RayCluster", code=2)
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
    """Take the finalizers off RayClusters and RayServices, for when no operator is left to do it.

    Names the storage namespaces whose keys stay in Redis.
    """
    from headstay.cli import release

    release.release_finalizers(
        release.Options(kubeconfig, context, namespace, all_namespaces, assume_yes=yes, force=force, output=output)
    )


@app.command()
def drill(
    *,
    faults: Annotated[
        str,
        typer.Option("--faults", "-f", help="What to break: names, or [bold]all[/], with commas; see --list."),
    ] = "all",
    runs: Annotated[int, typer.Option("--runs", min=1, max=1000, help="How often each.")] = 1,
    recovery: Annotated[
        str, typer.Option("--recovery", help="InPlace (default), RestartHead or both: how the GCS is brought back.")
    ] = "",
    seed: Annotated[
        int | None, typer.Option("--seed", help="Draws order and moments; the same again does the same.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the report and the histories.")] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, max=50, help="Of the cluster that is made.")] = 2,
    image: Annotated[str, typer.Option("--image", help="Ray image of the cluster that is made.")] = "",
    ray_version: Annotated[str, typer.Option("--ray-version", help="Ray version of the cluster that is made.")] = "",
    serve: Annotated[
        str,
        typer.Option(
            "--serve",
            metavar="RATE[,RATE...]",
            help="Make a RayService, and send it so many requests a second through each fault, at each rate.",
        ),
    ] = "",
    target: Annotated[
        str, typer.Option("--target", help="Break this RayCluster instead of one of the drill's own.")
    ] = "",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Of the --target.")] = "",
    context: Annotated[str, typer.Option("--context", help="Context of the kubeconfig; by default the current.")] = "",
    kubeconfig: Annotated[Path | None, typer.Option("--kubeconfig", help="Kubeconfig to use.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and touched; touch nothing.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="Say what can be broken.")] = False,
    output: OutputOption = Output.text,
) -> None:
    """Break a Ray cluster on purpose, and judge from a recorded history whether it held what was promised.

    A drill makes a namespace of its own with a Redis and a RayCluster, keeps a workload running in it (detached actors
    that count, tasks, named actors, placement groups, jobs, writes to the GCS), breaks one thing after the other, and
    removes all of it. The report is one page, [bold]report.html[/], and [bold]report.json[/] for programs.

    [bold]headstay drill[/] breaks everything once;
    [bold]headstay drill -f gcs-kill,redis-away:20 --runs 5[/] two things five times each;
    [bold]headstay drill -f redis-flush+gcs-kill[/] two things at once;
    [bold]headstay drill -f all --runs 20 --recovery both[/] is a campaign that compares both ways to recover;
    [bold]headstay drill --serve 50 -f gcs-kill,head-pod,upgrade[/] counts what Serve loses under 50 requests a second.

    Ctrl-C ends it in good order: what was broken is healed, and the report is about what was done until then. Faults
    that last heal by themselves, even if the drill is killed. A RayCluster that the drill did not make is broken only
    with --target, and if it has the annotation headstay.io/drill-allowed: "true" or you type its name.

    Exit code 0: everything was done and found valid. 1: something was not. 2: asked wrongly.
    """
    from headstay.cli import drill as drill_command

    drill_command.drill(
        drill_command.Options(
            faults=faults,
            runs=runs,
            recovery=recovery,
            seed=seed,
            out=out,
            workers=workers,
            image=image,
            ray_version=ray_version,
            serve=serve,
            target=target,
            namespace=namespace,
            context=context,
            kubeconfig=kubeconfig,
            dry_run=dry_run,
            list=list_,
            output=output,
        )
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
