// Many sessions by the official TypeScript SDK, and what they saw: client.py says how they are asked.

import { createInterface } from "node:readline";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { LoggingMessageNotificationSchema } from "@modelcontextprotocol/sdk/types.js";

const FIELD = "mcp-session-id";
// How long a session's stream may take to bring a notification.
const NOTIFIED_SECONDS_MAX = 20;

const options = JSON.parse(process.argv[2]);
const path = options.sessionless ? "/stateless" : "/mcp";
const sleep = (millis) => new Promise((done) => setTimeout(done, millis));

// Lets so many calls through at a time.
class Places {
  constructor(free) {
    this.free = free;
    this.waiting = [];
  }

  async within(work) {
    if (this.free > 0) this.free -= 1;
    else await new Promise((done) => this.waiting.push(done));
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      if (next) next();
      else this.free += 1;
    }
  }
}

function gate() {
  const gate = {};
  gate.opened = new Promise((done) => (gate.open = done));
  return gate;
}

class Session {
  constructor(number, places) {
    this.places = places;
    this.turn = number;
    this.phase = this.calls = this.begun = this.ended = this.count = 0;
    this.gaps = this.foreign = this.notifications = this.answered = 0;
    this.reports = options.calls.map(gate);
    this.gates = options.calls.map(gate);
    this.replicas = [];
    this.ids = [];
    this.id = null;
    this.errors = [];
    this.others = [];
    this.sent = new Set();
    this.received = new Set();
    this.missing = { POST: 0, GET: 0, DELETE: 0 };
  }

  // Sends the session's requests to the ports in turn and writes down what a session must see.
  fetch = async (url, init) => {
    url = new URL(url);
    this.turn += 1;
    url.port = options.ports[this.turn % options.ports.length];
    const value = new Headers(init.headers).get(FIELD);
    if (value !== null) this.sent.add(value);
    const response = await fetch(url, init);
    const received = response.headers.get(FIELD);
    if (received !== null) this.received.add(received);
    if (response.status === 404) this.missing[init.method] += 1;
    else if (response.status >= 400 && response.status !== 405) {
      this.others.push(`${init.method} ${response.status}`);
    } else if (init.method === "DELETE") this.ended += 1;
    return response;
  };

  async run() {
    let goesOn = true;
    while (goesOn) {
      const url = new URL(`http://127.0.0.1:${options.ports[0]}${path}`);
      const transport = new StreamableHTTPClientTransport(url, { fetch: this.fetch });
      const client = new Client({ name: "trial", version: "1" });
      client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => this.log(params));
      try {
        await this.places.within(() => client.connect(transport));
        this.begun += 1;
        this.count = 0;
        this.id = null;
        const isWhole = await this.work(client);
        if (isWhole) await transport.terminateSession();
        goesOn = !isWhole && options.again;
      } catch (error) {
        this.errors.push(`${error.name}: ${error.message}`);
        goesOn = false;
      }
      await client.close();
    }
    this.reports.forEach((report) => report.open());
  }

  // Makes the calls of the phases that are left; false when the session is lost.
  async work(client) {
    while (this.phase < options.calls.length) {
      if (!this.id && !(await this.call(client, "who"))) return false;
      while (this.calls < options.calls[this.phase]) {
        if (!(await this.call(client, options.sessionless ? "who" : "count"))) return false;
        this.calls += 1;
      }
      if (!options.sessionless && !(await this.notified(client))) return false;
      this.reports[this.phase].open();
      await this.gates[this.phase].opened;
      this.phase += 1;
      this.calls = 0;
    }
    return true;
  }

  async call(client, name) {
    let result;
    try {
      result = await this.places.within(() => client.callTool({ name }));
    } catch (error) {
      if (error.code !== 404) this.errors.push(`${name}: ${error.message}`);
      return false;
    }
    const answer = JSON.parse(result.content[0].text);
    const id = answer.session ?? "none";
    this.answered += 1;
    if (options.sessionless || !this.id) {
      this.id = id;
      this.ids.push(id);
      this.replicas.push(answer.replica);
    }
    if (id !== this.id || answer.replica !== this.replicas.at(-1)) this.foreign += 1;
    if (name === "count") {
      this.count += 1;
      if (answer.count !== this.count) this.gaps += 1;
    }
    return true;
  }

  // Waits until the session's stream has brought a notification once more.
  async notified(client) {
    const before = this.notifications;
    for (let turn = 0; turn < NOTIFIED_SECONDS_MAX * 4; turn += 1) {
      if (this.notifications > before) return true;
      if (!(await this.call(client, "who"))) return false;
      await sleep(250);
    }
    this.errors.push("the stream has brought no notification");
    return true;
  }

  log({ data }) {
    this.notifications += 1;
    if (this.id && (data.replica !== this.replicas.at(-1) || data.session !== this.id)) this.foreign += 1;
  }

  seen() {
    const names = "begun answered count replicas ids gaps foreign notifications errors missing ended others";
    const seen = Object.fromEntries(names.split(" ").map((name) => [name, this[name]]));
    return { ...seen, sent: [...this.sent].sort(), received: [...this.received].sort() };
  }
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const places = new Places(options.concurrency);
const sessions = Array.from({ length: options.sessions }, (_, number) => new Session(number, places));
const runs = sessions.map((session) => session.run());
const print = (written) =>
  process.stdout.write(`${JSON.stringify(sessions.map((session) => session.seen()))}\n`, written);
for (let phase = 0; phase < options.calls.length; phase += 1) {
  await Promise.all(sessions.map((session) => session.reports[phase].opened));
  print();
  await lines.next();
  sessions.forEach((session) => session.gates[phase].open());
}
await Promise.all(runs);
print(() => process.exit(0));
