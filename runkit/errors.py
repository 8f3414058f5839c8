"""Bad input from outside: one clear message, exit code 2, nothing written.

Exit codes of the binaries: 0 done; 1 internal error (traceback); 2 bad input,
or a path or memory that the system refuses;
75 interrupted after saving, run the same command again (EX_TEMPFAIL);
130 stopped by Ctrl-C: what was finished before is on disk.
"""

from __future__ import annotations

import difflib
import errno
import os
import pathlib
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from absl import app, flags, logging

if TYPE_CHECKING:
    from runkit.flag_values import Flag

flags.disclaim_key_flags()  # Those of `run_binary` belong to its caller.

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 75
EXIT_KEYBOARD = 130  # 128 + SIGINT, as shells count.
_FREE_ROOM = "Free some room and retry"
# By what the system says of a path; anything else: `_CHECK_PATH`.
_REMEDIES = {
    errno.ENOSPC: _FREE_ROOM,
    errno.EDQUOT: _FREE_ROOM,
    errno.EROFS: "Name a place that can be written",
    errno.EACCES: "Name a place that you may use, or change its permissions",
    errno.EPERM: "Name a place that you may use, or change its permissions",
    errno.ENAMETOOLONG: "Give a shorter name",
    errno.ELOOP: "Repair the symbolic link",
}
# TensorFlow's, which is not imported for its name.
_NO_MEMORY = ("ResourceExhaustedError",)
_CHECK_PATH = "Check this path, and give the command again"


class InputError(ValueError):
    """Input from outside that cannot be used.

    Args:
        what: what is wrong, as a sentence without a full stop.
        where: the flag, file, field or argument that it came from.
        got: the offending value (shown with `repr`; of more than 200
            characters the middle is left out, since a path is told by its
            end).
        expected: what would have been right.
        remedy: what to do about it.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        got: object = None,
        expected: str = "",
        remedy: str = "",
    ):
        self.what, self.where = what, where
        parts = [f"{where}: {what}" if where else what]
        if got is not None:
            text = repr(got)
            parts.append(f"got {_middle_cut(text)}")
        if expected:
            parts.append(f"expected {expected}")
        # A question or "1, 2, ..." ends already.
        super().__init__(
            " ".join(
                text if text.endswith((".", "?", "!")) else f"{text}."
                for text in ("; ".join(parts), remedy)
                if text
            )
        )


def _middle_cut(text: str, longest: int = 200) -> str:
    half = (longest - len(" ... ")) // 2
    if len(text) <= longest:
        return text
    return f"{text[:half]} ... {text[-half:]}"


class InterruptedRun(Exception):
    """A run that stops, and goes on from its saved state when asked again.

    A termination signal came, or object storage does not answer.
    """


def cannot_listen(error: BaseException, host: str, port: int) -> InputError:
    """The error of a server that does not get the port of --port."""
    return InputError(
        f"cannot listen there ({error})",
        where="--port",
        got=f"{host}:{port}",
        remedy="Name another port; 0 takes a free one",
    )


def closest(name: str, known: Iterable[str]) -> str:
    """Returns "Did you mean ...?" with the nearest known name.

    Lists the known names too, unless there are very many.
    """
    names = sorted(str(k) for k in known)
    folded = {n.casefold(): n for n in reversed(names)}
    # Too many names to list: the nearest is named however far it is.
    is_short = len(names) <= 80
    near = difflib.get_close_matches(
        str(name).casefold(), folded, n=1, cutoff=0.5 if is_short else 0.0
    )
    parts = [f"Did you mean {folded[near[0]]!r}?"] if near else []
    if is_short:
        parts.append(f"Known: {', '.join(names)}")
    return " ".join(parts)


def check_choice(name: str, known: Iterable[str], *, where: str) -> str:
    """Returns `name` if it is known, else raises with the nearest name."""
    known = list(known)
    if name not in known:
        raise InputError(
            "unknown name", where=where, got=name, remedy=closest(name, known)
        )
    return name


def _define_flags(flag_table: Iterable[Flag], module: str) -> None:
    """Defines flags that `--help` shows, with the module's docstring."""
    for flag in flag_table:
        flag.define()
        # The main module of an installed command is its script, not the
        # module that calls `run_binary`.
        defined = flags.FLAGS[flag.name]
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], defined)
    script = sys.modules["__main__"]
    script.__doc__ = script.__doc__ or sys.modules[module].__doc__


