// The client: it brings connection, places and the page together.

import { Places, SERVER } from "./channels.js";
import { OWN, isTalk, orderLine, perform, sendMessage } from "./commands.js";
import { Composer } from "./composer.js";
import { Connection } from "./connection.js";
import { fold, isChannel } from "./irc.js";
import { Logs, byId, colour, costOf, element, rove, showMembers, showTabs, showTitle, shownName } from "./view.js";

const BUTTONS = {
  retry: "Retry", undo: "Undo", edit: "Edit", "lazy?": "Write for me", continue: "Go on", slap: "Slap",
  cycle: "Begin anew", cancel: "Stop",
};
const PAGE_OF_HISTORY = 50;

/** What this browser remembers, for good or for this tab, where it lets us at all. */
function memoryOf(kind) {
  return {
    get(name, otherwise) {
      try {
        return JSON.parse(window[kind].getItem(`relay.${name}`)) ?? otherwise;
      } catch {
        return otherwise;
      }
    },
    set(name, value) {
      try {
        window[kind].setItem(`relay.${name}`, JSON.stringify(value));
      } catch {
        // nothing is remembered
      }
    },
  };
}
const memory = memoryOf("localStorage");
const tabMemory = memoryOf("sessionStorage");

class Client {
  constructor() {
    this.connection = new Connection(this);
    this.places = new Places(this.connection, (place, what, detail) => this.changed(place, what, detail));
    this.logs = new Logs(byId("logs"), {
      earlier: (place) => this.earlier(place),
      swipe: (way) => this.swipe(way),
      take: (number) => this.order("next", String(number)),
    });
    this.orders = [];
    this.toJoin = []; // channels that are joined one after the other
    this.joining = null;
    this.asked = new Map(); // folded nick → where its whois belongs; null: the user wants to see it
    this.pending = []; // said, and not yet come back: { place, text, action }
    this.returned = []; // of these, what was put back where it was written
    this.composer = new Composer(this);
    this.wire();
  }

  // The door

