"""The command line: ``mixedfit fit|gibbs|compare|report DATA FORMULA`` and others; ``mixedfit --help`` lists them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from mixedfit.core.errors import MixedfitError
from mixedfit.core.options import check_level

from .arguments import parser
from .commands import COMMANDS, EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_OK
from .model import read_data

__all__ = ["main", "read_data"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.
    """
    options = parser().parse_args(arguments)
    try:
        if hasattr(options, "level"):
            check_level(options.level)
        code = COMMANDS[options.command](options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader has seen enough, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except OSError as error:
        print(f"mixedfit: cannot write the output: {error.strerror or error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except MixedfitError as error:
        print(f"mixedfit: {type(error).__name__}: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("mixedfit: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