def in_flags(
    error: InputError, flag_table: Iterable[Flag], given: Iterable[str] = ()
) -> str:
    """Returns the message with a field called by the flag that sets it.

    Args:
        error: the error whose `where` may begin with a field or an argument.
        flag_table: of the binary.
        given: the assignments "section.field=value" of --set.
    """
    names = {flag.name: f"--{flag.name}" for flag in flag_table}
    names |= {f.field: f"--{f.name}" for f in flag_table if f.field}
    fields = [text.partition("=")[0] for text in given]
    names |= {field: f"--set={field}" for field in fields}
    found = re.match(r"[a-z_.]+(?![^:\[ ])", error.where)
    if not found or found[0] not in names:
        return str(error)
    return names[found[0]] + str(error)[found.end() :]


def _ending(
    error: BaseException, flag_table: Iterable[Flag] = ()
) -> tuple[int, str] | None:
    """Exit code and line that an error ends with; None: a traceback."""
    if isinstance(error, InputError):
        given = getattr(flags.FLAGS, "set", []) or []
        text = in_flags(error, flag_table, given)
        return EXIT_BAD_INPUT, f"error: {text}"
    if isinstance(error, InterruptedRun):
        return EXIT_INTERRUPTED, f"interrupted: {error}"
    if isinstance(error, KeyboardInterrupt):
        return EXIT_KEYBOARD, (
            "interrupted by Ctrl-C; the same command begins again after what "
            "is finished on disk"
        )
    if isinstance(error, MemoryError) or type(error).__name__ in _NO_MEMORY:
        said = " ".join(str(error).split())[:300]
        return EXIT_BAD_INPUT, (
            f"error: the memory does not suffice ({said}). Take a smaller "
            "model, batch or pool; spactor-plan says what a run takes."
        )
    if isinstance(error, OSError) and isinstance(error.filename, str | bytes):
        return EXIT_BAD_INPUT, f"error: {_of_path(error, flag_table)}"
    if isinstance(error, OSError) and error.errno in _REMEDIES:
        return EXIT_BAD_INPUT, f"error: {error}. {_REMEDIES[error.errno]}."
    return None


def _of_path(error: OSError, flag_table: Iterable[Flag]) -> InputError:
    """The system's word about a path, with the flag that leads there."""
    path = pathlib.Path(os.fsdecode(error.filename)).absolute()
    given = {f.name: getattr(flags.FLAGS, f.name, None) for f in flag_table}
    leading = {
        pathlib.Path(value).absolute(): f"--{name}"
        for name, value in given.items()
        if isinstance(value, str) and value
    }
    nearest = next((p for p in (path, *path.parents) if p in leading), None)
    return InputError(
        error.strerror or str(error),
        where=leading[nearest] if nearest else "",
        got=str(path),
        remedy=_REMEDIES.get(error.errno or 0, _CHECK_PATH),
    )


def _in_words(error: flags.Error) -> str:
    """Absl's message, without Python's own about a number."""
    found = re.match(
        r"flag --(\w+)=(.*): (invalid literal for int|could not convert)",
        str(error),
        re.DOTALL,
    )
    if not found:
        return str(error)
    name, value, reason = found.groups()
    kind = "a number" if reason == "could not convert" else "a whole number"
    return str(InputError(f"is not {kind}", where=f"--{name}", got=value))


def run_binary(
    main: Callable[[Sequence[str]], object], flag_table: Iterable[Flag] = ()
) -> None:
    """Runs an absl main; bad input ends with its message and exit code 2.

    Args:
        main: called with the arguments left over by the flag parser. Left-over
            arguments are refused: they are nearly always a flag without `--`.
        flag_table: the binary's flags, which are defined here; see
            `runkit.flag_values`.
    """
    _define_flags(flag_table, main.__module__)
    # TensorFlow's start-up notes would bury the run's own lines.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    def parse(argv: Sequence[str]) -> list[str]:
        try:
            return flags.FLAGS(argv)
        except SystemExit:
            sys.exit(0)  # --help and its like, which absl ends with 1.
        except flags.Error as error:
            # absl names the flag and, if there is one, the nearest flag.
            print(f"error: {_in_words(error)}", file=sys.stderr)
            sys.exit(EXIT_BAD_INPUT)

    def guarded(argv: Sequence[str]) -> None:
        try:
            if len(argv) > 1:
                raise InputError(
                    "unexpected argument",
                    where="command line",
                    got=argv[1],
                    remedy="Options are given as --name=value",
                )
            if not flags.FLAGS["verbosity"].present:
                logging.set_verbosity(logging.WARNING)
            main(argv)
        except (Exception, KeyboardInterrupt) as error:
            ending = _ending(error, flag_table)
            if ending is None:
                raise
            code, line = ending
            print(line, file=sys.stderr)
            sys.exit(code)

    app.run(guarded, flags_parser=parse)
