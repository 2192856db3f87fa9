"""A parser whose errors name what was probably meant."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from mixedfit.core.errors import nearest
from mixedfit.core.format import join_words

__all__ = ["HintingParser"]

_COMMANDS = {
    "bayes": "gibbs",
    "contrasts": "emmeans",
    "describe": "explain",
    "help": "--help",
    "lmer": "fit",
    "lmm": "fit",
    "lsmeans": "emmeans",
    "means": "emmeans",
    "plot": "report",
    "posterior": "gibbs",
    "summary": "fit",
    "test": "anova",
    "tests": "anova",
}
"""Commands that one may try, and those there are."""

_OPTIONS = {
    "--alpha": "--level",
    "--cor": "--residual",
    "--correlation-structure": "--residual",
    "--covariance": "--residual",
    "--conf": "--level",
    "--contrast": "--contrasts",
    "--delim": "--sep",
    "--delimiter": "--sep",
    "--df": "--ddf",
    "--dec": "--decimal",
    "--method": "--contrasts",
    "--newdata": "--new",
    "--output": "--out",
    "--pairs": "--contrasts",
    "--posthoc": "--contrasts",
    "-o": "--out",
}
"""Options that one may try, and those there are."""


class HintingParser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence with the nearest name, without the usage."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return the arguments; exit with a hint if one is not known."""
        known, rest = self.parse_known_args(args, namespace)
        if rest:
            owner = self._command_parser(getattr(known, "command", None))
            owner.error(_unknown(rest, list(owner._option_string_actions)))
        return known

    def _command_parser(self, command: str | None) -> argparse.ArgumentParser:
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction) and command in action.choices:
                found: argparse.ArgumentParser = action.choices[command]
                return found
        return self

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value that is none of the choices, with the nearest."""
        if action.choices is None or value in action.choices:
            return
        names = list(map(str, action.choices))
        if isinstance(action, argparse._SubParsersAction):
            use = _hint(str(value), names, _COMMANDS)
            raise argparse.ArgumentError(
                None, f"there is no command {str(value)!r}. {use}The commands are {join_words(names)}."
            )
        use = _hint(str(value), names, {})
        raise argparse.ArgumentError(
            None, f"{_name(action)} {value} is not known; expected {_or(names)}. {use}".rstrip()
        )

    def error(self, message: str) -> NoReturn:
        """Print an error and exit with code 2."""
        text = message.removeprefix("argument ")
        missing = "the following arguments are required: "
        if message.startswith(missing):
            names = message.removeprefix(missing).split(", ")
            text = f"{' and '.join(name.lower() for name in names)} missing"
        for kind, words in (("int", "a whole number"), ("float", "a number")):
            name, found, value = text.partition(f": invalid {kind} value: ")
            text = f"{name} {value} is not {words}" if found else text
        end = "" if text.endswith((".", "?")) else "."
        self.exit(2, f"{self.prog}: {text}{end} '{self.prog} --help' lists what it takes.\n")


def _name(action: argparse.Action) -> str:
    return "/".join(action.option_strings) or str(action.metavar or action.dest)


def _hint(name: str, known: Sequence[str], elsewhere: dict[str, str]) -> str:
    use = elsewhere.get(name.lower(), "")
    if use and (use in known or use == "--help"):
        return f"Did you mean {use!r}? "
    begins = [own for own in known if len(name) > 2 and own.startswith(name.lower())]
    found = f"Did you mean {begins[0]!r}?" if len(begins) == 1 else nearest(name, known)
    return f"{found} " if found else ""


def _or(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def _unknown(rest: Sequence[str], known: Sequence[str]) -> str:
    """Return the message on arguments that no option takes."""
    options = [text.split("=")[0] for text in rest if text.startswith("-") and text.strip("-")]
    if not options:
        shown = " ".join(rest)
        quotes = " Put the formula in quotes." if any(sign in shown for sign in "~+|*:") else ""
        return f"unexpected {shown!r}.{quotes}"
    return " ".join(_of_option(option, known) for option in dict.fromkeys(options))


def _of_option(option: str, known: Iterable[str]) -> str:
    names = [name for name in known if name.startswith("--")]
    if option.lower() == "--reml" and "--ml" in names:
        return "there is no option --reml: REML is the default, --ml chooses maximum likelihood."
    return f"there is no option {option}. {_hint(option, names, _OPTIONS)}".rstrip()
