"""The playground: the same film for the same settings, figures that are right, and a page that may say anything."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

pytest.importorskip("fastapi", reason="the studio needs the extra studio")
from starlette.testclient import TestClient

import ganvas
from ganvas.config import Recipe
from ganvas.errors import UserError
from ganvas.studio import play_routes, playground
from ganvas.studio.play_figures import Figures, divergences, shares
from ganvas.studio.play_film import film, recipe_file
from ganvas.studio.play_frame import FIGURES, Frame
from ganvas.studio.play_settings import HEADS_FOR_POINTS, Change, Discriminator, Network, Settings, menus
from ganvas.studio.playground import Playground
from ganvas.studio.server import Place, create_app

HOST = {"host": "127.0.0.1:7860"}
SMALL = Settings(batch=32, generator=Network(layers=1, width=8), discriminator=Discriminator(layers=1, width=8))


def changed(settings=SMALL, **fields):
    return settings.model_copy(update=fields)


def weights(film):
    return {k: v for k, v in film.trainer.task.state_dict().items() if isinstance(v, torch.Tensor)}


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(v, two[k]) for k, v in one.items())


def test_the_same_seed_is_the_same_film_also_beside_another():
    alone = Playground(SMALL)
    alone.advance(30)
    film, other = Playground(SMALL), Playground(changed(seed=1, prior="uniform", loss="hinge"))
    for _ in range(30):
        film.advance(1)
        other.advance(1)
        other.frame()
    assert film.frame() == alone.frame()
    assert [moment.frame for moment in film.moments] == [moment.frame for moment in alone.moments]
    assert other.frame() != alone.frame()


class Quiet:
    """A socket that takes everything."""

    async def send_bytes(self, data):
        pass

    async def send_text(self, text):
        pass


def test_the_second_film_catches_up_and_one_that_diverged_stops_nothing():
    seat = play_routes.Seat(Quiet())
    first, second = seat.films[0], seat.films[1] = Playground(SMALL), Playground(changed(loss="hinge"))
    first.advance(30)
    asyncio.run(seat.train())
    assert first.step > 30
    assert second.step == first.step
    second.advance(5, "d")
    before = first.step
    seat.steps = 2
    asyncio.run(seat.train())
    assert (first.step, second.step) == (before + 2, before + 5)
    first.diverged = True
    asyncio.run(seat.train())
    assert (first.step, second.step) == (before + 2, before + 7)


def test_a_branch_goes_the_same_way_again():
    film = Playground(SMALL)
    film.advance(60)
    end, steps = film.frame(), [moment.step for moment in film.moments]
    assert steps == [0, 20, 40, 60]
    film.branch(1)
    assert film.step == 20
    assert [moment.step for moment in film.moments] == [0, 20]
    film.advance(40)
    assert film.frame() == end
    with pytest.raises(UserError, match="no recorded moment 9"):
        film.branch(9)


def test_a_branch_takes_other_settings_another_way():
    film = Playground(SMALL)
    film.advance(40)
    end = film.frame()
    film.branch(1)
    film.change(changed(g_lr=0.1))
    assert film.step == 20
    film.advance(20)
    assert film.frame() != end


def test_drawing_changes_no_training():
    seen, unseen = Playground(SMALL), Playground(SMALL)
    for _ in range(10):
        seen.advance(1)
        seen.frame()
    unseen.advance(10)
    assert same(weights(seen), weights(unseen))


def test_slow_motion_is_the_same_film_with_a_picture_between():
    film, plain = Playground(SMALL), Playground(SMALL)
    for _ in range(3):
        before = film.compute_frame()
        middle = read(film.advance_in_halves())
        assert np.allclose(middle["fakes"], np.clip(before.fakes, -1.25, 1.25).ravel(), atol=1e-4)  # only D has moved
        assert middle["heat"].tobytes() != read(before.encode())["heat"].tobytes()
    plain.advance(3)
    assert film.step == 3
    assert same(weights(film), weights(plain))
    assert torch.equal(film.random, plain.random)


def test_a_trained_start_has_its_past():
    play_routes.past.cache_clear()
    film = Playground(SMALL)
    film.advance(40)
    for _ in range(2):  # the second time from memory
        started = play_routes.begin(SMALL, 40)
        assert started.step == 40
        assert [m.frame for m in started.moments] == [m.frame for m in film.moments]
        started.advance(5)
    film.advance(5)
    assert started.frame() == film.frame()


LESSON = {"d_steps": 3, "penalty": "r1", "g_optimizer": "sgd"}
DRAWN = {"data": "drawn", "drawn": [(-0.5, 0.1), (0.3, 0.4), (0.9, -1.0)]}


@pytest.mark.parametrize("fields", [{}, LESSON, DRAWN], ids=["ring", "lesson", "drawn"])
def test_the_command_trains_the_same_weights_from_the_saved_files(fields, tmp_path, client, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings, steps = changed(seed=5, **fields), 12
    film = Playground(settings)
    film.advance(steps)
    for name, file in (("recipe", "play.json"), ("points", "points.npy")):
        (tmp_path / file).write_bytes(client.post(f"/api/play/{name}", json=settings.model_dump()).content)
    data = "points.npy" if settings.data == "drawn" else settings.data
    images = steps * settings.batch * max(settings.d_steps, settings.g_steps)
    options = f"--data {data} --seed 5 --images {images} --outdir run --device cpu --precision fp32"
    assert command("train", "play.json", *options.split())[0] == 0
    with torch.no_grad():
        z = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
        theirs = ganvas.load(tmp_path / "run", device="cpu", precision="fp32").task.generator(z)
        assert torch.equal(film.trainer.task.generator(z), theirs)


def replay(script, steps):
    """A film of a script that went through JSON, after some steps in uneven turns."""
    film = Playground(Settings.model_validate_json(script.model_dump_json()))
    while film.step < steps:
        film.advance(min(7, steps - film.step))
    return film


def test_changes_at_the_same_steps_are_the_same_film():
    film = Playground(SMALL)
    film.advance(15)
    film.change(changed(g_lr=0.01, loss="hinge"))
    film.advance(10)
    film.advance(2, "d")
    film.advance(1, "d")
    film.change(changed(g_lr=0.01, loss="hinge", d_optimizer="sgd", penalty="r1"))
    film.change(changed(g_lr=0.01, loss="hinge", penalty="r1", batch=16))  # the optimiser has lost its memory
    film.advance_in_halves()
    film.advance(31)
    again = replay(film.script, film.step)
    assert again.step == 60
    assert [(change.step, change.only) for change in film.history] == [
        (15, ""),
        (25, "d"),
        (28, ""),
        (28, ""),
        (28, ""),
    ]
    assert same(weights(again), weights(film))
    assert torch.equal(again.random, film.random)
    assert again.settings == film.settings
    assert [moment.step for moment in again.moments] == [moment.step for moment in film.moments]
    for one, two in zip(again.moments, film.moments):
        assert np.array_equal(read(one.frame)["fakes"], read(two.frame)["fakes"])
    assert not same(weights(replay(film.start, 60)), weights(film))


def test_a_branch_has_the_settings_of_its_moment():
    film = Playground(SMALL)
    film.advance(25)
    film.change(changed(g_optimizer="sgd", d_lr=0.05))
    film.advance(20, "g")
    film.advance(15)
    film.branch(3)
    assert film.settings == changed(g_optimizer="sgd", d_lr=0.05)
    film.branch(2)  # in the midst of steps of the generator alone
    assert film.step == 40
    film.advance(20)
    assert same(weights(replay(film.script, 60)), weights(film))
    film.branch(1)
    assert film.settings == SMALL
    assert film.script == SMALL
    film.advance(40)
    plain = Playground(SMALL)
    plain.advance(60)
    assert same(weights(plain), weights(film))


def test_a_change_ends_what_a_link_would_have_changed_later():
    film = Playground(changed(changes=[Change(step=10, values={"g_lr": 0.01}), Change(step=30, values={"g_lr": 0.1})]))
    film.advance(12)
    assert film.settings.g_lr == 0.01
    film.change(changed(g_lr=0.01, batch=64))
    film.advance(30)
    assert film.settings == changed(g_lr=0.01, batch=64)
    assert same(weights(replay(film.script, 42)), weights(film))
    film.change(changed(seed=3))
    assert film.script == changed(seed=3)


def test_a_film_that_diverged_goes_on_from_its_last_moment():
    film = Playground(changed(g_optimizer="sgd", d_optimizer="sgd", loss="wasserstein", g_lr=10, d_lr=10))
    film.advance(400)
    assert film.diverged
    step = film.moments[-1].step
    film.change(changed(g_lr=0.0001, d_lr=0.0001))
    assert (film.step, film.diverged) == (step, False)
    assert same(weights(replay(film.script, film.step)), weights(film))


def test_a_trained_start_has_its_changes():
    settings = changed(changes=[Change(step=10, values={"g_lr": 0.01}), Change(step=50, values={"batch": 16})])
    film = play_routes.begin(settings, 40)
    assert film.settings == changed(g_lr=0.01)
    film.advance(20)
    assert film.settings == changed(g_lr=0.01, batch=16)
    assert same(weights(replay(settings, 60)), weights(film))


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ([{"step": 9, "values": {"seed": 3}}], "seed cannot change while a film plays; loss, penalty"),
        ([{"step": 9, "values": {"g_lr": -1}}], "g_lr"),
        ([{"step": 9}, {"step": 8}], "a change at step 8 follows one at step 9"),
        ([{"step": -1}], "step"),
        ([{"step": 1}] * 1001, "1000"),
    ],
)
def test_changes_that_cannot_be_are_refused(client, changes, part):
    answer = client.post("/api/play/recipe", json={"changes": changes})
    assert answer.status_code == 422
    assert part in answer.json()["detail"]


def test_a_recipe_survives_its_file():
    for loss in menus()["loss"]:
        settings = changed(loss=loss["name"], penalty="gradient_penalty")
        recipe = Recipe.from_dict(json.loads(recipe_file(settings))["recipe"])
        assert recipe.to_dict() == settings.recipe().to_dict()


def test_a_recipe_of_one_player_is_refused():
    with pytest.raises(UserError, match="steps of both players"):
        recipe_file(changed(g_steps=0))
    with pytest.raises(UserError, match="Both players have 0 steps"):
        recipe_file(changed(g_steps=0, d_steps=0))


@pytest.mark.parametrize(("fields", "still"), [({"d_steps": 0}, "discriminator"), ({"g_steps": 0}, "generator")])
def test_a_player_without_steps_stays(fields, still):
    film = Playground(changed(**fields))
    before = {k: v.clone() for k, v in weights(film).items()}
    film.advance(3)
    moved = {k.split(".")[0] for k, v in weights(film).items() if not torch.equal(v, before[k])}
    assert moved == {"discriminator", "generator"} - {still}


def test_live_settings_keep_the_film_and_others_begin_anew():
    film = Playground(SMALL)
    film.advance(20)
    kept = {k: v.clone() for k, v in weights(film).items()}
    film.change(changed(loss="hinge", penalty="r1", g_lr=0.01, d_optimizer="rmsprop", d_steps=2, batch=16))
    assert film.step == 20
    assert all(torch.equal(kept[k], v) for k, v in weights(film).items() if k in kept)
    film.advance(3)
    film.change(changed(seed=1))
    assert film.step == 0
    assert len(film.moments) == 1


def test_settings_that_do_not_work_leave_the_film():
    film = Playground(SMALL)
    film.advance(3)
    before = film.frame()
    for wrong in (changed(data="drawn", drawn=[(0, 0)]), changed(loss="energy_margin"), changed(d_steps=0, g_steps=0)):
        with pytest.raises(UserError):
            film.change(wrong)
        assert film.frame() == before
    film.advance(1)
    assert film.step == 4


def test_every_choice_of_the_menus_steps_and_draws():
    """All pairs of loss and penalty, of loss and head, of penalty and head, as a Latin square has them."""
    penalties = ["", *(entry["name"] for entry in menus()["penalty"])]
    for k, head in enumerate(HEADS_FOR_POINTS):
        film = Playground(changed(batch=16, discriminator=Discriminator(layers=1, width=8, head=head)))
        for i, loss in enumerate(menus()["loss"]):
            for penalty in penalties[(k - i) % 3 :: 3]:
                film.change(changed(film.settings, loss=loss["name"], penalty=penalty))
                film.advance(1)
                assert not film.diverged, (head, loss["name"], penalty)
            picture = film.compute_frame()
            assert all(np.isfinite(part).all() for part in (picture.fakes, picture.arrows, picture.heat, picture.grid))


@pytest.mark.parametrize(
    "fields",
    [
        *({"data": name} for name in ("grid", "gaussians", "line", "swissroll")),
        {"data": "drawn", "drawn": [(0.0, 0.0), (0.5, 0.5)]},
        {"latent": 1, "prior": "uniform"},
        {"generator": Network(layers=0, width=1), "discriminator": Discriminator(layers=0, width=1)},
        {"discriminator": Discriminator(layers=5, width=4, spectral=True, frequencies=6, activation="elu")},
        *({"g_optimizer": name, "d_optimizer": name} for name in ("adamw", "rmsprop", "sgd")),
    ],
)
def test_data_noise_and_networks_step_and_draw(fields):
    film = Playground(changed(**fields))
    film.advance(2)
    picture = read(film.frame())
    assert len(picture["grid"]) == 2 * (200 if film.settings.latent == 1 else 441)
    assert film.step == 2


def test_a_film_that_diverges_stays_where_it_is():
    film = Playground(changed(loss="least_squares", g_optimizer="sgd", d_optimizer="sgd", g_lr=10, d_lr=10))
    film.advance(60)
    assert film.diverged
    assert all(np.isfinite(moment.state["trainer"]["step"]) for moment in film.moments)
    read(film.frame())
    film.branch(0)
    assert not film.diverged
    assert film.step == 0


def test_the_past_is_bounded(monkeypatch):
    monkeypatch.setattr(playground, "RECORDED", 4)
    film = Playground(SMALL)
    film.advance(200)
    assert len(film.moments) <= 4
    distances = {b.step - a.step for a, b in zip(film.moments, film.moments[1:])}
    assert len(distances) == 1


def test_many_films_share_the_memory_of_their_past(monkeypatch):
    monkeypatch.setattr(playground, "RECORDED", 8)
    monkeypatch.setattr(playground, "LEAST", 2)
    films = [Playground(SMALL) for _ in range(8)]
    for one in films:
        one.advance(40)
        assert one.step == 40
    assert 8 <= sum(len(one.moments) for one in films) <= 8 * playground.ALONE


def test_a_film_trains_on_while_the_page_draws_and_no_longer():
    film, asked = Playground(SMALL), []
    film.train(0.05, 3, lambda: asked.append(1))
    assert (film.step, asked) == (3, [])  # so many steps are so many
    start = time.perf_counter()
    film.train(0.05, 0, lambda: False)
    assert 0.1 <= time.perf_counter() - start < 5
    start = time.perf_counter()
    film.train(0.05, 0, lambda: True)
    assert 0.05 <= time.perf_counter() - start < 5


def test_the_playground_computes_in_one_thread_and_leaves_others_theirs():
    before = torch.get_num_threads()
    other = threading.Thread(target=torch.set_num_threads, args=(2,))  # what later threads begin with
    other.start()
    other.join()
    seen = []
    with ThreadPoolExecutor(1, initializer=play_routes.compute_alone) as pool:
        assert pool.submit(torch.get_num_threads).result() == 1
        later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        later.start()
        later.join()
    torch.set_num_threads(before)
    assert seen == [2]


def test_a_copied_state_is_equal_and_shares_nothing():
    film = Playground(SMALL)
    film.advance(3)
    old = film.trainer.state_dict()
    new = playground.copied(old)
    assert repr(new) == repr(old)
    assert new["task"]._metadata == old["task"]._metadata
    numbers = [t for t in tensors(new) if t.numel()]
    places = {t.data_ptr() for t in tensors(old)}
    assert len(numbers) > 20
    assert not any(t.data_ptr() in places for t in numbers)


def tensors(state):
    """All tensors of a nested state."""
    if isinstance(state, torch.Tensor):
        return [state]
    inner = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else []
    return [tensor for value in inner for tensor in tensors(value)]


# Figures


def read(frame):
    """Sections and figures of a frame, read as play_frame's text says and not by its code."""
    step, figures, sections = struct.unpack_from("<IHH", frame)
    values = dict(zip(FIGURES, struct.unpack_from(f"<{figures}f", frame, 8)))
    at, result = 8 + 4 * figures, {"step": step, "figures": values}
    names = {1: ("fakes", "<u2"), 2: ("arrows", "<i2"), 3: ("heat", "u1"), 4: ("grid", "<u2"), 5: ("reals", "<u2"),
             6: ("latents", "<u2")}  # fmt: skip
    for _ in range(sections):
        kind, size, count = struct.unpack_from("<BBxxI", frame, at)
        name, form = names[kind]
        raw = np.frombuffer(frame, form, count, at + 8)
        assert raw.itemsize == size
        result[name] = raw if form == "u1" else raw / 8192 if form == "<i2" else raw / 65535 * 2.5 - 1.25
        at += 8 + -(-size * count // 4) * 4
    assert at == len(frame)
    return result


def test_a_frame_holds_its_values():
    random = np.random.default_rng(0)
    heat = random.normal(size=(30, 30))
    frame = Frame(
        7, {"d_loss": 0.5, "modes": 3}, random.uniform(-1, 1, (9, 2)), random.normal(size=(9, 2)), heat,
        random.uniform(-3, 3, (441, 2)),
    )  # fmt: skip
    result = read(frame.encode())
    assert result["step"] == 7
    assert result["figures"]["d_loss"] == 0.5
    assert result["figures"]["modes"] == 3
    assert np.isnan(result["figures"]["kl"])
    assert np.allclose(result["fakes"], frame.fakes.ravel(), atol=2e-5)
    assert np.allclose(result["grid"], frame.grid.ravel().clip(-1.25, 1.25), atol=2e-5)
    length = np.linalg.norm(frame.arrows, axis=1, keepdims=True)
    assert np.allclose(result["arrows"], (frame.arrows / np.maximum(1, length)).ravel(), atol=1e-4)
    assert np.corrcoef(result["heat"], heat.ravel())[0, 1] > 0.95
    bare = replace(frame, arrows=None, heat=None, grid=None)
    assert read(bare.encode()).keys() == {"step", "figures", "fakes"}


def test_a_scene_holds_reals_and_latents():
    film = Playground(SMALL)
    result = read(film.scene())
    assert np.allclose(result["reals"], film.figures.real[:450].ravel(), atol=2e-5)
    assert np.allclose(result["latents"] * 4, film.latents.numpy().ravel(), atol=1e-4)


def test_histograms_sum_to_one_and_points_outside_count_at_the_border():
    film = Playground(SMALL)
    assert film.figures.histogram.sum() == pytest.approx(1)
    for data in ("grid", "gaussians", "line", "swissroll"):
        settings = changed(data=data)
        assert Figures(settings.dataset(), data, 10).histogram.sum() == pytest.approx(1)
    outside = shares(np.array([[1.2, 0.05], [-7.0, 0.05], [0.0, 9.0], [1.0, 1.0]])).reshape(30, 30)
    assert outside.sum() == 1
    assert outside[15, 29] == outside[15, 0] == outside[29, 15] == outside[29, 29] == 0.25


def test_divergences_against_loops():
    random = np.random.default_rng(1)
    fake, real = random.normal(0, 0.3, (450, 2)), random.normal(0.1, 0.4, (5000, 2))
    edges = np.linspace(-1, 1, 31)
    p, q = (np.histogram2d(*points.clip(-1, 1 - 1e-9).T, bins=[edges, edges])[0].ravel() for points in (real, fake))
    p = p / p.sum()
    half = [(b + 0.5) if a > 0 else b for a, b in zip(p, q)]
    kl = sum(a * np.log(a / (b / sum(half))) for a, b in zip(p, half) if a > 0)
    q = q / q.sum()
    js = sum(
        (a * np.log(2 * a / (a + b)) if a > 0 else 0) / 2 + (b * np.log(2 * b / (a + b)) if b > 0 else 0) / 2
        for a, b in zip(p, q)
    )
    assert divergences(shares(fake), shares(real), 450) == pytest.approx((kl, js))
    assert divergences(shares(real), shares(real), 5000)[1] == pytest.approx(0)
    apart = divergences(shares(fake - 9), shares(fake + 9), 450)
    assert apart[1] == pytest.approx(np.log(2))
    assert np.isfinite(apart[0])


def test_sliced_wasserstein_against_an_exact_one():
    figures = Figures(SMALL.dataset(), "ring", 450)
    assert figures.sliced_wasserstein(figures.real) == pytest.approx(0)
    shift = np.array([0.3, 0.1])  # every projection moves by shift . u
    angles = np.pi * np.arange(64) / 64
    expected = np.abs(shift @ np.stack([np.cos(angles), np.sin(angles)])).mean()
    assert figures.sliced_wasserstein(figures.real + shift) == pytest.approx(expected)
    scipy = pytest.importorskip("scipy.stats")
    few = np.random.default_rng(0).normal(0, 0.5, (400, 2))
    exact = np.mean([scipy.wasserstein_distance(few @ u, figures.real @ u) for u in figures.directions.T])
    assert figures.sliced_wasserstein(few) == pytest.approx(exact, abs=2e-3)


def test_modes_are_those_of_the_metric():
    figures = Figures(SMALL.dataset(), "ring", 450)
    everything = figures.measure(figures.real[:450], (0, 0))
    assert (everything["modes"], everything["total_modes"]) == (8, 8)
    assert everything["high_quality"] > 0.95
    one = figures.measure(np.repeat([[0.8, 0.0]], 450, 0), (0, 0))
    assert (one["modes"], one["high_quality"]) == (1, 1)
    assert figures.measure(np.full((450, 2), np.nan), (0, 0))["modes"] == 0
    assert "modes" not in Figures(changed(data="line").dataset(), "line", 9).measure(figures.real[:99], (0, 0))


# Routes


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studio")
    with TestClient(create_app(Place(folder, folder)), base_url="http://127.0.0.1:7860") as client:
        yield client


def test_menus_presets_and_defaults(client):
    answer = client.get("/api/play/menus").json()
    assert Settings.model_validate(answer["defaults"]) == Settings()
    Settings.model_validate(answer["opening"])
    assert {"r1", "gradient_penalty"} <= {entry["name"] for entry in answer["menus"]["penalty"]}
    assert all(entry["sentence"] for menu in ("loss", "penalty", "head", "data") for entry in answer["menus"][menu])
    for preset in client.get("/api/play/presets").json():
        assert preset["look"].endswith(".")
        assert preset["why"].endswith(".")
        Settings.model_validate(preset["settings"])


@pytest.mark.parametrize(
    ("settings", "status", "part"),
    [
        ({"loss": "nonsense"}, 400, "has no 'nonsense'; it has: non_saturating"),
        ({"g_steps": 0}, 400, "steps of both players"),
        ({"surprise": 1}, 422, "surprise"),
        ({"g_lr": 0}, 422, "g_lr"),
        ({"generator": {"width": 0}}, 422, "width"),
        ({"generator": {"layers": 6}}, 422, "layers"),
        ({"drawn": [[2, 0]]}, 422, "drawn"),
        ({"seed": -1}, 422, "seed"),
    ],
)
def test_other_settings_are_refused_by_a_sentence(client, settings, status, part):
    answer = client.post("/api/play/recipe", json=settings)
    assert answer.status_code == status
    assert part in answer.json()["detail"]


def test_films_as_files(client):
    body = {"settings": SMALL.model_dump(), "steps": 4, "frames": 2}
    gif = client.post("/api/play/film/gif", json=body)
    assert gif.headers["content-type"] == "image/gif"
    assert gif.content[:4] == b"GIF8"
    assert client.post("/api/play/film/png", json=body).content[:4] == b"\x89PNG"
    av = pytest.importorskip("av")
    with av.open(io.BytesIO(client.post("/api/play/film/mp4", json=body).content)) as mp4:
        shown = [frame.to_ndarray(format="rgb24") for frame in mp4.decode(video=0)]
    assert len(shown) == len(list(ImageSequence.Iterator(Image.open(io.BytesIO(gif.content)))))
    assert shown[0].std() > 10
    assert "gif, mp4, png" in client.post("/api/play/film/webm", json=body).json()["detail"]
    assert film(SMALL, 4, 2, "png") == film(SMALL, 4, 2, "png")


class Page:
    """A page that plays, as a test speaks for it."""

    def __init__(self, socket):
        self.socket = socket

    def say(self, kind, **fields):
        self.socket.send_text(json.dumps({"kind": kind, **fields}))

    def hear(self, *kinds):
        """The next picture of these kinds (side, kind, sections); texts are skipped."""
        while True:
            message = self.socket.receive()
            if message.get("bytes") and message["bytes"][1] in kinds:
                data = message["bytes"]
                return data[0], data[1], read(data[4:])

    def sentence(self):
        while True:
            message = self.socket.receive()
            if message.get("text") and json.loads(message["text"])["kind"] == "refused":
                return json.loads(message["text"])["sentence"]


@pytest.fixture
def page(client):
    with client.websocket_connect("/api/play", headers=HOST) as socket:
        yield Page(socket)
        socket.close()
        wait_for_no_seat()


def wait_for_no_seat():
    end = time.monotonic() + 20
    while play_routes.seats and time.monotonic() < end:
        time.sleep(0.02)
    assert not play_routes.seats


def test_a_page_that_sends_garbage_gets_sentences_and_plays_on(page):
    settings = SMALL.model_dump()
    for garbage in ("", "{", "[]", "null", '{"kind": "dance"}', '{"kind": "start", "side": 2}', "x" * 2_000_000):
        page.socket.send_text(garbage)
        assert page.sentence().endswith(".")
    page.socket.send_bytes(b"\x00\xff")
    assert page.sentence()
    page.say("step")
    assert page.sentence() == "There is no film 0; start it first."
    page.say("start", settings={**settings, "loss": "nonsense"})
    assert "nonsense" in page.sentence()
    page.say("start", settings=settings)
    assert page.hear(play_routes.LIVE)[2]["step"] == 0
    page.say("seek", place=99)
    assert "no recorded moment 99" in page.sentence()


def test_a_page_steps_seeks_branches_and_changes(page):
    page.say("start", settings=SMALL.model_dump())
    assert page.hear(play_routes.SCENE)[2]["reals"].size == 900
    page.hear(play_routes.LIVE)
    page.say("step", steps=45)
    newest = page.hear(play_routes.LIVE)[2]
    assert newest["step"] == 45
    page.say("step", only="d")
    moved = page.hear(play_routes.LIVE)[2]
    assert np.array_equal(moved["fakes"], newest["fakes"])
    page.say("slow")
    assert page.hear(play_routes.MIDDLE)
    assert page.hear(play_routes.LIVE)[2]["step"] == 47
    page.say("seek", place=1)
    assert page.hear(play_routes.PAST)[2]["step"] == 20
    page.say("branch", place=1)
    assert page.hear(play_routes.LIVE)[2]["step"] == 20
    page.say("set", settings=changed(g_lr=0.01).model_dump())
    assert page.hear(play_routes.LIVE)[2]["step"] == 20
    page.say("parts", parts={"heat": False, "arrows": False, "grid": False})
    assert "heat" not in page.hear(play_routes.LIVE)[2]
    page.say("start", settings=SMALL.model_dump(), steps=40)
    assert [page.hear(play_routes.LIVE)[2]["step"] for _ in range(2)] == [0, 40]


def test_two_films_play_in_step(page):
    page.say("start", side=0, settings=SMALL.model_dump())
    page.say("start", side=1, settings=changed(penalty="r1").model_dump())
    for side in (0, 1):
        assert page.hear(play_routes.LIVE)[0] == side
    page.say("play")
    for _ in range(3):
        one, two = page.hear(play_routes.LIVE), page.hear(play_routes.LIVE)
        assert (one[0], two[0]) == (0, 1)
        assert one[2]["step"] == two[2]["step"] > 0
        page.say("drawn")
    page.say("remove", side=1)
    page.say("pause")
    page.say("step", side=1)
    assert page.sentence() == "There is no film 1; start it first."


def test_a_page_that_draws_nothing_trains_no_more(page):
    page.say("start", settings=SMALL.model_dump())
    page.hear(play_routes.LIVE)
    page.say("speed", steps=5)
    page.say("play")
    assert page.hear(play_routes.LIVE)[2]["step"] == 5
    (seat,) = play_routes.seats
    end = time.monotonic() + 20
    while seat.films[0].step < 10 and time.monotonic() < end:  # those of the next frame, meanwhile
        time.sleep(0.02)
    time.sleep(0.3)
    assert seat.films[0].step == 10
    page.say("drawn")
    assert page.hear(play_routes.LIVE)[2]["step"] == 10
    page.say("set", settings=changed(g_lr=0.01).model_dump())
    page.hear(play_routes.SCENE)
    assert seat.films[0].settings.g_lr == 0.01


def test_a_page_that_goes_away_or_says_nothing_leaves_nothing(client):
    with client.websocket_connect("/api/play", headers=HOST) as socket:
        assert len(play_routes.seats) == 1
        Page(socket).say("start", settings=SMALL.model_dump())
        Page(socket).say("play")
        Page(socket).hear(play_routes.LIVE)
        socket.close()  # while a picture is on its way
        wait_for_no_seat()
    with client.websocket_connect("/api/play", headers=HOST) as socket:
        assert len(play_routes.seats) == 1
        socket.close()
        wait_for_no_seat()


def test_too_many_pages_are_turned_away(client, monkeypatch):
    monkeypatch.setattr(play_routes, "MOST_PAGES", 0)
    with pytest.raises(Exception) as caught, client.websocket_connect("/api/play", headers=HOST):
        pass
    assert caught.value.code == 4429


def test_modules_are_small_and_name_every_figure():
    folder = Path(play_routes.__file__).parent / "static"
    for file in folder.glob("play*.js"):
        assert len(file.read_text().splitlines()) <= 400, file
    wire = (folder / "play_wire.js").read_text()
    assert [name for name in FIGURES if f'"{name}"' not in wire] == []
