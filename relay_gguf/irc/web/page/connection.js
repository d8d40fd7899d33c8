// The connection: registration, pings, and coming back after the server was away.

import { fold, formatLine, parseLine } from "./irc.js";

const WANTED = [
  "batch", "draft/chathistory", "draft/multiline", "echo-message", "extended-join", "message-tags",
  "relay-gguf/writing", "server-time", "setname", "standard-replies",
];
const LONGEST_WAIT = 15000; // milliseconds between two tries
const PATIENCE = 6000; // milliseconds for the answer to a PING

/**
 * A connection that comes back by itself. It tells `listener`:
 * line(parsed), registered(), state(text, online), refused(why).
 */
export class Connection {
  constructor(listener) {
    this.listener = listener;
    this.nick = "";
    this.password = "";
    this.registered = false;
    this.socket = null;
    this.tries = 0;
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
    const socket = new WebSocket(address, ["text.ircv3.net"]);
    this.socket = socket;
    socket.addEventListener("open", () => this.register());
    socket.addEventListener("message", (event) => socket === this.socket && this.take(parseLine(event.data)));
    socket.addEventListener("close", () => socket === this.socket && this.closed());
  }

  register() {
    this.asked = this.home;
    this.send("CAP", ["LS", "302"]);
    if (this.password) this.send("PASS", [this.password]);
    this.send("NICK", [this.asked]);
    this.send("USER", ["web", "0", "*", this.asked]);
  }

  /** The device was asleep or without a network: see whether the connection has outlived that. */
  wake() {
    if (!this.wanted) return;
    if (this.socket.readyState !== WebSocket.OPEN) {
      if (this.socket.readyState === WebSocket.CLOSED) this.open();
      return;
    }
    this.send("PING", ["awake"]);
    this.doubt ??= setTimeout(() => this.abandon(), PATIENCE);
  }

  /** Take the connection for lost, which the browser has not noticed. */
  abandon() {
    const dead = this.socket;
    this.socket = null;
    dead.close();
    this.doubt = null;
    this.closed();
  }

  take(line) {
    clearTimeout(this.doubt);
    this.doubt = null;
    const { verb, params } = line;
    if (verb === "PING") {
      this.send("PONG", params);
      return;
    }
    if (verb === "CAP" && params[1] === "LS") {
      const offered = params.at(-1).split(" ").map((cap) => cap.split("=")[0]);
      this.send("CAP", ["REQ", WANTED.filter((cap) => offered.includes(cap)).join(" ")]);
    } else if (verb === "CAP" && (params[1] === "ACK" || params[1] === "NAK")) {
      this.send("CAP", ["END"]);
    } else if (verb === "433" && !this.registered) {
      this.asked = `${this.asked.slice(0, 29)}_`; // the nick is taken, perhaps by another tab
      this.send("NICK", [this.asked]);
    } else if (verb === "464" || (verb === "432" && !this.registered)) {
      this.wanted = false;
      this.listener.refused(verb === "464" ? "password" : "nick");
    } else if (verb === "001") {
      this.nick = params[0];
      this.registered = true;
      this.tries = 0;
    } else if (verb === "NICK" && fold(line.nick) === fold(this.nick)) {
      this.nick = this.home = params[0];
    }
    this.listener.line(line);
    if (verb === "376" || verb === "422") {
      this.listener.state("connected", true);
      this.listener.registered();
    }
  }

  closed() {
    clearTimeout(this.doubt);
    this.doubt = null;
    this.registered = false;
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
