// What a typed line means: words, a command of this page, an order of the network, or a command that
// somebody made up, which is for the model.

import { SERVER } from "./channels.js";
import { pieces } from "./irc.js";

const LINE_BYTES = 510; // of IRC, with who sent it and to whom, but without its end
const SOURCE_BYTES = 90; // of who sent it, while that is unknown

/** The commands of this page: name, argument, help, and what they do to a client. */
export const OWN = [
  ["join", "#channel", "Join a channel, or open it if nobody is there.", (client, rest) => client.join(rest)],
  ["part", "", "Leave this channel.", (client) => client.close(client.places.current)],
  ["topic", "text", "Say what this channel is about.", (client, rest) => client.onPlace("TOPIC", rest)],
  ["me", "does something", "Do something, as a line that is not said.",
    (client, rest) => client.sayTo(client.places.current, rest, { action: true })],
  ["msg", "nick text", "Talk to somebody alone.", (client, rest) => client.talk(...firstWord(rest))],
  ["nick", "name", "Take another nick.", (client, rest) => client.connection.send("NICK", [rest])],
  ["whois", "nick", "Who somebody is: the bio.", (client, rest) => client.whois(rest || client.places.current.name)],
  ["invite", "nick", "Let somebody come back into this channel.",
    (client, rest) => client.connection.send("INVITE", [rest, client.places.current.name])],
  ["kick", "nick", "Send somebody away.",
    (client, rest) => client.connection.send("KICK", [client.places.current.name, ...firstWord(rest).filter(Boolean)])],
  ["away", "[reason]", "Be away; without a reason, be back.",
    (client, rest) => client.connection.send("AWAY", rest ? [rest] : [])],
  ["raw", "line", "Send a line of IRC as it is.", (client, rest) => client.connection.sendText(rest)],
  ["quit", "", "Leave the network.", (client) => client.quit()],
].map(([name, argument, help, run]) => ({ name, argument, help, run }));

/** Those that mean nothing without an argument. */
const NEEDY = new Set(["join", "me", "msg", "nick", "invite", "kick", "raw"]);
const ALIASES = { j: "join", leave: "part", close: "part", query: "msg", w: "whois" };
/** Commands of IRC that are sent as they are. */
const IRC = new Set(["names", "list", "who", "mode", "motd", "version", "time", "info", "lusers", "oper", "whowas", "setname", "notice"]);

function firstWord(text) {
  const space = text.indexOf(" ");
  return space < 0 ? [text, ""] : [text.slice(0, space), text.slice(space + 1).trim()];
}

/** Do what a typed text says. */
export function perform(client, text) {
  const place = client.places.current;
  if (!text.startsWith("/") || text.startsWith("//")) {
    client.sayTo(place, text.startsWith("//") ? text.slice(1) : text);
    return;
  }
  const [word, rest] = firstWord(text.slice(1).replace(/\s*\n\s*/g, " ").trim());
  const typed = word.toLowerCase();
  const name = ALIASES[typed] ?? typed;
  const own = OWN.find((command) => command.name === name);
  if (own && !rest && NEEDY.has(name)) client.places.tell(`It takes more: /${name} ${own.argument}`);
  else if (own) own.run(client, rest);
  else if (name === "help") client.help();
  else if (client.orders.some((order) => order.name === name)) client.order(name, rest);
  else if (IRC.has(name)) client.connection.sendText(`${name.toUpperCase()} ${rest}`.trim());
  else client.madeUp(place, word, rest);
}

/**
 * Send a message to a place, in pieces or as several where it is too long for one; the texts that
 * come back.
 */
