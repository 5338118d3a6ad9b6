"""``accelerate launch -m grounded.training STAGE ...``: the train command where a launcher needs a module."""

import typer

from .cli import train

if __name__ == "__main__":
    typer.run(train)
