// Slow motion: the server gives the pictures between and after the two updates of a step, shown in ten beats.
import { BEATS } from "./play_graph.js";

const BEAT = 1250; // milliseconds
const D_MOVES = 5; // beat at which the discriminator's update is seen; the generator's is at the last

export class SlowMotion {
  constructor(game) { Object.assign(this, { game, beat: 0, held: false }); }

  toggle() {
    if (this.beat) return this.quit();
    this.game.stop();
    this.game.timeline.now();
    this.held = false;
    this.beat = BEATS.length;
    this.next();
    this.game.buttons();
  }

  next() {
    clearTimeout(this.timer);
    const { films, graph } = this.game;
    this.beat = (this.beat % BEATS.length) + 1;
    for (const side of this.beat === 1 ? films.keys() : []) this.game.send({ kind: "slow", side });
    for (const film of films) {
      if (this.beat === D_MOVES && film.middle) this.game.put(film, film.middle, false);
      if (this.beat === BEATS.length && film.after) this.game.put(film, film.after);
    }
    graph.beat(this.beat);
    this.game.redraw();
    if (!this.held) this.timer = setTimeout(() => this.next(), BEAT);
  }

  // Pause within a step, or go on.
  hold() {
    this.held = !this.held;
    clearTimeout(this.timer);
    if (!this.held) this.timer = setTimeout(() => this.next(), BEAT);
    this.game.buttons();
  }

  quit() {
    clearTimeout(this.timer);
    if (!this.beat) return;
    this.beat = 0;
    for (const film of this.game.films) if (film.after) this.game.put(film, film.after);
    this.game.graph.beat(0);
    this.game.redraw();
    this.game.buttons();
  }
}
