"""`headstay images prepare`: what the samples need, fetched before any Pod waits for it."""

import asyncio

import yaml

from headstay import __version__
from headstay.cli.output import UserError, console
from headstay.cli.quickstart.place import SAMPLE, sample_path
from headstay.local.config import LocalConfig
from headstay.local.node import images


def prepare(references: list[str]) -> None:
    wanted = references or sorted(_images_of_sample() | {f"headstay/operator:{__version__}"})
    config = LocalConfig.from_environment()
    with console.status("preparing") as line:
        try:
            asyncio.run(images.prepare_images(config, wanted, line.update))
        except images.ImageError as error:
            raise UserError(str(error)) from error
    for reference in wanted:
        console.print(f"[green]✓[/] {reference}")


def _images_of_sample() -> set[str]:
    found: set[str] = set()

    def collect(node: object) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("image"), str):
                found.add(node["image"])
            for value in node.values():
                collect(value)
        elif isinstance(node, list):
            for value in node:
                collect(value)

    for document in yaml.safe_load_all(sample_path(SAMPLE).read_text()):
        collect(document)
    return found
