"""The studio's server and its pages for the browser tests."""

from __future__ import annotations

import contextlib
import threading
import time
from urllib.parse import urlsplit

PATIENCE = 60_000  # milliseconds, on a machine that is busy


@contextlib.contextmanager
def serve(runs, models, port):
    """Serve the studio on a port, or the next that is free; gives its address."""
    import uvicorn

    from ganvas.studio.server import create_app, make_place

    place = make_place(runs, models, "127.0.0.1", port)
    server = uvicorn.Server(uvicorn.Config(create_app(place), port=place.port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield place.address
    server.should_exit = True
    thread.join(10)


@contextlib.contextmanager
def pages(browser, address):
    """Open pages; at the end they must not have complained, nor asked another host for anything."""
    contexts, complaints, asked = [], [], []

    def open_page(at, width, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url))
        page.goto(at if at.startswith("http") else address + at)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    hosts = {urlsplit(url).netloc for url in asked if not url.startswith(("blob:", "data:"))}
    assert hosts == {urlsplit(address).netloc}
