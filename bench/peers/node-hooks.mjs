// A durable queue of deliveries as one would write it on Node: an event is on the disk before it is answered, a worker
// posts it to each target, eight at a time, and then forgets it. No permission, no template, no retry, no log.

import { Agent, createServer, request as ask } from "node:http";
import Database from "better-sqlite3";

const [file, ...targets] = process.argv.slice(2);
const AT_ONCE = 8;

const db = new Database(file);
db.pragma("journal_mode = WAL");
db.pragma("synchronous = FULL");
db.exec("CREATE TABLE deliveries (id INTEGER PRIMARY KEY, target INTEGER NOT NULL, body TEXT NOT NULL)");
const insert = db.prepare("INSERT INTO deliveries (target, body) VALUES (?, ?)");
const remove = db.prepare("DELETE FROM deliveries WHERE id = ?");
// Many to a commit, as one turn of the loop brings them.
const commit = db.transaction((work) => work.map((each) => each()));

const lanes = targets.map((target) => ({
  target,
  agent: new Agent({ keepAlive: true, maxSockets: AT_ONCE }),
  waiting: [],
  running: 0,
}));

let gathered = [];
function soon(work, done) {
  if (gathered.length === 0) {
    setImmediate(() => {
      const batch = gathered;
      gathered = [];
      const results = commit(batch.map((each) => each.work));
      batch.forEach((each, index) => each.done(results[index]));
    });
  }
  gathered.push({ work, done });
}

function post({ target, agent }, body) {
  const headers = { "content-type": "application/x-www-form-urlencoded", "content-length": Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    const asked = ask(target, { method: "POST", agent, headers }, (answer) => {
      answer.resume();
      answer.on("end", resolve);
    });
    asked.on("error", reject);
    asked.end(body);
  });
}

async function run(lane) {
  lane.running += 1;
  while (lane.waiting.length > 0) {
    const { id, body } = lane.waiting.shift();
    await post(lane, body);
    await new Promise((resolve) => soon(() => remove.run(id), resolve));
  }
  lane.running -= 1;
}

const server = createServer((request, response) => {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => {
    const form = new URLSearchParams(Buffer.concat(pieces).toString());
    const body = new URLSearchParams({
      event: form.get("name"),
      data: form.get("data"),
      published_at: new Date().toISOString(),
      coreid: "001",
    }).toString();
    soon(
      () => lanes.map((_, target) => insert.run(target, body).lastInsertRowid),
      (ids) => {
        ids.forEach((id, target) => {
          const lane = lanes[target];
          lane.waiting.push({ id, body });
          if (lane.running < AT_ONCE) {
            run(lane).catch(() => {
              lane.running -= 1;
            });
          }
        });
        response.writeHead(200, { "content-type": "application/json", "content-length": 11 });
        response.end('{"ok":true}');
      },
    );
  });
});
server.keepAliveTimeout = 75_000;
server.listen(0, "127.0.0.1", () => console.log(`ready http=http://127.0.0.1:${server.address().port}`));
process.on("SIGTERM", () => process.exit(0));