  wire() {
    const nick = byId("door-nick");
    const channel = byId("door-channel");
    nick.value = memory.get("nick", "anon");
    channel.value = named(location.hash) || memory.get("channels", ["#boston"])[0] || "#boston";
    byId("door-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.enter(nick.value.trim(), channel.value.trim(), byId("door-password").value);
    });
    for (const button of document.querySelectorAll("[data-channel]")) {
      button.addEventListener("click", () => {
        channel.value = button.dataset.channel;
        channel.focus();
      });
    }
    byId("join-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const wanted = byId("join-channel");
      if (wanted.value.trim()) this.join(wanted.value.trim());
      wanted.value = "";
    });
    byId("topic-button").addEventListener("click", () => this.prepare(`/topic ${this.places.current.topic}`));
    byId("cast-button").addEventListener("click", () => this.prepare("/cast "));
    byId("people-button").addEventListener("click", () => this.showPeople());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && byId("people").classList.contains("open")) this.showPeople();
      if (!event.altKey || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
      event.preventDefault();
      this.step(event.key === "ArrowUp" ? -1 : 1);
    });
    rove(byId("orders"), "button");
    rove(byId("tabs"), "[role=tab]");
    document.addEventListener("visibilitychange", () => document.hidden || this.connection.wake());
    window.addEventListener("online", () => this.connection.wake());
    setInterval(() => this.showTyping(this.places.current), 1000);
    setInterval(() => this.connection.watch(), 30000);
    nick.select();
    // Of two windows, each comes back to its own channels, the one that was looked at first.
    const left = tabMemory.get("channels", memory.get("channels", []));
    if (tabMemory.get("inside", false)) this.enter(nick.value, [...new Set([channel.value, ...left])].join(","), "");
  }

  enter(nick, channels, password) {
    memory.set("nick", nick);
    byId("door-problem").textContent = "";
    this.toJoin = channels.split(/[\s,]+/).filter(Boolean).map(hashed);
    this.wanted = this.toJoin[0];
    this.connection.enter(nick, password);
  }

  learnOrders(orders) {
    if (JSON.stringify(orders) === JSON.stringify(this.orders)) return; // the focus stays on a button
    this.orders = orders;
    const known = Object.entries(BUTTONS).filter(([name]) => orders.some((order) => order.name === name));
    byId("orders").replaceChildren(...known.map(([name, label], n) => element("button", {
      type: "button", tabindex: n ? "-1" : "0", class: `order order-${name.replace("?", "")}`,
      title: orders.find((order) => order.name === name).help,
      onclick: () => this.press(name),
    }, label)));
    this.showOrders();
    if (this.places.current) this.showPlace(this.places.current);
  }

  // What the connection tells

  line(line) {
    this.places.take(line);
    if (line.verb === "NICK" && this.places.isOurs(line.params[0])) {
      memory.set("nick", this.connection.nick);
      byId("whoami").textContent = this.connection.nick;
    }
    if (/^4\d\d$/.test(line.verb) && this.joining && fold(line.params[1] ?? "") === this.joining) this.joinNext();
  }

  registered() {
    tabMemory.set("inside", true);
    byId("door").hidden = true;
    byId("client").hidden = false;
    const left = [...this.places.all.values()].filter((place) => isChannel(place.name)).map((place) => place.name);
    this.toJoin = [...new Set([...this.toJoin, ...left])];
    fetch("/orders.json").then((answer) => answer.json()).then((orders) => this.learnOrders(orders), () => {});
    this.connection.send("LIST");
    this.joinNext();
    if (!this.places.current) this.choose(this.places.get(SERVER));
    this.showOrders();
  }

  state(text, online) {
    byId("state").textContent = text;
    document.body.classList.toggle("offline", !online);
    byId("whoami").textContent = online ? this.connection.nick : "";
    if (this.connection.wanted && text !== "connecting") {
      byId("door-problem").textContent = online ? "" : `The server does not answer: ${text}.`;
    }
    if (online) return;
    this.places.lost();
    this.joining = null;
    for (const lost of this.pending.splice(0)) this.giveBack(lost);
  }

  /** Put what may not have arrived where it was written, unless something else is written there now. */
  giveBack({ place, text, action }) {
    const line = action ? `/me ${text}` : text;
    const current = place === this.places.current;
    if (!(current ? this.composer.value : place.draft)) {
      this.write(place, line);
      this.returned.push({ place, text, line });
    } else {
      this.places.tell(`This may not have arrived: ${line}`, place);
    }
  }

  /** What we said has come back, now or by the history of a place where we were cut off. */
  came(place, { text }) {
    const is = (one) => one.place === place && one.text === text;
    const at = this.pending.findIndex(is);
    if (at >= 0) this.pending.splice(at, 1);
    const twice = this.returned.find(is);
    if (!twice) return;
    this.returned = this.returned.filter((one) => one !== twice);
    const written = place === this.places.current ? this.composer.value : place.draft;
    if (written === twice.line) this.write(place, "");
  }

  write(place, text) {
    if (place === this.places.current) this.composer.value = text;
    else place.draft = text;
  }

  refused(why) {
    tabMemory.set("inside", false);
    byId("door").hidden = false;
    byId("client").hidden = true;
    for (const field of document.querySelectorAll("[data-password]")) field.hidden = why === "nick" && field.hidden;
    const given = this.connection.password;
    byId("door-problem").textContent = why === "nick"
      ? "That cannot be a nick: letters, digits and some signs, no spaces."
      : given ? "The password is wrong, or it is too early for another try." : "This network wants a password.";
    byId(why === "nick" ? "door-nick" : "door-password").focus();
  }

  changed(place, what, detail) {
    const current = place === this.places.current;
    if (what === "line") this.logs.add(place, detail);
    else if (what === "reply") this.logs.update(place, detail);
    else if (what === "history") this.logs.refill(place);
    else if (what === "told") this.gotHistory(place);
    else if (what === "forgotten") this.logs.forget(place);
    else if (what === "came") this.came(place, detail);
    else if (what === "joined") this.arrived(place);
    else if (what === "named") this.askBios(place);
    else if (what === "whois") this.gotWhois(detail);
    else if (what === "draft") this.prepare(detail);
    else if (what === "saved") this.showSaved();
    else if (what === "gone") this.gone(place);
    else if (what === "typing" && current) this.showTyping(place);
    else if (what === "members" && current) this.showPlace(place);
    else if (what === "topic" && current) this.showPlace(place);
    if (what === "line" || what === "reply") {
      if (detail.own) this.came(place, detail);
      if (current && detail.cost) byId("speed").textContent = costOf(detail.cost);
      if (current) this.showOrders();
    }
    if (what === "unread" || what === "joined" || what === "line") this.showTabs();
  }

  // Channels

  join(names) {
    this.toJoin.push(...names.split(/[\s,]+/).filter(Boolean).map(hashed));
    this.wanted = this.toJoin.at(-1);
    const open = this.places.find(this.wanted);
    if (open?.joined) this.choose(open);
    if (!this.joining) this.joinNext();
  }

  /** Join the next channel, once the bios of the last one are known: a whois is about the last. */
  joinNext() {
    this.joining = null;
    clearTimeout(this.patience);
    const name = this.toJoin.shift();
    if (!name) return;
    if (this.places.find(name)?.joined) {
      this.joinNext();
      return;
    }
    this.joining = fold(name);
    this.patience = setTimeout(() => this.joinNext(), 4000);
    this.connection.send("JOIN", [name]);
  }

  arrived(place) {
    const wanted = this.wanted && fold(this.wanted) === place.key;
    if (wanted || !isTalk(this.places.current)) this.choose(place);
    if (place.newest) this.later(place);
    else this.askHistory(place, "LATEST", "*");
    this.remember();
  }

  askHistory(place, which, point) {
    place.asks.push(which);
    this.connection.send("CHATHISTORY", [which, place.name, point, String(PAGE_OF_HISTORY)]);
  }

  /** What was said since the newest words that we know, and in the same millisecond. */
  later(place) {
    const point = new Date(place.newest.getTime() - 1).toISOString();
    this.askHistory(place, "AFTER", `timestamp=${point}`);
  }

  gotHistory(place) {
    const { asked, lines, fresh } = place.told;
    const all = lines < PAGE_OF_HISTORY;
    if (asked !== "AFTER") this.logs.showEarlier(place, !all);
    else if (!all && fresh) this.later(place);
  }

  askBios(place) {
    if (place.key !== this.joining) return;
    const others = [...place.members.values()].filter(({ nick }) => !this.places.isOurs(nick)).slice(0, 8);
    this.waiting = others.length;
    for (const { nick } of others) {
      this.asked.set(fold(nick), place);
      this.connection.send("WHOIS", [nick]);
    }
    if (!others.length) this.joinNext();
  }

  gotWhois({ nick, realname, bio }) {
    const place = this.asked.get(fold(nick));
    this.asked.delete(fold(nick));
    if (place === null) {
      if (realname) this.places.tell(`${nick}: ${realname}${bio ? `. ${bio}` : ""}`);
      return;
    }
    const member = place?.member(nick);
    if (member && bio) member.bio = bio;
    if (place && place === this.places.current) this.showPlace(place);
    this.waiting -= 1;
    if (this.waiting === 0) this.joinNext();
  }

  whois(nick) {
    this.asked.set(fold(nick), null);
    this.connection.send("WHOIS", [nick]);
  }

  close(place) {
    if (isChannel(place.name) && place.joined) this.connection.send("PART", [place.name]);
    else this.places.remove(place);
  }

  gone(place) {
    this.logs.remove(place);
    if (place === this.places.current) {
      this.places.current = null;
      const others = [...this.places.all.values()];
      this.choose(others.find(isTalk) ?? this.places.get(SERVER));
    }
    this.showTabs();
    this.remember();
  }

  remember() {
    const names = [...this.places.all.values()].map((place) => place.name).filter(isChannel);
    if (names.length) for (const kept of [memory, tabMemory]) kept.set("channels", names);
  }

  choose(place) {
    const before = this.places.current;
    if (before) before.draft = this.composer.value;
    if (before !== place && byId("people").classList.contains("open")) this.showPeople();
    this.places.current = place;
    place.unread = 0;
    place.named = false;
    if (before !== place) this.composer.value = place.draft ?? "";
    this.logs.show(place);
    this.showPlace(place);
    this.showTyping(place);
    this.showTabs();
    this.showOrders();
    history.replaceState(null, "", isChannel(place.name) ? `#${encodeURIComponent(place.name.slice(1))}` : "#");
    if (before !== place && !matchMedia("(pointer: coarse)").matches) this.composer.focus();
  }

  step(way) {
    const every = [...byId("tabs").children].map((tab) => tab.id);
    const at = every.findIndex((id) => byId(id).getAttribute("aria-selected") === "true");
    byId(every[(at + way + every.length) % every.length])?.click();
    this.composer.focus();
  }

  // What is shown

  showTabs() {
    showTabs(byId("tabs"), this.places, {
      panelOf: (place) => this.logs.panel(place).panel,
      choose: (place) => this.choose(place),
      close: (place) => this.close(place),
    });
    const active = [...this.places.all.values()].filter((place) => place.unread);
    byId("activity").textContent = active.length ? `Act: ${active.map(shownName).join(" ")}` : "";
    showTitle(this.places);
  }

  showPlace(place) {
    byId("place").textContent = shownName(place);
    byId("topic").textContent = place.topic || (isChannel(place.name) ? "no topic is set" : "");
    byId("topic").classList.toggle("none", !place.topic);
    byId("topic-button").hidden = !isChannel(place.name);
    byId("people-button").hidden = !isChannel(place.name);
    byId("people-button").textContent = `${place.members.size} ${place.members.size === 1 ? "person" : "people"}`;
    byId("cast-button").hidden = !this.orders.some((order) => order.name === "cast");
    byId("people").classList.toggle("none", !isChannel(place.name));
    showMembers(byId("members"), place, { isOurs: this.places.isOurs, talk: (nick) => this.talk(nick, "") });
    byId("whoami").textContent = this.connection.nick;
  }

  showPeople() {
    const shown = byId("people").classList.toggle("open");
    byId("people-button").setAttribute("aria-expanded", String(shown));
    if (!shown) byId("people-button").focus();
  }

  showTyping(place) {
    if (!place) return;
    const nicks = place.typing(Date.now());
    const text = nicks.length ? `${nicks.join(" and ")} ${nicks.length > 1 ? "are" : "is"} typing` : "";
    if (byId("typing").textContent !== text) byId("typing").textContent = text;
    const preview = nicks.length ? place.preview : null;
    byId("preview").hidden = !preview;
    if (preview) {
      byId("preview").replaceChildren(element("span", { class: colour(preview.nick) }, preview.nick), ` ${preview.text}`);
    }
    document.body.classList.toggle("answering", nicks.length > 0);
  }

  showOrders() {
    byId("orders").hidden = !isTalk(this.places.current) || !this.orders.length;
  }

  showSaved() {
    byId("saved-channels").replaceChildren(...[...this.places.saved].map(([name, topic]) =>
      element("option", { value: name }, topic)));
  }

  // Words

  /** Put a text into the line, to be changed and sent. */
  prepare(text) {
    if (byId("people").classList.contains("open")) this.showPeople();
    this.composer.prepare(text);
  }

  /** Do what a typed text says; false if there is nobody to tell it. */
  say(text) {
    if (!this.connection.registered) {
      this.places.tell("There is no connection at the moment: your words stay below.");
      return false;
    }
    perform(this, text);
    return true;
  }

  sayTo(place, text, options = {}) {
    if (!isTalk(place)) {
      this.places.tell("Nobody hears you here: join a channel first, /join #boston.");
      return;
    }
    const sent = sendMessage(this.connection, place.name, text, options);
    for (const one of sent) this.pending.push({ place, text: one, ...options });
  }

  talk(nick, text) {
    this.choose(this.places.get(nick));
    if (text) this.sayTo(this.places.current, text);
  }

  onPlace(verb, rest) {
    this.connection.send(verb, [this.places.current.name, rest]);
  }

  order(name, rest = "") {
    if (!this.connection.registered) this.places.tell("There is no connection at the moment.");
    else if (isTalk(this.places.current)) this.connection.sendText(orderLine(name, this.places.current, rest));
    else this.places.tell("Join a channel first, /join #boston.");
  }

  /** A made-up command is meant where one speaks or types, so that is told before. */
  madeUp(place, word, rest) {
    if (isTalk(place)) this.connection.send("TAGMSG", [place.name], { "+typing": "active" });
    this.connection.sendText(`${word} ${rest}`.trim());
    if (isTalk(place)) this.connection.send("TAGMSG", [place.name], { "+typing": "done" });
  }

  help() {
    for (const { name, argument, help } of this.commands) this.places.tell(`/${name} ${argument}`.trim().padEnd(22) + help);
    this.places.tell("Any other command is for the model: try /dance wildly.");
  }

  quit() {
    tabMemory.set("inside", false);
    this.connection.leave("bye");
    byId("door").hidden = false;
    byId("client").hidden = true;
    byId("door-nick").focus();
  }

  get commands() {
    const own = new Set(OWN.map((command) => command.name));
    return [...this.orders.filter((order) => !own.has(order.name) && order.name !== "help"), ...OWN];
  }

  press(name) {
    if (name === "edit") this.order("edit");
    else if (name === "lazy?") this.order("lazy?", this.composer.value.trim());
    else this.order(name);
  }

  /** Another reply in place of the last one: the one before, or the one after, or a new one. */
  swipe(way) {
    const reply = this.places.current?.lastReply?.reply;
    if (!reply) return;
    if (way < 0 && reply.place > 1) this.order("prev");
    else if (way > 0) this.order(reply.place < reply.count ? "next" : "retry");
  }

  earlier(place) {
    const oldest = place.said.find((line) => line.kind !== "event");
    if (!oldest) return;
    this.askHistory(place, "BEFORE", `timestamp=${oldest.time.toISOString()}`);
  }
}

/** The channel that an address names behind its `#`, as somebody typed it or as we wrote it. */
function named(hash) {
  try {
    return decodeURIComponent(hash);
  } catch {
    return hash;
  }
}

function hashed(name) {
  return isChannel(name) ? name : `#${name}`;
}

new Client();
