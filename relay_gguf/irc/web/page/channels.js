// Channels and private talks: what lines of IRC make of them. Nothing here touches the page.

import { fold, isChannel, plainText } from "./irc.js";

/** What the server tells of another reply, which is seen in its place. */
const SEEN = /^\S+'s reply (is replaced \()?\d+\/\d+/;
/** The talk with the server itself. */
export const SERVER = "*";
/** Lines of a place that are kept; of a longer one the oldest go, and can be asked for again. */
const MOST = 3000;
const LESS = 1000;
const TYPING_LASTS = 6000; // milliseconds after its last sign (IRCv3 typing)
/** Numerics that nobody asked for: how a list ends, or what comes with a join and each whois. */
const QUIET = new Set("301 312 313 315 317 319 321 329 333 365 366 368 369 374 375 376".split(" "));

/** A channel, a private talk or the talk with the server. */
class Place {
  constructor(name) {
    this.name = name;
    this.key = fold(name);
    this.topic = "";
    this.members = new Map(); // folded nick → { nick, sign, bio, bot }
    this.typists = new Map(); // nick → when it was seen last
    this.preview = null; // { nick, text }: what is being written
    this.said = []; // every line, oldest first
    this.ids = new Set();
    this.most = MOST;
    this.unread = 0;
    this.named = false; // among the unread, one that names us
    this.joined = false;
    this.asks = []; // the histories that were asked for and have not come: LATEST, BEFORE, AFTER
    this.told = null; // the last one that came: { asked, lines, fresh }
  }

  member(nick) {
    return this.members.get(fold(nick));
  }

  /** Who types at a time; what somebody has written so far goes with the last sign of it. */
  typing(now) {
    for (const [nick, when] of this.typists) {
      if (now - when <= TYPING_LASTS) continue;
      this.typists.delete(nick);
      if (this.preview?.nick === nick) this.preview = null;
    }
    return [...this.typists.keys()];
  }

  /** When the newest words were said, as the server's clock has it; null while there are none. */
  get newest() {
    const line = this.said.findLast((one) => one.id || isWords(one));
    return line?.changed ?? line?.time ?? null;
  }

  /** The last reply, while nobody but the server has spoken since. */
  get lastReply() {
    for (let n = this.said.length - 1; n >= 0; n -= 1) {
      const line = this.said[n];
      if (!isWords(line) || line.undone) continue;
      return line.reply ? line : null;
    }
    return null;
  }
}

/**
 * All places, and which is looked at. `changed(place, what, detail)` is called for what changes:
 * "line", "reply", "members", "topic", "typing", "unread", "gone", "history", "forgotten"; `place`
 * may be new.
 */
export class Places {
  constructor(connection, changed) {
    this.connection = connection;
    this.changed = changed;
    this.all = new Map();
    this.current = null;
    this.batches = new Map();
    this.saved = new Map(); // channels that LIST told → their topics
  }

  get(name) {
    const key = fold(name);
    if (!this.all.has(key)) this.all.set(key, new Place(name));
    return this.all.get(key);
  }

  find(name) {
    return this.all.get(fold(name));
  }

  remove(place) {
    this.all.delete(place.key);
    this.changed(place, "gone");
  }

  get isOurs() {
    return (nick) => fold(nick) === fold(this.connection.nick);
  }

  /** The connection is gone: whoever types is not seen any more. */
  lost() {
    this.batches.clear();
    for (const place of this.all.values()) {
      place.joined = false;
      place.asks = [];
      place.typists.clear();
      place.preview = null;
      this.changed(place, "typing");
    }
  }

  /** Add a line that the page itself has to tell. */
  tell(text, place = this.current ?? this.get(SERVER)) {
    this.add(place, { kind: "event", text, time: new Date() });
  }

  take(line) {
    const batch = line.verb !== "BATCH" && this.batches.get(line.tags.batch);
    if (batch) {
      batch.lines.push(line);
      return;
    }
    const act = this[line.verb] ?? { 2: this.answer, 3: this.answer, 4: this.refusal, 5: this.refusal }[line.verb[0]];
    act?.call(this, line);
  }

  // Messages

  BATCH(line) {
    const [reference, kind, target] = line.params;
    const name = reference.slice(1);
    if (reference.startsWith("+")) {
      this.batches.set(name, { kind, target, lines: [], opening: line });
      return;
    }
    const batch = this.batches.get(name);
    this.batches.delete(name);
    if (batch?.kind === "chathistory") {
      const place = this.find(batch.target); // which may have been left meanwhile
      if (place) this.history(place, batch.lines);
    } else if (batch?.kind === "draft/multiline") {
      this.take(joined(batch)); // which may be in another batch
    } else {
      for (const one of batch?.lines ?? []) this.take({ ...one, tags: { ...one.tags, batch: "" } });
    }
  }

