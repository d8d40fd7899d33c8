// What is seen: rows of the log, tabs, people. It makes elements of texts, and never HTML of them.

import { SERVER, isWords } from "./channels.js";
import { isChannel } from "./irc.js";

const NEAR = 80; // pixels from the end within which the log follows what is new
const COLOURS = 8;

export const byId = (id) => document.getElementById(id);

/** An element with attributes and children; a text is a child like others. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** The colour of a nick: the same each time. */
export function colour(nick) {
  let sum = 0;
  for (const letter of nick.toLowerCase()) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  return `nick c${sum % COLOURS}`;
}

export function shownName(place) {
  return place.name === SERVER ? "server" : place.name;
}

function clock(time) {
  const two = (number) => String(number).padStart(2, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}`;
}

/** A text with its addresses as links, which tell nobody where they were clicked. */
function linked(text) {
  return text.split(/(https?:\/\/[^\s<>"']*[^\s<>"'.,;:!?)\]])/).map((part, n) =>
    n % 2 ? element("a", { href: part, target: "_blank", rel: "noopener noreferrer" }, part) : part,
  );
}

/** The logs, one for each place, of which one is seen. */
export class Logs {
  constructor(root, { earlier, swipe, take }) {
    this.root = root;
    this.earlier = earlier;
    this.swipe = swipe;
    this.take = take;
    this.panels = new Map();
    this.made = 0;
    this.rows = new WeakMap();
  }

  panel(place) {
    if (!this.panels.has(place.key)) this.panels.set(place.key, this.make(place));
    return this.panels.get(place.key);
  }

  make(place) {
    const more = element("button", { type: "button", class: "earlier", hidden: true }, "Show earlier lines");
    more.addEventListener("click", () => this.earlier(place));
    const log = element("div", { role: "log", "aria-label": `What was said in ${shownName(place)}`, class: "log" });
    const hint = element("p", { class: "hint" }, ...(place.name === SERVER ? [] : [
      "Nobody has spoken in ", element("strong", {}, shownName(place)),
      isChannel(place.name) ? " yet. Say hello, or set the scene first: a topic, and who is there." : " yet.",
    ]));
    this.made += 1;
    const panel = element("div", {
      class: "panel", role: "tabpanel", tabindex: "0", id: `panel-${this.made}`, hidden: true,
    }, more, log, hint);
    this.root.append(panel);
    return { panel, log, more, hint };
  }

  /** Leave out what stands above the oldest line of a place. */
  forget(place) {
    const { log, more } = this.panel(place);
    const first = this.rows.get(place.said[0]);
    while (log.firstChild && log.firstChild !== first) log.firstChild.remove();
    more.hidden = !isChannel(place.name);
  }

  remove(place) {
    this.panels.get(place.key)?.panel.remove();
    this.panels.delete(place.key);
  }

  show(place) {
    for (const { panel } of this.panels.values()) panel.hidden = true;
    const { panel } = this.panel(place);
    panel.hidden = false;
    panel.setAttribute("aria-labelledby", tabId(place));
    panel.scrollTop = panel.scrollHeight;
  }

  add(place, line) {
    const { panel, log, hint } = this.panel(place);
    if (line.kind !== "event") hint.hidden = true;
    if (isWords(line) && !line.reply) this.endChoice(place); // the talk goes on
    const follows = panel.scrollHeight - panel.scrollTop - panel.clientHeight < NEAR;
    const row = element("div", { class: "row" });
    this.rows.set(line, row);
    this.fill(place, line);
    log.append(...this.dayBefore(place.said.at(-2), line), row);
    this.markNewest(place);
    if (follows || line.own) panel.scrollTop = panel.scrollHeight;
  }

  /** Show a line anew, whose text or place among the replies has changed. */
  update(place, line) {
    const { panel } = this.panel(place);
    const follows = panel.scrollHeight - panel.scrollTop - panel.clientHeight < NEAR;
    if (isWords(line) && (!line.reply || line.undone)) this.endChoice(place);
    this.fill(place, line);
    this.markNewest(place);
    if (follows) panel.scrollTop = panel.scrollHeight;
  }

  /** Show all lines anew: there are earlier ones. */
  refill(place) {
    const { panel, log } = this.panel(place);
    const below = panel.scrollHeight - panel.scrollTop;
    const live = log.getAttribute("role");
    log.setAttribute("aria-live", "off"); // nobody wants the past read out
    log.replaceChildren(...place.said.flatMap((line, n) => {
      if (!this.rows.has(line)) {
        this.rows.set(line, element("div", { class: "row" }));
        this.fill(place, line);
      }
      return [...this.dayBefore(place.said[n - 1], line), this.rows.get(line)];
    }));
    this.markNewest(place);
    panel.scrollTop = panel.scrollHeight - below;
    if (live) setTimeout(() => log.removeAttribute("aria-live"), 500);
  }

  /** The day of a line, unless the line before it is of the same one, or it is of today. */
  dayBefore(before, line) {
    const day = line.time.toDateString();
    const same = before ? before.time.toDateString() === day : day === new Date().toDateString();
    if (same) return [];
    const told = line.time.toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long" });
    return [element("p", { class: "day" }, told)];
  }

  showEarlier(place, visible) {
    this.panel(place).more.hidden = !visible;
  }

  fill(place, line) {
    const row = this.rows.get(line);
    row.className = ["row", line.kind, line.own && "own", line.undone && "undone"].filter(Boolean).join(" ");
    const words = element("div", { class: "words" }, element("span", { class: "text" }, ...linked(line.text)));
    if (line.undone) words.append(element("span", { class: "mark" }, " (taken back)"));
    if (line.kind === "choice") {
      words.append(" ", element("button", {
        type: "button", class: "take", "aria-label": `Take reply ${line.number}`, onclick: () => this.take(line.number),
      }, "Take"));
    }
    if (line.reply && (line.reply.count > 1 || line.cost)) words.append(this.about(line));
    row.replaceChildren(
      element("time", { datetime: line.time.toISOString() }, clock(line.time)),
      ...this.who(line).flatMap((part) => [" ", part]), // for those who copy it
      " ",
      words,
    );
  }

  /** Nothing can be chosen any more: the talk went on, or was begun anew. */
  endChoice(place) {
    for (const button of this.panel(place).log.querySelectorAll(".take")) button.remove();
  }

  who(line) {
    if (line.kind === "choice") return [element("span", { class: "nick sign" }, `${line.number}.`)];
    if (line.kind === "event") return [element("span", { class: "nick sign", "aria-hidden": "true" }, "-!-")];
    const nick = element("span", { class: colour(line.nick) }, line.nick);
    if (line.kind === "action") return [element("span", { class: "nick sign", "aria-hidden": "true" }, "*"), nick];
    return [nick, element("span", { class: "unseen" }, ": ")];
  }

  /** What stands below a reply: which of how many it is, and what it took. */
  about(line) {
    const about = element("div", { class: "about" });
    if (line.reply.count > 1) {
      about.append(element("span", { class: "which" }, `${line.reply.place}/${line.reply.count}`));
    }
    if (line.cost) about.append(element("span", { class: "cost" }, costOf(line.cost)));
    return about;
  }

  /** Let the newest reply be swiped, and no other. */
  markNewest(place) {
    const { log } = this.panel(place);
    const newest = place.lastReply;
    const row = newest && this.rows.get(newest);
    for (const other of log.querySelectorAll(".row.newest")) {
      if (other === row) continue;
      other.classList.remove("newest");
      for (const button of other.querySelectorAll(".swipe")) button.remove();
    }
    if (!row || row.querySelector(".swipe")) return;
    row.classList.add("newest");
    if (!row.querySelector(".about")) row.querySelector(".words").append(element("div", { class: "about" }));
    const about = row.querySelector(".about");
    const arrow = (way, sign, label) => element("button", {
      type: "button", class: "swipe", "aria-label": label, title: label, onclick: () => this.swipe(way),
    }, sign);
    about.prepend(arrow(-1, "‹", "The reply before"));
    const which = about.querySelector(".which");
    const next = arrow(1, "›", newest.reply.place < newest.reply.count ? "The reply after" : "Another reply");
    if (which) which.after(next);
    else about.firstChild.after(next);
    swipeable(row, this.swipe);
  }
}

export function costOf({ tokens, seconds }) {
  return `${tokens} ${tokens === 1 ? "token" : "tokens"}, ${(tokens / seconds).toFixed(1)}/s`;
}

/** Call `swipe` with -1 or 1 when a finger draws an element to the right or to the left. */
function swipeable(row, swipe) {
  if (row.dataset.swipes) return;
  row.dataset.swipes = "yes";
  let begin = null;
  row.addEventListener("touchstart", (event) => {
    begin = event.touches.length === 1 ? { x: event.touches[0].clientX, y: event.touches[0].clientY } : null;
  }, { passive: true });
  row.addEventListener("touchend", (event) => {
    const end = event.changedTouches[0];
    if (!begin || !row.classList.contains("newest")) return;
    const [x, y] = [end.clientX - begin.x, end.clientY - begin.y];
    if (Math.abs(x) > 48 && Math.abs(y) < Math.abs(x) / 2) swipe(x > 0 ? -1 : 1);
    begin = null;
  }, { passive: true });
}

export function tabId(place) {
  return `tab-${[...place.key].map((letter) => letter.codePointAt(0).toString(16)).join("-")}`;
}

/** The tabs of all places, in the order of their coming; the server's own is the last. */
export function showTabs(root, places, { panelOf, choose, close }) {
  const focused = root.contains(document.activeElement) ? document.activeElement.id : "";
  const every = [...places.all.values()].sort((a, b) => (a.name === SERVER) - (b.name === SERVER));
  root.replaceChildren(...every.map((place) => {
    const chosen = place === places.current;
    const count = place.unread ? element("span", { class: place.named ? "count named" : "count" },
      String(place.unread), element("span", { class: "unseen" }, " unread")) : "";
    const tab = element("button", {
      type: "button", role: "tab", id: tabId(place), class: "tab", tabindex: chosen ? "0" : "-1",
      "aria-selected": String(chosen), "aria-controls": panelOf(place).id, onclick: () => choose(place),
    }, element("span", { class: "tab-name" }, shownName(place)), count);
    tab.addEventListener("keydown", (event) => event.key === "Delete" && close(place));
    return tab;
  }));
  if (focused) (byId(focused) ?? root.querySelector("[aria-selected=true]"))?.focus(); // it may be closed
  root.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

/** The people of a place, with their bios. */
export function showMembers(root, place, { isOurs, talk }) {
  const order = [...place.members.values()].sort((a, b) => isOurs(a.nick) - isOurs(b.nick));
  root.replaceChildren(...order.map(({ nick, sign, bio }) => {
    const name = element("span", { class: colour(nick) }, `${sign}${nick}`);
    const head = isOurs(nick)
      ? element("p", { class: "member own" }, name, " (you)")
      : element("button", {
        type: "button", class: "member", title: `Talk to ${nick} alone`, onclick: () => talk(nick),
      }, name);
    return element("li", {}, head, bio ? element("p", { class: "bio" }, bio) : "");
  }));
}

/** Let the arrow keys go through the buttons of a group, of which Tab finds one. */
export function rove(root, selector) {
  root.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const items = [...root.querySelectorAll(selector)].filter((item) => !item.hidden && !item.disabled);
    const at = items.indexOf(document.activeElement);
    if (!step || at < 0 || event.altKey) return;
    event.preventDefault();
    const next = items[(at + step + items.length) % items.length];
    for (const item of items) item.tabIndex = item === next ? 0 : -1;
    next.focus();
  });
}

export function showTitle(places) {
  const unread = [...places.all.values()].reduce((sum, place) => sum + place.unread, 0);
  const name = places.current ? shownName(places.current) : "";
  document.title = `${unread ? `(${unread}) ` : ""}${name ? `${name} · ` : ""}Relay`;
}

