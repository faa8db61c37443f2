// The timeline: recorded moments of the film whose settings are shown, and what changed when; the other film follows.
import { field, h, input, quiet, row, titled } from "./dom.js";

const LISTED = 4; // changes
const PLAYERS = { d: "D alone", g: "G alone", "": "both players" };

export class Timeline {
  constructor(game) {
    Object.assign(this, { game, back: false, place: 0 });
    const hidden = { hidden: true };
    const bounds = { type: "range", min: 0, max: 0, value: 0, title: "Scrub back to a recorded moment" };
    this.slider = input((value) => this.seek(Number(value)), bounds);
    this.branchButton =
      titled("Go on from here", "Forget what came later and train on from here", () => this.branch(), hidden);
    this.nowButton = titled("Back to now", "Back to the newest step", () => this.now(), hidden);
    this.changes = quiet();
    const buttons = row(this.branchButton, this.nowButton);
    this.element = h("div", { class: "timeline" }, field("Timeline", this.slider), buttons, this.changes);
  }

  get moments() { return this.game.films[this.game.edited].moments; }

  // Steps of the moments that are shown: the last ones that all films have at or before one of the edited film.
  common(place) {
    const { films } = this.game;
    const step = Math.min(...films.map(({ moments }) => moments[nearest(moments, this.moments[place])] ?? 0));
    return films.map(({ moments }) => nearest(moments, step));
  }

  seek(place) {
    const { game } = this;
    game.slowly.quit();
    game.stop();
    if (place >= this.moments.length - 1) return this.now();
    const places = this.common(place);
    game.films.forEach((film, side) => {
      if (!this.back) film.newest = film.picture;
      if (places[side] >= 0) game.send({ kind: "seek", side, place: places[side] });
    });
    Object.assign(this, { back: true, place });
    this.show();
  }

  branch() {
    const { game } = this;
    const places = this.common(this.place);
    game.films.forEach((film, side) => {
      if (places[side] < 0) return;
      film.newest = null;
      film.history.cut(film.moments[places[side]]);
      film.moments = film.moments.slice(0, places[side] + 1);
      game.send({ kind: "branch", side, place: places[side] });
    });
    game.start();
  }

  // Back to the newest step.
  now() {
    this.back = false;
    for (const film of this.game.films) {
      if (film.newest) this.game.put(film, film.newest);
      film.newest = null;
    }
    this.show();
  }

  show() {
    const { game, moments, back } = this;
    this.slider.max = Math.max(0, moments.length - 1);
    this.slider.value = back ? this.place : this.slider.max;
    const step = moments[this.slider.value] || 0;
    this.slider.setAttribute("aria-valuetext", `step ${step}`);
    this.branchButton.hidden = this.nowButton.hidden = !back;
    if (back) this.branchButton.textContent = `Go on from step ${step.toLocaleString("en")}`;
    const changes = game.films[game.edited].script?.changes || [];
    const listed = changes.slice(-LISTED).map(words).join("; ");
    this.changes.textContent = listed && `Changes, by step: ${changes.length > LISTED ? "… " : ""}${listed}.`;
    game.redraw();
  }
}

// A change as words: "120 G learning rate 0.01".
function words({ step, only, values }) {
  const player = (text) => `${text[0].toUpperCase()} `;
  const name = (key) => key.replace(/^[dg]_/, player).replace("lr", "learning rate");
  const parts = Object.entries(values).map(([key, value]) => `${name(key)} ${value === "" ? "none" : value}`);
  return `${step} ${parts.join(", ") || PLAYERS[only]}`;
}

// The place of the last moment at or before a step.
function nearest(moments, step) {
  return moments.findLastIndex((one) => one <= step);
}
