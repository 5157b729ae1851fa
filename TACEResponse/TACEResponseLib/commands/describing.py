"""The commands that describe the program to others: to a shell, and to programs that read its files."""

import json
from argparse import Namespace
from pathlib import Path

from TACEResponseLib.messages.errors import DependencyError
from TACEResponseLib.messages.language import in_language, tr

from .options import command_line
from .output import DONE, Reporting, say_done


def completion(options: Namespace, progress: Reporting) -> int:
    """Print the script with which a shell completes commands, options and their values."""
    try:
        import shtab
    except ImportError:
        raise DependencyError(
            tr("completion needs the package shtab"), remedy=tr("install it with: pip install shtab")
        ) from None
    with in_language("en"):  # a script, which shells of any code page read
        parser = command_line()
        for command in parser.commands.values():
            for action in command._actions:  # argparse has no other list of them; shtab reads this one, too
                if action.type is Path:
                    action.complete = shtab.FILE
        script = shtab.complete(parser, options.shell)
    say_done(progress, script, script=script)
    return DONE


def schema(options: Namespace, progress: Reporting) -> int:
    """Print the JSON schema of a file that others read."""
    from .schemas import read_schema

    content = read_schema(options.name)
    say_done(progress, json.dumps(content, indent=2, ensure_ascii=False), schema=content)
    return DONE