  PRIVMSG(line) {
    const place = this.placeOf(line);
    const said = this.spoken(line);
    if (!said) return;
    this.stopTyping(place, line.nick);
    this.add(place, said);
  }

  NOTICE(line) {
    const [target, text] = line.params;
    const draft = /^draft: (.*)$/s.exec(text);
    if (draft && this.isOurs(target)) {
      // An order is typed with a slash here; among several, the words have our nick in front.
      const own = new RegExp(`^${quoted(this.connection.nick)}: `, "i");
      this.changed(this.current, "draft", draft[1].replace(/^!(?=\w)/, "/").replace(own, ""));
      return;
    }
    const place = isChannel(target) ? this.get(target) : this.current ?? this.get(SERVER);
    const fromServer = !line.source.includes("!");
    if (fromServer && SEEN.test(text)) return;
    if (fromServer) this.learn(place, text);
    const number = fromServer ? Number(line.tags["relay-gguf/choice"] ?? 0) : 0;
    if (number) this.offered(place, line, number);
    else if (fromServer) this.add(place, { kind: "event", text: plainText(text), time: timeOf(line) });
    else this.add(place, this.spoken(line) ?? { kind: "notice", nick: line.nick, text: plainText(text), time: timeOf(line) });
  }

  /** One of several replies to choose from, line by line: `2: yes, but why?`. */
  offered(place, line, number) {
    const text = plainText(line.params[1]);
    const before = place.said.at(-1);
    if (before?.kind === "choice" && before.number === number) {
      before.text += `\n${text}`;
      this.changed(place, "reply", before);
    } else {
      this.add(place, { kind: "choice", number, text: text.replace(/^\d+: /, ""), time: timeOf(line) });
    }
  }

  TAGMSG(line) {
    const place = this.placeOf(line);
    if (this.isOurs(line.nick)) return;
    if (line.tags["+typing"] === "active") {
      place.typists.set(line.nick, Date.now());
      const text = line.tags["relay-gguf/writing"];
      if (text !== undefined) place.preview = { nick: line.nick, text: plainText(text) };
      this.changed(place, "typing");
    } else {
      this.stopTyping(place, line.nick);
    }
  }

  stopTyping(place, nick) {
    place.typists.delete(nick);
    if (place.preview?.nick === nick) place.preview = null;
    this.changed(place, "typing");
  }

  /** What a PRIVMSG or NOTICE says; null for a CTCP request. */
  spoken(line) {
    let text = line.params[1] ?? "";
    let kind = line.verb === "NOTICE" ? "notice" : "said";
    if (text.startsWith("\x01")) {
      if (!text.startsWith("\x01ACTION ")) return null;
      kind = "action";
      text = text.slice(8).replace(/\x01$/, "");
    }
    const [place, count] = (line.tags["relay-gguf/reply"] ?? "").split("/").map(Number);
    const tokens = Number(line.tags["relay-gguf/tokens"]);
    const seconds = Number(line.tags["relay-gguf/seconds"]);
    return {
      kind,
      nick: line.nick,
      text: plainText(text),
      time: timeOf(line),
      id: line.tags.msgid,
      ids: [line.tags.msgid],
      changed: timeOf(line), // when it took the place of another
      own: this.isOurs(line.nick),
      reply: count ? { place, count } : null,
      cost: tokens && seconds ? { tokens, seconds } : null,
    };
  }

  /** Add a line, or put it in the place of the reply that it is another one for. */
  add(place, line, { old = false } = {}) {
    if (line.id && place.ids.has(line.id)) return;
    if (line.id) place.ids.add(line.id);
    const before = line.reply && place.lastReply;
    if (before && isAnother(before, line)) {
      replace(before, line);
      this.changed(place, "reply", before);
    } else {
      place.said.push(line);
      this.changed(place, "line", line);
      if (place.said.length > place.most) this.forget(place);
    }
    if (!old) this.countUnread(place, line);
  }

  /** Mark a place for a line that was said where nobody looks. */
  countUnread(place, line) {
    if (line.own || line.kind === "event" || line.kind === "choice" || place === this.current) return;
    place.unread += 1;
    place.named ||= !isChannel(place.name) || mentions(line.text, this.connection.nick);
    this.changed(place, "unread");
  }

  /** Let the oldest lines go. */
  forget(place) {
    for (const line of place.said.splice(0, LESS)) for (const id of line.ids ?? [line.id]) place.ids.delete(id);
    this.changed(place, "forgotten");
  }