export function sendMessage(connection, target, text, { action = false } = {}) {
  const frame = `: PRIVMSG ${target} :${connection.source || "x".repeat(SOURCE_BYTES)}`;
  const room = LINE_BYTES - new TextEncoder().encode(frame).length;
  if (action) {
    const sent = pieces(text.replace(/\n/g, " "), room - "\x01ACTION \x01".length);
    for (const piece of sent) connection.send("PRIVMSG", [target, `\x01ACTION ${piece}\x01`]);
    return sent;
  }
  const fragments = text.split("\n").flatMap((line) =>
    pieces(line, room).map((piece, n) => ({ piece, joins: n > 0 })));
  const sent = groups(fragments, connection.lines);
  for (const group of sent) sendTogether(connection, target, group);
  return sent.map((group) => group.map(({ piece, joins }, n) => (joins || !n ? piece : `\n${piece}`)).join(""));
}

/** Fragments in as few messages as a network takes; none is of blank lines alone. */
function groups(fragments, { most, bytes }) {
  const found = [];
  let size = Infinity;
  for (const fragment of fragments) {
    const more = new TextEncoder().encode(fragment.piece).length + 1;
    if (size + more > bytes || found.at(-1).length === most) {
      found.push([]);
      size = 0;
    }
    found.at(-1).push(fragment);
    size += more;
  }
  return found.filter((group) => group.some(({ piece }) => piece.trim()));
}

function sendTogether(connection, target, group) {
  if (group.length === 1) {
    connection.send("PRIVMSG", [target, group[0].piece]);
    return;
  }
  const batch = `m${Date.now().toString(36)}`;
  connection.send("BATCH", [`+${batch}`, "draft/multiline", target]);
  group.forEach(({ piece, joins }, n) => {
    const tags = joins && n ? { batch, "draft/multiline-concat": "" } : { batch };
    connection.send("PRIVMSG", [target, piece], tags);
  });
  connection.send("BATCH", [`-${batch}`]);
}

/** The menu below a line that begins with a slash. */
export class Menu {
  constructor(root, count, input, choose) {
    this.root = root;
    this.count = count;
    this.input = input;
    this.choose = choose;
    this.entries = [];
    this.at = 0;
    root.addEventListener("mousedown", (event) => {
      event.preventDefault(); // the input keeps the focus
      const option = event.target.closest("[role=option]");
      if (option) this.choose(this.entries[Number(option.dataset.at)]);
    });
  }

  get isOpen() {
    return !this.root.hidden;
  }

  /** Show the commands that a beginning may become; none hides the menu. */
  update(commands, text) {
    const begun = /^\/([\w?]*)$/.exec(text);
    this.entries = begun ? commands.filter((command) => command.name.startsWith(begun[1].toLowerCase())) : [];
    this.at = 0;
    this.draw();
  }

  hide() {
    this.entries = [];
    this.draw();
  }

  move(step) {
    this.at = (this.at + step + this.entries.length) % this.entries.length;
    this.draw();
  }

  get chosen() {
    return this.entries[this.at];
  }

  draw() {
    this.root.hidden = !this.entries.length;
    const count = this.entries.length;
    this.count.textContent = count ? `${count} ${count === 1 ? "command" : "commands"}` : "";
    this.root.replaceChildren(...this.entries.map(({ name, argument, help }, n) => {
      const option = document.createElement("div");
      option.id = `option-${n}`;
      option.dataset.at = n;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", String(n === this.at));
      for (const [kind, text] of [["usage", `/${name} ${argument}`.trim()], ["help", help]]) {
        const part = document.createElement("span");
        part.className = kind;
        part.textContent = text;
        option.append(part, " ");
      }
      return option;
    }));
    if (this.root.hidden) {
      this.input.removeAttribute("aria-activedescendant");
    } else {
      this.input.setAttribute("aria-activedescendant", `option-${this.at}`);
      this.root.children[this.at].scrollIntoView({ block: "nearest" });
    }
  }
}

/** Whether something can be said in a place. */
export function isTalk(place) {
  return Boolean(place) && place.name !== SERVER;
}

/** Where an order is meant, as its first word. */
export function orderLine(name, place, rest) {
  return [name.toUpperCase(), place.name, rest].filter(Boolean).join(" ");
}

