"""Help screens without rich: importing its Markdown and tracebacks takes longer than the rest of `ganvas --help`."""

import functools
import inspect
import re
import textwrap
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol, get_type_hints

from typer import Option, style
from typer.core import TyperCommand, TyperGroup

from ..paths import as_address, refuse_address, user_path

FREE_TEXT = {"label", "set"}  # a caption may hold an address
CHANGES = ("upscale", "restore", "remove", "edit-region", "translate", "stylize")  # images of a folder
REMOTE = {  # options that take addresses, by their commands
    *(("train", name) for name in ("outdir", "data", "eval_data")),
    *(("tune", "data"), ("stylize", "content"), ("synthesize", "output")),
    *(("features", name) for name in ("data", "output")),
    *((command, name) for command in CHANGES for name in ("source", "output")),
}
WIDEST = 26  # characters of a name beside its help; a longer name has a line of its own

# `ctx: Any` below is click's Context, which newer versions of typer bring along under another name.
Sections = dict[str, list[tuple[str, str]]]  # heading: (name, help) of each row


class Formatter(Protocol):
    """Receiver of a help screen, `width` characters wide: click's, or the copy of it in newer versions of typer."""

    width: int

    def write(self, string: str) -> None: ...


def write_sections(formatter: Formatter, sections: Sections) -> None:
    """Write the rows of every section under its heading, all with the same indentation."""
    lengths = [len(name) for rows in sections.values() for name, _ in rows]
    column = 4 + max((n for n in lengths if n <= WIDEST), default=0)
    for heading, rows in sections.items():
        formatter.write("\n" + style(heading, fg="green", bold=True) + "\n")
        for name, text in rows:
            text = re.sub(r" *\[default: \(?(.*?)\)?(?=[];])", _unbroken, text).replace("  [", " [")
            lines = textwrap.wrap(text, max(formatter.width - column, 20), break_on_hyphens=False)
            if len(name) > WIDEST:
                lines.insert(0, "")
            margin = "  " + style(name, fg="cyan") + " " * (column - 2 - len(name))
            for line in lines or [""]:
                formatter.write((margin + line).replace("\xa0", " ").rstrip() + "\n")
                margin = " " * column


def _unbroken(default: re.Match[str]) -> str:
    """Default of an option in one form, with spaces at which no line is broken."""
    return " " + f"[default: {default[1]}".replace(" ", "\xa0")


def _options(command: TyperCommand | TyperGroup, ctx: Any) -> Sections:
    """Arguments and options of a command under the headings of their `rich_help_panel`, by default their kind."""
    sections: Sections = {"Arguments": [], "Options": []}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record:
            name = re.sub(r"<list\[(\w+)\]>", lambda m: f"<{m[1].lower()}>", record[0])
            heading = getattr(param, "rich_help_panel", None)
            heading = heading if isinstance(heading, str) else f"{param.param_type_name.capitalize()}s"
            sections.setdefault(heading, []).append((name, record[1]))
    return {heading: rows for heading, rows in sections.items() if rows}


def option_group(heading: str) -> Callable[..., Any]:
    """`typer.Option` for options under a heading of the help screen."""
    return functools.partial(Option, rich_help_panel=heading)


def expand_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Turn parameters of a command that are dataclasses of options into an option for each field, in their place."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    keyword = inspect.Parameter.KEYWORD_ONLY
    options = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            types = get_type_hints(groups[name], include_extras=True)
            for f in fields(groups[name]):
                options.append(inspect.Parameter(f.name, keyword, default=f.default, annotation=types[f.name]))
        else:
            options.append(parameter.replace(kind=keyword, annotation=hints[name]))

    def run(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{f.name: values.pop(f.name) for f in fields(group)})
        command(**values)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    return run


class Command(TyperCommand):
    """A command whose help lists arguments and options, and whose paths are those of the user."""

    def invoke(self, ctx: Any) -> Any:
        """Expand `~` in paths and refuse addresses, in every argument and option but free text."""
        for param in self.params:
            if param.name not in FREE_TEXT:
                option = max(param.opts, key=len) if param.opts[0][:1] == "-" else str(param.metavar or param.name)
                remote = (self.name, param.name) in REMOTE
                ctx.params[param.name] = _user_value(ctx.params.get(param.name), option, remote)
        return super().invoke(ctx)

    def format_options(self, ctx: Any, formatter: Formatter) -> None:
        write_sections(formatter, _options(self, ctx))


def _user_value(value: Any, option: str, remote: bool) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_user_value(part, option, remote) for part in value)
    address = as_address(value) if remote and isinstance(value, (str, Path)) else None
    if address and not address.startswith("file:"):
        return value
    if isinstance(value, Path):
        return user_path(value, option)
    if isinstance(value, str):
        refuse_address(value, option)
    return value


class Group(TyperGroup):
    """A group whose help lists its commands under the headings of their `rich_help_panel`."""

    def format_options(self, ctx: Any, formatter: Formatter) -> None:
        sections: Sections = {}
        for name, command in self.commands.items():
            panel = getattr(command, "rich_help_panel", None)
            summary = (command.help or "").partition("\n\n")[0].replace("\n", " ")
            sections.setdefault(panel if isinstance(panel, str) else "Commands", []).append((name, summary))
        write_sections(formatter, sections | _options(self, ctx))
