"""`headstay doctor`."""

from headstay.cli.output import Output, console, print_json
from headstay.local.node import doctor


def show(output: Output) -> None:
    findings = doctor.examine()
    if output is Output.json:
        print_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            mark = "[green]✓[/]" if finding.ok else "[red]✗[/]"
            console.print(f"{mark} {finding.name}: {finding.detail}", soft_wrap=True)
            if not finding.ok:
                console.print(f"    [bold]{finding.fix}[/]", soft_wrap=True)
    if not all(finding.ok for finding in findings):
        raise SystemExit(1)
