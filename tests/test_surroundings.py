"""Around a run: names as they come, what systems leave in folders, no home, readers that go away, addresses."""

from __future__ import annotations

import errno
import io
import json
import os
import pwd
import shlex
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ganvas
from ganvas import cli
from ganvas.cli.console import console, print_json, print_table, say
from ganvas.cli.streams import LastingStream
from ganvas.data.files import Folder
from ganvas.data.sources import open_saved, open_source
from ganvas.errors import UsageError, UserError
from ganvas.files import read_json, write_json
from ganvas.inference.batch import FileOptions, jobs_for
from ganvas.inference.region import Region
from ganvas.paths import cache_root, hidden_by_name, is_left_behind, shell_word, user_path
from ganvas.run import Run
from ganvas.training.request import TrainRequest
from ganvas.training.session import prepare

LATIN = os.fsdecode(b"caf\xe9")  # unpacked from an old archive: no UTF-8


def ppm(file: Path, level: int = 0) -> None:
    """An image whose bytes no version of an encoder changes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"P6 16 16 255\n" + bytes([level, level // 2, 9]) * 256)


@pytest.fixture
def pics(tmp_path, monkeypatch):
    """A folder of three images, in an empty working folder."""
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for k in range(3):
        ppm(tmp_path / "pics" / f"{k}.ppm", 40 * k)
    return tmp_path / "pics"


# --- what systems leave in folders -------------------------------------------------------------------------

LEFT = [
    *(".DS_Store", "._0.ppm", "__MACOSX/0.ppm", ".Trashes/0.ppm", "Icon\r", "Network Trash Folder/0.ppm"),
    *("Thumbs.db", "THUMBS.DB", "desktop.ini", "$RECYCLE.BIN/0.ppm", "System Volume Information/0.ppm"),
    *("@eaDir/0.ppm/SYNOPHOTO_THUMB_M.ppm", "#recycle/0.ppm", "@Recycle/0.ppm", ".@__thumb/0.ppm"),
    *(".git/0.ppm", ".svn/0.ppm", ".hg/0.ppm", ".dropbox", ".stfolder/0.ppm", ".sync/0.ppm", "sync.ffs_db"),
    *("0.ppm~", ".0.ppm.swp", "~$0.ppm", "#0.ppm#", ".ipynb_checkpoints/0-checkpoint.ppm", "lost+found/0.ppm"),
]


@pytest.mark.parametrize("name", LEFT)
def test_what_a_system_leaves_is_neither_data_nor_in_the_fingerprint(pics, name):
    ppm(pics / name, 200)
    assert Folder(pics).files == ["0.ppm", "1.ppm", "2.ppm"]
    assert [job.source.name for job in jobs_for(pics, pics.parent / "out", FileOptions(recursive=True)).jobs] == [
        *("0.ppm", "1.ppm", "2.ppm")
    ]
    assert is_left_behind(name.split("/")[0])


@pytest.mark.parametrize("name", ["0.ppm", "tilde~name.ppm", "#1.ppm", "@home", "recycle", "thumbs", "a.b", "-x.ppm"])
def test_names_of_a_user_are_kept(name):
    assert not is_left_behind(name)


EARLIER = {  # fingerprints that ganvas gave before it left these files out
    "flat": "e07d52989e5b4db930dbf1566e3e2cdb",
    "with notes.txt and @eaDir": "c90dd136d9b83eacdade0bb6beca9330",
    "tiles": "ec690e17ac0440cd12984dc93cf2e90b",
}


def test_files_beside_the_images_change_no_fingerprint_and_old_runs_still_know_theirs(pics):
    assert open_source(str(pics)).fingerprint == EARLIER["flat"]
    assert open_source(str(pics), patch=8).fingerprint == EARLIER["tiles"]
    (pics / "notes.txt").write_bytes(b"notes\n")
    ppm(pics / "@eaDir" / "thumb.ppm", 200)
    data = open_source(str(pics))
    assert (data.fingerprint, len(data), data.skipped) == (EARLIER["flat"], 3, [("notes.txt", "is not an image")])
    assert open_source(str(pics), patch=8).fingerprint == EARLIER["tiles"]
    old = open_saved(str(pics), EARLIER["with notes.txt and @eaDir"], None, 0)
    assert (old.fingerprint, len(old)) == (EARLIER["with notes.txt and @eaDir"], 4)
    assert open_saved(str(pics), "of other data", None, 0).fingerprint == EARLIER["flat"]


@pytest.mark.parametrize("source", ["{0}", "grey:{0}", "source={0},target={0}", "a={0},b={0}"])
def test_a_run_inside_the_data_is_no_data(pics, source):
    before = open_source(source.format(pics))
    for part in ("exp/run/samples", "exp/run/state"):
        (pics / part).mkdir(parents=True)
    ppm(pics / "exp/run/samples/000000000008.ppm")
    (pics / "exp/run/config.json").write_text("{}")
    after = open_source(source.format(pics))
    assert (after.fingerprint, len(after)) == (before.fingerprint, 3)
    assert source != "{0}" or after.skipped == [("exp/run/", "is a run of ganvas, whose samples are no data")]
    assert len(open_source(str(pics / "exp/run/samples"))) == 1  # by its own name, it is


def test_a_folder_with_nothing_but_a_systems_files_is_new(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / ".DS_Store").touch()
    (tmp_path / "new" / "desktop.ini").touch()
    Run(tmp_path / "new").check_new()
    (tmp_path / "new" / "mine.txt").touch()
    with pytest.raises(UsageError, match="files that are not a run"):
        Run(tmp_path / "new").check_new()


def test_an_editors_copy_is_no_mask(tmp_path):
    grey = Image.fromarray(np.eye(16, dtype=np.uint8) * 255)
    grey.save(tmp_path / "a.png")
    (tmp_path / "a.bmp~").write_bytes(b"half of an image")
    assert Region(tmp_path).read("a", (16, 16)).sum() == 16


# --- names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["exp[lr=0.1]", "exp[/a]", "[red]x[/red]", r"a\[b", "x :dog: y", "[1]"])
def test_brackets_and_colons_in_names_are_text(capsys, name):
    say(f"Samples: {name}")
    print_table(name, ["file"], [[name]])
    out, err = capsys.readouterr()
    assert err == f"Samples: {name}\n"
    assert out.count(name) == 2


def test_names_cannot_steer_the_terminal(capsys):
    say(f"a\x1b[2Jb\u202ec{LATIN}")
    assert capsys.readouterr().err == "a\\x1b[2Jb\\u202eccaf\\udce9\n"


@pytest.mark.parametrize("name", ["run", "my run", "-run", "exp[1]", "it's", "$HOME", "a;b", "-", "a\nb"])
def test_a_command_names_the_folder_as_a_shell_reads_it(name):
    (word,) = shlex.split(shell_word(name))
    assert Path(word) == Path(name)
    assert not word.startswith("-")


def test_names_that_are_no_text_survive_files_and_json(tmp_path, capsys, monkeypatch):
    write_json(tmp_path / "config.json", {"source": LATIN, "city": "Zürich"})
    assert read_json(tmp_path / "config.json") == {"source": LATIN, "city": "Zürich"}
    for encoding in ("utf-8", "ascii", "latin-1"):
        stdout = io.TextIOWrapper(content := io.BytesIO(), encoding)
        monkeypatch.setattr(sys, "stdout", stdout)
        print_json({"file": LATIN, "city": "Zürich 🦊"})
        stdout.flush()
        assert json.loads(content.getvalue().decode(encoding)) == {"file": LATIN, "city": "Zürich 🦊"}
        monkeypatch.undo()


def test_a_run_whose_names_are_no_text_trains_resumes_and_is_read(pics, command):
    for k, name in enumerate((LATIN, "tea", LATIN, "tea")):
        ppm(pics.parent / os.fsdecode(b"fl\xe9t") / name / f"-{k}[/b].ppm", 50 * k)
    run = pics.parent / f"-exp[{LATIN}]"
    small = ["--batch", "4", "--set", "generator.width=8", "--set", "discriminator.width=8"]
    data = os.fsdecode(b"fl\xe9t")
    assert command("train", "dcgan_small", "--data", data, "--outdir", run, "--images", "8", *small)[0] == 0
    assert read_json(run / "config.json")["data"]["class_names"] == [LATIN, "tea"]
    code, _, err = command("train", "--resume", "--outdir", run, "--images", "12")
    assert (code, "Traceback" in err) == (0, False)
    assert "ganvas sample '" in err
    assert "exp[caf\\udce9]" in err
    assert ganvas.load(run).sample(2).shape == (2, 3, 16, 16)
    code, out, _ = command("eval", "psnr", data, data, "--json")
    assert (code, json.loads(out)["real"]) == (0, data)


# --- no home, no user, no temporary folder -----------------------------------------------------------------


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """Neither HOME nor GANVAS_CACHE, and a user whom the system does not know."""

    def unknown(*_: object) -> None:
        raise KeyError("uid not found")

    for name in ("HOME", "GANVAS_CACHE", "LOGNAME", "USER"):
        monkeypatch.delenv(name, raising=False)
    for name in ("getpwuid", "getpwnam"):
        monkeypatch.setattr(pwd, name, unknown)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("home", [None, "/dev/null", "/dev/null/deeper", "relative"])
def test_without_a_home_the_cache_is_a_temporary_folder_of_this_user_alone(nowhere, monkeypatch, home):
    if home:
        monkeypatch.setenv("HOME", home)
    assert cache_root() == nowhere / f"ganvas-{os.getuid()}"
    assert stat.S_IMODE(cache_root().stat().st_mode) == 0o700
    cache_root().chmod(0o777)  # anyone's: data could be replaced there
    with pytest.raises(UserError, match="GANVAS_CACHE"):
        cache_root()


def test_without_any_folder_there_is_a_sentence(nowhere, monkeypatch, command):
    monkeypatch.setattr(tempfile, "tempdir", str(nowhere / "no" / "such"))
    with pytest.raises(UserError, match="name it in GANVAS_CACHE"):
        cache_root()
    code, _, err = command("weights", "list")
    assert (code, "Traceback" in err) == (1, False)
    with pytest.raises(UsageError, match="no home folder"):
        user_path("~/run", "--outdir")


def test_a_home_that_can_be_written_holds_the_cache(nowhere, monkeypatch):
    monkeypatch.setenv("HOME", str(nowhere / "home"))
    assert cache_root() == nowhere / "home/.cache/ganvas"
    monkeypatch.setenv("GANVAS_CACHE", "~/elsewhere")
    assert cache_root() == nowhere / "home/elsewhere"
    assert cache_root("~/given") == nowhere / "home/given"


def test_home_is_meant_in_every_path_in_python_too(pics, monkeypatch, command):
    monkeypatch.setenv("HOME", str(pics.parent))
    assert TrainRequest("dcgan", "~/pics", "~/run", init_from="~/old").outdir == pics.parent / "run"
    assert Run("~/run").path == pics.parent / "run"
    assert len(open_source("grey:~/pics")) == 3
    assert ganvas.evaluate("psnr", "~/pics", "~/pics")["images"] == 3
    assert command("export", "compact-x2", "--output=~/weights.pth")[0] == 0
    assert command("upscale", "--input=~/pics", "-o", "~/out", "--model", "~/weights.pth")[0] == 0
    assert len(list((pics.parent / "out").iterdir())) == 3
    assert not Path("~").exists()


# --- readers that go away ----------------------------------------------------------------------------------


class Failing(io.StringIO):
    """A stream that the system refuses."""

    def __init__(self, number: int):
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))

    flush = lambda self: self.write("")  # noqa: E731


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO, errno.ENXIO, errno.ECONNRESET])
def test_output_without_a_reader_is_dropped(monkeypatch, number):
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, LastingStream(Failing(number), optional=stream == "stderr"))
    say("a note")
    print_table("", ["a"], [["b"]])
    from rich.progress import Progress

    with Progress(console=console()) as bar:
        bar.console.print("on")
        bar.update(bar.add_task("training", total=2), completed=1)


def test_a_full_disk_behind_stdout_is_no_success_and_behind_stderr_no_failure(monkeypatch):
    LastingStream(Failing(errno.ENOSPC), optional=True).write("a note")
    with pytest.raises(OSError, match="No space"):
        LastingStream(Failing(errno.ENOSPC), optional=False).write("the result")


@pytest.mark.parametrize(
    ("shell", "code", "words"),
    [
        ("{0} list | head -n 1", [0, 0], ""),
        ("{0} list recipes > /dev/full", [1], "ganvas: the output: No space left on device."),
        ("{0} list recipes --json 2>&- >&-", [0], ""),
    ],
)
def test_pipes_and_full_disks(shell, code, words):
    line = shell.format(f"{shlex.quote(sys.executable)} -m ganvas") + '; echo "${PIPESTATUS[@]}" >&3'
    read, write = os.pipe()
    with os.fdopen(read) as status:
        done = subprocess.run(
            ["bash", "-c", line.replace("&3", f"&{write}")], capture_output=True, text=True, pass_fds=[write]
        )
        os.close(write)
        assert [int(number) for number in status.read().split()] == code
    assert done.stderr.strip() == words


# --- names that mean two things ----------------------------------------------------------------------------


def test_a_built_in_name_that_is_also_a_folder_is_said(pics, command):
    pics.rename(pics.with_name("digits"))
    assert hidden_by_name("digits", ["photos"]) == hidden_by_name("photos", ["photos"]) == []
    small = ["generator.width=8", "discriminator.width=8"]
    session = prepare(TrainRequest("dcgan_small", "digits", "run", images=8, batch=8, set=small))
    session.close()
    assert len(session.dataset) == 1797
    assert any("./digits" in sentence for sentence in session.notices)
    assert len(open_source("./digits")) == 3
    _, _, err = command("eval", "modes", "digits", "digits")
    assert "./digits" in err
    Path("bicubic").mkdir()
    code, _, err = command("upscale", "-i", "digits/0.ppm", "-o", "x.png", "--model", "bicubic", "--outscale", "2")
    assert (code, "folder bicubic" in err, "./bicubic" in err) == (0, True, True)
    Path("compact-x2").mkdir()
    code, _, err = command("export", "compact-x2", "-o", "x.pth")
    assert (code, "./compact-x2" in err) == (0, True)


# --- addresses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("train dcgan --data pics --outdir file:///masks", "--outdir"),
        ("train dcgan --data grey:hf://data/x --outdir run", "--data"),
        ("train dcgan --data pics --outdir run --init-from hf://me/model", "--init-from"),
        ("train https://a.org/config.json --data pics --outdir run", "recipe"),
        ("demo --outdir gs://bucket/demo", "--outdir"),
        ("sample s3://bucket/run -o x.png", "run"),
        ("sample run -o az://box/x.png", "--output"),
        ("interpolate ftp://a/run -o x.gif", "run"),
        ("upscale -i pics -o out --model https://a.org/x4.pth", "--model"),
        ("restore -i pics -o out --model run --mask file:///masks", "--mask"),
        ("stylize pics/0.ppm hdfs://a/style.png -o out.png", "style"),
        ("eval fd s3://bucket/a pics", "A"),
        ("eval memorisation pics pics --held-out gs://b/c", "--held-out"),
        ("statistics pics -o s3://bucket/x.npz", "--output"),
        ("report webdav://a/run", "RUN"),
        ("doctor ssh://host/run", "run"),
        ("export compact-x2 -o s3://bucket/x.pth", "--output"),
        ("interpolate-weights http://a/b.pth compact-x2 -o x.pth", "PSNR"),
        ("show https://a.org/config.json", "recipe"),
        ("weights add vgg16 s3://a/vgg.pth", "file"),
    ],
)
def test_an_address_is_no_path(pics, command, line, option):
    before = sorted(Path().rglob("*"))
    code, out, err = command(*line.split())
    assert (code, out) == (2, "")
    assert err.lstrip().startswith(f"ganvas: {option} ")
    assert "is an address" in err
    assert ("write the path: /masks" if "file:" in line else "download it first") in err
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    "call",
    [
        lambda a: ganvas.train("dcgan", data="digits", outdir="run", cache=a),
        lambda a: ganvas.load(a),
        lambda a: ganvas.Run(a),
        lambda a: ganvas.report(a),
        lambda a: ganvas.evaluate("psnr", a, a),
        lambda a: ganvas.evaluate("fd", "digits", a),
        lambda a: ganvas.stylize(Image.new("RGB", (16, 16)), model=a),
    ],
)
@pytest.mark.parametrize("address", ["s3://bucket/x", "HTTPS://a.org/x"])
def test_an_address_is_no_path_in_python(pics, call, address):
    with pytest.raises(UsageError, match="is an address"):
        call(address)
    assert sorted(Path().iterdir()) == [Path("pics")]


@pytest.mark.parametrize("path", ["C:/images", r"C:\images", "a:b", "x:/y" if os.name == "nt" else "levels:0:1:dir"])
def test_drive_letters_and_colons_are_no_addresses(path):
    assert user_path(path) == Path(path)
    assert user_path(Path(path)) == Path(path)


def test_a_caption_may_hold_an_address(pics, command):
    _, _, err = command("sample", "pics", "-o", "x.png", "--label", "http://a.org")
    assert "is an address" not in err


def test_commands_leave_the_streams_as_they_were(command):
    before = sys.stdout, sys.stderr
    assert command("--version")[0] == 0
    assert (sys.stdout, sys.stderr) == before
    assert cli.main
