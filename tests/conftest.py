"""What the tests share: one thread, a cache and a working folder of their own, and where real data may be found."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
import torch

from ganvas import cli

torch.set_num_threads(1)


def pytest_fixture_setup(fixturedef: pytest.FixtureDef) -> None:
    """What many tests share is drawn alike, whichever of them comes first."""
    if fixturedef.scope != "function":
        torch.manual_seed(0)


LONG = ("test_restart", "test_distributed", "test_studio_play_browser", "test_studio_pages_browser", "test_studio_api")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files whose tests take long, so that no process waits at the end for one of them."""
    items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory):
    """Nothing that a test prepares lands in the user's cache; subprocesses inherit it."""
    before = os.environ.get("GANVAS_CACHE")
    os.environ["GANVAS_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["HF_HUB_OFFLINE"] = "1"  # a missing model a/b is not looked for on the Hub
    yield
    if before is None:
        del os.environ["GANVAS_CACHE"]
    else:
        os.environ["GANVAS_CACHE"] = before


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data, where there is one."""
    folder = Path(os.environ.get("GANVAS_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real data here: set GANVAS_DATA")
    return folder


@pytest.fixture
def command(monkeypatch, capsys):
    """Run `ganvas ...` in this process: (exit code, stdout, stderr)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["ganvas", *map(str, arguments)])
        code: object = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    report = yield
    return needed(report, collector.path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    return needed(report, item.path)


def needed(report, path: Path):
    """The report of a browser test; with GANVAS_NEED_BROWSER a skip, whatever its reason, is a failure."""
    if report.skipped and path.stem.endswith("_browser") and os.environ.get("GANVAS_NEED_BROWSER"):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"GANVAS_NEED_BROWSER is set, but {path.name} is skipped: {reason}"
    return report


CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="module")
def browser():
    """The system's Chromium, or $GANVAS_BROWSER; tests are skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="browser tests need playwright")
    found = os.environ.get("GANVAS_BROWSER") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        pytest.skip("no Chromium here: install one, or set GANVAS_BROWSER")
    with playwright.sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        except playwright.Error as problem:
            pytest.skip(f"{found} does not start: {str(problem).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture
def s3(monkeypatch):
    """The address of a bucket on a server of this process."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    endpoint = f"http://127.0.0.1:{port}"
    given = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    for name, value in (given | {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}).items():
        monkeypatch.setenv(name, value)
    import urllib.request

    import s3fs

    urllib.request.urlopen(f"{endpoint}/moto-api/reset", data=b"").close()  # servers of a process share their buckets
    s3fs.S3FileSystem(skip_instance_cache=True).mkdir("bucket")
    yield "s3://bucket/run"
    server.stop()
