// The connection: registration, pings, and coming back after the server was away.

import { fold, formatLine, parseLine } from "./irc.js";

const WANTED = [
  "batch", "draft/chathistory", "draft/multiline", "echo-message", "extended-join", "message-tags",
  "relay-gguf/writing", "server-time", "setname", "standard-replies",
];
const LONGEST_WAIT = 15000; // milliseconds between two tries
const PATIENCE = 6000; // milliseconds for the answer to a PING
const SILENCE = 150000; // milliseconds without a line: the server asks after two minutes
const NICK_BYTES = 30;

/**
 * A connection that comes back by itself. It tells `listener`:
 * line(parsed), registered(), state(text, online), refused(why).
 */
export class Connection {
  constructor(listener) {
    this.listener = listener;
    this.nick = "";
    this.password = "";
    this.source = ""; // nick!user@host, once we have joined a channel
    this.registered = false;
    this.welcomed = false; // registered, and the message of the day was told
    this.lines = { most: 24, bytes: 4096 }; // of one message
    this.socket = null;
    this.tries = 0;
    this.clashes = 0; // nicks that were taken, of this try
    this.heard = 0;
    this.wanted = false;
  }

  /** Come in under a nick, and stay until `leave`. */
  enter(nick, password) {
    this.nick = this.home = nick;
    this.password = password;
    this.wanted = true;
    this.tries = 0;
    this.open();
  }

  leave(reason) {
    this.wanted = false;
    clearTimeout(this.timer);
    if (this.registered) this.send("QUIT", [reason]);
    this.socket?.close();
  }

  send(verb, params = [], tags = {}) {
    this.sendText(formatLine(verb, params, tags));
  }

  /** Send a line as it is. */
  sendText(text) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(text);
  }

  open() {
    clearTimeout(this.timer);
    const address = new URL("/", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    this.listener.state("connecting", false);
    this.registered = this.welcomed = false;
    const before = this.socket;
    this.socket = null;
    before?.close(); // the door was opened twice, or another nick is tried
    const socket = new WebSocket(address, ["text.ircv3.net"]);
    this.socket = socket;
    socket.addEventListener("open", () => socket === this.socket && this.register());
    socket.addEventListener("message", (event) => socket === this.socket && this.take(parseLine(event.data)));
    socket.addEventListener("close", () => socket === this.socket && this.closed());
  }

  register() {
    this.clashes = 0;
    this.asked = this.home;
    this.send("CAP", ["LS", "302"]);
    if (this.password) this.send("PASS", [this.password]);
    this.send("NICK", [this.asked]);
    this.send("USER", ["web", "0", "*", this.asked]);
  }

  /** The device was asleep or without a network: see whether the connection has outlived that. */
  wake() {
    if (!this.wanted) return;
    const state = this.socket?.readyState ?? WebSocket.CLOSED;
    if (state === WebSocket.CLOSED) this.open();
    if (state !== WebSocket.OPEN) return;
    this.send("PING", ["awake"]);
    this.doubt ??= setTimeout(() => this.abandon(), PATIENCE);
  }

  /** Ask whether a server is still there that has been silent for too long. */
  watch() {
    if (this.registered && Date.now() - this.heard > SILENCE) this.wake();
  }

  /** Take the connection for lost, which the browser has not noticed. */
  abandon() {
    const dead = this.socket;
    this.socket = null;
    dead?.close();
    this.closed();
  }

  /** Whether we have another nick than we want, which somebody else has. */
  get isRenamed() {
    return fold(this.nick) !== fold(this.home);
  }

  take(line) {
    clearTimeout(this.doubt);
    this.doubt = null;
    this.heard = Date.now();
    const { verb, params } = line;
    if (verb === "PING") {
      this.send("PONG", params);
      return;
    }
    if (verb === "CAP" && params[1] === "LS") {
      const offered = params.at(-1).split(" ").map((cap) => cap.split("=")[0]);
      const limit = (name, usual) => Number(new RegExp(`${name}=(\\d+)`).exec(params.at(-1))?.[1] ?? usual);
      this.lines = { most: limit("max-lines", 24), bytes: limit("max-bytes", 4096) };
      this.send("CAP", ["REQ", WANTED.filter((cap) => offered.includes(cap)).join(" ")]);
    } else if (verb === "CAP" && (params[1] === "ACK" || params[1] === "NAK")) {
      this.send("CAP", ["END"]);
    } else if (verb === "433" && !this.registered) {
      this.clashes += 1;
      this.asked = another(this.home, this.clashes); // the nick is taken, perhaps by another tab
      this.send("NICK", [this.asked]);
    } else if ((verb === "464" || verb === "432") && !this.registered) {
      this.wanted = false;
      if (verb === "432") this.socket.close(); // after a wrong password, the server does
      this.listener.refused(verb === "464" ? "password" : "nick");
    } else if (verb === "001") {
      this.nick = params[0];
      this.registered = true;
      this.tries = 0;
    } else if (verb === "NICK" && fold(line.nick) === fold(this.nick)) {
      this.nick = this.home = params[0];
      this.source = this.source.replace(/^[^!]*/, this.nick);
    } else if (verb === "JOIN" && fold(line.nick) === fold(this.nick)) {
      this.source = line.source;
    } else if ((verb === "QUIT" || verb === "NICK") && this.isRenamed && fold(line.nick) === fold(this.home)) {
      this.send("NICK", [this.home]); // it is free again: perhaps it was our own lost connection
    }
    this.listener.line(line);
    if ((verb === "376" || verb === "422") && !this.welcomed) {
      this.welcomed = true;
      this.listener.state("connected", true);
      this.listener.registered();
    }
  }

  closed() {
    clearTimeout(this.doubt);
    this.doubt = null;
    this.registered = this.welcomed = false;
    if (!this.wanted) {
      this.listener.state("disconnected", false);
      return;
    }
    const wait = Math.min(500 * 2 ** this.tries, LONGEST_WAIT) * (0.75 + Math.random() / 2);
    this.tries += 1;
    this.listener.state(this.tries > 1 ? `away, trying again in ${Math.ceil(wait / 1000)} s` : "reconnecting", false);
    this.timer = setTimeout(() => this.open(), wait);
  }
}

/** A nick like one that is taken; each of `number` is another. */
export function another(nick, number) {
  const end = number < 3 ? "_".repeat(number) : `_${number}`;
  const bytes = (text) => new TextEncoder().encode(text).length;
  let begin = [...nick];
  while (bytes(begin.join("")) > NICK_BYTES - end.length) begin = begin.slice(0, -1);
  return begin.join("") + end;
}
