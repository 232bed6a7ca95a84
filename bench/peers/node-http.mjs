// Node's own HTTP server, and nothing else: a Map knows the token, and the answer is made for each request.

import { createServer } from "node:http";
import { lists, owned, whoIs } from "./answer.mjs";

function answer(response, status, body) {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    "content-type": "application/json; charset=utf-8",
    "content-length": Buffer.byteLength(text),
  });
  response.end(text);
}

const server = createServer((request, response) => {
  const who = whoIs(request.headers.authorization);
  if (who === undefined) {
    answer(response, 401, { error: "invalid_token" });
  } else if (request.url === "/devices") {
    answer(response, 200, lists.get(who.accountId) ?? []);
  } else {
    const held = owned.get(request.url.slice("/devices/".length));
    if (held === undefined || held.owner !== who.accountId) {
      answer(response, 403, { error: "forbidden" });
    } else {
      answer(response, 200, held.document);
    }
  }
});
server.listen(0, "127.0.0.1", () => console.log(`ready http=http://127.0.0.1:${server.address().port}`));
process.on("SIGTERM", () => process.exit(0));
