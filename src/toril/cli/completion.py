"""`toril completion`: what a shell needs to complete commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from toril.errors import ConfigurationError


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    r"""Print the completion script of a SHELL.

    \b
    bash:  eval "$(toril completion bash)"
    zsh:   eval "$(toril completion zsh)"
    fish:  toril completion fish | source
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise ConfigurationError(f"there is no completion for {shell}")
    click.echo(kind(context.find_root().command, {}, "toril", "_TORIL_COMPLETE").source())