  /** Lines that were said before: those that are not known come where they were said. */
  history(place, lines) {
    const messages = lines.map((line) => this.spoken(line)).filter(Boolean);
    const fresh = messages.filter((line) => !(line.id ? place.ids.has(line.id) : place.said.some((one) => isSame(one, line))));
    const { newest } = place;
    place.told = { asked: place.asks.shift(), lines: messages.length, fresh: fresh.length };
    if (!newest || fresh.every((line) => line.time > newest)) {
      for (const line of fresh) this.add(place, line, { old: true });
    } else {
      this.weave(place, [...fresh]);
    }
    // What was said while we were cut off is as new as what is said now.
    if (place.told.asked === "AFTER") for (const line of fresh) this.countUnread(place, line);
    this.changed(place, "told");
  }

  /** Put lines between those that are there, by their times. */
  weave(place, fresh) {
    const before = place.said;
    place.said = [];
    place.most += fresh.length;
    while (before.length || fresh.length) {
      if (!fresh.length || (before.length && before[0].time <= fresh[0].time)) {
        place.said.push(before.shift());
        continue;
      }
      const line = fresh.shift();
      if (line.id) place.ids.add(line.id);
      const reply = line.reply && place.lastReply;
      if (reply && isAnother(reply, line)) {
        if (line.time >= reply.changed) replace(reply, line);
        this.changed(place, "reply", reply);
      } else {
        place.said.push(line);
        if (line.own) this.changed(place, "came", line);
      }
    }
    this.changed(place, "history");
  }

  // Who is where

  JOIN(line) {
    const place = this.get(line.params[0]);
    if (this.isOurs(line.nick)) {
      place.joined = true;
      place.members.clear();
      place.topic = ""; // it is told, if there is one
      this.changed(place, "joined");
    } else {
      this.tell(`${line.nick} has joined`, place);
    }
    place.members.set(fold(line.nick), { nick: line.nick, sign: "", bio: "" });
    this.changed(place, "members");
  }

  PART(line) {
    this.left(this.get(line.params[0]), line.nick, "has left", line.params[1]);
  }

  KICK(line) {
    const [channel, nick, why] = line.params;
    this.left(this.get(channel), nick, `was kicked by ${line.nick}`, why === line.nick ? "" : why);
  }

  QUIT(line) {
    for (const place of this.all.values()) {
      if (place.member(line.nick)) this.left(place, line.nick, "has gone", line.params[0]);
    }
  }

  left(place, nick, how, why) {
    place.members.delete(fold(nick));
    if (this.isOurs(nick)) {
      place.joined = false;
      if (how === "has left") {
        this.remove(place);
        return;
      }
    }
    this.stopTyping(place, nick);
    this.tell(`${nick} ${how}${why ? ` (${plainText(why)})` : ""}`, place);
    this.changed(place, "members");
  }

  NICK(line) {
    for (const place of this.all.values()) {
      const member = place.member(line.nick);
      if (!member) continue;
      place.members.delete(fold(line.nick));
      place.members.set(fold(line.params[0]), { ...member, nick: line.params[0] });
      this.tell(`${line.nick} is now ${line.params[0]}`, place);
      this.changed(place, "members");
    }
  }

  TOPIC(line) {
    const place = this.get(line.params[0]);
    place.topic = plainText(line.params[1] ?? "");
    this.changed(place, "topic");
    this.tell(place.topic ? `${line.nick} changed the topic to: ${place.topic}` : `${line.nick} removed the topic`, place);
  }

  MODE(line) {
    const [target, modes, ...values] = line.params;
    if (!isChannel(target)) return;
    this.tell(`${line.nick} sets ${[modes, ...values].join(" ")}`, this.get(target));
    this.connection.send("NAMES", [target]);
  }

  INVITE(line) {
    this.tell(`${line.nick} invites you to ${line.params[1]}: /join ${line.params[1]}`);
  }

  ERROR(line) {
    this.tell(line.params[0]);
  }

  // Numerics

  332(line) {
    const place = this.find(line.params[1]);
    if (!place?.joined) {
      this.answer(line);
      return;
    }
    place.topic = plainText(line.params[2]);
    this.changed(place, "topic");
  }

  353(line) {
    const place = this.find(line.params[2]);
    if (!place?.joined) {
      this.answer(line);
      return;
    }
    for (const word of line.params[3].split(" ").filter(Boolean)) {
      const [, sign, nick] = /^([@+]*)(.*)$/.exec(word);
      place.members.set(fold(nick), { bio: "", ...place.member(nick), nick, sign });
    }
    this.changed(place, "members");
  }

  366(line) {
    const place = this.find(line.params[1]);
    if (place) this.changed(place, "named");
  }

