// oidc-provider with durable tokens, and one route that takes them: what the benchmarks of `bench/beside.py` run beside
// the cloud. Arguments: the database's file, and a JSON object with
//   client    its id and secret
//   customer  id and e-mail of the one customer
//   device    the document that `GET /devices/:id` answers with, for its owner alone
//   devices   the documents that `GET /devices` answers with
//
// Prints `ready http=URL` when it is up. One process, production, no log; static client; opaque tokens.

import { generateKeyPairSync, randomUUID } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import Database from "better-sqlite3";
import Provider, { errors } from "oidc-provider";

const [, , file, described] = process.argv;
const { client, customer, device, devices } = JSON.parse(described);

const CUSTOMER_GRANT = "customer";
const LIFETIME_S = 90 * 24 * 3600;

// As durable as the cloud: a commit is on the disk before it is answered. The rest is what better-sqlite3's manual
// recommends: WAL, and statements that are prepared once.
const db = new Database(file);
db.pragma("journal_mode = WAL");
db.pragma("synchronous = FULL");
db.exec(`
  CREATE TABLE IF NOT EXISTS models (
    kind TEXT NOT NULL, id TEXT NOT NULL, payload TEXT NOT NULL, grant_id TEXT, expires_at INTEGER,
    PRIMARY KEY (kind, id)
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS models_by_grant ON models (grant_id) WHERE grant_id IS NOT NULL;
  CREATE TABLE IF NOT EXISTS customers (id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE);
`);
db.prepare("INSERT OR IGNORE INTO customers (id, email) VALUES (?, ?)").run(customer.id, customer.email);
const sql = {
  upsert: db.prepare("INSERT OR REPLACE INTO models (kind, id, payload, grant_id, expires_at) VALUES (?, ?, ?, ?, ?)"),
  find: db.prepare("SELECT payload FROM models WHERE kind = ? AND id = ?").pluck(),
  destroy: db.prepare("DELETE FROM models WHERE kind = ? AND id = ?"),
  revoke: db.prepare("DELETE FROM models WHERE grant_id = ?"),
  consume: db.prepare("UPDATE models SET payload = json_set(payload, '$.consumed', ?) WHERE kind = ? AND id = ?"),
  customer: db.prepare("SELECT id FROM customers WHERE email = ?").pluck(),
};

class SqliteAdapter {
  constructor(kind) {
    this.kind = kind;
  }

  async upsert(id, payload, expiresIn) {
    const ends = expiresIn ? Math.floor(Date.now() / 1000) + expiresIn : null;
    sql.upsert.run(this.kind, id, JSON.stringify(payload), payload.grantId ?? null, ends);
  }

  async find(id) {
    const found = sql.find.get(this.kind, id);
    return found === undefined ? undefined : JSON.parse(found);
  }

  async destroy(id) {
    sql.destroy.run(this.kind, id);
  }

  async consume(id) {
    sql.consume.run(Math.floor(Date.now() / 1000), this.kind, id);
  }

  async revokeByGrantId(grantId) {
    sql.revoke.run(grantId);
  }
}

const keys = `${file}.jwk`;
if (!existsSync(keys)) {
  const made = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });
  writeFileSync(keys, JSON.stringify(made), { mode: 0o600 });
}

const provider = new Provider("http://127.0.0.1", {
  adapter: SqliteAdapter,
  clients: [
    {
      client_id: client.id,
      client_secret: client.secret,
      grant_types: ["client_credentials", "refresh_token", CUSTOMER_GRANT],
      redirect_uris: [],
      response_types: [],
    },
  ],
  cookies: { keys: ["a benchmark's key"] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
  },
  jwks: { keys: [JSON.parse(readFileSync(keys, "utf8"))] },
  findAccount: async (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  ttl: { AccessToken: LIFETIME_S, ClientCredentials: LIFETIME_S, RefreshToken: 2 * LIFETIME_S },
});

// A server that has proved itself gets a customer's tokens, as with the cloud's `scope=customer=EMAIL`.
provider.registerGrantType(
  CUSTOMER_GRANT,
  async (ctx) => {
    const accountId = sql.customer.get(ctx.oidc.params.email ?? "");
    if (accountId === undefined) {
      throw new errors.InvalidGrant("customer not found");
    }
    const about = { accountId, client: ctx.oidc.client, grantId: randomUUID(), gty: CUSTOMER_GRANT };
    const access = new provider.AccessToken(about);
    const accessToken = await access.save();
    const refreshToken = await new provider.RefreshToken({ ...about, rotations: 0 }).save();
    ctx.body = {
      access_token: accessToken,
      expires_in: access.expiration,
      refresh_token: refreshToken,
      token_type: access.tokenType,
    };
  },
  ["email"],
);

// The route stands before the provider's own application, where nothing of Koa is in its way.
const own = provider.callback();
const owned = new Map([[device.id, { document: device, owner: customer.id }]]);
const lists = new Map([[customer.id, devices]]);

function answer(response, status, body) {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    "content-type": "application/json; charset=utf-8",
    "content-length": Buffer.byteLength(text),
  });
  response.end(text);
}

async function getDevices(request, response) {
  const [scheme, token] = (request.headers.authorization ?? "").split(" ", 2);
  const found = scheme === "Bearer" ? await provider.AccessToken.find(token) : undefined;
  if (found === undefined || found.isExpired) {
    answer(response, 401, { error: "invalid_token" });
    return;
  }
  if (request.url === "/devices") {
    answer(response, 200, lists.get(found.accountId) ?? []);
    return;
  }
  const held = owned.get(request.url.slice("/devices/".length));
  if (held === undefined || held.owner !== found.accountId) {
    answer(response, 403, { error: "forbidden" });
    return;
  }
  answer(response, 200, held.document);
}

const server = createServer((request, response) => {
  if (request.method === "GET" && request.url.startsWith("/devices")) {
    getDevices(request, response).catch((error) => response.destroy(error));
  } else {
    own(request, response);
  }
});
server.listen(0, "127.0.0.1", () => console.log(`ready http=http://127.0.0.1:${server.address().port}`));
process.on("SIGTERM", () => process.exit(0));
