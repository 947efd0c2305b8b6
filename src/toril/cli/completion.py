"""`toril completion`: print a shell's completion script."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from toril.errors import ConfigurationError

# Click keeps the line breaks of a paragraph that starts with a line of \b only.
_HELP = """Print a shell's completion script.

\b
bash:  eval "$(toril completion bash)"
zsh:   eval "$(toril completion zsh)"
fish:  toril completion fish | source
"""


@click.command(help=_HELP)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a shell's completion script."""
    kind = get_completion_class(shell)
    if kind is None:
        raise ConfigurationError(f"completion is not available for {shell}")
    click.echo(kind(context.find_root().command, {}, "toril", "_TORIL_COMPLETE").source())