  311(line) {
    this.whois = { nick: line.params[1], realname: line.params[5] };
  }

  320(line) {
    const bio = /^bio: (.*)$/.exec(line.params[2]);
    if (bio && this.whois) this.whois.bio = (this.whois.bio ?? "") + plainText(bio[1]);
  }

  335(line) {
    if (this.whois) this.whois.bot = true;
  }

  318(line) {
    const { whois } = this;
    this.whois = null;
    if (whois) this.changed(this.current, "whois", whois);
    else this.changed(this.current, "whois", { nick: line.params[1] });
  }

  322(line) {
    this.saved.set(line.params[1], plainText(line.params[3] ?? ""));
  }

  323() {
    this.changed(this.current, "saved");
  }

  372(line) {
    this.add(this.get(SERVER), { kind: "event", text: plainText(line.params[1].replace(/^- /, "")), time: new Date() });
  }

  FAIL(line) {
    if (line.params[0] !== "CHATHISTORY") this.tell(line.params.at(-1));
  }

  /** What a command of IRC is answered with, which was typed: /time, /names #elsewhere. */
  answer(line) {
    if (!this.connection.welcomed || QUIET.has(line.verb) || !/^\d{3}$/.test(line.verb)) return;
    this.tell(plainText(line.params.slice(1).join(" ")));
  }

  refusal(line) {
    if (!/^\d{3}$/.test(line.verb)) return;
    if (["422", "433", "464", "432"].includes(line.verb) && !this.connection.registered) return;
    this.tell(line.params.slice(1).join(" "));
  }

  /** Learn a bio from what the server tells of it: `user's bio: I'm a dentist.` */
  learn(place, text) {
    const told = /^(\S+)'s bio: (.*)$/s.exec(text);
    const member = told && place.member(told[1]);
    if (member) {
      member.bio = plainText(told[2]);
      this.changed(place, "members");
    }
    const stands = /^Reply (\d+)\/(\d+) stands/.exec(text);
    const reply = (stands || text === "The scene begins anew.") && place.lastReply;
    if (reply) {
      // Of several that were drawn at once one stands; in a new scene none can be changed any more.
      reply.reply = stands ? { ...reply.reply, place: Number(stands[1]), count: Number(stands[2]) } : null;
      this.changed(place, "reply", reply);
    }
    const undone = /^Took back: (.*)$/s.exec(text);
    if (undone) this.takeBack(place, undone[1]);
  }

  /** The last words of a human and what was said to them do not count any more. */
  takeBack(place, text) {
    const own = text.trim().replace(new RegExp(`^${quoted(this.connection.nick)}: `, "i"), "");
    const at = place.said.findLastIndex((line) => !line.undone && line.own && line.text === own);
    if (at < 0) return;
    for (const line of place.said.slice(at)) {
      if (!isWords(line)) continue;
      line.undone = true;
      this.changed(place, "reply", line);
    }
  }

  placeOf(line) {
    const target = line.params[0];
    if (isChannel(target)) return this.get(target);
    return this.get(this.isOurs(line.nick) ? target : line.nick);
  }
}

/** Whether somebody said or did a line: it is no notice, and nothing that the page tells. */
export function isWords(line) {
  return line.kind === "said" || line.kind === "action";
}

/** Put another reply, or one that went on, in the place of one. */
function replace(reply, line) {
  reply.text = line.text;
  reply.cost = line.cost;
  reply.reply = { ...line.reply };
  reply.changed = line.time;
  reply.ids.push(line.id);
}

/** Whether a line without an id is one that is there: a scene's clock is not quite the network's. */
function isSame(one, line) {
  return one.text === line.text && one.nick === line.nick && Math.abs(one.time - line.time) < 5000;
}

/** Whether a line is another reply to the same words as the one before, or that one gone on. */
function isAnother(before, line) {
  if (before.nick !== line.nick) return false;
  return line.reply.count > 1 || line.text.startsWith(before.text);
}

/** A text for a regular expression that finds just it. */
function quoted(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

function mentions(text, nick) {
  return new RegExp(`(^|[^\\w])${quoted(nick)}([^\\w]|$)`, "i").test(text);
}

function timeOf(line) {
  return line.tags.time ? new Date(line.tags.time) : new Date();
}

/** A multiline batch as one message. */
function joined({ opening, lines, target }) {
  let text = "";
  lines.forEach((line, n) => {
    text += ("draft/multiline-concat" in line.tags || n === 0 ? "" : "\n") + line.params[1];
  });
  return { ...opening, verb: lines[0]?.verb ?? "PRIVMSG", params: [target, text] };
}
