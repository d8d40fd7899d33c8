// npm's irc-framework talks to the server over a WebSocket: node ... irc_framework.js PORT PROTOCOL
// Prints what it saw as JSON. NODE_PATH names the node_modules that has irc-framework.

const IRC = require("irc-framework");
const transport = require("irc-framework/src/transports/websocket");

const [port, protocol] = process.argv.slice(2);
const seen = { said: [], users: [] };
const client = new IRC.Client();
client.on("registered", () => client.join("#sea"));
client.on("userlist", (event) => {
  seen.users = event.users.map((user) => user.nick);
  client.say("#sea", "hello, grüße");
});
client.on("message", (event) => {
  if (event.nick !== "user") return;
  seen.said.push(event.message);
  seen.reply = event.tags["relay-gguf/reply"];
  client.quit("bye");
});
client.on("close", () => {
  console.log(JSON.stringify(seen));
  process.exit(0);
});
client.connect({
  host: "127.0.0.1", port, nick: "ann", transport, tls: false, path: "/", auto_reconnect: false,
  websocket_protocol: protocol === "none" ? undefined : protocol,
});
setTimeout(() => process.exit(1), 15000);
