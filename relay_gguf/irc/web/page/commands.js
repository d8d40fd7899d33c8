// What a typed line means: words, a command of this page, an order of the network, or a command that
// somebody made up, which is for the model.

import { SERVER } from "./channels.js";
import { pieces } from "./irc.js";

const LINE_BYTES = 380; // of a message: the server adds who sent it, and to whom

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
  if (own) own.run(client, rest);
  else if (name === "help") client.help();
  else if (client.orders.some((order) => order.name === name)) client.order(name, rest);
  else if (IRC.has(name)) client.connection.sendText(`${name.toUpperCase()} ${rest}`.trim());
  else client.madeUp(place, word, rest);
}

/** Send a message to a place: of several lines, or in pieces where it is too long for one. */
export function sendMessage(connection, target, text, { action = false } = {}) {
  if (action) {
    connection.send("PRIVMSG", [target, `\x01ACTION ${text.replace(/\n/g, " ")}\x01`]);
    return;
  }
  const lines = text.split("\n").map((line) => pieces(line, LINE_BYTES));
  if (lines.length === 1 && lines[0].length === 1) {
    connection.send("PRIVMSG", [target, text]);
    return;
  }
  const batch = `m${Date.now().toString(36)}`;
  connection.send("BATCH", [`+${batch}`, "draft/multiline", target]);
  for (const line of lines) {
    line.forEach((piece, n) => {
      const tags = n ? { batch, "draft/multiline-concat": "" } : { batch };
      connection.send("PRIVMSG", [target, piece], tags);
    });
  }
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

