// The page's own logic, without a page: node page_cases.mjs FOLDER, a copy of its modules.
// Prints as JSON what is wrong in each case; null for nothing.

import assert from "node:assert/strict";

const [, , folder] = process.argv;
const { Places } = await import(`${folder}/channels.js`);
const { perform, sendMessage } = await import(`${folder}/commands.js`);
const { Connection } = await import(`${folder}/connection.js`);
const { parseLine } = await import(`${folder}/irc.js`);

/** A socket that a server never sees; `sent` is what it would. */
class Socket extends EventTarget {
  static OPEN = 1;
  static CLOSED = 3;
  static every = [];

  constructor() {
    super();
    this.readyState = 0;
    this.sent = [];
    Socket.every.push(this);
  }

  send(line) {
    this.sent.push(line);
  }

  close() {
    this.readyState = Socket.CLOSED;
  }

  open() {
    this.readyState = Socket.OPEN;
    this.dispatchEvent(new Event("open"));
  }

  get nicks() {
    return this.sent.filter((line) => line.startsWith("NICK")).map((line) => line.slice(6));
  }
}
globalThis.WebSocket = Socket;
globalThis.location = { href: "http://127.0.0.1/", protocol: "http:" };

/** A connection at a server, with what it told. */
function connected({ nick = "ann", welcomed = true } = {}) {
  const told = [];
  const tell = (name) => (...values) => told.push([name, ...values]);
  const connection = new Connection(
    { line: () => {}, registered: tell("registered"), state: tell("state"), refused: tell("refused") },
  );
  connection.enter(nick, "");
  connection.socket.open();
  const hear = (...lines) => lines.forEach((line) => connection.take(parseLine(line)));
  if (welcomed) hear(`:s 001 ${nick} :hi`, `:s 376 ${nick} :end`);
  return { connection, told, hear, socket: connection.socket };
}

/** Places of ann's in #sea, with what of them changed; the time of a line is its second. */
function places() {
  const changes = [];
  const connection = { nick: "ann", welcomed: true, registered: true, send: () => {} };
  const all = new Places(connection, (place, what, detail) => changes.push([what, place, detail]));
  const hear = (...lines) => lines.forEach((line) => all.take(parseLine(line)));
  const say = (id, second, text, tags = "") =>
    `@msgid=${id};time=2030-01-01T00:00:${String(second).padStart(2, "0")}.000Z${tags} :bob!b@h PRIVMSG #sea :${text}`;
  const past = (...lines) =>
    hear(":s BATCH +1 chathistory #sea", ...lines.map((line) => line.replace("@", "@batch=1;")), ":s BATCH -1");
  hear(":ann!a@h JOIN #sea");
  const sea = all.get("#sea");
  all.current = sea;
  return { all, sea, hear, say, past, changes, texts: () => sea.said.map((line) => line.text) };
}

/** A client for typed lines, with what it was asked for. */
function client() {
  const told = [];
  const sent = [];
  const current = { name: "#sea" };
  return {
    told, sent, orders: [], places: { current, tell: (text) => told.push(text) },
    connection: { send: (verb, params) => sent.push([verb, ...params]), sendText: (text) => sent.push(text) },
    join: (rest) => assert.ok(rest), talk: (nick) => assert.ok(nick), sayTo: (place, text) => assert.ok(text),
  };
}

