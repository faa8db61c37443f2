"""The English of the code: the field's terms, one word for one thing, sentences that stand alone.

`python tests/test_words.py [PATH...]` lists what is left to change.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
ROOT = PROJECT / "src/ganvas"
FILES = sorted(ROOT.rglob("*.py"))
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]

# Participles say nothing about what a value holds; the other words have a term in the field.
NAMES = re.compile(
    r"_*(found|made|told|asked|suited|settled|paid|shown|kept|named|wanted|said|imposed|begun|noted|looked)\d?"
    r"|\w*(picture|verdict)\w*|piles?|judges?",
    re.IGNORECASE,
)
# A docstring stands alone in an editor, in `ganvas list` and in the tables of the documentation.
OPENINGS = re.compile(r"(What|How|Whether|Where|Which|Who|Why|When|The same|As a|Another|One more|One;|That|Those)\b")
WORDS = re.compile(
    r"\b(pictures?|verdicts?|piles?|a person('s)?|somebody|anybody|whoever|nobody|a walk between|ways? down|where to\?"
    r"|the doors?|told|what (it|they|he|she) pays?|paid|judges? (of|by)|spoils?|spoiled)\b",
    re.IGNORECASE,
)

CRITIC = re.compile(r"\bcritics?\b", re.IGNORECASE)  # a discriminator is one only with the Wasserstein loss

# What keeps a word, each with its reason.
ALLOWED = {
    "src/ganvas/data/pairs.py: piles": "inside the fingerprint by which old runs know their data",
    "src/ganvas/networks/stylegan2.py: pictures": "the name of a module in weights of version 0.1.0",
    "src/ganvas/evaluation/gain.py: verdict": "a key of the result: helps, hurts, or no difference",
    "src/ganvas/networks/mlp.py: critics": "Wasserstein",
    "src/ganvas/recipes/generation.py: critic": "Wasserstein",
    "src/ganvas/recipes/translation.py: critic": "Wasserstein",
    "src/ganvas/losses/adversarial.py: critic": "Wasserstein",
}


def identifiers(tree: ast.AST):
    """(line, name) of everything that a file names itself."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield node.lineno, node.asname


def openings(tree: ast.AST):
    """(line, first words) of docstrings that make no sense alone."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)):
            text = ast.get_docstring(node)
            if text and OPENINGS.match(text):
                yield getattr(node, "lineno", 1), text.partition("\n")[0][:60]


def prose(text: str):
    """(line, word) in comments, docstrings and other strings of a file."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)):
            for word in (*WORDS.finditer(token.string), *CRITIC.finditer(token.string)):
                yield token.start[0] + token.string[: word.start()].count("\n"), word[0]


def violations(file: Path) -> list[str]:
    """`file:line: what` for everything in a file that is to be said in other words."""
    text, name = file.read_text(), str(file.relative_to(PROJECT))
    if file.suffix == ".md":
        lines = re.sub(r"^> .*$", "", text, flags=re.MULTILINE).splitlines()
        return [
            f"{name}:{n}: {word[0]}"
            for n, line in enumerate(lines, 1)
            for word in (*WORDS.finditer(line), *CRITIC.finditer(line))
        ]
    tree = ast.parse(text)
    bad = [f"{name}:{line}: name {word}" for line, word in identifiers(tree) if NAMES.fullmatch(word)]
    bad += [f"{name}:{line}: docstring opens {words!r}" for line, words in openings(tree)]
    return bad + [f"{name}:{line}: {word}" for line, word in prose(text)]


@pytest.mark.parametrize("file", [*FILES, *PAGES], ids=lambda f: str(f.relative_to(PROJECT)))
def test_words_are_the_fields(file):
    assert not [v for v in violations(file) if re.sub(r":\d+:", ":", v) not in ALLOWED]


@pytest.mark.parametrize("place", ALLOWED)
def test_no_exception_outlives_its_reason(place):
    assert any(re.sub(r":\d+:", ":", v) == place for v in violations(PROJECT / place.partition(":")[0]))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("def found(): ...", 1),
        ("made = 1", 1),
        ("for kept in (): ...", 1),
        ("x.told = 1", 1),
        ('"""What a file holds."""', 1),
        ('"""A file\'s content."""', 0),
        ("# a person asked", 1),
        ("image = 1  # an image", 0),
    ],
)
def test_the_words_are_noticed(text, count, tmp_path, monkeypatch):
    file = tmp_path / "a.py"
    file.write_text(text)
    monkeypatch.setattr(sys.modules[__name__], "PROJECT", tmp_path)
    assert len(violations(file)) == count


if __name__ == "__main__":
    places = [Path(p).resolve() for p in sys.argv[1:]] or [ROOT, *PAGES]
    listed = [f for place in places for f in (sorted(place.rglob("*.py")) if place.is_dir() else [place])]
    left = [line for f in listed for line in violations(f)]
    sys.stdout.write("\n".join([*left, f"{len(left)} left", ""]))
