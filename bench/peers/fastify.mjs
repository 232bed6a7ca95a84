// Fastify without a log, with schemas of its answers, as its manual recommends: a Map knows the token, and the answer is
// made for each request.

import Fastify from "fastify";
import { device, devices, lists, owned, whoIs } from "./answer.mjs";

function schemaOf(value) {
  if (Array.isArray(value)) {
    return { type: "array", items: value.length ? schemaOf(value[0]) : {} };
  }
  if (value !== null && typeof value === "object") {
    const properties = Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, schemaOf(inner)]));
    return { type: "object", properties };
  }
  return value === null ? { type: "null" } : { type: typeof value };
}

const app = Fastify({ logger: false });
app.decorateRequest("who", null);
app.addHook("onRequest", (request, reply, done) => {
  request.who = whoIs(request.headers.authorization);
  if (request.who === undefined) {
    reply.code(401).send({ error: "invalid_token" });
  } else {
    done();
  }
});
app.get("/devices", { schema: { response: { 200: schemaOf(devices) } } }, (request, reply) => {
  reply.send(lists.get(request.who.accountId) ?? []);
});
app.get("/devices/:id", { schema: { response: { 200: schemaOf(device) } } }, (request, reply) => {
  const held = owned.get(request.params.id);
  if (held === undefined || held.owner !== request.who.accountId) {
    reply.code(403).send({ error: "forbidden" });
  } else {
    reply.send(held.document);
  }
});
console.log(`ready http=${await app.listen({ host: "127.0.0.1", port: 0 })}`);
process.on("SIGTERM", () => process.exit(0));