const CASES = {
  "words that were missed come between those that are known": () => {
    const { hear, say, past, texts } = places();
    hear(say("a", 1, "one"), say("d", 4, "four"));
    past(say("a", 1, "one"), say("b", 2, "two"), say("c", 3, "three"), say("d", 4, "four"));
    assert.deepEqual(texts(), ["one", "two", "three", "four"]);
    past(say("b", 2, "two"), say("e", 5, "five"));
    assert.deepEqual(texts(), ["one", "two", "three", "four", "five"]);
  },
  "a missed reply does not take the place of a newer one": () => {
    const { hear, say, past, sea, texts } = places();
    const reply = (which) => `;relay-gguf/reply=${which}`;
    hear(say("a", 1, "first", reply("1/1")), say("c", 3, "third", reply("3/3")));
    past(say("b", 2, "second", reply("2/2")));
    assert.deepEqual(texts(), ["third"]);
    assert.deepEqual(sea.lastReply.reply, { place: 3, count: 3 });
  },
  "words that were missed are unread where nobody looks": () => {
    const { all, sea, say, past } = places();
    all.current = null;
    past(say("a", 1, "one"));
    assert.equal(sea.unread, 0);
    sea.asks.push("AFTER");
    past(say("a", 1, "one"), say("b", 2, "ann?"));
    assert.deepEqual([sea.unread, sea.named], [1, true]);
  },
  "nobody types for ever, and old words do not come back": () => {
    const { sea, hear } = places();
    hear("@+typing=active;relay-gguf/writing=once :bob!b@h TAGMSG #sea");
    assert.deepEqual(sea.typing(Date.now()), ["bob"]);
    assert.deepEqual(sea.typing(Date.now() + 6100), []);
    hear("@+typing=active :bob!b@h TAGMSG #sea");
    assert.equal(sea.preview, null);
  },
  "a line without an id is not told twice": () => {
    const { say, past, texts } = places();
    const bare = (second, text) => say("x", second, text).replace("msgid=x;", "");
    past(bare(1, "old"), bare(9, "newer"));
    past(bare(1, "old"), bare(9, "newer"));
    assert.deepEqual(texts(), ["old", "newer"]);
  },
  "a notice is not told twice": () => {
    const { hear, say, past, texts } = places();
    const notice = say("a", 1, "psst").replace("PRIVMSG", "NOTICE");
    hear(notice);
    past(notice);
    assert.deepEqual(texts(), ["psst"]);
  },
  "a history knows what was asked, so that the button for earlier lines stays": () => {
    const { sea, say, past } = places();
    sea.asks.push("LATEST", "AFTER");
    past(say("a", 1, "one"));
    assert.equal(sea.told.asked, "LATEST");
    past(say("a", 1, "one"), say("b", 2, "two"));
    assert.deepEqual(sea.told, { asked: "AFTER", lines: 2, fresh: 1 });
    assert.equal(sea.newest.toISOString(), "2030-01-01T00:00:02.000Z");
  },
  "a long talk does not grow without end": () => {
    const { sea, hear, say, changes } = places();
    for (let n = 0; n < 7000; n += 1) hear(say(`m${n}`, 1, `line ${n}`));
    assert.ok(sea.said.length <= 3000);
    assert.equal(sea.ids.size, sea.said.length);
    assert.equal(sea.said.at(-1).text, "line 6999");
    assert.ok(changes.some(([what]) => what === "forgotten"));
  },
  "a channel that was left does not come back": () => {
    const { all, hear, past } = places();
    hear(":ann!a@h PART #sea");
    past();
    hear(":s 353 ann = #land :bob", ":s 366 ann #land :end", ":s 332 ann #land :dry");
    assert.equal(all.find("#sea"), undefined);
    assert.equal(all.find("#land"), undefined);
  },
  "a topic that was removed while we were away is gone": () => {
    const { sea, hear } = places();
    hear(":s 332 ann #sea :fish", ":ann!a@h JOIN #sea");
    assert.equal(sea.topic, "");
  },
  "only the server tells of bios and of what was taken back": () => {
    const { sea, hear, texts } = places();
    hear(":ann!a@h PRIVMSG #sea :hi", ":eve!e@h JOIN #sea", ":eve!e@h NOTICE #sea :Took back: hi");
    hear(":eve!e@h NOTICE #sea :eve's bio: a saint");
    assert.equal(sea.said[0].undone, undefined);
    assert.equal(sea.member("eve").bio, "");
    hear(":s NOTICE #sea :Took back: hi", ":s NOTICE #sea :eve's bio: a saint");
    assert.equal(sea.said[0].undone, true);
    assert.equal(sea.member("eve").bio, "a saint");
    assert.ok(texts().includes("Took back: hi"));
  },
  "replies to choose from have a number and their lines": () => {
    const { sea, hear } = places();
    const choice = (number, text) => hear(`@relay-gguf/choice=${number} :s NOTICE #sea :${text}`);
    choice(2, "2: yes");
    choice(2, "but 3: why?");
    choice(3, "3: no");
    assert.deepEqual(sea.said.map(({ kind, number, text }) => [kind, number, text]), [
      ["choice", 2, "yes\nbut 3: why?"], ["choice", 3, "no"],
    ]);
    hear("@relay-gguf/choice=4 :eve!e@h NOTICE #sea :4: mine");
    assert.equal(sea.said.at(-1).kind, "notice");
  },
  "a command of IRC has its answer": () => {
    const { hear, texts } = places();
    hear(":s 391 ann s :noon", ":s 366 ann #sea :end", ":s 353 ann = #land :bob eve");
    assert.deepEqual(texts(), ["s noon", "= #land bob eve"]);
  },
  "a nick that is taken gets another one each time, of 30 bytes": () => {
    const { hear, socket } = connected({ nick: "ä".repeat(15), welcomed: false });
    for (let n = 0; n < 12; n += 1) hear(":s 433 * x :taken");
    const tried = socket.nicks;
    assert.equal(new Set(tried).size, 13);
    assert.ok(tried.every((nick) => new TextEncoder().encode(nick).length <= 30 && nick.isWellFormed()));
    assert.equal(connected({ nick: "ann", welcomed: false }).socket.nicks[0], "ann");
  },
  "our nick is taken back when it is free": () => {
    const { hear, socket, connection } = connected({ welcomed: false });
    hear(":s 433 * ann :taken", ":s 001 ann_ :hi", ":s 376 ann_ :end");
    hear(":bob!b@h QUIT :bye");
    assert.deepEqual(socket.nicks, ["ann", "ann_"]);
    hear(":ann!a@h QUIT :Ping timeout");
    assert.deepEqual(socket.nicks, ["ann", "ann_", "ann"]);
    hear(":ann_!a@h NICK ann");
    assert.equal(connection.nick, "ann");
  },
  "a wrong password of OPER is not one of the network": () => {
    const { hear, told, connection } = connected();
    hear(":s 464 ann :Password incorrect");
    assert.ok(connection.wanted);
    assert.ok(!told.some(([name]) => name === "refused"));
  },
  "the message of the day is read again without another welcome": () => {
    const { hear, told } = connected();
    hear(":s 376 ann :end");
    assert.equal(told.filter(([name]) => name === "registered").length, 1);
  },
  "waking without a socket opens one": () => {
    const { connection } = connected();
    connection.abandon();
    connection.wake();
    assert.equal(connection.socket.readyState, 0);
    clearTimeout(connection.timer);
  },
  "entering twice leaves one socket": () => {
    const { connection, socket } = connected({ welcomed: false });
    connection.enter("ann", "");
    assert.equal(socket.readyState, Socket.CLOSED);
    const before = connection.socket.sent.length;
    socket.dispatchEvent(new Event("open"));
    assert.equal(connection.socket.sent.length, before);
  },
  "a server that is silent for too long is asked, and given up": () => {
    const { connection, socket, hear } = connected();
    connection.watch();
    assert.ok(!socket.sent.some((line) => line.startsWith("PING")));
    connection.heard -= 200_000;
    connection.watch();
    assert.equal(socket.sent.at(-1), "PING :awake");
    assert.ok(connection.doubt);
    hear(":s PONG s :awake");
    assert.equal(connection.doubt, null);
  },
  "a text of any length and number of lines is sent whole": () => {
    const source = `${"a".repeat(30)}!web@${"f".repeat(39)}`;
    const target = `#${"s".repeat(63)}`;
    const sent = [];
    const connection = {
      source, lines: { most: 24, bytes: 4096 },
      send: (verb, params, tags = {}) => sent.push({ verb, text: params.at(-1), tags, size: 0 }),
    };
    const lines = Array.from({ length: 60 }, (_, n) => (n % 7 ? `${n} ${"ö".repeat(n * 7)}` : ""));
    const came = sendMessage(connection, target, lines.join("\n"));
    const said = sent.filter(({ verb }) => verb === "PRIVMSG");
    for (const { text } of said) {
      assert.ok(new TextEncoder().encode(`:${source} PRIVMSG ${target} :${text}`).length <= 510);
    }
    assert.equal(came.join("").replace(/\s/g, ""), lines.join("").replace(/\s/g, ""));
    const opened = sent.filter(({ verb, text }) => verb === "BATCH" && text === target).length;
    assert.ok(opened >= 3 && said.length / opened <= 24);
    sent.length = 0;
    sendMessage(connection, target, "waves ".repeat(100), { action: true });
    assert.ok(sent.length > 1 && sent.every(({ text }) => text.startsWith("\x01ACTION ") && text.endsWith("\x01")));
  },
  "a command that needs an argument says so": () => {
    for (const name of ["join", "j", "me", "msg", "nick", "invite", "kick", "raw"]) {
      const typing = client();
      perform(typing, `/${name}`);
      assert.match(typing.told[0], /^It takes more: \//);
      assert.deepEqual(typing.sent, []);
    }
  },
};

const found = {};
for (const [name, check] of Object.entries(CASES)) {
  try {
    check();
    found[name] = null;
  } catch (error) {
    found[name] = String(error.stack);
  }
}
console.log(JSON.stringify(found));
process.exit(0); // without waiting for what was to be tried later
