// Lines of IRC: text → parts and back, as in modern.ircdocs.horse and IRCv3's message-tags.

const MEANT = { ":": ";", s: " ", r: "\r", n: "\n" };
const ESCAPED = { ";": "\\:", " ": "\\s", "\\": "\\\\", "\r": "\\r", "\n": "\\n" };

/** A line in its parts; `nick` is who sent it, in front of the `!` of its source. */
export function parseLine(text) {
  const tags = {};
  let rest = text;
  if (rest.startsWith("@")) {
    const space = rest.indexOf(" ");
    for (const tag of rest.slice(1, space).split(";")) {
      const [name, ...value] = tag.split("=");
      tags[name] = value.join("=").replace(/\\(.?)/gs, (_, letter) => MEANT[letter] ?? letter);
    }
    rest = rest.slice(space + 1).trimStart();
  }
  let source = "";
  if (rest.startsWith(":")) {
    const space = rest.indexOf(" ");
    source = rest.slice(1, space);
    rest = rest.slice(space + 1);
  }
  const colon = ` ${rest}`.indexOf(" :");
  const words = (colon < 0 ? rest : rest.slice(0, colon)).split(" ").filter(Boolean);
  const verb = (words.shift() ?? "").toUpperCase();
  if (colon >= 0) words.push(rest.slice(colon + 1));
  return { tags, source, nick: source.split("!")[0], verb, params: words };
}

/** A line as text; the last parameter may hold anything but a line break. */
export function formatLine(verb, params = [], tags = {}) {
  const escape = (value) => value.replace(/[; \\\r\n]/g, (letter) => ESCAPED[letter]);
  const shown = Object.entries(tags).map(([name, value]) => (value ? `${name}=${escape(value)}` : name));
  const middle = params.slice(0, -1);
  const last = params.length ? [`:${params.at(-1).replace(/[\r\n]+/g, " ")}`] : [];
  return [...(shown.length ? [`@${shown.join(";")}`] : []), verb, ...middle, ...last].join(" ");
}

/** A name as IRC compares it (CASEMAPPING=ascii). */
export function fold(name) {
  return name.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

export function isChannel(name) {
  return name.startsWith("#");
}

/** A text without the codes for colours and the like. */
export function plainText(text) {
  return text.replace(/\x03(\d{1,2}(,\d{1,2})?)?|\x04[0-9a-fA-F]{0,6}|[\x00-\x08\x0b-\x1f\x7f]/g, "");
}

/** A text in pieces of at most `size` bytes of UTF-8, cut between words if there are any. */
export function pieces(text, size) {
  const bytes = (part) => new TextEncoder().encode(part).length;
  const found = [];
  let piece = "";
  for (const word of text.match(/\s*\S+|\s+/g) ?? [""]) {
    for (const letters of bytes(word) > size ? word : [word]) {
      if (piece && bytes(piece + letters) > size) {
        found.push(piece);
        piece = "";
      }
      piece += letters;
    }
  }
  return [...found, piece];
}
