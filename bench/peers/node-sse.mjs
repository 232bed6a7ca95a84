// Server-sent events on Node's own HTTP server, and nothing else: one token, one list of listeners, and an event that is
// encoded once for all of them.

import { createServer } from "node:http";

const token = `Bearer ${process.argv[2]}`;
const listeners = new Set();

function publish(name, data) {
  const body = JSON.stringify({ data, ttl: 60, published_at: new Date().toISOString(), coreid: "001" });
  const frame = Buffer.from(`event: ${name}\ndata: ${body}\n\n`);
  for (const listener of listeners) {
    // Who does not read is dropped, not buffered.
    if (listener.writableLength > 65536) {
      listeners.delete(listener);
      listener.destroy();
    } else {
      listener.write(frame);
    }
  }
}

const server = createServer((request, response) => {
  if (request.headers.authorization !== token) {
    response.writeHead(401, { "content-length": 0 });
    response.end();
  } else if (request.method === "GET") {
    request.socket.setNoDelay(true);
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
    response.write(":ok\n\n");
    listeners.add(response);
    response.on("close", () => listeners.delete(response));
  } else {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
      const form = new URLSearchParams(Buffer.concat(pieces).toString());
      publish(form.get("name"), form.get("data"));
      response.writeHead(200, { "content-type": "application/json", "content-length": 11 });
      response.end('{"ok":true}');
    });
  }
});
server.keepAliveTimeout = 75_000;
server.listen(0, "127.0.0.1", 4096, () => console.log(`ready http=http://127.0.0.1:${server.address().port}`));
process.on("SIGTERM", () => process.exit(0));
