// spark-server with everything in the folder that is its only argument: what the benchmarks of `bench/tcp.py` run beside
// the cloud. The folder holds `settings.json` and the server's key, both made by the benchmark: a first start without a
// key makes one, and then cannot decrypt with it until the next start.
//
// Prints `ready http=URL tcp=HOST:PORT` when it is up. One process, its own database (NeDB).

process.env.NODE_ENV = "production";
process.env.LOG_LEVEL = process.env.LOG_LEVEL || "fatal";

const fs = require("node:fs");
const net = require("node:net");
const path = require("node:path");

const [, , folder] = process.argv;
const main = require.resolve("@brewskey/spark-server/dist/main.js");
process.chdir(folder);
const settings = JSON.parse(fs.readFileSync(path.join(folder, "settings.json"), "utf8"));
const ports = [settings.EXPRESS_SERVER_CONFIG.PORT, settings.TCP_DEVICE_SERVER_CONFIG.PORT];

// The log, of which there is a line of the settings whatever the level, goes where errors go.
const say = process.stdout.write.bind(process.stdout);
process.stdout.write = process.stderr.write.bind(process.stderr);

require(main);

function untilUp(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => resolve(socket.destroy()));
    socket.on("error", () => setTimeout(() => resolve(untilUp(port)), 20));
  });
}

untilUp(ports[0]).then(() => say(`ready http=http://127.0.0.1:${ports[0]} tcp=127.0.0.1:${ports[1]}\n`));
process.on("SIGTERM", () => process.exit(0));
