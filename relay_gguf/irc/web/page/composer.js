// The line that is being written: its keys, its menu, what was typed before.

import { Menu, isTalk } from "./commands.js";
import { fold } from "./irc.js";
import { byId } from "./view.js";

const PAST = 200; // typed lines that can be brought back
const TYPING_EVERY = 3000; // milliseconds between two signs that we type (IRCv3 typing)

/** The input line of a client, which is told what was typed: `client.say(text)` says if it took it. */
export class Composer {
  constructor(client) {
    this.client = client;
    this.text = byId("text");
    this.past = []; // lines that were typed
    this.menu = new Menu(byId("menu"), byId("menu-count"), this.text, (command) => this.complete(command));
    byId("send").addEventListener("click", () => this.submit());
    this.text.addEventListener("input", () => this.typed());
    this.text.addEventListener("keydown", (event) => this.key(event));
    this.text.addEventListener("blur", () => this.menu.hide());
  }

  get value() {
    return this.text.value;
  }

  set value(text) {
    this.text.value = text;
    this.fit();
  }

  focus() {
    this.text.focus();
  }

  submit() {
    const text = this.text.value.replace(/\s+$/, "");
    this.menu.hide();
    if (!text) return;
    this.value = ""; // first: what is said may lead to another place, with a draft of its own
    if (!this.client.say(text)) {
      this.value = text;
      return;
    }
    this.past = [...this.past, text].slice(-PAST);
    this.at = this.past.length;
    this.saysTyping = 0;
  }

  /** Put a text into the line, to be changed and sent. */
  prepare(text) {
    this.text.value = text;
    this.fit();
    this.text.focus();
  }

  complete(command) {
    this.prepare(`/${command.name}${command.argument ? " " : ""}`);
    this.menu.hide();
  }

  typed() {
    this.fit();
    this.menu.update(this.client.commands, this.text.value);
    const place = this.client.places.current;
    if (!isTalk(place) || this.text.value.startsWith("/")) return;
    const now = Date.now();
    if (this.text.value && now - (this.saysTyping ?? 0) > TYPING_EVERY) {
      this.saysTyping = now;
      this.client.connection.send("TAGMSG", [place.name], { "+typing": "active" });
    } else if (!this.text.value && this.saysTyping) {
      this.saysTyping = 0;
      this.client.connection.send("TAGMSG", [place.name], { "+typing": "done" });
    }
  }

  fit() {
    this.text.rows = Math.min(this.text.value.split("\n").length, 6);
  }

  key(event) {
    if (event.isComposing || event.altKey || event.ctrlKey || event.metaKey) return;
    const empty = !this.text.value;
    const act = this.menu.isOpen ? this.menuKey(event) : {
      Enter: !event.shiftKey && (() => this.submit()),
      Tab: !event.shiftKey && this.completesNick() && (() => this.completeNick()),
      ArrowLeft: empty && (() => this.client.swipe(-1)),
      ArrowRight: empty && (() => this.client.swipe(1)),
      ArrowUp: (empty || this.text.value === this.past[this.at]) && (() => this.recall(-1)),
      ArrowDown: this.text.value === this.past[this.at] && (() => this.recall(1)),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  menuKey(event) {
    const { menu } = this;
    if (event.shiftKey) return null; // back to what stands before, or another line
    return {
      ArrowDown: () => menu.move(1),
      ArrowUp: () => menu.move(-1),
      Escape: () => menu.hide(),
      Tab: () => this.complete(menu.chosen),
      Enter: () => {
        if (!menu.chosen.argument || this.text.value === `/${menu.chosen.name}`) this.run(menu.chosen);
        else this.complete(menu.chosen);
      },
    }[event.key];
  }

  run(command) {
    this.text.value = `/${command.name}`;
    this.menu.hide();
    this.submit();
  }

  recall(way) {
    this.at = Math.max(0, Math.min((this.at ?? this.past.length) + way, this.past.length));
    this.prepare(this.past[this.at] ?? "");
  }

  completesNick() {
    const word = /(\S+)$/.exec(this.text.value.slice(0, this.text.selectionStart))?.[1];
    const members = [...(this.client.places.current?.members.values() ?? [])];
    const found = word && members.find(({ nick }) => fold(nick).startsWith(fold(word)) && fold(nick) !== fold(word));
    return found ? { word, nick: found.nick } : null;
  }

  completeNick() {
    const { word, nick } = this.completesNick();
    const at = this.text.selectionStart;
    const before = this.text.value.slice(0, at - word.length);
    const done = `${before}${nick}${before ? " " : ": "}`;
    this.text.value = done + this.text.value.slice(at);
    this.text.setSelectionRange(done.length, done.length);
  }
}
